"""The reference grid of a fit: the fixed effects' model matrix at chosen values of the variables.

As in R's emmeans: factors at all their levels, numeric variables at their mean (or at their values, if there are no
more than two), the first variable varying fastest. Marginal means are averages over rows of this grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_means
from henderson.absent import mean_of
from henderson.expression import CATEGORICAL_CALLS, Call, Expression, columns_of, strip_parentheses
from henderson.inference.grid_columns import (
    Reduction,
    cell_counts,
    is_few,
    kind_of,
    level_of_cells,
    levels_of,
    numbers,
    occurring,
    plain,
    reduced,
    span,
)
from henderson.levels import level_text
from henderson.newdata import NewRows, design_for

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

LARGEST = 200_000
"""Rows that a reference grid may have."""
STEP = 1e-4
"""Of a difference quotient, in units of the range of the variable."""
WEIGHTS = ("equal", "proportional", "outer", "cells", "flat")


@dataclass(frozen=True, eq=False)
class GridVariable:
    """A column of the data that the fixed effects use, and its values in the grid.

    Attributes
    ----------
    name
        Of the column.
    points
        Its values in the order of the grid.
    codes
        Position of each cell of the data (a row, as a rule) among `points`, -1 for none; None for a covariate, which
        does not divide the data into cells.
    categories
        All levels of a categorical column, None for a column of numbers or booleans.
    """

    name: str
    points: tuple[Any, ...]
    codes: NDArray[np.intp] | None = None
    categories: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class ReferenceGrid:
    """The model matrix of the fixed effects over all combinations of some values of the variables.

    Attributes
    ----------
    variables
        The first one varies fastest.
    matrix
        X at the combinations, shape (rows, all columns of X).
    frequencies
        Number of rows of the data in each combination of levels, shape (rows,).
    table
        The combinations: the columns of the data that the matrix was computed from.
    """

    variables: tuple[GridVariable, ...]
    matrix: Matrix
    frequencies: Vector
    table: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the variables."""
        return tuple(variable.name for variable in self.variables)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each variable."""
        return tuple(len(variable.points) for variable in self.variables)

    def averaged_over(self, kept: Sequence[str]) -> tuple[str, ...]:
        """The variables with several values that are not among `kept`."""
        return tuple(v.name for v in self.variables if len(v.points) > 1 and v.name not in kept)

    def cells(self, kept: Sequence[str]) -> dict[str, list[Any]]:
        """All combinations of the values of some variables, a column for each; the first varies fastest."""
        values = [self.variables[self.names.index(name)].points for name in kept]
        grid = _places([len(own) for own in values])
        return {name: [own[i] for i in place] for name, own, place in zip(kept, values, grid, strict=True)}

    def averages(self, kept: Sequence[str], weights: str = "equal") -> Matrix:
        """Rows of X averaged over all variables but `kept`, in the order of `cells`; NaN where no cell has weight."""
        order = [self.names.index(name) for name in kept]
        order += [i for i in range(len(self.variables)) if i not in order]
        count = len(kept)
        sizes = [self.sizes[i] for i in order]
        cells = int(np.prod(sizes[:count]))
        by_axis = np.transpose(self.frequencies.reshape(self.sizes, order="F"), order)
        share = _shares(by_axis, count, weights).reshape(cells, -1, order="F")
        x = np.transpose(self.matrix.reshape(*self.sizes, -1, order="F"), [*order, len(order)])
        x = x.reshape(cells, -1, self.matrix.shape[1], order="F")
        total = share.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.einsum("ca,cap->cp", share, x) / np.where(total > 0, total, np.nan)[:, None])


def _shares(frequencies: NDArray[np.float64], kept: int, weights: str) -> NDArray[np.float64]:
    """Weights of all cells, the first `kept` axes being those that are not averaged over."""
    if weights not in WEIGHTS:
        raise errors.choice("weights", weights, WEIGHTS)
    if weights == "cells":
        return frequencies
    if weights == "flat":
        return (frequencies > 0).astype(np.float64)
    shape = frequencies.shape
    if weights == "equal" or not frequencies.any():
        return np.ones(shape)
    joint = frequencies.sum(axis=tuple(range(kept)))
    if weights == "outer":
        total = joint.sum()
        margins = [joint.sum(axis=tuple(j for j in range(joint.ndim) if j != i)) / total for i in range(joint.ndim)]
        joint = np.ones(())
        for margin in margins:
            joint = np.multiply.outer(joint, margin)
    return np.broadcast_to(joint, shape)


def reference_grid(
    model: LinearMixedModel,
    *,
    at: Mapping[str, Any] | None = None,
    cov_reduce: Reduction | Mapping[str, Reduction] | bool = np.mean,
    cov_keep: int | Sequence[str] = 2,
) -> ReferenceGrid:
    """Make the reference grid of a fit.

    Parameters
    ----------
    model
        A fitted model.
    at
        Values of variables, by name, instead of all levels or the mean.
    cov_reduce
        What numeric variables are held at: a function of their values, or one by name; False keeps all values.
    cov_keep
        Numeric variables with so few values, or of these names, are kept at their values as factors are.

    Raises
    ------
    DataError
        `at` names what is no variable of the fixed effects or no level; or the grid would be too large.
    """
    if not model.design.x:
        raise errors_means.no_fixed_effects()
    names, coerced = grid_names(model.design)
    given = dict(at or {})
    for name in given:
        if name not in names:
            raise errors_means.variable_unknown("at", name, names)
    variables = []
    for name in names:
        if kind_of(model.design, name) == "category":
            variables.append(_factor(model.design, name, given.get(name)))
        else:
            is_factor = name in coerced or kind_of(model.design, name) == "boolean"
            variables.append(_covariate(model.design, name, is_factor, given.get(name), cov_reduce, cov_keep))
    sizes = [(variable.name, len(variable.points)) for variable in variables]
    rows = math.prod(size for _, size in sizes)
    if rows > LARGEST:
        raise errors_means.grid_too_large(sizes, rows, LARGEST)
    table = {v.name: column for v, column in zip(variables, _columns(variables), strict=True)}
    matrix = matrix_at(model.design, table, rows)
    return ReferenceGrid(tuple(variables), matrix, _frequencies(model.design, variables), table)


def slope_grid(model: LinearMixedModel, variable: str, grid: ReferenceGrid) -> ReferenceGrid:
    """The derivative of the rows of a grid in one of its numeric variables, by central differences."""
    column = numbers(model.design, variable)
    step = STEP * span(column)
    if step == 0.0:
        raise errors_means.trend_constant(variable)
    at = grid.table[variable]
    above, below = (
        matrix_at(model.design, {**grid.table, variable: at + sign * step}, len(at)) for sign in (1.0, -1.0)
    )
    return ReferenceGrid(grid.variables, (above - below) / (2.0 * step), grid.frequencies, grid.table)


def grid_names(design: DesignMatrices) -> tuple[tuple[str, ...], frozenset[str]]:
    """The columns of the data that the fixed effects use, and those of numbers made into factors: ``factor(x)``."""
    names: dict[str, None] = {}
    coerced: set[str] = set()
    for variable in design.formula.fixed.variables():
        found = [name.name for name in columns_of(variable) if name.name in design.recipe.columns]
        names |= dict.fromkeys(found)
        node: Expression = strip_parentheses(variable)
        if isinstance(node, Call) and node.function in CATEGORICAL_CALLS:
            coerced.update(found)
    return tuple(names), frozenset(coerced)


def matrix_at(design: DesignMatrices, table: Mapping[str, Any], rows: int) -> Matrix:
    """X at the rows of a table of the variables, all columns; what the transformations learned is used again."""
    return np.asarray(rows_at(design, table, rows).x_matrix())


def rows_at(design: DesignMatrices, table: Mapping[str, Any], rows: int) -> NewRows:
    """The fixed effects and the offset at the rows of a table of the variables.

    Offsets whose columns are not in the table are at their mean.
    """
    columns = dict(table) or {" ": np.zeros(rows)}
    for node in design.formula.offsets:
        for name in columns_of(node):
            if name.name not in columns and name.name in design.recipe.columns:
                columns[name.name] = np.full(rows, mean_of(numbers(design, name.name)))
    argument = design.recipe.offset
    if argument is not None and design.recipe.offset_column is not None:
        columns.setdefault(design.recipe.offset_column, np.full(rows, mean_of(argument)))
    return design_for(columns, design, terms=())


def _factor(design: DesignMatrices, name: str, chosen: Any) -> GridVariable:
    categories = levels_of(design, name)
    labels, codes = categories.levels.labels, level_of_cells(categories)
    if chosen is None:
        return GridVariable(name, tuple(labels.tolist()), codes, labels)
    texts = categories.levels.texts()
    places = []
    for value in _values(name, chosen):
        if level_text(value) not in texts:
            raise errors_means.at_level(name, value, texts)
        places.append(texts.index(level_text(value)))
    position = np.full(len(labels), -1, dtype=np.intp)
    position[places] = np.arange(len(places))
    return GridVariable(name, tuple(labels[places].tolist()), position[codes], labels)


def _covariate(
    design: DesignMatrices, name: str, is_factor: bool, chosen: Any, cov_reduce: Any, cov_keep: int | Sequence[str]
) -> GridVariable:
    """A column of numbers or booleans: at its mean, at all its values, or at those chosen."""
    column = numbers(design, name)
    is_boolean = kind_of(design, name) == "boolean"
    if chosen is not None and not is_factor:
        return GridVariable(name, _numeric_values(name, chosen))
    if chosen is None and not (is_factor or cov_reduce is False):
        few = name in cov_keep if not isinstance(cov_keep, int) else is_few(column, cov_keep)
        if not few:
            return GridVariable(name, reduced(name, column, cov_reduce))
    found, codes = occurring(column)
    if chosen is not None:
        allowed = [bool(value) if is_boolean else float(value) for value in found]
        picked = _values(name, chosen)
        for value in picked:
            if value not in allowed:
                raise errors_means.at_level(name, value, [level_text(level) for level in allowed])
        position = np.full(len(found), -1, dtype=np.intp)
        position[[allowed.index(value) for value in picked]] = np.arange(len(picked))
        return GridVariable(name, tuple(picked), position[codes])
    values = tuple(bool(value) if is_boolean else plain(value) for value in found)
    return GridVariable(name, values, codes)


def _values(name: str, chosen: Any) -> list[Any]:
    is_single = isinstance(chosen, str | bytes) or not hasattr(chosen, "__len__")
    values = [chosen] if is_single else list(chosen)
    if not values:
        raise errors_means.at_empty(name)
    return values


def _numeric_values(name: str, chosen: Any) -> tuple[Any, ...]:
    values = []
    for value in _values(name, chosen):
        if isinstance(value, str | bool | np.bool_) or not np.isreal(value) or not np.isfinite(value):
            raise errors_means.at_not_numeric(name, value)
        values.append(plain(value))
    return tuple(values)


def _columns(variables: Sequence[GridVariable]) -> list[Any]:
    """The columns of the grid as arrays of the types that the model was fitted to."""
    import pandas as pd

    columns: list[Any] = []
    for variable, place in zip(variables, _places([len(variable.points) for variable in variables]), strict=True):
        if variable.categories is not None:
            levels = [level_text(label) for label in variable.categories.tolist()]
            codes = np.array([levels.index(level_text(value)) for value in variable.points])
            columns.append(pd.Categorical.from_codes(codes[place], pd.Index(variable.categories)))
        else:
            kind = bool if any(isinstance(point, bool) for point in variable.points) else np.float64
            columns.append(np.array(variable.points, dtype=kind)[place])
    return columns


def _places(sizes: Sequence[int]) -> NDArray[np.intp]:
    """All combinations of positions, a row for each of the sizes; the first one varies fastest."""
    return np.indices(sizes[::-1]).reshape(len(sizes), math.prod(sizes))[::-1]


def _frequencies(design: DesignMatrices, variables: Sequence[GridVariable]) -> Vector:
    """Number of rows of the data in the cell of each row of the grid."""
    sizes = [len(variable.points) if variable.codes is not None else 1 for variable in variables]
    weights = cell_counts(design)
    cells = design.n if weights is None else len(weights)
    key = np.zeros(cells, dtype=np.intp)
    inside = np.ones(cells, dtype=bool)
    stride = 1
    for variable, size in zip(variables, sizes, strict=True):
        if variable.codes is not None:
            inside &= variable.codes >= 0
            key += stride * variable.codes
            stride *= size
    counts = np.bincount(key[inside], None if weights is None else weights[inside], stride).astype(np.float64)
    full = [len(variable.points) for variable in variables]
    return np.broadcast_to(counts.reshape(sizes, order="F"), full).reshape(-1, order="F")
