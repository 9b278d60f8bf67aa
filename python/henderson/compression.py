"""Fewer rows that say the same: of the rows of one cell, only their cross-products matter to a fit.

A cell is a combination of levels of all grouping factors. With M_c = W^1/2 [Z X y] at the rows of cell c (its distinct
columns side by side) and M_c = Q R, the rows of R stand for those of the cell: R'R = M_c'M_c, and A = [Z X y]'W[Z X y]
is what it was. The criterion needs besides the number of observations and log|W|.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from henderson.columns import Numbers
from henderson.design import DesignMatrices

Matrix = NDArray[np.float64]
BATCH_VALUES = 2**22
"""Numbers in a batch of cells, at most."""


def compressed(design: DesignMatrices, y: Numbers) -> DesignMatrices:
    """A design whose rows stand for those of another: the same criterion, estimates and covariances, no data.

    Parameters
    ----------
    design
        Of a fitted model.
    y
        (n,) response, offset subtracted.

    Returns
    -------
    DesignMatrices
        At most as many rows as a cell has columns, for each cell; unweighted, without offset and without the values of
        the variables. Its columns of ones are no longer ones. Not for anything that needs the rows themselves.

    Notes
    -----
    The triangles come from QR decompositions, not from cross-products: no digits are lost to the squares.
    """
    places, own = _distinct([*design.x, *(column for term in design.terms for column in term.columns)])
    table = np.column_stack([*(np.ones(design.n) if column is None else column for column in own), y])
    if design.weights is not None:
        table *= np.sqrt(design.weights)[:, None]
    cells, counts = _cells(design)
    rows, source = _triangles(table, cells, counts)
    columns: list[Numbers] = [np.ascontiguousarray(column) for column in rows.T]
    taken = iter([columns[place] for place in places])
    x: list[Numbers | None] = [next(taken) for _ in design.x]
    terms = tuple(replace(term, columns=tuple(next(taken) for _ in term.columns)) for term in design.terms)
    factors = tuple(replace(factor, codes=np.ascontiguousarray(factor.codes[source])) for factor in design.factors)
    log_weights = 0.0 if design.weights is None else float(np.log(design.weights).sum())
    if design.represented is not None:
        log_weights += design.represented[1]
    return replace(
        design,
        y=columns[-1],
        x=x,
        terms=terms,
        factors=factors,
        weights=None,
        offset=None,
        rows=None,
        values={},
        table_index=None,
        represented=(design.nobs, log_weights),
    )


def _distinct(columns: Iterable[Numbers | None]) -> tuple[list[int], list[Numbers | None]]:
    """The place of each column among the distinct ones (by identity), and those."""
    places: list[int] = []
    found: dict[int, int] = {}
    distinct: list[Numbers | None] = []
    for column in columns:
        if id(column) not in found:
            found[id(column)] = len(distinct)
            distinct.append(column)
        places.append(found[id(column)])
    return places, distinct


def _cells(design: DesignMatrices) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows sorted by cell, and the number of rows of each cell."""
    order = np.lexsort([factor.codes for factor in reversed(design.factors)])
    is_first = np.zeros(design.n, dtype=bool)
    is_first[0] = True
    for factor in design.factors:
        sorted_codes = factor.codes[order]
        is_first[1:] |= sorted_codes[1:] != sorted_codes[:-1]
    starts = np.flatnonzero(is_first)
    return order, np.diff(np.append(starts, design.n))


def _triangles(table: Matrix, order: NDArray[np.intp], counts: NDArray[np.intp]) -> tuple[Matrix, NDArray[np.intp]]:
    """Rows that stand for those of each cell, cell after cell, and for each a row of its cell."""
    width = table.shape[1]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    kept = np.minimum(counts, width)
    ends = np.cumsum(kept)
    result = np.empty((int(ends[-1]), width))
    source = np.repeat(order[starts], kept)
    for count in np.unique(counts):
        cells = np.flatnonzero(counts == count)
        step = max(1, BATCH_VALUES // (int(count) * width))
        for some in np.split(cells, range(step, len(cells), step)):
            values = table[order[starts[some][:, None] + np.arange(count)]]
            if count > width:
                values = np.linalg.qr(values, mode="r")
            to = (ends[some] - kept[some])[:, None] + np.arange(min(count, width))
            result[to] = values
    return result, source
