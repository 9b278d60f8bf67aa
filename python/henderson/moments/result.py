"""A fit by moments: values, and how they print."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_moments
from henderson.coefficient_layout import CoefficientLayout, coefficient_layout
from henderson.errors_fit import missing_note
from henderson.formatting import WIDTH, coefficient_cells, format_column, matrix, right_align
from henderson.inference.distributions import check_level, limit_names, t_quantile
from henderson.moments.group_size import GroupSizeEffect
from henderson.varcorr import RESIDUAL, TermCovariance, VarCorr

if TYPE_CHECKING:
    import pandas as pd

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
KINDS = ("model", "cluster")
METHODS = {"henderson": "Henderson's method of moments", "pairs": "pair estimator"}


@dataclass(frozen=True, eq=False, repr=False)
class VarianceComponents:
    """Moment estimates of the variances.

    Attributes
    ----------
    groups
        Grouping factors, the last is "Residual".
    raw
        The unbiased estimates (K + 1,), negative ones too.
    covariance
        Their covariance matrix (K + 1, K + 1).
    """

    groups: tuple[str, ...]
    raw: Vector
    covariance: Matrix

    @property
    def variance(self) -> Vector:
        """The estimates with zero in place of negative ones, (K + 1,)."""
        return np.maximum(self.raw, 0.0)

    @property
    def std_error(self) -> Vector:
        """Standard errors of the variances, (K + 1,)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    @property
    def std_dev(self) -> Vector:
        """Standard deviations, (K + 1,)."""
        return np.sqrt(self.variance)

    def __getitem__(self, group: str) -> float:
        """The variance of one factor, or of "Residual"."""
        if group not in self.groups:
            raise errors.choice("The variance component", group, list(self.groups))
        return float(self.variance[self.groups.index(group)])

    def to_frame(self) -> pd.DataFrame:
        """One row per component: group, variance, std_error, std_dev, raw."""
        import pandas as pd

        values = {"variance": self.variance, "std_error": self.std_error, "std_dev": self.std_dev, "raw": self.raw}
        return pd.DataFrame({"group": list(self.groups)} | values)

    def lines(self, digits: int = 5) -> list[str]:
        """Lines of the printed table."""
        names = ["(Intercept)"] * (len(self.groups) - 1) + [""]
        header, columns = ["Groups", "Name"], [list(self.groups), names]
        for title, values in zip(("Variance", "Std. Error", "Std.Dev."), self._columns(), strict=True):
            header.append(title)
            columns.append(right_align([title, *format_column(values, digits)])[1:])
        return matrix([""] * len(names), header, columns, left=True)

    def _columns(self) -> list[list[float]]:
        return [[_rounded(v, 5) for v in values.tolist()] for values in (self.variance, self.std_error, self.std_dev)]

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False))


def _of_likelihood(name: str) -> Any:
    """An attribute that fits by likelihood have; an AttributeError, so that it counts as absent."""

    def refuse(_: MomentFit) -> NoReturn:
        raise errors_moments.NotByMoments(name)

    return property(refuse)


