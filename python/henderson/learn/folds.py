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
        `cv` is none of these, or there are too few rows.
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
    if hasattr(cv, "split") and not isinstance(cv, str):
        return list(cv.split(np.empty((len(y), 1)), y, groups))
    if isinstance(cv, str) or not hasattr(cv, "__iter__"):
        raise errors.argument_type("cv", cv, "a number of folds, a splitter of scikit-learn, or None")
    return list(_checked(cv))


def _checked(pairs: Any) -> Iterator[Fold]:
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise errors.argument_type("cv", pair, "pairs of index arrays (rows to fit, rows to encode)")
        yield np.asarray(pair[0]), np.asarray(pair[1])
