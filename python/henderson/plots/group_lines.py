"""Predicted lines of groups: the model over one of its variables, at the levels of a grouping factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_plots
from henderson.expression import CATEGORICAL_CALLS, Call, Name, columns_of, strip_parentheses
from henderson.levels import Categories, factorize
from henderson.newdata import design_for

if TYPE_CHECKING:
    from henderson.coding import Value
    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Rows = NDArray[np.intp]

POINTS = 50
"""Of a line over a numeric variable."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """The variable along the horizontal axis.

    Attributes
    ----------
    name
        Of the column.
    values
        At the rows used, shape (n,): numbers, or the position of a category.
    at
        Where lines are evaluated, shape (m,).
    labels
        Of the categories; None for numbers.
    """

    name: str
    values: Vector
    at: Vector
    labels: tuple[Any, ...] | None


def columns(design: DesignMatrices) -> dict[str, Value]:
    """The columns of the data that the model uses, other than grouping factors and the response."""
    found = dict(design.recipe.columns)
    for node, value in design.values.items():
        if isinstance(node, Name) and (isinstance(value, Categories) or value.ndim == 1):
            found.setdefault(node.name, value)
    for name in _coerced(design):
        values = found.get(name)
        if values is not None and not isinstance(values, Categories):
            found[name] = factorize(values).in_order()
    return found


def _coerced(design: DesignMatrices) -> set[str]:
    """Columns of numbers that the formula makes into factors: ``factor(x)``."""
    sides = [design.formula.fixed, *(part.effects for part in design.formula.random_terms)]
    nodes = [strip_parentheses(node) for side in sides for node in side.variables()]
    calls = [node for node in nodes if isinstance(node, Call) and node.function in CATEGORICAL_CALLS]
    return {name.name for node in calls for name in columns_of(node)}


def predictor(design: DesignMatrices, factor: int, x: str | None) -> Predictor:
    """The variable asked for; by default one that has random slopes, else a number, else any.

    Raises
    ------
    DataError
        The model does not use `x`, or uses no variable at all.
    """
    found = columns(design)
    used: dict[str, None] = {}
    for side in (*(design.formula.random_terms[t.part].effects for t in design.terms if t.factor == factor),):
        used |= {name.name: None for node in side.variables() for name in columns_of(node) if name.name in found}
    fixed = [name.name for node in design.formula.fixed.variables() for name in columns_of(node) if name.name in found]
    numbers = [name for name in fixed if not isinstance(found[name], Categories)]
    candidates = [*used, *numbers, *fixed]
    if not candidates:
        raise errors_plots.no_predictor()
    if x is None:
        x = candidates[0]
    elif x not in candidates:
        raise errors_plots.name_unknown("x", x, list(dict.fromkeys(candidates)))
    values = found[x]
    if isinstance(values, Categories):
        labels = tuple(values.in_order().levels.labels.tolist())
        positions = np.asarray(values.in_order().codes, dtype=np.float64)
        return Predictor(x, positions, np.arange(len(labels), dtype=np.float64), labels)
    number = np.asarray(values, dtype=np.float64)
    return Predictor(x, number, np.linspace(number.min(), number.max(), POINTS), None)


def lines(model: LinearMixedModel, factor: int, levels: Rows, along: Predictor, *, own: bool) -> tuple[Matrix, Matrix]:
    """Predictions without and with the random effects of some levels, shape (levels, points) each.

    Parameters
    ----------
    model
        A fitted model.
    factor
        Index of the grouping factor.
    levels
        Codes of its levels.
    along
        Where to predict.
    own
        Other variables at what they are in the rows of the level (mean, or most frequent); False: in all rows.

    Notes
    -----
    With the random effects of the factor come those of factors that contain it: of the batch, for a cask.
    """
    design = model.design
    codes = design.factors[factor].codes
    members = [np.flatnonzero(codes == level) for level in levels] if own else [np.arange(design.n)]
    first = np.zeros(design.factors[factor].n_levels, dtype=np.intp)
    first[codes[::-1]] = np.arange(design.n)[::-1]
    first = first[levels]
    terms = [t for t, term in enumerate(design.terms) if _contains(design.factors[term.factor].codes, codes)]
    count = len(along.at)
    table = _table(design, along, members, count)
    for t in terms:
        _add_groups(design, t, table, first[: len(members)], count)
    rows = design_for(table, design, terms=terms)
    fixed = rows.x_matrix()[:, model.kept] @ model.solution.beta
    if rows.offset is not None:
        fixed = fixed + rows.offset
    if design.recipe.offset is not None and design.recipe.offset_column is None:
        fixed = fixed + np.repeat([float(design.recipe.offset[of].mean()) for of in members], count)
    population = np.array(np.broadcast_to(fixed.reshape(-1, count), (len(levels), count)))
    conditional = population.copy()
    for t in terms:
        effects = model.solution.b[t][design.factors[design.terms[t].factor].codes[first]]
        for k, column in enumerate(rows.terms[t].columns):
            varying = 1.0 if column is None else column.reshape(-1, count)
            conditional += effects[:, k, None] * varying
    return population, conditional


def _contains(outer: NDArray[np.int32], inner: NDArray[np.int32]) -> bool:
    """Whether each level of the inner factor lies in one level of the outer one."""
    home = np.zeros(int(inner.max()) + 1, dtype=outer.dtype)
    home[inner] = outer
    return bool((home[inner] == outer).all())


def _table(design: DesignMatrices, along: Predictor, members: Sequence[Rows], count: int) -> dict[str, Any]:
    """Columns of the new rows: `along` varies, the others are typical of the rows of each level."""
    import pandas as pd

    table: dict[str, Any] = {}
    coerced = _coerced(design)
    for name, values in columns(design).items():
        if isinstance(values, Categories):
            codes = np.repeat([int(np.bincount(values.codes[rows]).argmax()) for rows in members], count)
            if name == along.name:
                values = values.in_order()
                codes = np.tile(along.at.astype(np.intp), len(members))
            labels = values.levels.labels
            is_plain = labels.dtype == bool or (name in coerced and labels.dtype.kind in "iuf")
            table[name] = labels[codes] if is_plain else pd.Categorical.from_codes(codes, pd.Index(labels))
        elif name == along.name:
            table[name] = np.tile(along.at, len(members))
        else:
            table[name] = np.repeat([float(np.mean(values[rows])) for rows in members], count)
    argument = design.recipe.offset
    if argument is not None and design.recipe.offset_column is not None:
        table[design.recipe.offset_column] = np.repeat([float(argument[rows].mean()) for rows in members], count)
    return table


def _add_groups(design: DesignMatrices, term: int, table: dict[str, Any], first: Rows, count: int) -> None:
    """The columns of a grouping factor, which have to be there though its levels are known."""
    factor = design.factors[design.terms[term].factor]
    codes = factor.codes[first]
    for place, node in enumerate(factor.variables):
        part = codes if factor.combinations is None else factor.combinations[codes, place]
        for name in columns_of(node):
            values = factor.parts[place].labels[part] if isinstance(node, Name) else np.zeros(len(first))
            table.setdefault(name.name, np.repeat(values, count))
