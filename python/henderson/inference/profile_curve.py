"""The profile of one parameter: its signed root as a monotone curve, to be read both ways."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson.inference.parameters import Parameter
from henderson.inference.profile_walk import Side

if TYPE_CHECKING:
    from henderson.inference.profile_traces import Trace, TracePoint

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ParameterProfile:
    """Signed root of the deviance over one parameter.

    Between the points the signed root is a monotone cubic with the exact slopes at the points. It is a curve over the
    coordinate in which it is smooth: the value itself, the arc sine of a correlation, the logarithm of sigma.

    Attributes
    ----------
    parameter
        Which one.
    estimate
        Its maximum-likelihood estimate; NaN for the correlation of an effect that does not vary.
    coordinates
        Increasing, shape (m,).
    zeta
        Signed roots, shape (m,): zero at the estimate.
    slopes
        Their derivatives in the coordinate, shape (m,).
    points
        The constrained fits, m of them.
    is_bounded
        Whether the profile ends at the boundary of the parameter (0, -1 or 1), below and above.
    """

    parameter: Parameter
    estimate: float
    coordinates: Vector
    zeta: Vector
    slopes: Vector
    points: tuple[TracePoint, ...]
    is_bounded: tuple[bool, bool]

    @property
    def value(self) -> Vector:
        """Values of the parameter at the points, shape (m,)."""
        return to_value(self.parameter, self.coordinates)

    @cached_property
    def _spline(self) -> Any:
        from scipy.interpolate import CubicHermiteSpline

        return CubicHermiteSpline(self.coordinates, self.zeta, self.slopes)

    def zeta_at(self, values: ArrayLike) -> Vector:
        """Signed roots at values of the parameter; NaN beyond the profile.

        Parameters
        ----------
        values
            Any shape.
        """
        given = np.asarray(values, dtype=np.float64)
        if len(self.points) < 2:
            return np.full(given.shape, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            coordinates = to_coordinate(self.parameter, given)
        inside = (coordinates >= self.coordinates[0]) & (coordinates <= self.coordinates[-1])
        result: Vector = np.where(inside, self._spline(np.where(inside, coordinates, self.coordinates[0])), np.nan)
        return result

    def value_at(self, zeta: ArrayLike) -> Vector:
        """Values of the parameter at signed roots: the inverse of `zeta_at`; NaN beyond the profile.

        Parameters
        ----------
        zeta
            Any shape.
        """
        given = np.asarray(zeta, dtype=np.float64)
        if len(self.points) < 2:
            return np.full(given.shape, np.nan)
        inside = (given >= self.zeta[0]) & (given <= self.zeta[-1])
        wanted = np.where(inside, given, self.zeta[0])
        place = np.clip(np.searchsorted(self.zeta, wanted, side="right") - 1, 0, len(self.zeta) - 2)
        low, high = self.coordinates[place], self.coordinates[place + 1]
        for _ in range(60):
            middle = 0.5 * (low + high)
            is_below = self._spline(middle) < wanted
            low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
        return np.where(inside, to_value(self.parameter, 0.5 * (low + high)), np.nan)

    def interval(self, level: float) -> tuple[float, float]:
        """Confidence limits: where the signed root reaches the normal quantile; the boundary, where it does not.

        NaN where the profile does not reach as far.

        Parameters
        ----------
        level
            Confidence level, for example 0.95.
        """
        from scipy.special import ndtri

        reach = float(ndtri(0.5 + 0.5 * level))
        ends = bounds(self.parameter)
        if len(self.points) < 2:  # nothing depends on the parameter
            return ends
        found = self.value_at([-reach, reach])
        limits = [float(value) for value in found]
        for side in (0, 1):
            if math.isnan(limits[side]) and self.is_bounded[side] and abs(self.zeta[-side]) < reach:
                limits[side] = ends[side]
        return limits[0], limits[1]


def bounds(parameter: Parameter) -> tuple[float, float]:
    """Where the values of a parameter end."""
    known = {"sd": (0.0, math.inf), "sigma": (0.0, math.inf), "cor": (-1.0, 1.0)}
    return known.get(parameter.kind, (-math.inf, math.inf))


def to_value(parameter: Parameter, coordinates: Vector) -> Vector:
    """From coordinates to values."""
    if parameter.kind == "cor":
        return np.sin(coordinates)
    return np.exp(coordinates) if parameter.kind == "sigma" else coordinates


def to_coordinate(parameter: Parameter, values: Vector) -> Vector:
    """From values to coordinates."""
    if parameter.kind == "cor":
        return np.arcsin(values)
    return np.log(values) if parameter.kind == "sigma" else values


def curve(trace: Trace, below: Side, above: Side, estimate: float) -> ParameterProfile:
    """Put the two sides of a profile together; where the signed root does not grow outwards, points are left out."""
    low, high = _growing(below), _growing(above)
    points = [point for point, _ in reversed(low)] + [trace.origin] + [point for point, _ in high]
    zeta = np.array([-z for _, z in reversed(low)] + [0.0] + [z for _, z in high])
    coordinates = np.array([point.coordinate for point in points])
    with np.errstate(invalid="ignore", divide="ignore"):
        slopes = np.array([point.slope for point in points]) / (2.0 * zeta)
    slopes[len(low)] = slope_at_origin(coordinates, zeta, slopes, len(low), trace.rate)
    return ParameterProfile(
        trace.parameter,
        estimate,
        coordinates,
        zeta,
        monotone(coordinates, zeta, slopes),
        tuple(points),
        (below.ends_at_bound, above.ends_at_bound),
    )


def _growing(side: Side) -> list[tuple[TracePoint, float]]:
    kept: list[tuple[TracePoint, float]] = []
    top = 0.0
    for point, zeta in zip(side.points, side.zetas, strict=True):
        if zeta > top:
            kept.append((point, zeta))
            top = zeta
    return kept


def slope_at_origin(coordinates: Vector, zeta: Vector, slopes: Vector, origin: int, rate: float) -> float:
    """Slope of the signed root at the optimum: of the polynomial through it that fits its two nearest neighbours."""
    reach = coordinates - coordinates[origin]
    nearest = [i for i in np.argsort(np.abs(reach), kind="stable") if i != origin][:2]
    if not nearest:
        return rate
    powers = np.arange(1, 2 * len(nearest) + 1)
    scale = np.abs(reach[nearest]).max()
    t = reach[nearest] / scale
    rows = np.concatenate([t[:, None] ** powers, powers * t[:, None] ** (powers - 1)])
    found = np.linalg.solve(rows, np.concatenate([zeta[nearest], slopes[nearest] * scale]))
    return float(found[0] / scale)


def monotone(coordinates: Vector, zeta: Vector, slopes: Vector) -> Vector:
    """Slopes that keep the cubics increasing (Fritsch and Carlson 1980); those of a fine enough profile stay."""
    secants = np.diff(zeta) / np.diff(coordinates)
    least = np.minimum(np.append(secants, np.inf), np.insert(secants, 0, np.inf))
    return np.clip(np.nan_to_num(slopes, nan=0.0, posinf=np.inf, neginf=0.0), 0.0, 3.0 * least)


def trivial(parameter: Parameter) -> ParameterProfile:
    """The profile of a parameter that nothing depends on: the correlation of an effect that does not vary."""
    empty: Sequence[float] = ()
    nothing = np.array(empty)
    return ParameterProfile(parameter, math.nan, nothing, nothing, nothing, (), (True, True))
