"""The target of an encoder as numbers: quantities as they are, two classes as 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, column_or_1d

from henderson import errors, errors_learn

TARGET_TYPES = ("auto", "continuous", "binary")


@dataclass(frozen=True, eq=False)
class Target:
    """A target as numbers.

    Attributes
    ----------
    values
        (n,) float64.
    classes
        The two classes, of which the second counts as 1; None for quantities.
    """

    values: NDArray[np.float64]
    classes: NDArray[Any] | None


def read_target(y: Any, target_type: str) -> Target:
    """Read the target of an encoder.

    Parameters
    ----------
    y
        (n,) numbers or labels.
    target_type
        "continuous", "binary", or "auto": binary for two whole numbers or two labels, continuous for other numbers.

    Raises
    ------
    DataError
        Values are missing, or there are more than two labels.
    """
    if target_type not in TARGET_TYPES:
        raise errors.choice("target_type", target_type, TARGET_TYPES)
    if y is None:
        raise errors_learn.target_missing("MixedEffectsEncoder")
    labels = column_or_1d(y, warn=True)
    if labels.dtype.kind == "O":
        import pandas

        missing = pandas.isna(labels)
        if missing.any():
            raise errors_learn.target_value_missing(int(np.argmax(missing)), int(np.count_nonzero(missing)))
        labels = np.asarray(pandas.Series(labels).infer_objects())
    is_numeric = labels.dtype.kind in "fiub"
    if is_numeric:
        labels = check_array(labels, ensure_2d=False, dtype=None, input_name="y")
    if target_type == "continuous" or (target_type == "auto" and is_numeric and not _has_two_classes(labels)):
        if not is_numeric:
            raise errors_learn.target_not_numeric(labels[0])
        return Target(np.ascontiguousarray(labels, dtype=np.float64), None)
    classes, codes = np.unique(labels if is_numeric else labels.astype(str), return_inverse=True)
    if len(classes) > 2:
        raise errors_learn.target_multiclass(classes.tolist())
    if len(classes) < 2:
        raise errors_learn.target_not_binary(len(classes))
    return Target(codes.astype(np.float64), classes)


def _has_two_classes(values: NDArray[Any]) -> bool:
    """Whether the target has two values, both whole numbers."""
    classes = np.unique(values)
    return len(classes) == 2 and bool(np.all(classes == np.floor(classes)))
