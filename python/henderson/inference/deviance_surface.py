"""The ML deviance over covariances and sigma, in coordinates one of which is the parameter to be held.

    d(L, sigma) = log|V| + n log(2 pi sigma²) + r² / sigma²        L_t = sigma lam_t

Fixed effects are profiled out, sigma is not. The factors L_t are absolute. The effects of the term in question are
reordered so that a standard deviation is the first entry of its factor; for a correlation the first two rows are

    row 1 = a (1, 0)        row 2 = b (sin psi, cos psi)        a, b > 0,  correlation sin psi

All other entries are free and may have any sign, so that nothing is bounded and a vanishing variance is an ordinary
point. The coordinates are the entries of the lower triangles (log a, log b and psi in place of three of them), and
log sigma.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from henderson import theta as thetas
from henderson.compiled import CompiledProblem
from henderson.inference.parameters import Parameter

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

LOG_2PI = float(np.log(2.0 * np.pi))
FARTHEST = 100.0
"""Logarithms beyond this are not evaluated."""
SMALLEST_SD = 1e-6
"""Where a correlation is held, its standard deviations start no smaller than this, relative to sigma."""


@dataclass(frozen=True, eq=False)
class Height:
    """The deviance at one point.

    Attributes
    ----------
    value
        The deviance.
    slope
        Its gradient in the coordinates.
    beta
        The fixed effects that go with the point.
    """

    value: float
    slope: Vector
    beta: Vector


class DevianceSurface:
    """The deviance of one response over the coordinates of one parameter.

    Parameters
    ----------
    problem, y
        The compiled problem, and the response that it is to hold.
    sizes
        Effects per random term.
    parameter
        The standard deviation, correlation or sigma that is to be a coordinate.

    Attributes
    ----------
    held
        Index of that coordinate.
    pivots
        Indices of the diagonal entries of the factors.
    """

    def __init__(self, problem: CompiledProblem, y: Vector, sizes: Sequence[int], parameter: Parameter) -> None:
        self._problem, self._y = problem, y
        self._sizes, self._term = tuple(sizes), parameter.term
        self._orders = [_order(t, size, parameter) for t, size in enumerate(sizes)]
        places, pivots, start, count = [], [], 0, 0
        for order, size in zip(self._orders, sizes, strict=True):
            columns, rows = np.triu_indices(size)
            places.append(start + order[rows] * size + columns)
            pivots.append(count + np.flatnonzero(rows == columns))
            start += size * size
            count += len(rows)
        self._places: NDArray[np.intp] = np.concatenate(places)
        self._entries = start
        self.pivots: NDArray[np.intp] = np.concatenate(pivots)
        first = sum(size * (size + 1) // 2 for size in sizes[: max(parameter.term, 0)])
        self._pair = (first, first + 1, first + sizes[parameter.term]) if parameter.kind == "cor" else None
        if self._pair is not None:
            self.pivots = np.setdiff1d(self.pivots, self._pair)
        self.held = {"sd": first, "cor": first + sizes[parameter.term], "sigma": count}[parameter.kind]

    def point(self, theta: Vector, sigma: float) -> Vector:
        """The coordinates of a theta and sigma."""
        parts = []
        for order, lam in zip(self._orders, thetas.relative_factors(theta, self._sizes), strict=True):
            lower = lower_triangle(sigma * lam[order])
            columns, rows = np.triu_indices(len(lam))
            parts.append(lower[rows, columns])
        x = np.concatenate([*parts, [np.log(sigma)]])
        if self._pair is not None:
            a, b, psi = self._pair
            length = max(float(np.hypot(x[b], x[psi])), SMALLEST_SD * sigma)
            angle = float(np.arctan2(x[b], x[psi]))
            x[a] = np.log(max(x[a], SMALLEST_SD * sigma))
            x[b], x[psi] = np.log(length), angle
        return x

    def scales(self, theta: Vector, sigma: float, squares: Sequence[Vector], levels: Sequence[int]) -> Vector:
        """By how much each coordinate changes before the data notice.

        Parameters
        ----------
        theta, sigma
            The estimates.
        squares
            Per term (s,): mean over the levels of the weighted sums of squares of its columns.
        levels
            Levels per term.
        """
        parts = []
        factors = thetas.relative_factors(theta, self._sizes)
        for order, lam, square, count in zip(self._orders, factors, squares, levels, strict=True):
            rows = np.triu_indices(len(lam))[1]
            size = sigma * np.sqrt((np.einsum("ij,ij->i", lam, lam) + 1.0 / square) / count)
            parts.append(size[order[rows]])
        result = np.concatenate([*parts, [1.0 / np.sqrt(2.0 * self._problem.nobs)]])
        if self._pair is not None:
            result[list(self._pair)] = 1.0 / np.sqrt(levels[self._term])
        return result

    def factors(self, x: Vector) -> Vector:
        """Relative factors lam_t at a point: square, row after row, term after term."""
        entries = x[:-1]
        if self._pair is not None:
            a, b, psi = self._pair
            entries = entries.copy()
            length = np.exp(x[b])
            entries[a] = np.exp(x[a])
            entries[b], entries[psi] = length * np.sin(x[psi]), length * np.cos(x[psi])
        flat = np.zeros(self._entries)
        flat[self._places] = entries * np.exp(-x[-1])
        return flat

    def __call__(self, x: Vector) -> Height:
        """The deviance and its gradient at a point; infinite where numbers end."""
        logs = x[[-1]] if self._pair is None else x[[-1, *self._pair[:2]]]
        if not np.abs(logs).max() < FARTHEST:
            return Height(np.inf, np.zeros(len(x)), np.full(0, np.nan))
        flat = self.factors(x)
        log_det, pwrss, log_det_slope, pwrss_slope, beta = self._problem.deviance_parts(self._y, flat)
        precision = np.exp(-2.0 * x[-1])
        value = log_det + self._problem.nobs * (LOG_2PI + 2.0 * x[-1]) + pwrss * precision
        by_factor = log_det_slope + precision * pwrss_slope
        slope = np.empty(len(x))
        slope[:-1] = by_factor[self._places] * np.exp(-x[-1])
        slope[-1] = 2.0 * (self._problem.nobs - pwrss * precision) - by_factor @ flat
        if self._pair is not None:
            a, b, psi = self._pair
            length, sine, cosine = np.exp(x[b]), np.sin(x[psi]), np.cos(x[psi])
            along, across = slope[b], slope[psi]
            slope[a] *= np.exp(x[a])
            slope[b] = length * (along * sine + across * cosine)
            slope[psi] = length * (along * cosine - across * sine)
        return Height(float(value), slope, beta)


def lower_triangle(factor: Matrix) -> Matrix:
    """The lower triangle L with non-negative diagonal and L L' = factor factor'."""
    if len(factor) == 1:
        return np.abs(factor)
    lower: Matrix = np.linalg.qr(factor.T)[1].T
    return lower * np.where(np.diag(lower) < 0, -1.0, 1.0)


def _order(term: int, size: int, parameter: Parameter) -> NDArray[np.intp]:
    """The effects of a term, those of the parameter first."""
    first = [] if term != parameter.term else list(dict.fromkeys([parameter.column, parameter.row]))
    return np.array(first + [i for i in range(size) if i not in first], dtype=np.intp)
