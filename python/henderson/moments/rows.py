"""Rows for the moments, batch by batch: responses, columns of X, level of each grouping factor, weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import errors_fit, errors_moments
from henderson.conversion import as_float

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Codes = NDArray[np.int32]

BATCH = 1 << 18
"""Rows looked at together: they stay in the cache."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows.

    Attributes
    ----------
    y
        (n,) response.
    x
        (n,) each; None for a column of ones.
    codes
        (n,) each: the level of each grouping factor.
    weights
        (n,) positive, or None.
    """

    y: NDArray[Any]
    x: tuple[NDArray[Any] | None, ...]
    codes: tuple[NDArray[Any], ...]
    weights: Vector | None = None

    def __len__(self) -> int:
        return len(self.y)

    def pieces(self) -> Iterator[Batch]:
        """The rows, at most `BATCH` at a time, in double precision."""
        for start in range(0, len(self), BATCH):
            part = slice(start, start + BATCH)
            yield Batch(
                np.asarray(self.y[part], dtype=np.float64),
                tuple(None if column is None else np.asarray(column[part], dtype=np.float64) for column in self.x),
                tuple(np.asarray(codes[part], dtype=np.intp) for codes in self.codes),
                None if self.weights is None else self.weights[part],
            )


Batches = Callable[[], Iterable[Batch]]
"""Gives the rows from the first to the last, each time it is called."""


def checked_batch(
    y: ArrayLike, X: ArrayLike | None, codes: Any, weights: ArrayLike | None, *, intercept: bool, row: int = 0
) -> Batch:
    """Arrays as a batch: shapes, types and values are those that the sums can take; `row` counts the rows before."""
    response = _floating("y", y)
    if response.ndim != 1 or not len(response):
        raise errors_fit.wrong_shape("y", response.shape, "(n,) with n > 0")
    n = len(response)
    _check_finite("y", response, row)
    x = _columns(X, n, row)
    w = None
    if weights is not None:
        w = np.asarray(as_float("weights", weights), dtype=np.float64)
        if w.shape != (n,):
            raise errors_fit.wrong_shape("weights", w.shape, f"({n},)")
        if not (w.min() > 0 and np.isfinite(w).all()):
            bad = int(np.argmin((w > 0) & np.isfinite(w)))
            raise errors_fit.weights_not_positive(row + bad, float(w[bad]))
    return Batch(response, ((None,) if intercept else ()) + x, _codes(codes, n), w)


def _floating(name: str, values: ArrayLike) -> NDArray[Any]:
    """Numbers as they are when they are floating-point numbers, so that 32-bit arrays are not copied as a whole."""
    if isinstance(values, np.ndarray) and values.dtype in (np.float32, np.float64):
        return values if not isinstance(values, np.ma.MaskedArray) else as_float(name, values)
    return as_float(name, values)


def _columns(X: ArrayLike | None, n: int, row: int) -> tuple[NDArray[Any], ...]:
    if X is None:
        return ()
    matrix = _floating("X", X)
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    if matrix.ndim != 2 or len(matrix) != n:
        raise errors_fit.wrong_shape("X", matrix.shape, f"({n}, number of columns)")
    for j in range(matrix.shape[1]):
        _check_finite(f"column {j} of X", matrix[:, j], row)
    return tuple(matrix[:, j] for j in range(matrix.shape[1]))


def _check_finite(what: str, values: NDArray[Any], row: int) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):
            return
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise errors_fit.not_finite(what, row + int(bad[0]), float(values[bad[0]]))
    largest = int(np.argmax(np.abs(values)))
    raise errors_fit.out_of_scale(what, row + largest, float(values[largest]))


def _codes(codes: Any, n: int) -> tuple[NDArray[Any], ...]:
    """One vector of codes or several; a matrix or a table has one factor to a column."""
    if getattr(codes, "ndim", 1) == 2:
        codes = np.asarray(codes)
    if isinstance(codes, np.ndarray):
        given: Sequence[Any] = [codes] if codes.ndim == 1 else list(codes.T) if codes.ndim == 2 else [codes]
    elif isinstance(codes, list | tuple) and len(codes) and not np.isscalar(codes[0]):
        given = codes
    else:
        given = [codes]
    arrays = []
    for k, each in enumerate(given):
        array = np.asarray(each)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise errors_moments.codes_not_integers(k, array.dtype, array.shape)
        if len(array) != n:
            raise errors_fit.wrong_shape(f"codes[{k}]", array.shape, f"({n},)")
        if array.min() < 0 or array.max() > np.iinfo(np.int32).max:
            raise errors_moments.codes_out_of_range(k, int(array.min()), int(array.max()))
        arrays.append(array)
    return tuple(arrays)
