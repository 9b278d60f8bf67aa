"""A fit as plain values, for JSON: estimates, tests and fit statistics, what a report or another program reads."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from henderson.levels import level_text
from henderson.persistence.archive import path_of, write_whole

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel


def to_dict(
    model: LinearMixedModel,
    *,
    ddf: str | None = "satterthwaite",
    level: float = 0.95,
    random_effects: bool = False,
) -> dict[str, Any]:
    """Estimates, tests and fit statistics as a dict of plain values: text, numbers, booleans, lists and dicts.

    Parameters
    ----------
    ddf
        Degrees of freedom of the tests and intervals: as in `summary`; None for no tests.
    level
        Of the confidence intervals of the fixed effects.
    random_effects
        Add the conditional modes and their standard deviations, one entry per level and effect.

    Returns
    -------
    dict
        Values that are not finite (of aliased columns, say) are None. ``fixef`` has one entry for each fixed effect
        with broom's names, ``varcorr`` one for each variance and covariance.

    Notes
    -----
    This is for reading. To use the fit itself elsewhere, `save` it.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> found = fit.to_dict()
    >>> found["method"], found["nobs"], found["ngroups"], round(found["sigma"], 2)
    ('REML', 30, {'Batch': 6}, 49.51)
    >>> found["fixef"][0]["term"], found["fixef"][0]["estimate"]
    ('(Intercept)', 1527.5)
    """
    summary = model.summary(ddf=ddf)
    table = summary.coefficients
    if ddf is not None:
        found = model.tidy(effects="fixed", conf_int=True, level=level, ddf=summary.ddf or "normal")
        table = table.join(found.set_index("term")[["conf_low", "conf_high"]])
    parts = {
        "formula": model.formula,
        "method": "REML" if model.is_reml else "ML",
        "call": dict(model.call),
        "nobs": model.nobs,
        "n_dropped": model.design.n_dropped,
        "ngroups": model.ngroups,
        "criterion": model.criterion,
        "loglik": model.loglik,
        "aic": model.aic,
        "bic": model.bic,
        "df_resid": model.df_resid,
        "sigma": model.sigma,
        "theta": dict(zip(model.theta.index, model.theta.tolist(), strict=True)),
        "ddf": summary.ddf,
        "level": level,
        "fixef": [{"term": name, **row} for name, row in table.to_dict("index").items()],
        "vcov": model.vcov.to_numpy().tolist(),
        "varcorr": model.varcorr.to_frame().to_dict("records"),
        "is_singular": model.is_singular,
        "converged": model.converged,
        "evaluations": model.optimum.evaluations,
        "decrement": model.optimum.decrement,
        "notes": list(summary.notes),
    }
    if random_effects:
        rows = model.ranef_table().to_dict("records")
        parts["ranef"] = [row | {"grp": level_text(row["grp"])} for row in rows]
    return {name: plain(value) for name, value in parts.items()}


def to_json(
    model: LinearMixedModel,
    path: str | os.PathLike[str] | None = None,
    *,
    ddf: str | None = "satterthwaite",
    level: float = 0.95,
    random_effects: bool = False,
    indent: int | None = 2,
) -> str:
    """The values of `to_dict` as JSON text; with `path`, written to that file too.

    Parameters
    ----------
    path
        Name of a file to write.
    ddf, level, random_effects
        As in `to_dict`.
    indent
        Spaces per level; None for one line.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> print(fit.to_json(ddf=None)[:64])
    {
      "formula": "Yield ~ 1 + (1 | Batch)",
      "method": "REML",
    """
    found = to_dict(model, ddf=ddf, level=level, random_effects=random_effects)
    text = json.dumps(found, indent=indent, allow_nan=False, ensure_ascii=False)
    if path is not None:
        write_whole(Path(path_of(path)), lambda file: file.write((text + "\n").encode()))
    return text


def plain(value: Any) -> Any:
    """A value as JSON has it: numbers that are not finite are None."""
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
