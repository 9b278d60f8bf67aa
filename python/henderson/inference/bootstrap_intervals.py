"""Confidence intervals from bootstrap replicates of one statistic, one function a method."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Interval = tuple[float, float]


def percentile(replicates: Vector, estimate: float, level: float, acceleration: float) -> Interval:  # noqa: ARG001
    """Quantiles of the replicates."""
    return _quantiles(replicates, 0.5 * (1.0 - level), 0.5 * (1.0 + level))


def basic(replicates: Vector, estimate: float, level: float, acceleration: float) -> Interval:  # noqa: ARG001
    """Quantiles of the errors taken off the estimate: 2 t - q(upper), 2 t - q(lower)."""
    low, high = _quantiles(replicates, 0.5 * (1.0 - level), 0.5 * (1.0 + level))
    return 2.0 * estimate - high, 2.0 * estimate - low


def bca(replicates: Vector, estimate: float, level: float, acceleration: float) -> Interval:
    """Bias-corrected and accelerated quantiles (Efron 1987); NaN where all replicates are on one side.

    Notes
    -----
    With z0 the normal quantile of the share of replicates below the estimate (ties count half) and a the acceleration,
    the quantile for z is that at Phi(z0 + (z0 + z) / (1 - a (z0 + z))).
    """
    from scipy.special import ndtr, ndtri

    share = (np.sum(replicates < estimate) + 0.5 * np.sum(replicates == estimate)) / max(len(replicates), 1)
    if not 0.0 < share < 1.0 or math.isnan(acceleration):
        return math.nan, math.nan
    shift = ndtri(share)
    z = shift + ndtri(np.array([0.5 * (1.0 - level), 0.5 * (1.0 + level)]))
    low, high = ndtr(shift + z / (1.0 - acceleration * z))
    return _quantiles(replicates, float(low), float(high))


def shortest(replicates: Vector, estimate: float, level: float, acceleration: float) -> Interval:  # noqa: ARG001
    """The shortest interval that holds the given share of the replicates."""
    held = math.ceil(level * len(replicates) - 1e-9)
    if held < 1:
        return math.nan, math.nan
    ordered = np.sort(replicates)
    widths = ordered[held - 1 :] - ordered[: len(ordered) - held + 1]
    first = int(np.argmin(widths))
    return float(ordered[first]), float(ordered[first + held - 1])


METHODS: dict[str, Callable[[Vector, float, float, float], Interval]] = {
    "percentile": percentile,
    "basic": basic,
    "bca": bca,
    "shortest": shortest,
}


def _quantiles(replicates: Vector, low: float, high: float) -> Interval:
    """Quantiles at places (n + 1) p, so that each replicate is as likely below as above."""
    if len(replicates) == 0:
        return math.nan, math.nan
    found = np.quantile(replicates, [low, high], method="weibull")
    return float(found[0]), float(found[1])


def skewness(values: NDArray[np.float64]) -> Vector:
    """Skewness of each column; 0 for a constant."""
    centred = values - values.mean(axis=0)
    spread = np.sqrt(np.mean(centred**2, axis=0))
    is_constant = spread <= 1e-12 * np.abs(values).max(axis=0, initial=0.0)
    scaled = centred / np.where(is_constant, 1.0, spread)
    result: Vector = np.where(is_constant, 0.0, np.mean(scaled**3, axis=0))
    return result
