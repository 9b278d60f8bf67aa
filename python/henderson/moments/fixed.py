"""Fixed effects: generalized least squares at the moment estimates of the variances.

The rows of H = W (X - Z a), a = (Z'WZ + sigma² D⁻¹)⁻¹ Z'WX, are those of sigma² V⁻¹X. For any a whatever

    beta^ = (H'X)⁻¹ H'y,    Var(beta^) = (H'X)⁻¹ H'V H (X'H)⁻¹,
    H'V H = sigma² H'W⁻¹H + sum_m sigma_m² (H'Z_m)(H'Z_m)'

so that the estimates are unbiased and their variances right however far the iterations for a have come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from henderson.moments.crosstabs import CrossTabs
from henderson.moments.rows import Matrix, Vector
from henderson.moments.sums import Sums

ITERATIONS = 200
TOLERANCE = 1e-11


@dataclass(frozen=True, eq=False)
class FixedEffects:
    """Generalized least squares.

    Attributes
    ----------
    beta, covariance
        (p,) and (p, p).
    levels
        a: per factor (J, p), what is taken from the rows of X of each level.
    solver
        (H'X)⁻¹ (p, p).
    iterations, converged
        Of conjugate gradients; zero for a single factor, where a is known in closed form.
    """

    beta: Vector
    covariance: Matrix
    levels: list[Matrix]
    solver: Matrix
    iterations: int
    converged: bool


def least_squares(sums: Sums, tabs: CrossTabs, variances: Vector) -> FixedEffects:
    """Estimate the fixed effects at variances (sigma_1², .., sigma²), none of them negative and the last positive."""
    p, error = len(sums.xy), float(variances[-1])
    ratios = variances[:-1] / error
    if len(sums.factors) == 1:
        own = sums.factors[0]
        levels, iterations, converged = [own.x * (ratios[0] / (1.0 + ratios[0] * own.weights))[:, None]], 0, True
    else:
        levels, iterations, converged = _conjugate_gradients(sums, tabs, ratios)
    hx, hy = sums.xx.copy(), sums.xy.copy()
    through = [factor.x.copy() for factor in sums.factors]  # Z_m'H
    for k, (factor, a) in enumerate(zip(sums.factors, levels, strict=True)):
        hx -= a.T @ factor.x
        hy -= a.T @ factor.y
        for m, other in enumerate(through):
            if not a.any():
                continue
            other -= factor.weights[:, None] * a if m == k else tabs.times(m, k, a)
    # H'W⁻¹H = H'(X - Z a)
    square = hx - sum((part.T @ a for part, a in zip(through, levels, strict=True)), np.zeros((p, p)))
    spread = error * square
    for variance, part in zip(variances, through, strict=False):
        spread = spread + variance * part.T @ part
    solver = np.asarray(np.linalg.inv(hx), dtype=np.float64) if p else hx
    return FixedEffects(solver @ hy, solver @ spread @ solver.T, levels, solver, iterations, converged)


def _conjugate_gradients(sums: Sums, tabs: CrossTabs, ratios: Vector) -> tuple[list[Matrix], int, bool]:
    """Solve (S Z'WZ S + I) u = S Z'WX, a = S u, all columns at once; S: roots of the ratios; Jacobi preconditioner."""
    active = [k for k, ratio in enumerate(ratios) if ratio > 0]
    roots = np.sqrt(ratios)
    ends = np.cumsum([len(sums.factors[k]) for k in active])[:-1]
    p = len(sums.xy)
    if not active or not p:
        return [np.zeros_like(factor.x) for factor in sums.factors], 0, True

    def times(stacked: Matrix) -> Matrix:
        parts = np.split(stacked, ends)
        images = []
        for place, k in enumerate(active):
            total = (sums.factors[k].weights * ratios[k] + 1.0)[:, None] * parts[place]
            for other, m in enumerate(active):
                if other != place:
                    total = total + roots[k] * roots[m] * tabs.times(k, m, parts[other])
            images.append(total)
        return np.concatenate(images)

    right = np.concatenate([roots[k] * sums.factors[k].x for k in active])
    scale = np.concatenate([sums.factors[k].weights * ratios[k] + 1.0 for k in active])[:, None]
    solution, iterations, converged = _iterate(times, right, scale)
    found = [np.zeros_like(factor.x) for factor in sums.factors]
    for k, part in zip(active, np.split(solution, ends), strict=True):
        found[k] = roots[k] * part
    return found, iterations, converged


def _iterate(times: object, right: Matrix, scale: Matrix) -> tuple[Matrix, int, bool]:
    """Conjugate gradients, column by column but together."""
    assert callable(times)
    solution = right / scale
    rest = right - times(solution)
    start = np.sqrt(np.sum(right**2 / scale, axis=0))
    direction, before = np.zeros_like(rest), np.ones(rest.shape[1])
    for iteration in range(ITERATIONS + 1):
        conditioned = rest / scale
        size = np.sum(rest * conditioned, axis=0)
        if np.all(np.sqrt(size) <= TOLERANCE * start):
            return solution, iteration, True
        if iteration == ITERATIONS:
            break
        direction = conditioned + direction * (size / before if iteration else 0.0)
        image = times(direction)
        curvature = np.sum(direction * image, axis=0)
        step = np.divide(size, curvature, out=np.zeros_like(size), where=curvature > 0)
        solution = solution + step * direction
        rest = rest - step * image
        before = np.where(size > 0, size, 1.0)
    return solution, ITERATIONS, False


def back_to_columns(beta: Vector, y_shift: float, x_shift: Vector, intercept: int | None) -> tuple[Vector, Matrix]:
    """Fixed effects for the columns before pilot values were subtracted, and the matrix that gives them."""
    transform = np.eye(len(beta))
    result = beta.copy()
    if intercept is not None:
        transform[intercept] -= x_shift
        result = transform @ beta
        result[intercept] += y_shift
    return result, transform


def multiway(scores: Sequence[tuple[int, int, Matrix]], solver: Matrix) -> tuple[Matrix, bool]:
    """The sandwich (H'X)⁻¹ B (X'H)⁻¹, B the signed sum of the products of scores; and whether eigenvalues were cut.

    Parameters
    ----------
    scores
        Per set of factors: its size, its number of clusters, and the sum over its clusters of s s'.
    solver
        (H'X)⁻¹.
    """
    total = np.zeros_like(solver)
    for size, clusters, products in scores:
        total -= (-1.0) ** size * clusters / max(clusters - 1.0, 1.0) * products
    total = 0.5 * (total + total.T)
    root = np.sqrt(np.abs(np.diag(total)))
    root = np.where(root > 0, root, 1.0)
    values, vectors = np.linalg.eigh(total / np.outer(root, root))
    is_cut = bool(np.any(values < -1e-10 * np.abs(values).max(initial=0.0)))
    if is_cut:
        total = (vectors * np.maximum(values, 0.0)) @ vectors.T * np.outer(root, root)
    return solver @ total @ solver.T, is_cut
