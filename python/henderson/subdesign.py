"""The design of another formula over the variables of a fitted one: same rows, response, weights, offset, codings.

Nothing is read from the user's table again: it may have changed, or be gone.
"""

from __future__ import annotations

from dataclasses import replace

from henderson.coding import Coder
from henderson.design import DesignMatrices, random_terms
from henderson.formula import Formula
from henderson.frame import ModelFrame
from henderson.transforms import Evaluator


def design_of(formula: Formula, design: DesignMatrices) -> DesignMatrices:
    """The design of a formula whose variables and grouping factors are among those of `design`.

    Parameters
    ----------
    formula
        With the response and the offsets of the fitted one; it may have no random term.
    design
        Of the fitted model.
    """
    no_table = ModelFrame(formula, design.n, design.rows, {})
    evaluator = Evaluator(no_table, design.recipe.states, design.recipe.context, is_learning=True)
    coder = Coder(evaluator, design.recipe.variables, {}, design.values)
    x, x_names = coder.columns(formula.fixed)
    known = {factor.name: factor for factor in design.factors}
    terms, factors = random_terms(coder, formula.random_terms, design.n, known)
    return replace(design, formula=formula, x=x, x_names=x_names, terms=terms, factors=factors)
