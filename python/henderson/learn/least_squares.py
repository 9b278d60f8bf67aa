"""Weighted least squares: what is left of a mixed model without groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """A least-squares fit with an intercept.

    Attributes
    ----------
    coef, intercept
        Coefficients, (p,) and one; the shortest where the data leave them open.
    mean
        (p,) weighted mean of the columns.
    unscaled
        (p, p) covariance matrix of the coefficients, divided by sigma².
    sigma
        Residual standard deviation; NaN without residual degrees of freedom.
    total_weight
        Sum of the weights.
    """

    coef: Vector
    intercept: float
    mean: Vector
    unscaled: Matrix
    sigma: float
    total_weight: float

    def predict(self, x: Matrix) -> Vector:
        """Means of new rows, (n,)."""
        return np.asarray(x @ self.coef + self.intercept)

    def std_error(self, x: Matrix) -> Vector:
        """Standard errors of the means of new rows, (n,)."""
        centred = x - self.mean
        variance = 1.0 / self.total_weight + np.einsum("ij,ij->i", centred @ self.unscaled, centred)
        return np.asarray(self.sigma * np.sqrt(variance))


def least_squares(x: Matrix, y: Vector, weights: Vector | None) -> LeastSquares:
    """Fit y = intercept + x coef + error, the error of row i with variance sigma² / weights[i]; no row for weight 0."""
    w = np.ones(len(y)) if weights is None else weights
    used = w > 0
    x, y, w = x[used], y[used], w[used]
    total, root = float(w.sum()), np.sqrt(w)
    mean, level = w @ x / total, float(w @ y / total)
    columns = root[:, None] * (x - mean)
    u, s, vt = np.linalg.svd(columns, full_matrices=False)
    rank = int(np.count_nonzero(s > np.finfo(float).eps * max(columns.shape) * (s[0] if len(s) else 0.0)))
    along = vt[:rank].T / s[:rank]
    response = root * (y - level)
    coef = along @ (u[:, :rank].T @ response)
    residual = response - columns @ coef
    df = len(y) - rank - 1
    sigma = float(np.sqrt(residual @ residual / df)) if df > 0 else np.nan
    return LeastSquares(coef, level - float(mean @ coef), mean, along @ along.T, sigma, total)
