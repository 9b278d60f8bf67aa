"""Shares of the variance: intraclass correlations, coefficients of determination, design effects.

The variance of an observation with columns z of a random term is z'Sigma z. With random slopes it differs from row to
row, and its mean over the rows stands for the term [2], tr(Sigma M) with M = Z'Z / n over the columns of the term:

    random_t = tr(Sigma_t M_t)      residual = sigma² mean(1 / w)      fixed = var(X beta)

With weights the residual variance is a mean over the rows as well, so that a common factor in them does not matter.

References
----------
1. Nakagawa, S., Johnson, P. C. D. and Schielzeth, H. (2017). The coefficient of determination R² and intra-class
   correlation coefficient from generalized linear mixed-effects models revisited and expanded. Journal of the Royal
   Society Interface 14, 20170213.
2. Johnson, P. C. D. (2014). Extension of Nakagawa & Schielzeth's R²_GLMM to random slopes models. Methods in Ecology
   and Evolution 5, 944-946.
3. Kish, L. (1965). Survey Sampling. Wiley, New York.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson.formatting import format_column, matrix

if TYPE_CHECKING:
    import pandas as pd

    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class VarianceShares:
    """Where the variance of the response comes from.

    Attributes
    ----------
    fixed
        Variance over the rows of what the fixed effects predict.
    random
        Mean variance due to the random effects of each grouping factor.
    residual
        Mean residual variance.
    """

    fixed: float
    random: dict[str, float]
    residual: float

    @property
    def total_random(self) -> float:
        """Of all grouping factors."""
        return sum(self.random.values())

    @property
    def total(self) -> float:
        """All of it."""
        return self.fixed + self.total_random + self.residual


def variance_shares(model: LinearMixedModel) -> VarianceShares:
    """The mean variance of the rows by source."""
    design = model.design
    random = {design.factors[term.factor].name: 0.0 for term in design.terms}
    for t, (term, covariance) in enumerate(zip(design.terms, model.varcorr.terms, strict=True)):
        random[design.factors[term.factor].name] += float(np.sum(covariance.covariance * mean_products(design, t)))
    mean = np.zeros(design.n)
    for place, coefficient in zip(model.kept, model.solution.beta, strict=True):
        column = design.x[place]
        mean += coefficient if column is None else coefficient * column
    inverse_weight = 1.0 if design.weights is None else float(np.mean(1.0 / design.weights))
    return VarianceShares(float(np.var(mean, ddof=1)), random, model.sigma**2 * inverse_weight)


def mean_products(design: DesignMatrices, term: int) -> Matrix:
    """Z'Z / n over the columns of a random term, shape (s, s)."""
    columns = [np.ones(1) if column is None else column for column in design.terms[term].columns]
    size = len(columns)
    result = np.empty((size, size))
    for a in range(size):
        for b in range(a, size):
            result[a, b] = result[b, a] = float(np.mean(columns[a] * columns[b]))
    return result


# ------------------------------------------------------------------------------------------------------------- results


@dataclass(frozen=True)
class IntraclassCorrelation:
    """Intraclass correlations, by grouping factor and of all of them together.

    Attributes
    ----------
    shares
        The variances they are made of.
    """

    shares: VarianceShares

    @property
    def adjusted(self) -> float:
        """Share of the random effects in the variance that the fixed effects leave: random / (random + residual)."""
        return self.shares.total_random / (self.shares.total_random + self.shares.residual)

    @property
    def unadjusted(self) -> float:
        """Share of the random effects in all the variance: random / (fixed + random + residual)."""
        return self.shares.total_random / self.shares.total

    @property
    def by_group(self) -> dict[str, float]:
        """The adjusted one of each grouping factor."""
        rest = self.shares.total_random + self.shares.residual
        return {group: variance / rest for group, variance in self.shares.random.items()}

    def to_frame(self) -> pd.DataFrame:
        """A row per grouping factor and one for "all", with the columns adjusted and unadjusted."""
        import pandas as pd

        rows = {group: (value, self.shares.random[group] / self.shares.total) for group, value in self.by_group.items()}
        rows["all"] = (self.adjusted, self.unadjusted)
        return pd.DataFrame.from_dict(rows, orient="index", columns=["adjusted", "unadjusted"]).rename_axis("group")

    def __str__(self) -> str:
        shown = self.to_frame() if len(self.shares.random) > 1 else self.to_frame().iloc[:-1]
        return _table("Intraclass correlation", shown, ["Adjusted", "Unadjusted"])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html())


@dataclass(frozen=True)
class CoefficientOfDetermination:
    """R² of a mixed model.

    Attributes
    ----------
    shares
        The variances it is made of.
    """

    shares: VarianceShares

    @property
    def marginal(self) -> float:
        """What the fixed effects explain: fixed / (fixed + random + residual)."""
        return self.shares.fixed / self.shares.total

    @property
    def conditional(self) -> float:
        """What fixed and random effects explain: (fixed + random) / (fixed + random + residual)."""
        return (self.shares.fixed + self.shares.total_random) / self.shares.total

    def to_frame(self) -> pd.DataFrame:
        """One row, with the columns marginal, conditional, fixed, random and residual (the last three: variances)."""
        import pandas as pd

        parts = {"fixed": self.shares.fixed, "random": self.shares.total_random, "residual": self.shares.residual}
        return pd.DataFrame([{"marginal": self.marginal, "conditional": self.conditional} | parts])

    def __str__(self) -> str:
        return (
            f"R-squared: marginal {self.marginal:.4f} (fixed effects), conditional {self.conditional:.4f} (all effects)"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False))


