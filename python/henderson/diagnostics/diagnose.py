"""Everything that residuals and random effects say about a model, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson.columns import is_all_finite
from henderson.diagnostics.autocorrelation import autocorrelation
from henderson.diagnostics.breusch_pagan import BreuschPagan, breusch_pagan
from henderson.diagnostics.breusch_pagan import simulated_statistic as breusch_pagan_statistic
from henderson.diagnostics.levene import SMALL, LeveneTest, groups_of, levene
from henderson.diagnostics.normality import Sample, normality
from henderson.diagnostics.quantile_result import QuantileResiduals
from henderson.diagnostics.quantiles import quantile_residuals
from henderson.diagnostics.rank_tests import share_above
from henderson.diagnostics.replicates import simulated_statistics
from henderson.errors import MixedModelError
from henderson.formatting import format_number
from henderson.inference.check import NOTE, OK, PROBLEM, Finding, ModelCheck
from henderson.levels import Categories, level_text

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]

SIGNIFICANT, STRONG = 0.05, 0.01
"""P-values below which there is a note; a problem has a smaller one, and a size that matters."""
SKEWNESS, KURTOSIS, RATIO, SHARE, CORRELATION, SHIFT, DISTANCE = 1.0, 3.0, 2.0, 0.1, 0.2, 0.1, 0.1
"""What matters: skewness and excess kurtosis, ratio of standard deviations, share of the variance of the deviations
that groups explain (omega²), autocorrelation beyond that expected, shift of the median on the scale from 0 to 1,
Kolmogorov-Smirnov distance."""
MOST_PREDICTORS = 8
MOST_SIMULATED = 100_000
"""With more rows the p-values of the tests of variances are those of tables."""


@dataclass(frozen=True, eq=False)
class Diagnosis(ModelCheck):
    """The report of ``fit.diagnose()``: print it.

    Attributes
    ----------
    n, seed
        Number of simulated responses, and the seed that gives the same ones again.
    """

    n: int
    seed: int

    def _title(self) -> str:
        return f"Diagnosis of {self.formula} ({self.n} simulated responses, seed {self.seed})"

    def _conclusion(self) -> list[str]:
        if all(finding.level == OK for finding in self.findings):
            return ["Nothing needs attention."]
        if self.ok:
            return ["Worth a look at the plots, but small or uncertain."]
        names = [finding.check.lower() for finding in self.findings if finding.level == PROBLEM]
        return [f"To be looked at: {', '.join(names)}."]


def diagnose(model: LinearMixedModel, n: int = 250, *, seed: int | None = None, threads: int = 0) -> Diagnosis:
    """Look at residuals and random effects for what contradicts the model, and say it in words.

    Parameters
    ----------
    n, seed
        Responses to simulate, and what makes them reproducible.
    threads
        Threads to use; 0 for as many as are useful.

    Returns
    -------
    Diagnosis
        Print it. ``.ok`` says whether there is a problem, ``.findings`` has the parts, ``.to_frame()`` the numbers.

    Notes
    -----
    Each line rests on one method: `quantile_residuals` (responses, outliers, mean), `normality` (errors, random
    effects), `breusch_pagan` and `levene` (variance), `autocorrelation` (independence, in the order of the table). A
    *note* has a p-value below 0.05; a *problem* one below 0.01 and a size that matters: skewness above 1 or excess
    kurtosis above 3, standard deviations of a ratio above 2 along a predictor, groups that explain (by omega²) more
    than a tenth of the variance of the deviations, a lag-1 correlation 0.2 above that expected, a median shifted by 0.1
    on the scale of the quantile residuals, a Kolmogorov-Smirnov distance above 0.1, twice as many outliers as expected.
    The p-values of the variance (up to 100 000 rows), of quantile residuals and of independence are by simulation. With
    ten tests and more a note is to be expected now and then in a model that is right.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> fit.diagnose(seed=1).ok
    True
    """
    whole = quantile_residuals(model, n, seed=seed, threads=threads)
    errors = quantile_residuals(model, n, seed=whole.seed, conditional=True, threads=threads)
    shapes = normality(model)
    findings = (
        _responses(whole),
        _normality("Errors", [shapes.residuals]),
        _outliers(model, errors),
        _mean(model, errors),
        _variance(model, n, whole.seed, threads),
        _independence(model, n, whole.seed, threads),
        _normality("Random effects", list(shapes.effects)),
    )
    return Diagnosis(model.formula, findings, None, whole.n, whole.seed)


def _level(p_value: float, matters: bool) -> str:
    return PROBLEM if p_value < STRONG and matters else NOTE if p_value < SIGNIFICANT else OK


def _worst(levels: Sequence[str]) -> str:
    return PROBLEM if PROBLEM in levels else NOTE if NOTE in levels else OK


def _p(value: float) -> str:
    return f"p = {format_number(value, 2)}"


def _responses(found: QuantileResiduals) -> Finding:
    test = found.uniformity
    level = _level(test.p_value, test.statistic > DISTANCE)
    start = "Distributed as the model has it" if level == OK else "Not distributed as the model has it"
    text = f"{start}: Kolmogorov-Smirnov distance {format_number(test.statistic, 2)}, {_p(test.p_value)}."
    return Finding("Responses", level, (text,), {"distance": test.statistic, "distance.p_value": test.p_value})


def _normality(check: str, samples: Sequence[Sample]) -> Finding:
    levels: list[str] = []
    texts: list[str] = []
    numbers: dict[str, float] = {}
    for sample in samples:
        shape = sample.shape
        matters = abs(shape.skewness) > SKEWNESS or shape.kurtosis > KURTOSIS
        level = OK if np.isnan(shape.p_value) else _level(shape.p_value, matters)
        levels.append(level)
        subject = "" if len(samples) == 1 and check == "Errors" else f"{sample.label}: "
        if np.isnan(shape.p_value):
            words = f"too few levels for a test ({shape.n})."
        elif level == OK:
            words = f"consistent with a normal distribution, {_p(shape.p_value)}."
        else:
            numerals = [format_number(round(value, 2), 3) for value in (shape.skewness, shape.kurtosis)]
            shown = f"skewness {numerals[0]}, excess kurtosis {numerals[1]}"
            words = f"{_tails(shape.skewness, shape.kurtosis)} ({shown}), {_p(shape.p_value)}."
        texts.append(subject + words if subject else words[0].upper() + words[1:])
        name = "residuals" if check == "Errors" else sample.label
        numbers |= {f"{name}.skewness": shape.skewness, f"{name}.kurtosis": shape.kurtosis}
        numbers[f"{name}.p_value"] = shape.p_value
    if not samples:
        return Finding(check, OK, ("None has a variance.",), {})
    if PROBLEM in levels and check == "Errors":
        texts.append("Fixed effects stay unbiased; for intervals see bootstrap(type='residual') and vcov='CR2'.")
    return Finding(check, _worst(levels), tuple(texts), numbers)


def _tails(skewness: float, kurtosis: float) -> str:
    if abs(skewness) > SKEWNESS:
        return "skewed to the right" if skewness > 0 else "skewed to the left"
    return "heavier tails than a normal distribution" if kurtosis > 0 else "lighter tails than a normal distribution"


def _outliers(model: LinearMixedModel, found: QuantileResiduals) -> Finding:
    test = found.outliers
    level = _level(test.p_value, test.statistic > RATIO * test.expected)
    text = (
        f"{format_number(test.statistic)} of {int(found.values.count())} residuals outside all {found.n} simulated "
        f"ones, {format_number(test.expected, 2)} expected, {_p(test.p_value)}."
    )
    texts = [text]
    if level != OK:
        studentized = model.residuals("studentized").to_numpy()
        largest = np.argsort(-np.nan_to_num(np.abs(studentized)), kind="stable")[:3]
        rows = ", ".join(f"{level_text(model.index[i])} ({format_number(studentized[i], 3)})" for i in largest)
        texts.append(f"The largest studentized residuals are in rows {rows}.")
    return Finding("Outliers", level, tuple(texts), {"outliers": test.statistic, "outliers.p_value": test.p_value})


def _mean(model: LinearMixedModel, found: QuantileResiduals) -> Finding:
    levels: list[str] = []
    texts: list[str] = []
    numbers: dict[str, float] = {}
    own = [name for name, column in model.design.recipe.columns.items() if isinstance(column, Categories)]
    names: list[Any] = [None, *_numeric(model), *own[:MOST_PREDICTORS]]
    for name in names:
        try:
            against = found.against(name)
        except MixedModelError:  # constant
            continue
        shift = float(np.nanmax(np.abs(against.quartiles[:, 1] - 0.5)))
        level = _level(against.p_location, shift > SHIFT)
        numbers[f"{against.name}.p_value"] = against.p_location
        if level != OK:
            worst = int(np.nanargmax(np.abs(against.quartiles[:, 1] - 0.5)))
            side = "above" if against.quartiles[worst, 1] > 0.5 else "below"
            texts.append(
                f"Residuals are not centred along {against.name}, {_p(against.p_location)}: most at "
                f"{against.bins[worst].strip()}, where the data lie {side} the fit. A curve?"
            )
        levels.append(level)
    if not texts:
        along = ", ".join(key.removesuffix(".p_value") for key in numbers)
        texts = [f"Residuals are centred along {along}." if along else "Nothing to compare with."]
    return Finding("Mean", _worst(levels), tuple(texts), numbers)


def _numeric(model: LinearMixedModel) -> dict[str, Vector]:
    columns = model.design.recipe.columns.items()
    chosen = {n: c for n, c in columns if not isinstance(c, Categories) and c.ndim == 1 and is_all_finite(c)}
    return dict(list(chosen.items())[:MOST_PREDICTORS])


def _variance(model: LinearMixedModel, n: int, seed: int, threads: int) -> Finding:
    is_known = np.isfinite(model.residuals("standardized").to_numpy())
    trends, functions = [], []
    candidates: dict[str | None, Vector | None] = {None: None}
    for against, column in (candidates | _numeric(model)).items():
        if (trend := _unless_refused(lambda against=against: breusch_pagan(model, against))) is not None:
            trends.append(trend)
            functions.append(breusch_pagan_statistic(None if column is None else column[is_known][:, None], is_known))
    tests = []
    for name in _categorical(model):
        test = _unless_refused(lambda name=name: levene(model, name))
        if test is not None and (model.nobs <= MOST_SIMULATED or np.median(test.sizes) >= SMALL):
            tests.append(test)
            functions.append(groups_of(model, name, is_known).statistic("median"))
    found = [*trends, *tests]
    p_values = [test.p_value for test in found]
    if model.nobs <= MOST_SIMULATED and found:
        statistics = simulated_statistics(model, functions, count=n, seed=seed, threads=threads)
        p_values = [share_above(np.append(t.statistic, row)) for t, row in zip(found, statistics, strict=True)]
    lines = [_trend_words(test, p) for test, p in zip(trends, p_values, strict=False)]
    lines += [_groups_words(test, p) for test, p in zip(tests, p_values[len(trends) :], strict=True)]
    levels, texts = [level for level, _ in lines], [text for _, text in lines]
    names = [*(trend.against[0] for trend in trends), *(test.by for test in tests)]
    numbers = {f"{name}.p_value": p for name, p in zip(names, p_values, strict=True)}
    if PROBLEM in levels:
        texts.append("Consider weights, another scale of the response, or vcov='CR2'.")
    return Finding("Variance", _worst(levels), tuple(texts) or ("Nothing to compare.",), numbers)


def _trend_words(test: BreuschPagan, p_value: float) -> tuple[str, str]:
    low, high = test.std_dev_low, test.std_dev_high
    level = _level(p_value, high > RATIO * low)
    along = "the fitted values" if test.against == ("fitted values",) else test.against[0]
    rises = test.coefficients[1] > 0
    direction, ends = ("Rises", (low, high)) if rises else ("Falls", (high, low))
    spread = f"standard deviations {format_number(ends[0], 3)} to {format_number(ends[1], 3)}"
    words = f"No trend along {along}" if level == OK else f"{direction} with {along}: {spread}"
    return level, f"{words}, {_p(p_value)}."


def _groups_words(test: LeveneTest, p_value: float) -> tuple[str, str]:
    low, high = int(test.std_devs.argmin()), int(test.std_devs.argmax())
    between = (test.statistic - 1.0) * test.num_df
    level = _level(p_value, between > SHARE * (between + test.num_df + test.den_df + 1))
    if level == OK:
        return level, f"Equal by {test.by}, {_p(p_value)}."
    ends = [f"{format_number(test.std_devs[i], 3)} ({level_text(test.labels[i])})" for i in (low, high)]
    return level, f"Unequal by {test.by}: standard deviations {ends[0]} to {ends[1]}, {_p(p_value)}."


def _categorical(model: LinearMixedModel) -> list[str]:
    names = [name for name, column in model.design.recipe.columns.items() if isinstance(column, Categories)]
    return list(dict.fromkeys([factor.name for factor in model.design.factors] + names))[:MOST_PREDICTORS]


def _unless_refused(call: Any) -> Any:
    """A test, None where the data do not allow it."""
    try:
        return call()
    except MixedModelError:
        return None


def _independence(model: LinearMixedModel, n: int, seed: int, threads: int) -> Finding:
    found = _unless_refused(lambda: autocorrelation(model, n=n, seed=seed, threads=threads))
    if found is None:
        return Finding("Independence", OK, ("No group has two rows.",), {})
    level = _level(found.p_value, abs(found.correlation - found.expected) > CORRELATION)
    correlation, expected = (format_number(value, 2) for value in (found.correlation, found.expected))
    text = (
        f"Neighbouring rows of a level of {found.by}: correlation {correlation}, {expected} expected, "
        f"{_p(found.p_value)}."
    )
    texts = [text] if level == OK else [text, "In the order of the table: does it mean something, such as time?"]
    numbers = {"correlation": found.correlation, "expected": found.expected, "correlation.p_value": found.p_value}
    return Finding("Independence", level, tuple(texts), numbers)
