"""Texts about several models: comparisons, deletions, checks. As in `errors`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from henderson.errors import DataError, _listing, _nearest, _quoted, _rows

# --------------------------------------------------------------------------------------------------------- comparisons


def not_a_model(place: int, value: Any) -> DataError:
    return DataError(
        f"Argument {place} of the comparison is {_quoted(value)} ({type(value).__name__}); pass fitted models, as "
        "lmer() returns them."
    )


def no_models() -> DataError:
    return DataError("There is no model to compare: pass fitted models, as lmer() returns them.")


def options_of_one_model(options: Iterable[str]) -> DataError:
    return DataError(
        f"{_listing(options)}: these belong to the anova of one model; several are compared by likelihood."
    )


def names_mismatch(names: Any, models: int) -> DataError:
    return DataError(f"names is {_quoted(names)}; it must be a list of {models} different names, one for each model.")


def rows_differ(one: str, rows: int, other: str, other_rows: int) -> DataError:
    return DataError(
        f"'{one}' was fitted to {_rows(rows)} and '{other}' to {_rows(other_rows)}: models can be compared on the same "
        "rows only. Rows with missing values in any column of a formula are dropped: drop them from the table first, "
        "for example data.dropna(subset=[...]) with the columns of all formulas."
    )


def responses_differ(one: str, response: str, other: str, other_response: str, row: int | None) -> DataError:
    if response != other_response:
        what = f"'{one}' models {response} and '{other}' models {other_response}"
    else:
        place = "" if row is None else f" (first in row {row} of those used)"
        what = f"The responses of '{one}' and '{other}' differ{place}"
    return DataError(f"{what}: likelihoods can be compared for the same response in the same rows only.")


def weights_differ(one: str, other: str) -> DataError:
    return DataError(
        f"'{one}' and '{other}' were fitted with different weights: fit both with the same weights= to compare them."
    )


def restricted_likelihoods(one: str, other: str) -> DataError:
    return DataError(
        f"'{one}' and '{other}' were fitted by REML and have different fixed effects: their restricted likelihoods "
        "are those of different data and cannot be compared. Leave out refit=False to compare them by maximum "
        "likelihood."
    )


def criteria_differ(one: str, other: str) -> DataError:
    return DataError(
        f"'{one}' was fitted by REML and '{other}' by maximum likelihood: leave out refit=False, or fit both alike."
    )


def not_nested_note(one: str, other: str) -> str:
    return (
        f"'{one}' is not a special case of '{other}': the chi-square distribution does not apply to their likelihood "
        "ratio. Compare AIC or BIC, or use a parametric bootstrap."
    )


def boundary_note(tests: Sequence[tuple[str, str, int]]) -> str:
    """`tests` holds name, mixture and number of variances of each test."""
    listed = "; ".join(
        f"{mixture} for {name}{'' if variances == 1 else f' (an upper bound: {variances} variances)'}"
        for name, mixture, variances in tests
    )
    return (
        "A variance that is tested lies at the boundary of its range under the null hypothesis, which makes Pr(>Chisq) "
        f"too large. Pr(>Chibar) uses {listed}."
    )


def mixture_bound_note(names: Sequence[str]) -> str:
    return f"Pr(>Chibar) is an upper bound for {_listing(names)}: several variances go at once."


def estimated_at_boundary_note(names: Sequence[str]) -> str:
    return f"The likelihood does not rise with {_listing(names)}: what is tested is estimated as zero, at the boundary."


def unconverged_note(names: Sequence[str]) -> str:
    return f"Not converged: {_listing(names)}. What is said of it here is approximate."


# ----------------------------------------------------------------------------------------------------------- deletions


def alpha_invalid(name: str, value: Any) -> DataError:
    return DataError(f"{name} is {_quoted(value)}; a significance level lies between 0 and 1, for example 0.05.")


def term_unknown(what: str, name: Any, terms: Sequence[str]) -> DataError:
    listed = _listing(terms) if terms else "it has none"
    return DataError(
        f"{what} names {_quoted(name)}, which is not a fixed term of this model ({listed}).{_nearest(str(name), terms)}"
    )


def no_random_term_note() -> str:
    return "No random term is left: this is a linear model, to be fitted by least squares, and .model is None."


# ------------------------------------------------------------------------------------------------- variance parameters


def held_at_boundary_note(names: Sequence[str]) -> str:
    return f"At the boundary, without a standard error: {_listing(names)}."


# -------------------------------------------------------------------------------------------------------------- checks


def certified(drop: float, gradient: float, slope: float) -> str:
    edge = "" if math.isnan(slope) else f"; on the boundary, with slope {slope:.3g} into the interior"
    return f"Certified: expected further drop below {drop:g}, gradient below {gradient:g}{edge}."


def terms_overlap(one: str, other: str) -> str:
    return f"{one} and {other} have effects in common, with the same groups: their variances cannot be told apart."


def term_among_fixed_effects(term: str) -> str:
    return f"The effects of {term} are among the fixed effects: nothing is left to estimate its variance from."


def information_deficient(count: int) -> str:
    what = "a direction" if count == 1 else f"{count} directions"
    return f"The likelihood is flat in {what}: some variances cannot be told apart."


def nearly_as_many_effects(term: str, effects: int, rows: int) -> str:
    return (
        f"{term} has {effects} effects for {_rows(rows)}: its variance and that of the residuals are hard to separate."
    )


def slope_constant_within(name: str, factor: str) -> str:
    return (
        f"{name} does not vary within the levels of {factor}: its random effect there is no slope, it only lets the "
        f"variance of {factor} depend on {name}."
    )


def few_levels(factor: str, levels: int) -> str:
    return f"{factor} has {levels} levels only: its variance is poorly determined; a fixed effect may serve better."


def unbalanced(factor: str, largest: int, mean: float) -> str:
    return f"{factor} is badly unbalanced: its largest level has {_rows(largest)}, the average {mean:.1f}."


def single_rows(factor: str, share: float) -> str:
    return f"{100 * share:.0f} % of the levels of {factor} have one row."


def zero_variance(names: Sequence[str], group: str) -> str:
    what = "variance" if len(names) == 1 else "variances"
    return f"the {what} of {_listing(names)} of {group} {'is' if len(names) == 1 else 'are'} zero"


def perfect_correlation(one: str, other: str, group: str, sign: float) -> str:
    return f"{one} and {other} of {group} are perfectly correlated ({'+1' if sign > 0 else '-1'})"


def no_variation(combination: str, group: str) -> str:
    return f"{combination} does not vary between the levels of {group}"


def nearly_singular(term: str, share: float) -> str:
    return f"{term} is close to singular: one direction has {share:.1g} of the variance."


def collinear(names: Sequence[str], condition: float) -> str:
    return (
        f"Nearly collinear columns (condition number {condition:.3g}): {_listing(names)}. Centre or scale predictors, "
        "or leave one out; the fit is not affected, standard errors are."
    )


def simplified(rise: float, parameters: int, is_singular: bool, criterion: str) -> str:
    change = "does not change" if abs(rise) < 5e-4 else f"rises by {rise:.3g}"
    fewer = "1 parameter" if parameters == 1 else f"{parameters} parameters"
    rest = "it is singular too" if is_singular else "it is not singular"
    return f"the {criterion} {change} with {fewer} less; {rest}"


def simplified_to_linear(rise: float, parameters: int, criterion: str) -> str:
    change = "does not change" if abs(rise) < 5e-4 else f"rises by {rise:.3g}"
    fewer = "1 parameter" if parameters == 1 else f"{parameters} parameters"
    return f"no random effect is left, fit it by least squares; the {criterion} {change} with {fewer} less"
