"""Texts of the command line. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence

from henderson.errors import DataError, _listing


def file_type(path: str, known: str) -> DataError:
    return DataError(f"'{path}' has an unknown type: pass {known}.")


def data_missing(formula: str) -> DataError:
    return DataError(f"The formula '{formula}' needs data: name a file or a bundled data set after it.")


def arguments_left(rest: Sequence[str]) -> DataError:
    return DataError(f"Nothing is known to do with {_listing(repr(part) for part in rest)}. See --help.")


def newdata_missing() -> DataError:
    return DataError("predict needs the rows to predict: name a file after the model, or - for CSV on standard input.")


def data_without_formula(source: str) -> DataError:
    return DataError(
        f"'{source}' is neither a formula nor a saved fit, and there is no formula that it is the data of."
    )


def several_data(sources: Sequence[str]) -> DataError:
    return DataError(f"These are neither formulas nor saved fits: {_listing(sources)}. Only one may be the data.")


def fit_options_with_saved(names: Sequence[str]) -> DataError:
    return DataError(f"{_listing(names)}: these say how to fit a formula; a saved fit is as it was fitted.")


def columns_taken(names: Sequence[str]) -> DataError:
    return DataError(
        f"The new data have columns of the names that the result gets ({_listing(names)}): leave the new data out of "
        "the result, or rename them."
    )


def with_data_of_none() -> DataError:
    return DataError("--with-data needs new data: name a table after the model.")


def rows_without_save() -> DataError:
    return DataError("--rows says what --save keeps: name the file, --save FILE.")


def options_of_one_model(names: Sequence[str]) -> DataError:
    return DataError(f"{_listing(names)}: for the table of a single model, not for comparisons.")


def no_reference_time(names: Sequence[str]) -> DataError:
    return DataError(f"The peers of bench are {_listing(names)}: none is installed.")
