"""Leaving out groups of rows: as `case_deletion`, with matrices as large as the random effects that a group touches.

With B = I - W^(1/2) Z_I H Z_I'W^(1/2), the variance of the residuals of I given beta, and T = Z_I'W Z_I (Woodbury),

    B⁻¹ = I + W^(1/2) Z_I H (I - T H)⁻¹ Z_I'W^(1/2)
    xt_I' W P_II⁻¹ W xt_I = (I - xt_I'W^(1/2) B⁻¹ W^(1/2) xt_I)⁻¹ - I

so that sums over the rows of a group are all that is needed of them, however many they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson.inference.case_deletion import INESTIMABLE, Deletions, Rows
from henderson.inference.clusters import Clusters
from henderson.inference.effect_blocks import Packing, ThetaChange, posterior_between

if TYPE_CHECKING:
    from scipy import sparse

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Stack = NDArray[np.float64]
Indices = NDArray[np.intp]

BATCH_ELEMENTS = 4_000_000


@dataclass(frozen=True, eq=False)
class GroupSums:
    """Sums over the rows of each group, for the random effects that it touches.

    Attributes
    ----------
    starts, counts
        (G,) where the effects of each group begin in the vectors over (group, effect), and how many it has.
    effects
        Which random effect.
    squares
        Z_I'W Z_I, sparse, block diagonal by group.
    mixed, scores
        Z_I'W xt_I and Z_I'W e_I.
    fixed, fixed_scores, total
        (G, p, p) xt_I'W xt_I, (G, p) xt_I'W e_I, (G,) e_I'W e_I.
    """

    starts: Indices
    counts: Indices
    effects: Indices
    squares: sparse.csr_array
    mixed: Matrix
    scores: Vector
    fixed: Stack
    fixed_scores: Matrix
    total: Vector


def delete_each_group(
    model: LinearMixedModel,
    rows: Rows,
    groups: Clusters,
    found: Packing,
    posterior: Matrix | None,
    changes: Sequence[ThetaChange] | None,
) -> Deletions:
    """Leave out one group of rows at a time; without a packed `posterior` its blocks are solved for."""
    sums = _group_sums(rows, groups, len(found.place))
    count, p = sums.fixed_scores.shape
    k = 0 if changes is None else len(changes)
    change, variance, slopes = np.empty((count, p)), np.empty((count, p)), np.empty((count, k))
    distance, without, log_det, pwrss = np.empty((4, count))
    for batch in _batches(sums.counts, p):
        which = _padded(sums, batch)
        between = posterior_between(rows.effects, found, which) if posterior is None else found.gather(posterior, which)
        part = _without_groups(sums, batch, which, between, with_squares=changes is not None)
        change[batch] = -part.coefficients @ rows.basis.T
        variance[batch] = np.einsum("ij,gjk,ik->gi", rows.basis, part.spread, rows.basis)
        distance[batch] = np.einsum("gi,gi->g", part.coefficients, part.coefficients)
        without[batch], log_det[batch], pwrss[batch] = part.distance, part.log_det, part.pwrss
        for column, own in enumerate(changes or ()):
            slopes[batch, column] = _group_slopes(part, own, found, which, model.sigma, model.is_reml)
    leverage = _sums(rows.leverage, groups)
    own_slopes = None if changes is None else slopes
    return Deletions(groups.sizes, leverage, change, variance, distance, without, log_det, pwrss, own_slopes)


def delete_independent_groups(model: LinearMixedModel, rows: Rows, groups: Clusters) -> Deletions:
    """Leave out one group at a time when no random effect belongs to two of them: sums over rows, however many.

    V is then block diagonal, and xt_I'W B⁻¹W xt_I = X_I'(V⁻¹X)_I, with B⁻¹ and the others alike.
    """
    design, x = model.design, rows.fixed.x
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    marginal = root * np.asarray(model.residuals("marginal"))
    taken = _sums_of_products(x, rows.adjusted, groups)
    fixed_scores = _sums_of_products(x, rows.residuals[:, None], groups)[:, :, 0]
    values, vectors = np.linalg.eigh(np.eye(x.shape[1]) - 0.5 * (taken + taken.transpose(0, 2, 1)))
    spread, coefficients, distance, log_det = _refitted(values, vectors, fixed_scores)
    return Deletions(
        removed=groups.sizes,
        leverage=_sums(rows.leverage, groups),
        change=-coefficients @ rows.basis.T,
        variance=np.einsum("ij,gjk,ik->gi", rows.basis, spread, rows.basis),
        distance=np.einsum("gi,gi->g", coefficients, coefficients),
        distance_without=distance,
        log_det=log_det,
        pwrss=_sums(marginal * rows.residuals, groups) + distance,
        slopes=None,
    )


def _refitted(values: Matrix, vectors: Stack, fixed_scores: Matrix) -> tuple[Stack, Matrix, Vector, Vector]:
    """From the eigenvalues of what is left of X'V⁻¹X: its inverse, the change of the coefficients (sign turned), ..."""
    values = np.where(np.min(values, axis=1, initial=1.0, keepdims=True) > INESTIMABLE, values, np.nan)
    spread = (vectors / values[:, None, :]) @ vectors.transpose(0, 2, 1)
    coefficients = np.einsum("gij,gj->gi", spread, fixed_scores)
    distance = np.einsum("gi,gi->g", coefficients, fixed_scores)
    return spread, coefficients, distance, -np.log(values).sum(axis=1)


