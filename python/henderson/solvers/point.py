"""A point on the way to the optimum: loadings of each term, and the slope of the criterion in their own coordinates.

With Psi_t = Sigma_t / sigma² = L_t L_t', r_t its rank, and G_t = d f / d Psi_t (docs/theory.md, section 4), the effects
of a level are b = L_t u with u ~ N(0, sigma² I), and all steps are functions of

    K_t = L_t' G_t L_t        (r, r)        N_t' G_t L_t        (s - r, r)

where the columns of N_t are directions without variance. u has no units, nor has K_t, and

    L_t'(sum_j [Z'PZ]_jj) L_t - sum_j u_j u_j' / sigma²  =  K_t  =  m_t I - sum_j E[u_j u_j' | y] / sigma²

where m_t is the number of levels. Both follow from the exact gradient in theta: the lower triangle of lam'T needs only
the lower triangle of T = G lam, which is half the gradient, and lam = [L N] but for a rotation. The columns of N have
the length `NEGLIGIBLE` for that: the criterion then differs from its value without them by less than its rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from henderson import _core
from henderson.compiled import CompiledProblem, Solution
from henderson.theta import relative_factors, triangle

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

LEAST = 1e-2
"""Variances that are lifted off the boundary become this part of the sampling variance of an average level."""
NEAR = 0.02
"""A point with a variance below this part of it, or with none in some direction, is near the boundary."""
NEGLIGIBLE = 1e-7
"""Standard deviations below this part of the sampling standard deviation of an average level are zero."""
ROUNDING = 1e-12
"""Changes of the criterion below this part of it are rounding."""
FLAT = 1e-13
"""Directions in which there is less than this part of the information have none."""


@dataclass(frozen=True, eq=False)
class Model:
    """What a solver works on.

    Attributes
    ----------
    problem, y, is_reml, tolerance
        The compiled design, the response, which criterion, and the drop of it that does not matter.
    sizes, levels
        Effects per level and number of levels of each random term.
    roots
        R of each term, (s, s): R'R is the information of an average level on its effects, were they fixed.
    """

    problem: CompiledProblem
    y: Vector
    is_reml: bool
    tolerance: float
    sizes: tuple[int, ...]
    levels: tuple[int, ...]
    roots: tuple[Matrix, ...]

    @classmethod
    def of(cls, problem: CompiledProblem, y: Vector, is_reml: bool, tolerance: float = 1e-10) -> Model:
        """Read the layout off a compiled problem."""
        _, _, levels, terms, _ = problem.arrays
        sizes = tuple(len(columns) for _, columns in terms)
        own = tuple(levels[factor] for factor, _ in terms)
        information = problem.traces(np.zeros(sum(s * (s + 1) // 2 for s in sizes)))
        roots = tuple(_root(total / m) for total, m in zip(information, own, strict=True))
        return cls(problem, y, is_reml, tolerance, sizes, own, roots)

    def at(self, theta: Vector) -> Point:
        """Evaluate the criterion and its gradient."""
        factors = relative_factors(theta, self.sizes)
        spectra = [Spectrum.of(factor, root) for factor, root in zip(factors, self.roots, strict=True)]
        rotations = [spectrum.rotation for spectrum in spectra]
        if not all(spectrum.is_full for spectrum in spectra):
            theta = theta_of([triangular(spectrum.loadings) for spectrum in spectra])
            pairs = [_factored(spectrum.filled) for spectrum in spectra]
            factors, rotations = [factor for factor, _ in pairs], [rotation for _, rotation in pairs]
        filled = theta_of(factors)
        criterion, gradient = self.problem.gradient(self.y, filled, self.is_reml)
        halves = relative_factors(0.5 * gradient, self.sizes)
        slopes = []
        for spectrum, q, factor, half in zip(spectra, rotations, factors, halves, strict=True):
            slope = q.T @ _symmetric(factor.T @ half) @ q[:, : spectrum.rank]
            slope[spectrum.rank :] /= NEGLIGIBLE
            slopes.append(slope)
        return Point(self, theta, filled, criterion, spectra, slopes, rotations)

    def lifted(self, theta: Vector, least: float) -> Vector:
        """Theta with variances raised to `LEAST` where they are below `least`.

        Both are parts of the sampling variance of an average level. EM and its kin never leave a boundary that they
        start on.
        """
        factors = []
        for factor, root in zip(relative_factors(theta, self.sizes), self.roots, strict=True):
            own = Spectrum.of(factor, root)
            if own.lengths[-1] ** 2 < least:
                lengths = np.sqrt(np.where(own.lengths**2 < least, LEAST, own.lengths**2))
                factor = triangular(own.directions * lengths)
            factors.append(factor)
        return theta_of(factors)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The principal axes of Psi = lam lam', in units of the sampling variance of an average level in each direction.

    Attributes
    ----------
    directions
        D (s, s), R D orthogonal.
    lengths
        Standard deviations along them, falling, (s,).
    rank
        How many of them are not negligible.
    inverse
        D⁻¹ (s, s).
    rotation
        The orthogonal Q (s, s) of lam Q = D times lengths.
    """

    directions: Matrix
    lengths: Vector
    rank: int
    inverse: Matrix
    rotation: Matrix

    @classmethod
    def of(cls, factor: Matrix, root: Matrix) -> Spectrum:
        """Decompose a relative factor."""
        axes, lengths, turned = np.linalg.svd(root @ factor)
        return cls(np.linalg.solve(root, axes), lengths, int((lengths > NEGLIGIBLE).sum()), axes.T @ root, turned.T)

    @property
    def is_full(self) -> bool:
        """Whether no direction is without variance."""
        return self.rank == len(self.lengths)

    @cached_property
    def loadings(self) -> Matrix:
        """L (s, r) with L L' = Psi."""
        return self.directions[:, : self.rank] * self.lengths[: self.rank]

    @property
    def basis(self) -> Matrix:
        """[L N] (s, s)."""
        return np.hstack([self.loadings, self.directions[:, self.rank :]])

    @property
    def filled(self) -> Matrix:
        """[L N] with N as short as is negligible (s, s)."""
        return self.directions * np.maximum(self.lengths, NEGLIGIBLE)

    @property
    def to_factors(self) -> Matrix:
        """The (r, s) matrix that takes b = L u to u."""
        own: Matrix = self.inverse[: self.rank] / self.lengths[: self.rank, None]
        return own


