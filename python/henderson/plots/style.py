"""The look all plots share, and how an Axes is made or taken.

Order of work in every plot: compute, then ask for the Axes here, then draw. So an error leaves no figure behind. Only
the figures made here are dressed; an Axes that is passed keeps its frame, ticks and fonts. Settings of matplotlib
(rcParams) are never touched.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from henderson import errors_fit, errors_plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

# Okabe and Ito's colours: told apart with any colour vision, and in this order also in grey.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
GREY = "#777777"
"""Reference lines, and what is in the background."""
BAND = 0.18
"""Opacity of bands."""
LINE, THIN = 1.5, 0.8
"""Widths in points: estimates; references and intervals."""
MARKER = 4.0
"""Diameter of a marker in points, for a handful of points."""

SINGLE = (4.6, 3.5)
"""Inches of a figure with one panel."""
PANEL = (3.4, 2.9)
"""Inches of each of several panels."""
MOST_PANELS = 30
_FONT, _TICK_FONT = 9.0, 8.0
_FRAME = 0.7


def pyplot() -> Any:
    """matplotlib.pyplot, or the advice how to install it."""
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        raise errors_fit.dependency_missing("matplotlib", "Plots", "plots") from None
    return plt


def check_fit(fit: Any) -> None:
    """Refuse what is not a fitted model.

    Raises
    ------
    DataError
        `fit` has no design and no solution.
    """
    if not (hasattr(fit, "design") and hasattr(fit, "solution")):
        raise errors_plots.not_a_fit(fit)


# --------------------------------------------------------------------------------------------------------- the Axes


def single_axes(ax: Any, size: tuple[float, float] = SINGLE) -> Axes:
    """The Axes passed, or one in a new figure.

    Raises
    ------
    DataError
        `ax` is not an Axes.
    ImportError
        matplotlib is not installed.
    """
    plt = pyplot()
    if ax is not None:
        return _checked(ax)
    return _dressed(plt.figure(figsize=size, layout="constrained").add_subplot())


def panel_axes(
    ax: Any,
    count: int,
    *,
    columns: int | None = None,
    panel: tuple[float, float] = PANEL,
    places: Sequence[tuple[int, int]] | None = None,
    choose: str = "ax",
) -> list[Axes]:
    """As many Axes as there are panels: those passed (one Axes, or a sequence), or a grid in a new figure.

    Parameters
    ----------
    ax
        None, an Axes (for one panel) or a sequence of `count` Axes.
    count
        Number of panels.
    columns
        Columns of the grid; default: as square as it gets, wider than high.
    panel
        Width and height of a panel in inches.
    places
        Row and column of each panel of a new figure, instead of one after the other.
    choose
        The argument by which the user chooses fewer panels, for the message that there are too many.

    Raises
    ------
    DataError
        Something is not an Axes, or there are too many or too few.
    """
    plt = pyplot()
    if ax is not None:
        given = [_checked(each) for each in (np.ravel(np.asarray(ax, dtype=object)) if _several(ax) else [ax])]
        if len(given) != count:
            raise errors_plots.axes_count(len(given), count)
        if len(set(map(id, given))) != count:
            raise errors_plots.axes_repeated()
        return given
    if count > MOST_PANELS:
        raise errors_plots.panels_too_many(count, MOST_PANELS, choose)
    if count == 1:
        return [single_axes(None)]
    wide = columns or math.ceil(math.sqrt(count))
    cells = [divmod(i, wide) for i in range(count)] if places is None else places
    down, across = (max(cell[i] for cell in cells) + 1 for i in (0, 1))
    figure = plt.figure(figsize=(panel[0] * across, panel[1] * down), layout="constrained")
    grid = figure.add_gridspec(down, across)
    return [_dressed(figure.add_subplot(grid[cell])) for cell in cells]


def discard(axes: Sequence[Axes], ax: Any) -> None:
    """Close a figure of our own that could not be finished."""
    if ax is None:
        pyplot().close(figure_of(axes[0]))


def figure_of(ax: Axes) -> Figure:
    """The whole figure that an Axes is in, also from within a subfigure."""
    return ax.figure.figure


def returned(axes: Sequence[Axes]) -> Any:
    """What a plot of several panels returns: the Axes if it is one, else an array of them."""
    if len(axes) == 1:
        return axes[0]
    array = np.empty(len(axes), dtype=object)
    array[:] = axes
    return array


def is_lowest(ax: Axes, axes: Sequence[Axes]) -> bool:
    """Whether no other panel of the plot is below: the others need no label for x."""
    own = ax.get_subplotspec()
    specs = [each.get_subplotspec() for each in axes]
    return own is None or not any(
        spec is not None
        and spec.get_gridspec() is own.get_gridspec()
        and spec.colspan.start == own.colspan.start
        and spec.rowspan.start > own.rowspan.start
        for spec in specs
    )


def _several(ax: Any) -> bool:
    return isinstance(ax, np.ndarray | list | tuple)


def _checked(ax: Any) -> Axes:
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise errors_plots.not_axes(ax)
    return ax


def _dressed(ax: Axes) -> Axes:
    """Frame, ticks and sizes of letters of an Axes of our own."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_linewidth(_FRAME)
    ax.tick_params(which="both", width=_FRAME, length=3, pad=2.5, labelsize=_TICK_FONT, direction="out")
    ax.tick_params(which="minor", length=1.8)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_fontsize(_FONT)
        axis.get_offset_text().set_fontsize(_TICK_FONT)
    ax.title.set_fontsize(_FONT)
    ax.locator_params(axis="x", nbins=6)  # numbers are wide: matplotlib's own choice may let them touch
    return ax


