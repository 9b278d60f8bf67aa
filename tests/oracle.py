"""The dense oracle: a linear mixed model written down literally, with n x n matrices and no cleverness.

    y ~ N(X beta, sigma^2 V),   V = sum_t Z_t (I kron lam_t lam_t') Z_t' + W^-1,   W = diag(weights)

Slow, short and independent of the package: what the package says at any theta is compared with this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Term:
    """One random term: the level of every row (n,) and the columns that vary over levels (n, s)."""

    codes: NDArray[np.int32]
    columns: Array

    @property
    def levels(self) -> int:
        return int(self.codes.max()) + 1

    @property
    def size(self) -> int:
        return self.columns.shape[1]

    def matrix(self) -> Array:
        """Z_t (n, levels * s): level after level, the s effects of a level side by side."""
        z = np.zeros((len(self.codes), self.levels, self.size))
        z[np.arange(len(self.codes)), self.codes] = self.columns
        return z.reshape(len(self.codes), -1)


@dataclass(frozen=True, eq=False)
class Dense:
    """Everything a fit reports, at one theta."""

    criterion: float
    beta: Array  # (p,)
    vcov: Array  # (p, p), sigma^2 (X'V^-1X)^-1
    sigma: float
    b: list[Array]  # per term (levels, s): conditional modes
    u: list[Array]  # per term (levels, s): spherical, b = lam u (minimum norm where lam is singular)
    conditional_variances: list[Array]  # per term (levels, s, s), given beta and theta
    fitted: Array  # (n,)


def relative_factors(theta: Sequence[float] | Array, sizes: Sequence[int]) -> list[Array]:
    """theta -> lam_t: column-major lower triangles, term after term (lme4's order)."""
    factors, start = [], 0
    for size in sizes:
        lam = np.zeros((size, size))
        rows, columns = np.triu_indices(size)  # of the transpose: down the columns of the lower triangle
        lam[columns, rows] = np.asarray(theta)[start : start + len(rows)]
        start += len(rows)
        factors.append(lam)
    return factors


def evaluate(
    y: Array,
    x: Array,
    terms: Sequence[Term],
    theta: Sequence[float] | Array,
    *,
    reml: bool,
    weights: Array | None = None,
) -> Dense:
    """The marginal likelihood of y at theta, with beta and sigma profiled out; constants as lme4's."""
    n, p = x.shape
    factors = relative_factors(theta, [term.size for term in terms])
    z = [term.matrix() for term in terms]
    spread = [np.kron(np.eye(term.levels), lam @ lam.T) for term, lam in zip(terms, factors, strict=True)]
    v = np.diag(np.ones(n) if weights is None else 1.0 / weights)
    for z_t, d_t in zip(z, spread, strict=True):
        v += z_t @ d_t @ z_t.T

    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    unscaled = np.linalg.inv(information)
    beta = unscaled @ (x.T @ (inverse @ y))
    residual = y - x @ beta
    pwrss = residual @ inverse @ residual
    df = n - p if reml else n
    criterion = np.linalg.slogdet(v)[1] + df * (1.0 + np.log(2.0 * np.pi * pwrss / df))
    if reml:
        criterion += np.linalg.slogdet(information)[1]
    variance = pwrss / df

    b, u, conditional = [], [], []
    for term, lam, z_t, d_t in zip(terms, factors, z, spread, strict=True):
        cross = z_t.T @ (inverse @ residual)
        b.append((d_t @ cross).reshape(term.levels, term.size))
        u.append(cross.reshape(term.levels, term.size) @ lam)
        covariance = (variance * (d_t - d_t @ z_t.T @ inverse @ z_t @ d_t)).reshape(
            term.levels, term.size, term.levels, term.size
        )
        conditional.append(np.stack([covariance[j, :, j, :] for j in range(term.levels)]))
    fitted = x @ beta + sum(z_t @ b_t.ravel() for z_t, b_t in zip(z, b, strict=True))
    return Dense(float(criterion), beta, variance * unscaled, float(np.sqrt(variance)), b, u, conditional, fitted)
