"""Estimation by moments written down literally, with n x n matrices: what the package says is compared with this."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def indicators(codes: NDArray[np.intp]) -> Array:
    return (codes[:, None] == np.unique(codes)[None, :]).astype(float)


def residual_projection(columns: Array) -> Array:
    """I - projection on the columns, whatever their rank."""
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    left = left[:, singular > 1e-10 * max(singular.max(initial=0.0), 1.0)]
    return np.eye(len(columns)) - left @ left.T


def forms(X: Array, codes: Sequence[NDArray[np.intp]], weights: Array | None = None) -> list[Array]:
    """Q_0 .. Q_K for rows not yet multiplied by the roots of their weights: y'Q_k y."""
    root = np.sqrt(np.ones(len(X)) if weights is None else weights)
    x = root[:, None] * X
    z = [root[:, None] * indicators(each) for each in codes]
    return [root[:, None] * residual_projection(np.hstack([x, *part])) * root for part in ([], *([each] for each in z))]


def covariance(codes: Sequence[NDArray[np.intp]], variances: Sequence[float], weights: Array | None = None) -> Array:
    """V: of the rows; the last variance is that of the residuals."""
    v = np.diag(variances[-1] / (np.ones(len(codes[0])) if weights is None else weights))
    for each, variance in zip(codes, variances[:-1], strict=True):
        z = indicators(each)
        v += variance * z @ z.T
    return v


def system(q: Sequence[Array], codes: Sequence[NDArray[np.intp]], weights: Array | None = None) -> Array:
    """T with E y'Q_k y = T (variances)."""
    units = np.eye(len(codes) + 1)
    return np.array([[np.sum(each * covariance(codes, unit, weights)) for unit in units] for each in q])


def covariance_of_forms(
    q: Sequence[Array], codes: Sequence[NDArray[np.intp]], variances: Sequence[float], cumulants: Sequence[float]
) -> Array:
    """Cov(y'Q_k y, y'Q_l y) of independent effects with these variances and fourth cumulants."""
    v = covariance(codes, variances)
    parts = [*(indicators(each) for each in codes), np.eye(len(v))]
    total = np.array([[2.0 * np.sum((a @ v) * (b @ v).T) for b in q] for a in q])
    for part, cumulant in zip(parts, cumulants, strict=True):
        diagonals = np.array([np.einsum("ri,rs,si->i", part, each, part) for each in q])
        total += cumulant * diagonals @ diagonals.T
    return total


def least_squares(y: Array, X: Array, v: Array) -> tuple[Array, Array]:
    """GLS estimates and their covariance matrix."""
    inverse = np.linalg.inv(v)
    spread = np.linalg.inv(X.T @ inverse @ X)
    return spread @ X.T @ inverse @ y, spread


def sandwich(y: Array, X: Array, v: Array, codes: Sequence[NDArray[np.intp]]) -> Array:
    """Multi-way cluster-robust covariance matrix, each set of factors with its factor G / (G - 1)."""
    beta, spread = least_squares(y, X, v)
    scores = np.linalg.solve(v, X) * (y - X @ beta)[:, None]
    total = np.zeros_like(spread)
    for size in range(1, len(codes) + 1):
        for chosen in combinations(codes, size):
            _, which = np.unique(np.column_stack(chosen), axis=0, return_inverse=True)
            sums = indicators(which.ravel()).T @ scores
            total -= (-1.0) ** size * len(sums) / (len(sums) - 1.0) * sums.T @ sums
    return spread @ total @ spread
