"""The loop that EM, PX-EM and MM share: step, never up, until Newton's method would gain nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from henderson import _core, errors_fit
from henderson.compiled import NO_PROGRESS, Callback, CompiledProblem, rounding
from henderson.optimum import CONVERGED, Optimum
from henderson.solvers.em import EM
from henderson.solvers.mm import MM
from henderson.solvers.point import LEAST, Model, Point, Vector
from henderson.solvers.px_em import PXEM

EVALUATION_LIMIT = "evaluation limit"
STOPPED = "stopped by callback"
NEWTON = "newton"
ROUNDING = 1e-12
"""Changes of the criterion below this part of it are rounding."""
ON_BOUNDARY = 1e-8
"""Variances below this part of the sampling variance of an average level are zero, at a start given by the user."""
PATIENCE, TOO_LITTLE = 100, 1e-4
"""So many steps that gain less than this part of the expected drop are no progress."""


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


@dataclass(eq=False)
class Path:
    """The points accepted so far, and evaluations of the criterion."""

    evaluations: int = 0
    steps: list[tuple[Vector, float, float, float]] = field(default_factory=list)

    def add(self, at: Point, decrement: float) -> None:
        """Take down a point."""
        self.steps.append((at.theta, at.criterion, decrement, math.nan))

    def is_stuck(self) -> bool:
        """Whether many steps have brought next to nothing of what there still is to gain."""
        if len(self.steps) <= PATIENCE:
            return False
        _, criterion, decrement, _ = self.steps[-1]
        return self.steps[-PATIENCE - 1][1] - criterion <= TOO_LITTLE * decrement

    def optimum(self, model: Model, proof: _core.Optimum, status: str) -> Optimum:
        """The last point as the optimum."""
        theta, criterion, _, _ = self.steps[-1]
        return Optimum(
            theta,
            criterion,
            self.evaluations,
            len(self.steps) - 1,
            status,
            proof.decrement,
            proof.gradient_norm,
            proof.curvature,
            tuple(proof.ranks),
            model.sizes,
            tuple(self.steps),
        )


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
    model = Model.of(problem, y, reml)
    solver = SOLVERS[method](model)
    path = Path()
    proof = problem.fit(y, reml, start, tolerance, 1)  # evaluates where it starts, and no further
    theta = model.lifted(np.asarray(proof.theta), LEAST if start is None else ON_BOUNDARY)
    at = model.at(theta)
    while True:
        path.evaluations += 1
        proof = problem.fit(y, reml, at.theta, tolerance, 1)
        path.add(at, proof.decrement)
        if callback is not None and callback(at.theta, at.criterion, path.evaluations, proof.decrement):
            return path.optimum(model, proof, STOPPED)
        if proof.status == CONVERGED:
            return path.optimum(model, proof, CONVERGED)
        if path.is_stuck():
            return path.optimum(model, proof, NO_PROGRESS)
        following = _next(model, solver, at, path, max_evaluations)
        if following is None:
            if at.solution.sigma <= rounding(y):
                raise errors_fit.exact_fit()
            status = EVALUATION_LIMIT if path.evaluations >= max_evaluations else NO_PROGRESS
            return path.optimum(model, proof, status)
        at = following


def _next(model: Model, solver: Solver, at: Point, path: Path, limit: int) -> Point | None:
    """The first candidate at which the criterion is no larger; its own evaluation is counted by the caller."""
    slack = ROUNDING * max(1.0, abs(at.criterion))
    for theta in solver.candidates(at):
        if path.evaluations >= limit:
            return None
        found = model.at(theta)
        if found.criterion <= at.criterion + slack:
            return found
        path.evaluations += 1
    return None
