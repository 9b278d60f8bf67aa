"""What a fit from arrays is given, checked and laid out for the core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import errors_fit
from henderson.compiled import Vector

Columns = list[Vector | None]


class RandomTerm:
    """One random-effects term: the level of each row, and the columns whose effects vary over levels.

    Build it once and pass it to many fits: it is checked and converted here, not in every fit.

    Parameters
    ----------
    codes
        Level of each row, integers 0, 1, ..., shape (n,). Terms with the same codes share one grouping factor.
    Z
        Columns with an effect per level, shape (n,) or (n, s). None: a random intercept. A random intercept and slope
        is ``np.column_stack([np.ones(n), x])``.
    levels
        Number of levels. None: one more than the largest code.

    Raises
    ------
    DataError
        When the codes are not integers in 0 .. levels - 1 or Z is not numeric with one row per code.

    Examples
    --------
    >>> import numpy as np
    >>> RandomTerm(np.repeat([0, 1, 2], 4))
    RandomTerm(n=12, levels=3, effects=1)
    """

    __slots__ = ("codes", "columns", "levels")

    def __init__(self, codes: ArrayLike, Z: ArrayLike | None = None, levels: int | None = None) -> None:
        given = np.asarray(codes)
        if given.ndim != 1 or given.dtype.kind not in "iu" or given.size == 0:
            raise errors_fit.codes_not_integers(given.dtype, given.shape)
        lowest, highest = int(given.min()), int(given.max())
        count = highest + 1 if levels is None else int(levels)
        if lowest < 0 or highest >= count or count > np.iinfo(np.int32).max:
            raise errors_fit.codes_out_of_range(lowest, highest, count)
        self.codes: NDArray[np.int32] = np.ascontiguousarray(given, dtype=np.int32)
        self.columns: Columns = [None] if Z is None else _columns("Z", Z, len(given))
        self.levels = count
        if not self.columns:
            raise errors_fit.no_columns("Z")

    def __repr__(self) -> str:
        return f"RandomTerm(n={len(self.codes)}, levels={self.levels}, effects={len(self.columns)})"


@dataclass(frozen=True, eq=False, slots=True)
class Inputs:
    """What stays the same when the response changes."""

    n: int
    x: Columns
    terms: tuple[RandomTerm, ...]
    weights: Vector | None
    offset: Vector | None

    def response(self, y: ArrayLike) -> Vector:
        """Copy y (the caller may reuse its buffer for the next response) and subtract the offset."""
        try:
            response = np.array(y, dtype=np.float64)
        except (TypeError, ValueError) as problem:
            raise errors_fit.not_numeric("y", problem) from None
        if response.shape != (self.n,):
            raise errors_fit.wrong_shape("y", response.shape, f"({self.n},)")
        return response if self.offset is None else response - self.offset


def gather(
    X: ArrayLike | None, terms: Sequence[RandomTerm], weights: ArrayLike | None, offset: ArrayLike | None
) -> Inputs:
    """Check shapes and convert to what the core takes."""
    if isinstance(terms, RandomTerm) or not terms:
        raise errors_fit.no_terms()
    n = -1
    for i, term in enumerate(terms):
        if not isinstance(term, RandomTerm):
            raise errors_fit.not_a_random_term(i, term)
        if i == 0:
            n = len(term.codes)
        elif len(term.codes) != n:
            raise errors_fit.wrong_shape(f"codes of terms[{i}]", term.codes.shape, f"({n},)")
    x = [] if X is None else _columns("X", X, n)
    w = None if weights is None else _vector("weights", weights, n)
    if w is not None and not w.min() > 0:
        raise errors_fit.weights_not_positive(int(np.argmin(w)), float(w.min()))
    return Inputs(n, x, tuple(terms), w, None if offset is None else _vector("offset", offset, n))


def share_factors(
    terms: Sequence[RandomTerm],
) -> tuple[list[NDArray[np.int32]], list[int], list[tuple[int, Sequence[Vector | None]]]]:
    """Grouping factors without repetition, and each term's place among them."""
    codes: list[NDArray[np.int32]] = []
    levels: list[int] = []
    layout: list[tuple[int, Sequence[Vector | None]]] = []
    for term in terms:
        for place, known in enumerate(codes):
            if term.codes is known or (term.levels == levels[place] and np.array_equal(term.codes, known)):
                break
        else:
            place = len(codes)
            codes.append(term.codes)
            levels.append(term.levels)
        layout.append((place, term.columns))
    return codes, levels, layout


def as_float(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Convert to float64, without a copy where none is needed."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise errors_fit.not_numeric(name, problem) from None


def _vector(name: str, values: ArrayLike, n: int) -> Vector:
    vector = np.ascontiguousarray(as_float(name, values))
    if vector.shape != (n,):
        raise errors_fit.wrong_shape(name, vector.shape, f"({n},)")
    return vector


def _columns(name: str, values: ArrayLike, n: int) -> Columns:
    matrix = as_float(name, values)
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2 or len(matrix) != n:
        raise errors_fit.wrong_shape(name, matrix.shape, f"({n}, number of columns)")
    return list(np.ascontiguousarray(matrix.T))
