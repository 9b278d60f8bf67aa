"""Fits of other formulas, or by the other criterion, to the rows of a fitted model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from henderson.compiling import compile_design
from henderson.subdesign import design_of

if TYPE_CHECKING:
    from henderson.formula import Formula
    from henderson.model import LinearMixedModel


def fit_formula(model: LinearMixedModel, formula: Formula, *, reml: bool | None = None) -> LinearMixedModel:
    """Fit another formula over the variables of a fitted model: same rows, weights, offset and contrasts.

    Parameters
    ----------
    model
        A fitted model.
    formula
        Its variables and grouping factors are among those of the model, and it has a random term.
    reml
        None for the criterion of the model.
    """
    by_reml = model.is_reml if reml is None else reml
    design = design_of(formula, model.design)
    problem = compile_design(design, model._y, model._problem.threads)
    return type(model)(design, problem, problem.fit(model._y, by_reml), model._y, by_reml, model.call)


def by_criterion(model: LinearMixedModel, *, reml: bool) -> LinearMixedModel:
    """The same model by REML or by maximum likelihood: fitted again if it is not."""
    if model.is_reml == reml:
        return model
    found = model._problem.fit(model._y, reml)
    return type(model)(model.design, model._problem, found, model._y, reml, model.call)


def stand_in(model: LinearMixedModel) -> LinearMixedModel:
    """The fit on rows with the same cross-products: itself, unless it was loaded without its rows."""
    return model if model._stand_in is None else model._stand_in
