"""Tests of normality of a sample with unknown mean and variance, and its skewness and excess kurtosis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

SHAPIRO, ANDERSON = "shapiro", "anderson"
MOST_FOR_SHAPIRO = 5000
"""Royston's approximation of the p-value of Shapiro and Wilk's W holds up to this many values."""
FEWEST = {SHAPIRO: 3, ANDERSON: 8}


@dataclass(frozen=True)
class Shape:
    """Skewness, excess kurtosis (0 for a normal distribution), and a test of normality.

    Attributes
    ----------
    n
        Number of values.
    skewness, kurtosis
        m3 / m2^(3/2) and m4 / m2² - 3 of the central moments.
    test
        "shapiro" or "anderson".
    statistic, p_value
        W or A²; NaN for fewer values than the test needs, or equal ones.
    """

    n: int
    skewness: float
    kurtosis: float
    test: str
    statistic: float
    p_value: float


def shape_of(values: Vector, test: str = "auto") -> Shape:
    """Describe and test a sample: by Shapiro and Wilk's test, or with more than 5000 values Anderson and Darling's."""
    chosen = (SHAPIRO if len(values) <= MOST_FOR_SHAPIRO else ANDERSON) if test == "auto" else test
    nan = float("nan")
    centred = values - values.mean() if len(values) else values
    m2 = float(np.mean(centred**2)) if len(values) else 0.0
    if m2 <= (1e-14 * float(np.abs(values).max(initial=0.0))) ** 2:
        return Shape(len(values), nan, nan, chosen, nan, nan)
    skewness, kurtosis = float(np.mean(centred**3)) / m2**1.5, float(np.mean(centred**4)) / m2**2 - 3.0
    if len(values) < FEWEST[chosen]:
        return Shape(len(values), skewness, kurtosis, chosen, nan, nan)
    statistic, p_value = _shapiro(centred) if chosen == SHAPIRO else anderson_darling(values)
    return Shape(len(values), skewness, kurtosis, chosen, statistic, p_value)


def _shapiro(values: Vector) -> tuple[float, float]:
    import warnings

    from scipy import stats

    with warnings.catch_warnings():  # of the p-value for more than 5000 values, which the user has asked for by name
        warnings.simplefilter("ignore", UserWarning)
        found = stats.shapiro(values)
    return float(found.statistic), float(found.pvalue)


def anderson_darling(values: Vector) -> tuple[float, float]:
    """A² of Anderson and Darling for normality with mean and variance estimated, and its p-value.

    References
    ----------
    D'Agostino, R. B. and Stephens, M. A. (1986). Goodness-of-Fit Techniques. Dekker, New York, table 4.9.

    Examples
    --------
    >>> statistic, p_value = anderson_darling(np.array([1.2, -0.3, 0.8, 2.1, -1.0, 0.1, 0.4, -0.6, 5.0, 0.2]))
    >>> round(statistic, 4), round(p_value, 4)
    (0.6497, 0.0628)
    """
    from scipy import special

    n = len(values)
    z = np.sort((values - values.mean()) / values.std(ddof=1))
    odd = 2.0 * np.arange(1, n + 1) - 1.0
    statistic = -n - float(np.mean(odd * (special.log_ndtr(z) + special.log_ndtr(-z[::-1]))))
    a = statistic * (1.0 + 0.75 / n + 2.25 / n**2)
    if a < 0.2:
        p_value = 1.0 - np.exp(-13.436 + 101.14 * a - 223.73 * a**2)
    elif a < 0.34:
        p_value = 1.0 - np.exp(-8.318 + 42.796 * a - 59.938 * a**2)
    elif a < 0.6:
        p_value = np.exp(0.9177 - 4.279 * a - 1.38 * a**2)
    else:
        p_value = np.exp(1.2937 - 5.709 * a + 0.0186 * a**2) if a < 10.0 else 3.7e-24
    return statistic, float(p_value)
