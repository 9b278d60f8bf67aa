"""Tail probabilities of chi-square distributions and of their mixtures at the boundary.

A variance cannot be negative, so under the hypothesis that it is zero the likelihood ratio does not follow a chi-square
distribution but a mixture of several (chi-bar-square). With one variance tested, and df parameters in all (the variance
and its covariances), it is half chi²(df - 1), half chi²(df) [1, 2]. With more of them the weights depend on the
information matrix; but those of even and of odd degrees of freedom each add up to one half [3], so that half
chi²(df - 1), half chi²(df) is an upper bound then, still below chi²(df).

References
----------
1. Self, S. G. and Liang, K.-Y. (1987). Asymptotic properties of maximum likelihood estimators and likelihood ratio
   tests under nonstandard conditions. Journal of the American Statistical Association 82, 605-610.
2. Stram, D. O. and Lee, J. W. (1994). Variance components testing in the longitudinal mixed effects model.
   Biometrics 50, 1171-1177.
3. Shapiro, A. (1988). Towards a unified theory of inequality constrained testing in multivariate analysis.
   International Statistical Review 56, 49-62.
"""

from __future__ import annotations

from dataclasses import dataclass


def chi_square_tail(statistic: float, df: int) -> float:
    """P(chi²(df) >= statistic); chi²(0) is the constant 0.

    Examples
    --------
    >>> round(chi_square_tail(3.841459, 1), 6)
    0.05
    """
    if df == 0:
        return float(statistic <= 0)
    from scipy import special

    return float(special.chdtrc(df, max(statistic, 0.0)))


@dataclass(frozen=True)
class Mixture:
    """Half chi²(df - 1), half chi²(df).

    Attributes
    ----------
    df
        Parameters tested.
    variances
        How many of them are variances. With more than one, p-values are upper bounds.
    """

    df: int
    variances: int

    def tail(self, statistic: float) -> float:
        """P-value of a likelihood ratio.

        Examples
        --------
        >>> round(Mixture(1, 1).tail(2.705543), 6)
        0.05
        """
        return 0.5 * (chi_square_tail(statistic, self.df - 1) + chi_square_tail(statistic, self.df))

    def __str__(self) -> str:
        return f"0.5 chi2({self.df - 1}) + 0.5 chi2({self.df})"
