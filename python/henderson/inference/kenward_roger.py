"""Kenward and Roger's adjusted covariance matrix of the fixed effects and the F tests that go with it.

The covariance matrix of y is linear in its parameters, V = sum_r gamma_r G_r: one for each distinct entry of the
covariance matrix of each random term, G_r = Z E_r Z', and one for the residuals, G_0 = W⁻¹. With

    S = Z'V⁻¹Z    T = Z'V⁻¹X    Phi = (X'V⁻¹X)⁻¹
    P_r = -T'E_r T    Q_rs = T'E_r S E_s T    K_rs = tr(E_r S E_s S)

the information of gamma is I_rs = (K_rs - 2 tr(Phi Q_rs) + tr(Phi P_r Phi P_s)) / 2, and with W = I⁻¹

    Phi_A = Phi + 2 Phi [sum_rs W_rs (Q_rs - P_r Phi P_s)] Phi

No matrix has n rows and columns. The residual components follow from sum_r gamma_r G_r = V, which holds for any
weights: sum_r gamma_r P_r = -Phi⁻¹, sum_r gamma_r Q_rs = -P_s and sum_r gamma_r K_rs = tr(V⁻¹G_s). Everything here is
in units of the residual variance.

Z and gamma are those of `Effects`, in which the columns of a term are orthonormal: Z_t R⁻¹ for Z_t, R Psi R' for Psi.
The columns of X are centred, X N⁻¹ for X. The results do not depend on such coordinates, but where a predictor is far
from zero their digits do.

References
----------
Kenward, M. G. and Roger, J. H. (1997). Small sample inference for fixed effects from restricted maximum likelihood.
Biometrics 53, 983-997.
Halekoh, U. and Højsgaard, S. (2014). A Kenward-Roger approximation and parametric bootstrap methods for tests in linear
mixed models. Journal of Statistical Software 59(9).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import submodel, theta
from henderson.inference import information, products, satterthwaite
from henderson.inference.distributions import JointTest, independent_directions, wald
from henderson.inference.effect_blocks import Effects, effects_of

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Entries = list[tuple[int, int, int]]
"""What the gammas stand for, but for the residual variance: (term, row, column) with row >= column, as in theta."""

DENSE = 400
"""With at most this many random effects S is formed; with more, its traces come from differences along gamma."""
STEP = 2e-5
"""Of those differences, relative to what the data can tell apart: errors of about 1e-9, as much as rounding."""
FORWARD = (-1.5, 2.0, -0.5)
"""Weights of the values at 0, 1 and 2 steps: differences of second order that stay positive semidefinite."""


@dataclass(frozen=True, eq=False)
class KenwardRoger:
    """What the tests of any contrast follow from.

    Attributes
    ----------
    model
        The REML fit: the model itself, or fitted again by REML.
    covariance
        Adjusted covariance matrix of the fixed effects, Phi_A, shape (p, p).
    plain
        The same without adjustment, Phi.
    derivatives
        Phi P_r Phi: minus the derivatives of `plain` in the gammas, shape (k+1, p, p).
    weights
        W, the inverse of the expected information of the gammas, shape (k+1, k+1). Only D'WD with D the derivatives
        does not depend on the coordinates of the random effects.
    """

    model: LinearMixedModel
    covariance: Matrix
    plain: Matrix
    derivatives: NDArray[np.float64]
    weights: Matrix

    def df(self, contrasts: Matrix) -> Vector:
        """Degrees of freedom of each row of `contrasts` (r, p), shape (r,)."""
        variances = np.einsum("rp,pq,rq->r", contrasts, self.plain, contrasts, optimize=True)
        slopes = np.einsum("rp,ipq,rq->ri", contrasts, self.derivatives, contrasts, optimize=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            result: Vector = 2.0 * variances**2 / np.einsum("ri,ij,rj->r", slopes, self.weights, slopes)
        return result

    def f_test(self, contrasts: Matrix, difference: Vector) -> JointTest:
        """Test that L beta - rhs, the `difference` (r,), is zero: the scaled F statistic."""
        statistic, rank = wald(contrasts, self.covariance, difference)
        vectors, values = independent_directions(contrasts, self.plain)
        if rank == 0:
            return JointTest(float("nan"), 0.0, float("nan"))
        if rank == 1:
            return JointTest(statistic, 1.0, float(self.df(vectors.T @ contrasts)[0]))
        half = (vectors / np.sqrt(values)).T @ contrasts
        inside = half @ self.derivatives @ half.T  # (k+1, r, r): Theta Phi P_r Phi up to a rotation
        traces = np.trace(inside, axis1=1, axis2=2)
        a1 = float(traces @ self.weights @ traces)
        a2 = float(np.einsum("iab,jba,ij->", inside, inside, self.weights, optimize=True))
        den_df, scale = _moments(a1, a2, rank)
        return JointTest(scale * statistic / rank, float(rank), den_df)


def _moments(a1: float, a2: float, rank: int) -> tuple[float, float]:
    """Match the mean and variance of the Wald statistic with those of a scaled F distribution."""
    if not a2 > 0:
        return float("inf"), 1.0
    b = (a1 + 6.0 * a2) / (2.0 * rank)
    g = ((rank + 1.0) * a1 - (rank + 4.0) * a2) / ((rank + 2.0) * a2)
    denominator = 3.0 * rank + 2.0 * (1.0 - g)
    c1, c2, c3 = g / denominator, (rank - g) / denominator, (rank + 2.0 - g) / denominator
    with np.errstate(divide="ignore", invalid="ignore"):
        shrunk = 1.0 - a2 / rank  # one over the mean
        rho = np.float64((1.0 + c1 * b) * shrunk**2) / ((1.0 - c2 * b) ** 2 * (1.0 - c3 * b)) / rank
        df = float(4.0 + (rank + 2.0) / (rank * rho - 1.0))
        scale = 1.0 if abs(df - 2.0) < 0.01 else float(df * shrunk / (df - 2.0))
    return df, scale


def kenward_roger(model: LinearMixedModel) -> KenwardRoger:
    """Adjusted covariance matrix of the fixed effects; a fit by maximum likelihood is fitted again by REML."""
    model = submodel.by_criterion(model.stand_in, reml=True)
    entries = _entries(model)
    effects = effects_of(model)
    factors = _factors(effects)
    relative = [lam @ lam.T for lam in factors]
    psi = np.array([relative[t][a, b] for t, a, b in entries])
    origin = satterthwaite.origin(model)
    phi = origin @ model.solution.unscaled_vcov @ origin.T
    between, traces, third = _between(effects, factors, entries)

    p, k = len(phi), len(entries)
    rows = satterthwaite.projections(model, effects.triangles)
    first = -_selected_products(entries, rows, rows)
    second = np.empty((k, k, p, p))
    for r, entry in enumerate(entries):
        image = products.unstacked(model.design, between(_selected(rows, entry)))
        second[:, r] = _selected_products(entries, rows, image)
    first, second, third = _with_residual(psi, phi, first, second, third, traces, model.nobs)
    basis = _interior_basis(effects, factors)
    first = np.einsum("ri,rab->iab", basis, first, optimize=True)
    second = np.einsum("ri,sj,rsab->ijab", basis, basis, second, optimize=True)
    return _adjusted(model, origin, phi, first, second, basis.T @ third @ basis)


def _adjusted(
    model: LinearMixedModel, origin: Matrix, phi: Matrix, first: Matrix, second: Matrix, third: Matrix
) -> KenwardRoger:
    """Put P, Q and K together, of X N⁻¹ with N the `origin`: N⁻¹ Phi N^-T is that of X."""
    scaled = first @ phi  # P_r Phi
    info = 0.5 * (
        third
        - 2.0 * np.einsum("ijab,ba->ij", second, phi, optimize=True)
        + np.einsum("iab,jba->ij", scaled, scaled, optimize=True)
    )
    weights = information.pseudo_inverse(0.5 * (info + info.T))
    inner = np.einsum("ij,ijab->ab", weights, second, optimize=True)
    inner -= np.einsum("ij,iab,jbc->ac", weights, scaled, first, optimize=True)
    adjustment = 2.0 * phi @ inner @ phi
    variance = model.sigma**2
    back = np.linalg.inv(origin)
    plain = model.solution.unscaled_vcov
    adjusted = variance * (plain + 0.5 * back @ (adjustment + adjustment.T) @ back.T)
    slopes = variance * (back @ phi @ first @ phi @ back.T)
    # the tests do not depend on the unit of V: gammas, and so W and P, stay in units of the residual variance
    return KenwardRoger(model, adjusted, variance * plain, slopes, weights)


def _with_residual(
    psi: Vector, phi: Matrix, first: Matrix, second: Matrix, third: Matrix, traces: Vector, n: int
) -> tuple[Matrix, Matrix, Matrix]:
    """Append the residual component to P, Q and K, from sum_r gamma_r G_r = V with gamma_0 = 1."""
    k, p = len(psi), len(phi)
    p0 = -np.linalg.inv(phi) - np.einsum("r,rab->ab", psi, first)
    all_first = np.concatenate([first, p0[None]])
    all_second = np.empty((k + 1, k + 1, p, p))
    all_second[:k, :k] = second
    all_second[k, :k] = -first - np.einsum("r,rsab->sab", psi, second)
    all_second[:k, k] = all_second[k, :k].transpose(0, 2, 1)
    all_second[k, k] = -p0 - np.einsum("r,rab->ab", psi, all_second[:k, k])
    all_third = np.empty((k + 1, k + 1))
    all_third[:k, :k] = third
    all_third[k, :k] = all_third[:k, k] = traces - psi @ third
    all_third[k, k] = n - psi @ traces - psi @ all_third[:k, k]
    return all_first, all_second, all_third


def _factors(effects: Effects) -> list[Matrix]:
    """R lam per term, (s, s)."""
    sizes = [len(triangle) for triangle in effects.triangles]
    found = theta.relative_factors(np.asarray(effects.model.optimum.theta), sizes)
    return [triangle @ lam for triangle, lam in zip(effects.triangles, found, strict=True)]


def _interior_basis(effects: Effects, factors: Sequence[Matrix]) -> Matrix:
    """Directions in which the gammas can vary, as columns: all, or those along the boundary of a singular fit."""
    sizes = [len(factor) for factor in factors]
    starts = np.cumsum([0, *(size * (size + 1) // 2 for size in sizes)])
    total = int(starts[-1])
    kept = information.interior(effects.model, effects.triangles)
    if len(kept) == sum(sizes):
        return np.eye(total + 1)
    directions = []
    for t, column in kept:
        columns, rows = np.triu_indices(sizes[t])
        moves = np.linalg.qr(effects.triangles[t][:, column:])[0]  # what changes of lam_c from its diagonal down move
        for move in moves.T:
            change = np.outer(move, factors[t][:, column])
            direction = np.zeros(total + 1)
            direction[starts[t] : starts[t + 1]] = (change + change.T)[rows, columns]
            length = float(np.linalg.norm(direction))
            directions.append(direction / length if length > 0 else direction)
    return np.column_stack([*directions, np.eye(total + 1)[:, -1]])


# ------------------------------------------------------------------------------------------------ blocks and their sums


def _entries(model: LinearMixedModel) -> Entries:
    result: Entries = []
    for t, term in enumerate(model.design.terms):
        columns, rows = np.triu_indices(len(term.columns))
        result += [(t, int(a), int(b)) for a, b in zip(rows, columns, strict=True)]
    return result


def _selected(rows: Sequence[Matrix], entry: tuple[int, int, int]) -> Matrix:
    """E_r T, shape (q, p): within each level of the term, rows a and b of T change places, all else is zero."""
    term, a, b = entry
    parts = [np.zeros_like(part) for part in rows]
    parts[term][:, a] = rows[term][:, b]
    parts[term][:, b] = rows[term][:, a]
    return products.stacked(parts)


def _selected_products(entries: Entries, rows: Sequence[Matrix], others: Sequence[Matrix]) -> Matrix:
    """T'E_r U for each entry, shape (k, p, p); T and U per term (levels, s, p)."""
    p = rows[0].shape[2]
    result = np.empty((len(entries), p, p))
    for r, (t, a, b) in enumerate(entries):
        result[r] = rows[t][:, a].T @ others[t][:, b]
        if a != b:
            result[r] += rows[t][:, b].T @ others[t][:, a]
    return result


