"""Fitted values and residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson import errors

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
KINDS = ("response", "pearson", "scaled", "marginal")


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


def residuals(model: LinearMixedModel, kind: str) -> Vector:
    """Residuals of the given kind, shape (n,).

    Parameters
    ----------
    model
        A fitted model.
    kind
        ``"response"``: y - fitted; ``"pearson"``: the same times the square root of the weights; ``"scaled"``: Pearson
        residuals in units of sigma; ``"marginal"``: y - X beta - offset, random effects left in.
    """
    if kind not in KINDS:
        raise errors.choice("kind", kind, KINDS)
    design = model.design
    if kind == "marginal":
        return design.y - marginal_mean(model)
    plain = design.y - model.fitted_values
    if kind == "response":
        return plain
    pearson = plain if design.weights is None else plain * np.sqrt(design.weights)
    return pearson if kind == "pearson" else pearson / model.sigma
