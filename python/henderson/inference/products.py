"""Products with Z and Z'W without forming Z: a gather or a sum over levels for each column of a random term.

Vectors over the random effects are in the order of the columns of `model.Z`: term after term, level after level
(sorted), the effects of a level side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from henderson.design import DesignMatrices

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Column = NDArray[np.float64] | None
"""(n,), or None for a column of ones."""


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
