"""Texts about differentiable objectives: their parameters, rows and the packages they are wrapped for."""

from __future__ import annotations

from typing import Any

from henderson.errors import DataError, _quoted


def framework_missing(module: str, package: str) -> ImportError:
    return ImportError(f"{module} needs {package}: pip install 'henderson[{package}]'")


def not_an_objective(value: Any) -> DataError:
    return DataError(
        f"objective is a {type(value).__name__}; it must be a RemlObjective, made once from X and the random terms."
    )


def sigma_without_theta() -> DataError:
    return DataError(
        "log_sigma is given without theta: pass both to learn both, theta alone to profile sigma out, or neither for "
        "the optimum over both."
    )


def log_sigma_invalid(value: Any) -> DataError:
    return DataError(
        f"log_sigma is {_quoted(value)}; it must be a finite number between -300 and 300, the logarithm of the "
        "residual standard deviation."
    )


def no_criterion() -> DataError:
    return DataError(
        "The criterion does not exist here: theta is too large for double precision, or X and the random effects "
        "leave no residual (y may be constant, or fitted exactly)."
    )


def rows_invalid(value: Any, n: int) -> DataError:
    return DataError(
        f"rows is {_quoted(value)}; it must be a mask of {n} values, or different positions from 0 to {n - 1}, at "
        "least one."
    )


def sigma_invalid(value: Any) -> DataError:
    return DataError(f"sigma is {_quoted(value)}; it must be a positive number, where the learning starts.")


def first_order_only() -> NotImplementedError:
    return NotImplementedError(
        "Second derivatives of the criterion are not available: differentiate without create_graph=True."
    )
