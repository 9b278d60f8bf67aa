"""The clusters of a fit as small dense blocks, for the matrices that are applied within clusters.

Every column is multiplied by the square root of the weights, so that within a cluster Cov(y_g) / sigma² is

    Phi_g = I + (Z_g Lam)(Z_g Lam)'

the identity but for the columns of Z_g Lam. What is needed of a cluster are inner products of y, X, Z Lam and the rows
of the estimator, so rows can be rotated: with [Z Lam  X  K'  e] = Q R the few rows of R stand for all the others. That
is done first within cells, the rows that share all levels, where Z Lam has few columns, and then within the clusters
that still have more rows than columns. A block is never larger than the number of random effects that the cluster
touches, and a few more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson import errors_inference, theta
from henderson.inference.clusters import Clusters
from henderson.inference.leverage import fixed_columns

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.intp]
Stack = NDArray[np.float64]

FEW_ROWS = 48
"""Clusters with at most this many rows are not worth rotating a second time."""
LARGEST_BLOCK = 8000
BATCH_ELEMENTS = 4_000_000
CHUNK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class ClusterRows:
    """The rows of a fit on the scale on which the residual errors have variance sigma² and the estimates I sigma².

    Attributes
    ----------
    x
        (n, p) columns of X times `basis`, the coefficients being gamma = basis⁻¹ beta.
    estimator
        (n, p): gamma = estimator'y.
    residuals
        (n,) y - X beta.
    effects
        Per random term (n, s): its columns times its relative factor.
    levels
        Per random term (n,): the level of each row.
    basis
        (p, p), basis basis' = (X'V⁻¹X)⁻¹.
    """

    x: Matrix
    estimator: Matrix
    residuals: Vector
    effects: tuple[Matrix, ...]
    levels: tuple[NDArray[np.int32], ...]
    basis: Matrix


@dataclass(frozen=True, eq=False)
class Blocks:
    """Clusters of similar size, stacked: B clusters of r rows each; rows of zeros fill up the smaller ones.

    Attributes
    ----------
    clusters
        (B,) which clusters.
    x, estimator
        (B, r, p).
    residuals
        (B, r, 1).
    covariance
        (B, r, r) Cov(y) / sigma².
    """

    clusters: Indices
    x: Stack
    estimator: Stack
    residuals: Stack
    covariance: Stack


def cluster_rows(model: LinearMixedModel) -> ClusterRows:
    """Scale the rows of a fit."""
    design = model.design
    root = np.ones((design.n, 1)) if design.weights is None else np.sqrt(design.weights)[:, None]
    fixed = fixed_columns(model)
    sizes = [len(term.columns) for term in design.terms]
    factors = theta.relative_factors(model.optimum.theta, sizes)
    marginal = np.asarray(model.residuals("marginal"))[:, None]
    return ClusterRows(
        x=fixed.x,
        estimator=fixed.adjusted,
        residuals=(root * marginal)[:, 0],
        effects=tuple(root * (design.z_matrix(t) @ lam) for t, lam in enumerate(factors)),
        levels=tuple(design.factors[term.factor].codes for term in design.terms),
        basis=fixed.basis,
    )


def dense_blocks(rows: ClusterRows, clusters: Clusters) -> Iterator[Blocks]:
    """All clusters, in batches of similar size."""
    rows, clusters = _rotated_cells(rows, clusters)
    p = rows.x.shape[1]
    columns = _effects_per_cluster(rows, clusters) + 2 * p + 1
    is_rotated = (clusters.sizes > FEW_ROWS) & (clusters.sizes > 1.25 * columns)
    largest = np.where(is_rotated, columns, clusters.sizes)
    if largest.max() > LARGEST_BLOCK:
        biggest = int(largest.argmax())
        raise errors_inference.cluster_too_large(
            str(clusters.labels[biggest]), int(clusters.sizes[biggest]), int(largest[biggest])
        )
    for g in np.flatnonzero(is_rotated):
        yield _rotated(rows, clusters, int(g))
    for batch in _batches(clusters, np.flatnonzero(~is_rotated), lambda size: size * (size + p)):
        yield _stacked(rows, clusters, batch)


def _batches(clusters: Clusters, chosen: Indices, cost: Callable[[int], int]) -> Iterator[Indices]:
    """Clusters of similar size, as many at a time as memory allows; `cost` is that of a cluster of some size."""
    chosen = chosen[np.argsort(clusters.sizes[chosen], kind="stable")]
    sizes = clusters.sizes[chosen]
    start = 0
    while start < len(chosen):
        stop = int(np.searchsorted(sizes, 1.2 * sizes[start] + 1, side="right"))
        stop = min(stop, start + max(1, BATCH_ELEMENTS // cost(int(sizes[stop - 1]))))
        yield chosen[start:stop]
        start = stop


def _places(clusters: Clusters, chosen: Indices) -> tuple[Indices, Matrix]:
    """The rows of some clusters side by side, (B, r), and 1.0 where there is one, 0.0 where a cluster is shorter."""
    size = int(clusters.sizes[chosen].max())
    is_row = np.arange(size) < clusters.sizes[chosen][:, None]
    places = np.where(is_row, clusters.starts[chosen][:, None] + np.arange(size), 0)
    return clusters.order[places], is_row.astype(np.float64)


def _rotated_cells(rows: ClusterRows, clusters: Clusters) -> tuple[ClusterRows, Clusters]:
    """The same inner products from fewer rows: cells with more rows than columns by their triangular factors."""
    cells = clusters.codes.astype(np.int64)
    for levels in rows.levels:
        cells = np.unique(cells * (np.int64(levels.max()) + 1) + levels, return_inverse=True)[1]
    grouped = Clusters("cell", cells, np.arange(int(cells.max()) + 1))
    columns = np.column_stack([*rows.effects, rows.x, rows.estimator, rows.residuals])
    width = columns.shape[1]
    is_long = grouped.sizes > width
    if not is_long.any():
        return rows, clusters
    kept = np.flatnonzero(~is_long[cells])
    values, sources = [columns[kept]], [kept]
    for batch in _batches(grouped, np.flatnonzero(is_long), lambda size: size * width):
        index, used = _places(grouped, batch)
        factors = np.asarray(np.linalg.qr(columns[index] * used[:, :, None], mode="r"))
        values.append(factors.reshape(-1, width))
        sources.append(np.repeat(index[:, 0], width))
    found, source = np.concatenate(values), np.concatenate(sources)
    stops = np.cumsum([effects.shape[1] for effects in rows.effects] + [rows.x.shape[1]] * 2)
    *effects, x, estimator, residuals = np.split(found, stops, axis=1)
    codes = tuple(own[source] for own in rows.levels)
    reduced = ClusterRows(x, estimator, residuals[:, 0], tuple(effects), codes, rows.basis)
    return reduced, Clusters(clusters.name, clusters.codes[source], clusters.labels)


def _stacked(rows: ClusterRows, clusters: Clusters, chosen: Indices) -> Blocks:
    """Small clusters as they are, filled up with rows of zeros."""
    index, is_row = _places(clusters, chosen)
    used, size = is_row[:, :, None], index.shape[1]
    covariance = np.broadcast_to(np.eye(size), (len(chosen), size, size)).copy()
    for effects, levels in zip(rows.effects, rows.levels, strict=True):
        own = effects[index] * used
        is_shared = levels[index][:, :, None] == levels[index][:, None, :]
        covariance += np.where(is_shared, own @ own.transpose(0, 2, 1), 0.0)
    return Blocks(
        clusters=chosen,
        x=rows.x[index] * used,
        estimator=rows.estimator[index] * used,
        residuals=rows.residuals[index][:, :, None] * used,
        covariance=covariance,
    )


def _rotated(rows: ClusterRows, clusters: Clusters, cluster: int) -> Blocks:
    """A large cluster by the triangular factor of its columns, from one chunk of rows after the other."""
    index = clusters.rows(cluster)
    p = rows.x.shape[1]
    found = [np.unique(levels[index], return_inverse=True) for levels in rows.levels]
    sizes = [effects.shape[1] for effects in rows.effects]
    firsts = np.cumsum([0, *(len(own) * size for (own, _), size in zip(found, sizes, strict=True))])
    q = int(firsts[-1])
    factor = np.empty((0, q + 2 * p + 1))
    step = max(CHUNK_ROWS, 2 * factor.shape[1])
    for start in range(0, len(index), step):
        part = index[start : start + step]
        block = np.zeros((len(part), factor.shape[1]))
        for (_, own), effects, size, first in zip(found, rows.effects, sizes, firsts, strict=False):
            places = first + own[start : start + step, None] * size + np.arange(size)
            block[np.arange(len(part))[:, None], places] = effects[part]
        block[:, q : q + p] = rows.x[part]
        block[:, q + p : q + 2 * p] = rows.estimator[part]
        block[:, -1] = rows.residuals[part]
        factor = np.asarray(np.linalg.qr(np.concatenate([factor, block]), mode="r"))
    effects = factor[:, :q]
    return Blocks(
        clusters=np.array([cluster]),
        x=factor[None, :, q : q + p],
        estimator=factor[None, :, q + p : q + 2 * p],
        residuals=factor[None, :, -1:],
        covariance=(np.eye(len(factor)) + effects @ effects.T)[None],
    )


def effect_sums(rows: ClusterRows, clusters: Clusters) -> list[tuple[Indices, Matrix]]:
    """Per random term: estimator'(Z Lam) of each level in each cluster, (cluster, level and effect) x p, by cluster."""
    result = []
    for effects, levels in zip(rows.effects, rows.levels, strict=True):
        keys, inverse = np.unique(clusters.codes * (np.int64(levels.max()) + 1) + levels, return_inverse=True)
        own = keys // (int(levels.max()) + 1)
        order = np.argsort(inverse, kind="stable")
        starts = np.searchsorted(inverse[order], np.arange(len(keys)))
        sums = [np.add.reduceat(rows.estimator[order] * column[order, None], starts, axis=0) for column in effects.T]
        which = np.repeat(own, len(sums))
        result.append((which, np.stack(sums, axis=1).reshape(len(which), rows.x.shape[1])))
    return result


def sums_of_products(a: Matrix, b: Matrix, clusters: Sequence[int] | Indices, count: int) -> Stack:
    """Sum over the rows of each cluster of a_i b_i', for rows that are sorted by cluster: shape (count, p, p)."""
    starts = np.searchsorted(clusters, np.arange(count))
    result = np.empty((count, a.shape[1], b.shape[1]))
    for j in range(a.shape[1]):
        result[:, j] = np.add.reduceat(a[:, [j]] * b, starts, axis=0)
    return result


def _effects_per_cluster(rows: ClusterRows, clusters: Clusters) -> Indices:
    """How many random effects the rows of each cluster touch."""
    total = np.zeros(len(clusters), dtype=np.intp)
    for effects, levels in zip(rows.effects, rows.levels, strict=True):
        keys = np.unique(clusters.codes * (np.int64(levels.max()) + 1) + levels)
        total += effects.shape[1] * np.bincount(keys // (int(levels.max()) + 1), minlength=len(clusters))
    return total
