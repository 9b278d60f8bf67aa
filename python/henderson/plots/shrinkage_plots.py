"""Shrinkage: from each group's own coefficients to its predictions, and on to the fixed effects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_plots
from henderson.levels import level_text
from henderson.plots import grouping, marks, style, values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.model import LinearMixedModel
    from henderson.shrinkage import GroupShrinkage

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_PITCH = 0.15  # inches from level to level
MOST_NAMES = 50
MOST_ARROWS = 60
"""With more levels than this arrows are thin lines without heads."""
MOST_SHOWN = 2000
"""Levels in a plane; of more, a sample of this size."""
ALIKE = 5e-3
"""Shrinkage factors that differ by less are given as one."""


def shrinkage(
    fit: LinearMixedModel,
    group: str | None = None,
    *,
    effects: str | Iterable[str] | None = None,
    conditional: bool = True,
    label: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """How partial pooling moves each group's own coefficients towards the fixed effects.

    Parameters
    ----------
    fit
        A fitted model.
    group
        A grouping factor; None: the one with most levels.
    effects
        One effect, or two for a plane; None: the first two, or the only one.
    conditional
        Whether coefficients without pooling are adjusted for the other grouping factors, as in ``fit.shrinkage``.
    label
        In a plane: how many of the levels that move most are named.
    ax
        Where to draw; default: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        An unknown grouping factor or effect, or more than two effects.

    Notes
    -----
    Two effects: an arrow for each level, from its own coefficients to the predicted ones. One effect: a line for each
    level, with the shrinkage factor to the right where levels have room for their names; with more levels than that,
    predictions against own coefficients, in the colour of the shrinkage factor (for several effects that of the level,
    the mean eigenvalue of its matrix): on the diagonal there is no shrinkage, on the horizontal line it is complete.

    Levels whose rows do not determine a coefficient have no arrow; of more than 2000 levels a plane shows a sample.
    Where rows hardly determine them, coefficients may be so far off that nothing else could be seen: those more than
    six interquartile ranges out are beyond the frame, with a note.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> ax = hd.plots.shrinkage(fit)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('(Intercept)', 'Days')
    """
    style.check_fit(fit)
    index = grouping.one_factor(fit.design, group)
    name = fit.design.factors[index].name
    found = fit.shrinkage(name, conditional=conditional)[name]
    wanted = grouping.chosen_names("effects", effects, found.names)
    most = values.label_count(label)
    if effects is None:
        wanted = wanted[:2]
    if len(wanted) > 2:
        raise errors_plots.effects_too_many(wanted)
    places = [found.names.index(effect) for effect in wanted]
    if len(places) == 2:
        ax = style.single_axes(ax)
        _plane(ax, found, places, most)
        return ax
    count = len(found)
    height = max(2.2, 0.95 + _PITCH * count) if count <= MOST_NAMES else style.SINGLE[1]
    ax = style.single_axes(ax, (style.SINGLE[0], height))
    if grouping.pitch(ax, count) >= grouping.LEAST_PITCH:
        _segments(ax, found, places[0])
    else:
        _scatter(ax, found, places[0])
    return ax


def _plane(ax: Axes, found: GroupShrinkage, places: list[int], label: int) -> None:
    """Arrows in the plane of two effects."""
    own, partial, complete = found.no_pooling[:, places], found.partial_pooling[:, places], found.complete_pooling
    sample = np.linspace(0, len(found) - 1, min(len(found), MOST_SHOWN)).astype(np.intp)
    own, partial = own[sample], partial[sample]
    known = np.flatnonzero(np.isfinite(own).all(axis=1))
    crowd = style.marker_style(len(own))
    hollow = _hollow(crowd) if len(own) <= 5 * MOST_ARROWS else crowd | {"color": style.GREY}
    raw = ax.plot(own[known, 0], own[known, 1], zorder=2, **hollow)[0]
    inside = _within(own[known, 0], partial[:, 0]) & _within(own[known, 1], partial[:, 1])
    if len(own) <= MOST_ARROWS and inside.all():
        for j in known:
            head = {"arrowstyle": "-|>", "color": style.GREY, "linewidth": style.THIN, "mutation_scale": 6}
            ends = head | {"shrinkA": 2.5, "shrinkB": 2.5, "zorder": 1.5}
            ax.annotate("", xy=partial[j], xytext=own[j], arrowprops=ends)
    else:
        thin: dict[str, Any] = {"color": style.GREY, "linewidth": 0.4, "alpha": 0.4, "zorder": 1.5}
        ax.plot(*_paths(own[known], partial[known]), **thin)
    predicted = ax.plot(partial[:, 0], partial[:, 1], color=style.BLUE, zorder=3, **crowd)[0]
    centre = ax.plot(*complete[places], color=style.VERMILLION, marker="D", linestyle="none", markersize=5, zorder=4)
    _frame(ax.set_xlim, own[known[inside], 0], partial[:, 0])
    _frame(ax.set_ylim, own[known[inside], 1], partial[:, 1])
    shown = f"{MOST_SHOWN} of {len(found)} levels" if len(found) > MOST_SHOWN else ""
    _say_beyond(ax, int(np.sum(~inside)), shown)
    names = [level_text(level) for level in found.levels[sample].tolist()]
    _names(ax, own, partial, known[inside], names, label)
    style.axis_labels(ax, found.names[places[0]], found.names[places[1]])
    _legend(ax, [raw, predicted, centre[0]], found)


def _paths(start: Matrix, end: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All segments as one broken line."""
    gap = np.full(len(start), np.nan)
    x, y = (np.column_stack([start[:, k], end[:, k], gap]).ravel() for k in (0, 1))
    return x, y


