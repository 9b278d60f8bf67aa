"""The path of a solver: where it has been, and what may still be evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from henderson.optimum import Optimum
from henderson.solvers.point import Model, Point, Vector

PATIENCE = 100
"""So many steps that gain nothing are no progress."""


@dataclass(eq=False)
class Path:
    """The points accepted so far, and how many were evaluated."""

    model: Model
    limit: int
    evaluations: int = 0
    steps: list[tuple[Vector, float, float, float]] = field(default_factory=list)

    def at(self, theta: Vector) -> Point:
        """Evaluate a point."""
        self.evaluations += 1
        return self.model.at(theta)

    def first(self, candidates: Iterable[Vector], is_better: Callable[[Point], bool]) -> Point | None:
        """The first candidate that is better; None also where no evaluation is left."""
        for theta in candidates:
            if self.evaluations >= self.limit:
                return None
            found = self.at(theta)
            if is_better(found):
                return found
        return None

    def add(self, at: Point) -> None:
        """Take down a point."""
        self.steps.append((at.theta, at.criterion, at.proof.decrement, math.nan))

    def is_stuck(self) -> bool:
        """Whether many steps have brought nothing."""
        if len(self.steps) <= PATIENCE:
            return False
        return self.steps[-1][1] >= self.steps[-PATIENCE - 1][1]

    def optimum(self, at: Point, status: str) -> Optimum:
        """A point as the optimum."""
        proof = at.proof
        return Optimum(
            at.theta,
            at.criterion,
            self.evaluations,
            len(self.steps) - 1,
            status,
            proof.decrement,
            proof.gradient_norm,
            proof.curvature,
            tuple(proof.ranks),
            self.model.sizes,
            tuple(self.steps),
        )
