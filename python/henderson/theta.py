"""theta to covariance matrices: lme4's parametrisation, in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@cache
def triangle(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Columns and rows of the elements of a lower triangle, down its columns."""
    columns, rows = np.triu_indices(size)
    return columns, rows


def relative_factors(theta: NDArray[np.float64], sizes: Sequence[int]) -> list[Matrix]:
    """Relative covariance factors: per term the (s, s) lower triangle, filled down its columns from theta."""
    factors, start = [], 0
    for size in sizes:
        columns, rows = triangle(size)
        stop = start + len(rows)
        lam = np.zeros((size, size))
        lam[rows, columns] = theta[start:stop]
        factors.append(lam)
        start = stop
    return factors


def covariances(theta: NDArray[np.float64], sizes: Sequence[int]) -> list[Matrix]:
    """Covariance matrices of the random effects relative to sigma²: lam lam' per term."""
    return [lam @ lam.T for lam in relative_factors(theta, sizes)]


def labels(groups: Sequence[str], names: Sequence[Sequence[str]]) -> list[str]:
    """Names of theta's elements as lme4 gives them: "Subject.(Intercept)", "Subject.Days.(Intercept)", ..."""
    return [
        f"{group}.{effects[row]}" if row == column else f"{group}.{effects[row]}.{effects[column]}"
        for group, effects in zip(groups, names, strict=True)
        for column in range(len(effects))
        for row in range(column, len(effects))
    ]
