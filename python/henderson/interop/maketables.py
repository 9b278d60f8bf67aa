"""The plug-in protocol of the table package maketables: ``maketables.ETable([fit])`` works on fitted models.

The p-values and the intervals of the table are those of t tests with Satterthwaite's degrees of freedom; `vcov_info`
says so. maketables asks this protocol unless a fit has `params`, `bse` and `pvalues`, all three: hence `p_values`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.inference.degrees import fixed_effect_tests

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

SE_TYPE = "model-based, Satterthwaite df"
LABELS = {
    "N": "Observations",
    "ll": "Log-likelihood",
    "aic": "AIC",
    "bic": "BIC",
    "reml": "REML criterion",
    "deviance": "Deviance",
    "sigma": "Residual SD",
    "groups": "Groups",
    "random_sd": "Random-effects SD",
    "icc": "ICC",
    "r2_marginal": "R² marginal",
    "r2_conditional": "R² conditional",
    "df_resid": "Residual df",
    "singular": "Singular fit",
    "converged": "Converged",
    "method": "Method",
}


def coefficient_table(model: LinearMixedModel) -> pd.DataFrame:
    """Give b, se, t, p and the 90 % and 95 % limits of the fixed effects, index "Coefficient"."""
    import pandas as pd

    found = fixed_effect_tests(model).t_tests(np.eye(len(model.kept)))
    columns = {"b": found.estimate, "se": found.std_error, "t": found.statistic, "p": found.p_value}
    table = pd.DataFrame(columns, index=model.fixef.index)
    for percent in (95, 90):
        limits = found.limits(percent / 100)
        table[f"ci{percent}l"], table[f"ci{percent}u"] = limits[:, 0], limits[:, 1]
    table.index.name = "Coefficient"
    return table


def response_name(model: LinearMixedModel) -> str:
    """Name of the response."""
    return model.design.response_name


def random_part(model: LinearMixedModel) -> str:
    """Name the grouping factors, each a row of the table as absorbed effects are."""
    return " + ".join(f"Random: {name}" for name in model.ngroups)


def vcov_info(model: LinearMixedModel) -> dict[str, Any]:
    """Say how the standard errors were computed."""
    return {"vcov_type": SE_TYPE, "clustervar": None, "method": "REML" if model.is_reml else "ML"}


def statistic(model: LinearMixedModel, key: str) -> Any:
    """Give one statistic by maketables' key, None where there is none such."""
    parameters = _random_parameters(model)
    if key in parameters:
        return parameters[key]
    getters: dict[str, Callable[[], Any]] = {
        "N": lambda: model.nobs,
        "ll": lambda: model.loglik,
        "aic": lambda: model.aic,
        "bic": lambda: model.bic,
        "reml": lambda: model.criterion if model.is_reml else None,
        "deviance": lambda: None if model.is_reml else model.criterion,
        "sigma": lambda: model.sigma,
        "groups": lambda: ", ".join(f"{name} {levels}" for name, levels in model.ngroups.items()),
        "random_sd": lambda: _random_sd(model),
        "icc": lambda: model.icc().adjusted,
        "r2_marginal": lambda: model.r2().marginal,
        "r2_conditional": lambda: model.r2().conditional,
        "df_resid": lambda: model.df_resid,
        "singular": lambda: "yes" if model.is_singular else "no",
        "converged": lambda: "yes" if model.converged else "no",
        "method": lambda: "REML" if model.is_reml else "ML",
        "se_type": lambda: SE_TYPE,
    }
    return getters[key]() if key in getters else None


def statistic_labels(model: LinearMixedModel) -> dict[str, str]:
    """Give the texts shown for the keys."""
    return LABELS | {key: key for key in _random_parameters(model)}


def default_statistics(model: LinearMixedModel) -> list[str]:
    """Say what is shown below the coefficients."""
    sizes = ["N", "groups", "icc", "r2_marginal", "r2_conditional"]
    criterion = "reml" if model.is_reml else "deviance"
    return [*sizes, criterion, "aic", "bic", "ll", "sigma", *_random_parameters(model)]


def _random_parameters(model: LinearMixedModel) -> dict[str, float]:
    """Standard deviations and correlations of the random effects; the keys are what the table shows."""
    result: dict[str, float] = {}
    for term, covariance in zip(model.design.terms, model.varcorr.terms, strict=True):
        names, correlation = covariance.names, covariance.correlation
        found = {f"SD {name}": float(value) for name, value in zip(names, covariance.std_dev, strict=True)}
        pairs = combinations(range(len(names)), 2)
        found |= {f"Cor {names[i]}, {names[j]}": float(correlation[j, i]) for i, j in pairs}
        group = term.label if any(f"{term.group}: {what}" in result for what in found) else term.group
        result |= {f"{group}: {what}": value for what, value in found.items()}
    return result


def _random_sd(model: LinearMixedModel) -> str:
    return "; ".join(
        f"{term.group}: {', '.join(f'{value:.3g}' for value in np.atleast_1d(term.std_dev))}"
        for term in model.varcorr.terms
    )
