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
    return DataError(
        f"effect is {_quoted(value)}; it must be the name of a fixed effect (with fit_arrays, the number of a column "
        "of X), or a list of them."
    )


def effect_unknown(name: str | int, names: Sequence[str | int]) -> DataError:
    texts = [str(own) for own in names]
    hint = _nearest(name, texts) if isinstance(name, str) else ""
    return DataError(
        f"stop_when_stable names the effect {_quoted(name)}, which is no fixed effect of this model.{hint} "
        f"It has: {_listing(texts) or 'none'}."
    )


def by_invalid(value: Any) -> DataError:
    return DataError(
        f"by is {_quoted(value)}; it must be a positive number, the smallest change of the effect that matters."
    )


def over_invalid(value: Any) -> DataError:
    return DataError(f"over is {_quoted(value)}; it must be a positive number of steps.")


def slow(status: str, evaluations: int, decrement: float, method: str) -> ConvergenceWarning:
    return ConvergenceWarning(
        f"{not_converged_note(status, evaluations, decrement)} Steps of {method!r} are short where the data say little "
        "about a variance: method='newton' takes few evaluations there too."
    )