def _between(
    effects: Effects, factors: Sequence[Matrix], entries: Entries
) -> tuple[Callable[[Matrix], Matrix], Vector, Matrix]:
    """S times a matrix, as a function; tr(E_r S), shape (k,); tr(E_r S E_s S), shape (k, k)."""
    Z = effects.matrix()
    cross = (Z.T @ Z).tocsr()
    if cross.shape[0] <= DENSE:
        whole = cross.toarray()
        whole = whole - whole @ effects.solve(whole)
        return whole.__matmul__, *_exact_traces(effects.model, whole, entries)
    traces, curvature = _traces_by_differences(effects, factors, entries)
    return lambda right: cross @ (right - effects.solve(cross @ right)), traces, curvature


def _exact_traces(model: LinearMixedModel, between: Matrix, entries: Entries) -> tuple[Vector, Matrix]:
    """tr(E_r S), shape (k,), and tr(E_r S E_s S), shape (k, k), from S."""
    shapes = [(model.design.factors[term.factor].n_levels, len(term.columns)) for term in model.design.terms]
    stops = np.cumsum([0, *(levels * size for levels, size in shapes)])
    places = [slice(start, stop) for start, stop in pairwise(stops.tolist())]
    diagonal: list[Any] = []
    for (levels, size), place in zip(shapes, places, strict=True):
        block = between[place, place].reshape(levels, size, levels, size)
        diagonal.append(np.einsum("jajb->ab", block))
    pairs: dict[tuple[int, int], Any] = {}
    for t, (levels, size) in enumerate(shapes):
        for u, (others, width) in enumerate(shapes):
            block = between[places[t], places[u]].reshape(levels, size, others, width)
            flat = block.transpose(1, 3, 0, 2).reshape(size * width, -1)
            pairs[t, u] = (flat @ flat.T).reshape(size, width, size, width)
    traces = np.array([sum(diagonal[t][x, y] for x, y in {(a, b), (b, a)}) for t, a, b in entries])
    curvature = np.zeros((len(entries), len(entries)))
    for i, (t, a, b) in enumerate(entries):
        for j, (u, c, d) in enumerate(entries):
            values = pairs[t, u]
            curvature[i, j] = sum(values[y, v, x, w] for x, y in {(a, b), (b, a)} for v, w in {(c, d), (d, c)})
    return traces, curvature


