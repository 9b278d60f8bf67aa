"""The columns of the data behind the fixed effects, as a reference grid needs them: kinds, values, means, cells.

Of a fit that was loaded without its rows, the summaries that were saved. Its cells are the combinations of values that
occur, each with its number of rows; those of other fits are the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_means
from henderson.absent import AbsentRows, SummarisedRows, mean_of
from henderson.levels import Categories

if TYPE_CHECKING:
    from henderson.design import DesignMatrices

Vector = NDArray[np.float64]
Indices = NDArray[np.intp]
Reduction = Callable[[Vector], Any]

FEW = 50
"""Distinct numbers of a column that a saved summary keeps, at most."""


def kind_of(design: DesignMatrices, name: str) -> str:
    """Whether a column of the table is "number", "boolean" or "category"; "" if the fixed effects do not use it."""
    values = design.recipe.columns.get(name)
    if values is None or isinstance(values, Categories):
        is_boolean = values is not None and values.levels.labels.dtype == bool
        return "" if values is None else "boolean" if is_boolean else "category"
    return "number"


def numbers(design: DesignMatrices, name: str) -> Vector:
    """The values of a numeric or boolean column at the rows used, or their summary."""
    values = design.recipe.columns[name]
    if not isinstance(values, Categories):
        return values
    codes: Any = values.codes
    column: Any = codes if isinstance(codes, AbsentRows) else values.levels.labels.astype(np.float64)[codes]
    result: Vector = column
    return result


def levels_of(design: DesignMatrices, name: str) -> Categories:
    """A categorical column at the rows used, with codes in the order of its levels."""
    values = design.recipe.columns[name]
    assert isinstance(values, Categories)
    return values


def level_of_cells(categories: Categories) -> Indices:
    """The code of a categorical column in each cell."""
    codes: Any = categories.codes
    return np.asarray(codes.cells if isinstance(codes, SummarisedRows) else codes, dtype=np.intp)


def is_few(column: Vector, limit: int) -> bool:
    """Whether a column has at most so many distinct values."""
    if isinstance(column, SummarisedRows):
        if column.distinct is None and limit > FEW:
            column.refuse()
        return column.distinct is not None and len(column.distinct) <= limit
    return len(np.unique(column)) <= limit


def occurring(column: Vector) -> tuple[Vector, Indices]:
    """The values that occur in a column, sorted, and which of them each cell has."""
    if isinstance(column, SummarisedRows):
        if column.distinct is None or column.cells is None:
            column.refuse()
        return column.distinct, column.cells
    found, codes = np.unique(column, return_inverse=True)
    return found, codes.astype(np.intp)


def span(column: Vector) -> float:
    """The largest less the smallest value of a column."""
    if isinstance(column, SummarisedRows) and column.largest is not None and column.smallest is not None:
        return column.largest - column.smallest
    return float(np.ptp(column))


def cell_counts(design: DesignMatrices) -> Vector | None:
    """Number of rows of each cell, None if the cells are the rows."""
    if not isinstance(design.y, AbsentRows):
        return None
    for values in design.recipe.columns.values():
        summary: Any = values.codes if isinstance(values, Categories) else values
        if isinstance(summary, SummarisedRows) and summary.counts is not None:
            return summary.counts
    return np.array([float(design.n)])


def reduced(name: str, column: Vector, cov_reduce: Any) -> tuple[int | float, ...]:
    """What a numeric variable is held at."""
    function = cov_reduce.get(name, np.mean) if isinstance(cov_reduce, Mapping) else cov_reduce
    if function is True:
        function = np.mean
    if not callable(function):
        raise errors_means.reduction_type(function)
    try:
        value = mean_of(column) if function is np.mean else function(column)
        reduced = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except errors.MixedModelError:
        raise
    except (TypeError, ValueError):
        reduced = np.array([np.nan])
    if reduced.ndim != 1 or not len(reduced) or not np.isfinite(reduced).all():
        raise errors_means.reduction_invalid(name, reduced)
    return tuple(plain(value) for value in reduced)


def plain(value: Any) -> int | float:
    """A number as Python has it, whole numbers as int."""
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def summarised(columns: Mapping[str, Any], n: int, fingerprint: Callable[[Any], str]) -> dict[str, dict[str, Any]]:
    """The summaries of columns at the rows used, by name, as keyword arguments of `SummarisedRows`.

    Columns of numbers that have more than `FEW` distinct values do not divide the rows into cells.
    """
    found: dict[str, dict[str, Any]] = {}
    codes: dict[str, Indices] = {}
    for name, values in columns.items():
        if isinstance(values, Categories):
            found[name] = {"fingerprint": fingerprint(values.codes)}
            codes[name] = np.asarray(values.codes, dtype=np.intp)
            if values.levels.labels.dtype == bool:
                column = values.levels.labels.astype(np.float64)[values.codes]
                distinct, codes[name] = occurring(column)
                found[name] |= _moments(column) | {"distinct": distinct}
        elif values.ndim == 1:
            found[name] = {"fingerprint": fingerprint(values)} | _moments(values)
            distinct, places = occurring(values)
            if len(distinct) <= FEW:
                found[name]["distinct"] = distinct
                codes[name] = places
    cells, counts = _cells(codes, n)
    for name, own in found.items():
        own["counts"] = counts
        if name in cells:
            own["cells"] = cells[name]
    return found


def _moments(column: Vector) -> dict[str, float]:
    return {"mean": float(np.mean(column)), "smallest": float(column.min()), "largest": float(column.max())}


def _cells(codes: Mapping[str, Indices], n: int) -> tuple[dict[str, Indices], Vector]:
    """The combinations of codes that occur, and how often."""
    key = np.zeros(n, dtype=np.intp)
    for own in codes.values():
        key = np.unique(key * (int(own.max()) + 1) + own, return_inverse=True)[1].reshape(-1)
    _, rows, counts = np.unique(key, return_index=True, return_counts=True)
    return {name: own[rows] for name, own in codes.items()}, counts.astype(np.float64)
