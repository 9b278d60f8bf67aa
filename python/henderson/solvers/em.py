"""EM: the covariance matrix of the random effects becomes the mean of what their squares are expected to be.

    Sigma_t  <-  1/m_t  sum_j  E[b_j b_j' | y]  =  1/m_t  sum_j (b_j b_j' + Var(b_j | y))

For REML the fixed effects are random with infinite variance, so that Var(b_j | y) includes their uncertainty (Laird and
Ware 1982). In terms of the gradient, with Psi = Sigma / sigma²,

    Psi_t  <-  Psi_t - Psi_t G_t Psi_t / m_t  =  lam_t (I - K_t / m_t) lam_t'

Instead of an EM step for sigma, sigma is the best for the new Psi, so that the criterion cannot rise either (ECME, Liu
and Rubin 1994).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from henderson.solvers.point import Matrix, Model, Point, Vector, square_root, theta_of, triangular


class EM:
    """The steps of EM, as `loop.minimise` takes them."""

    def __init__(self, model: Model) -> None:
        self._levels = model.levels

    def candidates(self, at: Point) -> Iterator[Vector]:
        """Where to go from a point, the best first: here one theta, which never has a larger criterion."""
        yield theta_of(expected_factors(at, self._levels))


def expected_factors(at: Point, levels: tuple[int, ...]) -> list[Matrix]:
    """The relative factors after one step of EM."""
    steps = zip(at.factors, at.slopes, levels, strict=True)
    return [triangular(factor @ square_root(np.eye(len(factor)) - slope / m)) for factor, slope, m in steps]