def _sums(values: Vector, groups: Clusters) -> Vector:
    """Sum over the rows of each group, (G,)."""
    return np.asarray(np.bincount(groups.codes, values, len(groups)), dtype=np.float64)


def _sums_of_products(a: Matrix, b: Matrix, groups: Clusters) -> Stack:
    """Sum over the rows of each group of a_i b_i', (G, columns of a, columns of b)."""
    a, b = a[groups.order], b[groups.order]
    result = np.empty((len(groups), a.shape[1], b.shape[1]))
    for j in range(a.shape[1]):
        result[:, j] = np.add.reduceat(a[:, [j]] * b, groups.starts, axis=0)
    return result


@dataclass(frozen=True, eq=False)
class _Part:
    """A batch of B groups left out, in coordinates of the random effects that they touch and of the basis.

    With the weights taken into Z, xt and e: inner (nothing if not asked for), mixed and scores are Z_I'B⁻¹Z_I,
    Z_I'B⁻¹xt_I and Z_I'P_II⁻¹e_I; spread is (X'V⁻¹X)⁻¹ without the rows, coefficients xt_I'P_II⁻¹e_I.
    """

    inner: Stack
    mixed: Stack
    scores: Matrix
    spread: Stack
    coefficients: Matrix
    distance: Vector
    log_det: Vector
    pwrss: Vector


def _without_groups(sums: GroupSums, batch: Indices, which: Indices, between: Stack, *, with_squares: bool) -> _Part:
    squares, mixed, scores = _dense_sums(sums, batch, which)
    p = mixed.shape[2]
    right = np.concatenate([mixed, scores[:, :, None], *([squares] if with_squares else [])], axis=2)
    solved = np.linalg.solve(np.eye(which.shape[1]) - squares @ between, right)
    inner_mixed, inner_scores = solved[:, :, :p], solved[:, :, p]
    weighted = between @ solved[:, :, : p + 1]
    taken = sums.fixed[batch] + mixed.transpose(0, 2, 1) @ weighted[:, :, :p]
    fixed_scores = sums.fixed_scores[batch] + np.einsum("gmi,gm->gi", mixed, weighted[:, :, p])
    values, vectors = np.linalg.eigh(np.eye(p) - taken)
    spread, coefficients, distance, log_det = _refitted(values, vectors, fixed_scores)
    given_beta = sums.total[batch] + np.einsum("gm,gm->g", scores, weighted[:, :, p])
    return _Part(
        inner=solved[:, :, p + 1 :],
        mixed=inner_mixed,
        scores=inner_scores + np.einsum("gmi,gi->gm", inner_mixed, coefficients),
        spread=spread,
        coefficients=coefficients,
        distance=distance,
        log_det=log_det,
        pwrss=given_beta + distance,
    )