@dataclass(frozen=True, eq=False)
class DesignEffect:
    """How much less a row is worth because rows of one group resemble each other.

    Attributes
    ----------
    table
        A row per grouping factor, with the columns levels, mean_size, weighted_size (m0), icc, design_effect and
        effective_n.
    """

    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """A row per grouping factor."""
        return self.table.copy()

    def __str__(self) -> str:
        header = ["Levels", "Mean size", "m0", "ICC", "Design effect", "Effective n"]
        return _table("Design effects", self.table, header)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return str(self.table.to_html())


def _table(title: str, table: pd.DataFrame, header: list[str]) -> str:
    cells = [format_column(table[name].tolist(), 4) for name in table.columns]
    return "\n".join([title, *matrix([f" {name}" for name in table.index], header, cells)])


# --------------------------------------------------------------------------------------------------------- the methods


def icc(model: LinearMixedModel) -> IntraclassCorrelation:
    """Intraclass correlation: the share of the variance that lies between groups.

    Returns
    -------
    IntraclassCorrelation
        ``.adjusted``, ``.unadjusted``, ``.by_group``; ``.to_frame()`` for a table.

    Notes
    -----
    For a random intercept, Var(intercept) / (Var(intercept) + sigma²). With random slopes the variance differs between
    rows and its mean over the rows is taken. With several grouping factors each has its share of the same total.

    References
    ----------
    Nakagawa, S., Johnson, P. C. D. and Schielzeth, H. (2017). The coefficient of determination R² and intra-class
    correlation coefficient from generalized linear mixed-effects models revisited and expanded. Journal of the Royal
    Society Interface 14, 20170213.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> round(fit.icc().adjusted, 4)
    0.4185
    """
    return IntraclassCorrelation(model.row_facts.variance_shares)


def r2(model: LinearMixedModel) -> CoefficientOfDetermination:
    """Marginal and conditional R² of Nakagawa, Schielzeth and Johnson.

    Returns
    -------
    CoefficientOfDetermination
        ``.marginal``, ``.conditional``; ``.to_frame()`` for a table with the variances.

    Notes
    -----
    marginal = fixed / (fixed + random + residual), conditional = (fixed + random) / (fixed + random + residual), with
    fixed = var(X beta) over the rows, random the mean variance of a row due to the random effects, and residual =
    sigma² (with weights w, sigma² mean(1 / w)). An offset is not part of any of them.

    References
    ----------
    Nakagawa, S. and Schielzeth, H. (2013). A general and simple method for obtaining R² from generalized linear
    mixed-effects models. Methods in Ecology and Evolution 4, 133-142.

    Johnson, P. C. D. (2014). Extension of Nakagawa & Schielzeth's R²_GLMM to random slopes models. Methods in Ecology
    and Evolution 5, 944-946.

    Examples
    --------
    >>> import henderson as hd
    >>> hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy()).r2()
    R-squared: marginal 0.2787 (fixed effects), conditional 0.7992 (all effects)
    """
    return CoefficientOfDetermination(model.row_facts.variance_shares)


def design_effect(model: LinearMixedModel) -> DesignEffect:
    """Design effect of each grouping factor: the variance of a mean, over what it would be for independent rows.

    Returns
    -------
    DesignEffect
        ``.to_frame()`` for a table; the effective number of rows is nobs / design effect.

    Notes
    -----
    1 + (m0 - 1) ICC with m0 = sum n_j² / n for groups of n_j rows (which is n_j when all are alike), and the adjusted
    intraclass correlation of the factor.

    References
    ----------
    Kish, L. (1965). Survey Sampling. Wiley, New York.

    Examples
    --------
    >>> import henderson as hd
    >>> hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff()).design_effect().to_frame().round(3).T
    group          Batch
    levels         6.000
    mean_size      5.000
    weighted_size  5.000
    icc            0.418
    design_effect  2.674
    effective_n   11.219
    """
    import pandas as pd

    design = model.design
    shares = icc(model).by_group
    rows = {}
    for factor, counts in zip(design.factors, model.row_facts.level_sizes, strict=True):
        sizes = counts.astype(float)
        weighted = float(np.sum(sizes**2) / model.nobs)
        effect = 1.0 + (weighted - 1.0) * shares[factor.name]
        rows[factor.name] = (
            factor.n_levels,
            float(sizes.mean()),
            weighted,
            shares[factor.name],
            effect,
            model.nobs / effect,
        )
    names = ["levels", "mean_size", "weighted_size", "icc", "design_effect", "effective_n"]
    return DesignEffect(pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("group"))
