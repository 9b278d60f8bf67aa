"""A small panel for each parameter of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from henderson.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (2.6, 2.1)


def parameter_axes(ax: Any, count: int) -> list[Axes]:
    """The Axes of so many parameters: those passed, or up to four abreast in a new figure."""
    across = count if count <= 3 else 2 if count == 4 else 3 if count <= 9 else 4
    size = _SIZE if count > 1 else style.SINGLE
    return style.panel_axes(ax, count, columns=across, panel=size, choose="parameters=")


def name_axes(ax: Axes, x: str, y: str, is_ours: bool) -> None:
    """The parameter below, in one line if it fits; what is drawn to the left, once for a row of panels of our own."""
    spec = ax.get_subplotspec()
    is_first = not is_ours or spec is None or bool(spec.is_first_col())
    style.axis_labels(ax, x, y if is_first else None)
    if is_ours and 0.52 * float(ax.xaxis.label.get_fontsize()) * len(x) < 0.95 * 72 * _SIZE[0]:
        ax.set_xlabel(style.plain(x))
