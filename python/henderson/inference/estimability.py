"""Which linear functions of the fixed effects the data determine when some columns of X are aliased.

With X_a = X_k C for the aliased and the kept columns, l'beta is estimable if and only if l is in the row space of X:

    l_a = C' l_k

and is then l_k'beta_k. Where no column is aliased every function is estimable. Columns are scaled to a largest value
of one, so that units do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Matrix = NDArray[np.float64]

TOLERANCE = 1e-8
"""Relative size of a difference that makes a function not estimable."""
CHUNK = 2**16


@dataclass(frozen=True, eq=False)
class Estimability:
    """The kept and the aliased columns of X, and how the former determine the latter.

    Attributes
    ----------
    kept, aliased
        Column numbers.
    coefficients
        C above, for scaled columns, shape (kept, aliased).
    scale
        Largest absolute value of each column of X, shape (columns,).
    """

    kept: tuple[int, ...]
    aliased: tuple[int, ...]
    coefficients: Matrix
    scale: NDArray[np.float64]

    def on_kept(self, functions: Matrix) -> Matrix:
        """The coefficients of the columns that were kept, shape (r, rank)."""
        return functions[:, list(self.kept)]

    def gaps(self, functions: Matrix) -> Matrix:
        """By how much functions of scaled columns miss what estimability asks for, shape (r, aliased)."""
        scaled = functions / self.scale
        result: Matrix = scaled[:, list(self.aliased)] - self.on_kept(scaled) @ self.coefficients
        return result

    def is_estimable(self, functions: Matrix) -> NDArray[np.bool_]:
        """Whether each row of `functions` (r, all columns of X) is estimable; a row with NaN is not."""
        size = np.linalg.norm(functions / self.scale, axis=1) * (1.0 + np.linalg.norm(self.coefficients))
        with np.errstate(invalid="ignore"):
            return np.asarray(np.linalg.norm(self.gaps(functions), axis=1) <= TOLERANCE * size)


def estimability(model: LinearMixedModel) -> Estimability:
    """Find out how the aliased columns of a fit depend on the others."""
    columns = model.design.x
    kept = list(model.kept)
    aliased = [i for i in range(len(columns)) if i not in set(kept)]
    scale = np.ones(len(columns))
    if not aliased:
        return Estimability(tuple(kept), (), np.zeros((len(kept), 0)), scale)
    scale[:] = [_size(column) for column in columns]
    order = kept + aliased
    triangle: Matrix = np.zeros((0, len(order)))
    for start in range(0, model.design.n, CHUNK):  # QR by blocks of rows: X as a whole is never formed
        rows = slice(start, min(start + CHUNK, model.design.n))
        block = np.ones((rows.stop - rows.start, len(order)))
        for place, j in enumerate(order):
            column = columns[j]
            if column is not None:
                block[:, place] = column[rows] / scale[j]
        triangle = np.asarray(np.linalg.qr(np.vstack([triangle, block]), mode="r"))
    rank = len(kept)
    coefficients = np.asarray(np.linalg.solve(triangle[:rank, :rank], triangle[:rank, rank:]), dtype=np.float64)
    return Estimability(tuple(kept), tuple(aliased), coefficients, scale)


def _size(column: NDArray[np.float64] | None) -> float:
    size = 1.0 if column is None else float(np.abs(column).max(initial=0.0))
    return size or 1.0
