"""What the optimiser found, how it got there, and what proves that it is the optimum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from henderson import _core

Vector = NDArray[np.float64]

CONVERGED = "converged"
GIVEN = "parameters given"
"""The status of a model whose parameters were not estimated."""
EXPECTED_DROP = 1e-6
"""A fit is an optimum when one more Newton step promises less than this many units of deviance."""


@dataclass(frozen=True)
class Certificate:
    """The proof of an optimum, computed at the end of every fit.

    Attributes
    ----------
    decrement
        g'H⁻¹g / 2: by how much the criterion would still fall in one Newton step, in units of deviance.
    gradient_norm
        Norm of the gradient (for a singular fit: along the boundary).
    curvature
        For a singular fit, the smallest directional derivative of the criterion into the interior: non-negative means
        that no variance held at zero would improve the fit. NaN for a fit in the interior.
    holds
        Whether all of this certifies an optimum.
    """

    decrement: float
    gradient_norm: float
    curvature: float
    holds: bool

    def __str__(self) -> str:
        verdict = "certified optimum" if self.holds else "not certified"
        edge = "" if math.isnan(self.curvature) else f", on the boundary (slope into the interior {self.curvature:.3g})"
        return f"{verdict}: expected further drop {self.decrement:.2g}, gradient {self.gradient_norm:.2g}{edge}"


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where the optimiser ended.

    Attributes
    ----------
    theta
        Relative covariance parameters, lme4's order (column-major lower triangles, term after term).
    criterion
        REML criterion or deviance at `theta`.
    evaluations, iterations
        Evaluations of the criterion (with or without derivatives), and accepted steps.
    status
        ``"converged"``, ``"stopped by callback"``, ``"evaluation limit"`` or ``"no progress"``; ``"parameters given"``
        where nothing was fitted.
    decrement, gradient_norm, curvature
        See `Certificate`.
    ranks, sizes
        Per random term, the rank of its covariance matrix and its order.
    steps
        One ``(theta, criterion, decrement, radius)`` per evaluation, or per accepted step of a method other than
        Newton's; `trace` is the same as a table.
    """

    theta: Vector
    criterion: float
    evaluations: int
    iterations: int
    status: str
    decrement: float
    gradient_norm: float
    curvature: float
    ranks: tuple[int, ...]
    sizes: tuple[int, ...]
    steps: tuple[tuple[Vector, float, float, float], ...]

    @classmethod
    def from_core(cls, found: _core.Optimum | Optimum, sizes: tuple[int, ...]) -> Optimum:
        """Copy the core's result into plain Python values; what is one of ours already stays as it is."""
        if isinstance(found, Optimum):
            return found
        return cls(
            found.theta,
            found.criterion,
            found.evaluations,
            found.iterations,
            found.status,
            found.decrement,
            found.gradient_norm,
            found.curvature,
            tuple(found.ranks),
            sizes,
            tuple(found.trace),
        )

    @property
    def converged(self) -> bool:
        """Whether the optimiser met its tolerance."""
        return self.status == CONVERGED

    @property
    def is_singular(self) -> bool:
        """Whether the covariance matrix of some random term has less than full rank."""
        return any(rank < size for rank, size in zip(self.ranks, self.sizes, strict=True))

    @property
    def certificate(self) -> Certificate:
        """The proof that this is an optimum."""
        inside = not self.is_singular
        holds = self.converged and self.decrement < EXPECTED_DROP and (inside or self.curvature >= -EXPECTED_DROP)
        return Certificate(self.decrement, self.gradient_norm, math.nan if inside else self.curvature, holds)

    @property
    def trace(self) -> pd.DataFrame:
        """One row per element of `steps`: criterion, decrement, trust-region radius, then theta."""
        import pandas as pd

        thetas = np.array([theta for theta, *_ in self.steps]).reshape(len(self.steps), len(self.theta))
        table = pd.DataFrame([step[1:] for step in self.steps], columns=["criterion", "decrement", "radius"])
        for i in range(thetas.shape[1]):
            table[f"theta{i + 1}"] = thetas[:, i]
        name = "evaluation" if len(table) == self.evaluations else "step"
        table.index = pd.RangeIndex(1, len(table) + 1, name=name)
        return table

    def __str__(self) -> str:
        return f"{self.status} after {self.evaluations} evaluations; {self.certificate}"
