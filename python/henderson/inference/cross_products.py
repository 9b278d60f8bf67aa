"""Cross-products of a design: Z'W X, and Z'W Z times vectors, without forming Z.

Vectors over the random effects run term after term, code after code, the effects of a level side by side: the order of
the compiled problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson.inference import products

if TYPE_CHECKING:
    from henderson.design import DesignMatrices

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def cross_product_zx(design: DesignMatrices, columns: Iterable[products.Column]) -> Matrix:
    """Z'W X for some columns of X, (q, p)."""
    return _sums(design, (products.weighted(design, column) for column in columns))


def cross_product_zz(design: DesignMatrices, effects: Matrix) -> Matrix:
    """Z'W Z times `effects`, (q, m) each."""
    return _sums(design, (products.weighted(design, column) for column in _values(design, effects)))


def _sums(design: DesignMatrices, columns: Iterable[Vector]) -> Matrix:
    """Z'v for several columns v, (q, m)."""
    found = []
    for column in columns:
        parts = []
        for term in design.terms:
            factor = design.factors[term.factor]
            own = [column if z is None else column * z for z in term.columns]
            parts.append(np.column_stack([np.bincount(factor.codes, v, factor.n_levels) for v in own]).ravel())
        found.append(np.concatenate(parts))
    if not found:
        sizes = [design.factors[term.factor].n_levels * len(term.columns) for term in design.terms]
        return np.zeros((sum(sizes), 0))
    return np.asarray(found, dtype=np.float64).T


def _values(design: DesignMatrices, effects: Matrix) -> Iterator[Vector]:
    """Z times each column of `effects`."""
    for column in effects.T:
        total, start = np.zeros(design.n), 0
        for term in design.terms:
            factor = design.factors[term.factor]
            size = len(term.columns)
            own = column[start : start + factor.n_levels * size].reshape(-1, size)
            start += own.size
            for a, z in enumerate(term.columns):
                varying = np.ascontiguousarray(own[:, a])[factor.codes]
                total += varying if z is None else varying * z
        yield total
