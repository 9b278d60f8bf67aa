"""A robust local-linear smooth (Cleveland's lowess) whose cost does not grow with the number of rows, past binning.

Rows are put into bins of (nearly) equal counts along x, a row each if there are few. In each pass the weighted sums of
the bins are what the local lines are fitted to, on a grid; residuals from the curve then give the rows new weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

MOST_BINS = 1500
GRID = 80
PASSES = 3


def smooth(x: Vector, y: Vector, span: float = 2 / 3) -> tuple[Vector, Vector]:
    """Robust local-linear regression of y on x, at points of x in increasing order.

    Parameters
    ----------
    x, y
        (n,) finite.
    span
        Share of the rows in each local fit.

    Returns
    -------
    grid, curve
        At most `GRID` points; empty if x has fewer than four distinct values, where there is nothing to smooth.

    References
    ----------
    Cleveland, W. S. (1979). Robust locally weighted regression and smoothing scatterplots. JASA 74, 829-836.
    """
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    grid = _grid(x)
    if len(grid) < 4:
        return np.empty(0), np.empty(0)
    count = min(len(x), MOST_BINS)
    bins = (np.arange(len(x)) * count) // len(x)
    weights = np.ones(len(x))
    counts = np.asarray(np.bincount(bins, weights), dtype=np.float64)
    curve = np.zeros(len(grid))
    for _ in range(PASSES):
        totals = np.asarray(np.bincount(bins, weights), dtype=np.float64)
        safe = np.where(totals > 0, totals, 1.0)
        mean_x, mean_y = (np.bincount(bins, weights * values) / safe for values in (x, y))
        curve = _local_lines(grid, mean_x, mean_y, totals, counts, span)
        left = np.abs(y - np.interp(x, grid, curve))
        scale = 6.0 * np.median(left)
        if scale <= 1e-12 * np.max(np.abs(y)):
            break
        weights = np.maximum(1.0 - (left / scale) ** 2, 0.0) ** 2
    return grid, curve


def _grid(x: Vector) -> Vector:
    """Where to evaluate: distinct values if there are few, else half at quantiles and half evenly spaced."""
    distinct = np.unique(x)
    if len(distinct) <= GRID:
        return distinct
    even = np.linspace(x[0], x[-1], GRID // 2)
    return np.unique(np.concatenate([even, x[np.linspace(0, len(x) - 1, GRID // 2).astype(np.intp)]]))


def _local_lines(grid: Vector, x: Vector, y: Vector, weights: Vector, counts: Vector, span: float) -> Vector:
    """Weighted lines around each point of the grid, with tricube weights of the nearest `span` of the rows."""
    distance = np.abs(x[None, :] - grid[:, None])
    nearest = np.argsort(distance, axis=1, kind="stable")
    reached = np.cumsum(counts[nearest], axis=1) >= max(2.0, span * counts.sum())
    last = nearest[np.arange(len(grid)), np.argmax(reached, axis=1)]
    reach = np.maximum(distance[np.arange(len(grid)), last] * (1 + 1e-9), 1e-12 * (x[-1] - x[0]))
    near = weights * np.maximum(1.0 - (distance / reach[:, None]) ** 3, 0.0) ** 3
    total = np.maximum(near.sum(axis=1), 1e-300)
    mean_x, mean_y = near @ x / total, near @ y / total
    off = x[None, :] - mean_x[:, None]
    squares = np.einsum("gb,gb->g", near, off**2) / total
    cross = np.einsum("gb,gb,b->g", near, off, y) / total
    flat = squares <= 1e-6 * reach**2  # all the weight on one value of x: the local mean
    slope = np.where(flat, 0.0, cross / np.where(flat, 1.0, squares))
    return np.asarray(mean_y + slope * (grid - mean_x))
