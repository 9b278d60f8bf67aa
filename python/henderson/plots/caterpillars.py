"""Random effects of all levels in order of size, with intervals: the caterpillar plot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson.inference.distributions import check_level, t_quantile
from henderson.plots import grouping, marks, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.model import LinearMixedModel
    from henderson.plots.grouping import GroupEffects

Vector = NDArray[np.float64]

MOST_NAMES = 60
"""Levels that a figure of our own makes room for by name."""
_PITCH = 0.135  # inches from level to level
_CURVE = 200  # levels in a ribbon: more are averaged


def caterpillar(
    fit: LinearMixedModel,
    group: str | None = None,
    *,
    effects: str | Iterable[str] | None = None,
    level: float = 0.95,
    sort: bool = True,
    ax: Any = None,
) -> Any:
    """Conditional modes (BLUPs) of all levels in order of size, with intervals.

    Parameters
    ----------
    fit
        A fitted model.
    group
        A grouping factor; None: all of them.
    effects
        Names of effects, a panel for each; None: all.
    level
        Of the intervals, mode +- z conditional standard deviations.
    sort
        Order the levels by size; False: in the order of `ranef`, the first on top.
    ax
        Where to draw: one Axes per panel; default: a new figure.

    Returns
    -------
    Axes, or an array of them
        One per effect.

    Raises
    ------
    DataError
        An unknown grouping factor or effect.

    Notes
    -----
    Where the levels have room for their names, all panels of a factor are in the order of its first effect, so that a
    line of the figure is a level. Where there are too many, each panel has its own order, intervals become a ribbon
    (of hundreds of levels a running mean), and names are left out.

    The intervals are those of `ranef_std_error`: given the fixed effects and the variances, and one level at a time.
    Whether two levels differ cannot be read from whether their intervals overlap.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> ax = hd.plots.caterpillar(fit)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['F', 'D', 'A', 'B', 'C', 'E']
    """
    style.check_fit(fit)
    check_level(level)
    factors = [grouping.group_effects(fit, i) for i in grouping.chosen_factors(fit.design, group)]
    known = dict.fromkeys(name for found in factors for name in found.names)
    wanted = grouping.chosen_names("effects", effects, known)
    panels = [(found, k) for found in factors for k, name in enumerate(found.names) if name in wanted]
    reach = float(t_quantile(level, np.inf))
    most = max(len(found.levels) for found, _ in panels)
    height = 0.75 + _PITCH * most if most <= MOST_NAMES else style.SINGLE[1]
    size = (style.SINGLE[0] if len(panels) == 1 else style.PANEL[0], max(2.0, height))
    across = 2 if len(panels) == 4 else min(len(panels), 3)
    axes = style.panel_axes(ax, len(panels), columns=across, panel=size, choose="group= or effects=")
    before: GroupEffects | None = None
    for own, (found, k) in zip(axes, panels, strict=True):
        _panel(own, found, k, reach, sort, is_first=found is not before or ax is not None)
        before = found
    return style.returned(axes)


def _panel(ax: Axes, found: GroupEffects, k: int, reach: float, sort: bool, *, is_first: bool) -> None:
    """One effect: names and intervals, lines, or a ribbon."""
    count = len(found.levels)
    room = grouping.pitch(ax, count)
    has_names = room >= grouping.LEAST_PITCH
    by = found.modes[:, 0 if has_names else k]
    order = np.argsort(by, kind="stable") if sort else np.arange(count)[::-1]
    modes, half = found.modes[order, k], reach * found.deviations[order, k]
    at = np.arange(count, dtype=np.float64)
    style.vertical(ax)
    if room >= 1.0:
        width = style.THIN * min(1.0, room / 4.0)
        ax.hlines(at, modes - half, modes + half, color=style.BLUE, linewidth=width, zorder=2)
        ax.plot(modes, at, color=style.BLUE, zorder=3, **_dots(room))
    else:
        y, centre, low, high = _thinned(at, modes, modes - half, modes + half)
        ax.fill_betweenx(y, low, high, color=style.BLUE, alpha=style.BAND, linewidth=0)
        ax.plot(centre, y, color=style.BLUE, linewidth=style.LINE, zorder=3)
    ax.set_ylim(-0.5 - 0.01 * count, count - 0.5 + 0.01 * count)
    if not np.any(found.modes[:, k]) and not np.any(found.deviations[:, k]):
        ax.set_xlim(-1.0, 1.0)
        grouping.note(ax, "estimated variance: 0")
    _levels(ax, [found.levels[i] for i in order] if has_names else None, room, is_first)
    title = f"{count} levels of {found.group}" if not has_names else found.group if is_first else None
    style.axis_labels(ax, f"Deviation in {found.names[k]}", title)


def _dots(room: float) -> dict[str, Any]:
    size = min(style.MARKER, max(1.5, 0.55 * room))
    return {"marker": "o", "linestyle": "none", "markersize": size, "markeredgewidth": 0}


def _levels(ax: Axes, names: list[str] | None, room: float, is_first: bool) -> None:
    """Names of the levels beside the panel, or none."""
    if names is None:
        ax.set_yticks([])
        return
    ax.set_yticks(range(len(names)), [style.plain(marks.shortened(name)) if is_first else "" for name in names])
    ax.tick_params(axis="y", length=0, labelsize=min(style.text_size(ax), 0.95 * room))


def _thinned(at: Vector, *columns: Vector) -> list[Vector]:
    """Means of neighbouring levels, few enough to be drawn as curves."""
    count = len(at)
    if count <= _CURVE:
        return [at, *columns]
    edges = np.linspace(0, count, _CURVE + 1).astype(np.intp)
    sizes = np.diff(edges)
    return [np.add.reduceat(values, edges[:-1]) / sizes for values in (at, *columns)]
