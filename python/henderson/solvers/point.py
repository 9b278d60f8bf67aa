"""A point on the way to the optimum: the relative factors, and the slope of the criterion in their own coordinates.

With lam_t the factor of term t and G_t = d f / d Psi_t, Psi_t = lam_t lam_t' (docs/theory.md, section 4), all steps are
functions of

    K_t = lam_t' G_t lam_t        (s, s)

In coordinates b = lam u each level has the prior variance sigma² I, so that K_t has no units, and

    lam_t'(sum_j [Z'PZ]_jj) lam_t - sum_j u_j u_j' / sigma²  =  K_t  =  m_t I - sum_j E[u_j u_j' | y] / sigma²

where m_t is the number of levels. K_t follows from the exact gradient in theta without a division: the lower triangle
of lam' T needs only the lower triangle of T = G lam, which is half the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from henderson.compiled import CompiledProblem, Solution
from henderson.theta import relative_factors

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

LEAST = 1e-2
"""Variances that are lifted off the boundary become this part of the sampling variance of an average level."""


@dataclass(frozen=True, eq=False)
class Model:
    """What a solver works on.

    Attributes
    ----------
    problem, y, is_reml
        The compiled design, the response, and which criterion.
    sizes, levels
        Effects per level and number of levels of each random term.
    """

    problem: CompiledProblem
    y: Vector
    is_reml: bool
    sizes: tuple[int, ...]
    levels: tuple[int, ...]

    @classmethod
    def of(cls, problem: CompiledProblem, y: Vector, is_reml: bool) -> Model:
        """Read the layout off a compiled problem."""
        _, _, levels, terms, _ = problem.arrays
        sizes = tuple(len(columns) for _, columns in terms)
        return cls(problem, y, is_reml, sizes, tuple(levels[factor] for factor, _ in terms))

    def at(self, theta: Vector) -> Point:
        """Evaluate the criterion and its gradient."""
        criterion, gradient = self.problem.gradient(self.y, theta, self.is_reml)
        factors = relative_factors(theta, self.sizes)
        halves = relative_factors(0.5 * gradient, self.sizes)
        slopes = [_symmetric(factor.T @ half) for factor, half in zip(factors, halves, strict=True)]
        return Point(self, theta, criterion, factors, slopes)

    def lifted(self, theta: Vector, least: float) -> Vector:
        """Theta with variances raised to `LEAST` where they are below `least`.

        Both are parts of the sampling variance of an average level. EM and its kin never leave a boundary that they
        start on.
        """
        factors = []
        information = self.problem.traces(np.zeros_like(theta))
        for factor, total, levels in zip(relative_factors(theta, self.sizes), information, self.levels, strict=True):
            own = np.diag(total) / levels
            scale = np.sqrt(np.where(own > 0, own, 1.0))
            values, vectors = np.linalg.eigh((scale[:, None] * factor) @ (scale[:, None] * factor).T)
            if values[0] < least:
                raised = vectors * np.sqrt(np.where(values < least, LEAST, values))
                factor = triangular(raised / scale[:, None])
            factors.append(factor)
        return theta_of(factors)


@dataclass(frozen=True, eq=False)
class Point:
    """A theta, the criterion there, and per term the relative factor and K (see above), (s, s) each."""

    model: Model
    theta: Vector
    criterion: float
    factors: list[Matrix]
    slopes: list[Matrix]

    @cached_property
    def solution(self) -> Solution:
        """Fixed effects and conditional modes."""
        return self.model.problem.solve(self.model.y, self.theta, self.model.is_reml)


def theta_of(factors: Sequence[Matrix]) -> Vector:
    """Lower triangles, down their columns, term after term."""
    return np.concatenate([factor.T[np.triu_indices(len(factor))] for factor in factors])


def triangular(root: Matrix) -> Matrix:
    """The lower triangle with a non-negative diagonal that has the same product L L' as a square root."""
    lower: Matrix = np.asarray(np.linalg.qr(root.T, mode="r")).T
    return np.tril(lower * np.where(np.diag(lower) < 0, -1.0, 1.0))


def square_root(matrix: Matrix) -> Matrix:
    """The symmetric square root of a positive semidefinite matrix; eigenvalues that rounding made negative are zero."""
    values, vectors = np.linalg.eigh(matrix)
    root: Matrix = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root


def _symmetric(lower: Matrix) -> Matrix:
    """The symmetric matrix of which only the lower triangle is right."""
    return np.tril(lower) + np.tril(lower, -1).T
