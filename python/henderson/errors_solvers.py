"""Texts about solvers: methods, rules that stop a fit. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import ConvergenceWarning, DataError, _listing, _nearest, _quoted
from henderson.errors_fit import not_converged_note


def method_unknown(value: Any, methods: Sequence[str]) -> DataError:
    hint = _nearest(value, methods) if isinstance(value, str) else ""
    return DataError(f"method is {_quoted(value)}; it must be one of {_listing(map(repr, methods))}.{hint}")


def rule_type(value: Any) -> DataError:
    return DataError(
        f"A StoppingRule is made of {_quoted(value)} ({type(value).__name__}); it must be a function of the list of "
        "iterates so far that returns True to stop."
    )


def effect_type(value: Any) -> DataError:
    return DataError(f"effect is {_quoted(value)}; it must be the name of a fixed effect, or a list of names.")


def effect_unknown(name: str, names: Sequence[str]) -> DataError:
    return DataError(
        f"stop_when_stable names the effect '{name}', which is no fixed effect of this model.{_nearest(name, names)} "
        f"It has: {_listing(names) or 'none'}."
    )


def by_invalid(value: Any) -> DataError:
    return DataError(
        f"by is {_quoted(value)}; it must be a positive number, the smallest change of the effect that matters."
    )


def over_invalid(value: Any) -> DataError:
    return DataError(f"over is {_quoted(value)}; it must be a positive number of steps.")


def slow(status: str, evaluations: int, decrement: float, method: str) -> ConvergenceWarning:
    return ConvergenceWarning(
        f"{not_converged_note(status, evaluations, decrement)} Steps of {method!r} become ever shorter where a "
        "variance goes to zero or a correlation to one: such an optimum is reached in the limit only. method='newton' "
        "ends there."
    )
