"""One simpler model for a singular fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from henderson import errors_models
from henderson.formula_editing import uncorrelated
from henderson.inference.deletion import random_deletions
from henderson.submodel import fit_formula

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel


@dataclass(frozen=True)
class Simplification:
    """A simpler random part and what it costs.

    Attributes
    ----------
    formula
        Of the simpler model.
    rise
        By how much the criterion is larger.
    parameters
        How many parameters it has less.
    is_singular
        Whether its fit is singular as well.
    text
        All that in words.
    """

    formula: str
    rise: float
    parameters: int
    is_singular: bool
    text: str


def suggest(model: LinearMixedModel) -> Simplification | None:
    """The best model with one effect, or the correlations, of a singular term less.

    Notes
    -----
    Fitted are the models of `ranova` that leave something out of a singular term, and ``||`` instead of ``|``. Of those
    whose AIC is not worse, and that are not singular unless every one is, the one with the smallest AIC is taken. None
    if there is no such model, or if the fit is not singular.
    """
    optimum = model.optimum
    deficient = {
        model.design.formula.random_terms[term.part].grouping.label
        for term, rank, size in zip(model.design.terms, optimum.ranks, optimum.sizes, strict=True)
        if rank < size
    }
    if not deficient:
        return None
    name = "REML criterion" if model.is_reml else "deviance"
    candidates = []
    for left in random_deletions(model, only=deficient):
        rise, fewer = left.criterion - model.criterion, model.n_parameters - left.npar
        if left.model is None:
            text = errors_models.simplified_to_linear(rise, fewer, name)
            candidates.append(Simplification(str(left.formula), rise, fewer, False, text))
        else:
            candidates.append(_candidate(model, left.model, name))
    formula = uncorrelated(model.design.formula, deficient)
    if formula.random_terms != model.design.formula.random_terms:
        candidates.append(_candidate(model, fit_formula(model, formula), name))
    good = [one for one in candidates if one.rise <= 2.0 * one.parameters]
    return min(good, key=lambda one: (one.is_singular, round(one.rise - 2.0 * one.parameters, 6)), default=None)


def _candidate(model: LinearMixedModel, simpler: LinearMixedModel, name: str) -> Simplification:
    rise = float(np.maximum(0.0, simpler.criterion - model.criterion))
    fewer = model.n_parameters - simpler.n_parameters
    text = errors_models.simplified(rise, fewer, simpler.is_singular, name)
    return Simplification(simpler.formula, rise, fewer, simpler.is_singular, text)
