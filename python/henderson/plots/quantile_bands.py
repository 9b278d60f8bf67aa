"""Bands for the order statistics of a sample: what a QQ plot of it may look like if the distribution is right.

The i-th smallest of n uniform values is Beta(i, n + 1 - i). Pointwise bands take its quantiles at the level asked for;
simultaneous bands take them at the one local level eta at which all n values are inside with probability `level`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

EXACT = 500
"""Up to this sample size eta is solved for; beyond it follows its asymptotic law, with the coverage right to 0.01."""


def plotting_positions(n: int) -> Vector:
    """Blom's (i - 3/8) / (n + 1/4): their normal quantiles are nearly the expected order statistics."""
    return np.asarray((np.arange(1.0, n + 1) - 0.375) / (n + 0.25), dtype=np.float64)


def uniform_band(n: int, ranks: NDArray[np.intp], level: float, *, simultaneous: bool) -> tuple[Vector, Vector]:
    """Limits, as probabilities, of the order statistics of these ranks (1 to n) in a sample of n.

    References
    ----------
    Aldor-Noiman, S., Brown, L. D., Buja, A., Rolke, W. and Stine, R. A. (2013). The power to see: a new graphical test
    of normality. The American Statistician 67, 249-260.
    """
    return _limits(n, ranks, local_level(n, level) if simultaneous else 1.0 - level)


def _limits(n: int, ranks: NDArray[np.intp], eta: float) -> tuple[Vector, Vector]:
    from scipy.special import betaincinv

    low = betaincinv(ranks, n + 1 - ranks, eta / 2)
    high = 1.0 - betaincinv(n + 1 - ranks, ranks, eta / 2)  # by symmetry, accurate in the upper tail
    return np.asarray(low), np.asarray(high)


@lru_cache(maxsize=64)
def local_level(n: int, level: float) -> float:
    """The level eta of each order statistic at which all are inside with probability `level`."""
    if n > EXACT:
        return local_level(EXACT, level) * _rate(EXACT) / _rate(n)
    from scipy.optimize import brentq

    ranks = np.arange(1, n + 1)

    def excess(log_eta: float) -> float:
        return coverage(*_limits(n, ranks, math.exp(log_eta))) - level

    alpha = 1.0 - level
    if n == 1:
        return alpha
    return math.exp(brentq(excess, math.log(alpha / n), math.log(alpha), xtol=1e-6))


def _rate(n: int) -> float:
    return 2.0 * math.log(math.log(n)) * math.log(n)


def coverage(low: Vector, high: Vector) -> float:
    """Probability that n ordered uniform values are all between their limits (increasing, (n,) each).

    Notes
    -----
    The number of values below t is a Poisson process of rate n, given that it ends at n. Its distribution is carried
    from limit to limit: at low_i at most i - 1 values may be below, at high_i there must be i.
    """
    n = len(low)
    times = np.concatenate([low, high])
    order = np.argsort(times, kind="stable")
    state, first, before = np.ones(1), 0, 0.0  # state[k]: probability of first + k values so far
    for place in order:
        rate = n * (times[place] - before)
        before = times[place]
        state = np.convolve(state, _poisson(rate))
        if place < n:
            state = state[: place - first + 1]
        else:
            fewest = place - n + 1
            state = state[max(0, fewest - first) :]
            first = max(first, fewest)
        if len(state) == 0:
            return 0.0
    last = np.convolve(state, _poisson(n * (1.0 - before), n - first))
    ends = last[n - first] if n - first < len(last) else 0.0
    return float(ends / math.exp(n * math.log(n) - n - math.lgamma(n + 1)))


def _poisson(rate: float, most: int = 0) -> Vector:
    """Probabilities of 0, 1, ... events, as many as matter."""
    count = max(most, 12 + int(rate + 8 * math.sqrt(rate)))
    k = np.arange(count + 1)
    if rate <= 0:
        return np.ones(1)
    from scipy.special import gammaln

    return np.asarray(np.exp(k * math.log(rate) - rate - gammaln(k + 1)))
