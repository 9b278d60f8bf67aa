"""Random intercepts of the levels of categorical columns: one model per column, or one with crossed effects."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from henderson.array_inputs import RandomTerm
from henderson.arrays import fit_arrays
from henderson.errors import DataError

Vector = NDArray[np.float64]
Codes = NDArray[np.int32]

NO_VARIANCE = 1e-20
"""Of the total sum of squares: the sum of squares within levels is rounding."""
SMALL_RESIDUALS = 1e-16
"""The same, of an iterative solution."""


@dataclass(frozen=True, eq=False)
class LevelEffects:
    """What a model says about the levels of one column.

    Attributes
    ----------
    intercept
        Mean of all levels.
    blups
        (levels,) predicted effect of each level; zero without rows.
    between, within
        Variance of the effects, and the residual variance.
    """

    intercept: float
    blups: Vector
    between: float
    within: float


def level_effects(
    y: Vector, codes: Sequence[Codes], levels: Sequence[int], *, crossed: bool, step: Callable[[], None]
) -> list[LevelEffects]:
    """Fit y = intercept + effects of levels + error by REML; where that says nothing, effects are zero.

    Parameters
    ----------
    y
        (n,) target.
    codes
        Per column the level of each row, 0 .. levels - 1.
    levels
        Number of levels of each column; some may be without rows.
    crossed
        One model with the effects of all columns; otherwise a model per column.
    step
        Called after each model.

    Notes
    -----
    A column with one level, or with as many levels as rows, has a variance that the residuals cannot be told from: its
    effects are zero. Without residual variance the effects are the limit of BLUPs for sigma -> 0: those of the means of
    a single column, the shortest least-squares solution of several.
    """
    found: list[LevelEffects] = []
    for each in [range(len(codes))] if crossed else [[k] for k in range(len(codes))]:
        found += _of_one_model(y, [codes[k] for k in each], [levels[k] for k in each])
        step()
    return found


def _of_one_model(y: Vector, codes: Sequence[Codes], levels: Sequence[int]) -> list[LevelEffects]:
    usable = _distinct([k for k, own in enumerate(codes) if _is_informative(own, levels[k])], codes)
    with np.errstate(over="ignore", invalid="ignore"):  # fit_arrays explains
        spread, centre = float(np.var(y)), float(y.mean())
    if spread == 0 or not usable:
        return [LevelEffects(centre, np.zeros(count), 0.0, spread) for count in levels]
    is_small = np.isfinite(spread)
    if is_small and len(usable) == 1 and (exact := _exact_means(y, codes[usable[0]], levels[usable[0]])) is not None:
        none = [LevelEffects(exact.intercept, np.zeros(count), 0.0, 0.0) for count in levels]
        return [exact if k == usable[0] else own for k, own in enumerate(none)]
    try:
        fit = fit_arrays(y, np.ones((len(y), 1)), terms=[RandomTerm(codes[k], levels=levels[k]) for k in usable])
    except DataError:  # no residual variance?
        sums = _exact_sums(y, codes, levels) if is_small else None
        if sums is None:
            raise
        return sums
    intercept, within = float(fit.beta[0]), fit.sigma**2
    found = [LevelEffects(intercept, np.zeros(count), 0.0, within) for count in levels]
    for k, own, covariance in zip(usable, fit.ranef, fit.covariances, strict=True):
        found[k] = LevelEffects(intercept, own[:, 0], float(covariance[0, 0]), within)
    return found


def _is_informative(codes: Codes, levels: int) -> bool:
    counts = np.bincount(codes, minlength=levels)
    return int(np.count_nonzero(counts)) > 1 and int(counts.max()) > 1


def _distinct(columns: list[int], codes: Sequence[Codes]) -> list[int]:
    """Columns without those that have the same levels in the same rows as an earlier one, whose effects stay zero."""
    found: list[int] = []
    for k in columns:
        if not any(_same_partition(codes[k], codes[other]) for other in found):
            found.append(k)
    return found


def _same_partition(a: Codes, b: Codes) -> bool:
    """Whether the levels of two columns are the same up to their names."""
    first = np.full(int(a.max()) + 1, -1, dtype=np.int32)
    first[a] = b
    if not np.array_equal(first[a], b):
        return False
    back = np.full(int(b.max()) + 1, -1, dtype=np.int32)
    back[b] = a
    return np.array_equal(back[b], a)


def _exact_means(y: Vector, codes: Codes, levels: int) -> LevelEffects | None:
    """The effects where y varies between the levels only, None elsewhere."""
    counts = np.bincount(codes, minlength=levels)
    used = counts > 0
    centre = float(y.mean())
    means = np.bincount(codes, y - centre, minlength=levels) / np.maximum(counts, 1)
    residual = y - centre - means[codes]
    if residual @ residual > NO_VARIANCE * len(y) * np.var(y):
        return None
    middle = float(means[used].mean())
    return LevelEffects(centre + middle, np.where(used, means - middle, 0.0), float(np.var(means[used], ddof=1)), 0.0)


def _exact_sums(y: Vector, codes: Sequence[Codes], levels: Sequence[int]) -> list[LevelEffects] | None:
    """The effects where y is a sum of effects of all columns without error, None elsewhere."""
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import lsqr

    starts = np.concatenate([[0], np.cumsum(levels)])
    columns = np.concatenate([own + start for own, start in zip(codes, starts[:-1], strict=True)])
    rows = np.tile(np.arange(len(y)), len(codes))
    z = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(y), int(starts[-1]))).tocsr()
    centre = float(y.mean())
    effects = lsqr(z, y - centre, atol=1e-14, btol=1e-14, iter_lim=10_000)[0]
    residual = y - centre - z @ effects
    if residual @ residual > SMALL_RESIDUALS * len(y) * np.var(y):
        return None
    own = [effects[start:stop] for start, stop in itertools.pairwise(starts)]
    return [LevelEffects(centre, effect, float(np.var(effect)), 0.0) for effect in own]
