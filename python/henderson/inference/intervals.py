"""Confidence intervals of a fitted model by any method: Wald, profile likelihood, bootstrap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson import errors, errors_intervals
from henderson.inference import parameters as params
from henderson.inference.bootstrap import bootstrap
from henderson.inference.degrees import fixed_effect_tests
from henderson.inference.distributions import check_level, limit_names, t_quantile
from henderson.inference.profile import profile

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

__all__ = ["bootstrap", "confint", "profile"]

METHODS = ("wald", "profile", "boot")


def confint(
    model: LinearMixedModel,
    level: float = 0.95,
    *,
    method: str = "wald",
    parameters: str | Iterable[str] | None = None,
    ddf: str = "normal",
    vcov: Any = "model",
    cluster: Any = None,
    n: int = 1000,
    seed: int | None = None,
    type: str = "parametric",  # noqa: A002 - the name the literature has for it
    interval: str = "percentile",
    threads: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Confidence intervals, a row per parameter, columns named by their percentages as in R.

    Parameters
    ----------
    level
        Confidence level.
    method
        "wald": estimate +- quantile * standard error, for the fixed effects. "profile": where the likelihood ratio is
        significant, for fixed effects, standard deviations, correlations and sigma. "boot": from refits to simulated
        responses, for the same.
    parameters
        Names (``"Days"``, ``"sd_Days|Subject"``), ``"theta_"`` for all of the covariance, ``"beta_"`` for all fixed
        effects. None: all that the method can do.
    ddf
        Wald: quantiles of t with "satterthwaite", "kenward-roger" or "residual" degrees of freedom; "normal" for z.
    vcov, cluster
        Wald: covariance matrix of the estimates, and what the rows are clustered by, as in `summary`.
    n, seed, type
        Bootstrap: number of replicates, seed, and "parametric", "residual" or "cluster", as in `bootstrap`; `cluster`
        then is what is drawn.
    interval
        Bootstrap: "percentile", "basic", "bca" or "shortest".
    threads
        Bootstrap: threads to use, 0 for as many as there are processors.
    progress
        Profile and bootstrap: show a line on stderr.

    Returns
    -------
    DataFrame
        Indexed by the names of the parameters.

    Raises
    ------
    DataError
        A level that is none, an unknown method or parameter, a Wald interval asked for a variance.

    Notes
    -----
    Profiles are of the likelihood also for a fit by REML, as in lme4; see `profile` and `bootstrap` for more control.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.confint().round(2)
                  2.5 %  97.5 %
    (Intercept)  238.03  264.78
    Days           7.44   13.50
    >>> fit.confint(ddf="kenward-roger").round(2)
                  2.5 %  97.5 %
    (Intercept)  237.01  265.80
    Days           7.21   13.73
    >>> fit.confint(0.9, method="profile", parameters="theta_").round(2)
                                    5 %   95 %
    sd_(Intercept)|Subject        15.76  34.96
    cor_Days.(Intercept)|Subject  -0.41   0.60
    sd_Days|Subject                4.07   8.15
    sigma                         23.30  28.29
    """
    check_level(level)
    if method not in METHODS:
        raise errors.choice("method", method, METHODS)
    if method == "wald":
        return _wald(model, level, parameters, ddf, vcov, cluster)
    chosen = params.selected(available := params.parameters(model), parameters)
    names = [available[place].name for place in chosen]
    if method == "profile":
        reach = float(t_quantile(level, np.inf))
        return profile(model, names, cutoff=reach, progress=progress).confint(level)
    found = bootstrap(model, n, seed, type=type, cluster=cluster, threads=threads, progress=progress)
    return found.confint(level, method=interval, parameters=names)


def _wald(
    model: LinearMixedModel, level: float, parameters: str | Iterable[str] | None, ddf: str, vcov: Any, cluster: Any
) -> pd.DataFrame:
    """Intervals of the fixed effects from their standard errors."""
    import pandas as pd

    available = params.parameters(model)
    chosen = params.selected(available, params.FIXED if parameters is None else parameters)
    others = [available[place].name for place in chosen if not available[place].is_fixed]
    if others:
        raise errors_intervals.parameters_not_wald(others)
    rows = [available[place].row for place in chosen]
    tests = fixed_effect_tests(model, ddf, vcov, cluster)
    limits = tests.t_tests(np.eye(len(tests.beta))[rows]).limits(level)
    index = pd.Index([available[place].name for place in chosen], dtype=object if not chosen else None)
    return pd.DataFrame(limits, index=index, columns=limit_names(level))
