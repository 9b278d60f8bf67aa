"""Fitted values, with the random effects and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]


def marginal_mean(model: LinearMixedModel) -> Vector:
    """X beta + offset, shape (n,)."""
    design = model.design
    mean = np.zeros(len(design.y)) if design.offset is None else np.array(design.offset, dtype=np.float64)
    for j, coefficient in zip(model.kept, model.solution.beta, strict=True):
        column = design.x[j]
        mean += coefficient if column is None else coefficient * column
    return mean


def conditional_mean(model: LinearMixedModel) -> Vector:
    """X beta + Z b + offset, shape (n,)."""
    design = model.design
    mean = marginal_mean(model)
    for term, effects in zip(design.terms, model.solution.b, strict=True):
        codes = design.factors[term.factor].codes
        for k, column in enumerate(term.columns):
            varying = np.ascontiguousarray(effects[:, k])[codes]
            mean += varying if column is None else varying * column
    return mean
