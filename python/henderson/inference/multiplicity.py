"""P-values and critical values for several tests at once: Tukey, Dunnett, Sidak, Bonferroni, Holm, Scheffé, exact.

The exact method ("mvt") is about M = max |t_i|, with t multivariate t of any correlation, singular too. With
R = A A' (A of r columns), t = A z / s, z standard normal and s² = chi² / df: the length of z and its direction u are
independent, so that with m(u) = max |a_i'u|

    P(M > c) = E P(F(r, df) > c² / (r m(u)²))

an average over directions of a smooth function: over the half circle for r = 2, over points of a spiral for r = 3 and
over shifted Sobol points for more, always the same ones. Relative errors are below 1e-5 up to r = 3, some 1e-4 up to
r = 5, and 1e-3 for r = 20.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_means

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

METHODS = (
    *("none", "tukey", "dunnett", "dunnettx", "mvt", "sidak", "bonferroni", "scheffe"),
    *("holm", "hochberg", "fdr"),
)
STEPWISE = ("holm", "hochberg", "fdr")
_SYNONYMS = {"dunnett": "mvt", "bh": "fdr"}
DIRECTIONS = 2**17
"""Directions over which the largest |t| is averaged."""
SQRT2 = float(np.sqrt(2.0))
CHUNK = 2**14
BINS = 2000
"""Averages over directions are averages over so many bins of m(u)²."""
NODES = 7
"""Critical values at more degrees of freedom than this are interpolated between so many."""


@dataclass(frozen=True, eq=False)
class Family:
    """The tests that an adjustment is for.

    Attributes
    ----------
    tests
        How many there are, those that cannot be estimated included.
    means
        How many estimates they compare.
    is_pairwise
        Whether they are all differences of two of those.
    correlation
        Of the estimates, shape (k, k), where they can be estimated.
    """

    tests: int
    means: int
    is_pairwise: bool
    correlation: Matrix

    @cached_property
    def rank(self) -> int:
        """Rank of the correlation matrix: the number of tests that are linearly independent."""
        return int(np.linalg.matrix_rank(self.correlation, hermitian=True)) if len(self.correlation) else 0

    @cached_property
    def largest(self) -> LargestT:
        """Distribution of the largest of their |t|."""
        return LargestT(self.correlation)


def resolved(method: str, family: Family) -> tuple[str, str | None]:
    """The adjustment that is made where `method` is asked for, and what to say if it is another one."""
    name = str(method).lower()
    if name not in (*METHODS, *_SYNONYMS):
        raise errors.choice("adjust", method, METHODS)
    name = _SYNONYMS.get(name, name)
    if family.tests == 1 and name != "scheffe":
        return "none", None
    if name == "tukey" and not family.is_pairwise:
        return "sidak", errors_means.tukey_not_pairwise_note()
    return name, None


def description(method: str, family: Family, *, what: str = "tests") -> str | None:
    """The adjustment in words, as emmeans has it; None where nothing was adjusted."""
    if method == "none" or (method in ("tukey", "scheffe") and family.means < 3):
        return None
    extent = {
        "tukey": f"for comparing a family of {family.means} estimates",
        "scheffe": f"with rank {family.rank}",
    }.get(method, f"for {family.tests} {what}")
    return f"{method} method {extent}"


def adjusted(method: str, family: Family, statistics: Vector, df: Vector, p_values: Vector) -> Vector:
    """P-values for a family of two-sided tests.

    Parameters
    ----------
    method
        As `resolved` gives it.
    family
        The tests.
    statistics, df, p_values
        Of each test (k,): t, its degrees of freedom, its own p-value; NaN where nothing can be estimated.
    """
    if method == "none":
        return p_values
    if method in STEPWISE:
        return _stepwise(method, p_values, family.tests)
    if method == "bonferroni":
        return np.minimum(1.0, family.tests * p_values)
    if method == "sidak":
        return np.asarray(-np.expm1(family.tests * np.log1p(-p_values)))
    result = np.full(len(statistics), np.nan)
    found = np.flatnonzero(np.isfinite(p_values))
    size, own_df = np.abs(statistics[found]), df[found]
    result[found] = np.clip(_upper_tail(method, family)(size, own_df), 0.0, 1.0)
    return result


def critical_values(method: str, family: Family, level: float, df: Vector) -> Vector:
    """By how many standard errors simultaneous intervals reach out, (k,); Bonferroni's for step-wise methods."""
    from scipy import stats

    n = family.tests
    if method in ("none", "bonferroni", "sidak", *STEPWISE):
        tail = {"none": 1.0 - level, "sidak": -np.expm1(np.log(level) / n)}.get(method, (1.0 - level) / n)
        return np.asarray(stats.t.isf(tail / 2.0, df))
    if method == "scheffe":
        return np.asarray(np.sqrt(family.rank * stats.f.ppf(level, family.rank, df)))
    return _by_df(lambda one: _quantile(method, family, level, one), df)


