"""Standard errors of the coefficients of single groups, fixed plus random effect.

With b~ = H Z'W (y - X beta) for known beta, the error of beta_j + b_gj is that of the fixed effects, seen through the
random effects, plus that of b~, and the two are uncorrelated (Henderson, 1975):

    Var(beta^_j + b^_gj - beta_j - b_gj) = (e_j - S_gj)' Cov(beta^) (e_j - S_gj) + Var(b_gj | y),    S = H Z'W X

Cov(beta^) = sigma² B B' with B the basis in which the columns of X are orthonormal: shifts and scales of predictors
cost no digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from henderson.inference import leverage, products

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel


def standard_errors(model: LinearMixedModel) -> dict[str, pd.DataFrame]:
    """Standard errors of the coefficients by level, in the shape of `coef`, at the estimated variances.

    They are NaN for an effect that several terms of the same factor give.
    """
    import pandas as pd

    design, sigma = model.design, model.sigma
    basis, sensitivity = _sensitivity(model.stand_in)
    tables = {}
    for group, coefficients in model.coef.items():
        values = np.empty(coefficients.shape)
        for column, name in enumerate(coefficients.columns):
            own = [
                (t, k)
                for t, term in enumerate(design.terms)
                if term.group == group
                for k, effect in enumerate(term.names)
                if effect == name
            ]
            fixed = basis[list(model.fixef.index).index(name)] if column < len(basis) else np.zeros(basis.shape[1])
            if len(own) > 1:
                values[:, column] = np.nan
            elif own:
                t, k = own[0]
                through = fixed - sensitivity[t][:, k, :]
                order = np.asarray(design.factors[design.terms[t].factor].order)
                variance = model.conditional_variance_arrays[t][order, k, k]
                values[:, column] = np.sqrt(sigma**2 * np.einsum("gp,gp->g", through, through) + variance)
            else:
                values[:, column] = sigma * np.linalg.norm(fixed)
        tables[group] = pd.DataFrame(values, index=coefficients.index, columns=coefficients.columns)
    return tables


def _sensitivity(model: LinearMixedModel) -> tuple[products.Matrix, list[products.Matrix]]:
    """B (p, p), and S B per term (levels, s, p), levels sorted."""
    design, p = model.design, len(model.kept)
    if not p:
        shapes = [(design.factors[term.factor].n_levels, len(term.columns), 0) for term in design.terms]
        return np.zeros((0, 0)), [np.zeros(shape) for shape in shapes]
    columns = leverage.fixed_columns(model)
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    sums = products.random_sums(design, (root * column for column in columns.x.T))
    return columns.basis, products.unstacked(design, model.solve_random(products.stacked(sums)))
