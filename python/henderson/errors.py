"""Exceptions, warnings and every text they carry.

A message says what is wrong, where (term, column, row, value) and what to do about it. The functions below build the
exception; the caller raises it, so that tracebacks end where the problem was found.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

Span = tuple[int, int]


class MixedModelError(Exception):
    """Base class of all errors raised by henderson."""


class FormulaError(MixedModelError, ValueError):
    """A formula that cannot be read; the text is shown with a caret under the offending part."""

    def __init__(self, message: str, text: str | None = None, span: Span | None = None) -> None:
        super().__init__(message, text, span)
        self.message = message
        self.text = text
        self.span = span

    def __str__(self) -> str:
        if self.text is None:
            return self.message
        shown = "".join(" " if character.isspace() else character for character in self.text)
        if self.span is None:
            return f"{self.message}\n    {shown}"
        start, stop = self.span
        return f"{self.message}\n    {shown}\n    {' ' * start}{'^' * max(stop - start, 1)}"


class DataError(MixedModelError, ValueError):
    """Data that do not fit the formula, or that no model can be fitted to."""


class SingularFitWarning(UserWarning):
    """The fit is on the boundary of the parameter space: some variance is zero or some correlation is one."""


class ConvergenceWarning(UserWarning):
    """The optimiser stopped before its convergence criterion was met."""


def _nearest(name: str, available: Iterable[str]) -> str:
    """' Did you mean ...?' when a known name is close to `name`, else nothing."""
    candidates = [str(candidate) for candidate in available]
    folded = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return f" Did you mean '{folded[close[0]]}'?" if close else ""


def _listing(names: Iterable[Any], limit: int = 12) -> str:
    shown = [str(name) for name in names]
    rest = f", ... ({len(shown)} in all)" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + rest


def _quoted(value: Any) -> str:
    is_numpy = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
    text = repr(value.item() if is_numpy and value.dtype.kind in "biufcU" else value)  # 1 and not np.int64(1)
    return text if len(text) <= 40 else text[:37] + "..."


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


# ---------------------------------------------------------------------------------------------- formula: the characters


def formula_not_text(value: Any) -> FormulaError:
    return FormulaError(f"A formula is text such as 'y ~ x + (1 | group)', not {type(value).__name__}.")


def formula_empty() -> FormulaError:
    return FormulaError("The formula is empty. Write for example 'y ~ x + (1 | group)'.")


def unknown_character(text: str, span: Span) -> FormulaError:
    return FormulaError(f"The character {text[span[0]]!r} has no meaning in a formula.", text, span)


def unclosed(what: str, closing: str, text: str, span: Span) -> FormulaError:
    return FormulaError(f"This {what} is never closed: add {closing!r}.", text, span)


def unopened(closing: str, text: str, span: Span) -> FormulaError:
    return FormulaError(f"This {closing!r} closes nothing: remove it or add the opening one.", text, span)


def unexpected(token: str, text: str, span: Span) -> FormulaError:
    return FormulaError(f"Did not expect {token!r} here: is an operator such as '+' missing before it?", text, span)


def nested_too_deeply(text: str) -> FormulaError:
    return FormulaError(f"The formula is nested too deeply: {text[:60]}...")


def operand_missing(where: str, text: str, span: Span) -> FormulaError:
    return FormulaError(f"Something is missing {where}.", text, span)


# ----------------------------------------------------------------------------------------------- formula: the structure


def tilde_missing(text: str) -> FormulaError:
    return FormulaError("The formula has no '~': write 'response ~ terms', for example 'y ~ x + (1 | group)'.", text)


def tilde_repeated(text: str, span: Span) -> FormulaError:
    return FormulaError("A formula has one '~', between the response and the terms.", text, span)


def response_missing(text: str) -> FormulaError:
    return FormulaError("The formula has no response: write its column before the '~'.", text, (0, 1))


def response_multivariate(text: str, span: Span) -> FormulaError:
    return FormulaError("Only one response column can be modelled at a time: fit one model per response.", text, span)


def random_term_missing(text: str) -> FormulaError:
    message = "Formula has no random term: add one such as (1 | subject), or use ordinary least squares."
    return FormulaError(message, text, (0, len(text)))


def bar_needs_parentheses(text: str, span: Span) -> FormulaError:
    return FormulaError("A random term needs parentheses around it: write (1 | group).", text, span)


def bar_side_empty(side: str, text: str, span: Span) -> FormulaError:
    needed = "an effect on its left, such as 1 or x" if side == "left" else "a grouping factor on its right"
    return FormulaError(f"The bar needs {needed}: write (1 | group).", text, span)


def bar_repeated(text: str, span: Span) -> FormulaError:
    return FormulaError("A random term has one bar: write (1 | a) + (1 | b), or (1 | a/b) for b within a.", text, span)


def bar_misplaced(text: str, span: Span) -> FormulaError:
    message = "A random term can only be added to the other terms with '+', not combined with them in another way."
    return FormulaError(message, text, span)


def structure_unknown(name: str, text: str, span: Span) -> FormulaError:
    message = f"The covariance structure {name}() is not available: use (x | g), or (x || g) for uncorrelated effects."
    return FormulaError(message, text, span)


def grouping_invalid(text: str, span: Span) -> FormulaError:
    message = "A grouping factor is a column, or columns joined by ':', '/' or '*': for example (1 | school/class)."
    return FormulaError(message, text, span)


def grouping_sum(text: str, span: Span) -> FormulaError:
    return FormulaError("Grouping factors cannot be added: write (1 | a) + (1 | b).", text, span)


def random_effects_empty(text: str, span: Span) -> FormulaError:
    message = "This random term has no effects: its left side removes the intercept and adds nothing."
    return FormulaError(message, text, span)


def term_invalid(what: str, text: str, span: Span) -> FormulaError:
    message = f"{what} cannot be a term of the model: write arithmetic inside I(...), for example I(2 * x)."
    return FormulaError(message, text, span)


def power_invalid(text: str, span: Span) -> FormulaError:
    return FormulaError("The power of a group of terms is a whole number >= 1, as in (a + b + c)^2.", text, span)


def offset_invalid(text: str, span: Span) -> FormulaError:
    return FormulaError("offset(...) takes one expression and is added to the other terms with '+'.", text, span)


def dot_invalid(text: str, span: Span) -> FormulaError:
    message = "'.' (all other columns) can only stand among the fixed effects, to the right of '~' and outside calls."
    return FormulaError(message, text, span)


def call_invalid(name: str, usage: str, text: str | None = None, span: Span | None = None) -> FormulaError:
    return FormulaError(f"{name}(...) is not used like this: {usage}.", text, span)


# ------------------------------------------------------------------------------------------------- tables and columns


def table_type(data: Any) -> DataError:
    if data is None:
        return DataError("No data: pass data= a pandas, polars or pyarrow table, or a dict of arrays.")
    hint = " Call .collect() first." if type(data).__name__ == "LazyFrame" else ""
    known = "a pandas DataFrame, polars DataFrame, pyarrow Table or dict of arrays"
    return DataError(f"data is a {type(data).__module__}.{type(data).__name__}; it must be {known}.{hint}")


def table_empty() -> DataError:
    return DataError("The data have no rows.")


def table_ragged(lengths: dict[str, int]) -> DataError:
    listed = _listing(f"'{name}' {length}" for name, length in lengths.items())
    return DataError(f"The columns of data have different lengths: {listed}. Every column needs one value per row.")


def column_unknown(name: str, available: Sequence[Any], role: str = "formula") -> DataError:
    listed = _listing(available) if len(available) else "none"
    return DataError(f"Column '{name}' ({role}) is not in the data.{_nearest(name, available)} Columns: {listed}.")


def column_repeated(name: str) -> DataError:
    return DataError(f"The data have several columns named '{name}': rename them so that each name is used once.")


def column_shape(name: str, shape: tuple[int, ...]) -> DataError:
    return DataError(f"Column '{name}' has shape {shape}; it must have one dimension: name each of its columns.")


def column_type(name: str, kind: str) -> DataError:
    advice = {
        "complex": "split it into real and imaginary parts",
        "time": "turn it into numbers, such as days since a start, or wrap it in factor(...) to use it as categories",
        "list": "give it one value per row",
        "bytes": "decode it to text",
    }.get(kind, "convert it to numbers, text or categories")
    return DataError(f"Column '{name}' holds {kind} values, which the model cannot use: {advice}.")


def column_mixed(name: str, first: Any, other: Any, row: int) -> DataError:
    return DataError(
        f"Column '{name}' mixes types: {type(first).__name__} {_quoted(first)} and {type(other).__name__} "
        f"{_quoted(other)} (row {row}). Convert it to one type, for example with .astype(str) or pandas.to_numeric."
    )


def column_not_numeric(name: str, example: Any, role: str) -> DataError:
    return DataError(
        f"Column '{name}' is used as a number ({role}) but holds categories such as {_quoted(example)}: "
        "convert it to numbers first."
    )


def expression_not_numeric(label: str, role: str) -> DataError:
    return DataError(f"{label} ({role}) gives categories where numbers are needed.")


# ----------------------------------------------------------------------------------------------------- rows and values


def missing_values(counts: dict[str, int], rows: int) -> DataError:
    listed = _listing(f"'{name}' ({count})" for name, count in counts.items())
    return DataError(
        f"{_rows(rows)} with missing values in {listed}, and na_action='fail'. "
        "Fill or remove them, or use na_action='drop'."
    )


def no_rows_left(counts: dict[str, int], total: int) -> DataError:
    listed = _listing(f"'{name}' ({count})" for name, count in counts.items())
    reason = f" Missing values: {listed}." if counts else " subset= and weights= exclude every row."
    return DataError(f"None of the {_rows(total)} can be used.{reason}")


def infinite_value(what: str, row: int, value: float) -> DataError:
    return DataError(f"{what} is {value} in row {row}: use a finite number there, or a missing value to drop the row.")


def transform_not_finite(label: str, row: int, value: float, inputs: dict[str, Any]) -> DataError:
    given = _listing(f"{name} = {_quoted(entry)}" for name, entry in inputs.items())
    where = f"row {row} ({given})" if given else f"row {row}"
    return DataError(f"{label} is {value} in {where}: change the transformation, or drop such rows with subset=.")


def response_constant(label: str, value: float) -> DataError:
    return DataError(f"The response {label} is {value:g} in every row: there is no variation to model.")


def length_mismatch(what: str, length: int, rows: int) -> DataError:
    return DataError(f"{what} has {length} values but the data have {_rows(rows)}.")


def index_mismatch(what: str) -> DataError:
    return DataError(
        f"{what} is a Series whose index differs from the index of the data: align it with "
        f"{what.rstrip('=')}.reindex(data.index), or pass .to_numpy() if it is already in the order of the rows."
    )


def argument_type(what: str, value: Any, expected: str) -> DataError:
    return DataError(f"{what} is {_quoted(value)} ({type(value).__name__}); it must be {expected}.")


def weight_invalid(row: int, value: float) -> DataError:
    advice = "weights are finite and >= 0 (0 drops the row)"
    return DataError(f"weights is {value:g} in row {row}: {advice}.")


def subset_invalid(value: Any) -> DataError:
    expected = "a boolean array with one value per row, a query such as 'age > 5', or a function of the data"
    return DataError(f"subset is {_quoted(value)} ({type(value).__name__}); it must be {expected}.")


def subset_failed(text: str, reason: Exception) -> DataError:
    return DataError(f"subset={text!r} cannot be evaluated: {type(reason).__name__}: {reason}.")


def choice(what: str, value: Any, allowed: Sequence[str]) -> DataError:
    options = _listing([repr(option) for option in allowed], 40)
    return DataError(f"{what} is {_quoted(value)}; choose one of {options}.{_nearest(str(value), allowed)}")


# ------------------------------------------------------------------------------------------------ factors and contrasts


def grouping_one_level(name: str, level: Any) -> DataError:
    return DataError(
        f"Grouping factor '{name}' has only one level ({_quoted(level)}) in the rows used: "
        "a variance between groups needs at least two."
    )


def grouping_too_fine(name: str, levels: int, rows: int) -> DataError:
    return DataError(
        f"Grouping factor '{name}' has {levels} levels for {_rows(rows)}: its variance "
        "cannot be told from the residual variance. Use a coarser factor."
    )


def effects_too_many(term: str, effects: int, rows: int) -> DataError:
    return DataError(
        f"Random term ({term}) has {effects} effects for {_rows(rows)}: they cannot be told from the residuals. "
        "Simplify its left side, for example to (1 | group)."
    )


def factor_one_level(label: str, level: str) -> DataError:
    return DataError(f"'{label}' is {level!r} in every row used: it has no effect to estimate, remove it.")


def contrast_unknown(label: str, value: Any, allowed: Sequence[str]) -> DataError:
    options = ", ".join(repr(option) for option in allowed)
    return DataError(
        f"Unknown contrasts {_quoted(value)} for '{label}'.{_nearest(str(value), allowed)} Use {options}, "
        "a pair such as ('treatment', base level), or a matrix with one row per level."
    )


def contrast_variable(name: str, available: Sequence[str]) -> DataError:
    listed = _listing(available) if available else "none"
    return DataError(
        f"contrasts= names '{name}', which is not a categorical variable of the formula.{_nearest(name, available)} "
        f"Categorical variables: {listed}."
    )


def contrast_level(label: str, level: Any, levels: Sequence[str]) -> DataError:
    hint = _nearest(str(level), levels)
    return DataError(f"'{label}' has no level {_quoted(level)}.{hint} Levels: {_listing(levels)}.")


def contrast_shape(label: str, shape: tuple[int, ...], levels: Sequence[str]) -> DataError:
    return DataError(
        f"The contrast matrix of '{label}' has shape {shape}; it needs {len(levels)} rows, one per level "
        f"({_listing(levels)}), and 1 to {len(levels) - 1} finite, linearly independent columns."
    )


def level_unseen(label: str, level: Any, row: int, levels: Sequence[str]) -> DataError:
    where = f"'{label}' has the level {_quoted(level)} in row {row} of the new data"
    return DataError(f"{where}, which the model was not fitted to. Levels: {_listing(levels)}.")


# ------------------------------------------------------------------------------------------------------ transformations


def transform_failed(label: str, reason: Exception) -> DataError:
    return DataError(f"{label} cannot be computed: {type(reason).__name__}: {reason}")


def transform_unknown(name: str, available: Sequence[str]) -> DataError:
    return DataError(
        f"Unknown function {name}() in the formula.{_nearest(name, available)} "
        "Compute the column beforehand, or pass the function in context={'" + name + "': ...}."
    )


def transform_categorical(label: str) -> DataError:
    return DataError(f"{label} gives categories: compute that column beforehand and name it in the formula.")


def transform_shape(label: str, shape: tuple[int, ...], rows: int) -> DataError:
    return DataError(f"{label} gives values of shape {shape}; a term needs one value per row ({rows}).")
