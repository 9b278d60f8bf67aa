"""The design of another formula over the rows of a fit, from the columns that the fit keeps.

A fit keeps what the variables of its formula were at the rows used, and the columns behind its fixed effects. That is
enough for formulas over the same columns, with new transformations, interactions, random terms or responses among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_simulation
from henderson.coding import CategoricalVariable, Coder, Value, check_contrast_names
from henderson.columns import Kind, Numbers
from henderson.contrasts import as_contrast
from henderson.design import DesignMatrices, Recipe, random_terms, response_values, total_offset
from henderson.expression import Expression, Name, columns_of, to_text
from henderson.formula import Formula
from henderson.levels import Categories, Levels, factorize
from henderson.transforms import Evaluator


@dataclass(frozen=True, eq=False)
class KnownColumns:
    """Columns at the rows of a fit, where an `Evaluator` finds them.

    Attributes
    ----------
    n
        Number of rows.
    rows
        Their places in the table, None for all of it.
    values
        By name.
    """

    n: int
    rows: NDArray[np.intp] | None
    values: Mapping[str, Value]

    def kind(self, name: str) -> Kind | None:
        """How a column enters a model, None if it is not known."""
        value = self.values.get(name)
        if value is None:
            return None
        return _kind(value.levels) if isinstance(value, Categories) else "number"

    def numbers(self, name: str, role: str) -> Numbers:
        """A column as float64."""
        value = self.values[name]
        if not isinstance(value, Categories):
            return value
        labels = value.levels.labels
        if self.kind(name) not in ("number", "boolean"):
            raise errors.column_not_numeric(name, labels[0], role)
        return np.asarray(labels.astype(np.float64)[value.codes])

    def categories(self, name: str) -> Categories:
        """A column as codes and levels."""
        value = self.values[name]
        return value if isinstance(value, Categories) else factorize(value)

    def table_row(self, position: int) -> int:
        """The row of the table that a row of the fit came from."""
        return int(position if self.rows is None else self.rows[position])


def _kind(levels: Levels) -> Kind:
    """What a column was that is known by its levels: numbers are factorized in order of appearance."""
    labels = levels.labels
    if labels.dtype.kind == "b":
        return "boolean"
    if labels.dtype.kind in "mM":
        return "time"
    is_number = labels.dtype.kind in "iuf" or (
        labels.dtype.kind == "O" and all(isinstance(label, int | float) for label in labels.tolist())
    )
    return "number" if is_number and not levels.has_own_order else "category"


def known_columns(design: DesignMatrices) -> dict[str, Value]:
    """The columns that a fit keeps, at its rows."""
    known: dict[str, Value] = {}
    for factor in design.factors:
        for place, variable in enumerate(factor.variables):
            if isinstance(variable, Name):
                codes = factor.codes if factor.combinations is None else factor.combinations[factor.codes, place]
                known[variable.name] = Categories(codes, factor.parts[place])
    known |= {node.name: value for node, value in design.values.items() if isinstance(node, Name)}
    return known | dict(design.recipe.columns)


def redesigned(
    design: DesignMatrices,
    formula: Formula,
    *,
    contrasts: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    is_weighted: bool = True,
    has_offset: bool = True,
) -> DesignMatrices:
    """The design of a formula over the columns that a fit keeps: same rows, and the same transformations.

    Parameters
    ----------
    design
        Of the fitted model.
    formula
        Any; what it needs must be known.
    contrasts
        For some variables, instead of those of the fit.
    context
        Functions and constants besides those of the fit.
    is_weighted, has_offset
        False: without the ``weights=`` or the ``offset=`` argument of the fit.

    Raises
    ------
    DataError
        A column is not known.
    """
    formula.require_mixed()
    recipe = design.recipe
    known = known_columns(design)
    context = {**recipe.context, **(context or {})}
    context = {name: context[name] for name in formula.identifiers() & context.keys()}
    as_response = known | _response_column(design)
    _require_known(formula, design, known, as_response, context)
    chosen = {name: as_contrast(name, value) for name, value in (contrasts or {}).items()}
    variables = {
        node: variable
        for node, variable in recipe.variables.items()
        if variable.label not in chosen or not isinstance(variable, CategoricalVariable)
    }
    values = {node: value for node, value in design.values.items() if node in variables}
    evaluator = Evaluator(KnownColumns(design.n, design.rows, known), dict(recipe.states), context, is_learning=True)
    coder = Coder(evaluator, variables, chosen, values)
    x, x_names = coder.columns(formula.fixed)
    terms, factors = random_terms(
        coder, formula.random_terms, design.n, {factor.name: factor for factor in design.factors}
    )
    if chosen:
        check_contrast_names(chosen, variables)
    y = design.y
    if formula.response != design.formula.response:
        source = KnownColumns(design.n, design.rows, as_response)
        y = response_values(Evaluator(source, evaluator.states, context, is_learning=True), formula)
    argument = recipe.offset if has_offset else None
    return replace(
        design,
        y=y,
        x=x,
        x_names=x_names,
        terms=terms,
        factors=factors,
        weights=design.weights if is_weighted else None,
        offset=total_offset(evaluator, formula, argument),
        response_name=formula.response_label,
        formula=formula,
        recipe=Recipe(
            variables,
            evaluator.states,
            recipe.offset_column if has_offset else None,
            context,
            recipe.columns | {name.name: known[name.name] for name in _behind_fixed(formula) if name.name in known},
            argument,
            recipe.is_weighted and is_weighted,
            recipe.weights_column if is_weighted else None,
            _arguments(recipe, contrasts),
        ),
        values=coder.values,
    )


def _response_column(design: DesignMatrices) -> dict[str, Value]:
    """The column of the response, if it is one: for other responses made of it."""
    response = design.formula.response
    return {response.name: design.y} if isinstance(response, Name) else {}


def _behind_fixed(formula: Formula) -> Iterator[Name]:
    for node in (*formula.fixed.variables(), *formula.offsets):
        yield from columns_of(node)


def _arguments(recipe: Recipe, contrasts: Mapping[str, Any] | None) -> dict[str, Any]:
    if not contrasts:
        return dict(recipe.arguments)
    return {**recipe.arguments, "contrasts": {**recipe.arguments.get("contrasts", {}), **contrasts}}


def _require_known(
    formula: Formula,
    design: DesignMatrices,
    known: Mapping[str, Value],
    as_response: Mapping[str, Value],
    context: Mapping[str, Any],
) -> None:
    """Refuse a formula over columns that the fit did not keep."""
    factors = {factor.name for factor in design.factors}
    groupings: list[Expression] = []
    needed: list[Expression] = [*formula.fixed.variables(), *formula.offsets]
    for part in formula.random_terms:
        needed += part.effects.variables()
        if part.grouping.label not in factors:
            groupings += part.grouping.variables
    for node in (*needed, *groupings):
        if node not in design.values or node in (*formula.offsets, *groupings):
            _require_columns(node, known, context)
    if formula.response is not None and formula.response != design.formula.response:
        _require_columns(formula.response, as_response, context)


def _require_columns(node: Expression, known: Mapping[str, Value], context: Mapping[str, Any]) -> None:
    for name in columns_of(node):
        if name.name not in known and name.name not in context:
            label = to_text(node)
            what = f"'{name.name}'" + ("" if label == name.name else f" (in {label})")
            raise errors_simulation.update_needs_data(what, name.name, list(known))
