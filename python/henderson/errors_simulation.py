"""Texts about simulated responses, parameters given by the user, updated formulas and power. As in `errors`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from henderson.errors import DataError, FormulaError, Span, _listing, _nearest, _quoted, _rows

# --------------------------------------------------------------------------------------------------------- parameters


def coefficient_unknown(argument: str, name: Any, available: Sequence[str]) -> DataError:
    return DataError(
        f"{argument} names {_quoted(name)}, which is not a fixed effect.{_nearest(str(name), available)} "
        f"Fixed effects: {_listing(available)}."
    )


def coefficients_missing(names: Sequence[str]) -> DataError:
    return DataError(f"fixef lacks a value for {_listing(names)}: give one for every fixed effect, 0 for no effect.")


def coefficients_length(length: int, names: Sequence[str]) -> DataError:
    return DataError(
        f"fixef has {length} values for {len(names)} fixed effects, {_listing(names)}: pass a dict by name, or one "
        "value for each in this order."
    )


def argument_not_named(argument: str, value: Any) -> DataError:
    return DataError(f"{argument} is {_quoted(value)}; it must be a dict of values by name, {argument}={{'x': 0.3}}.")


def not_a_number(what: str, value: Any) -> DataError:
    return DataError(f"{what} is {_quoted(value)}; it must be a finite number.")


def sigma_invalid(value: Any) -> DataError:
    return DataError(f"sigma is {_quoted(value)}; the residual standard deviation must be a positive number.")


def covariance_unknown(name: Any, labels: Sequence[str], parameters: Sequence[str]) -> DataError:
    return DataError(
        f"varcorr names {_quoted(name)}.{_nearest(str(name), [*labels, *parameters])} Give covariance matrices by "
        f"random term ({_listing(labels)}), or standard deviations and correlations ({_listing(parameters)})."
    )


def covariance_shape(label: str, shape: tuple[int, ...], names: Sequence[str]) -> DataError:
    size = len(names)
    return DataError(
        f"varcorr[{label!r}] has shape {shape}; it must be the covariance matrix ({size}, {size}) of {_listing(names)}"
        + (", or their variance." if size == 1 else ".")
    )


def covariance_invalid(label: str, reason: str) -> DataError:
    return DataError(f"varcorr[{label!r}] is not a covariance matrix: {reason}.")


def deviation_invalid(name: str, value: Any) -> DataError:
    bounds = "between -1 and 1" if name.startswith("cor_") else ">= 0"
    return DataError(f"varcorr[{name!r}] is {_quoted(value)}; it must be a number {bounds}.")


def varcorr_type(value: Any) -> DataError:
    return DataError(
        f"varcorr is {_quoted(value)} ({type(value).__name__}); it must be a dict, of covariance matrices by random "
        "term or of standard deviations and correlations by name, or the varcorr of a fit."
    )


def deviations_missing(names: Sequence[str]) -> DataError:
    return DataError(
        f"varcorr lacks {_listing(names)}: give every standard deviation, 0 for an effect that does not vary. "
        "Correlations left out are zero."
    )


def covariance_twice() -> DataError:
    return DataError("theta= and varcorr= say the same thing: pass one of them.")


def covariance_missing() -> DataError:
    return DataError("The random effects have no covariance: pass varcorr= or theta=.")


# --------------------------------------------------------------------------------------------------------- simulation


def part_of_a_term(text: str) -> DataError:
    return DataError(
        f"re names some effects of the term ({text}) and not the others, with which they are correlated: a term is "
        "drawn or kept as a whole."
    )


def rows_argument_needs_newdata(name: str) -> DataError:
    return DataError(f"{name}= goes with newdata=: the rows of the fit have theirs already.")


def rows_argument_missing(name: str) -> DataError:
    neutral = "1" if name == "weights" else "0"
    return DataError(
        f"The model was fitted with {name}= given as an array, which newdata does not have: pass {name}= for the new "
        f"rows (a column name, an array or a number; {name}={neutral} for none)."
    )


def rows_column_missing(name: str, column: str) -> DataError:
    neutral = "1" if name == "weights" else "0"
    return DataError(
        f"The model was fitted with {name}='{column}', a column that newdata does not have: add it, or pass {name}= "
        f"(a column name, an array or a number; {name}={neutral} for none)."
    )


def weights_new_invalid(row: int, value: float) -> DataError:
    return DataError(f"weights is {value:g} in row {row} of newdata: weights are finite and > 0.")


def new_groups(labels: Mapping[str, Sequence[str]]) -> DataError:
    listed = "; ".join(f"{name}: {_listing(levels, 6)}" for name, levels in labels.items())
    return DataError(
        f"newdata has levels that the model was not fitted to ({listed}), and new_groups='error'. Use "
        "new_groups='draw' to draw effects for them, or 'population' for effects of zero."
    )


# ------------------------------------------------------------------------------------------------------------- update


def update_removes_nothing(what: str, available: Iterable[str], text: str, span: Span) -> FormulaError:
    return FormulaError(
        f"{what} is not in the model, so that it cannot be removed. It has {_listing(available)}.", text, span
    )


def update_dot_misplaced(text: str, span: Span) -> FormulaError:
    message = "'.' stands for a side of the old formula: on the right it can only stand outside calls and random terms."
    return FormulaError(message, text, span)


def update_option_unknown(name: str, available: Sequence[str]) -> DataError:
    return DataError(f"update() has no option {name!r}.{_nearest(name, available)} Options: {_listing(available, 20)}.")


def update_needs_data(what: str, name: str, available: Sequence[str]) -> DataError:
    return DataError(
        f"{what} is not among the columns that this fit keeps, and a fit does not keep its table: pass data=."
        f"{_nearest(name, available)} Without data= there are {_listing(available)}."
    )


def update_option_needs_data(name: str) -> DataError:
    return DataError(
        f"{name}= chooses or weighs the rows of a table: pass data= with it, the table of the fit or another."
    )


def update_array_needed(name: str) -> DataError:
    return DataError(
        f"The model was fitted with {name}= given as an array or function, which belongs to its own table: pass "
        f"{name}= for the new one ({name}=None for none)."
    )


def update_formula_type(value: Any) -> FormulaError:
    return FormulaError(
        f"update() takes a formula such as '. ~ . + x', or a table of new rows, not {type(value).__name__}."
    )


# -------------------------------------------------------------------------------------------------------------- power


def power_test_type(value: Any) -> DataError:
    return DataError(f"test is {_quoted(value)}; pass the name of a fixed effect or of a term, or contrasts as text.")


def power_test_unknown(name: str, coefficients: Sequence[str], terms: Sequence[str]) -> DataError:
    return DataError(
        f"There is no fixed effect or term {_quoted(name)}.{_nearest(name, [*coefficients, *terms])} "
        f"Fixed effects: {_listing(coefficients)}. Terms: {_listing(terms) if terms else 'none'}."
    )


def power_test_aliased(name: str) -> DataError:
    return DataError(f"{name} cannot be estimated, because other fixed effects determine its columns: test another.")


def effect_ambiguous(value: Any, label: str) -> DataError:
    return DataError(
        f"effect is the number {value}, but {label} is not one coefficient: pass a dict of values by name, "
        "effect={'x': 0.3}."
    )


def alpha_invalid(value: Any) -> DataError:
    return DataError(f"level is {_quoted(value)}; the level of a test lies between 0 and 1, for example 0.05.")


def sizes_type(argument: str, value: Any) -> DataError:
    return DataError(
        f"{argument} is {_quoted(value)}; it must be a dict of sizes by grouping factor, "
        f"{argument}={{'subject': [10, 20]}}."
    )


def sizes_factor(argument: str, name: Any, factors: Sequence[str]) -> DataError:
    return DataError(
        f"{argument} names {_quoted(name)}, which is not a grouping factor.{_nearest(str(name), factors)} "
        f"Grouping factors: {_listing(factors)}."
    )


def size_invalid(argument: str, name: str, value: Any, smallest: int) -> DataError:
    return DataError(f"{argument}[{name!r}] has {_quoted(value)}; sizes are integers >= {smallest}.")


def design_too_small(what: str, names: Sequence[str]) -> DataError:
    return DataError(
        f"With {what} the fixed effects {_listing(names)} cannot be estimated: their columns are determined by the "
        "others. Use a larger size."
    )


def design_impossible(what: str, reason: Exception) -> DataError:
    return DataError(f"With {what} the model cannot be fitted: {reason}")


def newdata_missing(row: int, count: int) -> DataError:
    more = "" if count == 1 else f" ({_rows(count)} in all)"
    return DataError(f"newdata has a missing value in row {row}{more}: a planned design has none.")


def power_of_several(count: int) -> DataError:
    return DataError(f"There are {count} sizes, each with a power: use .power, an array, or .to_frame().")


def observed_power_note() -> str:
    return (
        "The effect is the estimate of the fit itself: power computed there follows from its p-value and says nothing "
        "about a new study. Pass effect= the smallest effect that matters."
    )


def lrt_note() -> str:
    return "Likelihood-ratio tests reject true hypotheses too often in small samples; check the level with effect=0."


def given_note() -> str:
    return "The parameters were given, not estimated: the response is an example of what they produce."
