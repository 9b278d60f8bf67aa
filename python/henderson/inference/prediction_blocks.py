"""The variance of predictions of many rows by entries of H, computed once for all rows that share levels.

With one grouping factor H is block diagonal, and one solution gives all its blocks. With several, z'Hz is a sum over
the pairs of a row's levels; the columns of H are solved for in blocks, and each entry goes to the rows that need it.
The derivatives are entries too, of H Psi⁻¹(dPsi)Psi⁻¹H. For the rows of the fit the core has z'Hz as their leverages.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from henderson.inference.prediction_variance import KnownEffects, Variances

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

BLOCK_VALUES = 2**22
"""Numbers in a block of columns of H, at most."""
STEP = 1e-4
"""Of differences of leverages, in units of what the data can tell apart in theta."""


class LevelBlocks:
    """The blocks of H of a model whose random terms have one grouping factor: one solution serves all levels.

    The S effects of a level are those of all terms, side by side.
    """

    def __init__(self, variances: Variances) -> None:
        self._variances = variances
        self._size = sum(variances.sizes)
        self._places = np.concatenate(
            [
                start + np.arange(levels)[:, None] * size + np.arange(size)
                for start, levels, size in zip(variances.starts, variances.levels, variances.sizes, strict=False)
            ],
            axis=1,
        )  # (levels, S) row of each effect of a level
        units = np.zeros((variances.starts[-1], self._size), order="F")
        units[self._places, np.arange(self._size)] = 1.0
        self._units = units
        self._solved = variances.solve(units)
        self._level_of = np.empty(variances.starts[-1], dtype=np.intp)
        self._level_of[self._places] = np.arange(len(self._places))[:, None]
        self._place_of = np.empty(variances.starts[-1], dtype=np.intp)
        self._place_of[self._places] = np.arange(self._size)

    @cached_property
    def posterior(self) -> NDArray[np.float64]:
        """H by level, (levels, S, S)."""
        return np.ascontiguousarray(self._solved[self._places])

    @cached_property
    def fixed(self) -> NDArray[np.float64]:
        """H Z'W X by level, (levels, S, p)."""
        return np.ascontiguousarray(self._variances.solved[self._places])

    @cached_property
    def loaded(self) -> list[tuple[Matrix, Matrix, Matrix, Matrix]]:
        """For each direction lam_c'w and v'w by level, (levels, S) each, then lam_c'T and v'T, (levels, p) each.

        Psi⁻¹H z = w z on the level of z, and Psi⁻¹ H Z'W X = T.
        """
        own = self._variances
        w = own.unshrunk(self._units, self._solved)
        projected = own.unshrunk(own.cross, own.solved)
        found = []
        for t, loading, move in own.directions:
            blocks = [
                values[own.starts[t] : own.starts[t + 1]].reshape(own.levels[t], own.sizes[t], values.shape[1])
                for values in (w, projected)
            ]
            found.append(tuple(np.einsum("a,jam->jm", by, block) for block in blocks for by in (loading, move)))
        return found

    def of_rows(self, x: Matrix, known: KnownEffects, *, with_slopes: bool) -> tuple[Matrix, Vector, Matrix]:
        """As `Variances.of_known`."""
        level = self._level_of[known.units[:, 0]]
        z = np.zeros((len(x), self._size))
        z[np.arange(len(x))[:, None], self._place_of[known.units]] = known.z
        variance = np.einsum("ma,mab,mb->m", z, self.posterior[level], z, optimize=True)
        adjusted = x - np.einsum("ma,map->mp", z, self.fixed[level], optimize=True)
        if not with_slopes:
            return adjusted, variance, np.zeros((len(x), 0))
        through = adjusted @ self._variances.unscaled
        slopes = self._variances.slopes_of_fixed(adjusted)
        for i, (wl, wv, tl, tv) in enumerate(self.loaded):
            loaded, moved = np.einsum("ma,ma->m", wl[level], z), np.einsum("ma,ma->m", wv[level], z)
            fixed_loaded = np.einsum("mp,mp->m", tl[level], through)
            fixed_moved = np.einsum("mp,mp->m", tv[level], through)
            slopes[:, i] += 2.0 * (loaded * moved - loaded * fixed_moved - moved * fixed_loaded)
        return adjusted, variance, slopes


