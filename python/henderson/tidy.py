"""A fit as tables with the column names of R's broom.mixed: `tidy` for estimates, `glance` for the fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_reports
from henderson.inference import coefficients, intervals, random_coefficients
from henderson.inference.distributions import check_level, t_quantile
from henderson.inference.parameters import parameters
from henderson.inference.variance_shares import icc, r2
from henderson.varcorr import RESIDUAL

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

EFFECTS = ("fixed", "ran_pars", "ran_vals", "ran_coefs")
SCALES = {"sdcor": ("sd", "cor"), "vcov": ("var", "cov")}
NUMBERS = ("estimate", "std_error", "statistic", "df", "p_value")


def tidy(
    model: LinearMixedModel,
    effects: str | Iterable[str] = ("fixed", "ran_pars"),
    *,
    scales: str = "sdcor",
    conf_int: bool = False,
    level: float = 0.95,
    conf_method: str = "wald",
    ddf: str | None = "satterthwaite",
    vcov: Any = "model",
    cluster: Any = None,
    n: int = 1000,
    seed: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Estimates in one long table with the column names of R's broom.mixed.

    Parameters
    ----------
    effects
        One or several of "fixed", the fixed effects; "ran_pars", standard deviations and correlations of the random
        effects and of the residuals; "ran_vals", the random effects of every level (conditional modes); "ran_coefs",
        the coefficients of every level, fixed plus random effects.
    scales
        Of "ran_pars": "sdcor", standard deviations and correlations; "vcov", variances and covariances.
    conf_int
        Add the columns conf_low and conf_high.
    level
        Their confidence level.
    conf_method
        "wald", "profile" or "boot", as in `confint`. Wald intervals of "ran_pars" do not exist: NaN. Profile and
        bootstrap intervals are of "fixed" and "ran_pars"; those of random effects and coefficients are always Wald
        intervals with normal quantiles.
    ddf
        Degrees of freedom of tests and Wald intervals of the fixed effects, as in `summary`; None: no tests, and
        intervals with normal quantiles.
    vcov, cluster
        Covariance matrix of the fixed effects, as in `summary`; for Wald intervals too.
    n, seed
        Bootstrap: number of replicates and seed.
    progress
        Profile and bootstrap: show a line on stderr.

    Returns
    -------
    DataFrame
        Columns effect, group, level (with "ran_vals" or "ran_coefs"), term, estimate, std_error, statistic, df, p_value
        and, with `conf_int`, conf_low and conf_high. What does not apply is None or NaN.

    Raises
    ------
    DataError
        An unknown choice, or a level that is none.

    Notes
    -----
    Unlike broom.mixed's, "ran_pars" have standard errors, those of `variance_parameters` (NaN at the boundary), and so
    do "ran_coefs": with S the derivative of the random effects in the fixed effects (b^ = b~ - S beta^),
    Var(beta^_j + b^_gj - beta_j - b_gj) = (e_j - S_gj)'Cov(beta^)(e_j - S_gj) + Var(b_gj | y, beta), at the estimated
    variances. Profile and bootstrap intervals of a variance are squared limits of the standard deviation; covariances
    have none. Aliased fixed effects are left out. With ``ddf="normal"`` df is infinite.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.tidy()[["effect", "group", "term", "estimate", "std_error"]].round(2)
         effect     group                   term  estimate  std_error
    0     fixed      None            (Intercept)   251.41       6.82
    1     fixed      None                   Days     10.47       1.55
    2  ran_pars   Subject        sd__(Intercept)     24.74       5.84
    3  ran_pars   Subject  cor__(Intercept).Days      0.07       0.33
    4  ran_pars   Subject               sd__Days      5.92       1.25
    5  ran_pars  Residual        sd__Observation     25.59       1.51
    >>> fit.tidy("ran_vals", conf_int=True)[["level", "term", "estimate", "conf_low", "conf_high"]].head(2).round(2)
      level         term  estimate  conf_low  conf_high
    0   308  (Intercept)      2.26    -21.40      25.92
    1   309  (Intercept)    -40.40    -64.06     -16.74

    """
    import pandas as pd

    chosen = _checked(effects, scales, conf_method)
    check_level(level)
    limits = _by_likelihood(model, chosen, level, conf_method, n, seed, progress) if conf_int else None
    blocks = []
    for effect in chosen:
        if effect == "fixed":
            blocks.append(_fixed(model, level, limits, ddf, vcov, cluster))
        elif effect == "ran_pars":
            blocks.append(_ran_pars(model, scales, limits))
        else:
            blocks.append(_by_level(model, effect, level))
    table = blocks[0] if len(blocks) == 1 else pd.concat(blocks, ignore_index=True)
    names = ["effect", "group", "level", "term", *NUMBERS, "conf_low", "conf_high"]
    if not {"ran_vals", "ran_coefs"} & set(chosen):
        names.remove("level")
    return table[names if conf_int else names[:-2]]


