"""A sorted sample against normal quantiles: what it is compared with, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors
from henderson.inference.distributions import check_level
from henderson.plots import marks, style
from henderson.plots.quantile_bands import plotting_positions, uniform_band

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Vector = NDArray[np.float64]

BANDS = ("simultaneous", "pointwise")
_TAIL, _MIDDLE = 2_000, 4_000
"""Of a large sample these many points are drawn: all of each tail, and some of the middle."""


@dataclass(frozen=True, eq=False)
class QQ:
    """A sample in order, with the normal quantiles it is compared with.

    Attributes
    ----------
    order
        (n,) positions that sort the sample.
    ordered
        (n,) the sample, sorted.
    normal
        (n,) standard normal quantiles of the plotting positions.
    unit
        Standard deviation of the distribution it is compared with: the slope of the line.
    """

    order: NDArray[np.intp]
    ordered: Vector
    normal: Vector
    unit: float

    @classmethod
    def of(cls, sample: Vector, unit: float) -> QQ:
        """Sort a sample of finite values."""
        from scipy.special import ndtri

        order = np.argsort(sample, kind="stable")
        return cls(order, sample[order], ndtri(plotting_positions(len(sample))), unit)

    def shown(self) -> NDArray[np.intp]:
        """Positions in order that are worth drawing: of a large sample, the tails and evenly spaced ones between."""
        n = len(self.ordered)
        if n <= 2 * _TAIL + _MIDDLE:
            return np.arange(n)
        middle = np.searchsorted(self.normal, np.linspace(self.normal[_TAIL], self.normal[n - _TAIL], _MIDDLE))
        return np.unique(np.concatenate([np.arange(_TAIL), middle, np.arange(n - _TAIL, n)]))

    def band(self, level: float, *, simultaneous: bool) -> tuple[Vector, Vector, Vector]:
        """Normal quantiles, lower and upper limits of the sorted sample."""
        from scipy.special import ndtri

        n = len(self.ordered)
        at = np.arange(n)
        if n > 400:
            at = np.unique(np.searchsorted(self.normal, np.linspace(self.normal[0], self.normal[-1], 400)))
        low, high = uniform_band(n, at + 1, level, simultaneous=simultaneous)
        return self.normal[at], self.unit * ndtri(low), self.unit * ndtri(high)


def check_band(band: Any, level: Any) -> None:
    """Refuse what is no kind of band, or no probability."""
    if band is not None and band not in BANDS:
        raise errors.choice("band", band, BANDS)
    check_level(level)


def draw(ax: Axes, sample: QQ, where: tuple[Vector, Vector, Vector] | None) -> None:
    """Band, line and points."""
    if where is not None:
        style.band(ax, *where)
    ends = sample.normal[[0, -1]]
    ax.plot(ends, sample.unit * ends, color=style.GREY, linewidth=style.THIN, zorder=1)
    at = sample.shown()
    crowd = len(at) > marks.RASTER
    ax.plot(
        sample.normal[at],
        sample.ordered[at],
        color=style.BLUE,
        rasterized=crowd,
        zorder=2,
        **style.marker_style(min(len(at), 400)),
    )
