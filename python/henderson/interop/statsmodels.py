"""The names of statsmodels results, so that tools written for those read a fit: `params` are the fixed effects only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel


def params(model: LinearMixedModel) -> pd.Series[float]:
    """The fixed effects (statsmodels' name)."""
    return model.fixef


def bse(model: LinearMixedModel) -> pd.Series[float]:
    """Standard errors of the fixed effects (statsmodels' name)."""
    errors: pd.Series[float] = model.stderror
    return errors


def tvalues(model: LinearMixedModel) -> pd.Series[float]:
    """Fixed effects over their standard errors (statsmodels' name)."""
    return (model.fixef / model.stderror).rename("tvalues")


def llf(model: LinearMixedModel) -> float:
    """Log-likelihood (statsmodels' name)."""
    return model.loglik


def fittedvalues(model: LinearMixedModel) -> pd.Series[float]:
    """Fitted values (statsmodels' name)."""
    return model.fitted


def cov_params(model: LinearMixedModel) -> pd.DataFrame:
    """Covariance matrix of the fixed effects (statsmodels' name)."""
    matrix: pd.DataFrame = model.vcov
    return matrix


def conf_int(model: LinearMixedModel, alpha: float = 0.05) -> pd.DataFrame:
    """Wald confidence intervals with columns 0 and 1 (statsmodels' name)."""
    return model.confint(1.0 - alpha).set_axis([0, 1], axis=1)
