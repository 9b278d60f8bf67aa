"""One way into all methods: which one, how long, until when."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from henderson import _core, errors_solvers
from henderson.compiled import NO_PROGRESS, Callback, CompiledProblem
from henderson.optimum import Optimum
from henderson.options import check_options, warn_unless_converged
from henderson.solvers.loop import EVALUATION_LIMIT, METHODS, MOST_EVALUATIONS, NEWTON, minimise
from henderson.solvers.point import Vector
from henderson.solvers.stopping import StoppingRule


def checked_limit(
    method: Any,
    max_evaluations: int | None,
    tolerance: float,
    callback: Callback | StoppingRule | None,
    threads: int = 0,
    reml: bool = True,
    others: tuple[str, ...] = (),
) -> int:
    """Evaluations after which to give up; refuses options that mean nothing. `others`: methods not for here."""
    if not isinstance(method, str) or method not in METHODS:
        raise errors_solvers.method_unknown(method, (*METHODS, *others))
    limit = MOST_EVALUATIONS[method] if max_evaluations is None else max_evaluations
    check_options(limit, tolerance, None if isinstance(callback, StoppingRule) else callback, threads, reml)
    return limit


def watching(
    callback: Callback | StoppingRule | None,
    names: Sequence[str | int],
    problem: CompiledProblem,
    y: Vector,
    reml: bool,
    method: str,
) -> Callback | None:
    """What to call at each point: a rule needs to know the fixed effects, `names` of those that were kept."""
    if not isinstance(callback, StoppingRule):
        return callback
    return callback.watching(names, problem, y, reml, is_busy=method == NEWTON)


def optimise(
    problem: CompiledProblem,
    y: Vector,
    reml: bool,
    method: str,
    start: Vector | None,
    tolerance: float,
    limit: int,
    callback: Callback | None,
) -> _core.Optimum | Optimum:
    """Minimise the criterion of `y`."""
    if method == NEWTON:
        return problem.fit(y, reml, start, tolerance, limit, callback)
    return minimise(problem, y, reml, method, start, tolerance, limit, callback)


def warn(found: _core.Optimum | Optimum, method: str, stacklevel: int) -> None:
    """Warn when a method gave up by itself."""
    if not isinstance(found, Optimum):
        warn_unless_converged(found, stacklevel=stacklevel + 1)
    elif found.status in (EVALUATION_LIMIT, NO_PROGRESS):
        text = errors_solvers.slow(found.status, found.evaluations, found.decrement, method)
        warnings.warn(text, stacklevel=stacklevel + 1)
