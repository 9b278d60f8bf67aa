"""Quantile residuals as a result: tests against the simulated ones, a report in words, arrays for plots."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson.diagnostics.quantile_comparison import QuantileComparison, compare
from henderson.diagnostics.rank_tests import distances, share_above, two_sided
from henderson.formatting import format_number

if TYPE_CHECKING:
    import pandas as pd

    from henderson.design import DesignMatrices

Vector = NDArray[np.float64]
Ranks = NDArray[np.uint16] | NDArray[np.uint32]

NOTE, PROBLEM = 0.05, 0.01
"""P-values below which a test is a note, and a problem."""
WIDTH = 88
KINDS = {
    "marginal": "residuals y - X beta, new random effects in each response",
    "conditional": "residuals y - X beta - Z b",
    "whitened": "whitened residuals",
}


@dataclass(frozen=True)
class QuantileTest:
    """One test of quantile residuals.

    Attributes
    ----------
    name
        "Uniformity", "Dispersion" or "Outliers".
    statistic
        Of the data: the Kolmogorov-Smirnov distance; the ratio of the standard deviation to that of the simulated
        residuals; the number of residuals outside all simulated ones.
    expected
        What the statistic is on average in the simulated responses.
    p_value
        Share of the simulated responses with a statistic as extreme, the data counted in; two-sided but for uniformity.
    p_independent
        The usual p-value, which takes all residuals for independent: of the Kolmogorov-Smirnov and the binomial test;
        NaN for the dispersion.
    text
        The same in words.
    """

    name: str
    statistic: float
    expected: float
    p_value: float
    p_independent: float
    text: str

    @property
    def level(self) -> str:
        """Either "ok", "note" (p < 0.05) or "problem" (p < 0.01)."""
        return "problem" if self.p_value < PROBLEM else "note" if self.p_value < NOTE else "ok"


@dataclass(frozen=True, eq=False)
class QuantileResiduals:
    """Quantile residuals of a fit; print them for a report.

    Attributes
    ----------
    formula
        Of the model.
    kind
        "marginal", "conditional" or "whitened".
    group
        What the residuals were added up by, None for residuals of rows.
    n, seed
        Number of simulated responses, and the seed that gives the same ones again.
    labels
        What the rows or groups are called.
    is_low, is_high
        Below, or above, all simulated residuals.
    ranks
        Of the observed (first) and the simulated residuals among all n + 1, (n + 1, m), for the m rows of the tests.
    tested
        (m,) which rows or groups these are: all, or a random sample if there are many.
    spreads
        (n + 1,) root mean squares of these residuals, each row in units of its own.
    """

    formula: str
    kind: str
    group: str | None
    n: int
    seed: int
    labels: Any
    is_low: NDArray[np.bool_]
    is_high: NDArray[np.bool_]
    ranks: Ranks
    tested: NDArray[np.intp]
    spreads: Vector
    _values: Vector
    _fitted: Vector
    _design: DesignMatrices

    # ------------------------------------------------------------------------------------------------------ the values

    @cached_property
    def values(self) -> pd.Series[float]:
        """The quantile residuals, uniform on (0, 1) if the model is right."""
        return self._series(self._values, "quantile_residual")

    @cached_property
    def normal_scores(self) -> pd.Series[float]:
        """The same as quantiles of a normal distribution."""
        from scipy import special

        return self._series(special.ndtri(self._values), "normal_score")

    @property
    def fitted(self) -> pd.Series[float]:
        """Fitted values without random effects, X beta and offset; means of them by group.

        Those with random effects follow the responses, and so the residuals: patterns against them mean nothing.
        """
        return self._series(self._fitted, "fitted")

    @property
    def is_outlier(self) -> pd.Series[bool]:
        """Whether a residual lies outside all simulated ones."""
        import pandas as pd

        return pd.Series(self.is_low | self.is_high, index=self._index(), name="is_outlier")

    def quantile_plot(self) -> tuple[Vector, Vector]:
        """Expected and observed quantiles, sorted: the points of a quantile-quantile plot."""
        known = np.sort(self._values[~np.isnan(self._values)])
        return (np.arange(len(known)) + 0.5) / max(len(known), 1), known

    # ------------------------------------------------------------------------------------------------------- the tests

    @cached_property
    def uniformity(self) -> QuantileTest:
        """Kolmogorov and Smirnov's test of uniformity."""
        from scipy import stats

        found = distances(self.ranks)
        p_value = share_above(found)
        usual = float(stats.kstest(self._values[~np.isnan(self._values)], "uniform").pvalue)
        expected = float(found[1:].mean())
        start = "No departure from" if p_value >= NOTE else "Not"
        text = (
            f"{start} the distribution that the model has: Kolmogorov-Smirnov distance {format_number(found[0], 3)} "
            f"(simulated {format_number(expected, 3)}), p = {format_number(p_value, 3)}."
        )
        return QuantileTest("Uniformity", float(found[0]), expected, p_value, usual, text)

    @cached_property
    def dispersion(self) -> QuantileTest:
        """Ratio of the spread of the residuals to that of the simulated ones."""
        ratios = self.spreads / np.sqrt(np.mean(self.spreads[1:] ** 2))
        p_value = two_sided(ratios)
        text = (
            f"The standard deviation is {format_number(ratios[0], 3)} times that of the simulated residuals, "
            f"p = {format_number(p_value, 3)}."
        )
        return QuantileTest("Dispersion", float(ratios[0]), 1.0, p_value, float("nan"), text)

    @cached_property
    def outliers(self) -> QuantileTest:
        """Number of residuals outside all simulated ones."""
        from scipy import stats

        counts = np.count_nonzero((self.ranks == 0) | (self.ranks == self.n), axis=1)
        p_value = two_sided(counts.astype(np.float64))
        total, low, high = int(np.sum(~np.isnan(self._values))), int(self.is_low.sum()), int(self.is_high.sum())
        share = 2.0 / (self.n + 1)
        usual = float(stats.binomtest(low + high, total, share).pvalue) if self.n > 1 and total else float("nan")
        text = (
            f"{low + high} of {total} lie outside all {self.n} simulated ones ({low} below, {high} above), where "
            f"{format_number(total * share, 3)} are expected, p = {format_number(p_value, 3)}."
        )
        return QuantileTest("Outliers", float(low + high), total * share, p_value, usual, text)

    @property
    def tests(self) -> tuple[QuantileTest, ...]:
        """Uniformity, dispersion and outliers."""
        return self.uniformity, self.dispersion, self.outliers

    def against(self, x: Any = None, *, bins: int = 10) -> QuantileComparison:
        """Compare the residuals with the uniform distribution at each value of a predictor, or in each of its bins.

        Parameters
        ----------
        x
            Name of a predictor or grouping factor, or one value per row; None: the fitted values without random effects
            (`fitted`). For residuals added up by group, one value per group.
        bins
            Number of bins with about equally many rows; not used for categories and for predictors with no more values
            than that.

        Returns
        -------
        QuantileComparison
            Quartiles and a test of uniformity for each bin, adjusted for their number, and a test of equal variances.

        Raises
        ------
        DataError
            The predictor is unknown or constant, or does not fit the residuals.
        """
        return compare(self, x, bins)

    # ---------------------------------------------------------------------------------------------------------- output

    def to_frame(self) -> pd.DataFrame:
        """The tests: one row each, with the columns test, statistic, expected, p_value and p_independent."""
        import pandas as pd

        names = ("statistic", "expected", "p_value", "p_independent")
        rows = [{"test": test.name} | {name: getattr(test, name) for name in names} for test in self.tests]
        return pd.DataFrame(rows)

    def __len__(self) -> int:
        return len(self._values)

    def _heading(self) -> list[str]:
        what = "rows" if self.group is None else f"levels of {self.group}"
        lines = [f"Quantile residuals of {self.formula}", f"{len(self)} {what}: {KINDS[self.kind]}"]
        lines += [f"{self.n} simulated responses, seed {self.seed}"]
        if missing := int(np.isnan(self._values).sum()):
            lines.append(f"{missing} of them have no residual: a parameter of the model fits each exactly")
        if len(self.tested) < len(self) - missing:
            lines.append(f"tests use a random sample of {len(self.tested)}")
        return lines

    def _conclusion(self) -> str:
        levels = [test.level for test in self.tests]
        if all(level == "ok" for level in levels):
            return "Nothing needs attention."
        names = " and ".join(test.name.lower() for test in self.tests if test.level != "ok")
        return f"Look at {names}: plot the residuals against predictors and fitted values (.against)."

    def __str__(self) -> str:
        lines = [*self._heading(), ""]
        for test in self.tests:
            start = f"  {test.level:<8}{test.name:<12}"
            after = " " * len(start)
            lines += textwrap.wrap(test.text, WIDTH, initial_indent=start, subsequent_indent=after)
        return "\n".join([*lines, "", self._conclusion()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{test.level}</td><th style='text-align: left'>{test.name}</th>"
            f"<td style='text-align: left'>{escape(test.text)}</td></tr>"
            for test in self.tests
        )
        title = "<br>".join(escape(line) for line in self._heading())
        return f"<div class='henderson'><p>{title}</p><table>{rows}</table><p>{self._conclusion()}</p></div>"

    def _series(self, values: Vector, name: str) -> pd.Series[float]:
        import pandas as pd

        return pd.Series(values, index=self._index(), name=name)

    def _index(self) -> pd.Index[Any]:
        import pandas as pd

        return self.labels if isinstance(self.labels, pd.Index) else pd.Index(self.labels, name=self.group)
