"""New rows of a fitted model as a design of its own: the columns of the fit, levels of the fit and then new ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from henderson import errors, errors_streaming
from henderson.coding import Value
from henderson.columns import Numbers
from henderson.design import DesignMatrices
from henderson.expression import columns_of
from henderson.factors import Factor, grouping_parts
from henderson.frame import ModelFrame, find_columns
from henderson.levels import Categories, level_text
from henderson.newdata import NewRows, design_for, number_or_column
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
    recipe = design.recipe
    own_weights = _argument(table, "weights", weights, recipe.weights_column, recipe.is_weighted)
    own_offset = _argument(table, "offset", offset, recipe.offset_column, recipe.offset is not None)
    rows = design_for(table, design, offset=own_offset)
    y = _response(table, design)
    if own_weights is not None and not (own_weights > 0).all():
        row = int(np.argmin(own_weights > 0))
        raise errors.weight_invalid(row, float(own_weights[row]))
    assert rows.coder is not None
    factors = _factors(design, rows)
    terms = tuple(replace(term, columns=rows.terms[t].columns) for t, term in enumerate(design.terms))
    found = replace(
        design,
        y=y,
        x=rows.x,
        terms=terms,
        factors=factors,
        weights=own_weights,
        offset=rows.offset,
        rows=None,
        recipe=replace(recipe, columns=_raw_columns(design, rows), offset=own_offset),
        values=rows.coder.values,
        table_index=table.index,
        represented=None,
    )
    for what, values in _vectors(found):
        if np.isnan(values).any():
            raise errors_streaming.missing_value(what, int(np.argmax(np.isnan(values))))
    return found


def _argument(table: Table, name: str, given: Any, column: str | None, is_used: bool) -> Numbers | None:
    """The values of ``weights=`` or ``offset=`` at the rows, None if there are none."""
    if given is not None:
        return number_or_column(table, name, given)
    if not is_used:
        return None
    if column is None or column not in table.names:
        raise errors_streaming.argument_needed(name, column)
    return number_or_column(table, name, column)


def _response(table: Table, design: DesignMatrices) -> Numbers:
    formula, context = design.formula, design.recipe.context
    assert formula.response is not None
    columns = find_columns(table, columns_of(formula.response), context)
    frame = ModelFrame(formula, table.n_rows, None, columns)
    evaluator = Evaluator(frame, design.recipe.states, context, is_learning=False)
    return evaluator.number(formula.response, "the response")


def _factors(design: DesignMatrices, rows: NewRows) -> tuple[Factor, ...]:
    assert rows.coder is not None
    found = []
    for index, factor in enumerate(design.factors):
        term = next(term for term in design.terms if term.factor == index)
        grouping = design.formula.random_terms[term.part].grouping
        parts = grouping_parts(grouping, rows.coder.evaluator)
        for part in parts:
            if part.codes.min() < 0:
                raise errors_streaming.missing_value(f"Grouping factor '{factor.name}'", int(np.argmin(part.codes)))
        for own, part in zip(factor.parts, parts, strict=True):
            fresh = part.levels.labels[own.find(part.levels.labels) < 0]
            others = np.array([_of_another_type(label) for label in fresh.tolist()], dtype=object)
            if len(others) and (own.find(others) >= 0).any():
                raise errors_streaming.level_alike(factor.name, level_text(fresh[np.argmax(own.find(others) >= 0)]))
        found.append(factor.extended(parts))
    return tuple(found)


def _of_another_type(label: Any) -> Any:
    """A number as text, text as a number; text that is none as it is."""
    if not isinstance(label, str):
        return level_text(label)
    try:
        return float(label)
    except ValueError:
        return label


def _raw_columns(design: DesignMatrices, rows: NewRows) -> dict[str, Value]:
    """The columns of the table behind the fixed effects, categories in the codes of the fit where these are known."""
    assert rows.coder is not None
    by_name = {getattr(node, "name", ""): value for node, value in rows.coder.values.items()}
    source = rows.coder.evaluator.source
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


def _vectors(rows: DesignMatrices) -> Iterator[tuple[str, Numbers]]:
    yield f"The response {rows.response_name}", rows.y
    for name, column in zip(rows.x_names, rows.x, strict=True):
        if column is not None:
            yield f"The fixed-effects column {name}", column
    for term in rows.terms:
        for name, column in zip(term.names, term.columns, strict=True):
            if column is not None:
                yield f"The random-effects column {name} of {term.group}", column
    if rows.offset is not None:
        yield "offset", rows.offset
