"""Texts about fits: arrays that do not fit together, options, convergence, the command line. As in `errors`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from henderson.errors import ConvergenceWarning, DataError, _listing, _nearest, _quoted, _rows

# ------------------------------------------------------------------------------------------------------------- arrays


def codes_not_integers(dtype: Any, shape: tuple[int, ...]) -> DataError:
    return DataError(
        f"codes has dtype {dtype} and shape {shape}; it must be a vector of integers 0, 1, ...: for labels use "
        "levels, codes = numpy.unique(labels, return_inverse=True)."
    )


def codes_out_of_range(lowest: int, highest: int, levels: int) -> DataError:
    return DataError(
        f"codes lie between {lowest} and {highest}; with {levels} levels they must lie in 0 .. {levels - 1}."
    )


def levels_too_many(lowest: int, highest: int, levels: int, rows: int) -> DataError:
    return DataError(
        f"codes lie between {lowest} and {highest}, and {levels} levels are too many for {_rows(rows)}: number the "
        "levels that occur, codes = numpy.unique(codes, return_inverse=True)[1]."
    )


def wrong_shape(what: str, shape: tuple[int, ...], expected: str) -> DataError:
    return DataError(f"{what} has shape {shape}; it must have shape {expected}.")


def not_numeric(what: str, reason: object) -> DataError:
    return DataError(f"{what} cannot be read as numbers: {str(reason).rstrip('.')}.")


def not_numbers(what: str, kind: str, dtype: str) -> DataError:
    advice = {
        "c": "take its real part, or fit the real and the imaginary part one by one",
        "M": "turn it into numbers, such as days since a start",
        "m": "turn it into numbers, such as days",
    }.get(kind, "convert it to an array of numbers")
    return DataError(f"{what} cannot be read as numbers: it holds {dtype} values; {advice}.")


def masked(what: str, row: int, count: int) -> DataError:
    rest = "" if count == 1 else f" ({count} masked values in all)"
    return DataError(
        f"{what} is masked in row {row}{rest}: leave such rows out of all arrays, or fill them with .filled(value)."
    )


def no_columns(what: str) -> DataError:
    return DataError(f"{what} has no columns: leave it out for a random intercept.")


def no_terms() -> DataError:
    return DataError("terms must be a list with at least one RandomTerm(codes, Z), or a single one.")


def not_a_random_term(index: int, value: Any) -> DataError:
    return DataError(f"terms[{index}] is a {type(value).__name__}: wrap the codes and columns in RandomTerm(codes, Z).")


def weights_not_positive(row: int, value: float) -> DataError:
    return DataError(f"weights[{row}] is {value:g}: weights are finite and > 0; leave out the rows of weight zero.")


def not_finite(what: str, row: int, value: float) -> DataError:
    return DataError(f"{what} is not finite in row {row} ({value}): remove such rows or replace the value.")


def out_of_scale(what: str, row: int, value: float) -> DataError:
    size = abs(value)
    too, does = ("large", "overflow") if size > 1 else ("small", "underflow")
    power = f"1e{math.floor(math.log10(size)):+03d}"
    return DataError(
        f"{what} is too {too}: its largest absolute value is {size:.3g} (row {row}), so that sums of squares {does} "
        f"double precision. Rescale it, for example divide it by {power}."
    )


def offset_overflow(what: str, row: int, value: float, offset: float) -> DataError:
    return DataError(
        f"{what} - offset is not finite in row {row}: {value:.3g} minus {offset:.3g} overflows double precision. "
        "Rescale both, for example divide them by a power of ten."
    )


def products_out_of_scale(what: str, row: int, size: float) -> DataError:
    too, does = ("large", "overflow") if size > 1 else ("small", "underflow")
    return DataError(
        f"{what} and the weights together are too {too}: the largest |value| sqrt(weight) is {size:.3g} (row {row}): "
        f"sums of squares {does} double precision. Divide the weights by their mean, or rescale that column."
    )


def response_length(length: int, expected: int) -> DataError:
    return DataError(f"The new response has {length} values; this fit used {_rows(expected)}: pass one value for each.")


# ------------------------------------------------------------------------------------------------------------- fitting


def bad_theta(what: str, value: Any, size: int) -> DataError:
    numbers = "1 finite number" if size == 1 else f"{size} finite numbers"
    return DataError(f"{what} is {_quoted(value)}; it must be {numbers}, the theta of this model.")


def start_too_far(value: Any, index: int, theta: float, limit: float) -> DataError:
    return DataError(
        f"start is {_quoted(value)}: element {index} is {theta:.3g}, more than {limit:.3g} in size. Its random effects "
        "would dwarf the residuals beyond what double precision holds: pass a smaller one, or leave start out."
    )


def too_few_rows(rows: int, columns: int) -> DataError:
    effects = "1 fixed effect" if columns == 1 else f"{columns} fixed effects"
    return DataError(f"{_rows(rows)} cannot determine {effects} and a residual variance: use fewer terms or more data.")


def exact_fit() -> DataError:
    return DataError(
        "The model fits the response exactly: no residual variance is left to estimate. "
        "Is the response computed from the other columns? Otherwise use fewer terms."
    )


def not_converged(status: str, evaluations: int, decrement: float) -> ConvergenceWarning:
    return ConvergenceWarning(not_converged_note(status, evaluations, decrement))


def not_converged_note(status: str, evaluations: int, decrement: float) -> str:
    advice = {
        "evaluation limit": "raise max_evaluations, or pass start=fit.theta to continue",
        "stopped by callback": "pass start=fit.theta to continue",
    }.get(status, "check the response and the weights for extreme values, or pass another start=")
    return (
        f"Not converged ({status} after {evaluations} evaluations): the criterion may still fall by about "
        f"{decrement:.2g}. What to do: {advice}."
    )


def singular_note(deficient: Sequence[tuple[str, int, int]]) -> str:
    zero = [f"the variance of ({term}) is zero" for term, _, size in deficient if size == 1]
    flat = [
        f"the covariance matrix of ({term}) has rank {rank} of {size} (a variance is zero, or a correlation +1 or -1)"
        for term, rank, size in deficient
        if size > 1
    ]
    advice = "drop an effect, or write || for uncorrelated effects" if flat else "drop it from the formula"
    return (
        f"Boundary (singular) fit: {_listing(zero + flat)}. This is the optimum, not a failure. "
        f"What to do: keep it, or simplify the term: {advice}."
    )


def aliased_note(names: Sequence[str]) -> str:
    plural = "column" if len(names) == 1 else "columns"
    return (
        f"Fixed effects are rank deficient: dropped {len(names)} {plural} that earlier columns determine: "
        f"{_listing(names)}."
    )


def missing_note(rows: int) -> str:
    return f"({_rows(rows)} with missing values dropped)"


def correlation_note(columns: int, limit: int) -> str:
    return (
        f"Correlation matrix not shown by default, as p = {columns} > {limit}.\n"
        "Use summary(correlation=True) or vcov if you need it."
    )


# -------------------------------------------------------------------------------------------- results, command line


def level_invalid(value: Any) -> DataError:
    return DataError(f"level is {_quoted(value)}; a confidence level lies between 0 and 1, for example 0.95.")


def dataset_unreadable(path: str, names: Sequence[str]) -> DataError:
    return DataError(
        f"'{path}' is neither a file nor a bundled data set.{_nearest(path, names)} Data sets: {_listing(names)}."
    )


def file_unreadable(path: str, reason: Exception) -> DataError:
    return DataError(f"'{path}' cannot be read: {reason}")


def file_type(path: str) -> DataError:
    return DataError(f"'{path}' has an unknown type: pass a .csv, .tsv or .parquet file.")


def dependency_missing(package: str, purpose: str, extra: str) -> ImportError:
    return ImportError(f"{purpose} needs {package}: pip install 'henderson[{extra}]'")
