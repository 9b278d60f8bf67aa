"""The observed information of the variance parameters, and the way from them to variances and covariances.

With sigma not profiled out, the criterion (deviance or REML criterion) of a fit is

    d(theta, sigma) = h(theta) + df log(2 pi sigma²) + r²(theta) / sigma²        df = n, or n - p for REML

with r² the penalised residual sum of squares; at the optimum sigma² = r² / df. Its second derivatives there are those
of the profiled criterion f(theta), from differences of the exact gradient of f, and terms that have closed forms:

    d²d/dtheta²       = d²f/dtheta² + (df / r⁴) (dr²/dtheta)(dr²/dtheta)'
    d²d/dtheta dsigma = -2 (dr²/dtheta) / sigma³
    d²d/dsigma²       = 4 df / sigma²

By the envelope theorem dr²/dlam_t = -2 sum_j (Z'We)_tj u_tj', with e the residuals and u the spherical random effects.

The elements of theta are poor coordinates where a predictor is far from zero: what they change is nearly the same. With
T_t'T_t = Z_t'W Z_t / levels, changes of column c of lam_t matter to the data as T_t dlam_c does, and since they leave
the rows above c at zero, as C dlam_c does with C = R factor of T_t[:, c:]. Differences are taken along

    theta[kept] = theta_0 + B eta    B block diagonal, with blocks C⁻¹ diag(steps that the data notice)

and what is known about (eta, sigma) leads back to (theta, sigma). Origins and units of predictors do not change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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
NO_INFORMATION = 1e-12
"""Rounding error, where a determined direction has an information of about one: of columns that others determine."""


@dataclass(frozen=True, eq=False)
class Directions:
    """Changes of one column of a relative factor that the data tell apart, and notice about equally.

    Attributes
    ----------
    term, column
        Which column of which lam.
    basis
        The changes of its elements from the diagonal down, as columns, (s - column, s - column).
    """

    term: int
    column: int
    basis: Matrix


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
    directions
        Well-conditioned directions of theta[kept], column of a factor after column.
    basis
        The same and one for sigma, as the columns of a matrix: changes of (theta[kept], sigma), shape (k+1, k+1).
    hessian_along
        Second derivatives of the criterion (on the scale of the deviance) along `basis`, shape (k+1, k+1).
    covariance_along
        Twice the pseudo-inverse of that: asymptotic covariance matrix of the coordinates along `basis`.
    rank
        The number of independent directions of (theta[kept], sigma) that the data are informative about.
    """

    kept: NDArray[np.intp]
    theta: Vector
    sigma: float
    sizes: tuple[int, ...]
    directions: tuple[Directions, ...]
    basis: Matrix
    hessian_along: Matrix
    covariance_along: Matrix
    rank: int

    @cached_property
    def hessian(self) -> Matrix:
        """Second derivatives of the criterion in (theta[kept], sigma), shape (k+1, k+1)."""
        inverse = np.linalg.inv(self.basis)
        result: Matrix = inverse.T @ self.hessian_along @ inverse
        return result

    @cached_property
    def covariance(self) -> Matrix:
        """Asymptotic covariance matrix of (theta[kept], sigma), shape (k+1, k+1)."""
        return self.basis @ self.covariance_along @ self.basis.T

    @property
    def jacobian(self) -> Matrix:
        """Derivatives of the entries of `covariance_entries` in (theta[kept], sigma), shape (entries, k+1)."""
        full = covariance_jacobian(self.theta, self.sigma, self.sizes)
        return full[:, [*self.kept, len(self.theta)]]

    @property
    def entry_covariance(self) -> Matrix:
        """Asymptotic covariance matrix of `covariance_entries`, by the delta method, shape (entries, entries)."""
        along = self.jacobian @ self.basis
        return along @ self.covariance_along @ along.T


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
    model = model.stand_in
    at = np.asarray(model.optimum.theta, dtype=np.float64)
    sizes = tuple(len(term.columns) for term in model.design.terms)
    sigma, pwrss = model.sigma, model.solution.pwrss
    df = model.nobs - (len(model.kept) if model.is_reml else 0)
    triangles = [products.triangle(model.design, t) for t in range(len(sizes))]
    directions, kept = _directions(model, interior(model, triangles), triangles)
    basis = np.zeros((len(kept) + 1, len(kept) + 1))
    start = 0
    for part in directions:
        place = slice(start, start := start + len(part.basis))
        basis[place, place] = part.basis
    basis[-1, -1] = unit = sigma / np.sqrt(df)
    slope = _pwrss_gradient(model)[kept] @ basis[:-1, :-1]
    hessian = np.empty_like(basis)
    hessian[:-1, :-1] = _profiled_hessian(model, at, kept, basis[:-1, :-1]) + df / pwrss**2 * np.outer(slope, slope)
    hessian[:-1, -1] = hessian[-1, :-1] = -2.0 * unit * slope / sigma**3
    hessian[-1, -1] = 4.0
    silent = np.diag(hessian) <= NO_INFORMATION
    hessian[silent] = hessian[:, silent] = 0.0
    rank = len(_informative(hessian)[1])
    return Information(kept, at, sigma, sizes, directions, basis, hessian, 2.0 * pseudo_inverse(hessian), rank)


