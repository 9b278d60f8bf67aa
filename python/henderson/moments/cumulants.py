"""Fourth cumulants of the random effects and the errors, from differences of rows, and the pair estimator.

The difference d of two rows r, r' has E d⁴ = (its fourth cumulant) + 3 (its variance)², and cumulants of independent
parts add. So for the sums over the pairs of rows of one level

    F_k = sum_i 1/(2 N_i) sum_{r, r' in i} d⁴
    E F_k = sum_m c_m t_km + c_e t_ke + 3/2 sum_i 1/N_i sum_{r, r' in i} Var(d)²

where the t_km count pairs that differ in factor m: the same numbers as in the moment equations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from henderson.moments.crosstabs import CrossTabs
from henderson.moments.rows import Matrix, Vector
from henderson.moments.second_pass import Residuals
from henderson.moments.sums import Sums

FEWEST = 100
"""If a factor has fewer levels all fourth cumulants are taken as zero: its few effects, whatever their distribution,
would drown those of the others."""


def fourth_cumulants(sums: Sums, tabs: CrossTabs, found: Residuals, variances: Vector) -> Vector:
    """Fourth cumulants (K + 1,) in the order of the variances (sigma_1², .., sigma²), which none is negative."""
    size = len(sums.factors)
    if any(factor.used < FEWEST for factor in sums.factors):
        return np.zeros(size + 1)
    matrix, known = np.zeros((size + 1, size + 1)), np.zeros(size + 1)
    for row, k in enumerate((None, *range(size))):
        shares = [_same(sums, tabs, (k, m)) for m in range(size)]
        groups = 1.0 if k is None else float(sums.factors[k].used)
        matrix[row] = [*(sums.n - share for share in shares), sums.n - groups]
        powers = found.total[:, None] if k is None else found.by_level[k]
        counts = np.array([float(sums.n)]) if k is None else sums.factors[k].rows
        known[row] = _fourth_powers(powers, counts) - 1.5 * _squared_variances(sums, tabs, k, variances, matrix[row])
    try:
        cumulants = np.asarray(np.linalg.solve(matrix, known), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.zeros(size + 1)
    # no distribution has less: its fourth moment is at least its variance squared
    least: Vector = -2.0 * variances**2
    return np.maximum(cumulants, least)


def _fourth_powers(powers: Matrix, counts: Vector) -> float:
    """Sum over levels of 1/(2 N) sum over pairs (r - r')⁴, from sums of powers (4, J) of the residuals."""
    inverse = np.divide(1.0, counts, out=np.zeros_like(counts), where=counts > 0)
    first, second, third, fourth = powers
    return float(np.sum(fourth + (3.0 * second**2 - 4.0 * third * first) * inverse))


def _squared_variances(sums: Sums, tabs: CrossTabs, k: int | None, variances: Vector, differ: Vector) -> float:
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


def _same(sums: Sums, tabs: CrossTabs, factors: Sequence[int | None]) -> float:
    """Sum over levels i of the first factor of 1/N_i times the pairs of rows of i that agree in the others too."""
    first = factors[0]
    subset = tuple(sorted({k for k in factors if k is not None}))
    weights = np.array([1.0 / sums.n]) if first is None else sums.factors[first].inverse
    if len(subset) == 1:
        rows = sums.factors[subset[0]].rows
        return float(np.sum(rows**2) / sums.n) if first is None else float(np.sum(rows))
    if len(subset) == 2:
        squares = tabs.squares(*subset)
        if first is None:
            return float(squares.sum() / sums.n)
        return float(np.sum(weights * np.asarray(squares.sum(axis=1 if first == subset[0] else 0)).ravel()))
    keys, counts = tabs.cells(subset)
    if first is None:
        return float(np.sum(counts.astype(np.float64) ** 2) / sums.n)
    return float(np.sum(weights[tabs.level_of(subset, keys, first)] * counts.astype(np.float64) ** 2))


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
