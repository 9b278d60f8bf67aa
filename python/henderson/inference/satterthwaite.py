"""Satterthwaite's degrees of freedom of contrasts of the fixed effects.

For one contrast l of the fixed effects, with Phi = vcov(beta) as a function of phi = (theta, sigma) and A the
asymptotic covariance matrix of phi,

    nu = 2 (l'Phi l)² / (g'A g)        g_i = l' (dPhi/dphi_i) l

The derivatives are exact. In units of sigma², with V the covariance matrix of y and T = Z'V⁻¹X (q x p),

    dPhi = Phi T' dPsi T Phi,   dPsi = dlam lam' + lam dlam' at each level

so all that is needed is T, by one solve for each column of X, and the products of its rows within levels. They are
taken in the coordinates R b of each term, along the directions of the information: for R dlam_c = v in column c, with
T~ = R^-T T,

    dPhi = Phi sum_j [(v'T~_j)'((R lam_c)'T~_j) + ((R lam_c)'T~_j)'(v'T~_j)] Phi

so that the origin of a predictor costs no digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson import theta
from henderson.inference import products
from henderson.inference.distributions import JointTest, independent_directions

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

EQUAL = 1e-8
"""Degrees of freedom that differ by less are equal, relatively."""


@dataclass(frozen=True, eq=False)
class Satterthwaite:
    """What the tests of any contrast follow from.

    Attributes
    ----------
    covariance
        Of the fixed effects kept, shape (p, p).
    derivatives
        Of `covariance` along each direction of `Information`, shape (k+1, p, p).
    parameters
        Asymptotic covariance matrix along those directions, shape (k+1, k+1).
    """

    covariance: Matrix
    derivatives: NDArray[np.float64]
    parameters: Matrix

    def df(self, contrasts: Matrix) -> Vector:
        """Degrees of freedom of each row of `contrasts` (r, p), shape (r,)."""
        variances = np.einsum("rp,pq,rq->r", contrasts, self.covariance, contrasts, optimize=True)
        slopes = np.einsum("rp,ipq,rq->ri", contrasts, self.derivatives, contrasts, optimize=True)
        spread = np.einsum("ri,ij,rj->r", slopes, self.parameters, slopes)
        with np.errstate(divide="ignore", invalid="ignore"):
            result: Vector = 2.0 * variances**2 / spread
        return result

    def f_test(self, contrasts: Matrix, difference: Vector) -> JointTest:
        """Test that L beta - rhs, the `difference` (r,), is zero.

        Notes
        -----
        With L Phi L' = P D P', the rows of P'L have uncorrelated estimates, each with its own nu_m. F is the mean of
        their t², and its degrees of freedom are those at which an F distribution has the mean of that average:
        2E / (E - r) with E = sum nu_m / (nu_m - 2).
        """
        vectors, values = independent_directions(contrasts, self.covariance)
        squares = (difference @ vectors) ** 2 / values
        statistic = float(squares.mean()) if len(values) else float("nan")
        return JointTest(statistic, float(len(values)), combined(self.df(vectors.T @ contrasts)))


def combined(nu: Vector) -> float:
    """Denominator degrees of freedom of the mean of squared t statistics with `nu` degrees of freedom each."""
    if len(nu) == 0:
        return float("nan")
    if np.ptp(nu) <= EQUAL * nu.max() or len(nu) == 1:
        return float(nu.mean())
    if (nu <= 2.0).any():
        return 2.0
    total = float(np.sum(nu / (nu - 2.0)))
    return 2.0 * total / (total - len(nu))


def satterthwaite(model: LinearMixedModel) -> Satterthwaite:
    """Derivatives of the covariance matrix of the fixed effects, and the covariance of what it depends on."""
    information, model = model.information, model.stand_in
    unscaled, sigma = model.solution.unscaled_vcov, model.sigma
    derivatives = []
    triangles = [products.triangle(model.design, t) for t in range(len(information.sizes))]
    factors = theta.relative_factors(information.theta, information.sizes)
    fixed = origin(model) @ unscaled
    pairs = []
    for rows in projections(model, triangles):
        influence = rows @ fixed  # (levels, s, p)
        pairs.append(np.einsum("jap,jbq->abpq", influence, influence, optimize=True))
    for part in information.directions:
        loading = triangles[part.term] @ factors[part.term][:, part.column]
        moves = triangles[part.term][:, part.column :] @ part.basis
        halves = np.einsum("am,b,abpq->mpq", moves, loading, pairs[part.term], optimize=True)
        derivatives.append(sigma**2 * (halves + halves.transpose(0, 2, 1)))
    derivatives.append(2.0 * sigma * information.basis[-1, -1] * unscaled[None])
    return Satterthwaite(sigma**2 * unscaled, np.concatenate(derivatives), information.covariance_along)


def projections(model: LinearMixedModel, triangles: Sequence[Matrix]) -> list[Matrix]:
    """R^-T Z'V⁻¹X N⁻¹ in units of sigma²: per term (levels, s, p), levels sorted; R (s, s) per term, N of `origin`.

    Notes
    -----
    V⁻¹X = W (X - Z H Z'WX), with H as in `solve_random`. With R and N all products are of columns near zero.
    """
    maps = [triangle if len(triangle) > 1 else np.ones((1, 1)) for triangle in triangles]
    design = products.mapped_columns(model.design, maps)
    columns = [products.weighted(design, x) for x in centred_columns(model)]
    sums = products.random_sums(design, columns)
    if columns:
        right = [mapping.T @ own for mapping, own in zip(maps, sums, strict=True)]
        solved = products.unstacked(design, model.solve_random(products.stacked(right)))
        fitted = products.random_values(design, [mapping @ own for mapping, own in zip(maps, solved, strict=True)])
        sums = products.random_sums(
            design, (x - products.weighted(design, z) for x, z in zip(columns, fitted, strict=True))
        )
    return [own / triangle if len(triangle) == 1 else own for own, triangle in zip(sums, triangles, strict=True)]


def origin(model: LinearMixedModel) -> Matrix:
    """N (p, p), so that the columns of X N⁻¹ have a mean of zero, all but that of ones; I without such a column."""
    columns = [model.design.x[j] for j in model.kept]
    result = np.eye(len(columns))
    ones = [i for i, x in enumerate(columns) if x is None]
    if ones:
        result[ones[0]] = [1.0 if x is None else float(x.mean()) for x in columns]
    return result


def centred_columns(model: LinearMixedModel) -> Iterator[products.Column]:
    """The columns of X N⁻¹, N of `origin`, one by one."""
    columns = [model.design.x[j] for j in model.kept]
    has_ones = any(x is None for x in columns)
    return (x - x.mean() if has_ones and x is not None else x for x in columns)
