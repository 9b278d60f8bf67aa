"""A fit in plain sentences: what was fitted, where the variance lies, what is shrunk and what differs from zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_reports, summary
from henderson.coding import CategoricalVariable
from henderson.explanation import Explanation
from henderson.formatting import decimals_for
from henderson.inference import coefficients
from henderson.inference.distributions import check_level, t_quantile

if TYPE_CHECKING:
    from henderson.inference.coefficients import CoefficientTable
    from henderson.model import LinearMixedModel

INTERCEPT = "(Intercept)"
SMALLEST_P = 0.001
MOST_DECIMALS = 7


def explain(
    model: LinearMixedModel,
    *,
    ddf: str | None = "satterthwaite",
    vcov: Any = "model",
    cluster: Any = None,
    level: float = 0.95,
    digits: int = 3,
    most: int = 6,
) -> Explanation:
    """The fit in plain sentences: model, variances, shrinkage, what differs from zero, and what to look out for.

    Parameters
    ----------
    ddf
        Degrees of freedom of the tests and intervals, as in `summary`; None: no tests.
    vcov, cluster
        Covariance matrix of the fixed effects, as in `summary`.
    level
        Confidence level; effects differ from zero if their p-value is at most 1 - level.
    digits
        Significant digits of standard deviations and standard errors; estimates go by their standard errors.
    most
        Effects that are named; of more, those with the smallest p-values.

    Returns
    -------
    Explanation
        Print it, or use `.to_text(width)`, `.to_markdown()`, `.paragraphs`.

    Notes
    -----
    The reliability of an effect of a level is 1 - Var(b | y) / Var(b); for a random intercept of a balanced design, the
    part of a level's own deviation that is left after shrinkage, n tau² / (n tau² + sigma²).

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> print(fit.explain())
    Model. A linear mixed model of Yield was fitted by restricted maximum likelihood
    (REML) to 30 rows in 6 levels of Batch: Yield ~ 1 + (1 | Batch).
    <BLANKLINE>
    Random effects. The intercept varies between levels of Batch with a standard
    deviation of 42.0. The standard deviation of the residuals is 49.5.
    <BLANKLINE>
    Variance. Of the variance that the fixed effects leave, 41.8 % lies between
    levels of Batch (the intraclass correlation); the rest is residual. There are no
    predictors among the fixed effects that could explain any of it.
    <BLANKLINE>
    Shrinkage. Of what sets a level of Batch apart, about 78 % is kept for the
    intercept (mean reliability); the rest is shrunk away as chance.
    <BLANKLINE>
    Fixed effects. There is no fixed effect besides the intercept. The intercept is
    1527.5, 95 % confidence interval 1477.7 to 1577.3.
    """
    check_level(level)
    _check_whole(digits, most)
    found = coefficients.coefficient_table(model, ddf, vcov, cluster)
    notes = [*summary.notes(model), *found.notes]
    paragraphs = [
        ("Model", _model(model)),
        ("Random effects", _random(model, digits)),
        ("Variance", _variance(model)),
        ("Shrinkage", _shrinkage(model)),
        ("Fixed effects", _fixed(model, found, level, digits, most)),
    ]
    return Explanation((*paragraphs, *((("Notes", " ".join(notes)),) if notes else ())))


def _check_whole(digits: Any, most: Any) -> None:
    if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= 15:
        raise errors_reports.digits_invalid(digits)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise errors_reports.count_invalid("most", most, 1)


# ---------------------------------------------------------------------------------------------------------- paragraphs


def _model(model: LinearMixedModel) -> str:
    design, call = model.design, dict(model.call)
    method = "restricted maximum likelihood (REML)" if model.is_reml else "maximum likelihood (ML)"
    groups = _listed(f"{count} levels of {name}" for name, count in model.ngroups.items())
    sentences = [
        f"A linear mixed model of {design.response_name} was fitted by {method} to {_count(model.nobs, 'row')} in "
        f"{groups}: {model.formula}."
    ]
    if "Weights" in call:
        sentences.append(f"The rows are weighted by {call['Weights']}.")
    if "Offset" in call:
        sentences.append(f"{call['Offset']} is an offset.")
    left_out = [
        f"{_count(count, 'row')} {why}"
        for count, why in (
            (design.n_dropped, "with missing values"),
            (design.n_zero_weight, "of weight zero"),
            (design.n_excluded, "outside the subset"),
        )
        if count
    ]
    if left_out:
        is_one = design.n_dropped + design.n_zero_weight + design.n_excluded == 1
        sentences.append(f"{_listed(left_out)} {'was' if is_one else 'were'} left out.")
    return " ".join(sentences)


def _random(model: LinearMixedModel, digits: int) -> str:
    sentences = []
    for term, covariance in zip(model.design.terms, model.varcorr.terms, strict=True):
        first, *others = [
            (_effect(name), _significant(value, digits))
            for name, value in zip(covariance.names, covariance.std_dev.tolist(), strict=True)
        ]
        if not others and first[1] == "0":
            text = f"{_capital(first[0])} does not vary between levels of {term.group}: its variance is zero"
        else:
            text = f"{_capital(first[0])} varies between levels of {term.group} with a standard deviation of {first[1]}"
        if others:
            text += f", {_listed(f'{name} with one of {value}' for name, value in others)}"
            text += f"; {_correlations(covariance.correlation)}"
        sentences.append(text + ".")
    sentences.append(f"The standard deviation of the residuals is {_significant(model.sigma, digits)}.")
    return " ".join(sentences)


def _correlations(correlation: NDArray[np.float64]) -> str:
    values = correlation[np.tril_indices(len(correlation), -1)]
    known = values[np.isfinite(values)]
    if not len(known):
        return "what does not vary has no correlation"
    if len(values) == 1:
        return f"their correlation is {_two_decimals(known[0])}"
    return f"their correlations lie between {_two_decimals(known.min())} and {_two_decimals(known.max())}"


def _variance(model: LinearMixedModel) -> str:
    icc, r2 = model.icc(), model.r2()
    shares = [f"{_percent(share)} between levels of {group}" for group, share in icc.by_group.items()]
    text = f"Of the variance that the fixed effects leave, {_listed(shares).replace(' between', ' lies between', 1)}"
    if len(shares) > 1:
        text += f", {_percent(icc.adjusted)} together"
    has_slopes = any(name != INTERCEPT for term in model.design.terms for name in term.names)
    mean = ", on average over the rows" if has_slopes else ""
    sentences = [f"{text} (the intraclass correlation{mean}); the rest is residual."]
    if list(model.fixef.index) in ([], [INTERCEPT]):
        sentences.append("There are no predictors among the fixed effects that could explain any of it.")
    else:
        sentences.append(
            f"The fixed effects explain {_percent(r2.marginal)} of the total variance (marginal R²), fixed and random "
            f"effects together {_percent(r2.conditional)} (conditional R²)."
        )
    return " ".join(sentences)


def _shrinkage(model: LinearMixedModel) -> str:
    sentences: list[str] = []
    explained = False
    terms = zip(model.design.terms, model.varcorr.terms, model.conditional_variance_arrays, strict=True)
    for term, covariance, conditional in terms:
        variance = np.diag(covariance.covariance)
        said = []
        for k, name in enumerate(covariance.names):
            if variance[k] <= 0:
                sentences.append(f"All levels of {term.group} have the same {_noun(name)}.")
            else:
                kept = np.clip(1.0 - conditional[:, k, k] / variance[k], 0.0, 1.0)
                said.append(f"{_mean_and_range(kept)} is kept for the {_noun(name)}")
        if said:
            reliability = "mean reliability" if len(said) == 1 else "mean reliabilities"
            kept_parts = _listed([said[0], *(text.replace(" is kept", "", 1) for text in said[1:])])
            rest = "" if explained else "; the rest is shrunk away as chance"
            explained = True
            sentences.append(f"Of what sets a level of {term.group} apart, about {kept_parts} ({reliability}){rest}.")
    return " ".join(sentences)


def _mean_and_range(shares: NDArray[np.float64]) -> str:
    mean, low, high = (_percent(value, 0) for value in (shares.mean(), shares.min(), shares.max()))
    return mean if low == high else f"{mean} ({low} to {high})"


def _fixed(model: LinearMixedModel, found: CoefficientTable, level: float, digits: int, most: int) -> str:
    effects = _effects(model, found, level, digits)
    intercept = next((effect for effect in effects if effect.name == INTERCEPT), None)
    others = [effect for effect in effects if effect is not intercept]
    if not effects:
        return "The model has no fixed effects."
    sentences = []
    if intercept is not None:
        alone = "" if others else "There is no fixed effect besides the intercept. "
        sentences.append(f"{alone}The intercept is {intercept.interval}.")
    if others and found.ddf is None:
        sentences.append(_without_tests(others, most))
    elif others:
        sentences += _tested(others, found.method, level, most)
    compared = _factors(model)
    if compared and found.ddf is not None:
        verb = "is a factor" if len(compared) == 1 else "are factors"
        tested = "with several effects, each tested alone; anova() tests them together"
        sentences.append(f"{_listed(compared)} {verb} {tested}.")
    return " ".join(sentences)


# -------------------------------------------------------------------------------------------------------- fixed effects


def _factors(model: LinearMixedModel) -> list[str]:
    """The categorical predictors that have more than one contrast."""
    variables = [model.design.recipe.variables[node] for node in model.design.formula.fixed.variables()]
    return [own.label for own in variables if isinstance(own, CategoricalVariable) and len(own.levels) > 2]


@dataclass(frozen=True)
class _Effect:
    """A fixed effect in words: estimate with interval, test, p-value."""

    name: str
    interval: str
    test: str
    p_value: float

    @property
    def full(self) -> str:
        return f"{self.name} ({self.interval}; {self.test})"


def _effects(model: LinearMixedModel, found: CoefficientTable, level: float, digits: int) -> list[_Effect]:
    result = []
    has_tests = found.ddf is not None
    for name, row in found.table.iloc[model.kept].iterrows():
        error = float(row["std_error"])
        df = float(row["df"]) if "df" in row else math.inf
        reach = float(t_quantile(level, df)) * error
        show = _formatter(error, digits)
        estimate = float(row["estimate"])
        limits = f"{show(estimate - reach)} to {show(estimate + reach)}"
        interval = f"{show(estimate)}, {100 * level:.4g} % confidence interval {limits}"
        p_value = float(row["p_value"]) if has_tests else math.nan
        letter = "z" if math.isinf(df) else f"t({df:.1f})"
        result.append(_Effect(str(name), interval, f"{letter} = {row['statistic']:.2f}, {_p_value(p_value)}", p_value))
    return result


def _formatter(error: float, digits: int) -> Callable[[float], str]:
    """Format numbers with as many decimals as their standard error has with its significant digits."""
    decimals = decimals_for(error, digits) if 0 < error < math.inf else digits
    form = f".{digits - 1}e" if decimals > MOST_DECIMALS else f".{max(0, decimals)}f"
    return lambda value: format(value, form)


def _tested(effects: Sequence[_Effect], method: str, level: float, most: int) -> list[str]:
    alpha = f"{100 * (1 - level):.4g} %"
    kind = "z-tests" if effects[0].test.startswith("z") else f"t-tests ({method})"
    different = [effect for effect in effects if effect.p_value <= 1.0 - level]
    alike = [effect for effect in effects if not effect.p_value <= 1.0 - level]
    if len(effects) == 1:
        verb = "is distinguishable" if different else "is not distinguishable"
        (only,) = effects
        return [
            f"By {kind}, the effect of {only.name} {verb} from zero at the {alpha} level: {only.interval}; {only.test}."
        ]
    if not different:
        none = f"none of the {len(effects)} effects is distinguishable from zero at the {alpha} level"
        return [f"By {kind}, {none}: {_named(alike, most)}."]
    many = f"all {len(effects)}" if not alike else f"{len(different)} of the {len(effects)}"
    verb = "is" if len(different) == 1 else "are"
    sentences = [
        f"By {kind}, {many} effects {verb} distinguishable from zero at the {alpha} level: {_named(different, most)}."
    ]
    if alike:
        sentences.append(f"Not distinguishable from zero {'is' if len(alike) == 1 else 'are'} {_named(alike, most)}.")
    return sentences


def _named(effects: Sequence[_Effect], most: int) -> str:
    """The effects in their order; of many, those with the smallest p-values and how many others there are."""
    if len(effects) <= most:
        return _listed((effect.full for effect in effects), ";")
    order = sorted(range(len(effects)), key=lambda place: (effects[place].p_value, place))
    shown = [effects[place].full for place in sorted(order[:most])]
    return _listed([*shown, f"{len(effects) - most} more"], ";")


def _without_tests(effects: Sequence[_Effect], most: int) -> str:
    shown = [f"{effect.name} ({effect.interval})" for effect in effects[:most]]
    rest = [f"{len(effects) - most} more"] if len(effects) > most else []
    return f"Not tested: {_listed([*shown, *rest], ';')}."


# --------------------------------------------------------------------------------------------------------------- words


def _listed(items: Iterable[str], separator: str = ",") -> str:
    """One, two and three: ``a``, ``a and b``, ``a, b and c``."""
    *front, last = list(items)
    return f"{f'{separator} '.join(front)}{separator if separator == ';' else ''} and {last}" if front else last


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _significant(value: float, digits: int) -> str:
    return _formatter(value, digits)(value) if value > 0 else "0"


def _effect(name: str) -> str:
    return "the intercept" if name == INTERCEPT else f"the effect of {name}"


def _noun(name: str) -> str:
    return "intercept" if name == INTERCEPT else f"effect of {name}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _percent(share: float, decimals: int = 1) -> str:
    return f"{100 * share:.{decimals}f} %"


def _two_decimals(value: float) -> str:
    return f"{value + 0.0:.2f}".replace("-0.00", "0.00")


def _p_value(value: float) -> str:
    return f"p < {SMALLEST_P}" if value < SMALLEST_P else f"p = {value:.3f}"
