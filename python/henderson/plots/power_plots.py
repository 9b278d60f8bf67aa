"""Simulated power over the size of the design."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from henderson import errors_plots
from henderson.inference.distributions import check_level
from henderson.plots import grouping, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.inference.power_result import Power

TARGET = 0.8


def power(power: Power, *, target: float | None = TARGET, level: float = 0.95, ax: Axes | None = None) -> Axes:
    """Power curve: simulated power with its intervals over the size of the design.

    Parameters
    ----------
    power
        What ``fit.power(...)`` returns. The first thing that it varies is on the horizontal axis, a second one gives a
        colour to each of its values; if nothing is varied, there is a point at the number of rows.
    target
        Where to draw a line; None: nowhere.
    level
        Of the intervals, which say how well the simulation knows the power.
    ax
        Where to draw; default: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        `power` is no such result, or it varies more than two things.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> found = fit.power("Days", n=100, effect=5, along={"Subject": [6, 12, 18]}, ddf="normal", seed=1)
    >>> ax = hd.plots.power(found)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Number of levels in Subject', 'Power')
    """
    if not (hasattr(power, "varied") and hasattr(power, "smallest_size")):
        raise errors_plots.not_a_power(power)
    if len(power.varied) > 2:
        raise errors_plots.power_dimensions(power.varied)
    if target is not None:
        check_level(target)
    table = power.to_frame(level)
    x = power.varied[0] if power.varied else "n_rows"
    by = power.varied[1] if len(power.varied) == 2 else None
    groups = [table] if by is None else [own for _, own in table.groupby(by, sort=True)]
    ax = style.single_axes(ax)
    if target is not None:
        ax.axhline(target, color=style.GREY, linewidth=style.THIN, linestyle=(0, (5, 3)), zorder=0.5)
    handles = []
    width = float(np.ptp(table[x])) / 100
    for place, own in enumerate(groups):
        own = own.sort_values(x)
        color = style.PALETTE[place % len(style.PALETTE)]
        at = own[x].to_numpy(dtype=np.float64) + width * (place - 0.5 * (len(groups) - 1))
        ax.vlines(at, own["conf_low"], own["conf_high"], color=color, linewidth=1.5 * style.THIN, zorder=2)
        handles += ax.plot(at, own["power"], "o-", color=color, linewidth=style.LINE, markersize=style.MARKER, zorder=3)
    ax.set_ylim(-0.02, 1.02)
    ax.set_yticks(np.linspace(0.0, 1.0, 6))
    if len(table[x].unique()) <= 8:
        ax.set_xticks(sorted(table[x].unique()))
    style.axis_labels(ax, _size_name(power, 0), "Power")
    if by is not None:
        grouping.legend_above(ax, handles, [str(own[by].iloc[0]) for own in groups], _size_name(power, 1))
    return ax


def _size_name(power: Power, place: int) -> str:
    words = power.words[place] if power.varied else "rows"
    return words[:1].upper() + words[1:]
