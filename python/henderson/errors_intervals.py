"""Texts about profiles, bootstraps and the intervals made from them. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import ConvergenceWarning, DataError, _listing, _nearest, _quoted

# --------------------------------------------------------------------------------------------------------- parameters


def parameter_unknown(name: Any, available: Sequence[str]) -> DataError:
    near = _nearest(name, available) if isinstance(name, str) else ""
    return DataError(f"There is no parameter {_quoted(name)}.{near} Parameters: {_listing(available)}.")


def parameters_type(value: Any) -> DataError:
    return DataError(f"parameters is {_quoted(value)}; pass a name, a list of names, 'theta_' or 'beta_'.")


def parameters_not_wald(names: Sequence[str]) -> DataError:
    return DataError(
        f"Wald intervals are for fixed effects, not for {_listing(names)}: the estimates of variances are far from "
        "normal. Use method='profile' or method='boot'."
    )


# ----------------------------------------------------------------------------------------------------------- profiles


def not_positive(name: str, value: Any) -> DataError:
    return DataError(f"{name} is {_quoted(value)}; it must be a positive number.")


def better_optimum_note(before: float, after: float) -> str:
    return (
        f"A better optimum was found on the way: deviance {after:.6f} instead of {before:.6f}. The profile starts from "
        "it, and its estimates differ from those of the fit."
    )


def better_optimum(note: str) -> ConvergenceWarning:
    return ConvergenceWarning(f"The fit is not the optimum. {note} What to do: fit again from the profile's estimates.")


def no_optimum(restarts: int) -> DataError:
    return DataError(
        f"Each of {restarts} profiles in a row found a better optimum than the one before it: the deviance has many "
        "minima. What to do: simplify the random effects."
    )


# ---------------------------------------------------------------------------------------------------------- bootstrap


def seed_invalid(value: Any) -> DataError:
    return DataError(f"seed is {_quoted(value)}; it must be an integer >= 0, or None for a fresh one.")


def count_invalid(value: Any) -> DataError:
    return DataError(f"n is {_quoted(value)}; the number of replicates must be an integer >= 1.")


def cluster_unused(kind: str) -> DataError:
    return DataError(f"cluster= goes with type='cluster'; the {kind} bootstrap draws no clusters.")


def clusters_crossed(factors: Sequence[str]) -> DataError:
    return DataError(
        f"The grouping factors {_listing(factors)} are crossed: none of them contains the others, so there are no "
        "independent clusters to draw. Use type='parametric' or type='residual'; or draw the levels of one of them "
        "with cluster=, which leaves out the uncertainty that comes from the others."
    )


def statistic_type(value: Any) -> DataError:
    return DataError(
        f"statistic returned {_quoted(value)} ({type(value).__name__}); it must return a number, an array, a dict or a "
        "Series of numbers."
    )


def statistic_changed(before: Sequence[str], after: Sequence[str]) -> DataError:
    return DataError(
        f"statistic returned {_listing(after)} for a replicate and {_listing(before)} for the data; it must return the "
        "same quantities each time."
    )


def not_a_bootstrap(path: str) -> DataError:
    return DataError(f"'{path}' is a Parquet file, but not one that Bootstrap.save wrote.")


def no_acceleration(kind: str) -> DataError:
    return DataError(
        f"The accelerations of this {kind} bootstrap are not known, which method='bca' needs. Use another method, or "
        "run the bootstrap again."
    )


# ------------------------------------------------------------------------------------------------------ bootstrap test


def not_nested(small: str, large: str, parameters: int) -> DataError:
    return DataError(
        f"{small} and {large} both have {parameters} parameters: a likelihood-ratio test compares a model with a "
        "special case of it."
    )


def nesting_unclear_note() -> str:
    return "The smaller model is not visibly a special case of the larger one: the test may mean nothing."


def variance_tested_note() -> str:
    return "A variance is tested, at the boundary of what it can be: PBtest is the p-value to use."
