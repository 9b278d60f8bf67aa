"""Texts about predictions: which random effects, new levels, what new rows must come with. As in `errors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from henderson.errors import DataError, _listing, _nearest, _quoted


class PredictionWarning(UserWarning):
    """Some predictions are not what one may take them for: of new levels, or of rows that cannot be estimated."""


# --------------------------------------------------------------------------------------------------------------- re=


def re_type(value: Any) -> DataError:
    return DataError(
        f"re is {_quoted(value)} ({type(value).__name__}); it must be 'all', None (no random effects), the name of a "
        "grouping factor, random terms such as '(1 | g)', or a list of these."
    )


def re_unknown(name: str, known: Sequence[str]) -> DataError:
    return DataError(
        f"re names '{name}', which is no grouping factor of this model.{_nearest(name, known)} "
        f"It has: {_listing(known)}. Use 'all' for all of them, None for none."
    )


def re_fixed(text: str, label: str) -> DataError:
    return DataError(
        f"re = {_quoted(text)} has the term '{label}' outside parentheses: write random terms only, such as '(1 | g)'; "
        "fixed effects always take part."
    )


def re_group(text: str, group: str, groups: Sequence[str]) -> DataError:
    return DataError(
        f"re has the term ({text}), but this model has no random effects for '{group}'.{_nearest(group, groups)} "
        f"It has them for: {_listing(groups)}."
    )


def re_effect(text: str, name: str, group: str, effects: Sequence[str]) -> DataError:
    return DataError(
        f"re has the term ({text}), but in this model the effect '{name}' does not vary over {group}: only "
        f"{_listing(effects)} {'does' if len(effects) == 1 else 'do'}."
    )


def re_ambiguous(text: str, name: str, terms: Sequence[str]) -> DataError:
    return DataError(
        f"re has the term ({text}), but {_listing([f'({term})' for term in terms])} all have the effect '{name}': "
        "write one of them as it stands in the formula."
    )


# ---------------------------------------------------------------------------------------------------------- new levels


def levels_new(factor: str, levels: Sequence[str], rows: Sequence[Any], hint: str) -> DataError:
    return DataError(
        f"{_new_levels(factor, levels)}, in {_at(rows)}.{hint} new_groups='population' predicts such rows with an "
        "effect of zero, 'nan' gives NaN."
    )


def levels_new_warning(levels: Mapping[str, Sequence[str]], hint: str) -> PredictionWarning:
    which = "; ".join(_new_levels(factor, own) for factor, own in levels.items())
    return PredictionWarning(
        f"{which}. New levels are predicted with random effects of zero, the mean of all groups; the standard errors "
        f"have the variance of these effects in them.{hint} new_groups='error' or 'nan' treats them otherwise."
    )


def levels_alike_hint(factor: str, level: str) -> str:
    return (
        f" A level '{level}' of {factor} was in the data of the fit, but with another type (text or number): convert "
        "the column."
    )


def _new_levels(factor: str, levels: Sequence[str]) -> str:
    count = "a level" if len(levels) == 1 else f"{len(levels)} levels"
    return f"{factor} has {count} that the model was not fitted to ({_listing(levels, 6)})"


def _at(rows: Sequence[Any]) -> str:
    return f"row{'' if len(rows) == 1 else 's'} {_listing(rows, 6)} of the new data"


# -------------------------------------------------------------------------------------------------- what rows come with


def only_with_newdata(what: str) -> DataError:
    return DataError(
        f"{what}= is for new rows: without newdata the rows of the fit are predicted, with their own {what}."
    )


def offset_needed() -> DataError:
    return DataError(
        "The model was fitted with an array as offset=, which new rows need too: pass offset=, a column name, an array "
        "with one value per row or a number (offset=0 for none)."
    )


def weights_needed(column: str | None) -> DataError:
    reason = "an array" if column is None else f"'{column}', which is no column of the new data,"
    return DataError(
        f"The model was fitted with {reason} as weights=. The residual variance of a new observation is sigma² / "
        "weight: for prediction intervals pass weights=, a column name, an array with one value per row or a number "
        "(weights=1 for the variance sigma²)."
    )


def weight_not_positive(row: int, value: float) -> DataError:
    return DataError(
        f"weights is {value:g} in row {row} of the new data: the weight of a new observation is finite and > 0."
    )


def not_estimable_warning(rows: Sequence[Any], aliased: Sequence[str]) -> PredictionWarning:
    return PredictionWarning(
        f"{_at(rows).capitalize()} cannot be predicted and are NaN: the fit dropped {_listing(aliased)}, which earlier "
        "columns determine in its data, but in these rows they do not."
    )


def kenward_roger_needs_reml() -> DataError:
    return DataError(
        "ddf='kenward-roger' needs a REML fit, and this is one by maximum likelihood, whose predictions differ: fit "
        "with reml=True, or pass ddf='satterthwaite'."
    )
