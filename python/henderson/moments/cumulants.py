"""Fourth cumulants of the random effects and the errors, and the pair estimator.

Cumulants of independent parts add, E m⁴ = (fourth cumulant of m) + 3 Var(m)². For the effects of factor k, m_i is the
mean of the residuals of level i: the rest of the model averages out in it. With N_ij of its N_i rows in level j of m,

    Var(m_i) = sigma_k² + sum_m sigma_m² sum_j (N_ij / N_i)² + sigma² / N_i
    fourth cumulant = c_k + sum_m c_m sum_j (N_ij / N_i)⁴ + c_e / N_i³

averaged over levels with weights 1 / Var(m_i)⁴, which for normal effects are those of the least variance.

For the errors, differences of rows: the sums over the pairs of rows of one level of a factor k

    F_k = sum_i 1/(2 N_i) sum_{r, r' in i} (r - r')⁴
    E F_k = sum_m c_m t_km + c_e t_ke + 3/2 sum_i 1/N_i sum_{r, r' in i} Var(r - r')²

where the t_km count pairs that differ in factor m: the same numbers as in the moment equations. Of the factors that is
taken whose pairs differ least in the effects of the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from henderson.moments.crosstabs import CrossTabs
from henderson.moments.rows import Matrix, Vector
from henderson.moments.second_pass import Residuals
from henderson.moments.sums import Sums

FEWEST = 100
"""From fewer levels (for the errors: rows less levels) no fourth cumulant is estimated; it is taken as zero."""


def fourth_cumulants(
    sums: Sums, tabs: CrossTabs, found: Residuals, variances: Vector
) -> tuple[Vector, NDArray[np.bool_]]:
    """Fourth cumulants (K + 1,) in the order of the variances (sigma_1², .., sigma²), which none is negative.

    And which of them could be estimated; the others are zero.
    """
    matrix, right = np.eye(len(variances)), np.zeros(len(variances))
    is_known = np.array([*(factor.used >= FEWEST for factor in sums.factors), False])
    for k in np.flatnonzero(is_known & (variances > 0)).tolist():
        matrix[k], right[k] = _of_levels(sums, tabs, found, k, variances)
    within = _best_factor(sums, tabs, variances)
    if within is not None:
        is_known[-1] = True
        matrix[-1], right[-1] = _of_errors(sums, tabs, found, *within, variances)
    try:
        cumulants = np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.zeros(len(variances)), np.zeros(len(variances), dtype=bool)
    # no distribution has less: its fourth moment is at least its variance squared
    least: Vector = -2.0 * variances**2
    return np.maximum(cumulants, least), is_known


def _of_levels(sums: Sums, tabs: CrossTabs, found: Residuals, k: int, variances: Vector) -> tuple[Vector, float]:
    """Coefficients (K + 1,) and right-hand side of the equation of the means of the levels of factor k.

    A constant among the columns takes the mean of all rows from the residuals, and so its part from the variances.
    """
    factor = sums.factors[k]
    inverse, centred = factor.inverse, 0.0 if sums.intercept is None else 1.0 / sums.n
    means, spread = found.by_level[k][0] * inverse, variances[-1] * (inverse - centred)
    shares = np.zeros((len(factor), len(variances)))
    shares[:, -1] = inverse**3
    for m, other in enumerate(sums.factors):
        second, fourth = _power_sums(tabs, k, m) if m != k else (factor.rows**2, factor.rows**4)
        with_all = tabs.times(k, m, other.rows) if m != k else factor.rows**2
        own = second * inverse**2 - 2.0 * centred * with_all * inverse + centred**2 * float(other.rows @ other.rows)
        spread = spread + variances[m] * own
        shares[:, m] = fourth * inverse**4
    weights = np.where(factor.rows > 0, (variances[k] / np.where(spread > 0, spread, np.inf)) ** 4, 0.0)
    weights /= weights.sum()
    return weights @ shares, float(weights @ means**4 - 3.0 * (weights @ spread**2))


def _power_sums(tabs: CrossTabs, k: int, m: int) -> tuple[Vector, Vector]:
    """Sums over j of N_ij² and of N_ij⁴, of every level i of factor k."""
    squares = tabs.squares(k, m)
    second = np.asarray(squares.sum(axis=1), dtype=np.float64).ravel()
    if not np.any(squares.data != 1.0):
        return second, second
    return second, np.asarray(squares.multiply(squares).sum(axis=1), dtype=np.float64).ravel()


def _best_factor(sums: Sums, tabs: CrossTabs, variances: Vector) -> tuple[int, Vector] | None:
    """The factor whose pairs of rows tell most about the errors, and its counts (K + 1,); None if there is none.

    A few effects of a factor in which the pairs differ would pass for errors of another distribution.
    """
    size, best = len(sums.factors), None
    for k, factor in enumerate(sums.factors):
        differ = np.array([sums.n - _same(sums, tabs, (k, m)) for m in range(size)])
        between = differ * variances[:-1]
        few = [m for m, other in enumerate(sums.factors) if other.used < FEWEST and between[m] > 1e-9 * sums.n]
        is_better = best is None or float(between.sum()) < float(best[1][:-1] @ variances[:-1])
        if sums.n - factor.used >= FEWEST and not few and is_better:
            best = k, np.append(differ, sums.n - float(factor.used))
    return best


def _of_errors(
    sums: Sums, tabs: CrossTabs, found: Residuals, k: int, counts: Vector, variances: Vector
) -> tuple[Vector, float]:
    """Coefficients (K + 1,) and right-hand side of the equation of the pairs of rows of one level of factor k."""
    expected = 1.5 * _squared_variances(sums, tabs, k, variances, counts)
    return counts, _fourth_powers(found.by_level[k], sums.factors[k].rows) - expected


def _fourth_powers(powers: Matrix, counts: Vector) -> float:
    """Sum over levels of 1/(2 N) sum over pairs (r - r')⁴, from sums of powers (4, J) of the residuals."""
    inverse = np.divide(1.0, counts, out=np.zeros_like(counts), where=counts > 0)
    first, second, third, fourth = powers
    return float(np.sum(fourth + (3.0 * second**2 - 4.0 * third * first) * inverse))


def _squared_variances(sums: Sums, tabs: CrossTabs, k: int, variances: Vector, differ: Vector) -> float:
    """Sum over the levels of factor k of 1/N sum over pairs of different rows of Var(r - r')²."""
    size = len(sums.factors)
    effects, error = variances[:-1], float(variances[-1])
    total = error**2 * differ[-1] + 2.0 * error * float(effects @ differ[:-1])
    for m in range(size):
        for other in range(size):
            both = differ[m]
            if other != m:  # pairs that differ in both: all, less those alike in one, and those alike in both again
                both = differ[m] + differ[other] - sums.n + _same(sums, tabs, (k, m, other))
            total += float(effects[m] * effects[other]) * both
    return float(4.0 * total)


def _same(sums: Sums, tabs: CrossTabs, factors: Sequence[int]) -> float:
    """Sum over levels i of the first factor of 1/N_i times the pairs of rows of i that agree in the others too."""
    first = factors[0]
    subset = tuple(sorted(set(factors)))
    if len(subset) == 1:
        return float(np.sum(sums.factors[first].rows))
    inverse = sums.factors[first].inverse
    if len(subset) == 2:
        squares = tabs.squares(*subset)
        return float(inverse @ np.asarray(squares.sum(axis=1 if first == subset[0] else 0)).ravel())
    keys, counts = tabs.cells(subset)
    return float(np.sum(inverse[tabs.level_of(subset, keys, first)] * counts.astype(np.float64) ** 2))


def pair_estimator(sums: Sums, found: Residuals) -> tuple[Vector, Matrix]:
    """Variances (sigma_1², sigma²) of a single factor from products of pairs of residuals, and their covariance matrix.

    C_i = (sum_j r_ij)² - sum_j r_ij²: sigma_1² = sum C_i / sum N_i (N_i - 1), sigma_1² + sigma² = sum r² / n. The
    groups are independent, and so their contributions give the covariance matrix, whatever the distributions.
    """
    rows = sums.factors[0].rows
    first, second = found.by_level[0][:2]
    products, pairs = first**2 - second, rows * (rows - 1.0)
    between = float(products.sum() / pairs.sum())
    overall = float(second.sum() / sums.n)
    one = (products - between * pairs) / pairs.sum()
    both = (second - overall * rows) / sums.n
    influence = np.array([one, both - one])
    return np.array([between, overall - between]), influence @ influence.T
