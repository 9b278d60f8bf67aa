"""Texts about estimation by moments. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, FormulaError, _listing, _quoted, _rows


class NotByMoments(AttributeError):
    """What a fit by moments does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"A fit by moments has no '{name}': no likelihood, no predicted effects. Fit by likelihood, lmer() "
            "without method='moments'; a fit by moments has fixef, vcov(), confint(), varcorr, variance_components and "
            "to_frame().",
            name=name,
        )


def only_intercepts(term: str) -> FormulaError:
    return FormulaError(
        f"method='moments' knows random intercepts only, such as (1 | g), but the formula has {term}. "
        "What to do: fit random slopes by likelihood (method='newton'), or leave the slope out."
    )


def option_without_likelihood(names: Sequence[str]) -> DataError:
    plural = "has" if len(names) == 1 else "have"
    return DataError(
        f"{_listing(names)} {plural} no meaning with method='moments', which maximises nothing: leave it out, or fit "
        "by likelihood."
    )


def option_needs_moments(name: str) -> DataError:
    return DataError(
        f"{name} needs method='moments'; for a fit by likelihood add the group size as a column of the data."
    )


def codes_not_integers(k: int, dtype: Any, shape: tuple[int, ...]) -> DataError:
    return DataError(
        f"codes[{k}] has dtype {dtype} and shape {shape}; it must be a vector of integers 0, 1, ...: for labels use "
        "levels, codes = numpy.unique(labels, return_inverse=True)."
    )


def codes_out_of_range(k: int, lowest: int, highest: int) -> DataError:
    return DataError(
        f"codes[{k}] lie between {lowest} and {highest}; they must lie in 0 .. 2147483647: number the levels that "
        "occur, codes = numpy.unique(codes, return_inverse=True)[1]."
    )


def batches_disagree(what: str, first: Any, now: Any, batch: int) -> DataError:
    return DataError(
        f"Batch {batch} has {now} {what}, the first had {first}: every batch needs the same columns and factors."
    )


def bad_batch(batch: int, value: Any) -> DataError:
    return DataError(
        f"Batch {batch} is a {type(value).__name__}; each must be a tuple (y, X, codes) or (y, X, codes, weights), "
        "with None for an X without columns."
    )


def out_of_scale() -> DataError:
    return DataError(
        "y or a column of X is so large that sums of its powers overflow double precision: divide it by a power of ten."
    )


def names_length(what: str, length: int, count: int) -> DataError:
    return DataError(f"{what} has {length} elements; the data have {count}: one name for each.")


def no_batches() -> DataError:
    return DataError("There are no rows: batches gave nothing.")


def batches_type(value: Any) -> DataError:
    return DataError(
        f"batches is a {type(value).__name__}; it must be a list of batches, an iterator of them (read once), or a "
        "function that returns a new iterator each time it is called (read twice)."
    )


def batches_changed(first: int, now: int) -> DataError:
    return DataError(f"The batches had {_rows(first)} when they were read first and {_rows(now)} the second time.")


def one_level(name: str) -> DataError:
    return DataError(f"Grouping factor {name} has one level only: its variance cannot be estimated. Leave it out.")


def not_separable(names: Sequence[str]) -> DataError:
    return DataError(
        f"The variances of {_listing(names)} and of the residuals cannot be told apart: in these data some of them "
        "have the same expected sums of squares. Is a factor given twice, is each of its levels a single row, or do "
        "the fixed effects contain it? Leave one out."
    )


def too_few_rows(rows: int, columns: int) -> DataError:
    return DataError(
        f"{_rows(rows)} cannot determine {columns} fixed effects and a residual variance: use fewer terms."
    )


def no_residual_variance(value: float) -> DataError:
    return DataError(
        f"The moment estimate of the residual variance is {value:.4g}, so that no weights follow from it. The design "
        "hardly tells the residuals from the random effects, or the model fits exactly. Fit by likelihood "
        "(method='newton'), or use fewer terms."
    )


def cannot_estimate_pairs(reason: str) -> DataError:
    return DataError(f"estimator='pairs' {reason}; use estimator='henderson'.")


def no_cluster_covariance() -> DataError:
    return DataError(
        "The cluster-robust covariance needs the rows a second time, and this iterator could be read once only: pass "
        "a list of batches, or a function that returns a new iterator."
    )


def too_many_combinations(names: Sequence[str]) -> DataError:
    return DataError(f"The combinations of levels of {_listing(names)} cannot be numbered: use fewer grouping factors.")


def size_factor_unknown(value: Any, names: Sequence[str]) -> DataError:
    return DataError(
        f"group_size_effect is {_quoted(value)}; it must be True, False, a grouping factor or a list of them: "
        f"{_listing(names)}."
    )


def size_constant(name: str) -> str:
    return f"All groups of {name} have the same size: its effect cannot be told from the intercept."


def negative_note(names: Sequence[str], values: Sequence[float]) -> str:
    shown = _listing([f"{name} ({value:.4g})" for name, value in zip(names, values, strict=True)])
    return (
        f"Negative variance estimates are reported as zero: {shown}. Unbiased estimates do that where the true "
        "variance is small; .variance_components.raw has them as they are."
    )


def aliased_note(names: Sequence[str]) -> str:
    return f"Dropped columns of X that earlier columns determine: {_listing(names)}."


def normal_note(reason: str) -> str:
    return f"Standard errors of the variances assume normal distributions: {reason}."


def few_levels_note(names: Sequence[str], limit: int) -> str:
    return (
        f"Standard errors of the variances take {_listing(names)} as normally distributed: fourth moments cannot be "
        f"estimated from fewer than {limit} levels."
    )


def once_note() -> str:
    return "The rows could be read once only: no cluster-robust standard errors."


def iterations_note(iterations: int) -> str:
    return (
        f"The weights of the fixed effects are not yet those of generalized least squares after {iterations} "
        "iterations: the estimates are unbiased and their standard errors right, but larger than they could be."
    )