@dataclass(frozen=True, eq=False, repr=False)
class MomentFit:
    """A mixed model with random intercepts, estimated by moments: no likelihood, no normality.

    It prints as a summary: variance components with standard errors, fixed effects by generalized least squares with
    model-based and cluster-robust standard errors.

    Attributes
    ----------
    names
        Of the fixed effects.
    beta
        Their estimates (p,), NaN for aliased columns.
    variance_components
        Variances of the factors and the residual variance, with standard errors.
    pair_estimates
        The same by the pair estimator, for a single factor whose rows could be read twice; otherwise None.
    cumulants
        Estimated fourth cumulants (K + 1,) of the effects of each factor and of the errors; zero where normality is
        assumed.
    group_size_effect
        By grouping factor, empty unless it was asked for.
    levels
        Number of levels of each grouping factor.
    nobs, n_dropped
        Rows used, and rows left out for missing values.
    estimator
        "henderson" or "pairs".
    iterations
        Of conjugate gradients for the fixed effects, zero for a single factor.
    call
        What was fitted, as it is printed.
    notes
        What the reader should know.
    """

    names: tuple[str, ...]
    beta: Vector
    covariances: dict[str, Matrix] = field(repr=False)
    variance_components: VarianceComponents
    pair_estimates: VarianceComponents | None
    cumulants: Vector
    group_size_effect: dict[str, GroupSizeEffect]
    levels: dict[str, int]
    nobs: int
    n_dropped: int
    estimator: str
    iterations: int
    call: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    ranef, coef, fitted, residuals, predict, simulate, refit, shrinkage, diagnose, augment = map(
        _of_likelihood,
        ("ranef", "coef", "fitted", "residuals", "predict", "simulate", "refit", "shrinkage", "diagnose", "augment"),
    )
    loglik, deviance, aic, bic, anova, profile, bootstrap, emmeans, contrast, glance = map(
        _of_likelihood,
        ("loglik", "deviance", "aic", "bic", "anova", "profile", "bootstrap", "emmeans", "contrast", "glance"),
    )

    @property
    def fixef(self) -> pd.Series:
        """Fixed effects by name."""
        import pandas as pd

        return pd.Series(self.beta, index=list(self.names), name="estimate")

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return float(self.variance_components.std_dev[-1])

    @property
    def varcorr(self) -> VarCorr:
        """Variances as those of a fit by likelihood."""
        variances = self.variance_components.variance
        groups = self.variance_components.groups
        terms = [
            TermCovariance(group, ("(Intercept)",), np.array([[value]]))
            for group, value in zip(groups[:-1], variances[:-1], strict=True)
        ]
        return VarCorr(tuple(terms), self.sigma)

    def vcov(self, kind: str = "model") -> pd.DataFrame:
        """Covariance matrix of the fixed effects.

        Parameters
        ----------
        kind
            "model": at the estimated variances; "cluster": robust, clustered by every grouping factor at once.

        Raises
        ------
        DataError
            An unknown kind, or the rows could be read once only.

        Notes
        -----
        "cluster" takes the scores h_r (y_r - x_r'beta) of the rows, sums them over the levels of each factor, and adds
        the products of these sums; for several factors those over the combinations of levels are subtracted, and so on
        (multi-way clustering). Each is multiplied by G / (G - 1), G its number of clusters. It needs neither equal
        variances nor normality, but many levels of each factor.
        """
        import pandas as pd

        return pd.DataFrame(self._covariance(kind), index=list(self.names), columns=list(self.names))

    def std_errors(self, kind: str = "model") -> pd.Series:
        """Standard errors of the fixed effects; `kind` as in `vcov`."""
        import pandas as pd

        return pd.Series(np.sqrt(np.diag(self._covariance(kind))), index=list(self.names), name="std_error")

    def confint(self, level: float = 0.95, kind: str = "model") -> pd.DataFrame:
        """Wald confidence intervals of the fixed effects: estimate -+ normal quantile times standard error.

        Parameters
        ----------
        level
            Confidence level.
        kind
            Of the standard errors, as in `vcov`.

        Returns
        -------
        DataFrame
            A row per fixed effect, columns named by their percentages.
        """
        import pandas as pd

        check_level(level)
        reach = t_quantile(level, np.inf) * np.sqrt(np.diag(self._covariance(kind)))
        limits = np.column_stack([self.beta - reach, self.beta + reach])
        return pd.DataFrame(limits, index=list(self.names), columns=limit_names(level))

    def summary(self) -> MomentFit:
        """The fit itself, which prints as a summary."""
        return self

    def _covariance(self, kind: str) -> Matrix:
        if kind not in KINDS:
            raise errors.choice("kind", kind, list(KINDS))
        if kind not in self.covariances:
            raise errors_moments.no_cluster_covariance()
        return self.covariances[kind]

    def to_frame(self, kind: str = "model") -> pd.DataFrame:
        """All estimates in one table with the column names of R's broom.mixed.

        Parameters
        ----------
        kind
            Of the standard errors and z tests of the fixed effects: "model" or "cluster".

        Returns
        -------
        DataFrame
            Columns effect ("fixed" or "ran_pars"), group, term, estimate, std_error, statistic, p_value. The random
            parameters are variances, "var__(Intercept)".
        """
        import pandas as pd

        errors_of = np.sqrt(np.diag(self._covariance(kind)))
        statistics, p_values = z_tests(self.beta, errors_of)
        components = self.variance_components
        size, count = len(self.names), len(components.groups)
        terms = ["var__(Intercept)"] * (count - 1) + ["var__Observation"]
        blank = [math.nan] * count
        return pd.DataFrame(
            {
                "effect": ["fixed"] * size + ["ran_pars"] * count,
                "group": pd.Series([None] * size + list(components.groups), dtype=object),
                "term": [*self.names, *terms],
                "estimate": [*self.beta, *components.variance],
                "std_error": [*errors_of, *components.std_error],
                "statistic": [*statistics, *blank],
                "p_value": [*p_values, *blank],
            }
        )

    tidy = to_frame

    def to_text(self, digits: int = 4) -> str:
        """The fit as text, with `digits` significant digits of the fixed effects."""
        lines = ["Linear mixed model fit by moments", *(f"{label + ':':>8} {text}" for label, text in self.call), ""]
        lines += [f"Random effects ({METHODS[self.estimator]}):", *self.variance_components.lines()]
        if self.pair_estimates is not None and self.estimator != "pairs":
            lines += ["Random effects (pair estimator):", *self.pair_estimates.lines()]
        groups = "; ".join(f"{name}, {count}" for name, count in self.levels.items())
        lines.append(f"Number of obs: {self.nobs}, groups:  {groups}")
        lines += [missing_note(self.n_dropped)] if self.n_dropped else []
        if np.isfinite(self.beta).any():
            names, layout = self._coefficients(digits)
            lines += ["", "Fixed effects:", *layout.lines(names)]
        for effect in self.group_size_effect.values():
            lines += ["", *effect.lines()]
        for note in self.notes:
            lines += ["", *textwrap.wrap(note, WIDTH)]
        return "\n".join(line.rstrip() for line in lines)

    def _coefficients(self, digits: int) -> tuple[list[str], CoefficientLayout]:
        known = ~np.isnan(self.beta)
        names = [name for name, is_known in zip(self.names, known, strict=True) if is_known]
        beta, error = self.beta[known], np.sqrt(np.diag(self.covariances["model"]))[known]
        statistics, p_values = z_tests(beta, error)
        table = {"estimate": beta, "std_error": error, "statistic": statistics, "p_value": p_values}
        layout = coefficient_layout({name: values.tolist() for name, values in table.items()}, digits)
        if "cluster" not in self.covariances:
            return names, layout
        robust = np.sqrt(np.diag(self.covariances["cluster"]))[known]
        columns = [values.tolist() for values in (beta, error, robust, statistics)]
        header = (*layout.header[:2], "Cluster SE", *layout.header[2:])
        cells = (*coefficient_cells(columns, digits), layout.columns[-1])
        return names, CoefficientLayout(header, cells, layout.stars)

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        import pandas as pd

        fixed = ""
        if np.isfinite(self.beta).any():
            names, layout = self._coefficients(4)
            columns: dict[str, Any] = dict(zip(layout.header, layout.columns, strict=True))
            fixed = pd.DataFrame(columns, index=names).to_html()
        call = "<br>".join(f"{escape(label)}: {escape(text)}" for label, text in self.call)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        groups = ", ".join(f"{escape(name)} {count}" for name, count in self.levels.items())
        title = f"<p><strong>Linear mixed model fit by moments</strong><br>{call}</p>"
        random = self.variance_components._repr_html_()
        sizes = f"<p>{self.nobs} observations; groups: {groups} ({RESIDUAL.lower()} variance last)</p>"
        effects = "".join(f"<pre>{escape(str(effect))}</pre>" for effect in self.group_size_effect.values())
        return f"<div class='henderson'>{title}{random}{sizes}{fixed}{effects}{notes}</div>"


def z_tests(estimates: Vector, std_errors: Vector) -> tuple[Vector, Vector]:
    """Estimates in units of their standard errors, and two-sided p-values of the normal distribution."""
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = estimates / std_errors
    return statistics, np.array([math.erfc(abs(value) / math.sqrt(2.0)) for value in statistics])


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")