def glance(model: LinearMixedModel) -> pd.DataFrame:
    """What there is to say about the fit as a whole, in one row with the column names of R's broom.mixed.

    Returns
    -------
    DataFrame
        Columns nobs, sigma, loglik, aic, bic, reml_criterion (deviance, for a fit by maximum likelihood) and
        df_residual as in broom.mixed; then icc (adjusted), r2_marginal, r2_conditional, and the number of levels of
        each grouping factor, "ngroups_Subject".

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> fit.glance().round(3).T
                           0
    nobs              30.000
    sigma             49.510
    loglik          -159.827
    aic              325.654
    bic              329.858
    reml_criterion   319.654
    df_residual       27.000
    icc                0.418
    r2_marginal        0.000
    r2_conditional     0.418
    ngroups_Batch      6.000
    """
    import pandas as pd

    explained = r2(model)
    row = {
        "nobs": model.nobs,
        "sigma": model.sigma,
        "loglik": model.loglik,
        "aic": model.aic,
        "bic": model.bic,
        "reml_criterion" if model.is_reml else "deviance": model.criterion,
        "df_residual": model.df_resid,
        "icc": icc(model).adjusted,
        "r2_marginal": explained.marginal,
        "r2_conditional": explained.conditional,
    }
    return pd.DataFrame([row | {f"ngroups_{name}": levels for name, levels in model.ngroups.items()}])


def _checked(effects: Any, scales: Any, conf_method: Any) -> list[str]:
    """The effects asked for, each once; other choices are refused if unknown."""
    listed = [effects] if isinstance(effects, str) or not isinstance(effects, Iterable) else list(effects)
    if not listed:
        raise errors_reports.effects_empty(EFFECTS)
    for effect in listed:
        if not isinstance(effect, str) or effect not in EFFECTS:
            raise errors.choice("effects", effect, EFFECTS)
    if not isinstance(scales, str) or scales not in SCALES:
        raise errors.choice("scales", scales, tuple(SCALES))
    if conf_method not in intervals.METHODS:
        raise errors.choice("conf_method", conf_method, intervals.METHODS)
    return list(dict.fromkeys(listed))


def _by_likelihood(
    model: LinearMixedModel, chosen: list[str], level: float, method: str, n: int, seed: int | None, progress: bool
) -> Matrix | None:
    """Profile or bootstrap limits of all parameters in the order of `parameters`, shape (k, 2); None for Wald's."""
    if method == "wald" or not {"fixed", "ran_pars"} & set(chosen):
        return None
    available = parameters(model)
    names = [found.name for found in available if ("fixed" if found.is_fixed else "ran_pars") in chosen]
    result = np.full((len(available), 2), np.nan)
    if names:
        found = intervals.confint(model, level, method=method, parameters=names, n=n, seed=seed, progress=progress)
        result[[parameter.name in names for parameter in available]] = found.to_numpy()
    return result


