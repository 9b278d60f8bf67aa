"""Tests by simulation: the statistic of the data among those of responses simulated from the model.

Statistics come as vectors (n + 1,), the one of the data first. If the model is right all n + 1 are exchangeable.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

ROUNDING = 1e-12


def ranks_among(residuals: Matrix) -> NDArray[Any]:
    """Rank 0 .. n of each value among the n + 1 of its column, (n + 1, m)."""
    sets, m = residuals.shape
    kind = np.uint16 if sets <= np.iinfo(np.uint16).max else np.uint32
    found = np.empty((sets, m), dtype=kind)
    step = max(1, 2**22 // sets)
    for start in range(0, m, step):
        columns = np.ascontiguousarray(residuals[:, start : start + step].T)
        ranks = np.empty(columns.shape, dtype=kind)
        np.put_along_axis(ranks, np.argsort(columns, axis=1), np.arange(sets, dtype=kind)[None], axis=1)
        found[:, start : start + step] = ranks.T
    return found


def spreads_of(residuals: Matrix) -> Vector:
    """Root mean square of each row (n + 1,), every column divided by its own."""
    squares = residuals**2
    scale = squares.mean(axis=0)
    found: Vector = np.sqrt(squares @ (1.0 / np.where(scale > 0, scale, 1.0)) / max(residuals.shape[1], 1))
    return found


def distances(ranks: NDArray[Any]) -> Vector:
    """Kolmogorov-Smirnov distance of each row of ranks from the uniform distribution, (n + 1,)."""
    sets, m = ranks.shape
    uniform = np.arange(1, sets + 1) / sets
    found = [np.abs(np.cumsum(np.bincount(row, minlength=sets)) / m - uniform).max() for row in ranks]
    return np.array(found)


def share_above(statistics: Vector) -> float:
    """P-value of a statistic that is large where the model is wrong."""
    return float(np.mean(statistics >= statistics[0] * (1.0 - ROUNDING)))


def two_sided(statistics: Vector) -> float:
    """P-value of a statistic that is small or large where the model is wrong."""
    room = ROUNDING * abs(float(statistics[0]))
    below, above = np.mean(statistics <= statistics[0] + room), np.mean(statistics >= statistics[0] - room)
    return float(min(1.0, 2.0 * min(below, above)))
