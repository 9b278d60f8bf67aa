"""Normal quantile plots of residuals and of random effects (conditional modes)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson.diagnostics.standardized_effects import StandardizedEffects, standardized_effects
from henderson.levels import level_text
from henderson.plots import marks, style, values
from henderson.plots.quantile_panels import QQ, check_band, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]

UNIT = ("scaled", "standardized", "studentized", "whitened")
"""Kinds of residuals in units of a standard deviation."""


def qq_residuals(
    fit: LinearMixedModel,
    *,
    kind: str = "standardized",
    conditional: bool = True,
    band: str | None = "simultaneous",
    level: float = 0.95,
    label: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Residuals against normal quantiles, with the line and band they should follow.

    Parameters
    ----------
    fit
        A fitted model.
    kind, conditional
        As in ``fit.residuals``: ``"response"``, ``"pearson"``, ``"scaled"``, ``"standardized"``, ``"studentized"``,
        ``"marginal"`` or ``"whitened"``; and whether the random effects are taken out.
    band
        ``"simultaneous"``: all points of a normal sample are inside with probability `level`; ``"pointwise"``: each
        is; None: no band.
    level
        Probability of the band.
    label
        How many of the largest residuals to label with their row.
    ax
        Where to draw; default: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        An option is not one of those above.

    Notes
    -----
    Quantiles are those of Blom's positions, (i - 3/8) / (n + 1/4). Response, Pearson and marginal residuals are
    compared with a normal distribution of their own mean square, the other kinds with the standard normal distribution.
    Conditional residuals of a mixed model are mixtures of all errors in a group, so that they look more normal than the
    errors are.

    References
    ----------
    Aldor-Noiman, S., Brown, L. D., Buja, A., Rolke, W. and Stine, R. A. (2013). The power to see: a new graphical test
    of normality. The American Statistician 67, 249-260.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> ax = hd.plots.qq_residuals(fit, label=3)
    """
    style.check_fit(fit)
    check_band(band, level)
    count = values.label_count(label)
    found = values.residuals_of(fit, kind, conditional)
    finite = np.flatnonzero(np.isfinite(found))
    unit = 1.0 if kind in UNIT else float(np.sqrt(np.mean(found[finite] ** 2)))
    sample = QQ.of(found[finite], unit)
    where = None if band is None else sample.band(level, simultaneous=band == "simultaneous")
    ax = style.single_axes(ax)
    draw(ax, sample, where)
    chosen = marks.largest(np.abs(sample.ordered), count)
    rows = finite[sample.order[chosen]]
    marks.label_points(ax, sample.normal, sample.ordered, chosen, values.row_labels(fit, rows))
    style.axis_labels(ax, "Normal quantile", values.residual_label(fit, kind, conditional))
    return ax


def qq_random_effects(
    fit: LinearMixedModel,
    group: str | None = None,
    *,
    effects: str | Iterable[str] | None = None,
    standardized: bool = True,
    intervals: bool = False,
    band: str | None = "simultaneous",
    level: float = 0.95,
    label: int = 0,
    ax: Any = None,
) -> Any:
    """Random effects against normal quantiles, a panel per random effect.

    Parameters
    ----------
    fit
        A fitted model.
    group
        A grouping factor, or the label of a random term; default: all.
    effects
        Names of effects, such as ``"(Intercept)"``; default: all.
    standardized
        Divide the conditional modes by their standard deviations; else show them in the units of the effect.
    intervals
        A bar over plus and minus one conditional standard deviation of each.
    band
        ``"simultaneous"``, ``"pointwise"`` or None, as in `qq_residuals`.
    level
        Probability of the band.
    label
        How many of the largest in each panel to label with their level.
    ax
        Where to draw: an Axes for one panel, a sequence for several; default: a new figure.

    Returns
    -------
    Axes, or array of Axes if there are several panels

    Raises
    ------
    DataError
        There is no such random effect, or an option is not one of those above.

    Notes
    -----
    A conditional mode is shrunk the more the less is known about its level. With groups of different sizes the modes of
    a right model are therefore no sample of one distribution; divided by their own standard deviations, as
    ``fit.normality()`` tests them, they nearly are. In units of the effect the line has the root mean square of these
    standard deviations for its slope, and the band is right if groups are alike.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> axes = hd.plots.qq_random_effects(fit, label=2)
    >>> [[text.get_text() for text in ax.texts] for ax in axes]
    [['309', '310'], ['335', '308']]
    """
    style.check_fit(fit)
    check_band(band, level)
    count = values.label_count(label)
    chosen = values.chosen_effects(fit, group, effects)
    known = standardized_effects(fit.stand_in)
    panels = [_effect_sample(known[term], k, standardized) for term, k in chosen]
    axes = style.panel_axes(ax, len(panels), choose="group= or effects=")
    for panel, (term, k), sample in zip(axes, chosen, panels, strict=True):
        zero = sample.unit == 0
        draw(panel, sample, None if band is None or zero else sample.band(level, simultaneous=band == "simultaneous"))
        if intervals and not zero:
            half = _half_bars(fit, term, k, known[term] if standardized else None)
            low, high = sample.ordered - half[sample.order], sample.ordered + half[sample.order]
            panel.vlines(sample.normal, low, high, color=style.BLUE, linewidth=style.THIN, alpha=0.6)
        if zero:
            marks.note(panel, "estimated variance is zero", 1.0 if standardized else fit.sigma)
        extreme = marks.largest(np.abs(sample.ordered), 0 if zero else count)
        names = [level_text(known[term].levels[i]) for i in sample.order[extreme]]
        marks.label_points(panel, sample.normal, sample.ordered, extreme, names)
        name = values.effect_label(fit, term, k) + (", standardized" if standardized else "")
        style.axis_labels(panel, "Normal quantile" if style.is_lowest(panel, axes) else None, name)
    return style.returned(axes)


def _effect_sample(known: StandardizedEffects, effect: int, standardized: bool) -> QQ:
    """Modes of one effect, sorted, with the scale of their distribution."""
    variances = known.covariances[:, effect, effect]
    if not np.any(variances > 0):
        return QQ.of(np.zeros(len(variances)), 0.0)
    if standardized:
        return QQ.of(np.nan_to_num(known.standardized[:, effect]), 1.0)
    return QQ.of(known.modes[:, effect], float(np.sqrt(np.mean(variances))))


def _half_bars(fit: LinearMixedModel, term: int, effect: int, known: StandardizedEffects | None) -> Vector:
    """Conditional standard deviations of an effect by level; over those of the modes if they are given."""
    order = fit.design.factors[fit.design.terms[term].factor].order
    spread = np.sqrt(fit.conditional_variance_arrays[term][order, effect, effect])
    if known is None:
        return np.asarray(spread)
    variances = known.covariances[:, effect, effect]
    return np.asarray(spread / np.sqrt(np.where(variances > 0, variances, np.inf)))
