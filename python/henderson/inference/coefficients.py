"""The table of the fixed effects: estimates, standard errors, degrees of freedom, tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson import errors_inference
from henderson.inference import covariance
from henderson.inference.degrees import FixedEffectTests, fixed_effect_tests, method_name

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

COLUMNS = ("estimate", "std_error", "df", "statistic", "p_value")


def coefficients(model: LinearMixedModel) -> pd.DataFrame:
    """Table of all fixed effects: estimate, std_error, df, statistic, p_value; NaN rows for aliased columns.

    Notes
    -----
    t tests with Satterthwaite's degrees of freedom. For other tests see `summary` and `contrast`.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.coefficients.round(3)
                 estimate  std_error    df  statistic  p_value
    (Intercept)   251.405      6.825  17.0     36.838      0.0
    Days           10.467      1.546  17.0      6.771      0.0
    """
    return table(model, fixed_effect_tests(model))


def standard_errors(model: LinearMixedModel) -> pd.Series[float]:
    """Standard errors of the fixed effects kept."""
    import pandas as pd

    errors = model.sigma * np.sqrt(np.diag(model.solution.unscaled_vcov))
    return pd.Series(errors, index=model.fixef.index, name="stderror")


def p_values(model: LinearMixedModel) -> pd.Series[float]:
    """P-values of the fixed effects kept: t tests with Satterthwaite's degrees of freedom."""
    return model.coefficients["p_value"].iloc[model.kept].rename("p_values")


def degrees_of_freedom(model: LinearMixedModel) -> pd.Series[float]:
    """Satterthwaite's degrees of freedom of the fixed effects kept."""
    return model.coefficients["df"].iloc[model.kept].rename("df")


@dataclass(frozen=True, eq=False)
class CoefficientTable:
    """The fixed effects as a summary shows them.

    Attributes
    ----------
    table
        One row for each fixed effect, NaN for aliased ones.
    correlation
        Of the estimates.
    ddf
        Rule for the degrees of freedom, None where there are no tests.
    method
        The same in words, with the covariance matrix if it is a robust one.
    notes
        What the user should know about them.
    """

    table: pd.DataFrame
    correlation: pd.DataFrame
    ddf: str | None
    method: str
    notes: tuple[str, ...]


def coefficient_table(model: LinearMixedModel, ddf: str | None, vcov: Any, cluster: Any) -> CoefficientTable:
    """The fixed effects with their tests; without tests, and with a note, where df cannot be computed."""
    notes: tuple[str, ...] = ()
    try:
        tests = fixed_effect_tests(model, "normal" if ddf is None else ddf, vcov, cluster)
    except np.linalg.LinAlgError as reason:
        notes = (errors_inference.no_degrees_of_freedom_note(str(ddf), reason),)
        tests, ddf = fixed_effect_tests(model, "normal"), None
    values = table(model, tests)
    method = method_name(tests)
    if ddf is None:
        values, method = values.drop(columns="p_value"), tests.covariance_name
    scale = np.sqrt(np.diag(tests.covariance))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = covariance.table(model, tests.covariance / np.outer(scale, scale))
    return CoefficientTable(values, correlation, ddf, method, (*notes, *tests.notes))


def table(model: LinearMixedModel, tests: FixedEffectTests) -> pd.DataFrame:
    """One row for each fixed effect: estimate, std_error, df (unless all are infinite), statistic, p_value."""
    import pandas as pd

    found = tests.t_tests(np.eye(len(model.kept)))
    values = np.full((len(model.design.x_names), len(COLUMNS)), np.nan)
    columns = [found.estimate, found.std_error, found.df, found.statistic, found.p_value]
    values[model.kept] = np.column_stack(columns)
    result = pd.DataFrame(values, index=list(model.design.x_names), columns=list(COLUMNS))
    return result.drop(columns="df") if tests.is_normal else result
