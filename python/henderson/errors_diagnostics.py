"""Texts about residuals and the tests of a model's assumptions. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, _listing, _nearest, _quoted, _rows

# ----------------------------------------------------------------------------------------------------------- residuals


def studentized_marginal() -> DataError:
    return DataError(
        "Studentized residuals are conditional: leave out conditional=False, or use kind='standardized', which has "
        "both forms."
    )


def whitening_too_large(factors: Sequence[str], effects: int, limit: int) -> DataError:
    return DataError(
        f"Whitening needs a decomposition of a {effects} x {effects} matrix for the random effects of "
        f"{_listing(factors)}, which cross the factor with the most levels; the limit is {limit}. Use "
        "kind='standardized', or conditional quantile residuals, which need no such matrix."
    )


# ---------------------------------------------------------------------------------------------------------- predictors


def predictor_unknown(what: str, name: str, known: Sequence[str]) -> DataError:
    return DataError(
        f"{what} is {_quoted(name)}, which is neither a predictor nor a grouping factor of this model "
        f"({_listing(known)}).{_nearest(name, known)} For another column pass its values, one per row: "
        f"{what}=data[...]."
    )


def predictor_length(what: str, length: int, expected: int, table_rows: int | None = None) -> DataError:
    of_table = "" if table_rows in (None, expected) else f" (or {table_rows}, one per row of the table)"
    return DataError(f"{what} has {length} values; it must have {expected}, one for each residual{of_table}.")


def predictor_not_finite(what: str, row: int, value: float) -> DataError:
    return DataError(f"{what} is {value} in row {row}: give every row used in the fit a finite value.")


def predictor_constant(what: str) -> DataError:
    return DataError(f"{what} has the same value in every row: nothing can depend on it.")


def predictor_not_numeric(what: str) -> DataError:
    return DataError(f"{what} is categorical; pass numbers, or use fit.levene(by=...) for groups.")


def predictors_dependent(names: Sequence[str]) -> DataError:
    return DataError(f"{_listing(names)} are linear combinations of each other: leave out one of them.")


# --------------------------------------------------------------------------------------------------------------- tests


def both_conditional_and_whitened() -> DataError:
    return DataError("whiten=True is for marginal residuals: leave out conditional=True.")


def bins_invalid(value: Any) -> DataError:
    return DataError(f"bins is {_quoted(value)}; it must be an integer >= 2.")


def groups_too_small(name: str) -> DataError:
    return DataError(
        f"No group of {name} has more than two rows: the deviations of two rows from their middle are equal, and say "
        "nothing about differences in variance. Use larger groups, or fit.breusch_pagan() for a numeric predictor."
    )


def group_of_one_left(name: str) -> DataError:
    return DataError(f"Only one group of {name} has more than one row: there are no variances to compare.")


def single_rows_note(name: str, count: int) -> str:
    groups = "1 group" if count == 1 else f"{count} groups"
    return f"{groups} of {name} with a single row left out: one row has no variance."


def small_groups_note(rows: float, center: str) -> str:
    how = "too large, as a rule" if center == "median" else "too small"
    return (
        f"Half of the groups have {rows:g} rows or fewer: the p-value is {how}. simulations=999 gives one that holds "
        "for small groups."
    )


def simulated_note(count: int, seed: int | None) -> str:
    return f"The p-value is from {count} simulated responses, seed {seed}."


def not_linear(kind: str) -> DataError:
    return DataError(
        f"simulations= is for residuals that are linear in the response, not for {kind} ones: use kind='standardized'."
    )


def undefined_note(count: int) -> str:
    return f"{_rows(count)} left out: a parameter of the model fits each of them exactly, and its residual is zero."


def many_rows_note(n: int) -> str:
    return (
        f"With n = {n} the tests find departures that do not matter: judge by skewness and excess kurtosis (0 for a "
        "normal distribution), and by the picture."
    )


def shrunken_note(label: str, share: float) -> str:
    return (
        f"{label}: {100 * share:.0f} % of the variance shows in the predictions. They are mostly made of errors, and "
        "the test says more about these than about the random effects."
    )


def no_variance_note(label: str) -> str:
    return f"{label} has no estimated variance and is left out."


def series_too_short(name: str) -> DataError:
    return DataError(f"No level of {name} has two rows: there are no neighbours to compare.")


def time_repeated_note(count: int) -> str:
    pairs = "1 pair of rows" if count == 1 else f"{count} pairs of rows"
    return f"{pairs} of one group at the same time: they are taken in the order of the table."