def _within(own: Vector, partial: Vector) -> NDArray[np.bool_]:
    """Coefficients without pooling that are not so far off that nothing else could be seen."""
    if len(own) < 4:
        return np.ones(len(own), dtype=bool)
    low, high = np.quantile(own, [0.25, 0.75])
    reach = 6.0 * max(high - low, float(np.ptp(partial)))
    return np.asarray((own >= low - reach) & (own <= high + reach))


def _frame(put: Callable[[float, float], object], own: Vector, partial: Vector) -> None:
    """Limits of an axis around both kinds of coefficients."""
    both = np.concatenate([own, partial])
    margin = 0.06 * float(np.ptp(both)) or 1.0
    put(float(both.min()) - margin, float(both.max()) + margin)


def _say_beyond(ax: Axes, count: int, shown: str = "") -> None:
    """What a panel does not show."""
    said = [shown] * bool(shown) + [f"{count} beyond the frame"] * bool(count)
    if said:
        grouping.note(ax, ", ".join(said))


def _names(ax: Axes, own: Matrix, partial: Matrix, known: NDArray[np.intp], levels: list[str], count: int) -> None:
    """Names of the longest arrows at their tails, on the side away from their heads."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    ways = (own[known] - partial[known]) / [right - left, top - bottom]
    length = np.hypot(*ways.T)
    chosen = marks.largest(length, count)
    ways = ways[chosen] / np.maximum(length[chosen], 1e-300)[:, None]
    names = [levels[place] for place in known[chosen]]
    for at, way, name in zip(own[known[chosen]].tolist(), ways.tolist(), names, strict=True):
        ha = "left" if way[0] > 0.4 else "right" if way[0] < -0.4 else "center"
        va = "bottom" if way[1] > 0.4 else "top" if way[1] < -0.4 else "center"
        place: dict[str, Any] = {"textcoords": "offset points", "ha": ha, "va": va, "fontsize": style.text_size(ax)}
        ax.annotate(style.plain(marks.shortened(name)), at, (4 * way[0], 4 * way[1]), **place)


def _hollow(crowd: dict[str, Any]) -> dict[str, Any]:
    size = max(float(crowd["markersize"]) - 0.4, 1.0)
    edge = {"markerfacecolor": "white", "markeredgecolor": style.GREY, "markeredgewidth": 0.8}
    return crowd | edge | {"markersize": size, "alpha": min(1.0, crowd["alpha"] + 0.1)}


def _segments(ax: Axes, found: GroupShrinkage, k: int) -> None:
    """A line per level, named, from its own coefficient to the predicted one."""
    own, partial = found.no_pooling[:, k], found.partial_pooling[:, k]
    order = np.argsort(partial, kind="stable")
    at = np.arange(len(order), dtype=np.float64)
    crowd = style.marker_style(len(order))
    style.vertical(ax, float(found.complete_pooling[k]))
    centre = ax.lines[-1]
    centre.set(color=style.VERMILLION)
    ax.hlines(at, own[order], partial[order], color=style.GREY, linewidth=style.THIN, zorder=1.5)
    raw = ax.plot(own[order], at, zorder=2, **_hollow(crowd))[0]
    predicted = ax.plot(partial[order], at, color=style.BLUE, zorder=3, **crowd)[0]
    room = grouping.pitch(ax, len(order))
    size = min(style.text_size(ax), 0.95 * room)
    names = [style.plain(marks.shortened(level_text(level))) for level in found.levels[order].tolist()]
    ax.set_yticks(at, names)
    ax.tick_params(axis="y", length=0, labelsize=size)
    ax.set_ylim(-0.6, len(order) - 0.4)
    known = np.isfinite(own)
    inside = _within(own[known], partial)
    _frame(ax.set_xlim, own[known][inside], partial)
    _say_beyond(ax, int(np.sum(~inside)))
    factors = found.factors[order]
    if np.ptp(factors) > ALIKE:
        beside: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center", "ha": "left", "fontsize": size}
        header = beside | {"transform": ax.transAxes, "va": "bottom"}
        ax.text(1.02, 1.0, "factor", color=style.GREY, **header)
        for y, factor in zip(at, factors, strict=True):
            ax.text(1.02, y, f"{factor:.2f}", color=style.GREY, **beside)
    style.axis_labels(ax, found.names[k], found.group)
    _legend(ax, [raw, predicted, centre], found)


def _scatter(ax: Axes, found: GroupShrinkage, k: int) -> None:
    """Predictions against own coefficients, coloured by the shrinkage factor."""
    own, partial, centre = found.no_pooling[:, k], found.partial_pooling[:, k], float(found.complete_pooling[k])
    known = np.isfinite(own)
    crowd = style.marker_style(len(own))
    grey: dict[str, Any] = {"color": style.GREY, "linewidth": style.THIN, "zorder": 0.5}
    lines = [ax.axline((centre, centre), slope=1.0, linestyle=(0, (5, 3)), **grey), ax.axhline(centre, **grey)]
    drawn = ax.scatter(
        own[known],
        partial[known],
        c=found.factors[known],
        cmap="viridis",
        s=crowd["markersize"] ** 2,
        linewidths=0,
        alpha=min(1.0, crowd["alpha"] + 0.3),
        zorder=2,
        rasterized=len(own) > marks.RASTER,
    )
    inside = _within(own[known], partial)
    _frame(ax.set_xlim, own[known][inside], partial)
    _frame(ax.set_ylim, partial, partial)
    _say_beyond(ax, int(np.sum(~inside)))
    bar: Any = ax.get_figure().colorbar(drawn, ax=ax, pad=0.02, aspect=30)  # type: ignore[union-attr]
    bar.solids.set_alpha(1)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=style.text_size(ax), width=0.7, length=3)
    bar.set_label("shrinkage factor", fontsize=ax.xaxis.label.get_fontsize())
    grouping.legend_above(ax, lines, ["no pooling", "complete pooling"])
    style.axis_labels(ax, f"{found.names[k]} of each {found.group}, no pooling", f"{found.names[k]}, partial pooling")


def _legend(ax: Axes, handles: list[Any], found: GroupShrinkage) -> None:
    """Above the panel, with the shrinkage factors."""
    low, high = found.factors.min(), found.factors.max()
    factor = f"{low:.2f}" if high - low <= ALIKE else f"{low:.2f} to {high:.2f}"
    grouping.legend_above(ax, handles, ["none", "partial", "complete"], f"Pooling (shrinkage factor {factor})")