# ------------------------------------------------------------------------------------------------------------ words


def plain(text: Any) -> str:
    """Text as it is: a dollar sign in a name starts no formula."""
    return str(text).replace("$", r"\$")


def text_size(ax: Axes) -> float:
    """Size in points of small text (legends, labels of points), in proportion to the axis labels."""
    return float(ax.xaxis.label.get_fontsize()) * _TICK_FONT / _FONT


def axis_labels(ax: Axes, x: str | None = None, y: str | None = None) -> None:
    """Axis labels, in as many lines as they need; names in them are taken literally."""
    box = ax.get_position()
    width, height = figure_of(ax).get_size_inches()
    for text, inches, put in ((x, width * box.width, ax.set_xlabel), (y, height * box.height, ax.set_ylabel)):
        if text is not None:
            characters = int(inches * 72 / (0.66 * float(ax.xaxis.label.get_fontsize())))
            put(plain(wrapped(text, max(12, characters))))


def wrapped(text: str, width: int) -> str:
    """Text in lines of at most `width` characters, broken at blanks or after the punctuation of names."""
    lines = [""]
    for piece in re.findall(r"[^\s_.:+*/-]*[\s_.:+*/-]*", text):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(part for line in lines for part in textwrap.wrap(line.rstrip(), width))


def halo(ax: Axes) -> list[Any]:
    """Path effects of text that stands on lines or points: an edge in the colour of the background."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground=ax.get_facecolor())]


def legend(ax: Axes, handles: Sequence[Any], labels: Iterable[Any], **options: Any) -> Legend:
    """A legend without a frame; labels may begin with an underscore."""
    names = [plain(label) for label in labels]
    found = ax.legend(
        list(handles), [f"{i}" for i in range(len(names))], frameon=False, fontsize=text_size(ax), **options
    )
    for text, name in zip(found.get_texts(), names, strict=True):
        text.set_text(name)
    return found


# ------------------------------------------------------------------------------------------------------------- marks


def horizontal(ax: Axes, y: float = 0.0) -> None:
    """A reference line across the panel."""
    ax.axhline(y, color=GREY, linewidth=THIN, zorder=0.5)


def vertical(ax: Axes, x: float = 0.0) -> None:
    """A reference line up the panel."""
    ax.axvline(x, color=GREY, linewidth=THIN, zorder=0.5)


def band(ax: Axes, x: ArrayLike, low: ArrayLike, high: ArrayLike, color: str = GREY) -> Any:
    """A shaded band between two curves."""
    return ax.fill_between(np.asarray(x), np.asarray(low), np.asarray(high), color=color, alpha=BAND, linewidth=0)


def marker_style(count: int) -> dict[str, Any]:
    """Size and opacity of `count` markers for ``ax.plot``: many points are smaller and lighter, so density shows."""
    crowd = min(1.0, max(0.0, math.log10(max(count, 1) / 50) / 2.6))  # 0 up to 50 points, 1 from 20 000
    return {
        "marker": "o",
        "linestyle": "none",
        "markersize": MARKER - 2.6 * crowd,
        "markeredgewidth": 0,
        "alpha": 0.85 - 0.65 * crowd,
    }
