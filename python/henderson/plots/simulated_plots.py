"""Quantile residuals: against the uniform distribution, and against the fitted values or a predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson.diagnostics import predictors
from henderson.diagnostics.quantile_result import QuantileResiduals
from henderson.inference.distributions import check_level
from henderson.plots import marks, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.diagnostics.quantile_comparison import QuantileComparison
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]

QUARTILES = (0.25, 0.5, 0.75)
_GRID = 200
_FEW = 40
_GOLDEN = 0.6180339887498949
_PER_BIN, _BINS = 40, 10


def quantile_residuals(
    fit: LinearMixedModel | QuantileResiduals,
    x: Any = None,
    *,
    bins: int | None = None,
    level: float = 0.95,
    ax: Any = None,
    **options: Any,
) -> Any:
    """Two panels: quantile residuals in order, with a simulated band, and against the fitted values or a predictor.

    Parameters
    ----------
    fit
        A fitted model, or what ``fit.quantile_residuals(...)`` returned (nothing is simulated again then).
    x
        What the residuals are shown against: name of a predictor or grouping factor, or one value per row; None: the
        fitted values.
    bins
        Number of bins with about equally many rows in which quartiles are computed; default: at most 10, of 40 rows or
        more.
    level
        Probability that all of the sorted residuals are inside the band if the model is right.
    ax
        Two Axes; default: a new figure.
    options
        For ``fit.quantile_residuals``: ``n=``, ``seed=``, ``conditional=``, ...

    Returns
    -------
    array of two Axes

    Raises
    ------
    DataError
        An option is not one of those above.

    Notes
    -----
    The band is made of the simulated responses themselves, so it allows for the dependence of rows in a group: the
    sorted residuals of each simulated response are a curve, and the band, scaled by their upper and lower quantiles at
    each place, holds the share `level` of whole curves. On the right the lines are quartiles of the residuals in each
    bin, for categories a bar between the quartiles and a point at the median; they should follow the grey lines at
    0.25, 0.5 and 0.75.

    References
    ----------
    Myllymäki, M., Mrkvička, T., Grabarnik, P., Seijo, H. and Hahn, U. (2017). Global envelope tests for spatial
    processes. Journal of the Royal Statistical Society B 79, 381-404.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> axes = hd.plots.quantile_residuals(fit, "Days", seed=1)
    >>> axes[1].get_xlabel()
    'Days'
    """
    if not isinstance(fit, QuantileResiduals):
        style.check_fit(fit)
    check_level(level)
    found = fit if isinstance(fit, QuantileResiduals) else fit.quantile_residuals(**options)
    many = max(2, min(_BINS, len(found) // _PER_BIN)) if bins is None else bins
    compared = None if x is None and np.ptp(found.fitted) == 0 else found.against(x, bins=many)
    across, is_category = _positions(found, x)
    place, low, high = envelope(found, level)
    expected, observed = found.quantile_plot()
    axes = style.panel_axes(ax, 2, columns=2)
    style.band(axes[0], place, low, high)
    axes[0].plot([0, 1], [0, 1], color=style.GREY, linewidth=style.THIN, zorder=1)
    shown = np.unique(np.linspace(0, len(observed) - 1, min(len(observed), 5_000)).astype(np.intp))
    look = style.marker_style(min(len(shown), 400))
    axes[0].plot(expected[shown], observed[shown], color=style.BLUE, rasterized=len(shown) > marks.RASTER, **look)
    style.axis_labels(axes[0], "Uniform quantile", "Quantile residual")
    _against(axes[1], across, np.asarray(found.values), compared, is_category=is_category)
    for panel in axes:
        panel.set_ylim(-0.02, 1.02)
    return style.returned(axes)


def envelope(found: QuantileResiduals, level: float) -> tuple[Vector, Vector, Vector]:
    """Places between 0 and 1, and limits there that hold the sorted residuals of `level` of the simulated responses."""
    place = (np.arange(_GRID) + 0.5) / _GRID
    ranks = np.sort(found.ranks[1:], axis=1)
    columns = (place * ranks.shape[1]).astype(np.intp)
    curves = (ranks[:, columns].astype(np.float64) + 0.5) / (found.n + 1)
    middle = curves.mean(axis=0)
    step = 0.5 / (found.n + 1)
    above = np.maximum(np.quantile(curves, 0.975, axis=0) - middle, step)
    below = np.maximum(middle - np.quantile(curves, 0.025, axis=0), step)
    farthest = np.max(np.where(curves > middle, (curves - middle) / above, (middle - curves) / below), axis=1)
    reach = float(np.quantile(farthest, level))
    return place, np.maximum(middle - reach * below, 0.0), np.minimum(middle + reach * above, 1.0)


def _positions(found: QuantileResiduals, x: Any) -> tuple[Vector, bool]:
    """Where each residual is along x, and whether these are the numbers of categories."""
    if x is None:
        return np.asarray(found.fitted, dtype=np.float64), False
    if found.group is not None:
        return np.asarray(x, dtype=np.float64), False
    predictor = predictors.resolve(found._design, x, what="x")
    if predictor.groups is not None:
        return np.asarray(predictor.groups.codes, dtype=np.float64), True
    return np.asarray(predictor.numbers, dtype=np.float64), False


def _against(ax: Axes, x: Vector, y: Vector, compared: QuantileComparison | None, *, is_category: bool) -> None:
    """Points, quartiles in the bins, and the quartiles they should have."""
    known = np.isfinite(y)
    for quartile in QUARTILES:
        style.horizontal(ax, quartile)
    marks.cloud(ax, _spread_out(x)[known], y[known])
    name = "Fitted values" if compared is None or compared.name == "fitted values" else compared.name
    style.axis_labels(ax, name, "Quantile residual")
    if compared is None:  # a mean that is the same for all rows
        return
    look: dict[str, Any] = {"color": style.VERMILLION, "linewidth": style.LINE, "zorder": 3}
    low, median, high = compared.quartiles.T
    if is_category:
        ax.vlines(compared.middles, low, high, **look)
        ax.plot(compared.middles, median, "o", color=style.VERMILLION, markersize=style.MARKER, zorder=4)
        marks.name_ticks(ax, compared.bins)
    else:
        for values in (low, median, high):
            ax.plot(compared.middles, values, **look)


def _spread_out(x: Vector) -> Vector:
    """Move points that share few values of x a little apart, the same way each time."""
    distinct = np.unique(x)
    if not 1 < len(distinct) <= _FEW:
        return x
    width = 0.5 * float(np.min(np.diff(distinct)))
    return np.asarray(x + width * ((np.arange(len(x)) * _GOLDEN) % 1.0 - 0.5))