def _traces_by_differences(effects: Effects, factors: Sequence[Matrix], entries: Entries) -> tuple[Vector, Matrix]:
    """The same from the derivatives of log|V|: tr(E_r S E_s S) = -d tr(E_r S) / d gamma_s."""
    of_factors = _marginal_traces(effects)

    def traces(changed: Sequence[Matrix]) -> Vector:
        sums = of_factors([np.asarray(np.linalg.qr(factor.T, mode="r")).T for factor in changed])
        return np.array([sums[t][a, b] + (a != b) * sums[t][b, a] for t, a, b in entries])

    here = traces(factors)
    blocks = _blocks(effects)

    def slope(t: int, direction: Vector) -> Vector:
        step = STEP * _trace_scale(blocks[t], factors[t], direction)
        total = FORWARD[0] * here
        for count, weight in enumerate(FORWARD[1:], 1):
            longer = np.column_stack([factors[t], np.sqrt(count * step) * direction])
            total = total + weight * traces([*factors[:t], longer, *factors[t + 1 :]])
        result: Vector = total / step
        return result

    units = [np.eye(len(factor)) for factor in factors]
    own = {(t, a): slope(t, units[t][a]) for t, a, b in entries if a == b}
    columns = [
        own[t, a] if a == b else slope(t, units[t][a] + units[t][b]) - own[t, a] - own[t, b] for t, a, b in entries
    ]
    curvature = -np.column_stack(columns)
    return here, 0.5 * (curvature + curvature.T)


