"""Predictions: for the rows of the fit or new ones, of means or observations, with or without random effects."""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_predict
from henderson.inference import degrees
from henderson.inference.distributions import check_level, t_quantile
from henderson.inference.prediction_blocks import PairSums, leverage_sums, pair_sums
from henderson.inference.prediction_variance import KnownEffects, Variances
from henderson.prediction_rows import PredictionRows, Where, mean, new_levels, prediction_rows
from henderson.random_selection import select

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

NEW_GROUPS = ("population", "error", "nan")
INTERVALS = ("confidence", "prediction")


def predict(
    model: LinearMixedModel,
    newdata: Any = None,
    *,
    re: Any = "all",
    new_groups: str = "population",
    interval: str | None = None,
    level: float = 0.95,
    ddf: str = "satterthwaite",
    weights: Any = None,
    offset: Any = None,
    std_error: bool = False,
) -> pd.Series[float] | pd.DataFrame:
    """Predict the mean of rows, or observations, with standard errors and intervals if wanted.

    Parameters
    ----------
    newdata
        A pandas, polars or pyarrow table or a dict of arrays with the columns that the model uses; the response may be
        absent. None for the rows of the fit.
    re
        Which random effects take part: "all"; None for none of them (the mean of the population); the name of a
        grouping factor; random terms with all or some of the effects of the model, such as "(1 | g)"; or a list of
        these.
    new_groups
        Rows of levels that the model was not fitted to: "population" predicts them with a random effect of zero and
        says so in a warning, "error" refuses them, "nan" gives NaN.
    interval
        "confidence" for the mean of a row given its random effects, "prediction" for a new observation.
    level
        Of the intervals.
    ddf
        Degrees of freedom of the intervals: "satterthwaite", "kenward-roger" (REML fits), "residual" or "normal".
    weights
        Of new observations, for prediction intervals: a column name, an array or a number. By default the column that
        the model was fitted with.
    offset
        Of new rows, instead of the column that the model was fitted with: a column name, an array or a number. Terms
        ``offset()`` of the formula are evaluated for new rows.
    std_error
        Give the table with standard errors even without `interval`; it is then that of "confidence".

    Returns
    -------
    Series or DataFrame
        Estimates, named as the response, on the index of the table. With `interval` or `std_error` a table with the
        columns estimate, std_error, df, conf_low and conf_high. NaN where a value that is needed is missing.

    Raises
    ------
    DataError
        A column is absent, a categorical predictor has a new level, `re` names effects that the model does not have.

    Warns
    -----
    PredictionWarning
        There are new levels, or rows that the data say nothing about because columns were dropped.

    Notes
    -----
    With x and z the row's columns of the fixed and random effects, H = (Z'WZ + Psi⁻¹)⁻¹, Cov(b) = sigma² Psi and
    d = x - X'WZ H z, the standard error is the root of

        sigma² z'H z + d'Cov(beta) d + (variance of effects of new levels) + (prediction: effects left out, sigma² / w)

    exactly, for given variances: beta and b are estimated together. A new level adds the variance of its own effects.
    In prediction intervals effects that `re` leaves out are those of new groups, with their full variance.
    Satterthwaite's degrees of freedom are those of the whole sum. Kenward and Roger's method replaces Cov(beta) by
    theirs; where random effects or residuals are part of the sum, the degrees of freedom are Satterthwaite's.

    References
    ----------
    Henderson, C. R. (1975). Best linear unbiased estimation and prediction under a selection model. Biometrics 31,
    423-447.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> new = {"Days": [0, 9], "Subject": ["308", "308"]}
    >>> fit.predict(new).round(2).tolist()
    [253.66, 430.66]
    >>> fit.predict(new, re=None, interval="confidence").round(2)
       estimate  std_error    df  conf_low  conf_high
    0    251.41       6.82  17.0    237.01     265.80
    1    345.61      14.63  17.0    314.75     376.47
    """
    import pandas as pd

    _check_options(model, new_groups, interval, level, ddf, std_error)
    of_observations = interval == "prediction"
    selection = select(model.design, re)
    rows = prediction_rows(model, newdata, selection, of_observations=of_observations, weights=weights, offset=offset)
    estimate = mean(model, rows)
    is_new, warning = new_levels(model, rows, new_groups)
    if warning is not None:
        python_warnings.warn(warning, stacklevel=2)
    if is_new is not None and new_groups == "nan":
        estimate[is_new] = np.nan
    lost = _not_estimable(model, rows, estimate)
    if len(lost):
        estimate[lost] = np.nan
        labels = rows.source.index[lost].tolist()
        python_warnings.warn(errors_predict.not_estimable_warning(labels, model.aliased), stacklevel=2)
    if interval is None and not std_error:
        return pd.Series(estimate, index=rows.source.index, name=model.design.response_name)
    spread, df = _spread(model, rows, estimate, ddf, of_observations=of_observations)
    with np.errstate(invalid="ignore"):
        reach = np.where(spread > 0, t_quantile(level, df), 0.0) * spread
    columns = {"estimate": estimate, "std_error": spread, "df": df}
    columns |= {"conf_low": estimate - reach, "conf_high": estimate + reach}
    return pd.DataFrame(columns, index=rows.source.index)


