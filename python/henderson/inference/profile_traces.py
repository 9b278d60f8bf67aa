"""Constrained fits: the best fit at each value of one parameter, found from its neighbours.

A trace is a curve of maximum-likelihood fits along which one parameter moves. Standard deviations, correlations (as
angles) and log sigma are held on the surface of the deviance; a fixed effect is held by a model without its column, to
which the response less its contribution is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from henderson import theta as thetas
from henderson.compiled import CompiledProblem
from henderson.inference import products
from henderson.inference.descent import hessian_at, minimise, newton_step
from henderson.inference.deviance_surface import DevianceSurface
from henderson.inference.parameters import Parameter

if TYPE_CHECKING:
    from henderson.compiled import Solution
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
RIGHT_ANGLE = 0.5 * math.pi


@dataclass(frozen=True, eq=False)
class TracePoint:
    """One constrained fit.

    Attributes
    ----------
    coordinate
        Of the parameter: its value, the arc sine of a correlation, the logarithm of sigma.
    deviance, slope
        The deviance, and its total derivative in the coordinate.
    factors
        Relative factors lam_t: square, row after row, term after term.
    sigma, beta
        The other parts of the fit.
    state
        What neighbours start from.
    """

    coordinate: float
    deviance: float
    slope: float
    factors: Vector
    sigma: float
    beta: Vector
    state: Vector


class Trace(Protocol):
    """The constrained fits of one parameter, starting from the unconstrained one.

    `rate` is the derivative of the signed root in the coordinate at the origin; the coordinate lies within `bounds`. No
    constrained fit need be worse than `ceiling`: a correlation can be anything where one of its effects does not vary.
    """

    parameter: Parameter
    origin: TracePoint
    rate: float
    bounds: tuple[float, float]
    ceiling: float

    def at(self, coordinate: float, known: Sequence[TracePoint]) -> TracePoint:
        """The fit at a coordinate, from the nearest fits known."""


class VarianceTrace:
    """Constrained fits of a standard deviation, a correlation or sigma of an ML fit."""

    def __init__(self, model: LinearMixedModel, parameter: Parameter) -> None:
        sizes = [len(term.columns) for term in model.design.terms]
        self.parameter = parameter
        self._surface = surface = DevianceSurface(model._problem, model._y, sizes, parameter)
        self._held = surface.held
        x = surface.point(np.asarray(model.optimum.theta), model.sigma)
        self._scales = _scales(model, surface)
        height = surface(x)
        self._hessian = hessian_at(surface, x, height.slope, self._scales)
        self.bounds = {"sd": (0.0, math.inf), "cor": (-RIGHT_ANGLE, RIGHT_ANGLE)}.get(
            parameter.kind, (-math.inf, math.inf)
        )
        x[self._held] = min(max(x[self._held], self.bounds[0]), self.bounds[1])
        self.origin = self._point(x, height.value, 0.0, height.beta)
        free = np.delete(np.arange(len(x)), self._held)
        cross = self._hessian[free, self._held]
        along, _ = newton_step(cross, self._hessian[np.ix_(free, free)])
        curvature = float(self._hessian[self._held, self._held] + cross @ along)
        least = 1e-4 / self._scales[self._held] ** 2
        self.rate = math.sqrt(0.5 * max(curvature, least))
        self._tangent = np.insert(along, self._held, 1.0)
        self.ceiling = math.inf
        if parameter.kind == "cor":
            effects = (parameter.row, parameter.column)
            self.ceiling = min(_without_variance(model, parameter.term, effect) for effect in effects)

    def at(self, coordinate: float, known: Sequence[TracePoint]) -> TracePoint:
        """The fit at a coordinate, from the nearest fits known."""
        start = extrapolated(coordinate, known, self._tangent)
        start[self._held] = coordinate
        if not np.isfinite(self._surface(start).value):
            start = min(known, key=lambda point: abs(point.coordinate - coordinate)).state.copy()
            start[self._held] = coordinate
        found = minimise(self._surface, start, self._hessian, self._held, self._scales, self._surface.pivots)
        self._hessian = found.hessian
        slope = float(found.height.slope[self._held])
        return self._point(found.x, found.height.value, slope, found.height.beta)

    def _point(self, x: Vector, deviance: float, slope: float, beta: Vector) -> TracePoint:
        coordinate, sigma = float(x[self._held]), float(np.exp(x[-1]))
        return TracePoint(coordinate, deviance, slope, self._surface.factors(x), sigma, beta, x)


class FixedTrace:
    """Constrained fits of a fixed effect of an ML fit."""

    def __init__(self, model: LinearMixedModel, parameter: Parameter) -> None:
        self.parameter = parameter
        self.bounds, self.ceiling = (-math.inf, math.inf), math.inf
        self._problem, self._y = model._problem, model._y
        self._sizes = [len(term.columns) for term in model.design.terms]
        column = model.design.x[model.kept[parameter.row]]
        self._column = np.ones(model.nobs) if column is None else column
        at = model.solution
        theta = np.asarray(model.optimum.theta)
        estimate, j = float(at.beta[parameter.row]), parameter.row
        self._without: CompiledProblem = self._problem.without(model.kept[j], self._shifted(estimate))
        self.rate = 1.0 / (at.sigma * math.sqrt(at.unscaled_vcov[j, j]))
        self.origin = self._point(estimate, model.criterion, theta, at)

    def at(self, coordinate: float, known: Sequence[TracePoint]) -> TracePoint:
        """The fit at a coordinate, from the nearest fits known."""
        start = extrapolated(coordinate, known, np.zeros_like(known[0].state))
        found = self._without.fit(self._shifted(coordinate), False, start)
        theta = found.theta
        return self._point(coordinate, found.criterion, theta, self._problem.solve(self._y, theta, False))

    def _shifted(self, coordinate: float) -> Vector:
        return self._y - coordinate * self._column

    def _point(self, coordinate: float, deviance: float, theta: Vector, at: Solution) -> TracePoint:
        """The fit with beta_j held at a given theta: from the fit without the constraint, at the same theta."""
        j = self.parameter.row
        distance = (coordinate - at.beta[j]) / at.unscaled_vcov[j, j]
        variance = (at.pwrss + distance * (coordinate - at.beta[j])) / self._problem.nobs
        factors = np.concatenate([lam.ravel() for lam in thetas.relative_factors(theta, self._sizes)])
        beta = at.beta + distance * at.unscaled_vcov[:, j]
        return TracePoint(coordinate, deviance, 2.0 * distance / variance, factors, math.sqrt(variance), beta, theta)


def _without_variance(model: LinearMixedModel, term: int, effect: int) -> float:
    """The deviance where an effect of a random term does not vary."""
    trace = VarianceTrace(model, Parameter("", "sd", term, effect, effect))
    return trace.at(0.0, [trace.origin]).deviance


def trace_of(model: LinearMixedModel, parameter: Parameter) -> Trace:
    """The trace of a parameter of a model fitted by maximum likelihood."""
    return FixedTrace(model, parameter) if parameter.is_fixed else VarianceTrace(model, parameter)


def extrapolated(coordinate: float, known: Sequence[TracePoint], tangent: Vector) -> Vector:
    """Where the trace should be at a coordinate: the polynomial through the nearest points.

    The first of the points is the origin, where the tangent is known.
    """
    if len(known) == 1:
        return known[0].state + (coordinate - known[0].coordinate) * tangent
    nearest = sorted(known, key=lambda point: abs(point.coordinate - coordinate))[:4]
    places = np.array([point.coordinate for point in nearest])
    if len(np.unique(places)) < len(places):
        return nearest[0].state.copy()
    gaps = places[:, None] - places
    np.fill_diagonal(gaps, 1.0)
    weights = np.array([np.prod(np.delete(coordinate - places, i)) for i in range(len(places))]) / gaps.prod(axis=1)
    result: Vector = weights @ np.array([point.state for point in nearest])
    return result


def _scales(model: LinearMixedModel, surface: DevianceSurface) -> Vector:
    """By how much each coordinate changes before the data notice."""
    design = model.design
    squares, levels = [], []
    for term in design.terms:
        count = design.factors[term.factor].n_levels
        ones = float(design.n if design.weights is None else design.weights.sum())
        totals = [ones if z is None else float(products.weighted(design, z) @ z) for z in term.columns]
        means = np.array(totals) / count
        squares.append(np.where(means > 0, means, 1.0))
        levels.append(count)
    return surface.scales(np.asarray(model.optimum.theta), model.sigma, squares, levels)
