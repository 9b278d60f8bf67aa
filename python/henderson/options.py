"""Options of a fit: what is checked before, and said after."""

from __future__ import annotations

import warnings
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import errors, errors_fit
from henderson.conversion import as_float
from henderson.optimum import CONVERGED

if TYPE_CHECKING:
    from henderson import _core
    from henderson.compiled import CompiledProblem

STOPPED = "stopped by callback"
MOST_EVALUATIONS = 10**9
MOST_THREADS = 1024


def checked_theta(what: str, value: ArrayLike, size: int) -> NDArray[np.float64]:
    """Give a theta passed by the user as the core wants it."""
    theta = np.ascontiguousarray(as_float(what, value))
    if theta.shape != (size,) or not np.isfinite(theta).all():
        raise errors_fit.bad_theta(what, value, size)
    return theta


def checked_start(value: ArrayLike, problem: CompiledProblem) -> NDArray[np.float64]:
    """Give a theta to start from, of a size at which there is a criterion to descend."""
    limits = problem.theta_limits
    theta = np.ascontiguousarray(as_float("start", value))
    if theta.shape != limits.shape or not (is_small := np.abs(theta) <= limits).all():
        checked_theta("start", value, len(limits))
        index = int(np.argmin(is_small))
        raise errors_fit.start_too_far(value, index, float(theta[index]), float(limits[index]))
    return theta


def check_options(
    max_evaluations: int, tolerance: float, callback: object, threads: int = 0, reml: bool = True
) -> None:
    """Refuse options that mean nothing; a refit takes microseconds, so that usual ones pass at once."""
    if (
        type(max_evaluations) is int
        and 1 <= max_evaluations <= MOST_EVALUATIONS
        and type(tolerance) is float
        and 0.0 < tolerance < inf
        and callback is None
        and type(threads) is int
        and 0 <= threads <= MOST_THREADS
        and (reml is True or reml is False)
    ):
        return
    check_reml(reml)
    _check_count("max_evaluations", max_evaluations, 1, MOST_EVALUATIONS)
    _check_count("threads", threads, 0, MOST_THREADS)
    if not _is_number(tolerance, int | float | np.integer | np.floating) or not 0 < tolerance < inf:
        raise errors.argument_type("tolerance", tolerance, "a positive number, in units of deviance")
    if callback is not None and not callable(callback):
        raise errors.argument_type("callback", callback, "a function of (theta, criterion, evaluation, decrement)")


def check_reml(reml: object) -> None:
    """Refuse "ML" and None, which would count as true and as false."""
    if not isinstance(reml, bool | np.bool_):
        raise errors.argument_type("reml", reml, "True or False; maximum likelihood is reml=False")


def _check_count(name: str, value: object, lowest: int, highest: int) -> None:
    if not _is_number(value, int | np.integer) or not lowest <= value <= highest:  # type: ignore[operator]
        raise errors.argument_type(name, value, f"an integer >= {lowest} and <= {highest}")


def _is_number(value: object, kinds: Any) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def warn_unless_converged(found: _core.Optimum, stacklevel: int) -> None:
    """Warn when the optimiser gave up by itself; a fit that the user's callback stopped is not news to the user."""
    if found.status != CONVERGED and found.status != STOPPED:
        warning = errors_fit.not_converged(found.status, found.evaluations, found.decrement)
        warnings.warn(warning, stacklevel=stacklevel + 1)
