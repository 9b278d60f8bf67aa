"""Options of a fit: what is checked before, and said after."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import errors, errors_fit
from henderson.optimum import CONVERGED

if TYPE_CHECKING:
    from henderson import _core

STOPPED = "stopped by callback"


def checked_theta(what: str, value: ArrayLike, size: int) -> NDArray[np.float64]:
    """Give a theta passed by the user as the core wants it."""
    try:
        theta = np.ascontiguousarray(value, dtype=np.float64)
    except (TypeError, ValueError) as reason:
        raise errors_fit.not_numeric(what, reason) from None
    if theta.shape != (size,) or not np.isfinite(theta).all():
        raise errors_fit.bad_theta(what, value, size)
    return theta


def check_options(max_evaluations: int, tolerance: float, callback: object, threads: int = 0) -> None:
    """Refuse options that mean nothing."""
    for name, value in (("max_evaluations", max_evaluations), ("threads", threads)):
        lowest = 0 if name == "threads" else 1
        if not _is_number(value, int | np.integer) or value < lowest:
            raise errors.argument_type(name, value, f"an integer >= {lowest}")
    if not _is_number(tolerance, int | float | np.floating) or not 0 < tolerance < np.inf:
        raise errors.argument_type("tolerance", tolerance, "a positive number, in units of deviance")
    if callback is not None and not callable(callback):
        raise errors.argument_type("callback", callback, "a function of (theta, criterion, evaluation, decrement)")


def _is_number(value: object, kinds: Any) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def warn_unless_converged(found: _core.Optimum, stacklevel: int) -> None:
    """Warn when the optimiser gave up by itself; a fit that the user's callback stopped is not news to the user."""
    if found.status != CONVERGED and found.status != STOPPED:
        warning = errors_fit.not_converged(found.status, found.evaluations, found.decrement)
        warnings.warn(warning, stacklevel=stacklevel + 1)
