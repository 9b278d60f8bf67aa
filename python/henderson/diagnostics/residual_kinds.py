"""Residuals of every kind, on the index of the table: what is left, and in units of which standard deviation.

With V = Cov(y) / sigma² = Z Psi Z' + W⁻¹ and P = V⁻¹ - V⁻¹X (X'V⁻¹X)⁻¹ X'V⁻¹, exactly at the estimated theta,

    conditional   e = y - X beta - Z b = W⁻¹ P y     Cov(e) = sigma² W⁻¹ P W⁻¹       Var(e_i) = sigma² (1 - h_i) / w_i
    marginal      r = y - X beta                     Cov(r) = sigma² (V - X (X'V⁻¹X)⁻¹ X')

h_i being the leverages, random effects included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_diagnostics, theta
from henderson.diagnostics.whitening import Whitening
from henderson.inference.leverage import fixed_columns
from henderson.residuals import marginal_mean

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]

KINDS = ("response", "pearson", "scaled", "standardized", "studentized", "marginal", "whitened")
EXACT = 1e-10
"""A residual that keeps less than this share of its variance is zero, but for rounding."""


def residuals(model: LinearMixedModel, kind: str = "response", *, conditional: bool = True) -> pd.Series[float]:
    """Residuals, on the index of the table.

    Parameters
    ----------
    kind
        "response": y minus its expectation. "pearson": divided by the standard deviation of y relative to sigma; given
        the random effects, times sqrt(weights). "scaled": divided by the standard deviation of y. "standardized":
        divided by its own standard error. "studentized": the same with sigma estimated without the row. "marginal":
        "response" with ``conditional=False``. "whitened": marginal residuals transformed so that they are uncorrelated
        with variance one.
    conditional
        Whether predictions of the random effects are part of the expectation, y - X beta - Z b; otherwise y - X beta,
        with the random effects and the errors left in.

    Returns
    -------
    Series
        One value per row used. Standardized and studentized residuals are NaN where the model fits a row exactly
        whatever its response is.

    Raises
    ------
    DataError
        The kind is unknown; studentized residuals with ``conditional=False``; whitening with more crossed random
        effects than a dense matrix can hold.

    Notes
    -----
    Let V = Cov(y) / sigma² = Z Psi Z' + W⁻¹, and h_i the leverages (`leverage`). At the estimated theta, exactly,

        Var(y_i - x_i'beta - z_i'b) = sigma² (1 - h_i) / w_i       Var(y_i - x_i'beta) = sigma² V_ii - Var(x_i'beta)

    so a standardized residual has variance one in both forms. "scaled" has a standard deviation below one, the more so
    the more the row's own response moves its fitted value. A studentized residual follows, theta given, the t
    distribution with n - p - 1 degrees of freedom. The whitened residuals are K (y - X beta) / sigma with K V K' = 1, K
    built from one symmetric root for each grouping factor, from the innermost outwards: each row keeps its identity,
    and their order does not matter. nlme calls residuals whitened with a Cholesky factor "normalized".

    References
    ----------
    Nobre, J. S. and Singer, J. M. (2007). Residual analysis for linear mixed models. Biometrical Journal 49, 863-875.
    Houseman, E. A., Ryan, L. M. and Coull, B. A. (2004). Cholesky residuals for assessing normal errors in a linear
    model with correlated outcomes. JASA 99, 383-394.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.residuals("standardized").head(3).round(2).tolist()
    [-0.18, -0.63, -1.76]
    >>> fit.residuals("standardized", conditional=False).head(3).round(2).tolist()
    [-0.05, -0.09, -0.58]
    """
    import pandas as pd

    return pd.Series(residual_values(model, kind, conditional), index=model.index, name="resid")


def response_residuals(model: LinearMixedModel) -> pd.Series[float]:
    """Response residuals: response minus fitted values."""
    return residuals(model)


def residual_values(model: LinearMixedModel, kind: Any, conditional: bool = True) -> Vector:
    """The same unlabelled, shape (n,)."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise errors.choice("kind", kind, KINDS)
    require_flag("conditional", conditional)
    if kind == "studentized" and not conditional:
        raise errors_diagnostics.studentized_marginal()
    is_conditional = bool(conditional) and kind not in ("marginal", "whitened")
    design = model.design
    plain: Vector = design.y - (model.fitted_values if is_conditional else marginal_mean(model))
    if kind in ("response", "marginal"):
        return plain
    if kind == "whitened":
        root = 1.0 if design.weights is None else np.sqrt(design.weights)
        return Whitening(model)(root * plain) / model.sigma
    if kind in ("pearson", "scaled"):
        relative = np.sqrt(_variances(model, is_conditional))
        return plain / relative if kind == "pearson" else plain / (relative * model.sigma)
    standardized: Vector = plain / standard_errors(model, is_conditional)
    return standardized if kind == "standardized" else standardized / _sigma_without(model, standardized)


def standard_errors(model: LinearMixedModel, conditional: bool) -> Vector:
    """Standard errors of the response residuals, (n,): NaN where a residual is zero whatever the response is."""
    variances = _variances(model, conditional)
    if conditional:
        share = 1.0 - model.leverage.to_numpy()
    else:
        x = fixed_columns(model).x
        weights = 1.0 if model.design.weights is None else model.design.weights
        share = 1.0 - np.einsum("ij,ij->i", x, x) / (weights * variances)
    with np.errstate(invalid="ignore"):
        found: Vector = model.sigma * np.sqrt(np.where(share > EXACT, share * variances, np.nan))
    return found


def scale_of(model: LinearMixedModel, kind: str, conditional: bool) -> Vector | None:
    """By what response residuals are multiplied, for a kind that is linear in the response; None: standardized."""
    if kind == "standardized":
        return None
    if kind in ("response", "marginal"):
        return np.ones(model.nobs)
    relative = np.sqrt(_variances(model, conditional))
    return np.asarray(1.0 / relative if kind == "pearson" else 1.0 / (relative * model.sigma))


def simulated_form(kind: str, conditional: bool) -> bool:
    """Whether residuals to be simulated are conditional; refuses kinds that are not scaled response residuals."""
    if kind in ("studentized", "whitened"):
        raise errors_diagnostics.not_linear(kind)
    return conditional and kind != "marginal"


def require_flag(what: str, value: object) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool | np.bool_):
        raise errors.argument_type(what, value, "True or False")


def _variances(model: LinearMixedModel, conditional: bool) -> Vector:
    """Variance of each response in units of sigma², given the random effects or not, shape (n,)."""
    design = model.design
    variances = np.ones(design.n) if design.weights is None else 1.0 / design.weights
    if not conditional:
        factors = theta.relative_factors(model.optimum.theta, [len(term.columns) for term in design.terms])
        for t, lam in enumerate(factors):
            spread = design.z_matrix(t) @ lam
            variances += np.einsum("ij,ij->i", spread, spread)
    return variances


def _sigma_without(model: LinearMixedModel, standardized: Vector) -> Vector:
    """Residual standard deviation without each row, over sigma, theta held: shape (n,)."""
    df = model.nobs - len(model.kept)
    total = model.solution.pwrss / model.sigma**2
    left = np.maximum(total - standardized**2, 0.0) / (df - 1) if df > 1 else np.full(model.nobs, np.nan)
    found: Vector = np.sqrt(left)
    return found