def interior(model: LinearMixedModel, triangles: Sequence[Matrix]) -> list[tuple[int, int]]:
    """The columns of the relative factors that are not zero at a singular fit: (term, column), in order.

    A term of rank r has r of them, the longest R lam_c; `triangles` are R (s, s) per term.
    """
    columns: list[tuple[int, int]] = []
    factors = theta.relative_factors(np.asarray(model.optimum.theta), [len(triangle) for triangle in triangles])
    for t, (triangle, lam, rank) in enumerate(zip(triangles, factors, model.optimum.ranks, strict=True)):
        lengths = np.linalg.norm(triangle @ lam, axis=0)
        columns += [(t, column) for column in sorted(np.argsort(-lengths, kind="stable")[:rank].tolist())]
    return columns


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


def _directions(
    model: LinearMixedModel, columns: Sequence[tuple[int, int]], triangles: Sequence[Matrix]
) -> tuple[tuple[Directions, ...], NDArray[np.intp]]:
    """Directions of the elements of some columns (term, column) of the factors, and their indices into theta.

    The criterion of m levels varies as m log|I + T Psi T'|: with v of unit length, changes of T lam_c along v are
    noticed when they reach one over sqrt(m v'(I + T Psi T')⁻¹v).
    """
    at = np.asarray(model.optimum.theta, dtype=np.float64)
    sizes = [len(triangle) for triangle in triangles]
    factors = theta.relative_factors(at, sizes)
    starts = np.cumsum([0, *(size * (size + 1) // 2 for size in sizes)])
    directions: list[Directions] = []
    kept = []
    for t, column in columns:
        levels = model.design.factors[model.design.terms[t].factor].n_levels
        scaled = triangles[t] / np.sqrt(levels)
        units, own = np.linalg.qr(scaled[:, column:])
        half = scaled @ factors[t]
        noticed = np.linalg.solve(np.eye(sizes[t]) + half @ half.T, units)
        steps = 1.0 / np.sqrt(levels * np.einsum("am,am->m", units, noticed))
        directions.append(Directions(t, column, np.linalg.inv(own) * steps))
        kept.append(starts[t] + np.flatnonzero(np.triu_indices(sizes[t])[0] == column))
    return tuple(directions), np.concatenate([np.empty(0, dtype=np.intp), *kept])


def _profiled_hessian(model: LinearMixedModel, at: Vector, kept: NDArray[np.intp], basis: Matrix) -> Matrix:
    """Second derivatives of the profiled criterion along a basis of theta[kept]: differences of its exact gradient."""

    def gradient(change: Vector | float) -> Vector:
        moved = at.copy()
        moved[kept] += change
        slope: Vector = model._problem.gradient(model._y, moved, model.is_reml)[1][kept] @ basis
        return slope

    is_central = sum(b.size for b in model.solution.b) <= MANY_EFFECTS
    step = CENTRAL_STEP if is_central else ONE_SIDED_STEP
    here = gradient(0.0) if len(kept) and not is_central else None
    hessian = np.empty((len(kept), len(kept)))
    for column, direction in enumerate(basis.T):
        if here is None:
            hessian[:, column] = (gradient(step * direction) - gradient(-step * direction)) / (2.0 * step)
        else:
            hessian[:, column] = (gradient(step * direction) - here) / step
    return 0.5 * (hessian + hessian.T)


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