def _block(effect: str, group: Any, level: Any, term: list[str], numbers: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    rows = len(term)
    labels = {"effect": [effect] * rows, "group": group, "level": level, "term": term}
    columns = {
        name: pd.Series(values, dtype=object if name in ("group", "level") else None) for name, values in labels.items()
    }
    missing = np.full(rows, np.nan)
    return pd.DataFrame(columns | {name: numbers.get(name, missing) for name in (*NUMBERS, "conf_low", "conf_high")})


def _fixed(
    model: LinearMixedModel, level: float, limits: Matrix | None, ddf: str | None, vcov: Any, cluster: Any
) -> pd.DataFrame:
    found = coefficients.coefficient_table(model, ddf, vcov, cluster)
    table = found.table.iloc[model.kept]
    numbers = {name: table[name].to_numpy() for name in NUMBERS if name in table}
    if found.ddf is not None or ddf is None:
        numbers.setdefault("df", np.full(len(table), np.inf))
    if limits is None:
        reach = t_quantile(level, numbers.get("df", np.full(len(table), np.nan))) * numbers["std_error"]
        low, high = numbers["estimate"] - reach, numbers["estimate"] + reach
    else:
        low, high = limits[[parameter.is_fixed for parameter in parameters(model)]].T
    if ddf is None:
        del numbers["df"]
    numbers |= {"conf_low": low, "conf_high": high}
    none = [None] * len(table)
    return _block("fixed", none, none, [str(name) for name in table.index], numbers)


def _ran_pars(model: LinearMixedModel, scales: str, limits: Matrix | None) -> pd.DataFrame:
    """Variance parameters in the order of theta, with broom.mixed's names."""
    own, joint = SCALES[scales]
    found = model.variance_parameters(scale=scales)
    places = {label: place for place, label in enumerate(found.labels)}
    order, groups, names, squared = [], [], [], []
    for term in model.design.terms:
        size = len(term.names)
        for column, row in zip(*np.triu_indices(size), strict=True):
            one, other = term.names[column], term.names[row]
            order.append(places[term.label, one, None if row == column else other])
            groups.append(term.label)
            names.append(f"{own}__{one}" if row == column else f"{joint}__{one}.{other}")
            squared.append(row == column)
    order.append(len(places) - 1)
    numbers = {"estimate": found.estimates[order], "std_error": found.std_errors[order]}
    if limits is not None:
        bounds = limits[[not parameter.is_fixed for parameter in parameters(model)]]
        if scales == "vcov":
            bounds = np.where(np.array([*squared, True])[:, None], np.maximum(bounds, 0.0) ** 2, np.nan)
        numbers |= {"conf_low": bounds[:, 0], "conf_high": bounds[:, 1]}
    return _block("ran_pars", [*groups, RESIDUAL], [None] * len(order), [*names, f"{own}__Observation"], numbers)


def _by_level(model: LinearMixedModel, effect: str, level: float) -> pd.DataFrame:
    """Random effects or coefficients of every level, effect after effect."""
    is_values = effect == "ran_vals"
    values = model.ranef if is_values else model.coef
    deviations = model.ranef_std_error if is_values else random_coefficients.standard_errors(model)
    groups: list[str] = []
    levels: list[Any] = []
    terms: list[str] = []
    for group, table in values.items():
        groups += [group] * table.size
        levels += table.index.tolist() * table.shape[1]
        terms += [str(name) for name in table.columns for _ in range(len(table))]
    estimate = np.concatenate([table.to_numpy().ravel(order="F") for table in values.values()])
    std_error = np.concatenate([table.to_numpy().ravel(order="F") for table in deviations.values()])
    reach = t_quantile(level, np.inf) * std_error
    numbers = {
        "estimate": estimate,
        "std_error": std_error,
        "conf_low": estimate - reach,
        "conf_high": estimate + reach,
    }
    return _block(effect, groups, levels, terms, numbers)
