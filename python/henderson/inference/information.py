"""The observed information of the variance parameters, and the way from them to variances and covariances.

With sigma not profiled out, the criterion (deviance or REML criterion) of a fit is

    d(theta, sigma) = h(theta) + df log(2 pi sigma²) + r²(theta) / sigma²        df = n, or n - p for REML

with r² the penalised residual sum of squares; at the optimum sigma² = r² / df. Its second derivatives there are those
of the profiled criterion f(theta), from differences of the exact gradient of f, and terms that have closed forms:

    d²d/dtheta²       = d²f/dtheta² + (df / r⁴) (dr²/dtheta)(dr²/dtheta)'
    d²d/dtheta dsigma = -2 (dr²/dtheta) / sigma³
    d²d/dsigma²       = 4 df / sigma²

By the envelope theorem dr²/dlam_t = -2 sum_j (Z'We)_tj u_tj', with e the residuals and u the spherical random effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson import theta
from henderson.inference import products

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

CENTRAL_STEP, ONE_SIDED_STEP = 1e-4, 1e-6
"""Steps of the differences, in units of what the data can tell apart in theta: relative errors near 1e-8 and 1e-6."""
MANY_EFFECTS = 2000
"""With more random effects than this a gradient is dear, and differences are taken to one side."""
RELATIVE_EIGENVALUE = 1e-8
"""Directions with less information than this, relative to the best determined one, count as having none."""


@dataclass(frozen=True, eq=False)
class Information:
    """Observed information of the parameters (theta[kept], sigma) of a fit.

    Attributes
    ----------
    kept
        Indices into `theta` of the parameters that are not at the boundary. A covariance matrix of rank r keeps the
        first r columns of its factor, all of it when it has full rank, nothing when it is zero.
    theta, sigma
        The estimates; theta has all its elements, shape (K,).
    sizes
        Effects per random term.
    hessian
        Second derivatives of the criterion (on the scale of the deviance) in (theta[kept], sigma), shape (k+1, k+1).
    covariance
        Asymptotic covariance matrix of (theta[kept], sigma): twice the pseudo-inverse of `hessian`.
    """

    kept: NDArray[np.intp]
    theta: Vector
    sigma: float
    sizes: tuple[int, ...]
    hessian: Matrix
    covariance: Matrix

    @property
    def rank(self) -> int:
        """The number of independent directions of (theta[kept], sigma) that the data are informative about."""
        return len(_informative(self.hessian)[1])

    @property
    def jacobian(self) -> Matrix:
        """Derivatives of the entries of `covariance_entries` in (theta[kept], sigma), shape (entries, k+1)."""
        full = covariance_jacobian(self.theta, self.sigma, self.sizes)
        return full[:, [*self.kept, len(self.theta)]]

    @property
    def entry_covariance(self) -> Matrix:
        """Asymptotic covariance matrix of `covariance_entries`, by the delta method, shape (entries, entries)."""
        return self.jacobian @ self.covariance @ self.jacobian.T


def information(model: LinearMixedModel) -> Information:
    """Observed information of theta and sigma at the estimates; parameters at the boundary are left out.

    Notes
    -----
    The Hessian of the criterion with sigma not profiled out: differences of the exact gradient (two gradients for each
    element of theta, one in large models) and closed forms for sigma.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> found = fit.information
    >>> found.kept
    array([0])
    >>> np.sqrt(np.diag(found.covariance)).round(3)  # standard errors of theta and sigma
    array([0.377, 7.146])
    """
    at = np.asarray(model.optimum.theta, dtype=np.float64)
    sizes = tuple(len(term.columns) for term in model.design.terms)
    kept = interior(model)
    profiled = _profiled_hessian(model, at, kept)
    slope = _pwrss_gradient(model)[kept]
    sigma, pwrss = model.sigma, model.solution.pwrss
    df = model.nobs - (len(model.kept) if model.is_reml else 0)
    hessian = np.empty((len(kept) + 1, len(kept) + 1))
    hessian[:-1, :-1] = profiled + df / pwrss**2 * np.outer(slope, slope)
    hessian[:-1, -1] = hessian[-1, :-1] = -2.0 * slope / sigma**3
    hessian[-1, -1] = 4.0 * df / sigma**2
    return Information(kept, at, sigma, sizes, hessian, 2.0 * pseudo_inverse(hessian))


def interior(model: LinearMixedModel) -> NDArray[np.intp]:
    """Indices into theta of the columns of the relative factors that are not zero at a singular fit."""
    design = model.design
    kept: list[int] = []
    start = 0
    sizes = [len(term.columns) for term in design.terms]
    factors = theta.relative_factors(np.asarray(model.optimum.theta), sizes)
    for t, (size, rank, lam) in enumerate(zip(sizes, model.optimum.ranks, factors, strict=True)):
        norms = np.linalg.norm(lam * np.sqrt(_mean_squares(model, t))[:, None], axis=0)
        largest = set(np.argsort(-norms, kind="stable")[:rank].tolist())
        columns, _ = np.triu_indices(size)
        kept += [start + i for i, column in enumerate(columns.tolist()) if column in largest]
        start += len(columns)
    return np.array(kept, dtype=np.intp)


def covariance_entries(at: Vector, sigma: float, sizes: Sequence[int]) -> Vector:
    """Distinct entries of the covariance matrices Sigma_t, in the order of theta, then sigma²."""
    entries = [sigma**2 * psi.T[np.triu_indices(len(psi))] for psi in theta.covariances(at, sizes)]
    return np.concatenate([*entries, [sigma**2]])


def covariance_jacobian(at: Vector, sigma: float, sizes: Sequence[int]) -> Matrix:
    """Derivatives of `covariance_entries` (rows) in (theta, sigma) (columns), shape (K+1, K+1)."""
    total = len(at) + 1
    result = np.zeros((total, total))
    start = 0
    for lam in theta.relative_factors(at, sizes):
        columns, rows = np.triu_indices(len(lam))
        block = slice(start, start + len(rows))
        for place, (row, column) in enumerate(zip(rows, columns, strict=True), start):
            change = np.zeros_like(lam)
            change[row] = lam[:, column]
            change += change.T
            result[block, place] = sigma**2 * change[rows, columns]
        result[block, -1] = 2.0 * sigma * (lam @ lam.T)[rows, columns]
        start += len(rows)
    result[-1, -1] = 2.0 * sigma
    return result


def pseudo_inverse(hessian: Matrix) -> Matrix:
    """Moore-Penrose inverse over the directions that carry information, after scaling to a unit diagonal."""
    directions, values = _informative(hessian)
    result: Matrix = (directions / values) @ directions.T
    return result


def _informative(hessian: Matrix) -> tuple[Matrix, Vector]:
    """Directions (columns) in which a Hessian is positive once its diagonal is scaled to one, and its values there."""
    diagonal = np.diag(hessian)
    scale = np.where(diagonal > 0, diagonal, 1.0) ** -0.5
    values, vectors = np.linalg.eigh(hessian * scale[:, None] * scale)
    found = values > RELATIVE_EIGENVALUE * values[-1]
    return vectors[:, found] * scale[:, None], values[found]


def _profiled_hessian(model: LinearMixedModel, at: Vector, kept: NDArray[np.intp]) -> Matrix:
    """Second derivatives of the profiled criterion in theta[kept]: differences of its exact gradient."""

    def gradient(shift: Vector) -> Vector:
        return model._problem.gradient(model._y, at + shift, model.is_reml)[1][kept]

    is_central = sum(b.size for b in model.solution.b) <= MANY_EFFECTS
    steps = _theta_scales(model) * (CENTRAL_STEP if is_central else ONE_SIDED_STEP)
    here = gradient(np.zeros(len(at))) if len(kept) and not is_central else None
    hessian = np.empty((len(kept), len(kept)))
    for column, i in enumerate(kept):
        shift = np.zeros(len(at))
        shift[i] = steps[i]
        if here is None:
            hessian[:, column] = (gradient(shift) - gradient(-shift)) / (2.0 * steps[i])
        else:
            hessian[:, column] = (gradient(shift) - here) / steps[i]
    return 0.5 * (hessian + hessian.T)


def _theta_scales(model: LinearMixedModel) -> Vector:
    """By how much each element of theta changes before the data notice.

    The criterion of m levels with sum of squares a each varies with theta as m log(1 + a theta²) does.
    """
    design = model.design
    sizes = [len(term.columns) for term in design.terms]
    scales = []
    for t, lam in enumerate(theta.relative_factors(np.asarray(model.optimum.theta), sizes)):
        levels = design.factors[design.terms[t].factor].n_levels
        by_row = np.sqrt((np.diag(lam) ** 2 + 1.0 / _mean_squares(model, t)) / levels)
        scales.append(by_row[np.triu_indices(len(lam))[1]])
    return np.concatenate(scales)


def _mean_squares(model: LinearMixedModel, t: int) -> Vector:
    """Mean over the levels of a term of the weighted sums of squares of its columns, shape (s,)."""
    design = model.design
    term = design.terms[t]
    ones = float(design.n if design.weights is None else design.weights.sum())
    totals = [ones if z is None else float(np.dot(products.weighted(design, z), z)) for z in term.columns]
    means = np.array(totals) / design.factors[term.factor].n_levels
    return np.where(means > 0, means, 1.0)


def _pwrss_gradient(model: LinearMixedModel) -> Vector:
    """Derivatives of the penalised residual sum of squares in theta, shape (K,)."""
    design = model.design
    residuals = products.weighted(design, design.y - model.fitted_values)
    parts = []
    for term, u in zip(design.terms, model.solution.u, strict=True):
        factor = design.factors[term.factor]
        by_row = [residuals if z is None else residuals * z for z in term.columns]
        sums = np.column_stack([np.bincount(factor.codes, values, factor.n_levels) for values in by_row])
        columns, rows = np.triu_indices(len(term.columns))
        parts.append(-2.0 * (sums.T @ u)[rows, columns])
    return np.concatenate(parts)
