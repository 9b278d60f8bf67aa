"""The loop that EM, PX-EM and MM share: step, never up, until Newton's method would gain nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from henderson import errors_fit
from henderson.compiled import NO_PROGRESS, Callback, CompiledProblem, rounding
from henderson.optimum import CONVERGED, Optimum
from henderson.solvers.boundary import Boundary
from henderson.solvers.em import EM
from henderson.solvers.mm import MM
from henderson.solvers.path import Path
from henderson.solvers.point import LEAST, Model, Point, Vector
from henderson.solvers.px_em import PXEM

EVALUATION_LIMIT = "evaluation limit"
STOPPED = "stopped by callback"
NEWTON = "newton"
ON_BOUNDARY = 1e-8
"""Variances below this part of the sampling variance of an average level are zero, at a start given by the user."""


class Solver(Protocol):
    """A way of stepping."""

    def __init__(self, model: Model) -> None: ...

    def candidates(self, at: Point) -> Iterator[Vector]:
        """Where to go from a point, the best first; the last never has a larger criterion."""
        ...


SOLVERS: dict[str, type[Solver]] = {"em": EM, "px-em": PXEM, "mm": MM}
METHODS = (NEWTON, *SOLVERS)
MOST_EVALUATIONS = {NEWTON: 200, "em": 10_000, "px-em": 10_000, "mm": 10_000}
"""Evaluations after which a method gives up, unless told otherwise."""


def minimise(
    problem: CompiledProblem,
    y: Vector,
    reml: bool,
    method: str,
    start: Vector | None = None,
    tolerance: float = 1e-10,
    max_evaluations: int = 10_000,
    callback: Callback | None = None,
) -> Optimum:
    """Minimise the criterion of `y` by EM, PX-EM or MM.

    Parameters
    ----------
    problem, y, reml
        The compiled design, the response (offset subtracted), and which criterion.
    method
        ``"em"``, ``"px-em"`` or ``"mm"``.
    start
        Theta to start from; by default the moment estimate from which Newton's method starts.
    tolerance
        Stop when the expected further drop of the criterion, by a Newton step from here, is less than this.
    max_evaluations
        Give up after so many evaluations.
    callback
        As in `lmer`; called at each accepted point.

    Returns
    -------
    Optimum
        Its `steps` are the accepted points, with NaN for the trust-region radius; the criterion never rises.
    """
    model = Model.of(problem, y, reml, tolerance)
    solver, path, boundary = SOLVERS[method](model), Path(model, max_evaluations), Boundary()
    proof = problem.fit(y, reml, start, tolerance, 1)  # evaluates where it starts, and no further
    at = path.at(model.lifted(np.asarray(proof.theta), LEAST if start is None else ON_BOUNDARY))
    while True:
        path.add(at)
        if callback is not None and callback(at.theta.copy(), at.criterion, path.evaluations, at.proof.decrement):
            return path.optimum(at, STOPPED)
        has_converged = at.proof.status == CONVERGED
        if has_converged or path.is_stuck():
            following = boundary.move(at, path, is_last=True)
        else:
            following = boundary.move(at, path) or path.first(solver.candidates(at), at.is_no_better_than)
        if following is None:
            if has_converged:
                return path.optimum(at, CONVERGED)
            if at.solution.sigma <= rounding(y):
                raise errors_fit.exact_fit()
            return path.optimum(at, EVALUATION_LIMIT if path.evaluations >= max_evaluations else NO_PROGRESS)
        at = following
