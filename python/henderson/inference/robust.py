"""Cluster-robust (sandwich) covariance of the fixed effects, with degrees of freedom for tests.

The estimator is linear, beta = K y with K = (X'V⁻¹X)⁻¹ X'V⁻¹. With residuals e = y - X beta, divided into clusters g,

    Cov(beta) = sum_g K_g A_g e_g e_g' A_g' K_g'

which holds whatever the covariance within clusters is, as long as different clusters are independent. The kinds differ
in A_g. CR0: the identity. CR1: sqrt(J / (J - 1)) for J clusters. CR2: the matrix that makes the estimator unbiased if
the model's own covariance Phi_g = Cov(y_g) is right [1, 2],

    A_g = D'(D S_g D')^(+1/2) D        Phi_g = D'D        S_g = Cov(e_g) = [(I - XK) Phi (I - XK)']_gg

CR3: (I - X_g K_g)⁻¹, which is the jackknife over clusters at fixed theta. (K A e)_g is a quadratic form of normal
variables, and the degrees of freedom match its first two moments under the model's covariance.

[1] Bell, R. M. and McCaffrey, D. F. (2002). Bias reduction in standard errors for linear regression with multi-stage
samples. Survey Methodology 28, 169-181.
[2] Pustejovsky, J. E. and Tipton, E. (2018). Small-sample methods for cluster-robust variance estimation and hypothesis
testing in fixed effects models. Journal of Business & Economic Statistics 36, 672-683.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_inference
from henderson.inference.cluster_blocks import (
    Blocks,
    ClusterRows,
    cluster_rows,
    dense_blocks,
    effect_sums,
    sums_of_products,
)
from henderson.inference.clusters import Clusters, intersection, is_several, outermost, resolve_several
from henderson.inference.distributions import JointTest

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Stack = NDArray[np.float64]

KINDS = ("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")
SEVERAL_KINDS = ("CR0", "CR1")
DETERMINED = 1e-10
"""A share of the information on a coefficient that is this close to 1 is all of it."""
NEGLIGIBLE = 1e-12


@dataclass(frozen=True, eq=False)
class Moments:
    """What the distribution of the estimator needs of each of J clusters, in coordinates gamma = basis⁻¹ beta.

    With u_g = A_g'K_g' (rows of a cluster by p):

    Attributes
    ----------
    scores
        (J, p) u_g'e_g.
    hat
        (J, p, p) u_g'X_g.
    cross
        (J, p, p) u_g'Phi_g K_g'.
    own
        (J, p, p) u_g'Phi_g u_g.
    spread
        (p, p) K Phi K', Phi block diagonal by cluster.
    """

    scores: Matrix
    hat: Stack
    cross: Stack
    own: Stack
    spread: Matrix


@dataclass(frozen=True, eq=False)
class Sandwich:
    """A cluster-robust covariance matrix of the fixed effects and the distribution of its tests.

    Attributes
    ----------
    kind
        One of "CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3".
    cluster
        Name of what the rows were clustered by.
    n_clusters
        Number of clusters; of several factors, the smallest.
    covariance
        (p, p) of the fixed effects kept.
    notes
        What the user should know about it.
    """

    kind: str
    cluster: str
    n_clusters: int
    covariance: Matrix
    notes: tuple[str, ...]
    _basis: Matrix
    _moments: Moments | None

    def df(self, L: Matrix) -> Vector:
        """Degrees of freedom of each row of L, shape (r,)."""
        if self._moments is None:
            return np.full(len(L), float(self.n_clusters - 1))
        return np.array([_satterthwaite(self._moments, row @ self._basis) for row in L])

    def f_test(self, L: Matrix, difference: Vector) -> JointTest:
        """Approximate Hotelling T² test that L beta - rhs, the `difference` (r,), is zero."""
        rank = int(np.linalg.matrix_rank(L @ self._basis))
        if rank < len(L):
            keep = _independent_rows(L @ self._basis)
            return self.f_test(L[keep], difference[keep])
        covariance = L @ self.covariance @ L.T
        if not rank or np.linalg.matrix_rank(covariance, hermitian=True) < rank:
            return JointTest(np.nan, float(rank), np.nan)
        wald = float(difference @ np.linalg.solve(covariance, difference))
        if self._moments is None:
            return JointTest(wald / rank, float(rank), float(self.n_clusters - 1))
        size = _hotelling_size(self._moments, L @ self._basis)
        den_df = size - rank + 1.0
        if den_df <= 0.0:
            return JointTest(np.nan, float(rank), np.nan)
        return JointTest(den_df / (size * rank) * wald, float(rank), den_df)


def vcov(model: LinearMixedModel, kind: str, cluster: Any = None) -> Matrix:
    """Cluster-robust covariance matrix of the fixed effects kept, shape (p, p)."""
    return sandwich(model, kind, cluster).covariance


def df(model: LinearMixedModel, L: Matrix, kind: str, cluster: Any = None) -> Vector:
    """Degrees of freedom of each row of L (r, p) with a cluster-robust covariance, shape (r,)."""
    return sandwich(model, kind, cluster).df(L)


def f_test(
    model: LinearMixedModel, L: Matrix, kind: str, cluster: Any = None, *, rhs: Vector | float = 0.0
) -> JointTest:
    """Approximate Hotelling T² test of L beta = rhs with a cluster-robust covariance; L is (r, p)."""
    return sandwich(model, kind, cluster).f_test(L, L @ model.solution.beta - rhs)


def sandwich(model: LinearMixedModel, kind: str, cluster: Any = None) -> Sandwich:
    """Cluster-robust covariance of the fixed effects, once, for all that is computed from it.

    Parameters
    ----------
    model
        A fitted model.
    kind
        "CR0": no correction; "CR1": J / (J - 1); "CR1p": J / (J - p); "CR1S": J (n - 1) / ((J - 1) (n - p)), Stata's;
        "CR2": unbiased under the model; "CR3": jackknife.
    cluster
        Name of a grouping factor, or an array with one label per row. Default: the grouping factor in which all others
        are nested. A list of names is multi-way clustering: rows that share a level of any of them count as dependent.

    Raises
    ------
    DataError
        The kind is unknown; the factors are crossed and no cluster is given; labels do not fit the rows.

    Notes
    -----
    With prior weights, CR2 is that of the same model with all columns multiplied by the square roots of the weights.
    When the random effects of some factor cross the clusters, the weights V⁻¹ couple rows of different clusters, and
    Phi is the part of V within clusters. Several factors: Cov = sum over their nonempty subsets S of (-1)^(|S|+1) times
    the one-way matrix by the combinations of S [1], for "CR0" and "CR1" only; degrees of freedom one less than the
    smallest number of clusters.

    References
    ----------
    [1] Cameron, A. C., Gelbach, J. B. and Miller, D. L. (2011). Robust inference with multiway clustering. Journal of
    Business & Economic Statistics 29, 238-249.
    """
    if kind not in KINDS:
        raise errors.choice("The kind of covariance", kind, KINDS)
    design = model.design
    if cluster is None:
        found = outermost(design)
        if found is None:
            raise errors_inference.cluster_crossed([factor.name for factor in design.factors])
        parts = [found]
    else:
        parts = resolve_several(design, cluster, what="cluster")
    rows = cluster_rows(model)
    if is_several(cluster) and len(parts) > 1:
        return _several(model, rows, kind, parts)
    return _one_way(model, rows, kind, parts[0])


def _one_way(model: LinearMixedModel, rows: ClusterRows, kind: str, clusters: Clusters) -> Sandwich:
    count, p = len(clusters), rows.x.shape[1]
    if kind == "CR1p" and count <= p:
        raise errors_inference.clusters_too_few(kind, count, p)
    moments = _plain_moments(rows, clusters)
    if kind == "CR2":
        moments = _unbiased_moments(rows, clusters, moments)
    elif kind == "CR3":
        moments = _jackknife_moments(moments, clusters)
    covariance = _scale(kind, count, len(rows.x), p) * rows.basis @ (moments.scores.T @ moments.scores) @ rows.basis.T
    crossing = [factor.name for factor in model.design.factors if not clusters.contain(factor)]
    notes = (errors_inference.cluster_crossing_note(clusters.name, crossing),) if crossing else ()
    return Sandwich(kind, clusters.name, count, covariance, notes, rows.basis, moments)


def _several(model: LinearMixedModel, rows: ClusterRows, kind: str, parts: Sequence[Clusters]) -> Sandwich:
    """Multi-way clustering by inclusion and exclusion; negative eigenvalues, if any, become zero."""
    if kind not in SEVERAL_KINDS:
        raise errors_inference.kind_for_several(kind, SEVERAL_KINDS)
    p = rows.x.shape[1]
    contributions = rows.estimator * rows.residuals[:, None]
    total = np.zeros((p, p))
    for size in range(1, len(parts) + 1):
        for chosen in combinations(parts, size):
            clusters = intersection(chosen)
            scores = np.add.reduceat(contributions[clusters.order], clusters.starts, axis=0)
            total -= (-1.0) ** size * _scale(kind, len(clusters), len(rows.x), p) * scores.T @ scores
    values, vectors = np.linalg.eigh(total)
    positive = (vectors * np.maximum(values, 0.0)) @ vectors.T
    is_cut = bool(np.any(values < -NEGLIGIBLE * np.abs(values).max(initial=0.0)))
    names = [part.name for part in parts]
    crossing = [f.name for f in model.design.factors if not any(part.contain(f) for part in parts)]
    notes = [errors_inference.cluster_crossing_note(", ".join(names), crossing)] if crossing else []
    notes += [errors_inference.not_positive_note(", ".join(names))] if is_cut else []
    covariance = rows.basis @ positive @ rows.basis.T
    smallest = min(len(part) for part in parts)
    return Sandwich(kind, ", ".join(names), smallest, covariance, tuple(notes), rows.basis, None)


def _scale(kind: str, clusters: int, n: int, p: int) -> float:
    """The factor of the simple small-sample corrections."""
    if kind == "CR1":
        return clusters / (clusters - 1.0)
    if kind == "CR1p":
        return clusters / (clusters - p)
    if kind == "CR1S":
        return clusters * (n - 1.0) / ((clusters - 1.0) * (n - p))
    return 1.0


def _plain_moments(rows: ClusterRows, clusters: Clusters) -> Moments:
    """Moments for A_g = I: sums over rows and over the random effects of each cluster, nothing dense."""
    count = len(clusters)
    order, codes = clusters.order, clusters.codes[clusters.order]
    estimator = rows.estimator[order]
    scores = np.add.reduceat(estimator * rows.residuals[order, None], clusters.starts, axis=0)
    hat = sums_of_products(estimator, rows.x[order], codes, count)
    own = sums_of_products(estimator, estimator, codes, count)
    for which, sums in effect_sums(rows, clusters):
        own += sums_of_products(sums, sums, which, count)
    return Moments(scores, hat, own, own, own.sum(axis=0))


def _jackknife_moments(plain: Moments, clusters: Clusters) -> Moments:
    """Moments for A_g = (I - X_g K_g)⁻¹: K_g A_g = (I - K_g X_g)⁻¹ K_g, so that p x p matrices suffice."""
    remaining = np.eye(plain.hat.shape[1]) - plain.hat
    if plain.hat.size:
        smallest = np.linalg.svd(remaining, compute_uv=False)[:, -1]
        if smallest.min() < DETERMINED:
            raise errors_inference.cluster_determines(str(clusters.labels[int(smallest.argmin())]))
    transform = np.linalg.inv(remaining)
    return Moments(
        scores=np.einsum("gij,gj->gi", transform, plain.scores),
        hat=transform @ plain.hat,
        cross=transform @ plain.own,
        own=transform @ plain.own @ transform.transpose(0, 2, 1),
        spread=plain.spread,
    )


def _unbiased_moments(rows: ClusterRows, clusters: Clusters, plain: Moments) -> Moments:
    """Moments for the A_g of CR2."""
    count, p = plain.scores.shape
    result = Moments(
        np.empty((count, p)), np.empty((count, p, p)), np.empty((count, p, p)), np.empty((count, p, p)), plain.spread
    )
    if not p:
        return result
    for blocks in dense_blocks(rows, clusters):
        adjusted = _adjusted_estimator(blocks, plain)
        transposed = adjusted.transpose(0, 2, 1)
        result.scores[blocks.clusters] = (transposed @ blocks.residuals)[:, :, 0]
        result.hat[blocks.clusters] = transposed @ blocks.x
        result.cross[blocks.clusters] = transposed @ blocks.covariance @ blocks.estimator
        result.own[blocks.clusters] = transposed @ blocks.covariance @ adjusted
    return result


def _adjusted_estimator(blocks: Blocks, plain: Moments) -> Stack:
    """A_g'K_g' (B, r, p), from the singular values of a factor F of D S_g D', so that no condition number is squared.

    S_g = (I - X_g K_g) Phi_g (I - X_g K_g)' + X_g (spread - K_g Phi_g K_g') X_g', both parts positive semidefinite.
    """
    values, vectors = np.linalg.eigh(blocks.covariance)
    root = (vectors * np.sqrt(values)[:, None, :]) @ vectors.transpose(0, 2, 1)
    others, directions = np.linalg.eigh(plain.spread - plain.own[blocks.clusters])
    others = np.where(others > DETERMINED * np.abs(others).max(), others, 0.0)
    residual = root - blocks.x @ (blocks.estimator.transpose(0, 2, 1) @ root)
    rest = blocks.x @ (directions * np.sqrt(others)[:, None, :])
    left, singular, _ = np.linalg.svd(root @ np.concatenate([residual, rest], axis=2), full_matrices=False)
    found = singular > NEGLIGIBLE * singular[:, :1]
    inverse = np.where(found, 1.0 / np.where(found, singular, 1.0), 0.0)
    half = (left * inverse[:, None, :]) @ left.transpose(0, 2, 1)
    product: Stack = root @ (half @ (root @ blocks.estimator))
    return product


def _satterthwaite(moments: Moments, c: Vector) -> float:
    """2 (mean)² / variance of the estimated variance of c'gamma.

    It is a quadratic form with the matrix P_gh = (g = h) c'own_g c + y_g'S y_h over the clusters, where y_g =
    (hat_g'c, cross_g'c).
    """
    own = np.einsum("i,gij,j->g", c, moments.own, c)
    pairs, coupling = _pairs(moments, c)
    product = pairs @ coupling
    diagonal = np.einsum("gi,gi->g", product, pairs)
    gram = coupling @ (pairs.T @ pairs)
    mean = float(np.sum(own + diagonal))
    square = float(np.sum(own**2 + 2.0 * own * diagonal) + np.sum(gram * gram.T))
    return mean**2 / square if square > 0.0 and mean > 0.0 else np.nan


def _hotelling_size(moments: Moments, C: Matrix) -> float:
    """Degrees of freedom of the Wishart matrix with the same mean and total variance as C Cov(gamma) C'."""
    mean = np.sum(_diagonal_blocks(moments, C)[1], axis=0)
    values, vectors = np.linalg.eigh(mean)
    if values[0] <= NEGLIGIBLE * values[-1]:
        return np.nan
    C = (vectors / np.sqrt(values)) @ vectors.T @ C
    own, diagonal = _diagonal_blocks(moments, C)
    corrections = diagonal - own  # of the element (g, g) of y'S y
    found = [_pairs(moments, row) for row in C]
    total = 0.0
    for s, (pairs, coupling) in enumerate(found):
        for t, (others, _) in enumerate(found[: s + 1]):
            crossed, back = coupling @ (pairs.T @ others), coupling @ (others.T @ pairs)
            variance = np.sum(diagonal[:, s, s] * diagonal[:, t, t] - corrections[:, s, s] * corrections[:, t, t])
            variance += np.sum(own[:, s, t] ** 2 + 2.0 * own[:, s, t] * corrections[:, s, t])
            variance += np.sum(crossed * back.T) + np.sum(back * back.T)
            total += float(variance) * (1.0 if s == t else 2.0)
    return len(C) * (len(C) + 1.0) / total


