"""Texts about rows that are added to a fit or taken out of it. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, _quoted


def rows_elsewhere() -> DataError:
    return DataError(
        "This fit was updated from its cross-products and does not hold its rows in one place: ask fit.stand_in, the "
        "same fit with all rows, which takes the time of reading them."
    )


def rows_unknown(what: str) -> DataError:
    return DataError(
        f"{what} needs the values at all rows, and of some of these only cross-products are known: they were forgotten "
        "in part, or the fit was loaded without them."
    )


def removed_unknown() -> DataError:
    return DataError(
        "This needs the rows of the fit, but some were taken out of rows of which only cross-products are known. The "
        "estimates and predictions stand; tests and intervals need a fit to a table."
    )


def missing_value(what: str, row: int) -> DataError:
    return DataError(f"{what} is missing in row {row} of the new rows: leave out such rows, or fill them in.")


def weight_not_positive(row: int, value: float) -> DataError:
    return DataError(
        f"The weight {value:g} in row {row} of the new rows is not positive: leave out rows that should not count."
    )


def argument_needed(name: str, column: str | None) -> DataError:
    how = f"as the column '{column}', which the rows do not have" if column else "as an array"
    return DataError(f"The model was fitted with {name}= given {how}: pass {name}= for these rows.")


def level_alike(factor: str, text: str) -> DataError:
    return DataError(
        f"The new rows have the level {text} of '{factor}', which reads like one of the fit but has another type: "
        "convert the column to the type that it had."
    )


def rows_not_there(reason: str) -> DataError:
    return DataError(f"These rows cannot be taken out, because they are not all in the fit: {reason}.")


def downdate_after_forgetting() -> DataError:
    return DataError("Rows that have been forgotten in part cannot be taken out: how much they still count differs.")


def too_few_left(rows: float, columns: int) -> DataError:
    return DataError(f"Of the rows {rows:g} would be left, for {columns} fixed effects: there must be more.")


def forgetting_invalid(value: Any) -> DataError:
    return DataError(f"forgetting is {_quoted(value)}; it must be a number in (0, 1]: how much the old rows count.")


def option_unknown(name: str, method: str, available: str) -> DataError:
    return DataError(f"{method} with new rows has no option {name!r}; it has {available}.")


def parameter_unknown(name: str, known: Sequence[str]) -> DataError:
    return DataError(f"StreamingModel has no parameter {name!r}; it has {', '.join(known)}.")


def rows_and_data() -> DataError:
    return DataError("update() takes new rows or data=, a whole table, not both.")


def layout_differs(argument: str, what: str, given: int, wanted: int) -> DataError:
    return DataError(f"{argument} has {given} {what}, but the model has {wanted}: rows need all that the fit had.")


def codes_differ(terms: str) -> DataError:
    return DataError(f"{terms} share one grouping factor in this fit, but have different codes at these rows.")


def not_fitted() -> DataError:
    return DataError("There is no fit yet: call partial_fit with a first table.")