def _group_slopes(part: _Part, change: ThetaChange, found: Packing, which: Indices, sigma: float, reml: bool) -> Vector:
    is_effect = (which >= 0)[:, :, None]
    effects = found.gather(change.effects, which)
    mixed = np.where(is_effect, change.mixed[which], 0.0)
    trace = np.einsum("gij,gij->g", effects, part.inner)
    if reml:
        carried = part.mixed @ part.spread
        trace += np.einsum("gij,gik,gjk->g", effects, carried, part.mixed, optimize=True)
        trace -= 2.0 * np.einsum("gij,gij->g", mixed, carried)
        trace += np.einsum("ij,gij->g", change.fixed, part.spread - np.eye(len(change.fixed)))
    scores = np.where(is_effect[:, :, 0], change.effect_scores[which], 0.0)
    linear = np.einsum("gm,gm->g", part.scores, scores) - part.coefficients @ change.fixed_scores
    square = np.einsum("gi,gij,gj->g", part.scores, effects, part.scores, optimize=True)
    square -= 2.0 * np.einsum("gi,gij,gj->g", part.scores, mixed, part.coefficients, optimize=True)
    square += np.einsum("gi,ij,gj->g", part.coefficients, change.fixed, part.coefficients, optimize=True)
    slopes: Vector = -trace + (2.0 * linear - square) / sigma**2
    return slopes


def _group_sums(rows: Rows, groups: Clusters, q: int) -> GroupSums:
    from scipy import sparse

    n, size = rows.effects.which.shape
    keys = (groups.codes[:, None] * np.int64(q) + rows.effects.which).ravel()
    pairs, position = np.unique(keys, return_inverse=True)
    entries = (rows.effects.values.ravel(), position.ravel(), np.arange(n + 1) * size)
    columns = sparse.csr_array(entries, shape=(n, len(pairs)))
    transposed = sparse.csr_array(columns.T)
    counts = np.bincount(pairs // q, minlength=len(groups))
    adjusted = rows.adjusted
    return GroupSums(
        starts=np.cumsum(counts) - counts,
        counts=counts,
        effects=(pairs % q).astype(np.intp),
        squares=sparse.csr_array(transposed @ columns),
        mixed=transposed @ adjusted,
        scores=transposed @ rows.residuals,
        fixed=_sums_of_products(adjusted, adjusted, groups),
        fixed_scores=_sums_of_products(adjusted, rows.residuals[:, None], groups)[:, :, 0],
        total=_sums(rows.residuals**2, groups),
    )


def _dense_sums(sums: GroupSums, batch: Indices, which: Indices) -> tuple[Stack, Stack, Matrix]:
    """Sums of some groups side by side, zeros where a group has fewer effects: (B, m, m), (B, m, p) and (B, m)."""
    size = which.shape[1]
    places = sums.starts[batch][:, None] + np.arange(size)
    is_effect = which >= 0
    places = np.where(is_effect, places, 0)
    mixed = np.where(is_effect[:, :, None], sums.mixed[places], 0.0)
    scores = np.where(is_effect, sums.scores[places], 0.0)
    squares = np.zeros((len(batch), size, size))
    first = sums.squares.indptr
    for i, group in enumerate(batch):
        start, stop = sums.starts[group], sums.starts[group] + sums.counts[group]
        entries = slice(first[start], first[stop])
        own = np.repeat(np.arange(stop - start), np.diff(first[start : stop + 1]))
        squares[i, own, sums.squares.indices[entries] - start] = sums.squares.data[entries]
    return squares, mixed, scores


def _padded(sums: GroupSums, batch: Indices) -> Indices:
    """The random effects that some groups touch, (B, m), -1 where a group has fewer."""
    size = int(sums.counts[batch].max())
    is_effect = np.arange(size) < sums.counts[batch][:, None]
    places = np.where(is_effect, sums.starts[batch][:, None] + np.arange(size), 0)
    return np.where(is_effect, sums.effects[places], -1)


def _batches(counts: Indices, fixed: int) -> Iterator[Indices]:
    """Groups that touch similar numbers of random effects, as many at a time as memory allows."""
    order = np.argsort(counts, kind="stable")
    sizes = counts[order]
    start = 0
    while start < len(order):
        stop = int(np.searchsorted(sizes, 1.2 * sizes[start] + 1, side="right"))
        elements = 4 * int(sizes[stop - 1]) ** 2 + fixed**2
        stop = min(stop, start + max(1, BATCH_ELEMENTS // elements))
        yield order[start:stop]
        start = stop
