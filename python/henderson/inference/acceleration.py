"""The acceleration constant of BCa intervals: how fast the standard error of a statistic changes with its value.

It is a sixth of the skewness of the influence of the data on the statistic [1]. What influences the estimates of a
mixed model is known: for responses drawn from the model it is the score, whose parts that vary are dr²/dlam, r² and the
fixed effects, all at the estimates; for clusters drawn with replacement it is how often each was drawn. The statistic
is regressed on those over the replicates, and the skewness is that of the fitted part.

1. Efron, B. (1987). Better bootstrap confidence intervals. Journal of the American Statistical Association 82, 171-185.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson import theta
from henderson.conversion import minus
from henderson.inference.bootstrap_intervals import skewness

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

MOST_SCORES = 2000
"""Replicates whose scores are computed: the standard error of the acceleration is 0.009 then."""


def scores(model: LinearMixedModel, responses: Matrix) -> Matrix:
    """What varies in the scores of responses (count, n) at the estimates of a model, shape (count, parameters)."""
    design, problem = model.design, model._problem
    sizes = [len(term.columns) for term in design.terms]
    factors = np.concatenate([lam.ravel() for lam in theta.relative_factors(np.asarray(model.optimum.theta), sizes)])
    found = []
    for response in responses:
        y = response if design.offset is None else minus(response, design.offset)
        _, pwrss, _, pwrss_slope, beta = problem.deviance_parts(y, factors)
        found.append(np.concatenate([pwrss_slope, [pwrss], beta]))
    return np.array(found)


def of_scores(influences: Matrix, replicates: Matrix) -> Vector:
    """Accelerations of statistics (count, k) whose replicates have the scores (count, parameters)."""
    return skewness(_explained(influences, replicates)) / 6.0


def of_counts(counts: Matrix, replicates: Matrix) -> Vector:
    """Accelerations of statistics (count, k) whose replicates hold cluster j counts[:, j] times.

    Notes
    -----
    The coefficients of the regression estimate the influence of each cluster; NaN with fewer than twice as many
    replicates as clusters.
    """
    if len(counts) < 2 * counts.shape[1]:
        return np.full(replicates.shape[1], np.nan)
    influence = _coefficients(counts, replicates)
    centred = influence - influence.mean(axis=0)
    squares = np.sum(centred**2, axis=0)
    cubes = np.sum(centred**3, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Vector = np.where(squares > 0, cubes / (6.0 * squares**1.5), 0.0)
    return result


def _coefficients(influences: Matrix, replicates: Matrix) -> Matrix:
    centred = influences - influences.mean(axis=0)
    scale = np.sqrt(np.mean(centred**2, axis=0))
    scale = np.where(scale > 1e-12 * np.abs(influences).max(axis=0, initial=0.0), scale, np.inf)
    found, *_ = np.linalg.lstsq(centred / scale, replicates - replicates.mean(axis=0), rcond=1e-10)
    result: Matrix = found / scale[:, None]
    return result


def _explained(influences: Matrix, replicates: Matrix) -> Matrix:
    result: Matrix = (influences - influences.mean(axis=0)) @ _coefficients(influences, replicates)
    return result
