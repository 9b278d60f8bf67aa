"""Tail probabilities and quantiles of t, F and their limits with infinitely many degrees of freedom; joint tests."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import errors_fit, errors_inference

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

DEPENDENT = 1e-10
"""Contrasts are linearly dependent when an eigenvalue of their correlation matrix is this small."""


@dataclass(frozen=True)
class JointTest:
    """An F test of several contrasts at once.

    Attributes
    ----------
    statistic
        F; with infinitely many denominator degrees of freedom, chi-square over `num_df`.
    num_df, den_df
        Degrees of freedom; `num_df` is the number of linearly independent contrasts.
    """

    statistic: float
    num_df: float
    den_df: float


def check_level(level: Any) -> None:
    """Refuse what is not a confidence level."""
    if isinstance(level, bool) or not isinstance(level, int | float | np.floating) or not 0.0 < level < 1.0:
        raise errors_fit.level_invalid(level)


def limit_names(level: float) -> list[str]:
    """Column names of an interval, as in R.

    Examples
    --------
    >>> limit_names(0.95), limit_names(0.999)
    (['2.5 %', '97.5 %'], ['0.05 %', '99.95 %'])
    """
    percentages = [50.0 * (1.0 - level), 50.0 * (1.0 + level)]
    decimals = max(0, *(-int(Decimal(f"{value:.3g}").normalize().as_tuple().exponent) for value in percentages))
    return [f"{value:.{decimals}f} %" for value in percentages]


def t_tail(statistic: ArrayLike, df: ArrayLike) -> Vector:
    """Two-sided p-values of t statistics; of z statistics where df is infinite.

    Examples
    --------
    >>> t_tail([2.0, 2.0], [10.0, np.inf]).round(4)
    array([0.0734, 0.0455])
    """
    from scipy import special

    size, degrees = np.abs(np.asarray(statistic, dtype=float)), np.asarray(df, dtype=float)
    finite = np.where(np.isinf(degrees), 1.0, degrees)
    result: Vector = 2.0 * np.where(np.isinf(degrees), special.ndtr(-size), special.stdtr(finite, -size))
    return result


def t_quantile(level: float, df: ArrayLike) -> Vector:
    """By how many standard errors a two-sided interval of the given level reaches out.

    Examples
    --------
    >>> t_quantile(0.95, [10.0, np.inf]).round(4)
    array([2.2281, 1.96  ])
    """
    from scipy import special

    degrees = np.asarray(df, dtype=float)
    finite = np.where(np.isinf(degrees), 1.0, degrees)
    upper = 0.5 + level / 2.0
    result: Vector = np.where(np.isinf(degrees), special.ndtri(upper), special.stdtrit(finite, upper))
    return result


def f_tail(statistic: float, num_df: float, den_df: float) -> float:
    """P-value of an F statistic; of a chi-square over `num_df` where `den_df` is infinite.

    Examples
    --------
    >>> round(f_tail(3.0, 2, 10.0), 4), round(f_tail(3.0, 2, np.inf), 4)
    (0.0954, 0.0498)
    """
    from scipy import special

    if np.isinf(den_df):
        return float(special.chdtrc(num_df, num_df * statistic))
    return float(special.fdtrc(num_df, den_df, statistic)) if den_df > 0 else float("nan")


def independent_directions(contrasts: Matrix, covariance: Matrix) -> tuple[Matrix, Vector]:
    """Eigenvectors (r, rank) and eigenvalues of the covariance matrix L C L' of contrasts, without the null ones."""
    matrix = contrasts @ covariance @ contrasts.T
    scale = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    scale = np.where(scale > 0, scale, 1.0)
    rank = int(np.sum(np.linalg.eigvalsh(matrix / np.outer(scale, scale)) > DEPENDENT * max(len(matrix), 1)))
    values, vectors = np.linalg.eigh(matrix)
    last = len(values) - rank
    return vectors[:, last:], values[last:]


def wald(contrasts: Matrix, covariance: Matrix, difference: Vector) -> tuple[float, int]:
    """(L beta - rhs)' (L C L')⁻¹ (L beta - rhs), the `difference` (r,), and the number of independent contrasts."""
    vectors, values = independent_directions(contrasts, covariance)
    return float(np.sum((difference @ vectors) ** 2 / values)), len(values)


def require_consistent(contrasts: Matrix, covariance: Matrix, rhs: Vector) -> None:
    """Refuse right-hand sides that contradict each other: dependent rows of L beta with other values than implied."""
    vectors, values = independent_directions(contrasts, covariance)
    if len(values) == len(contrasts) or not rhs.any():
        return
    scale = np.sqrt(np.diag(contrasts @ covariance @ contrasts.T))
    within = np.linalg.lstsq(vectors * np.sqrt(values), rhs, rcond=None)[0]
    if np.abs((vectors * np.sqrt(values)) @ within - rhs).max() > 1e-6 * np.abs(rhs).max() + 1e-12 * scale.max():
        raise errors_inference.rhs_inconsistent()