def _diagonal_blocks(moments: Moments, C: Matrix) -> tuple[Stack, Stack]:
    """Per cluster C own_g C', and the same plus y_g'S y_g: the blocks (g, g) of the quadratic forms, (J, r, r)."""
    own = C @ moments.own @ C.T
    hat, cross = C @ moments.hat, C @ moments.cross
    mixed = cross @ hat.transpose(0, 2, 1)
    return own, own + hat @ moments.spread @ hat.transpose(0, 2, 1) - mixed - mixed.transpose(0, 2, 1)


def _pairs(moments: Moments, c: Vector) -> tuple[Matrix, Matrix]:
    """(J, 2p) y_g = (hat_g'c, cross_g'c), and the matrix S between them."""
    p = len(c)
    pairs = np.concatenate([np.einsum("i,gij->gj", c, part) for part in (moments.hat, moments.cross)], axis=1)
    coupling = np.block([[moments.spread, -np.eye(p)], [-np.eye(p), np.zeros((p, p))]])
    return pairs, coupling


def _independent_rows(L: Matrix) -> list[int]:
    """Indices of rows of L that span all of them, the first ones first."""
    keep: list[int] = []
    for i in range(len(L)):
        if np.linalg.matrix_rank(L[[*keep, i]]) > len(keep):
            keep.append(i)
    return keep
