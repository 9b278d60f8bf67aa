"""New rows of a fitted model as a design of its own: the columns of the fit, levels of the fit and then new ones."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from henderson import errors, errors_streaming
from henderson.coding import Coder, Value
from henderson.columns import Column, Numbers
from henderson.design import DesignMatrices, RandomTerm, total_offset
from henderson.expression import Expression, Name
from henderson.factors import Factor
from henderson.frame import ModelFrame, find_columns
from henderson.levels import Categories, level_text
from henderson.newdata import number_or_column
from henderson.tables import Table, open_table
from henderson.transforms import Evaluator


def read_rows(design: DesignMatrices, data: Any, *, weights: Any = None, offset: Any = None) -> DesignMatrices:
    """A table as rows of a fitted model.

    Parameters
    ----------
    design
        Of the fitted model, which may be without its rows.
    data
        A table with the columns of the formula, the response too.
    weights, offset
        Column name, array or number; None: the column that the model was fitted with, if it was.

    Returns
    -------
    DesignMatrices
        Its factors have the levels of the fit, with the same codes, and after them the new ones.

    Raises
    ------
    DataError
        A column is absent or of another type, a value is missing, or a fixed effect has a new level.
    """
    table = open_table(data)
    if table.n_rows == 0:
        raise errors.table_empty()
    recipe, formula = design.recipe, design.formula
    own_weights = _argument(table, "weights", weights, recipe.weights_column, recipe.is_weighted)
    own_offset = _argument(table, "offset", offset, recipe.offset_column, recipe.offset is not None)
    columns = find_columns(table, formula.columns(), recipe.context)
    groups = {variable for factor in design.factors for variable in factor.variables}
    frame = ModelFrame(formula, table.n_rows, None, columns, _numbers=_own_numbers(columns, groups))
    evaluator = Evaluator(frame, recipe.states, recipe.context, is_learning=False)
    coder = Coder(evaluator, recipe.variables, {})
    assert formula.response is not None
    y = evaluator.number(formula.response, "the response")
    if own_weights is not None and not (own_weights > 0).all():
        row = int(np.argmin(own_weights > 0))
        raise errors_streaming.weight_not_positive(row, float(own_weights[row]))
    return replace(
        design,
        y=y,
        x=coder.columns(formula.fixed)[0],
        terms=_terms(design, coder),
        factors=tuple(_factor(factor, evaluator, columns) for factor in design.factors),
        weights=own_weights,
        offset=total_offset(evaluator, formula, own_offset),
        rows=None,
        recipe=replace(recipe, columns=_raw_columns(design, coder), offset=own_offset),
        values=coder.values,
        table_index=table.index,
        represented=None,
    )


def _own_numbers(columns: Mapping[str, Column], groups: Container[Expression]) -> dict[str, Numbers]:
    """The columns of numbers: copies, as the next rows may come in the same arrays.

    None has a missing value; that of grouping factors is looked at when their levels are.
    """
    found = {}
    for name, column in columns.items():
        if Name(name) in groups:
            continue
        if column.missing is not None:
            raise errors_streaming.missing_value(f"Column '{name}'", int(np.argmax(column.missing)))
        if column.kind == "number":
            found[name] = np.array(column.numbers("a predictor"))
    return found


def _argument(table: Table, name: str, given: Any, column: str | None, is_used: bool) -> Numbers | None:
    """The values of ``weights=`` or ``offset=`` at the rows, None if there are none."""
    if given is None:
        if not is_used:
            return None
        if column is None or table.column(column) is None:
            raise errors_streaming.argument_needed(name, column)
        given = column
    values = np.array(number_or_column(table, name, given))
    if np.isnan(values).any():
        raise errors_streaming.missing_value(f"{name}=", int(np.argmax(np.isnan(values))))
    return values


def _terms(design: DesignMatrices, coder: Coder) -> tuple[RandomTerm, ...]:
    """The random terms at the rows, their columns picked by name from those of their part of the formula."""
    known: dict[int, dict[str, Numbers | None]] = {}
    found = []
    for term in design.terms:
        if term.part not in known:
            columns, names = coder.columns(design.formula.random_terms[term.part].effects)
            known[term.part] = dict(zip(names, columns, strict=True))
        own = known[term.part]
        found.append(replace(term, columns=tuple(own[name] for name in term.names)))
    return tuple(found)


def _factor(factor: Factor, evaluator: Evaluator, columns: Mapping[str, Column]) -> Factor:
    """A grouping factor at the rows: codes of the fit, and then new levels."""
    first = factor.variables[0]
    if len(factor.parts) == 1 and isinstance(first, Name) and first.name in columns:
        known = columns[first.name].codes_among(factor.parts[0])
        if known is not None:
            return factor.at(known)
    parts = [evaluator.factorized(variable).categories for variable in factor.variables]
    for part in parts:
        if part.codes.min() < 0:
            raise errors_streaming.missing_value(f"Grouping factor '{factor.name}'", int(np.argmin(part.codes)))
    found = factor.extended(parts)
    for own, new in zip(factor.parts, found.parts, strict=True):
        if new is own:
            continue
        fresh = new.labels[len(own) :]
        others = np.array([_of_another_type(label) for label in fresh.tolist()], dtype=object)
        is_alike = own.find(others) >= 0
        if is_alike.any():
            raise errors_streaming.level_alike(factor.name, level_text(fresh[np.argmax(is_alike)]))
    return found


def _of_another_type(label: Any) -> Any:
    """A number as text, text as a number; text that is none as it is."""
    if not isinstance(label, str):
        return level_text(label)
    try:
        return float(label)
    except ValueError:
        return label


def _raw_columns(design: DesignMatrices, coder: Coder) -> dict[str, Value]:
    """The columns of the table behind the fixed effects, categories in the codes of the fit where these are known."""
    by_name = {node.name: value for node, value in coder.values.items() if isinstance(node, Name)}
    source = coder.evaluator.source
    found: dict[str, Value] = {}
    for name, known in design.recipe.columns.items():
        if name in by_name:
            found[name] = by_name[name]
        elif isinstance(known, Categories):
            own = source.categories(name)
            found[name] = Categories(known.levels.find(own.levels.labels)[own.codes], known.levels)
        else:
            found[name] = source.numbers(name, "a predictor")
    return found
