"""MM: the criterion is replaced by a function above it that touches it here and whose minimum has a closed form.

    log|V| <= its tangent                   S_t = sum_j [Z'PZ]_jj
    r'V⁻¹r <= sum_t tr(Psi_t⁻¹ Psi_t0 U_t Psi_t0) + ...      U_t = sum_j w_j w_j',  w = Z'Pr

The minimum over Psi_t solves Psi S Psi = Psi_0 U Psi_0 / sigma² (Zhou, Hu, Zhou and Lange 2019); for one effect per
level the variance is multiplied by sqrt(U / (sigma² S)). In coordinates Psi = L X L' and with St = L'S L,
Ut = sum_j u_j u_j' / sigma²,

    X St X = Ut        X = C'⁻¹ (C' Ut C)^(1/2) C⁻¹,   St = C C'

St = K + Ut needs nothing that EM does not need, but the conditional modes.

Such a step never leaves the column space of L, and near the boundary it hardly turns Psi. There another function above
the criterion does,

    r'V⁻¹r <= |r - Z L u|² + |u|²        the u_j as they are: a quadratic in L

and its minimum, with a tangent of log|V|, is a regression (`loadings`). The two steps alternate near the boundary.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from henderson.solvers.em import expected_loadings, turned
from henderson.solvers.loadings import Loadings
from henderson.solvers.point import Matrix, Model, Point, Vector, square_root, theta_of, triangular

LARGEST_FALL = 1e-2
"""Variances fall by at most this factor in a step: with fewer levels than effects they would become zero at once."""
NOTHING = 1e-13
"""Information below this part of the number of levels is none: the variance stays."""


class MM:
    """The steps of MM, as `loop.minimise` takes them."""

    def __init__(self, model: Model) -> None:
        self._levels = model.levels
        self._loadings = Loadings(model)
        self._turns = True

    def candidates(self, at: Point) -> Iterator[Vector]:
        """A step of MM; where a variance had to be kept from vanishing, one of EM may be better."""
        self._turns = at.is_near_boundary and not self._turns
        if self._turns:
            yield from turned(at, self._loadings.majorised(at))
        variance = at.solution.sigma**2
        plain = []
        for own, slope, modes, m in zip(at.spectra, at.slopes, at.modes, self._levels, strict=True):
            squares = modes.T @ modes / variance
            ratio = variance_ratio(slope[: own.rank] + squares, squares, NOTHING * m)
            plain.append(own.loadings @ square_root(ratio))
        yield theta_of([triangular(loadings) for loadings in plain])
        yield theta_of([triangular(loadings) for loadings in expected_loadings(at, self._levels)])


def variance_ratio(information: Matrix, squares: Matrix, nothing: float) -> Matrix:
    """The positive semidefinite X with X information X = squares, its eigenvalues at least `LARGEST_FALL`."""
    ridge = nothing * np.eye(len(squares))
    values, vectors = np.linalg.eigh(information)
    root = vectors * np.sqrt(np.maximum(values, 0.0) + nothing)  # root root' = information
    inverse = np.linalg.inv(root)
    found = inverse.T @ square_root(root.T @ (squares + ridge) @ root) @ inverse
    values, vectors = np.linalg.eigh(0.5 * (found + found.T))
    ratio: Matrix = (vectors * np.maximum(values, LARGEST_FALL)) @ vectors.T
    return ratio
