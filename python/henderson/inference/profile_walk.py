"""From an optimum outwards along a trace, in even steps of the signed root, until a cutoff or a boundary."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from henderson.inference.profile_traces import Trace, TracePoint

Visit = Callable[[float, float], None]

IMPROVEMENT = 1e-6
"""A deviance lower than the optimum's by more than this means that it was not the optimum."""
MOST_POINTS = 80
COMMON = 1.959963984540054
SLACK = 0.02
"""The last step aims this far beyond the cutoff, so that it is nearly always the last."""
WIDEST = 1.8
"""Steps longer than this many steps asked for are divided."""
STEEPEST = 4.0
"""Steps are divided, too, where the signed root starts so many times faster than it goes on: no cubic does that."""


class BetterOptimum(Exception):
    """A constrained fit is better than the unconstrained one."""

    def __init__(self, point: TracePoint) -> None:
        super().__init__(point)
        self.point = point


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a profile.

    Attributes
    ----------
    points
        From the optimum, which is not among them, outwards.
    zetas
        Their signed roots, without sign.
    ends_at_bound
        Whether nothing changes from the last point on to the boundary of the parameter.
    """

    points: list[TracePoint]
    zetas: list[float]
    ends_at_bound: bool


def walk(trace: Trace, direction: int, cutoff: float, step: float, visit: Visit) -> Side:
    """Fits on one side of the optimum.

    Parameters
    ----------
    trace
        The constrained fits of a parameter.
    direction
        +1 upwards, -1 downwards.
    cutoff
        Go on until the signed root has this size.
    step
        Distance of the points in the signed root, about.
    visit
        Called with the coordinate and the signed root of each point.
    """
    points, zetas = [trace.origin], [0.0]
    bound = trace.bounds[direction > 0]
    ceiling = math.sqrt(max(trace.ceiling - trace.origin.deviance, 0.0))
    is_capped = ceiling < cutoff
    cutoff = min(cutoff, ceiling - SLACK)

    def add(coordinate: float) -> float:
        known = [point for point in points if point.deviance < trace.ceiling - IMPROVEMENT]
        point = trace.at(coordinate, known or points[:1])
        rise = point.deviance - trace.origin.deviance
        if rise < -IMPROVEMENT:
            raise BetterOptimum(point)
        zeta = math.sqrt(max(rise, 0.0))
        place = next((i for i, known in enumerate(points) if _beyond(known, coordinate, direction)), len(points))
        points.insert(place, point)
        zetas.insert(place, zeta)
        visit(coordinate, direction * zeta)
        return zeta

    ends_at_bound = points[0].coordinate == bound
    stops = _stops(cutoff, step) if cutoff > 0 else []
    while not ends_at_bound and zetas[-1] < cutoff and len(points) < MOST_POINTS:
        aim = next(stop for stop in stops if stop > zetas[-1] + 0.2 * step)
        target = points[-1].coordinate + direction * _advance(points, zetas, trace.rate, aim)
        last = abs(points[-1].coordinate - (points[-2] if len(points) > 1 else points[-1]).coordinate)
        if direction * (bound - target) <= 0.25 * last:
            target, ends_at_bound = bound, True
        add(target)
    if len(points) > 1:
        _fill(points, zetas, trace.rate, step, cutoff, add)
    count = sum(zeta < ceiling for zeta in zetas) if is_capped else len(points)
    return Side(points[1:count], zetas[1:count], ends_at_bound or is_capped)


def _stops(cutoff: float, step: float) -> list[float]:
    """Signed roots to aim for: even steps to the 95 % limits, where most eyes go, and on to just over the cutoff."""
    first = min(cutoff, COMMON)
    stops = np.linspace(0.0, first, math.ceil(first / step) + 1)[1:].tolist()
    if cutoff > COMMON:
        stops += np.linspace(COMMON, cutoff, math.ceil((cutoff - COMMON) / step) + 1)[1:].tolist()
    stops[-1] = cutoff + SLACK
    return [*stops, cutoff + 2.0 * step]


def _beyond(point: TracePoint, coordinate: float, direction: int) -> bool:
    return direction * (point.coordinate - coordinate) > 0


def _pace(point: TracePoint, zeta: float, rate: float) -> float:
    """How fast the signed root grows with the coordinate, without sign."""
    return rate if zeta == 0.0 else abs(point.slope) / (2.0 * zeta)


def _advance(points: Sequence[TracePoint], zetas: Sequence[float], rate: float, aim: float) -> float:
    """How far the coordinate has to go for the signed root to reach `aim`."""
    here = 1.0 / max(_pace(points[-1], zetas[-1], rate), 1e-3 * rate)
    linear = here * (aim - zetas[-1])
    if len(points) == 1:
        return linear
    gone = abs(points[-1].coordinate - points[-2].coordinate)
    before = 1.0 / max(_pace(points[-2], zetas[-2], rate), 1e-3 * rate)
    bend = (here - before) / (zetas[-1] - zetas[-2]) if zetas[-1] > zetas[-2] else 0.0
    curved = linear + 0.5 * bend * (aim - zetas[-1]) ** 2
    return min(max(curved, 0.5 * linear), 2.0 * linear, 4.0 * gone)


def _fill(
    points: list[TracePoint],
    zetas: list[float],
    rate: float,
    step: float,
    cutoff: float,
    add: Callable[[float], float],
) -> None:
    """Put points where the steps came out too long, and near the 95 % limits and the cutoff."""
    place = 1
    while place < len(points) < MOST_POINTS:
        low, high = zetas[place - 1], zetas[place]
        ends = (points[place - 1], points[place])
        rates = (_pace(ends[0], low, rate), _pace(ends[1], high, rate))
        width = abs(ends[1].coordinate - ends[0].coordinate)
        missed = [mark for mark in (COMMON, cutoff) if low < mark - SLACK and mark + 2 * SLACK < high]
        if missed:
            aim = missed[-1] + (SLACK if missed[-1] == cutoff else 0.0)
        elif high - low > WIDEST * step or (low < cutoff and rates[0] * width > STEEPEST * (high - low) > 0):
            aim = 0.5 * (low + high)
        else:
            place += 1
            continue
        target = inverse_cubic((ends[0].coordinate, ends[1].coordinate), (low, high), rates, aim)
        if target in (ends[0].coordinate, ends[1].coordinate):
            place += 1
            continue
        add(target)


def inverse_cubic(
    places: tuple[float, float], values: tuple[float, float], rates: tuple[float, float], aim: float
) -> float:
    """Where the cubic with the given values and (unsigned) slopes at two places takes a value between them."""
    width = abs(places[1] - places[0])
    rise = values[1] - values[0]
    first, second = (min(rate * width, 3.0 * rise) for rate in rates)  # monotone
    low, high = 0.0, 1.0
    for _ in range(60):
        t = 0.5 * (low + high)
        value = values[0] + t * (first + t * (3 * rise - 2 * first - second + t * (first + second - 2 * rise)))
        low, high = (t, high) if value < aim else (low, t)
    return places[0] + t * (places[1] - places[0])
