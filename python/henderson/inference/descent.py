"""Minimisation over all coordinates but one, by Newton steps with a Hessian that is learnt along the way.

A profile asks for many minima next to each other, each from a good start: the Hessian is carried from one to the next,
corrected by symmetric rank-one updates, and computed anew (differences of the exact gradient) only where that fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from henderson.inference.deviance_surface import Height

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Surface = Callable[[Vector], Height]

PATIENCE = 5
"""Steps after which the Hessian is computed anew."""
MOST_STEPS = 80
LONGEST_STEP = 5.0
"""In coordinates of unit curvature."""
FLATTEST = 1e-9
"""Curvatures smaller than this, relative to the largest, count as this."""


@dataclass(eq=False)
class Minimum:
    """A minimum over the free coordinates.

    Attributes
    ----------
    x
        The point.
    height
        Value and gradient there.
    hessian
        The Hessian in all coordinates, as far as it is known.
    decrement
        By how much the value would still fall in one more step.
    """

    x: Vector
    height: Height
    hessian: Matrix
    decrement: float


def tolerance_of(value: float) -> float:
    """The decrement at which to stop: rounding errors of the deviance grow with its size."""
    return 1e-9 + 1e-13 * abs(value)


def hessian_at(surface: Surface, x: Vector, slope: Vector, scales: Vector) -> Matrix:
    """Second derivatives at a point, by forward differences of the gradient."""
    steps = 1e-5 * scales
    columns = []
    for i, step in enumerate(steps):
        shifted = x.copy()
        shifted[i] += step
        columns.append((surface(shifted).slope - slope) / step)
    hessian: Matrix = np.array(columns)
    symmetric: Matrix = 0.5 * (hessian + hessian.T)
    return symmetric


def minimise(
    surface: Surface, start: Vector, hessian: Matrix, held: int, scales: Vector, pivots: NDArray[np.intp]
) -> Minimum:
    """Minimise over all coordinates but `held`.

    Parameters
    ----------
    surface
        Value and gradient at a point.
    start
        Where to start; its coordinate `held` stays.
    hessian
        In all coordinates, approximately.
    held
        Index of the coordinate that is not free.
    scales
        Sizes of the coordinates.
    pivots
        Coordinates in which the value is even: zero is stationary there, minimum or not.
    """
    free = np.delete(np.arange(len(start)), held)
    at = Minimum(start, surface(start), hessian, np.inf)
    since, is_fresh = 0, False
    for _ in range(MOST_STEPS):
        step, at.decrement = newton_step(at.height.slope[free], at.hessian[np.ix_(free, free)])
        if at.decrement < tolerance_of(at.height.value):
            if not _leave_ridge(surface, at, free, pivots, scales):
                break
            since, is_fresh = 0, False
            continue
        moved = _advance(surface, at, free, step)
        since += 1
        if not moved and is_fresh:
            break
        is_fresh = not moved or since == PATIENCE
        if is_fresh:
            at.hessian = hessian_at(surface, at.x, at.height.slope, scales)
            since = 0
    return at


def newton_step(slope: Vector, hessian: Matrix) -> tuple[Vector, float]:
    """The step to the minimum of a quadratic, downhill along negative curvature, and the decrease it promises."""
    diagonal = np.abs(np.diag(hessian))
    scale = 1.0 / np.sqrt(np.maximum(diagonal, FLATTEST * diagonal.max(initial=1e-300)))
    values, vectors = np.linalg.eigh(hessian * scale[:, None] * scale)
    sizes = np.maximum(np.abs(values), FLATTEST * np.abs(values).max(initial=0.0) + 1e-300)
    along = vectors.T @ (slope * scale)
    coefficients = -along / sizes
    decrement = 0.5 * float(np.abs(along * coefficients).sum())
    length = float(np.sqrt(coefficients @ coefficients))
    if length > LONGEST_STEP:
        coefficients *= LONGEST_STEP / length
    return scale * (vectors @ coefficients), decrement


def _advance(surface: Surface, at: Minimum, free: NDArray[np.intp], step: Vector) -> bool:
    """Move along a step, shortened until the value falls enough; False where it does not fall at all."""
    promised = float(at.height.slope[free] @ step)
    noise = 1e-13 * (1.0 + abs(at.height.value))
    length = 1.0
    while length > 1e-6:
        x = at.x.copy()
        x[free] += length * step
        height = surface(x)
        if height.value <= at.height.value + 1e-4 * length * promised + noise:
            _learn(at, x, height)
            at.x, at.height = x, height
            return True
        curved = height.value - at.height.value - length * promised
        shorter = -0.5 * promised * length**2 / curved if np.isfinite(curved) and curved > 0 else 0.0
        length = min(max(shorter, 0.1 * length), 0.5 * length)
    return False


def _learn(at: Minimum, x: Vector, height: Height) -> None:
    """The symmetric rank-one update of the Hessian."""
    step = x - at.x
    rest = height.slope - at.height.slope - at.hessian @ step
    along = float(rest @ step)
    if abs(along) > 1e-8 * float(np.sqrt((rest @ rest) * (step @ step))):
        at.hessian = at.hessian + np.outer(rest, rest) / along


def _leave_ridge(
    surface: Surface, at: Minimum, free: NDArray[np.intp], pivots: NDArray[np.intp], scales: Vector
) -> bool:
    """Step off a stationary point that is no minimum: where a variance is zero, the value may fall on either side."""
    zero = pivots[np.abs(at.x[pivots]) < 1e-4 * scales[pivots]]
    if not np.isin(zero, free).any():
        return False
    at.hessian = hessian_at(surface, at.x, at.height.slope, scales)
    scale = scales[free]
    values, vectors = np.linalg.eigh(at.hessian[np.ix_(free, free)] * scale[:, None] * scale)
    if values[0] > -1e-6 * max(abs(values[-1]), 1.0):
        return False
    for size in (0.1, 0.01):
        for sign in (1.0, -1.0):
            x = at.x.copy()
            x[free] += sign * size * scale * vectors[:, 0]
            height = surface(x)
            if height.value < at.height.value - tolerance_of(at.height.value):
                at.x, at.height = x, height
                return True
    return False
