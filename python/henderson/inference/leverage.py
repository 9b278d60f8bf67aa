"""Leverages: by how much each fitted value follows its own observation, random effects included.

With H = Lam (Lam'Z'W Z Lam + I)⁻¹ Lam' and the columns of X adjusted for the random effects, xt = X - Z H Z'W X,

    d fitted_i / d y_i = w_i z_i'H z_i + w_i xt_i'(X'V⁻¹X)⁻¹ xt_i = 1 - (P_ii) / w_i

where P = V⁻¹ - V⁻¹X (X'V⁻¹X)⁻¹ X'V⁻¹ and V = Cov(y) / sigma². No matrix is larger than n x p.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson.inference import products

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def leverage(model: LinearMixedModel) -> pd.Series[float]:
    """Leverage of each row, the diagonal of the hat matrix: by how much its fitted value follows the observation.

    Exact, random effects included, at the estimated theta. Leverages lie in [0, 1], and their sum is the effective
    number of degrees of freedom of the fit: between p (no random variance) and p + q.

    References
    ----------
    Hodges, J. S. and Sargent, D. J. (2001). Counting degrees of freedom in hierarchical and other richly-parameterised
    models. Biometrika 88, 367-379.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.leverage.head(3).round(4).tolist()
    [0.2293, 0.1697, 0.1268]
    >>> round(float(fit.leverage.sum()), 3)
    29.022
    """
    import pandas as pd

    adjusted = fixed_columns(model).adjusted
    values = model.random_leverages + np.einsum("ij,ij->i", adjusted, adjusted)
    return pd.Series(values, index=model.index, name="leverage")


@dataclass(frozen=True, eq=False)
class FixedColumns:
    """The columns of X kept, in a basis in which the fixed effects gamma are orthonormal: beta = basis gamma.

    Attributes
    ----------
    x
        (n, p) W^(1/2) X basis.
    adjusted
        (n, p) the same, less what the random effects take of them: W^(1/2) (X - Z H Z'W X) basis = W^(-1/2) V⁻¹X basis.
    basis
        (p, p) square root of (X'V⁻¹X)⁻¹.
    """

    x: Matrix
    adjusted: Matrix
    basis: Matrix


def fixed_columns(model: LinearMixedModel) -> FixedColumns:
    """Rotate and adjust the columns of X; shifts and scales of predictors cost no digits."""
    design = model.design
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    orthonormal, triangle = np.linalg.qr(root[:, None] * design.x_matrix()[:, model.kept])
    adjusted = np.array(orthonormal)
    if model.kept:
        sums = products.random_sums(design, (root * column for column in orthonormal.T))
        effects = products.unstacked(design, model.solve_random(products.stacked(sums)))
        for j, values in enumerate(products.random_values(design, effects)):
            adjusted[:, j] -= root * values
    information = orthonormal.T @ adjusted
    factor = np.linalg.inv(np.linalg.cholesky(0.5 * (information + information.T)))
    return FixedColumns(orthonormal @ factor.T, adjusted @ factor.T, np.linalg.solve(triangle, factor.T))
