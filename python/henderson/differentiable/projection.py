"""What P does to the response and to X, at one theta: Py and V⁻¹X (X'V⁻¹X)⁻¹, V in units of sigma²."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from henderson.array_inputs import Inputs, RandomTerm
from henderson.compiled import CompiledProblem, Solution
from henderson.differentiable.layout import level_sums, times_z

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def weighted(inputs: Inputs, column: Vector) -> Vector:
    """W times a vector, shape (n,)."""
    return column if inputs.weights is None else inputs.weights * column


def projected(inputs: Inputs, kept: Sequence[int], response: Vector, at: Solution) -> Vector:
    """Py = W (y - X beta - Z b), the weighted residual, shape (n,)."""
    rest = response - times_z(inputs.terms, at.b)
    for j, coefficient in zip(kept, at.beta, strict=True):
        column = inputs.x[j]
        rest -= coefficient if column is None else coefficient * column
    return weighted(inputs, rest)


def influence(inputs: Inputs, problem: CompiledProblem, theta: Vector, vcov: Matrix) -> Matrix:
    """V⁻¹X (X'V⁻¹X)⁻¹, shape (n, p), for X of full rank; `vcov` is (X'V⁻¹X)⁻¹.

    V⁻¹X = W (X - Z H Z'WX), H as in `CompiledProblem.solve_random`: one factorisation for all columns.
    """
    columns = [np.ones(inputs.n) if column is None else column for column in inputs.x]
    sums = [_stacked(inputs.terms, weighted(inputs, column)) for column in columns]
    effects = problem.solve_random(theta, np.asfortranarray(np.column_stack(sums)))
    spreads = (times_z(inputs.terms, _unstacked(inputs.terms, own)) for own in effects.T)
    rows = [weighted(inputs, column - spread) for column, spread in zip(columns, spreads, strict=True)]
    return np.asarray((vcov @ np.array(rows)).T)


def _stacked(terms: Sequence[RandomTerm], values: Vector) -> Vector:
    """Z'v, shape (q,): term after term, level after level, the effects of a level side by side."""
    return np.concatenate([level_sums(term, values).ravel() for term in terms])


def _unstacked(terms: Sequence[RandomTerm], values: Vector) -> list[Matrix]:
    """(q,) to per term (levels, s)."""
    shapes = [(term.levels, len(term.columns)) for term in terms]
    stops = np.cumsum([levels * size for levels, size in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(values, stops[:-1]), shapes, strict=True)]
