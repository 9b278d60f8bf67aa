"""What needs the rows again, with residuals: fourth moments, the pair estimator, scores by cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from henderson import errors_moments
from henderson.moments.crosstabs import CrossTabs, Keys
from henderson.moments.fixed import FixedEffects
from henderson.moments.rows import Batch, Batches, Matrix, Vector
from henderson.moments.sums import Sums, shifted


@dataclass(frozen=True, eq=False)
class Residuals:
    """Sums of the residuals r = y - X beta^, and of the scores.

    Attributes
    ----------
    powers
        Sums of r, r², r³, r⁴ over all rows, (4,); per factor over the rows of each level, (4, J).
    total, by_level
        As named.
    scores
        Per set of factors: its size, its number of clusters, sum of s s' over clusters (p, p), s = sum of h_r r.
    """

    total: Vector
    by_level: list[Matrix]
    scores: list[tuple[int, int, Matrix]]


class _Clusters:
    """Scores summed over the clusters of one set of factors.

    Of combinations of factors most have one row, whose products need no sum: only the others are kept.
    """

    def __init__(self, tabs: CrossTabs, sums: Sums, subset: tuple[int, ...]) -> None:
        self.subset, self.tabs = subset, tabs
        p = len(sums.xy)
        self.products = np.zeros((p, p))
        if len(subset) == 1:
            self.count, size = sums.factors[subset[0]].used, len(sums.factors[subset[0]])
        else:
            self.count = tabs.count(subset)
            keys, counts = tabs.cells(subset) if self.count < sums.n else (np.empty(0, dtype=np.int64), np.empty(0))
            self.repeated = keys[counts > 1]
            size = len(self.repeated)
        self.scores = np.zeros((size, p))

    def add(self, batch: Batch, scores: Matrix) -> None:
        if len(self.subset) == 1:
            for j in range(scores.shape[1]):
                self.scores[:, j] += np.bincount(batch.codes[self.subset[0]], scores[:, j], len(self.scores))
        elif len(self.repeated):
            self._add_cells(self.tabs.keys(self.subset, [batch.codes[k] for k in self.subset]), scores)
        else:
            self.products += scores.T @ scores

    def _add_cells(self, keys: Keys, scores: Matrix) -> None:
        """Sort the rows by their combinations, which are then found one after the other."""
        order = np.argsort(keys)
        keys = keys[order]
        starts = np.append(0, np.flatnonzero(keys[1:] != keys[:-1]) + 1)
        keys, cells = keys[starts], np.add.reduceat(scores[order], starts, axis=0)
        where = np.minimum(np.searchsorted(self.repeated, keys), len(self.repeated) - 1)
        is_repeated = self.repeated[where] == keys
        self.scores[where[is_repeated]] += cells[is_repeated]
        single = cells[~is_repeated]
        self.products += single.T @ single

    def result(self) -> tuple[int, int, Matrix]:
        return len(self.subset), self.count, self.products + self.scores.T @ self.scores


def read_again(
    batches: Batches,
    sums: Sums,
    tabs: CrossTabs,
    fixed: FixedEffects,
    kept: Sequence[int],
    sizes: Sequence[tuple[int, Vector]],
) -> Residuals:
    """Read the rows a second time.

    Parameters
    ----------
    batches
        Gives the rows.
    sums, tabs, fixed
        What is known from the first pass, with the columns that were kept.
    kept
        Those columns, among the columns of the rows and the `sizes` after them.
    sizes
        Columns that are a number per level: index of the factor, numbers (J,), not shifted.
    """
    sets = [c for size in range(1, len(sums.factors) + 1) for c in combinations(range(len(sums.factors)), size)]
    clusters = [_Clusters(tabs, sums, subset) for subset in sets] if len(sums.xy) else []
    found = Residuals(np.zeros(4), [np.zeros((4, len(factor))) for factor in sums.factors], [])
    seen = 0
    for batch in batches():
        seen += len(batch)
        for piece in batch.pieces():
            _add(found, piece, sums, fixed, kept, sizes, clusters)
    if seen != sums.n:
        raise errors_moments.batches_changed(sums.n, seen)
    found.scores.extend(each.result() for each in clusters)
    return found


def _add(
    found: Residuals,
    batch: Batch,
    sums: Sums,
    fixed: FixedEffects,
    kept: Sequence[int],
    sizes: Sequence[tuple[int, Vector]],
    clusters: Sequence[_Clusters],
) -> None:
    columns = [*batch.x, *(values[batch.codes[k]] for k, values in sizes)]
    y, x = shifted(sums, Batch(batch.y, tuple(columns[j] for j in kept), batch.codes, batch.weights))
    residual = y - x @ fixed.beta
    if batch.weights is None:
        power = residual
        for which in range(4):
            found.total[which] += power.sum()
            for codes, by_level in zip(batch.codes, found.by_level, strict=True):
                by_level[which] += np.bincount(codes, power, by_level.shape[1])
            power = power * residual
    if not clusters:
        return
    for codes, a in zip(batch.codes, fixed.levels, strict=True):
        x -= a[codes]
    scores = x * (residual if batch.weights is None else batch.weights * residual)[:, None]
    for each in clusters:
        each.add(batch, scores)
