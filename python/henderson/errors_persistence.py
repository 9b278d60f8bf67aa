"""Texts about saved fits: what cannot be saved, files that cannot be read, fits without rows. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, FormulaError, MixedModelError, _listing, _quoted

# ------------------------------------------------------------------------------------------------------------- saving


def folder_absent(path: str, folder: str) -> MixedModelError:
    return MixedModelError(f"'{path}' cannot be written: there is no folder '{folder}'.")


def is_a_folder(path: str) -> MixedModelError:
    return MixedModelError(f"'{path}' cannot be written: it is a folder. Add the name of a file.")


def file_unwritable(path: str, reason: Exception) -> MixedModelError:
    return MixedModelError(f"'{path}' cannot be written: {reason}. What was there before is unchanged.")


def path_type(value: Any) -> DataError:
    return DataError(f"path is {_quoted(value)}; it must be the name of a file, as text or pathlib.Path.")


def value_unsaveable(where: str, value: Any) -> DataError:
    return DataError(
        f"{where} holds {_quoted(value)}, a {type(value).__module__}.{type(value).__qualname__}, which a file cannot: "
        "convert it to text, a number or a date, and fit the model again."
    )


def needs_rows_to_save() -> DataError:
    return DataError("rows=True needs the rows of the fit, and this one was loaded without them: leave rows out.")


# ------------------------------------------------------------------------------------------------------------- loading


def file_absent(path: str) -> MixedModelError:
    return MixedModelError(f"There is no file '{path}'.")


def not_a_model(path: str) -> MixedModelError:
    return MixedModelError(f"'{path}' is not a fit saved by henderson: such files are written by fit.save(path).")


def file_damaged(path: str, reason: str) -> MixedModelError:
    return MixedModelError(f"'{path}' is damaged ({reason}): copy or save it again.")


def entry_missing(path: str, entry: str) -> MixedModelError:
    return MixedModelError(f"'{path}' lacks the entry '{entry}' that a saved fit has: copy or save it again.")


def version_newer(path: str, found: int, known: int, writer: str) -> MixedModelError:
    return MixedModelError(
        f"'{path}' has format {found}, written by henderson {writer}; this version reads formats up to {known}: "
        "upgrade henderson."
    )


def context_missing(path: str, names: Sequence[str], formula: str) -> DataError:
    entries = ", ".join(f"{name!r}: {name}" for name in names)
    what = "a function or an object" if len(names) == 1 else "functions or objects"
    return DataError(
        f"The formula '{formula}' of '{path}' uses {_listing(names)}: {what} of your own, which no file holds. "
        f"Pass context={{{entries}}} to load()."
    )


def context_type(value: Any) -> DataError:
    return DataError(f"context is {_quoted(value)}; it must be a dict of functions and constants by name.")


def code_refused(path: str, code: str) -> FormulaError:
    return FormulaError(
        f"The formula of '{path}' has {code}, which predictions would run as Python code. "
        "If you trust whoever wrote the file, pass allow_code=True to load()."
    )


def rows_absent(path: str) -> DataError:
    return DataError(
        f"This fit was loaded without its rows from '{path}', and this needs them: save the fit with "
        "fit.save(path, rows=True), or fit the model again."
    )
