"""Influence of rows or groups in their order, and leverage against residual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_plots
from henderson.inference.influence import Influence
from henderson.levels import level_text
from henderson.plots import marks, style, values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]

MEASURES = {
    "cooks_distance": "Cook's distance",
    "mdffits": "MDFFITS",
    "covratio": "COVRATIO",
    "leverage": "Leverage",
}
STEMS = 2_000
"""More deletions than this are drawn as one per pixel or so, each the most extreme of its neighbours."""


def influence(
    fit: LinearMixedModel | Influence,
    group: Any = None,
    *,
    measure: str = "cooks_distance",
    cutoff: float | None = None,
    label: int = 5,
    ax: Axes | None = None,
) -> Axes:
    """What leaving out each row, or each group, does to the fixed effects: one stem each, in order.

    Parameters
    ----------
    fit
        A fitted model, or what ``fit.influence(...)`` returned (nothing is computed again then).
    group
        As in ``fit.influence``: None for rows, a grouping factor, a list of them, or one label per row.
    measure
        ``"cooks_distance"``, ``"mdffits"``, ``"covratio"`` or ``"leverage"``.
    cutoff
        Where to draw a dashed line. There is none by default: no rule of thumb holds for mixed models.
    label
        How many of the most influential to label.
    ax
        Where to draw; default: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        An option is not one of those above, or the measure is not defined because there are no fixed effects.

    Notes
    -----
    A cross on the axis marks what cannot be left out, because some fixed effect could not be estimated then. See
    ``fit.influence`` for the definitions.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> ax = hd.plots.influence(fit, group="Subject", label=2)
    >>> [text.get_text() for text in ax.texts]
    ['309', '335']
    """
    if not isinstance(fit, Influence):
        style.check_fit(fit)
    count = values.label_count(label)
    if measure not in MEASURES:
        raise errors.choice("measure", measure, list(MEASURES))
    values.check_number("cutoff", cutoff)
    found = fit if isinstance(fit, Influence) else fit.influence(group)
    sizes = np.asarray(found.to_frame()[measure], dtype=np.float64)
    if not np.isfinite(sizes).any():
        raise errors_plots.influence_undefined(MEASURES[measure])
    base = 1.0 if measure == "covratio" else 0.0
    at = _shown(np.abs(sizes - base))
    ax = style.single_axes(ax)
    if len(at) <= STEMS:
        ax.vlines(
            at, base, sizes[at], color=style.BLUE, linewidth=style.LINE if len(at) <= 60 else style.THIN, zorder=2
        )
    ax.plot(at, sizes[at], color=style.BLUE, rasterized=len(at) > marks.RASTER, zorder=2, **_markers(len(at)))
    lost = np.flatnonzero(np.isnan(sizes))
    if len(lost):
        ax.plot(lost, np.full(len(lost), base), "x", color=style.VERMILLION, markersize=style.MARKER, zorder=3)
    style.horizontal(ax, base)
    if cutoff is not None:
        ax.axhline(cutoff, color=style.GREY, linewidth=style.THIN, linestyle="dashed", zorder=1)
    if base == 0:
        ax.set_ylim(bottom=0)
    ax.set_xlim(-0.5 - 0.02 * len(sizes), len(sizes) - 0.5 + 0.02 * len(sizes))
    _name_positions(ax, found)
    chosen = marks.largest(np.abs(sizes - base), count)
    marks.label_points(
        ax, np.arange(len(sizes), dtype=np.float64), sizes, chosen, [str(found.labels[i]) for i in chosen]
    )
    style.axis_labels(ax, None, MEASURES[measure])
    return ax


def _shown(size: Vector) -> NDArray[np.intp]:
    """Positions to draw: all, or of many the largest in each of STEMS stretches."""
    finite = np.flatnonzero(np.isfinite(size))
    if len(finite) <= STEMS:
        return finite
    stretch = finite * STEMS // len(size)
    order = np.lexsort((size[finite], stretch))
    last = np.flatnonzero(np.diff(stretch[order], append=-1))
    return np.sort(finite[order[last]])


def _markers(count: int) -> dict[str, Any]:
    return style.marker_style(count) | {"alpha": 1.0}


def _name_positions(ax: Axes, found: Influence) -> None:
    """Name the groups on the axis."""
    from matplotlib.ticker import MaxNLocator

    if found.group == "row":
        style.axis_labels(ax, "Row")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        return
    marks.name_ticks(ax, [level_text(label) for label in found.labels])
    style.axis_labels(ax, found.group)


def leverage(
    fit: LinearMixedModel, *, contours: float | Sequence[float] | None = None, label: int = 3, ax: Axes | None = None
) -> Axes:
    """Standardized residuals against leverage, with contours of Cook's distance.

    Parameters
    ----------
    fit
        A fitted model.
    contours
        Values of Cook's distance to draw contours at; default: two round values that some row reaches.
    label
        How many of the rows with the largest Cook's distances to label.
    ax
        Where to draw; default: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        A contour is not a positive number, or `label` is no count.

    Notes
    -----
    Leverage is by how much a fitted value, random effects included, follows its own observation. Cook's distance here
    is that of a linear model with this leverage, h t² / (p (1 - h)) with t the standardized residual and p the number
    of fixed effects, as in lme4; ``fit.influence()`` has the exact change of the fixed effects instead.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> ax = hd.plots.leverage(fit)
    >>> ax.get_xlabel()
    'Leverage'
    """
    style.check_fit(fit)
    count = values.label_count(label)
    given = values.positive_numbers("contours", contours)
    h, t = np.asarray(fit.leverage), values.residuals_of(fit, "standardized")
    columns = max(len(fit.kept), 1)
    kept = np.flatnonzero(np.isfinite(t) & (h > 0) & (h < 1))
    distance = np.full(len(h), np.nan)
    distance[kept] = t[kept] ** 2 * h[kept] / (columns * (1 - h[kept]))
    chosen = marks.largest(distance, count)
    ax = style.single_axes(ax)
    marks.cloud(ax, h[kept], t[kept])
    style.horizontal(ax)
    ax.set_xlim(0, 1.05 * float(np.max(h[kept], initial=0.01)))
    drawn = _round_values(np.nanmax(distance, initial=0.0)) if given is None else given
    _contours(ax, drawn, columns)
    marks.label_points(ax, h, t, chosen, values.row_labels(fit, chosen))
    style.axis_labels(ax, "Leverage", "Standardized residual")
    return ax


def _round_values(largest: float) -> list[float]:
    """The two largest of 1, 0.5, 0.2, 0.1, ... that are not above the largest distance; at most 1."""
    if not largest > 0:
        return []
    steps = [digit * 10.0**power for power in range(-12, 1) for digit in (1, 2, 5) if digit * 10.0**power <= 1]
    return [step for step in steps if step <= largest][-2:]


def _contours(ax: Axes, levels: Sequence[float], columns: int) -> None:
    """Curves of equal Cook's distance within the panel, which keeps its limits."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    h = np.linspace(max(right / 400, 1e-9), min(right, 1 - 1e-9), 400)
    for level in levels:
        height = np.sqrt(level * columns * (1 - h) / h)
        for sign in (1, -1):
            ax.plot(h, sign * height, color=style.GREY, linewidth=style.THIN, linestyle="dashed", zorder=1)
            if bottom < sign * height[-1] < top:
                ax.annotate(
                    f"{level:g}",
                    (h[-1], sign * height[-1]),
                    (2, 0),
                    textcoords="offset points",
                    va="center",
                    color=style.GREY,
                    fontsize=style.text_size(ax),
                )
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
