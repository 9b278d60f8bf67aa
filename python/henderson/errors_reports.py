"""Texts about tidy tables, regression tables, explanations and equations. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, _listing, _nearest, _quoted, _rows

# --------------------------------------------------------------------------------------------------------------- tables


def effects_empty(available: Sequence[str]) -> DataError:
    return DataError(f"effects names nothing to show: pass one or more of {_listing(available)}.")


def table_length(rows: int, used: int, total: int) -> DataError:
    table = _rows(total) if used == total else f"{_rows(total)}, {used} of which were used"
    return DataError(
        f"data has {_rows(rows)}; the table of this fit had {table}. Pass that table, or leave data out for the rows "
        "used."
    )


def table_labels(found: int, used: int) -> DataError:
    return DataError(
        f"The row labels of data are not those of the table of this fit: {found} of its {_rows(used)} are found. Pass "
        "that table with its index, or leave data out for the rows used."
    )


def table_differs(column: str, row: int) -> DataError:
    return DataError(
        f"Column '{column}' of data is not what this fit was given: the first difference is in row {row}. Pass the "
        "table of this fit with its rows in their order, or leave data out for the rows used."
    )


# --------------------------------------------------------------------------------------------------- regression tables


def no_fits() -> DataError:
    return DataError("There is no fit to show: pass a fit, a list of fits, or a dict of fits by their names.")


def not_a_fit(name: str, value: Any) -> DataError:
    return DataError(f"{name} is of type {type(value).__name__}: a regression table shows fits made by lmer().")


def names_length(names: int, fits: int) -> DataError:
    return DataError(f"names has {names} entries for {fits} fits: pass one for each.")


def coefficient_unknown(name: Any, available: Sequence[str]) -> DataError:
    return DataError(
        f"No fit has a coefficient called {_quoted(name)}.{_nearest(str(name), available)} "
        f"Coefficients: {_listing(available)}."
    )


def digits_invalid(value: Any) -> DataError:
    return DataError(f"digits is {_quoted(value)}; it must be a whole number from 1 to 15.")


def stars_invalid(value: Any) -> DataError:
    return DataError(
        f"stars is {_quoted(value)}; pass True for * p < 0.05, ** p < 0.01, *** p < 0.001, or a dict of limits such as "
        "{'+': 0.1, '*': 0.05}."
    )


def width_invalid(value: Any) -> DataError:
    return DataError(f"width is {_quoted(value)}; it must be a whole number of at least 20 characters.")


def count_invalid(name: str, value: Any, smallest: int) -> DataError:
    return DataError(f"{name} is {_quoted(value)}; it must be a whole number of at least {smallest}.")


def mixed_criteria_note() -> str:
    return (
        "Models fitted by REML and by maximum likelihood stand side by side: their log-likelihoods, AIC and BIC do not "
        "compare."
    )


def restricted_likelihood_note() -> str:
    return (
        "Fitted by REML with different fixed effects: log-likelihoods, AIC and BIC of these models do not compare; fit "
        "with reml=False for that."
    )


def different_rows_note() -> str:
    return "The models are fitted to different numbers of rows: log-likelihoods, AIC and BIC do not compare."


def different_responses_note() -> str:
    return "The models have different responses: log-likelihoods, AIC and BIC do not compare."


def model_note(name: str, note: str) -> str:
    return f"{name}: {note}"


def singular_columns_note(names: Sequence[str]) -> str:
    return f"Boundary (singular) fit: {_listing(names)}."


def stopped_columns_note(names: Sequence[str]) -> str:
    return f"Not converged: {_listing(names)}."


def path_invalid(value: Any) -> DataError:
    return DataError(f"path is {_quoted(value)}; pass the name of a file such as 'table.docx'.")


def folder_missing(folder: str) -> DataError:
    return DataError(f"There is no folder '{folder}' to write the file to.")
