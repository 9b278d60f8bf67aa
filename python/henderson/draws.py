"""Responses drawn from a fitted model, many at a time, reproducibly.

Replicates are drawn in blocks, each with a random generator of its own (Philox, seeded by the user's seed and the
number of the block). The size of a block depends on nothing but the number of rows, so a replicate is the same to the
last bit however many are drawn and however many threads fit them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_intervals, theta
from henderson.residuals import conditional_mean, marginal_mean

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

BLOCK_VALUES = 2**20
"""Numbers in a block of responses, at most."""
LARGEST_BLOCK = 256


def checked_seed(seed: Any) -> int:
    """A seed as a non-negative integer; a fresh one where the user gave none."""
    if seed is None:
        drawn: Any = np.random.SeedSequence().entropy
        return int(drawn)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise errors_intervals.seed_invalid(seed)
    return int(seed)


def checked_count(count: object) -> int:
    """A number of replicates."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise errors_intervals.count_invalid(count)
    return int(count)


def block_size(rows: int) -> int:
    """Replicates per block for responses of a given length."""
    return max(1, min(LARGEST_BLOCK, BLOCK_VALUES // rows))


def generator(seed: int, block: int) -> np.random.Generator:
    """The random generator of a block."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(block,))))


def blocks(rows: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Number, first replicate and number of replicates wanted of each block."""
    size = block_size(rows)
    for block in range(-(-count // size)):
        yield block, block * size, min(size, count - block * size)


@dataclass(frozen=True, eq=False)
class DrawnTerm:
    """A random term at some rows, of which the effects are drawn.

    Attributes
    ----------
    codes
        (n,) level of each row, 0 .. levels - 1.
    columns
        (n,) float64 each, None for a column of ones.
    levels
        Number of levels to draw effects for.
    factor
        (s, s) F with covariance matrix F F'.
    """

    codes: NDArray[np.int32]
    columns: tuple[Vector | None, ...]
    levels: int
    factor: Matrix


@dataclass(frozen=True, eq=False)
class NormalDraws:
    """Responses mean + Z b + e with b and e drawn from normal distributions.

    Attributes
    ----------
    mean
        (n,) what is not drawn: X beta, an offset, Z b of random effects that are held.
    residual_sd
        Standard deviation of the residuals, one for all rows or (n,).
    terms
        The random terms that are drawn.
    """

    mean: Vector
    residual_sd: Vector | float
    terms: tuple[DrawnTerm, ...]

    def __call__(self, random: np.random.Generator, count: int) -> Matrix:
        """Draw `count` responses, shape (count, n), one a row."""
        response = random.standard_normal((count, len(self.mean)))
        response *= self.residual_sd
        response += self.mean
        for term in self.terms:
            spherical = random.standard_normal((count, term.levels, len(term.factor)))
            add_effects(response, spherical @ term.factor.T, term.codes, term.columns)
        return response


def residual_sd(sigma: float, weights: Vector | None) -> Vector | float:
    """Standard deviations of residuals: sigma over the square roots of the weights."""
    return sigma if weights is None else sigma / np.sqrt(weights)


def parametric_draws(model: LinearMixedModel) -> NormalDraws:
    """Responses of a fitted model: its estimates are the truth."""
    design = model.design
    sizes = [len(term.columns) for term in design.terms]
    relative = theta.relative_factors(np.asarray(model.optimum.theta), sizes)
    terms = tuple(
        DrawnTerm(
            design.factors[term.factor].codes, term.columns, design.factors[term.factor].n_levels, model.sigma * lam
        )
        for term, lam in zip(design.terms, relative, strict=True)
    )
    return NormalDraws(marginal_mean(model), residual_sd(model.sigma, design.weights), terms)


class ResidualDraws:
    """Responses X beta + Z b + e with b and e resampled from their predictions.

    Notes
    -----
    Conditional modes are shrunk: their spread is less than the variance they estimate. Those of each term are centred
    and transformed linearly so that their covariance matrix is the estimated one, the residuals (times the square root
    of the weights) are centred and rescaled to the estimated sigma. Levels and rows are then drawn with replacement.

    References
    ----------
    Carpenter, J. R., Goldstein, H. and Rasbash, J. (2003). A novel bootstrap procedure for assessing the relationship
    between class size and achievement. Applied Statistics 52, 431-443.
    """

    def __init__(self, model: LinearMixedModel) -> None:
        design = model.design
        sizes = [len(term.columns) for term in design.terms]
        self._design = design
        self._mean = marginal_mean(model)
        covariances = [model.sigma**2 * psi for psi in theta.covariances(np.asarray(model.optimum.theta), sizes)]
        self._effects = [reflated(b, target) for b, target in zip(model.solution.b, covariances, strict=True)]
        root = 1.0 if design.weights is None else np.sqrt(design.weights)
        errors = (design.y - conditional_mean(model)) * root
        self._errors = reflated(errors[:, None], np.array([[model.sigma**2]]))[:, 0]
        self._root: Vector | float = root

    def __call__(self, random: np.random.Generator, count: int) -> Matrix:
        """Draw `count` responses, shape (count, n), one a row."""
        design = self._design
        response = self._errors[random.integers(len(self._errors), size=(count, design.n))]
        response /= self._root
        response += self._mean
        for term, effects in zip(design.terms, self._effects, strict=True):
            drawn = effects[random.integers(len(effects), size=(count, len(effects)))]
            add_effects(response, drawn, design.factors[term.factor].codes, term.columns)
        return response


def add_effects(
    response: Matrix, effects: NDArray[np.float64], codes: NDArray[np.int32], columns: tuple[Vector | None, ...]
) -> None:
    """Add Z b to responses (count, n) in place, for random effects (count, levels, s)."""
    for k, column in enumerate(columns):
        varying = np.take(np.ascontiguousarray(effects[:, :, k]), codes, axis=1)
        if column is not None:
            varying *= column
        response += varying


def reflated(values: Matrix, target: Matrix) -> Matrix:
    """Rows (m, s), centred and transformed linearly so that their covariance matrix (divisor m) is `target`.

    Directions in which the rows do not vary stay without variation.
    """
    centred = values - values.mean(axis=0)
    result: Matrix = centred @ _root(centred.T @ centred / len(centred), -0.5) @ _root(target, 0.5)
    return result


def _root(matrix: Matrix, power: float) -> Matrix:
    """A power of a positive semidefinite matrix; its null directions stay null."""
    values, vectors = np.linalg.eigh(matrix)
    is_positive = values > 1e-12 * max(values[-1], 0.0)
    powers = np.where(is_positive, np.where(is_positive, values, 1.0) ** power, 0.0)
    result: Matrix = (vectors * powers) @ vectors.T
    return result
