"""What leaving out rows does to a fit, in closed form at fixed theta: the formulas, and each row.

Leaving out the rows I is to give each of them a parameter of its own. Everything follows from Cov of their residuals,

    P_II = W_I - W_I Z_I H Z_I'W_I - W_I xt_I xt_I'W_I

and the scores (P y)_I = W_I e_I, e the residuals y - X beta - Z b, xt the adjusted columns of X in a basis in which the
fixed effects are orthonormal:

    change of the fixed effects    -xt_I'W_I P_II⁻¹ (P y)_I
    residual sum of squares        r² - (P y)_I'P_II⁻¹ (P y)_I

In coordinates of the columns [Z_I, xt_I] the same inverse gives the gradient of the criterion in theta:

    tr(P dV) falls by tr(E Q),  Z'P y by [D -F] rho        Q = [Z xt]'W P_II⁻¹ W [Z xt],  rho = [Z xt]'W P_II⁻¹ (P y)_I

with E = [D -F]'dPsi [D -F] from `effect_blocks`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson.inference.effect_blocks import Effects, Packing, ThetaChange, effects_of
from henderson.inference.leverage import FixedColumns, fixed_columns

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.intp]

INESTIMABLE = 1e-9
"""A share of the information on a coefficient that is left: less than this is nothing."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a fit, multiplied by the square roots of the weights.

    Attributes
    ----------
    effects
        The random effects of each row and their columns of Z.
    fixed
        X and adjusted X, (n, p) each.
    residuals
        (n,) y - X beta - Z b.
    leverage, random_leverage
        (n,) of the whole fit, and of the random effects given beta.
    """

    effects: Effects
    fixed: FixedColumns
    residuals: Vector
    leverage: Vector
    random_leverage: Vector

    @property
    def adjusted(self) -> Matrix:
        """(n, p) adjusted columns of X times the basis."""
        return self.fixed.adjusted

    @property
    def basis(self) -> Matrix:
        """(p, p), basis basis' = (X'V⁻¹X)⁻¹."""
        return self.fixed.basis


@dataclass(frozen=True, eq=False)
class Deletions:
    """The fit without each of G sets of rows, at the estimated theta; NaN where a fixed effect cannot be estimated.

    Attributes
    ----------
    removed
        (G,) number of rows.
    leverage
        (G,) sum of their leverages.
    change
        (G, p) change of the fixed effects kept.
    variance
        (G, p) diagonal of (X'V⁻¹X)⁻¹ without the rows.
    distance
        (G,) change' (X'V⁻¹X) change, with the rows.
    distance_without
        (G,) the same, without the rows.
    log_det
        (G,) log of |X'V⁻¹X| with the rows over that without.
    pwrss
        (G,) by how much the penalised residual sum of squares falls.
    slopes
        (G, k) gradient in theta[kept] of the criterion without the rows, sigma held; None if not asked for.
    """

    removed: Indices
    leverage: Vector
    change: Matrix
    variance: Matrix
    distance: Vector
    distance_without: Vector
    log_det: Vector
    pwrss: Vector
    slopes: Matrix | None


def scaled_rows(model: LinearMixedModel) -> Rows:
    """Gather what deletions need of each row."""
    fixed = fixed_columns(model)
    random = model.random_leverages
    leverage = random + np.einsum("ij,ij->i", fixed.adjusted, fixed.adjusted)
    residuals = np.asarray(model.residuals("pearson"))
    return Rows(effects_of(model), fixed, residuals, leverage, random)


def delete_each_row(
    rows: Rows, found: Packing | None, changes: Iterable[ThetaChange] | None, *, sigma: float, reml: bool
) -> Deletions:
    """Leave out one row at a time."""
    left = 1.0 - rows.leverage
    left = np.where(left > INESTIMABLE * (1.0 - rows.random_leverage), left, np.nan)
    ratio = rows.residuals / left
    own = np.einsum("ij,ij->i", rows.adjusted, rows.adjusted)
    slopes = None
    if changes is not None and found is not None:
        columns = [_row_slopes(rows, found, change, left, ratio, sigma, reml) for change in changes]
        slopes = np.reshape(columns, (len(columns), len(left))).T
    return Deletions(
        removed=np.ones(len(left), dtype=np.intp),
        leverage=rows.leverage,
        change=-(rows.adjusted * ratio[:, None]) @ rows.basis.T,
        variance=np.sum(rows.basis**2, axis=1) + (rows.adjusted @ rows.basis.T) ** 2 / left[:, None],
        distance=own * ratio**2,
        distance_without=own * ratio**2 / (1.0 + own / left),
        log_det=np.log1p(own / left),
        pwrss=rows.residuals * ratio,
        slopes=slopes,
    )


def _row_slopes(
    rows: Rows, found: Packing, change: ThetaChange, left: Vector, ratio: Vector, sigma: float, reml: bool
) -> Vector:
    random, mixed = np.zeros(len(left)), np.zeros_like(rows.adjusted)
    scores = -rows.adjusted @ change.fixed_scores
    for a, own in zip(rows.effects.which.T, rows.effects.values.T, strict=True):
        mixed += own[:, None] * change.mixed[a]
        scores += own * change.effect_scores[a]
        for b, other in zip(rows.effects.which.T, rows.effects.values.T, strict=True):
            random += own * other * change.effects[a, found.place[b]]
    total = random + np.einsum("ij,ij->i", rows.adjusted @ change.fixed - 2.0 * mixed, rows.adjusted)
    trace = total / left if reml else random / (1.0 - rows.random_leverage)
    slopes: Vector = -trace + (2.0 * ratio * scores - ratio**2 * total) / sigma**2
    return slopes