def _check_options(
    model: LinearMixedModel, new_groups: Any, interval: Any, level: Any, ddf: Any, std_error: Any
) -> None:
    if new_groups not in NEW_GROUPS:
        raise errors.choice("new_groups", new_groups, NEW_GROUPS)
    if interval is not None and interval not in INTERVALS:
        raise errors.choice("interval", interval, INTERVALS)
    if not isinstance(std_error, bool | np.bool_):
        raise errors.argument_type("std_error", std_error, "True or False")
    check_level(level)
    degrees.check_ddf(ddf)
    if ddf == "kenward-roger" and not model.is_reml and (interval is not None or std_error):
        raise errors_predict.kenward_roger_needs_reml()


def _not_estimable(model: LinearMixedModel, rows: PredictionRows, estimate: Vector) -> NDArray[np.intp]:
    """The rows that dropped columns of X leave open."""
    if not model.aliased:
        return np.empty(0, dtype=np.intp)
    lost = []
    known = model.row_facts.estimability
    everything = list(range(len(model.design.x_names)))
    for where in _chunks(np.flatnonzero(np.isfinite(estimate)), rows.n, 2**22 // len(everything)):
        positions = np.arange(rows.n)[where]
        lost.append(positions[~known.is_estimable(rows.fixed(everything, where))])
    return np.concatenate([np.empty(0, dtype=np.intp), *lost])


def _spread(
    model: LinearMixedModel, rows: PredictionRows, estimate: Vector, ddf: str, *, of_observations: bool
) -> tuple[Vector, Vector]:
    """Standard errors of prediction and their degrees of freedom, (n,) each; NaN where there is nothing to predict."""
    is_known = np.isfinite(estimate)
    if rows.weights is not None and of_observations:
        is_known &= np.isfinite(rows.weights)
    positions = np.flatnonzero(is_known)
    spread, df = np.full(rows.n, np.nan), np.full(rows.n, np.nan)
    variances = model._prediction_variances
    is_fixed = not rows.selection.chosen and not of_observations
    with_slopes = ddf == "satterthwaite" or (ddf == "kenward-roger" and not is_fixed)
    pairs = _pairs(rows, variances, positions, with_slopes=with_slopes)
    effects = sum(variances.sizes[t] for t in rows.selection.chosen)
    for where in _chunks(positions, rows.n, variances.rows_per_chunk(effects, is_prepared=pairs is not None)):
        x = variances.centred(rows.fixed(list(model.kept), where))
        known = _known_effects(rows, variances, where)
        if pairs is not None and known is not None:
            adjusted, rest, slopes = pairs.of_rows(x, known, where)
        else:
            adjusted, rest, slopes = variances.of_known(x, known, with_slopes=with_slopes)
        for t, z in _unknown_effects(rows, where, len(x), of_observations=of_observations):
            own, own_slopes = variances.of_new_levels(t, variances.mapped(t, z), with_slopes=with_slopes)
            rest, slopes = rest + own, slopes + own_slopes
        if of_observations:
            rest = rest + (1.0 if rows.weights is None else 1.0 / rows.weights[where])
        spread[where], df[where] = _standard_errors(model, adjusted, rest, slopes, ddf, is_fixed=is_fixed)
    return spread, df


def _pairs(
    rows: PredictionRows, variances: Variances, positions: NDArray[np.intp], *, with_slopes: bool
) -> PairSums | None:
    """What is prepared for all rows at once, where there are many of them; rows without prediction have any values."""
    are_of_fit = rows.are_of_fit and not rows.selection.left_out
    if not variances.prepares(len(positions), are_of_fit=are_of_fit, with_slopes=with_slopes):
        return None
    if are_of_fit:
        return leverage_sums(variances, with_slopes=with_slopes)
    known = _known_effects(rows, variances, slice(0, rows.n))
    if known is None:
        return None
    if len(positions) < rows.n:
        known.z[np.isnan(known.z).any(axis=1)] = 0.0
    return pair_sums(variances, known, with_slopes=with_slopes)


def _standard_errors(
    model: LinearMixedModel, adjusted: Matrix, rest: Vector, slopes: Matrix, ddf: str, *, is_fixed: bool
) -> tuple[Vector, Vector]:
    """Standard errors and degrees of freedom of sigma² `rest` + d'Cov(beta) d, d the rows of `adjusted`."""
    variances, variance = model._prediction_variances, model.sigma**2
    plain = rest + np.einsum("mp,mp->m", adjusted @ variances.unscaled, adjusted)
    total = variance * plain
    if ddf == "kenward-roger":
        covariance = variances.of_coefficients(model._kenward_roger.covariance)
        total = variance * rest + np.einsum("mp,mp->m", adjusted @ covariance, adjusted)
    if ddf == "kenward-roger" and is_fixed:
        df = model._kenward_roger.df(adjusted @ variances.origin)
    elif ddf in ("satterthwaite", "kenward-roger"):
        df = _satterthwaite(model, plain, slopes)
    else:
        df = np.full(len(plain), np.inf if ddf == "normal" else float(model.nobs - len(model.kept)))
    return np.sqrt(np.maximum(total, 0.0)), df


def _satterthwaite(model: LinearMixedModel, plain: Vector, slopes: Matrix) -> Vector:
    """2 v² / (g'A g) with v = sigma² `plain`, g its derivatives and A the covariance of the variance parameters."""
    information, sigma = model.information, model.sigma
    gradient = np.column_stack([sigma**2 * slopes, 2.0 * sigma * information.basis[-1, -1] * plain])
    spread = np.einsum("mi,mi->m", gradient @ information.covariance_along, gradient)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(plain > 0, 2.0 * (sigma**2 * plain) ** 2 / spread, np.inf)


def _known_effects(rows: PredictionRows, variances: Variances, where: Where) -> KnownEffects | None:
    """The random effects that take part and have conditional modes."""
    units, values, terms = [], [], []
    for t, effects in rows.selection.chosen.items():
        codes = rows.source.terms[t].codes
        assert codes is not None
        own = codes[where]
        z = rows.random(t, effects, where, len(own))
        z[own < 0] = 0.0
        first = variances.starts[t] + np.maximum(own, 0).astype(np.intp) * variances.sizes[t]
        units += [first + k for k in range(variances.sizes[t])]
        values += list(variances.mapped(t, z).T)
        terms += [t] * variances.sizes[t]
    return KnownEffects(np.column_stack(units), np.column_stack(values), tuple(terms)) if units else None


def _unknown_effects(
    rows: PredictionRows, where: Where, size: int, *, of_observations: bool
) -> Iterator[tuple[int, Matrix]]:
    """Per term the columns of effects with their full variance: of new levels, and those left out of observations."""
    for t, effects in rows.selection.chosen.items():
        is_new = rows.source.terms[t].is_new
        if is_new is not None and is_new[where].any():
            yield t, rows.random(t, effects, where, size) * is_new[where][:, None]
    for t, effects in rows.selection.left_out.items():
        if of_observations:
            yield t, rows.random(t, effects, where, size)


def _chunks(positions: NDArray[np.intp], n: int, size: int) -> Iterator[Where]:
    """Some rows, so many at a time; slices where they are all rows."""
    for start in range(0, len(positions), size):
        stop = min(start + size, len(positions))
        yield slice(start, stop) if len(positions) == n else positions[start:stop]