def _upper_tail(method: str, family: Family) -> Callable[[Vector, Vector], Vector]:
    """P(the family's largest |t| exceeds x), of x and the degrees of freedom (m,)."""
    from scipy import stats

    if method == "scheffe":
        return lambda x, df: np.asarray(stats.f.sf(x**2 / family.rank, family.rank, df))
    if method == "tukey":
        return lambda x, df: np.asarray(stats.studentized_range.sf(SQRT2 * x, family.means, df))
    if method == "dunnettx":
        return lambda x, df: _dunnett_approximation(x, family.tests, df)
    return lambda x, df: np.array([family.largest.upper_tail(*one) for one in zip(x, df, strict=True)])


def _dunnett_approximation(x: Vector, tests: int, df: Vector) -> Vector:
    """Upper tail of emmeans' stand-in for Dunnett's distribution.

    A mean of the distribution of Tukey for as many pairs as there are tests, with weight (k - 1) / k, and of that of k
    independent tests.
    """
    from scipy import stats

    levels = (1.0 + np.sqrt(1.0 + 8.0 * tests)) / 2.0
    pairs = stats.studentized_range.sf(SQRT2 * x, levels, df)
    independent = -np.expm1(tests * np.log1p(-2.0 * stats.t.sf(x, df)))
    return np.asarray(((tests - 1.0) * pairs + independent) / tests)


def _quantile(method: str, family: Family, level: float, df: float) -> float:
    """Where the upper tail of the largest |t| is 1 - level."""
    if method == "mvt":
        return _root(family.largest.upper_tail, family.tests, level, df)
    return _known_quantile(method, family.means if method == "tukey" else family.tests, level, df)


@lru_cache(maxsize=1024)
def _known_quantile(method: str, size: int, level: float, df: float) -> float:
    """Tukey's for `size` means, or the stand-in for Dunnett's for `size` tests."""
    if method == "tukey":
        from scipy import stats

        pairs = size * (size - 1) // 2
        return _root(lambda x, nu: float(stats.studentized_range.sf(SQRT2 * x, size, nu)), pairs, level, df)
    return _root(lambda x, nu: float(_dunnett_approximation(np.array(x), size, np.array(nu))), size, level, df)


def _root(tail: Callable[[float, float], float], tests: int, level: float, df: float) -> float:
    """Where a tail falls to 1 - level: not below one t test's critical value, about Bonferroni's at most."""
    from scipy import optimize, stats

    lowest = 0.99 * float(stats.t.isf((1.0 - level) / 2.0, df))
    highest = 1.01 * float(stats.t.isf((1.0 - level) / (2.0 * tests), df))
    while tail(highest, df) > 1.0 - level:
        highest *= 1.5
    return float(optimize.brentq(lambda x: tail(x, df) - (1.0 - level), lowest, highest, xtol=1e-9, rtol=1e-9))


