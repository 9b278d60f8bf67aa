"""Statistics of the user's: functions of a fitted model, and the names of what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_intervals

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Statistic = Callable[["LinearMixedModel"], Any]


def values_of(
    statistic: Statistic, model: LinearMixedModel, names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names and values of a statistic of a model.

    Parameters
    ----------
    statistic
        Returns a number, an array, a dict or a pandas Series of numbers.
    model
        A fitted model.
    names
        What it returned before: it has to return the same again; None the first time.
    """
    found = statistic(model)
    if isinstance(found, Mapping):
        labels: list[Any] | None = list(found.keys())
        found = list(found.values())
    else:
        labels = list(found.index) if hasattr(found, "index") and hasattr(found, "to_numpy") else None
    try:
        values = np.atleast_1d(np.asarray(found, dtype=np.float64)).ravel()
    except (TypeError, ValueError):
        raise errors_intervals.statistic_type(found) from None
    own = tuple(str(label) for label in labels) if labels is not None else _default_names(statistic, len(values))
    if not len(values):
        raise errors_intervals.statistic_type(found)
    if names is not None and own != names:
        raise errors_intervals.statistic_changed(names, own)
    return own, values


def _default_names(statistic: Statistic, count: int) -> tuple[str, ...]:
    name = getattr(statistic, "__name__", "statistic")
    base = "statistic" if name == "<lambda>" else name
    return (base,) if count == 1 else tuple(f"{base}[{i}]" for i in range(count))
