"""Arrays of numbers from whatever the user has, and words for a column the core refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import _core, errors_fit
from henderson.errors import DataError

Vector = NDArray[np.float64]

UNUSABLE = (_core.NonFinite, _core.OutOfScale)
"""What the core raises for a column it cannot use; both carry (kind, index, row)."""

LARGEST = 1e140
SMALLEST = 1e-140
"""The core takes columns whose largest absolute value lies between these, or is zero: their squares are numbers."""

_FLOAT64 = np.dtype(np.float64)
_NOT_NUMBERS = (str, bytes, complex, np.complexfloating, np.datetime64, np.timedelta64)


def as_float(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Convert to float64, without a copy where none is needed.

    Booleans are 0 and 1, and None in an array of objects is NaN. Masked values, text, times and complex numbers are
    errors rather than whatever numpy makes of them.
    """
    if type(values) is np.ndarray and values.dtype is _FLOAT64:
        return values
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        masked = np.ma.getmaskarray(values)
        raise errors_fit.masked(name, int(np.argwhere(masked)[0][0]), int(masked.sum()))
    try:
        given = np.asarray(values)
        wrong = _what_is_wrong(given)
        if wrong is None:
            with np.errstate(over="ignore"):  # a long double may be too large: it is refused as infinite
                return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as problem:  # the last from tensors with gradients
        raise errors_fit.not_numeric(
            name, "it is a sparse matrix, pass its toarray()" if hasattr(values, "tocsr") else problem
        ) from None
    raise errors_fit.not_numbers(name, *wrong)


def _what_is_wrong(given: NDArray[Any]) -> tuple[str, str] | None:
    """The kind and the name of a type that numpy would read as numbers, or not, without our wanting it to."""
    if given.dtype.kind in "biuf":
        return None
    if given.dtype.kind != "O":
        return given.dtype.kind, str(given.dtype)
    stray = next((value for value in given.flat if isinstance(value, _NOT_NUMBERS)), None)
    return None if stray is None else (np.asarray(stray).dtype.kind, type(stray).__name__)


def minus(y: Vector, offset: Vector) -> Vector:
    """Subtract the offset; where that overflows, the core says so."""
    with np.errstate(over="ignore", invalid="ignore"):
        return y - offset


def is_in_scale(size: float) -> bool:
    """Whether a column of this largest absolute value has sums of squares in double precision; NaN has none."""
    return size == 0 or SMALLEST <= size <= LARGEST


def extreme_root(weights: Vector | None) -> Vector | None:
    """Square roots of weights that may take columns out of scale, None for all ordinary weights."""
    return None if weights is None or 1e-20 <= weights.max() <= 1e20 else np.sqrt(weights)


def require_weighted_scale(root: Vector, kind: str, index: int, column: Vector) -> None:
    """Refuse, as the core does, a column that is out of scale when it is weighted."""
    sizes = root * np.abs(column)
    row = int(np.argmax(sizes))
    if not is_in_scale(float(sizes[row])):
        raise _core.OutOfScale(kind, index, row)


def explain(
    problem: ValueError, name: str, column: Vector, label: int | None = None, weights: Vector | None = None
) -> DataError:
    """Say which value of a column made the core refuse it; `label` is what to call its row."""
    row = problem.args[2]
    shown, value = row if label is None else label, float(column[row])
    if not isinstance(problem, _core.OutOfScale):
        return errors_fit.not_finite(name, shown, value)
    if weights is not None and is_in_scale(abs(value)):
        return errors_fit.products_out_of_scale(name, shown, abs(value) * float(np.sqrt(weights[row])))
    return errors_fit.out_of_scale(name, shown, value)


def explain_response(
    problem: ValueError,
    name: str,
    y: Vector,
    offset: Vector | None,
    label: int | None = None,
    weights: Vector | None = None,
) -> DataError:
    """Say the same of a response from which an offset was subtracted: either may be at fault, or the difference."""
    row = problem.args[2]
    if offset is None or not np.isfinite(y[row]):
        return explain(problem, name, y, label, weights)
    if isinstance(problem, _core.OutOfScale):
        return explain(problem, f"{name} - offset", minus(y, offset), label, weights)
    return errors_fit.offset_overflow(name, row if label is None else label, float(y[row]), float(offset[row]))


def first_unusable(columns: Sequence[Vector | None], weights: Vector | None) -> int:
    """Which of the columns of a term was refused."""
    root = extreme_root(weights)
    for index, column in enumerate(columns):
        if column is not None:
            sizes = np.abs(column)
            weighted = sizes if root is None else root * sizes
            if not (is_in_scale(float(sizes.max())) and is_in_scale(float(weighted.max()))):
                return index
    raise AssertionError("the core refused a column that is in order")