@dataclass(frozen=True, eq=False)
class PairSums:
    """What rows need of H and its derivatives where there are several grouping factors.

    Attributes
    ----------
    variances
        Of the model.
    posterior
        z'H z, (n,).
    slopes
        z'(dH) z along each direction, (n, k); no columns if they were not wanted.
    """

    variances: Variances
    posterior: Vector
    slopes: Matrix

    def of_rows(self, x: Matrix, known: KnownEffects, where: slice | NDArray[np.intp]) -> tuple[Matrix, Vector, Matrix]:
        """As `Variances.of_known`, of some of the rows."""
        own = self.variances
        adjusted = x - np.einsum("mc,mcp->mp", known.z, own.solved[known.units], optimize=True)
        slopes = self.slopes[where]
        if slopes.shape[1]:
            through = adjusted @ own.unscaled
            slopes = slopes + own.slopes_of_fixed(adjusted)
            for i, moved in enumerate(own.moved_projections):
                by_row = np.einsum("mc,mcp->mp", known.z, moved[known.units], optimize=True)
                slopes[:, i] -= 2.0 * np.einsum("mp,mp->m", by_row, through)
        return adjusted, self.posterior[where], slopes


def leverage_sums(variances: Variances, *, with_slopes: bool) -> PairSums:
    """The same of all random effects of the rows of the fit, from their leverages: z'H z is one over the weight.

    The derivatives are differences of leverages, with relative errors of about 1e-8.
    """
    model = variances.model
    weights = model.design.weights
    posterior = model.random_leverages if weights is None else model.random_leverages / weights
    slopes = np.zeros((len(posterior), len(variances.directions) if with_slopes else 0))
    for i in range(slopes.shape[1]):
        found = model.information
        step = np.zeros(len(found.theta))
        step[found.kept] = STEP * found.basis[:-1, i]
        ahead, behind = (model._problem.random_leverages(found.theta + move) for move in (step, -step))
        slopes[:, i] = (ahead - behind) / (2.0 * STEP)
    return PairSums(variances, posterior, slopes if weights is None else slopes / weights[:, None])


def pair_sums(variances: Variances, known: KnownEffects, *, with_slopes: bool) -> PairSums:
    """Sum the entries of H, and of its derivatives, over the pairs of effects of each row."""
    directions = len(variances.directions) if with_slopes else 0
    sums = np.zeros((1 + directions, len(known.z)))
    done: list[int] = []
    for t in dict.fromkeys(known.terms):
        size, start = variances.sizes[t], variances.starts[t]
        columns = [c for c, term in enumerate(known.terms) if term == t]
        codes = (known.units[:, columns[0]] - start) // size
        order = np.argsort(codes, kind="stable")
        used, first = np.unique(codes[order], return_index=True)
        bounds = np.append(first, len(codes))
        effects = np.array([known.units[0, c] - start - size * codes[0] for c in columns])
        step = max(1, BLOCK_VALUES // (variances.starts[-1] * len(columns)))
        for low in range(0, len(used), step):
            block = used[low : low + step]
            rows = order[bounds[low] : bounds[min(low + step, len(used))]]
            units = (start + size * block[:, None] + effects).ravel()
            matrices = _columns(variances, units, with_slopes=with_slopes)
            place = np.searchsorted(block, codes[rows]) * len(columns)
            for k, c in enumerate(columns):
                for other, term in enumerate(known.terms):
                    if term in done:
                        continue
                    z = known.z[rows, c] * known.z[rows, other] * (1.0 if term == t else 2.0)
                    for total, matrix in zip(sums, matrices, strict=True):
                        total[rows] += z * matrix[place + k, known.units[rows, other]]
        done.append(t)
    return PairSums(variances, sums[0], sums[1:].T)


def _columns(variances: Variances, units: NDArray[np.intp], *, with_slopes: bool) -> list[Matrix]:
    """Columns of H, and of its derivatives along each direction, as rows: (units, q) each."""
    right = np.zeros((variances.starts[-1], len(units)), order="F")
    right[units, np.arange(len(units))] = 1.0
    solved = variances.solve(right)
    if not with_slopes:
        return [solved.T]
    w = variances.unshrunk(right, solved)
    return [solved.T, *(variances.moved(i, w).T for i in range(len(variances.directions)))]