@dataclass(frozen=True, eq=False)
class Point:
    """A theta, the criterion there, and per term the axes of Psi and [L N]' G L, (s, r); its first r rows are K.

    `filled` is theta with what is negligible in place of zeros.
    """

    model: Model
    theta: Vector
    filled: Vector
    criterion: float
    spectra: list[Spectrum]
    slopes: list[Matrix]
    rotations: list[Matrix]

    @cached_property
    def solution(self) -> Solution:
        """Fixed effects and conditional modes."""
        return self.model.problem.solve(self.model.y, self.filled, self.model.is_reml)

    @property
    def is_near_boundary(self) -> bool:
        """Whether some variance is small or zero."""
        return any(spectrum.lengths[-1] ** 2 < NEAR for spectrum in self.spectra)

    @property
    def modes(self) -> list[Matrix]:
        """Conditional modes of u, per term (levels, r)."""
        own = zip(self.solution.u, self.rotations, self.spectra, strict=True)
        return [u @ q[:, : spectrum.rank] for u, q, spectrum in own]

    def is_no_better_than(self, other: Point) -> bool:
        """Whether the criterion of another point is no larger."""
        return other.criterion <= self.criterion + ROUNDING * max(1.0, abs(self.criterion))

    @cached_property
    def proof(self) -> _core.Optimum:
        """What Newton's method says of this point: decrement, ranks, slope into the interior, convergence."""
        return self.model.problem.fit(self.model.y, self.model.is_reml, self.theta, self.model.tolerance, 1)


def theta_of(factors: Sequence[Matrix]) -> Vector:
    """Lower triangles, down their columns, term after term."""
    return np.concatenate([factor.T[triangle(len(factor))] for factor in factors])


def triangular(root: Matrix) -> Matrix:
    """The lower triangle (s, s) with a non-negative diagonal that has the product L L' of a root (s, r), r <= s."""
    size, rank = root.shape
    lower = np.zeros((size, size))
    if rank > 0:
        found: Matrix = np.asarray(np.linalg.qr(root.T, mode="r")).T
        lower[:, :rank] = np.tril(found * np.where(np.diag(found) < 0, -1.0, 1.0))
    return lower


def _factored(root: Matrix) -> tuple[Matrix, Matrix]:
    """The triangular lam, and the orthogonal Q, of lam Q = root; to rounding, whatever the lengths of the columns."""
    turned, lower = np.linalg.qr(root.T)
    sign = np.where(np.diag(lower) < 0, -1.0, 1.0)
    return np.tril(lower.T * sign), (turned * sign).T


def square_root(matrix: Matrix) -> Matrix:
    """The symmetric square root of a positive semidefinite matrix; eigenvalues that rounding made negative are zero."""
    values, vectors = np.linalg.eigh(matrix)
    root: Matrix = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root


def _symmetric(lower: Matrix) -> Matrix:
    """The symmetric matrix of which only the lower triangle is right."""
    return np.tril(lower) + np.tril(lower, -1).T


def _root(information: Matrix) -> Matrix:
    """R with R'R = information; where a column is determined by others it has a scale, though no information."""
    own = np.diag(information)
    scale = np.sqrt(np.where(own > 0, own, 1.0))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    root: Matrix = np.sqrt(np.where(values > FLAT, values, 1.0))[:, None] * vectors.T * scale
    return root
