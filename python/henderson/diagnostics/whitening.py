"""A transformation of the rows after which they are uncorrelated, without an n x n matrix.

After multiplication by the square roots of the weights the rows have the covariance I + sum_f A_f A_f', one A_f for
each grouping factor. For the innermost, A'A is block diagonal by level, and with the eigenvalues d of a block

    (I + A A')^(-1/2) = I - A M A'        M = U diag(f(d)) U'        f(d) = 1 / (sqrt(1 + d) (1 + sqrt(1 + d)))

so sums over the levels are all that is needed. The rows transformed by K_1 have the covariance I + sum_f B_f B_f',
B_f = K_1 A_f, which is of the same form for the factor in which the first is nested. Factors that cross come last,
together: their B'B is full, and the only matrix here that is as large as a number of random effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from henderson import errors_diagnostics, theta

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Codes = NDArray[np.int32]

MOST_EFFECTS = 3000
"""Random effects of crossed factors that are decomposed together, at most: seconds and some hundred MB."""


class _Step(Protocol):
    def __call__(self, values: Vector, /) -> Vector: ...


@dataclass(frozen=True, eq=False)
class _ByLevel:
    """I - B M B' for one grouping factor; symmetric.

    Attributes
    ----------
    codes, levels
        Level of each row (n,), number of levels.
    columns
        B without its zeros: (s, n).
    inner, inverse
        M by level, and N with I - B N B' = (I + B B')⁻¹: (levels, s, s).
    """

    codes: Codes
    levels: int
    columns: Matrix
    inner: Matrix
    inverse: Matrix

    def __call__(self, values: Vector) -> Vector:
        sums = np.array([np.bincount(self.codes, column * values, self.levels) for column in self.columns])
        changes = np.einsum("lab,bl->al", self.inner, sums)
        found: Vector = values - np.einsum("an,an->n", self.columns, changes[:, self.codes])
        return found


@dataclass(frozen=True, eq=False)
class _Together:
    """I - K A M A'K' for the effects of crossed factors, K the steps before."""

    steps: Sequence[_Step]
    columns: Any
    inner: Matrix

    def __call__(self, values: Vector) -> Vector:
        sums = self.columns.T @ _applied(self.steps[::-1], values)
        return values - _applied(self.steps, self.columns @ (self.inner @ sums))


class Whitening:
    """K with K W^(1/2) V W^(1/2) K' = I, V = Cov(y) / sigma² at the estimated theta.

    Parameters
    ----------
    model
        A fitted model.

    Raises
    ------
    DataError
        More than `MOST_EFFECTS` random effects belong to factors that cross the one with most levels.
    """

    def __init__(self, model: LinearMixedModel) -> None:
        design = model.design
        columns = _columns_by_factor(model)
        nested, crossed = _nesting(design, sorted(columns, key=lambda factor: -design.factors[factor].n_levels))
        chain: list[_ByLevel] = []
        for factor in nested:
            own = np.array([_applied(chain, column) for column in columns[factor]])
            chain.append(_by_level(design.factors[factor].codes, design.factors[factor].n_levels, own))
        steps: list[_Step] = [*chain]
        if crossed:
            effects = sum(design.factors[factor].n_levels * len(columns[factor]) for factor in crossed)
            if effects > MOST_EFFECTS:
                names = [design.factors[factor].name for factor in crossed]
                raise errors_diagnostics.whitening_too_large(names, effects, MOST_EFFECTS)
            steps.append(_together(design, {factor: columns[factor] for factor in crossed}, chain))
        self._steps = steps

    def __call__(self, values: Vector) -> Vector:
        """K times a vector (n,) or each row of a matrix (m, n), already multiplied by the roots of the weights."""
        if values.ndim == 1:
            return _applied(self._steps, values)
        return np.array([_applied(self._steps, row) for row in values])


def _applied(steps: Sequence[_Step], values: Vector) -> Vector:
    for step in steps:
        values = step(values)
    return values


def _columns_by_factor(model: LinearMixedModel) -> dict[int, Matrix]:
    """W^(1/2) Z_t lam_t, the terms of a factor one below another, by factor: (s, n); without those that are zero."""
    design = model.design
    factors = theta.relative_factors(model.optimum.theta, [len(term.columns) for term in design.terms])
    found: dict[int, list[Vector]] = {}
    for t, (term, lam) in enumerate(zip(design.terms, factors, strict=True)):
        spread = design.z_matrix(t) @ lam
        if design.weights is not None:
            spread *= np.sqrt(design.weights)[:, None]
        found.setdefault(term.factor, []).extend(column for column in spread.T if column.any())
    return {factor: np.array(columns) for factor, columns in found.items() if columns}


def _nesting(design: DesignMatrices, order: Sequence[int]) -> tuple[list[int], list[int]]:
    """A chain of factors, each nested in the next, and the factors that cross it."""
    chain: list[int] = []
    crossed: list[int] = []
    for factor in order:
        codes = design.factors[factor].codes
        is_outer = all(_contains(codes, design.factors[inner].codes, design.factors[inner].n_levels) for inner in chain)
        (chain if is_outer else crossed).append(factor)
    return chain, crossed


def _contains(outer: Codes, inner: Codes, levels: int) -> bool:
    own = np.empty(levels, dtype=outer.dtype)
    own[inner] = outer
    return bool(np.array_equal(own[inner], outer))


def _by_level(codes: Codes, levels: int, columns: Matrix) -> _ByLevel:
    size = len(columns)
    squares = np.empty((levels, size, size))
    for a in range(size):
        for b in range(a + 1):
            squares[:, a, b] = squares[:, b, a] = np.bincount(codes, columns[a] * columns[b], levels)
    return _ByLevel(codes, levels, columns, *_inner(squares))


def _inner(squares: Matrix) -> tuple[Matrix, Matrix]:
    """M and N of each B'B."""
    values, vectors = np.linalg.eigh(squares)
    root = np.sqrt(1.0 + np.maximum(values, 0.0))
    turned = np.swapaxes(vectors, -1, -2)
    return (vectors / (root * (1.0 + root))[..., None, :]) @ turned, (vectors / (root**2)[..., None, :]) @ turned


def _together(design: DesignMatrices, columns: dict[int, Matrix], chain: Sequence[_ByLevel]) -> _Together:
    """The step for crossed factors: with D_i = K_1 ... K_(i-1) B_i, K'K = I - sum_i D_i N_i D_i', and B'B = A'K'K A."""
    from scipy import sparse

    def by_level(codes: Codes, levels: int, own: Matrix) -> Any:
        parts = [sparse.csr_array((column, (np.arange(len(codes)), codes)), (len(codes), levels)) for column in own]
        return sparse.hstack(parts, format="csc")

    factors = [(design.factors[factor], own) for factor, own in columns.items()]
    stacked = sparse.hstack([by_level(factor.codes, factor.n_levels, own) for factor, own in factors], format="csc")
    squares = stacked.T @ stacked
    for i, step in enumerate(chain):
        turned = np.array([_applied(chain[:i][::-1], column) for column in step.columns])
        mixed = by_level(step.codes, step.levels, turned).T @ stacked
        size = len(turned)
        inner = [[sparse.diags_array(step.inverse[:, a, b]) for b in range(size)] for a in range(size)]
        squares = squares - mixed.T @ (sparse.block_array(inner, format="csr") @ mixed)
    dense = squares.toarray()
    return _Together(chain, stacked, _inner(0.5 * (dense + dense.T))[0])
