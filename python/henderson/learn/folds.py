"""Cross-fitting: the folds in which the effects that a row gets come from the other rows only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold

from henderson import errors, errors_learn

Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


def folds(cv: Any, y: NDArray[Any], *, is_binary: bool, shuffle: bool, random_state: Any, groups: Any = None) -> Any:
    """Pairs of rows to fit and rows to encode.

    Parameters
    ----------
    cv
        Number of folds, or a splitter of scikit-learn, or pairs of index arrays.
    y
        (n,) target.
    is_binary
        Folds of a number `cv` have both classes in proportion.
    shuffle, random_state
        Of a number `cv`.
    groups
        What a splitter is to keep together.

    Raises
    ------
    DataError
        `cv` is none of these, there are too few rows, or a splitter lacks the groups that it needs.
    """
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        if cv < 2:
            raise errors.argument_type("cv", cv, "at least 2 folds, a splitter, or None")
        if cv > len(y):
            raise errors_learn.too_few_rows(len(y), int(cv))
        stratified = is_binary and int(np.unique(y, return_counts=True)[1].min()) >= cv
        splitter = (StratifiedKFold if stratified else KFold)(
            int(cv), shuffle=shuffle, random_state=random_state if shuffle else None
        )
        return list(splitter.split(np.empty((len(y), 1)), y))
    if hasattr(cv, "split") and not isinstance(cv, str | type):
        try:
            pairs = list(cv.split(np.empty((len(y), 1)), y, groups))
        except (TypeError, ValueError) as reason:
            raise errors_learn.cannot_split(cv, reason) from None
        return list(_checked(pairs, len(y)))
    if isinstance(cv, str) or not hasattr(cv, "__iter__"):
        raise errors.argument_type("cv", cv, "a number of folds, a splitter of scikit-learn, or None")
    return list(_checked(cv, len(y)))


def _checked(pairs: Any, n: int) -> Iterator[Fold]:
    for number, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise errors.argument_type("cv", pair, "pairs of index arrays (rows to fit, rows to encode)")
        train, held_out = (_rows(part, number, n) for part in pair)
        if not len(train):
            raise errors_learn.fold_empty(number)
        yield train, held_out


def _rows(given: Any, number: int, n: int) -> NDArray[np.intp]:
    """Positions of rows, from positions or a mask."""
    rows = np.asarray(given)
    if rows.dtype == bool and rows.shape == (n,):
        return np.flatnonzero(rows)
    if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
        raise errors_learn.fold_invalid(number, rows.dtype, rows.shape)
    if len(rows) and not (rows.min() >= 0 and rows.max() < n):
        raise errors_learn.fold_out_of_range(number, int(rows.min()), int(rows.max()), n)
    return rows.astype(np.intp)
