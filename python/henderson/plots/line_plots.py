"""The data of each group with its fitted line and that of the fixed effects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_plots
from henderson.absent import in_one_place
from henderson.levels import level_text
from henderson.plots import group_lines, grouping, marks, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.factors import Factor
    from henderson.model import LinearMixedModel
    from henderson.plots.group_lines import Predictor

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

MOST, SAMPLE = 20, 16
"""So many groups are all shown; of more, a sample of this size."""
MOST_LINES = 2000
"""In one panel; of more groups, a sample of this size."""
_WIDTH = 7.0  # inches of a figure of many panels


def fitted_lines(
    fit: LinearMixedModel,
    group: str | None = None,
    *,
    x: str | None = None,
    levels: int | Iterable[Any] | None = None,
    overlay: bool = False,
    ax: Any = None,
) -> Any:
    """Fitted line of each group with its data, beside the line of the fixed effects alone.

    Parameters
    ----------
    fit
        A fitted model.
    group
        A grouping factor; None: the one with most levels.
    x
        Variable along the horizontal axis, numeric or categorical; None: one that has random slopes, else the first
        numeric one.
    levels
        Which groups: their names, or how many. None: all of up to 20, else 16. A sample is evenly spaced in the order
        of the mean prediction, among the groups that have at least the median number of rows.
    overlay
        All lines in one panel instead of a panel for each group; then `levels` is 2000 by default.
    ax
        Where to draw: an Axes per panel; default: a new figure.

    Returns
    -------
    Axes, or an array of them
        One per group.

    Raises
    ------
    DataError
        The model has no variable to draw lines over; an unknown group, variable or level.

    Notes
    -----
    The other variables are at what they are in the rows of the group: their mean, or the level most frequent there;
    in an overlay, at what they are in all rows. A group's line has the random effects of the factor and of those that
    it lies within (of the batch, for a cask); the effects of crossed factors are left at zero.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> axes = hd.plots.fitted_lines(fit, levels=["308", "309", "335"])
    >>> [ax.get_title(loc="left") for ax in axes]
    ['308', '309', '335']
    """
    style.check_fit(fit)
    fit = in_one_place(fit)
    index = grouping.one_factor(fit.design, group)
    factor = fit.design.factors[index]
    along = group_lines.predictor(fit.design, index, x)
    codes = _chosen(fit, factor, MOST_LINES if levels is None and overlay else levels)
    fixed, conditional = group_lines.lines(fit, index, codes, along, own=not overlay)
    if overlay:
        return _overlaid(fit, factor, codes, along, fixed, conditional, ax)
    count = len(codes)
    across = _across(count)
    width = min(2.4, _WIDTH / across)
    axes = style.panel_axes(ax, count, columns=across, panel=(width, 1.02 * width), choose="levels=")
    reach: list[list[Vector]] = []
    for own, code, population, line in zip(axes, codes, fixed, conditional, strict=True):
        rows = np.flatnonzero(factor.codes == code)
        x_values, y_values = along.values[rows], fit.design.y[rows]
        own.plot(_spread(along, x_values), y_values, color=style.GREY, **_dots(len(rows)))
        _line(own, along, population, color=style.VERMILLION, linestyle=(0, (4, 2)), label="fixed effects")
        _line(own, along, line, color=style.BLUE, label=factor.name)
        title = marks.shortened(level_text(factor.labels[code]), max(6, int(width * 11)))
        own.set_title(style.plain(title), loc="left", fontsize=style.text_size(own), pad=2.5)
        among = [np.interp(x_values, along.at, each) for each in (population, line)]
        reach.append([x_values, y_values, *among])
    _share(axes, along, reach, ax is None)
    _label(axes, along.name, fit.design.response_name, ax is None)
    return style.returned(axes)


def _across(count: int) -> int:
    """Columns of a figure of many panels: few empty places, and nearly square."""
    if count <= 4:
        return count
    return min((4, 5, 6, 3), key=lambda columns: (-count % columns > 1, abs(columns - count**0.5 - 0.5)))


def _every(factor: Factor) -> NDArray[np.intp]:
    return np.asarray(factor.order, dtype=np.intp)


def _chosen(fit: LinearMixedModel, factor: Factor, levels: Any) -> NDArray[np.intp]:
    """Codes of the levels to show."""
    every = _every(factor)
    if levels is None:
        levels = len(every) if len(every) <= MOST else SAMPLE
    if isinstance(levels, int | np.integer) and not isinstance(levels, bool):
        if levels < 1:
            raise errors_plots.levels_invalid(levels)
        if levels >= len(every):
            return every
        size = np.bincount(factor.codes)
        mean = np.bincount(factor.codes, fit.fitted_values) / size
        large = every[size[every] >= min(np.median(size), np.sort(size)[-int(levels)])]
        order = np.argsort(mean[large], kind="stable")
        spaced = order[np.round(np.linspace(0, len(large) - 1, int(levels))).astype(np.intp)]
        return np.asarray(large[np.sort(spaced)])
    texts = [level_text(label) for label in factor.levels.tolist()]
    wanted = [levels] if isinstance(levels, str) or not isinstance(levels, Iterable) else list(levels)
    named = grouping.chosen_names("levels", [level_text(level) for level in wanted], texts)
    return every[[texts.index(name) for name in named]]


def _overlaid(
    fit: LinearMixedModel,
    factor: Factor,
    codes: NDArray[np.intp],
    along: Predictor,
    fixed: Matrix,
    lines: Matrix,
    ax: Any,
) -> Axes:
    """All groups in one panel."""
    panel = style.single_axes(ax)
    kept = np.isin(factor.codes, codes)
    marks.cloud(panel, _spread(along, along.values[kept]), fit.design.y[kept], color="#B0B0B0")
    alpha = min(0.8, max(0.08, 8.0 / len(codes)))
    shown = _within(factor, codes, along, lines)
    at = np.tile(np.append(along.at, np.nan), len(lines))
    broken = np.column_stack([shown, np.full(len(lines), np.nan)]).ravel()
    groups = panel.plot(at, broken, color=style.BLUE, linewidth=style.THIN, alpha=alpha, zorder=3)[0]
    population = panel.plot(along.at, fixed[0], color=style.VERMILLION, linewidth=1.4 * style.LINE, zorder=4)[0]
    _ticks(panel, along)
    style.axis_labels(panel, along.name, fit.design.response_name)
    grouping.legend_above(panel, [groups, population], [f"{len(codes)} levels of {factor.name}", "fixed effects"])
    return panel


def _within(factor: Factor, codes: NDArray[np.intp], along: Predictor, lines: Matrix) -> Matrix:
    """The lines where their groups have data, NaN elsewhere; all of them if no group has more than a point."""
    low, high = np.full(factor.n_levels, np.inf), np.full(factor.n_levels, -np.inf)
    np.minimum.at(low, factor.codes, along.values)
    np.maximum.at(high, factor.codes, along.values)
    step = 0.5 * float(np.ptp(along.at)) / max(len(along.at) - 1, 1)
    inside = (along.at >= low[codes, None] - step) & (along.at <= high[codes, None] + step)
    has_range = bool((high > low)[codes].any())
    return np.where(inside | (not has_range), lines, np.nan)


def _line(ax: Axes, along: Predictor, values: Vector, **look: Any) -> None:
    marker: dict[str, Any] = {} if along.labels is None else {"marker": "o", "markersize": style.MARKER}
    ax.plot(along.at, values, linewidth=style.LINE, zorder=3, **marker, **look)


def _dots(count: int) -> dict[str, Any]:
    return style.marker_style(count) | {"markersize": 3.0 if count <= 60 else 2.0, "zorder": 2}


def _spread(along: Predictor, values: Vector) -> Vector:
    """Points of a category side by side, so that they do not hide each other."""
    if along.labels is None:
        return values
    result = values.copy()
    for position in along.at:
        own = np.flatnonzero(values == position)
        result[own] += 0.3 * ((np.arange(len(own)) + 0.5) / max(len(own), 1) - 0.5)
    return result


def _ticks(ax: Axes, along: Predictor) -> None:
    """The categories, or the values of a number that has only two."""
    if along.labels is not None:
        ax.set_xticks(along.at, [style.plain(marks.shortened(level_text(label), 12)) for label in along.labels])
        ax.set_xlim(along.at[0] - 0.5, along.at[-1] + 0.5)
    elif np.isin(along.values, (along.at[0], along.at[-1])).all():
        ax.set_xticks([along.at[0], along.at[-1]])


def _share(axes: Sequence[Axes], along: Predictor, reach: list[list[Vector]], is_ours: bool) -> None:
    """The same limits everywhere, set by the data; in a figure of our own, tick labels at its edge only."""
    x = np.concatenate([values[0] for values in reach])
    if np.ptp(x) == 0:
        x = along.at
    y = np.concatenate([values for own in reach for values in own[1:]])
    limits = [(v.min() - 0.05 * (np.ptp(v) or 1.0), v.max() + 0.05 * (np.ptp(v) or 1.0)) for v in (x, y)]
    for place, each in enumerate(axes):
        each.set_xlim(limits[0])
        each.set_ylim(limits[1])
        _ticks(each, along)
        spec = each.get_subplotspec()
        if is_ours and spec is not None:
            across = spec.get_gridspec().ncols
            each.tick_params(labelbottom=place + across >= len(axes), labelleft=spec.is_first_col())


def _label(axes: Sequence[Axes], x: str, y: str, is_ours: bool) -> None:
    """Axis labels and legend: of the figure if it is ours, else labels of each panel."""
    if not is_ours or len(axes) == 1:
        for each in axes:
            style.axis_labels(each, x, y)
    if not is_ours:
        return
    figure: Any = axes[0].get_figure()
    if len(axes) > 1:
        size = axes[0].xaxis.label.get_fontsize()
        figure.supxlabel(style.plain(x), fontsize=size)
        figure.supylabel(style.plain(y), fontsize=size)
    handles = axes[0].lines[:0:-1]
    look = {"ncols": 2, "frameon": False, "fontsize": style.text_size(axes[0]), "borderpad": 0}
    figure.legend(handles, [style.plain(each.get_label()) for each in handles], loc="outside upper right", **look)
