"""Clouds of points, whatever their number, and labels of the few that stand out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Vector = NDArray[np.float64]
Box = tuple[float, float, float, float]

CROWD = 20_000
"""More points than this are shown as hexagons, darker where there are more of them."""
RASTER = 3_000
"""More points than this become pixels in a vector file (PDF, SVG)."""
NAMED = 20
"""At most this many places are named on an axis; half as many if the names are not short."""
_HEXAGONS = 55
_LOOKED_AT = 5_000
_GAPS = (4.5, 13.0, 25.0)
"""Distances of labels from their points, in points; a line leads to those that are not close."""


def cloud(ax: Axes, x: Vector, y: Vector, color: str = style.BLUE) -> Any:
    """Draw points: markers, or hexagons coloured by the logarithm of their count."""
    if len(x) <= CROWD or np.ptp(x) == 0 or np.ptp(y) == 0:
        return ax.plot(x, y, color=color, rasterized=len(x) > RASTER, zorder=2, **style.marker_style(len(x)))[0]
    width, height = _size(ax)
    return ax.hexbin(
        x,
        y,
        gridsize=(_HEXAGONS, max(8, round(_HEXAGONS * height / width / 3**0.5))),
        mincnt=1,
        bins="log",
        cmap=_tints(color),
        linewidths=0.2,
        zorder=2,
    )


def note(ax: Axes, text: str, reach: float) -> None:
    """Say in a panel why everything in it is at zero, and show it within plus and minus `reach`."""
    ax.set_ylim(-reach, reach)
    ax.text(0.5, 0.9, text, ha="center", va="top", transform=ax.transAxes, fontsize=style.text_size(ax))


def _tints(color: str) -> Any:
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    full = np.array(to_rgb(color))
    return LinearSegmentedColormap.from_list("tints", [tuple(1 - 0.28 * (1 - full)), tuple(full), tuple(0.35 * full)])


def _size(ax: Axes) -> tuple[float, float]:
    """Width and height of the panel in points, nearly."""
    box = ax.get_position()
    width, height = style.figure_of(ax).get_size_inches()
    return 72 * width * box.width, 72 * height * box.height


def largest(values: Vector, count: int) -> NDArray[np.intp]:
    """Positions of the `count` largest values, largest first; NaN never counts."""
    found = np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable")[: max(count, 0)]
    return found[np.isfinite(values[found])]


# ---------------------------------------------------------------------------------------------- labels of single points


def label_points(
    ax: Axes,
    x: Vector,
    y: Vector,
    chosen: NDArray[np.intp],
    labels: Sequence[Any],
    avoid: Sequence[tuple[float, float]] = (),
) -> list[Any]:
    """Write labels beside the chosen points, where they cover least of points, other labels and the frame.

    Parameters
    ----------
    ax
        With the points drawn already.
    x, y
        All points.
    chosen
        Positions of those to label, most important first.
    labels
        One for each of `chosen`.
    avoid
        Points above which something is written already.
    """
    if len(chosen) == 0:
        return []
    size = style.text_size(ax)
    width, height = _size(ax)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    across, up = width * (x - left) / (right - left), height * (y - bottom) / (top - bottom)
    some = np.unique(np.concatenate([np.arange(0, len(x), max(1, len(x) // _LOOKED_AT)), chosen]))
    taken: list[Box] = []
    for other in avoid:
        middle, base = width * (other[0] - left) / (right - left), height * (other[1] - bottom) / (top - bottom)
        taken.append((middle - 1.2 * size, base, middle + 1.2 * size, base + 1.5 * size))
    written = []
    for place, label in zip(chosen.tolist(), labels, strict=True):
        text = shortened(label)
        extent = (0.6 * size * len(text), 1.15 * size)
        best = min(
            _places(across[place], up[place], extent),
            key=lambda at: _cost(at[0], taken, across[some], up[some], (width, height)),
        )
        taken.append(best[0])
        far = max(map(abs, best[1])) > _GAPS[0]
        written.append(
            ax.annotate(
                style.plain(text),
                (x[place], y[place]),
                best[1],
                textcoords="offset points",
                ha=best[2],
                va=best[3],
                fontsize=size,
                path_effects=style.halo(ax),
                arrowprops={"arrowstyle": "-", "color": style.GREY, "linewidth": 0.5, "shrinkA": 0} if far else None,
                zorder=4,
            )
        )
    return written


def _places(x: float, y: float, extent: tuple[float, float]) -> Iterator[tuple[Box, tuple[float, float], str, str]]:
    """Boxes around a point, best place first: (left, bottom, right, top), offset, alignments."""
    wide, high = extent
    for gap in _GAPS:
        across = {1: ("left", x + gap), -1: ("right", x - gap - wide), 0: ("center", x - wide / 2)}
        up = {1: ("bottom", y + gap), -1: ("top", y - gap - high), 0: ("center", y - high / 2)}
        for side, level in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            (ha, left), (va, bottom) = across[side], up[level]
            yield (left, bottom, left + wide, bottom + high), (side * gap, level * gap), ha, va


def _cost(box: Box, taken: list[Box], x: Vector, y: Vector, size: tuple[float, float]) -> float:
    """How bad a place is: other labels and the frame weigh more than points covered."""
    left, bottom, right, top = box
    overlap = sum(
        _common(left, right, other[0], other[2]) * _common(bottom, top, other[1], other[3]) for other in taken
    )
    inside = _common(left, right, 0.0, size[0]), _common(bottom, top, 0.0, size[1])
    outside = (right - left - inside[0]) + (top - bottom - inside[1])
    covered = np.count_nonzero((x > left - 1) & (x < right + 1) & (y > bottom - 1) & (y < top + 1))
    return 10.0 * overlap + 50.0 * outside + min(int(covered), 20)


def _common(low: float, high: float, other_low: float, other_high: float) -> float:
    """Length of what two intervals have in common."""
    return max(0.0, min(high, other_high) - max(low, other_low))


def name_ticks(ax: Axes, names: Sequence[str]) -> None:
    """Name the places 0, 1, ... on the x axis: all of them, or every second, fifth, tenth, ... if there are many."""
    short = [shortened(name, 14) for name in names]
    most = NAMED if max(map(len, short)) <= 4 else NAMED // 2
    step = next(size for size in round_steps() if len(short) <= most * size)
    shown = range(0, len(short), step)
    upright = sum(len(short[i]) + 2 for i in shown) > 60
    ax.set_xticks(list(shown), [style.plain(short[i]) for i in shown], rotation=90 if upright else 0)


def round_steps() -> Iterator[int]:
    """1, 2, 5, 10, 20, 50, ..."""
    return (digit * 10**power for power in range(18) for digit in (1, 2, 5))


def shortened(label: Any, length: int = 24) -> str:
    """A label of a row or level, its middle left out if it is long."""
    text = " ".join(str(label).split())
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"
