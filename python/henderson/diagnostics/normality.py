"""Normality of residuals and random effects: shape, tests, distances of vector-valued random effects."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_diagnostics
from henderson.diagnostics.normality_tests import ANDERSON, MOST_FOR_SHAPIRO, SHAPIRO, Shape, shape_of
from henderson.diagnostics.residual_kinds import residual_values
from henderson.diagnostics.standardized_effects import StandardizedEffects, standardized_effects
from henderson.formatting import WIDTH
from henderson.significance import LEGEND, AnovaTable, TableColumn

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]

TESTS = ("auto", SHAPIRO, ANDERSON)
SHRUNKEN = 0.5
"""Random effects of which a smaller share of the variance shows in the predictions are called shrunken."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Values that are standard normal if the model is right (distances: chi-square), and what a test says.

    Attributes
    ----------
    label
        "Residuals", "(Intercept) | Subject".
    values
        The values, unsorted, without those that are not defined.
    shape
        Skewness, kurtosis and the test.
    share
        Of random effects: the part of their variance that shows in the predictions; NaN for residuals.
    """

    label: str
    values: Vector
    shape: Shape
    share: float

    def quantile_plot(self) -> tuple[Vector, Vector]:
        """Quantiles of the normal distribution and of the values, sorted: the points of a quantile-quantile plot."""
        from scipy import special

        n = len(self.values)
        return np.asarray(special.ndtri((np.arange(n) + 0.5) / max(n, 1))), np.sort(self.values)


@dataclass(frozen=True, eq=False)
class Distances:
    """Squared Mahalanobis distances of the random effects of a term with several effects.

    Attributes
    ----------
    label
        Of the term.
    values
        (levels,) the distances.
    df
        Degrees of freedom of the chi-square distribution they follow: effects, or directions that vary.
    statistic, p_value
        Of Kolmogorov and Smirnov's test.
    """

    label: str
    values: Vector
    df: int
    statistic: float
    p_value: float

    def quantile_plot(self) -> tuple[Vector, Vector]:
        """Quantiles of the chi-square distribution and of the distances, sorted."""
        from scipy import stats

        n = len(self.values)
        return np.asarray(stats.chi2.ppf((np.arange(n) + 0.5) / max(n, 1), self.df)), np.sort(self.values)


@dataclass(frozen=True, eq=False)
class Normality:
    """The report of ``fit.normality()``: print it.

    Attributes
    ----------
    formula
        Of the model.
    residuals
        Standardized conditional residuals.
    effects
        For each random effect its standardized predictions.
    distances
        For each term with several effects.
    terms
        The standardized predictions by term, with levels and covariance matrices.
    notes
        What the reader should know.
    """

    formula: str
    residuals: Sample
    effects: tuple[Sample, ...]
    distances: tuple[Distances, ...]
    terms: tuple[StandardizedEffects, ...]
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row per test: what, n, skewness, kurtosis, share, test, df, statistic, p_value."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for sample in (self.residuals, *self.effects):
            shape = sample.shape
            rows.append(
                {
                    "what": sample.label,
                    "n": shape.n,
                    "skewness": shape.skewness,
                    "kurtosis": shape.kurtosis,
                    "share": sample.share,
                    "test": shape.test,
                    "df": float("nan"),
                    "statistic": shape.statistic,
                    "p_value": shape.p_value,
                }
            )
        nan = float("nan")
        for found in self.distances:
            known = {"n": len(found.values), "skewness": nan, "kurtosis": nan, "share": nan, "test": "chi-square"}
            known |= {"df": float(found.df), "statistic": found.statistic, "p_value": found.p_value}
            rows.append({"what": found.label} | known)
        return pd.DataFrame(rows)

    def _tables(self) -> list[AnovaTable]:
        samples = (self.residuals, *self.effects)
        shapes = [sample.shape for sample in samples]
        nan = float("nan")
        columns = [
            TableColumn("n", "n", [shape.n for shape in shapes], "df"),
            TableColumn("skewness", "Skewness", [shape.skewness for shape in shapes], "statistic"),
            TableColumn("kurtosis", "Kurtosis-3", [shape.kurtosis for shape in shapes], "statistic"),
        ]
        for test, header in ((SHAPIRO, "W"), (ANDERSON, "A")):
            cells = [shape.statistic if shape.test == test else nan for shape in shapes]
            if not np.isnan(cells).all():
                columns.append(TableColumn(test, header, cells, "statistic"))
        used = {shape.test for shape in shapes}
        header = "p" if len(used) > 1 else "Pr(<W)" if used == {SHAPIRO} else "Pr(>A)"
        columns.append(TableColumn("p_value", header, [shape.p_value for shape in shapes], "p_value"))
        heading: tuple[str, ...] = (
            "Normality of standardized residuals and random effects",
            f"Formula: {self.formula}",
            "",
        )
        tables = [AnovaTable(heading, tuple(sample.label for sample in samples), tuple(columns))]
        if self.distances:
            found = self.distances
            columns = [
                TableColumn("n", "n", [len(each.values) for each in found], "df"),
                TableColumn("df", "Df", [each.df for each in found], "df"),
                TableColumn("statistic", "D", [each.statistic for each in found], "statistic"),
                TableColumn("p_value", "Pr(>D)", [each.p_value for each in found], "p_value"),
            ]
            heading = ("Squared distances of vector-valued random effects, against chi-square",)
            tables.append(AnovaTable(heading, tuple(each.label for each in found), tuple(columns)))
        return tables

    def __str__(self) -> str:
        parts = [table.to_text(digits=4) for table in self._tables()]
        if all(LEGEND[1] in part for part in parts):
            parts[:-1] = [part.replace("\n" + "\n".join(LEGEND), "") for part in parts[:-1]]
        parts += ["\n".join(textwrap.wrap(note, WIDTH)) for note in self.notes]
        return "\n\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        tables = "".join(table.to_html(digits=4) for table in self._tables())
        return f"<div class='henderson'>{tables}{''.join(f'<p>{escape(note)}</p>' for note in self.notes)}</div>"


def normality(model: LinearMixedModel, *, test: str = "auto") -> Normality:
    """Skewness, kurtosis and tests of normality of residuals and of random effects, each standardized.

    Parameters
    ----------
    test
        "shapiro" (Shapiro and Wilk), "anderson" (Anderson and Darling), or "auto": the first up to 5000 values, the
        second beyond, where the p-value of the first is not reliable.

    Returns
    -------
    Normality
        Print it; ``.residuals``, ``.effects``, ``.distances`` with the values and their expected quantiles.

    Raises
    ------
    DataError
        The test is unknown.

    Notes
    -----
    Conditional residuals are divided by their standard errors. Predicted random effects are shrunk, by more in levels
    with few rows, and are divided by the square roots of their own variances: sigma² Psi less the prediction error, the
    uncertainty of the fixed effects included. For terms with several
    effects the distances b_j' Cov(b_j)⁻¹ b_j are compared with a chi-square distribution.

    Predictions mix random effects with errors. Where shrinkage is strong they are nearly normal whatever the random
    effects are (Verbeke and Lesaffre 1996); the report says so.

    References
    ----------
    Verbeke, G. and Lesaffre, E. (1996). A linear mixed-effects model with heterogeneity in the random-effects
    population. JASA 91, 217-221.
    Lange, N. and Ryan, L. (1989). Assessing normality in random effects models. Annals of Statistics 17, 624-642.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> found = fit.normality()
    >>> round(found.residuals.shape.kurtosis, 1)
    7.6
    """
    if test not in TESTS:
        raise errors.choice("test", test, TESTS)
    values = residual_values(model, "standardized")
    known = values[np.isfinite(values)]
    residuals = Sample("Residuals", known, shape_of(known, test), float("nan"))
    terms = standardized_effects(model)
    effects: list[Sample] = []
    notes: list[str] = []
    for term in terms:
        for k, name in enumerate(term.names):
            label = f"{name} | {term.label}"
            column = term.standardized[:, k]
            column = column[np.isfinite(column)]
            if not len(column):
                notes.append(errors_diagnostics.no_variance_note(label))
                continue
            share = float(term.shares[k])
            effects.append(Sample(label, column, shape_of(column, test), share))
            if share < SHRUNKEN:
                notes.append(errors_diagnostics.shrunken_note(label, share))
    if len(known) > MOST_FOR_SHAPIRO:
        notes.append(errors_diagnostics.many_rows_note(len(known)))
    if len(known) < len(values):
        notes.append(errors_diagnostics.undefined_note(len(values) - len(known)))
    distances = [found for term in terms if len(term.names) > 1 and (found := _distances(term)) is not None]
    return Normality(model.formula, residuals, tuple(effects), tuple(distances), tuple(terms), tuple(notes))


def _distances(term: StandardizedEffects) -> Distances | None:
    from scipy import stats

    squares, ranks = term.distances()
    df = int(ranks.max(initial=0))
    chosen = squares[ranks == df]
    if df < 2 or len(chosen) < 2:
        return None
    found = stats.kstest(chosen, stats.chi2(df).cdf)
    return Distances(term.label, chosen, df, float(found.statistic), float(found.pvalue))
