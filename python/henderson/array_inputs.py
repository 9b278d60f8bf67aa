"""What a fit from arrays is given, checked and laid out for the core."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import errors, errors_fit
from henderson.compiled import Vector
from henderson.conversion import as_float, explain, explain_response, first_unusable, minus
from henderson.errors import DataError

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
        Number of levels, at most 10 n + 1 000 000 (n the number of rows): each takes memory, even without rows. None:
        one more than the largest code.

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

    __slots__ = ("codes", "columns", "is_too_fine", "levels", "only_level")

    def __init__(self, codes: ArrayLike, Z: ArrayLike | None = None, levels: int | None = None) -> None:
        given = _integers(codes)
        n = len(given)
        lowest, highest = int(given.min()), int(given.max())
        count = highest + 1 if levels is None else _count(levels)
        if lowest < 0 or highest >= count:
            raise errors_fit.codes_out_of_range(lowest, highest, count)
        if count > min(10 * n + 1_000_000, np.iinfo(np.int32).max):
            raise errors_fit.levels_too_many(lowest, highest, count, n)
        self.codes: NDArray[np.int32] = np.ascontiguousarray(given, dtype=np.int32)
        self.columns: Columns = [None] if Z is None else _columns("Z", Z, n)
        self.levels = count
        self.only_level = lowest if lowest == highest else None
        self.is_too_fine = highest + 1 >= n > 1 and int(np.bincount(self.codes).max()) == 1
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
        """Copy y, once (the caller may reuse its buffer for the next response), and subtract the offset."""
        given = as_float("y", y)
        if given.shape != (self.n,):
            raise errors_fit.wrong_shape("y", given.shape, f"({self.n},)")
        if self.offset is not None:
            return np.ascontiguousarray(minus(given, self.offset))
        return given.copy() if given is y else np.array(given, order="C")

    def explain(self, problem: ValueError, y: ArrayLike) -> DataError:
        """Name the argument and the value that the core refused; y has the offset not subtracted, shape (n, ...)."""
        kind, index, _ = problem.args
        if kind == "x":
            return explain(problem, f"column {index} of X", _given(self.x[index]), None, self.weights)
        if kind == "z":
            columns = self.terms[index].columns
            k = first_unusable(columns, self.weights)
            part = f"column {k} of " if len(columns) > 1 else ""
            return explain(problem, f"{part}Z of terms[{index}]", _given(columns[k]), None, self.weights)
        if kind == "weights":
            return explain(problem, kind, _given(self.weights))
        response = as_float("y", y)
        name = "y"
        if response.ndim == 2:
            name, response = f"column {index} of Y", response[:, index]
        return explain_response(problem, name, response, self.offset, None, self.weights)


def gather(
    X: ArrayLike | None,
    terms: Any,
    weights: ArrayLike | None,
    offset: ArrayLike | None,
    *,
    is_estimated: bool = True,
) -> Inputs:
    """Check shapes and convert to what the core takes; unless variances are given, whether they can be estimated."""
    given = _as_terms(terms, is_estimated)
    n = len(given[0].codes)
    x = [] if X is None else _columns("X", X, n)
    w = None if weights is None else _vector("weights", weights, n)
    if w is not None and not w.min() > 0:
        raise errors_fit.weights_not_positive(int(np.argmin(w)), float(w.min()))
    shift = None if offset is None else _vector("offset", offset, n)
    if shift is not None and not np.isfinite(shift).all():
        row = int(np.argmin(np.isfinite(shift)))
        raise errors_fit.not_finite("offset", row, float(shift[row]))
    return Inputs(n, x, given, w, shift)


def _as_terms(terms: Any, is_estimated: bool) -> tuple[RandomTerm, ...]:
    """One term or any iterable of terms, that fit together and whose variances can be estimated, if they are to be."""
    if isinstance(terms, RandomTerm):
        terms = (terms,)
    given = tuple(terms) if isinstance(terms, Iterable) else ()
    if not given:
        raise errors_fit.no_terms()
    for i, term in enumerate(given):
        if not isinstance(term, RandomTerm):
            raise errors_fit.not_a_random_term(i, term)
        n = len(given[0].codes)
        if len(term.codes) != n:
            raise errors_fit.wrong_shape(f"codes of terms[{i}]", term.codes.shape, f"({n},)")
        if is_estimated and term.only_level is not None:
            raise errors.grouping_one_level(f"terms[{i}]", term.only_level)
        if is_estimated and term.is_too_fine:
            raise errors.grouping_too_fine(f"terms[{i}]", n, n)
    return given


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


def _integers(codes: ArrayLike) -> NDArray[Any]:
    if isinstance(codes, np.ma.MaskedArray):
        as_float("codes", codes)  # an error where some are masked
    try:
        given = np.asarray(codes)
    except (TypeError, ValueError) as problem:
        raise errors_fit.not_numeric("codes", problem) from None
    if given.ndim != 1 or given.dtype.kind not in "iu" or given.size == 0:
        raise errors_fit.codes_not_integers(given.dtype, given.shape)
    return given


def _count(levels: object) -> int:
    if not isinstance(levels, int | np.integer) or isinstance(levels, bool):
        raise errors.argument_type("levels", levels, "an integer, or None for one more than the largest code")
    return int(levels)


def _given(column: Vector | None) -> Vector:
    assert column is not None  # the core cannot have refused what is not there
    return column


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
