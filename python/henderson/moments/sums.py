"""The sums over the rows from which the moments follow: one pass, batch after batch.

With Z_k the indicators of the levels of factor k, W the weights, and y and the columns of X shifted by a pilot value:

    n, y'Wy, X'Wy, X'WX;  per factor k: N_k = Z_k'1, W_k = Z_k'W1, Z_k'Wy, Z_k'WX;  for two factors or more, the codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from henderson import errors_moments
from henderson.moments.rows import Batch, Codes, Matrix, Vector


@dataclass(eq=False)
class FactorSums:
    """Sums by level of one factor: rows (J,), weights (J,), Z'Wy (J,), Z'WX (J, p)."""

    rows: Vector
    weights: Vector
    y: Vector
    x: Matrix

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def used(self) -> int:
        """Number of levels with rows."""
        return int(np.count_nonzero(self.rows))

    @property
    def inverse(self) -> Vector:
        """1 / weights (J,), zero for a level without rows."""
        return np.divide(1.0, self.weights, out=np.zeros_like(self.weights), where=self.weights > 0)


@dataclass(eq=False)
class Sums:
    """What one pass over the rows leaves.

    Attributes
    ----------
    n, weight
        Number of rows, and sum of their weights.
    y_shift, x_shift
        What was subtracted from y and from each column, zero without an intercept.
    yy, xy, xx
        y'Wy, X'Wy (p,), X'WX (p, p).
    factors
        Sums by level.
    codes
        Per factor the codes of all rows; empty for a single factor.
    row_weights
        (n,) weights of all rows, None for ones; empty for a single factor.
    intercept
        Which column is the constant, None for none.
    """

    n: int
    weight: float
    y_shift: float
    x_shift: Vector
    yy: float
    xy: Vector
    xx: Matrix
    factors: list[FactorSums]
    codes: list[Codes] = field(default_factory=list)
    row_weights: Vector | None = None
    intercept: int | None = None

    @property
    def is_weighted(self) -> bool:
        """Whether the rows have weights."""
        return self.row_weights is not None


def collect(batches: Iterable[Batch]) -> Sums:
    """Read the rows once."""
    total: Sums | None = None
    kept: list[list[Codes]] = []
    weights: list[Vector] = []
    for number, batch in enumerate(batches):
        if total is None:
            total = _empty(batch)
            kept = [[] for _ in batch.codes] if len(batch.codes) > 1 else []
        _check_alike(total, batch, number)
        for parts, codes in zip(kept, batch.codes, strict=bool(kept)):
            parts.append(np.asarray(codes, dtype=np.int32))
        if kept and batch.weights is not None:
            weights.append(batch.weights)
        for piece in batch.pieces():
            _add(total, piece)
    if total is None:
        raise errors_moments.no_batches()
    total.codes = [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in kept]
    if weights:
        total.row_weights = np.concatenate(weights)
    return total


def _empty(batch: Batch) -> Sums:
    """Nothing yet; the pilot values are the means of the first rows."""
    p, first = len(batch.x), next(batch.pieces())
    intercept = next((j for j, column in enumerate(batch.x) if column is None), None)
    y_shift = float(np.mean(first.y)) if intercept is not None else 0.0
    x_shift = np.array([0.0 if column is None or intercept is None else np.mean(column) for column in first.x])
    factors = [FactorSums(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros((0, p))) for _ in batch.codes]
    weights = None if batch.weights is None else np.zeros(0)
    return Sums(0, 0.0, y_shift, x_shift, 0.0, np.zeros(p), np.zeros((p, p)), factors, [], weights, intercept)


def _check_alike(total: Sums, batch: Batch, number: int) -> None:
    pairs = [
        ("columns", len(total.xy), len(batch.x)),
        ("grouping factors", len(total.factors), len(batch.codes)),
        ("vectors of weights", int(total.is_weighted), int(batch.weights is not None)),
    ]
    for what, first, now in pairs:
        if first != now:
            raise errors_moments.batches_disagree(what, first, now, number)


def _add(total: Sums, batch: Batch) -> None:
    y, x = shifted(total, batch)
    w = batch.weights
    wy, wx = (y, x) if w is None else (w * y, w[:, None] * x)
    total.n += len(y)
    total.weight += float(len(y) if w is None else w.sum())
    total.yy += float(wy @ y)
    total.xy += wx.T @ y
    total.xx += wx.T @ x
    for factor, codes in zip(total.factors, batch.codes, strict=True):
        if int(codes.max()) >= len(factor):
            _grow(factor, int(codes.max()) + 1)
        size = len(factor)
        rows = np.bincount(codes, minlength=size)
        factor.rows += rows
        weights = rows if w is None else np.bincount(codes, w, size)
        factor.weights += weights
        factor.y += np.bincount(codes, wy, size)
        for j, column in enumerate(batch.x):
            factor.x[:, j] += weights if column is None else np.bincount(codes, wx[:, j], size)


def _grow(factor: FactorSums, size: int) -> None:
    more = size - len(factor)
    if len(factor):
        more = max(more, len(factor) // 2)  # seldom
    factor.rows, factor.weights, factor.y = (np.pad(v, (0, more)) for v in (factor.rows, factor.weights, factor.y))
    factor.x = np.pad(factor.x, ((0, more), (0, 0)))


def shifted(total: Sums, batch: Batch) -> tuple[Vector, Matrix]:
    """Response (n,) and columns (n, p) of some rows, with the pilot values subtracted."""
    x = np.ones((len(batch), len(batch.x)), order="F")
    for j, column in enumerate(batch.x):
        if column is not None:
            np.subtract(column, total.x_shift[j], out=x[:, j])
    return batch.y - total.y_shift, x


def trimmed(total: Sums) -> Sums:
    """The same without levels beyond the last that has rows."""
    factors = []
    for each in total.factors:
        size = int(np.flatnonzero(each.rows)[-1]) + 1
        factors.append(FactorSums(each.rows[:size], each.weights[:size], each.y[:size], each.x[:size]))
    return replace(total, factors=factors)


def keep_columns(total: Sums, kept: NDArray[np.intp]) -> Sums:
    """The same with some of the columns of X."""
    factors = [FactorSums(each.rows, each.weights, each.y, each.x[:, kept]) for each in total.factors]
    where = [] if total.intercept is None else np.flatnonzero(kept == total.intercept).tolist()
    return replace(
        total,
        intercept=where[0] if where else None,
        x_shift=total.x_shift[kept],
        xy=total.xy[kept],
        xx=total.xx[np.ix_(kept, kept)],
        factors=factors,
    )
