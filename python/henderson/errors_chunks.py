"""Texts about fits to chunks of groups. As in `errors`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, _listing, _quoted, _rows

ADVICE = (
    "Random chunks are independent samples only if no random effect is in two of them: chunk by the factor that the "
    "others are nested in. For crossed factors fit all rows at once, by lmer() or by the method of moments."
)


class ChunkWarning(UserWarning):
    """Averages over chunks whose standard errors are not to be trusted."""


def estimator_type(value: Any) -> DataError:
    return DataError(
        f"estimator is {_quoted(value)}; pass a formula, a function that fits one chunk of data, or an estimator with "
        "fit(X, y)."
    )


def target_needed() -> DataError:
    return DataError("The estimator needs fit(X, y): name the column of data that is y, target='...'.")


def options_unused(names: Sequence[str], estimator: Any) -> DataError:
    return DataError(
        f"{_listing(names)}: such options are for formulas, which lmer() fits. Set them on the estimator "
        f"({type(estimator).__name__}), or in the function."
    )


def option_by_row(name: str) -> DataError:
    return DataError(f"{name}= has one value per row, which is not cut into chunks: make it a column of data, by name.")


def data_type(value: Any) -> DataError:
    return DataError(
        f"data is a {type(value).__name__}; pass a pandas, polars or pyarrow table, or a dict of arrays that have one "
        "row per observation."
    )


def by_length(length: int, rows: int) -> DataError:
    return DataError(f"by has {length} labels; data have {_rows(rows)}: pass one for each, or the name of a column.")


def by_missing(name: str, row: int) -> DataError:
    return DataError(f"by: '{name}' is missing in row {row}. Leave out such rows, or give them a label.")


def too_many_chunks(chunks: int, groups: int, name: str) -> DataError:
    return DataError(
        f"{chunks} chunks of {groups} groups ({name}): each chunk needs at least 2 groups, and 30 or more to estimate "
        "their variance well. Use fewer chunks."
    )


def crossed(factor: str, by: str, levels: int) -> DataError:
    return DataError(_crossed(factor, by, levels))


def warn_crossed(factor: str, by: str, levels: int, stacklevel: int) -> None:
    warnings.warn(
        ChunkWarning(
            f"{_crossed(factor, by, levels)} The standard errors below leave out what the chunks have in common."
        ),
        stacklevel=stacklevel + 1,
    )


def _crossed(factor: str, by: str, levels: int) -> str:
    many = "1 level" if levels == 1 else f"{levels} levels"
    return f"Chunks by '{by}' split the grouping factor '{factor}': {many} would be in several chunks. {ADVICE}"


def chunk_name(chunk: int, chunks: int, rows: int) -> str:
    return f"chunk {chunk} of {chunks} ({_rows(rows)})"


def chunk_failed(name: str, reason: Exception) -> DataError:
    return DataError(f"C{name[1:]} cannot be fitted: {reason} If all rows together can be fitted, use fewer chunks.")


def learned_by_chunk(text: str) -> DataError:
    return DataError(
        f"{text} depends on all rows, and so means something else in each chunk: its coefficients cannot be averaged. "
        "Compute it once, as columns of data, and use these in the formula."
    )


def not_importable(reason: Exception) -> DataError:
    return DataError(
        f"The estimator cannot be sent to other processes ({reason}): define functions in a module, without lambda, or "
        "use executor='threads' or 'joblib'."
    )


def chunks_differ(chunk: int, name: str, reason: str) -> DataError:
    return DataError(
        f"Chunk {chunk} {reason} '{name}', unlike the first: a level of a factor may be too rare to be in every chunk. "
        "Use fewer chunks, or merge rare levels."
    )


def result_unknown(value: Any) -> DataError:
    return DataError(
        f"The fit of a chunk is a {type(value).__name__}, whose estimates are not known here: pass estimates=, a "
        "function of it that gives numbers by name."
    )


def estimates_invalid(value: Any) -> DataError:
    return DataError(f"estimates gave {_quoted(value)}; it must give numbers by name, as a dict or a Series.")


def not_averaged() -> DataError:
    return DataError("The fits of the chunks were not kept: pass keep_fits=True to predict from them.")


def no_predictions(value: Any) -> DataError:
    return DataError(f"A {type(value).__name__} makes no predictions from a table.")


def executor_type(value: Any) -> DataError:
    return DataError(
        f"executor is {_quoted(value)}; pass None, 'threads', 'processes', 'joblib', an executor of concurrent.futures "
        "or a joblib.Parallel."
    )


def few_groups_note(smallest: int) -> str:
    return (
        f"Chunks have as few as {smallest} groups: averages are biased by about one part in that many. 30 or more are "
        "better: use fewer chunks."
    )


def few_chunks_note(chunks: int) -> str:
    return f"Standard errors come from {chunks} chunks only: intervals are wide, by t with {chunks - 1} df."


def singular_note(count: int, chunks: int) -> str:
    return (
        f"{count} of {chunks} chunk fits are singular: variances cannot be negative, so that their averages are too "
        "large. Use fewer chunks, or the method of moments, whose estimates can."
    )


def not_converged_note(count: int, chunks: int) -> str:
    return f"{count} of {chunks} chunk fits have not converged."