def _marginal_traces(effects: Effects) -> Callable[[Sequence[Matrix]], list[Matrix]]:
    """Per term (s, s) the sum over its levels of the blocks of S, as a function of lower triangles R lam."""
    problem, design = effects.model._problem, effects.model.design
    if all(len(triangle) == 1 for triangle in effects.triangles):
        lengths = np.concatenate([triangle[0] for triangle in effects.triangles])

        def rescaled(factors: Sequence[Matrix]) -> list[Matrix]:
            sums = problem.traces(np.concatenate([factor[0] for factor in factors]) / lengths)
            return [own / length**2 for own, length in zip(sums, lengths, strict=True)]

        return rescaled
    root = 1.0 if design.weights is None else np.sqrt(design.weights)
    stops = np.cumsum([len(triangle) for triangle in effects.triangles])[:-1]
    columns = [[np.ascontiguousarray(z / root) for z in own] for own in np.split(effects.values.T, stops)]
    changed = problem.with_random_columns(columns, effects.model._y)
    return lambda factors: changed.traces(
        np.concatenate([factor.T[np.triu_indices(len(factor))] for factor in factors])
    )


def _blocks(effects: Effects) -> list[NDArray[np.float64]]:
    """Cross-products of the columns of each term within its levels, (levels, s, s)."""
    blocks, first, column = [], 0, 0
    for triangle, own in zip(effects.triangles, effects.model.solution.b, strict=True):
        levels, size = own.shape
        codes = (effects.which[:, column] - first) // size
        values = effects.values[:, column : column + size].T
        sums = [[np.bincount(codes, z * other, levels) for other in values] for z in values]
        blocks.append(np.array(sums).transpose(2, 0, 1))
        first, column = first + levels * size, column + len(triangle)
    return blocks


def _trace_scale(squares: NDArray[np.float64], lam: Matrix, direction: Vector) -> float:
    """By how much a term's covariance matrix may change along vv' before any of its levels notices much.

    A level with cross-products A, of `squares` (levels, s, s), notices changes of the size of 1 / v'A (I + Psi A)⁻¹ v.
    """
    shrunk = np.linalg.solve(
        np.eye(len(lam)) + (lam @ lam.T) @ squares, np.broadcast_to(direction[:, None], squares[:, :, :1].shape)
    )
    notice = float(np.einsum("a,jab,jbc->jc", direction, squares, shrunk).max())
    return 1.0 / notice if notice > 0 else 1.0