def _by_df(function: Callable[[float], float], df: Vector) -> Vector:
    """A smooth function of the degrees of freedom at each of them; interpolated in 1 / df where there are many."""
    rounded = np.array([float(f"{value:.9g}") for value in df.tolist()])
    distinct = np.unique(rounded[~np.isnan(rounded)])
    if len(distinct) <= NODES:
        known = {value: function(value) for value in distinct.tolist()}
        return np.array([known.get(value, np.nan) for value in rounded.tolist()])
    from scipy.interpolate import BarycentricInterpolator

    low, high = 1.0 / distinct[-1], 1.0 / distinct[0]
    nodes = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * np.arange(NODES) / (NODES - 1))
    curve = BarycentricInterpolator(
        nodes, [function(float(1.0 / node)) if node > 0 else function(np.inf) for node in nodes]
    )
    return np.asarray(curve(1.0 / df))


def _stepwise(method: str, p_values: Vector, tests: int) -> Vector:
    """Holm's, Hochberg's and Benjamini and Hochberg's adjustments."""
    result = np.full(len(p_values), np.nan)
    found = np.flatnonzero(np.isfinite(p_values))
    order = found[np.argsort(p_values[found], kind="stable")]
    rank = np.arange(1, len(order) + 1)
    factors = tests / rank if method == "fdr" else tests - rank + 1.0
    scaled = factors * p_values[order]
    if method == "holm":
        result[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    else:
        result[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return result


class LargestT:
    """Distribution of the largest |t| of several, multivariate t with a given correlation matrix.

    Parameters
    ----------
    correlation
        Shape (k, k), positive semidefinite.

    Examples
    --------
    >>> of_three = LargestT(np.array([[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]]))
    >>> round(of_three.upper_tail(2.5, 20.0), 5)
    0.05431
    """

    def __init__(self, correlation: Matrix) -> None:
        values, vectors = np.linalg.eigh(correlation)
        kept = values > 1e-10 * values[-1]
        root = vectors[:, kept] * np.sqrt(values[kept])
        root /= np.linalg.norm(root, axis=1)[:, None]
        self.rank = root.shape[1]
        counts, sums = np.zeros(BINS), np.zeros(BINS)
        directions = _directions(self.rank)
        for start in range(0, len(directions), CHUNK):
            squares = np.max((directions[start : start + CHUNK] @ root.T) ** 2, axis=1)
            bins = np.minimum((BINS * squares).astype(np.intp), BINS - 1)
            counts += np.bincount(bins, minlength=BINS)
            sums += np.bincount(bins, squares, minlength=BINS)
        found = counts > 0
        self._squares = sums[found] / counts[found]  # m(u)², by bin
        self._weights = counts[found] / counts.sum()

    def upper_tail(self, x: float, df: float) -> float:
        """P(max |t| > x)."""
        from scipy import stats

        with np.errstate(divide="ignore"):
            squares = x**2 / self._squares
        tails = stats.chi2.sf(squares, self.rank) if np.isinf(df) else stats.f.sf(squares / self.rank, self.rank, df)
        return float(self._weights @ tails)


def _directions(dimension: int) -> Matrix:
    """Directions spread evenly over half a sphere or all of it, (m, dimension): always the same ones."""
    if dimension == 1:
        return np.ones((1, 1))
    if dimension == 2:
        angles = np.pi * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
        return np.column_stack([np.cos(angles), np.sin(angles)])
    if dimension == 3:  # a spiral with a golden step
        steps = np.arange(DIRECTIONS) + 0.5
        height, angle = 1.0 - steps / DIRECTIONS, np.pi * (np.sqrt(5.0) - 1.0) * steps
        radius = np.sqrt(1.0 - height**2)
        return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), height])
    from scipy import special
    from scipy.stats import qmc

    points = qmc.Sobol(dimension, scramble=False).random(DIRECTIONS) + np.random.default_rng(1).random(dimension)
    normal = special.ndtri(np.clip(points % 1.0, 1e-12, 1.0 - 1e-12))
    return np.asarray(normal / np.linalg.norm(normal, axis=1)[:, None])
