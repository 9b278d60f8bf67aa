"""The rows of a regression table: numbers of several fits, formatted alike and brought into one order."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from henderson.formatting import decimals_for
from henderson.varcorr import RESIDUAL

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Key = TypeVar("Key", bound=Hashable)
Numbers = Mapping[str, float]
"""Of one estimate: estimate, std_error, conf_low, conf_high, p_value."""

MOST_DECIMALS, MOST_DIGITS = 7, 9
STATISTICS: dict[str, str] = {
    "icc": "ICC",
    "r2_marginal": "R² marginal",
    "r2_conditional": "R² conditional",
    "nobs": "Observations",
    "loglik": "Log-likelihood",
    "aic": "AIC",
    "bic": "BIC",
    "reml_criterion": "REML criterion",
    "deviance": "Deviance",
    "sigma": "Residual SD",
    "df_residual": "Residual df",
    "method": "Method",
    "singular": "Singular fit",
    "converged": "Converged",
}
DEFAULT_STATISTICS = ("icc", "r2_marginal", "r2_conditional", "nobs", "loglik", "aic", "bic", "method")


@dataclass(frozen=True)
class Row:
    """A line of a table: its label and one text per fit; a line without a label belongs to the one above."""

    label: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Lines under a title."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Style:
    """How numbers are shown.

    Attributes
    ----------
    digits
        Significant digits of the standard errors.
    std_error, conf_int, p_value
        What stands below an estimate.
    stars
        Marks and the p-values below which they are given, the smallest first.
    """

    digits: int
    std_error: bool
    conf_int: bool
    p_value: bool
    stars: tuple[tuple[str, float], ...]


def merged(orders: Sequence[Sequence[Key]]) -> list[Key]:
    """All items in an order that keeps those of the lists where they agree.

    Examples
    --------
    >>> merged([["(Intercept)", "a", "a:b"], ["(Intercept)", "a", "b", "a:b"]])
    ['(Intercept)', 'a', 'b', 'a:b']
    >>> merged([["(Intercept)", "a"], ["(Intercept)", "b"]])
    ['(Intercept)', 'a', 'b']
    """
    result: list[Key] = []
    for order in orders:
        waiting: list[Key] = []  # for the next item that is known already
        for item in order:
            if item in result:
                place = result.index(item)
                result[place:place] = waiting
                waiting = []
            else:
                waiting.append(item)
        result += waiting
    return result


def estimates(label: str, numbers: Sequence[Numbers | None], style: Style) -> list[Row]:
    """The lines of one parameter: estimates, and below them what the style asks for."""
    show = _formatter([entry for entry in numbers if entry is not None], style.digits)

    def row(text: str, cell: Callable[[Numbers], str]) -> Row:
        return Row(text, tuple("" if entry is None else cell(entry) for entry in numbers))

    def below(pattern: str, *names: str) -> Row:
        return row("", lambda entry: _enclosed(pattern, show, entry, names))

    lines = [row(label, lambda entry: show(entry, entry["estimate"]) + _star(entry, style))]
    if style.std_error:
        lines.append(below("({})", "std_error"))
    if style.conf_int:
        lines.append(below("[{}, {}]", "conf_low", "conf_high"))
    if style.p_value:
        lines.append(row("", _p_value))
    return [lines[0], *(line for line in lines[1:] if any(line.cells))]


def _enclosed(pattern: str, show: Callable[[Numbers, float], str], entry: Numbers, names: Sequence[str]) -> str:
    values = [entry[name] for name in names]
    return "" if any(math.isnan(value) for value in values) else pattern.format(*(show(entry, v) for v in values))


def _p_value(entry: Numbers) -> str:
    value = entry["p_value"]
    if math.isnan(value):
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _star(entry: Numbers, style: Style) -> str:
    p_value = entry["p_value"]
    return next((mark for mark, limit in style.stars if p_value < limit), "")


def _formatter(entries: Sequence[Numbers], digits: int) -> Callable[[Numbers, float], str]:
    """Format like numbers alike: as many decimals as the smallest standard error has with its significant digits.

    A fit whose own standard error needs fewer gets at most one more than that.
    """
    common = max((_decimals(entry, digits) for entry in entries), default=0)

    def show(entry: Numbers, value: float) -> str:
        decimals = min(common, _decimals(entry, digits) + 1)
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
        if decimals > MOST_DECIMALS or abs(value) >= 10.0**MOST_DIGITS:
            return f"{value:.{digits - 1}e}"
        return f"{value:.{max(0, decimals)}f}"

    return show


def _decimals(entry: Numbers, digits: int) -> int:
    """Decimals that show the digits of a standard error, or of the estimate if there is none."""
    for size in (entry["std_error"], abs(entry["estimate"])):
        if math.isfinite(size) and size > 0:
            return decimals_for(size, digits)
    return 0


# ------------------------------------------------------------------------------------------------- the parts of a table


def fixed_rows(
    tables: Sequence[pd.DataFrame], chosen: Sequence[str] | None, relabel: Callable[[str], str], style: Style
) -> tuple[Row, ...]:
    """The fixed effects of several fits; `chosen` ones in their order, or all."""
    own: list[dict[str, Numbers]] = []
    for table in tables:
        part = table[table["effect"] == "fixed"]
        records = cast("list[Numbers]", part.to_dict("records"))
        own.append(dict(zip(part["term"], records, strict=True)))
    names = merged([list(entries) for entries in own]) if chosen is None else chosen
    rows = [estimates(relabel(name), [entries.get(name) for entries in own], style) for name in names]
    return tuple(line for lines in rows for line in lines)


def random_rows(
    models: Sequence[LinearMixedModel], relabel: Callable[[str], str], style: Style, scale: str
) -> tuple[Row, ...]:
    """Standard deviations and correlations (or variances and covariances) by group, then that of the residuals."""
    own = [_random_numbers(model, scale) for model in models]
    residual = _key(RESIDUAL, None, None, scale)
    keys = [key for key in merged([list(entries) for entries in own]) if key != residual]
    rows = []
    for key in [*keys, residual]:
        group, kind, *effects = key
        what = ", ".join(relabel(effect) for effect in effects)
        label = f"{relabel(group)}: {kind} {what}".rstrip()
        rows += estimates(label, [entries.get(key) for entries in own], style)
    return tuple(rows)


def group_rows(models: Sequence[LinearMixedModel], relabel: Callable[[str], str]) -> tuple[Row, ...]:
    """The numbers of levels of the grouping factors."""
    own = [model.ngroups for model in models]
    names = merged([list(groups) for groups in own])
    return tuple(Row(relabel(name), tuple(_count(groups.get(name)) for groups in own)) for name in names)


def statistic_rows(
    models: Sequence[LinearMixedModel], chosen: Sequence[str], relabel: Callable[[str], str], digits: int
) -> tuple[Row, ...]:
    """What describes a fit as a whole, a line for each of the statistics chosen."""
    rows = [
        Row(relabel(STATISTICS[name]), tuple(_statistic(model, name, digits) for model in models)) for name in chosen
    ]
    return tuple(row for row in rows if any(row.cells))


def _random_numbers(model: LinearMixedModel, scale: str) -> dict[tuple[str, ...], Numbers]:
    """By group, kind and effects; a term whose effects its group has already goes by its own label."""
    found = model.variance_parameters(scale=scale)
    groups = {term.label: term.group for term in model.design.terms}
    numbers: dict[tuple[str, ...], Numbers] = {}
    for (label, one, other), value, error in zip(found.labels, found.estimates, found.std_errors, strict=True):
        key = _key(groups.get(label, label), one, other, scale)
        if key in numbers:
            key = _key(label, one, other, scale)
        missing = math.nan
        entry = {"estimate": float(value), "std_error": float(error), "p_value": missing}
        numbers[key] = entry | {"conf_low": missing, "conf_high": missing}
    return numbers


def _key(group: str, one: str | None, other: str | None, scale: str) -> tuple[str, ...]:
    own, joint = ("SD", "Cor") if scale == "sdcor" else ("Var", "Cov")
    return (group, own if other is None else joint, *(effect for effect in (one, other) if effect is not None))


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def _statistic(model: LinearMixedModel, name: str, digits: int) -> str:
    getters: dict[str, Callable[[], str]] = {
        "icc": lambda: f"{model.icc().adjusted:.{digits}f}",
        "r2_marginal": lambda: f"{model.r2().marginal:.{digits}f}",
        "r2_conditional": lambda: f"{model.r2().conditional:.{digits}f}",
        "nobs": lambda: str(model.nobs),
        "loglik": lambda: f"{model.loglik:.1f}",
        "aic": lambda: f"{model.aic:.1f}",
        "bic": lambda: f"{model.bic:.1f}",
        "reml_criterion": lambda: f"{model.criterion:.1f}" if model.is_reml else "",
        "deviance": lambda: "" if model.is_reml else f"{model.criterion:.1f}",
        "sigma": lambda: f"{model.sigma:.{digits}g}",
        "df_residual": lambda: str(model.df_resid),
        "method": lambda: "REML" if model.is_reml else "ML",
        "singular": lambda: "yes" if model.is_singular else "no",
        "converged": lambda: "yes" if model.converged else "no",
    }
    return getters[name]()
