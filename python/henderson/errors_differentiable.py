"""Texts about differentiable objectives: their parameters, rows and the packages they are wrapped for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, _listing, _quoted


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


def no_gradient_in_x(p: int, kept: Sequence[int]) -> DataError:
    dropped = [str(j) for j in range(p) if j not in kept]
    which = f"column {dropped[0]} is" if len(dropped) == 1 else f"columns {', '.join(dropped)} are"
    return DataError(
        f"X has {p} columns of which only {len(kept)} are independent: there is no gradient in X, since the criterion "
        f"jumps where {which} moved. Leave out what is zero or a combination of others."
    )


def other_terms(found: Sequence[int], expected: Sequence[int]) -> DataError:
    return DataError(
        f"terms have {_listing(found)} effects per level; the objective has terms with {_listing(expected)}: give the "
        "same terms in the same order, with the columns of the other rows."
    )


def not_a_real_tensor(name: str, value: Any) -> DataError:
    return DataError(f"{name} is a tensor of {value.dtype}, {value.layout}; it must be a dense one of real numbers.")


def rows_invalid(value: Any, n: int) -> DataError:
    return DataError(
        f"rows is {_quoted(value)}; it must be a mask of {n} values, or different positions from 0 to {n - 1}, at "
        "least one."
    )


def sigma_invalid(value: Any) -> DataError:
    return DataError(f"sigma is {_quoted(value)}; it must be a positive number, where the learning starts.")


def dtype_invalid(value: Any) -> DataError:
    return DataError(f"dtype is {_quoted(value)}; it must be a floating type of torch, or None for the default one.")


def first_order_only() -> NotImplementedError:
    return NotImplementedError(
        "Second derivatives of the criterion are not available: differentiate without create_graph=True."
    )
