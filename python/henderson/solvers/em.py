"""EM: the covariance matrix of the random effects becomes the mean of what their squares are expected to be.

    Sigma_t  <-  1/m_t  sum_j  E[b_j b_j' | y]  =  1/m_t  sum_j (b_j b_j' + Var(b_j | y))

For REML the fixed effects are random with infinite variance, so that Var(b_j | y) includes their uncertainty (Laird and
Ware 1982). In terms of the gradient, with Psi = Sigma / sigma²,

    Psi_t  <-  Psi_t - Psi_t G_t Psi_t / m_t  =  L_t (I - K_t / m_t) L_t'

Instead of an EM step for sigma, sigma is the best for the new Psi, so that the criterion cannot rise either (ECME, Liu
and Rubin 1994).

Such a step never leaves the column space of L, and near the boundary it hardly turns Psi. There b = L u, with L a
parameter as beta is: its EM step is the regression of y - X beta on Z, u being known as far as it is (EM of factor
analysis, Rubin and Thayer 1982). The two steps alternate near the boundary.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from henderson.solvers.loadings import Loadings, shares
from henderson.solvers.point import Matrix, Model, Point, Vector, square_root, theta_of, triangular


class EM:
    """The steps of EM, as `loop.minimise` takes them."""

    def __init__(self, model: Model) -> None:
        self._levels = model.levels
        self._loadings = Loadings(model)
        self._turns = True

    def candidates(self, at: Point) -> Iterator[Vector]:
        """Where to go from a point, the best first; the last never has a larger criterion."""
        self._turns = at.is_near_boundary and not self._turns
        if self._turns:
            yield from turned(at, self._loadings.expected(at))
        yield theta_of([triangular(loadings) for loadings in expected_loadings(at, self._levels)])


def expected_loadings(at: Point, levels: tuple[int, ...]) -> list[Matrix]:
    """L after one step of EM, (s, r) per term."""
    steps = zip(at.spectra, at.slopes, levels, strict=True)
    return [own.loadings @ square_root(np.eye(own.rank) - slope[: own.rank] / m) for own, slope, m in steps]


def turned(at: Point, steps: list[Matrix]) -> Iterator[Vector]:
    """Theta after these steps of L, and after shorter ones where there are several terms."""
    for share in shares(len(steps)):
        yield theta_of([triangular(own.loadings + share * step) for own, step in zip(at.spectra, steps, strict=True)])
