"""Sums over the rows and over the levels of random terms, rows of a design, and the chain rule for theta."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import errors_differentiable as errors
from henderson.array_inputs import Inputs, RandomTerm, gather
from henderson.theta import relative_factors

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def times_z(terms: Sequence[RandomTerm], effects: Iterable[Matrix]) -> Vector:
    """The sum over terms of Z_t b_t, shape (n,); b_t is (levels, s)."""
    total = np.zeros(len(terms[0].codes))
    for term, own in zip(terms, effects, strict=True):
        for k, column in enumerate(term.columns):
            part = own[term.codes, k]
            total += part if column is None else column * part
    return total


def elsewhere(known: Sequence[RandomTerm], effects: Sequence[Matrix], terms: Any) -> Vector:
    """The sum of Z_t b_t over terms of other rows; levels that are not known add nothing."""
    given = gather(None, terms, None, None, is_estimated=False).terms
    sizes = [len(term.columns) for term in known]
    if [len(term.columns) for term in given] != sizes:
        raise errors.other_terms([len(term.columns) for term in given], sizes)
    new = [max(term.levels - len(own), 0) for term, own in zip(given, effects, strict=True)]
    return times_z(given, [np.pad(own, ((0, more), (0, 0))) for own, more in zip(effects, new, strict=True)])


def level_sums(term: RandomTerm, values: Vector) -> Matrix:
    """Z_t'v, (levels, s)."""
    products = (values if column is None else column * values for column in term.columns)
    return np.column_stack([np.bincount(term.codes, product, term.levels) for product in products])


def theta_slope(matrices: Iterable[Matrix], theta: Vector, sizes: Sequence[int]) -> Vector:
    """Gradient in theta of a function whose (symmetric) ones in the Psi_t = lam lam' are these."""
    slopes = []
    for matrix, lam in zip(matrices, relative_factors(theta, sizes), strict=True):
        columns, rows = np.triu_indices(len(lam))
        slopes.append((2.0 * matrix @ lam)[rows, columns])
    return np.concatenate(slopes)


def positions_of(rows: ArrayLike, n: int) -> NDArray[np.intp]:
    """Positions of rows given as such or by a mask."""
    try:
        chosen = np.asarray(rows)
    except ValueError:
        raise errors.rows_invalid(rows, n) from None
    if chosen.dtype == bool and chosen.shape == (n,):
        chosen = np.flatnonzero(chosen)
    is_right = chosen.ndim == 1 and chosen.dtype.kind in "iu" and chosen.size > 0
    if not is_right or chosen.min() < 0 or chosen.max() >= n or np.bincount(chosen).max() > 1:
        raise errors.rows_invalid(rows, n)
    return chosen.astype(np.intp)


def subset(inputs: Inputs, positions: NDArray[np.intp]) -> tuple[Matrix | None, list[RandomTerm], Vector | None]:
    """X, terms and weights of some rows; the levels are those that occur, numbered in the same order."""

    def rows_of(columns: Sequence[Vector | None]) -> Matrix:
        ones = np.ones(len(positions))
        return np.column_stack([ones if column is None else column[positions] for column in columns])

    recoded: dict[int, tuple[Any, int]] = {}
    terms = []
    for term in inputs.terms:
        if id(term.codes) not in recoded:
            present, codes = np.unique(term.codes[positions], return_inverse=True)
            recoded[id(term.codes)] = codes, len(present)
        codes, levels = recoded[id(term.codes)]
        terms.append(RandomTerm(codes, None if term.columns == [None] else rows_of(term.columns), levels))
    weights = None if inputs.weights is None else inputs.weights[positions]
    return rows_of(inputs.x) if inputs.x else None, terms, weights
