"""PX-EM: EM in a larger model, in which the random effects may be multiplied by a matrix, b = A b*.

The data say nothing about A and Sigma* apart, only about Sigma = A Sigma* A'. But the EM step in the larger model goes
further: A is the regression of y - X beta on the columns Z b, as far as these are known (Liu, Rubin and Wu 1998). With
A = I + D for each term, D solves

    sum_j (Z_j'W Z_j) D E[b_j b_j' | y]  =  sum_j E[Z_j'W e b_j' | y]  =  -sigma² G Psi

which is the gradient again. Then Sigma <- A Sigma_EM A'. D L is the step of the loadings L in `loadings`, which exists
where Psi has lost rank too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from henderson.solvers.em import expected_loadings
from henderson.solvers.loadings import Loadings, shares
from henderson.solvers.point import Model, Point, Vector, square_root, theta_of, triangular


class PXEM:
    """The steps of PX-EM, as `loop.minimise` takes them."""

    def __init__(self, model: Model) -> None:
        self._levels = model.levels
        self._loadings = Loadings(model)

    def candidates(self, at: Point) -> Iterator[Vector]:
        """A step of PX-EM, one with shorter expansions where there are several terms, one of EM."""
        roots = [
            square_root(np.eye(own.rank) - slope[: own.rank] / m)
            for own, slope, m in zip(at.spectra, at.slopes, self._levels, strict=True)
        ]
        expansions = self._loadings.expected(at)
        for share in shares(len(roots)):
            steps = zip(at.spectra, expansions, roots, strict=True)
            yield theta_of([triangular((own.loadings + share * step) @ root) for own, step, root in steps])
        yield theta_of([triangular(loadings) for loadings in expected_loadings(at, self._levels)])
