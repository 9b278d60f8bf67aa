"""Products with Z and Z'W without forming Z: a gather or a sum over levels for each column of a random term.

Vectors over the random effects are in the order of the columns of `model.Z`: term after term, level after level
(sorted), the effects of a level side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from henderson.design import DesignMatrices

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Column = NDArray[np.float64] | None
"""(n,), or None for a column of ones."""

DEPENDENT = 1e-12
"""A column of which less than this part is its own is determined by those before it."""


def weighted(design: DesignMatrices, column: Column) -> Vector:
    """W times a column, shape (n,)."""
    if column is None:
        return np.ones(design.n) if design.weights is None else design.weights
    return column if design.weights is None else column * design.weights


def random_sums(design: DesignMatrices, columns: Iterable[Vector]) -> list[Matrix]:
    """Z'v for each of several columns v: per term (levels, s, columns), levels sorted."""
    factors = [design.factors[term.factor] for term in design.terms]
    orders = [np.asarray(factor.order) for factor in factors]
    sums: list[list[Vector]] = [[] for _ in design.terms]
    for column in columns:
        for term, factor, order, own in zip(design.terms, factors, orders, sums, strict=True):
            for z in term.columns:
                values = column if z is None else column * z
                own.append(np.asarray(np.bincount(factor.codes, values, factor.n_levels)[order], dtype=np.float64))
    shapes = [(-1, len(term.columns), factor.n_levels) for term, factor in zip(design.terms, factors, strict=True)]
    return [
        np.ascontiguousarray(np.reshape(own, shape if own else (0, *shape[1:])).transpose(2, 1, 0))
        for own, shape in zip(sums, shapes, strict=True)
    ]


def random_values(design: DesignMatrices, effects: Sequence[Matrix]) -> Iterator[Vector]:
    """Z times each of several vectors of random effects, given as by `random_sums`: vectors (n,) one by one."""
    positions = [level_positions(design, t) for t in range(len(design.terms))]
    for k in range(effects[0].shape[2]):
        total = np.zeros(design.n)
        for term, position, own in zip(design.terms, positions, effects, strict=True):
            for a, z in enumerate(term.columns):
                varying = own[:, a, k][position][design.factors[term.factor].codes]
                total += varying if z is None else varying * z
        yield total


def orthonormal(design: DesignMatrices, t: int) -> tuple[Matrix, Matrix]:
    """W^(1/2) Z_t = Q R over the columns of a term: Q (n, s) and R (s, s), R as in `triangle`.

    A column that those before it determine is zero in Q, and Q R is what it was to `DEPENDENT`.
    """
    q, r = np.linalg.qr(_weighted_columns(design, t))
    mended, is_dependent = _mended(r)
    return np.where(is_dependent, 0.0, q), mended


def triangle(design: DesignMatrices, t: int) -> Matrix:
    """R, upper triangular (s, s), with R'R = Z_t'W Z_t over the columns of a term.

    In coordinates R b_t its columns are orthonormal, whatever the origins and units of the predictors. R always has an
    inverse: the pivot of a column that those before it determine is the length of the column, or one.
    """
    size = len(design.terms[t].columns)
    if size > 1:
        r: Matrix = np.asarray(np.linalg.qr(_weighted_columns(design, t), mode="r"))
        return _mended(r)[0]
    (z,) = design.terms[t].columns
    total = weighted(design, None).sum() if z is None else np.dot(weighted(design, z), z)
    return np.array([[np.sqrt(total) if total > 0 else 1.0]])


def mapped_columns(design: DesignMatrices, triangles: Sequence[Matrix]) -> DesignMatrices:
    """The design with Z_t R⁻¹ for Z_t, R as in `triangle` (a single column stays); dependent ones are zero."""
    terms = []
    for t, (term, r) in enumerate(zip(design.terms, triangles, strict=True)):
        if len(r) > 1:
            changed = np.linalg.inv(r).T @ design.z_matrix(t).T
            changed[[np.dot(weighted(design, z), z) < 0.5 for z in changed]] = 0.0  # of unit length, or noise
            terms.append(replace(term, columns=tuple(changed)))
        else:
            terms.append(term)
    return replace(design, terms=tuple(terms))


def _weighted_columns(design: DesignMatrices, t: int) -> Matrix:
    columns = design.z_matrix(t)
    if design.weights is not None:
        columns *= np.sqrt(design.weights)[:, None]
    return columns


def _mended(r: Matrix) -> tuple[Matrix, NDArray[np.bool_]]:
    """R with a pivot in every column, and which columns had none, shape (s,)."""
    lengths = np.linalg.norm(r, axis=0)
    is_dependent = np.abs(np.diag(r)) <= DEPENDENT * lengths
    pivots = np.where(is_dependent, np.where(lengths > 0, lengths, 1.0), np.diag(r))
    return np.triu(r, 1) + np.diag(pivots), is_dependent


def level_positions(design: DesignMatrices, term: int) -> NDArray[np.intp]:
    """The place of each code of a term's factor among its sorted levels, shape (levels,)."""
    factor = design.factors[design.terms[term].factor]
    position = np.empty(factor.n_levels, dtype=np.intp)
    position[np.asarray(factor.order)] = np.arange(factor.n_levels)
    return position


def stacked(parts: Sequence[Matrix]) -> Matrix:
    """Per term (levels, s, m) to (q, m)."""
    return np.concatenate([part.reshape(part.shape[0] * part.shape[1], part.shape[2]) for part in parts])


def unstacked(design: DesignMatrices, values: Matrix) -> list[Matrix]:
    """(q, m) to per term (levels, s, m)."""
    shapes = [(design.factors[term.factor].n_levels, len(term.columns)) for term in design.terms]
    stops = np.cumsum([levels * size for levels, size in shapes])
    return [
        part.reshape(*shape, values.shape[1]) for part, shape in zip(np.split(values, stops[:-1]), shapes, strict=True)
    ]
