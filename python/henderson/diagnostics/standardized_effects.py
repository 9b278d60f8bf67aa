"""Predicted random effects in units of their own standard deviations.

The conditional modes b are shrunk: with g = H Z'W X (X'V⁻¹X)^(-1/2), which is what the fixed effects take of them,

    Cov(b_j) = sigma² (Psi - H_jj - g_j g_j')        H = Lambda (Lambda'Z'WZ Lambda + I)⁻¹ Lambda'

exactly at the estimated theta, and not sigma² Psi, the covariance of the random effects themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import theta
from henderson.inference import products
from henderson.inference.leverage import fixed_columns

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

NOTHING = 1e-9
"""A direction of which this share of the variance of the random effects shows, or less, does not show."""


@dataclass(frozen=True, eq=False)
class StandardizedEffects:
    """The conditional modes of one random term, levels sorted.

    Attributes
    ----------
    label, group
        Of the term, "Subject.1", and of its grouping factor.
    names, levels
        Names of the s effects, labels of the levels.
    modes
        (levels, s) conditional modes.
    covariances
        (levels, s, s) their covariance matrices over responses: those of the random effects, less shrinkage.
    shares
        (s,) mean share of the variance of the random effects that shows in the modes, 0 to 1; NaN without variance.
    """

    label: str
    group: str
    names: tuple[str, ...]
    levels: Any
    modes: Matrix
    covariances: Matrix
    shares: Vector

    @property
    def standardized(self) -> Matrix:
        """Modes over their standard deviations, (levels, s): mean zero and variance one; NaN without variance."""
        variances = np.einsum("jaa->ja", self.covariances)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Matrix = np.where(variances > 0, self.modes / np.sqrt(variances), np.nan)
        return found

    def distances(self) -> tuple[Vector, NDArray[np.intp]]:
        """Squared Mahalanobis distances (levels,), chi-square if the effects are normal, and their degrees of freedom.

        Directions that do not vary count for nothing.
        """
        scale = np.sqrt(np.einsum("jaa->ja", self.covariances))
        inverse = np.where(scale > 0, 1.0 / np.where(scale > 0, scale, 1.0), 0.0)
        correlations = self.covariances * inverse[:, :, None] * inverse[:, None, :]
        values, vectors = np.linalg.eigh(correlations)
        is_positive = values > NOTHING * len(self.names)
        along = np.einsum("jab,ja->jb", vectors, self.modes * inverse)
        squares = np.where(is_positive, along**2 / np.where(is_positive, values, 1.0), 0.0)
        return squares.sum(axis=1), is_positive.sum(axis=1)

    def to_frame(self) -> pd.DataFrame:
        """The standardized modes, a row per level and a column per effect."""
        import pandas as pd

        return pd.DataFrame(self.standardized, index=pd.Index(self.levels, name=self.group), columns=list(self.names))


def standardized_effects(model: LinearMixedModel) -> list[StandardizedEffects]:
    """The conditional modes of each random term with their covariances over responses."""
    design = model.design
    relative = theta.covariances(np.asarray(model.optimum.theta), [len(term.columns) for term in design.terms])
    fixed = fixed_columns(model)
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    if model.kept:
        sums = products.random_sums(design, (root * column for column in fixed.x.T))
        taken = products.unstacked(design, model.solve_random(products.stacked(sums)))
    else:
        taken = [np.zeros((design.factors[term.factor].n_levels, len(term.columns), 0)) for term in design.terms]
    found = []
    for t, (term, psi) in enumerate(zip(design.terms, relative, strict=True)):
        factor = design.factors[term.factor]
        order = np.asarray(factor.order)
        variance = model.sigma**2 * psi
        shown = variance - model.conditional_variance_arrays[t][order]
        shown -= model.sigma**2 * np.einsum("jap,jbp->jab", taken[t], taken[t])
        own = np.diag(variance)
        diagonal = np.einsum("jaa->ja", shown)
        is_zero = diagonal <= NOTHING * own
        shown[np.broadcast_to(is_zero[:, :, None] | is_zero[:, None, :], shown.shape)] = 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(own > 0, np.einsum("jaa->ja", shown).mean(axis=0) / own, np.nan)
        modes = model.solution.b[t][order]
        found.append(StandardizedEffects(term.label, term.group, term.names, factor.levels, modes, shown, shares))
    return found
