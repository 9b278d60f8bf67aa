"""Satterthwaite's degrees of freedom of contrasts of the fixed effects.

For one contrast l of the fixed effects, with Phi = vcov(beta) as a function of phi = (theta, sigma) and A the
asymptotic covariance matrix of phi,

    nu = 2 (l'Phi l)² / (g'A g)        g_i = l' (dPhi/dphi_i) l

The derivatives are exact. In units of sigma², with V the covariance matrix of y and T = Z'V⁻¹X (q x p),

    dPhi = Phi T' dPsi T Phi,   dPsi = dlam lam' + lam dlam' at each level

so all that is needed is T, by one solve for each column of X, and the products of its rows within levels.
"""

from __future__ import annotations

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
        Of `covariance` in each parameter of `Information`, shape (k+1, p, p).
    parameters
        Asymptotic covariance matrix of those parameters, shape (k+1, k+1).
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
    information = model.information
    unscaled, sigma = model.solution.unscaled_vcov, model.sigma
    derivatives = [np.empty((0, *unscaled.shape))]
    factors = theta.relative_factors(information.theta, information.sizes)
    for lam, rows in zip(factors, projections(model), strict=True):
        influence = rows @ unscaled  # (levels, s, p)
        pairs = np.einsum("jap,jbq->abpq", influence, influence, optimize=True)
        columns, places = np.triu_indices(len(lam))
        halves = np.array([np.tensordot(lam[:, c], pairs[r], 1) for r, c in zip(places, columns, strict=True)])
        derivatives.append(sigma**2 * (halves + halves.transpose(0, 2, 1)))
    last = 2.0 * sigma * unscaled
    kept = np.concatenate([np.concatenate(derivatives)[information.kept], last[None]])
    return Satterthwaite(sigma**2 * unscaled, kept, information.covariance)


def projections(model: LinearMixedModel) -> list[Matrix]:
    """T = Z'V⁻¹X in units of sigma²: per term (levels, s, p), levels sorted.

    Notes
    -----
    V⁻¹X = W (X - Z H Z'WX), with H as in `solve_random`.
    """
    design = model.design
    columns = [products.weighted(design, design.x[j]) for j in model.kept]
    if not columns:
        return products.random_sums(design, [])
    solved = products.unstacked(design, model.solve_random(products.stacked(products.random_sums(design, columns))))
    fitted = products.random_values(design, solved)
    return products.random_sums(
        design, (x - products.weighted(design, z) for x, z in zip(columns, fitted, strict=True))
    )
