"""Fixed effects of one model or of several, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson import errors_plots
from henderson.inference.distributions import check_level
from henderson.plots import grouping, marks, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from henderson.model import LinearMixedModel

INTERCEPT = "(Intercept)"
MOST_NAMES = 60
_MARKERS = "osD^vP"
_PITCH = 0.24  # inches from coefficient to coefficient
_GAP = 0.11  # from model to model


def coefficients(
    fit: LinearMixedModel | Mapping[str, LinearMixedModel] | Iterable[LinearMixedModel],
    *,
    parameters: str | Iterable[str] | None = None,
    intercept: bool = False,
    level: float = 0.95,
    method: str = "wald",
    ddf: str = "satterthwaite",
    vcov: Any = "model",
    cluster: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Estimates of the fixed effects with their intervals, of several models side by side.

    Parameters
    ----------
    fit
        A fitted model, a list of them, or a dict of them by the name that the legend gives them.
    parameters
        Names of fixed effects, in this order from top to bottom; None: all of them.
    intercept
        Show the intercept, whose scale is another one; it is shown anyway when there is nothing else, or when it is
        named.
    level
        Of the intervals.
    method
        ``"wald"`` or ``"profile"``, as in ``fit.confint``.
    ddf, vcov, cluster
        Wald intervals: degrees of freedom and covariance matrix of the estimates, as in ``fit.summary``.
    ax
        Where to draw; default: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        Something is no fitted model, or a parameter that none of them has.

    Notes
    -----
    A coefficient that a model does not have (or that is aliased) is left out of it. Coefficients are in the units of
    their columns: to compare them, use ``scale(x)`` in the formula.

    Examples
    --------
    >>> import henderson as hd
    >>> ratpup = hd.datasets.load_ratpup()
    >>> one = hd.lmer("weight ~ sex + Lsize + (1 | Litter)", ratpup)
    >>> two = hd.lmer("weight ~ sex + Lsize + Treatment + (1 | Litter)", ratpup)
    >>> ax = hd.plots.coefficients({"without treatment": one, "with": two})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['sexFemale', 'Lsize', 'TreatmentLow', 'TreatmentHigh']
    """
    models = _models(fit)
    check_level(level)
    options = {"method": method} if method == "profile" else {"ddf": ddf, "vcov": vcov, "cluster": cluster}
    every = list(dict.fromkeys(name for model in models.values() for name in model.fixef.index))
    names = grouping.chosen_names("parameters", parameters, every)
    if parameters is None and not intercept:
        names = [name for name in names if name != INTERCEPT] or names
    if not names:
        raise errors_plots.no_coefficients()
    tables = [_table(model, names, level, options | {"method": method}) for model in models.values()]
    count = len(models)
    height = 0.7 + len(names) * max(_PITCH, _GAP * (count + 1)) + 0.25 * (count > 1)
    ax = style.single_axes(ax, (style.SINGLE[0], min(max(1.8, height), 10.0)))
    at = {name: float(len(names) - 1 - place) for place, name in enumerate(names)}
    handles = []
    for place, table in enumerate(tables):
        shift = min(0.26, 0.64 / count) * (0.5 * (count - 1) - place)
        y = np.array([at[name] + shift for name in table.index])
        look: dict[str, Any] = {"color": style.PALETTE[place % len(style.PALETTE)], "zorder": 3}
        ax.hlines(y, table["low"], table["high"], linewidth=1.5 * style.THIN, **look)
        marker = _MARKERS[place % len(_MARKERS)]
        handles += ax.plot(table["estimate"], y, marker, markersize=style.MARKER, **look)
    style.vertical(ax)
    _names(ax, names)
    limits = f"{100 * level:.4g} % interval" + (" (profile)" if method == "profile" else "")
    style.axis_labels(ax, f"Estimate and {limits}")
    if count > 1:
        _legend(ax, handles, list(models))
    return ax


def _models(fit: Any) -> dict[str, LinearMixedModel]:
    """The models by name; those without a name are numbered."""
    if isinstance(fit, Mapping):
        models = {str(name): model for name, model in fit.items()}
    elif hasattr(fit, "design") or not isinstance(fit, Iterable) or isinstance(fit, str):
        models = {"": fit}
    else:
        models = {f"model {place}": model for place, model in enumerate(fit, start=1)}
    if not models:
        raise errors_plots.names_empty("The list of models")
    for model in models.values():
        style.check_fit(model)
    return models


def _table(model: LinearMixedModel, names: list[str], level: float, options: dict[str, Any]) -> pd.DataFrame:
    """Estimates and limits of the named coefficients that the model has."""
    import pandas as pd

    limits = model.confint(level, parameters="beta_", **options).to_numpy() if len(model.fixef) else np.empty((0, 2))
    columns = {"estimate": model.fixef.to_numpy(), "low": limits[:, 0], "high": limits[:, 1]}
    table = pd.DataFrame(columns, index=model.fixef.index)
    return table.loc[[name for name in names if name in table.index]]


def _names(ax: Axes, names: list[str]) -> None:
    """Names of the coefficients beside the panel, as far as there is room for them."""
    room = grouping.pitch(ax, len(names))
    ax.set_ylim(-0.6, len(names) - 0.4)
    if room < 0.8 * grouping.LEAST_PITCH:
        ax.set_yticks([])
        ax.set_ylabel(f"{len(names)} coefficients")
        return
    places = range(len(names) - 1, -1, -1)
    ax.set_yticks(places, [style.plain(marks.shortened(name, 28)) for name in names])
    ax.tick_params(axis="y", length=0, labelsize=min(style.text_size(ax), 0.95 * room))


def _legend(ax: Axes, handles: list[Any], names: list[str]) -> None:
    """Above the panel: in a line if that fits, else one below the other."""
    figure: Any = ax.get_figure()
    width = 72 * figure.get_size_inches()[0] * ax.get_position().width
    needed = sum(0.55 * style.text_size(ax) * len(name) + 30 for name in names)
    grouping.legend_above(ax, handles, names, columns=len(names) if needed < width else 1)
