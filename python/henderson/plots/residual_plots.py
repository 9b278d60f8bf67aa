"""Residuals against fitted values: their level (residuals) and their spread (scale_location)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson.plots import marks, style, values
from henderson.plots.smoothing import smooth as smoothed
from henderson.residuals import marginal_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]


def residuals(
    fit: LinearMixedModel,
    *,
    kind: str = "response",
    conditional: bool = True,
    smooth: bool = True,
    label: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Residuals against fitted values, with a smooth that shows whether the mean is right.

    Parameters
    ----------
    fit
        A fitted model.
    kind, conditional
        As in ``fit.residuals``: ``"response"``, ``"pearson"``, ``"scaled"``, ``"standardized"``, ``"studentized"``,
        ``"marginal"`` or ``"whitened"``; and whether the random effects are taken out. Marginal and whitened residuals
        are shown against the fitted values without random effects.
    smooth
        Draw a robust local-linear smooth (lowess, span 2/3).
    label
        How many of the largest residuals to label with their row.
    ax
        Where to draw; default: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        An option is not one of those above.

    Notes
    -----
    A smooth that leaves zero says that the mean has a shape the fixed effects do not have. With few rows per group the
    smooth of conditional residuals may also rise a little from left to right in a model that is right: groups that are
    shrunk towards the mean leave part of their deviation in the residuals. More than 20 000 rows are drawn as hexagons,
    darker where there are more rows, on a logarithmic scale.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> ax = hd.plots.residuals(fit)
    >>> ax.get_xlabel()
    'Fitted Reaction'
    """
    style.check_fit(fit)
    found = values.residuals_of(fit, kind, conditional)
    x, x_name = fit.fitted_values, f"Fitted {fit.design.response_name}"
    if not conditional or kind in ("marginal", "whitened"):
        x, x_name = marginal_mean(fit), f"{x_name}, fixed effects only"
    ax = _against_fitted(fit, x, found, np.abs(found), label, smooth, ax)
    style.horizontal(ax)
    style.axis_labels(ax, x_name, values.residual_label(fit, kind, conditional))
    return ax


def scale_location(fit: LinearMixedModel, *, smooth: bool = True, label: int = 0, ax: Axes | None = None) -> Axes:
    """Square root of the absolute standardized residuals against fitted values: whether the variance is constant.

    Parameters
    ----------
    fit
        A fitted model.
    smooth
        Draw a robust local-linear smooth (lowess, span 2/3).
    label
        How many of the largest to label with their row.
    ax
        Where to draw; default: a new figure.

    Returns
    -------
    Axes

    Notes
    -----
    The smooth is level if the residual variance does not depend on the mean. The square root makes the distribution of
    absolute residuals less skewed; for normal residuals its mean is 0.82, where the grey line is.

    References
    ----------
    Cleveland, W. S. (1993). Visualizing Data. Hobart Press.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> ax = hd.plots.scale_location(fit)
    """
    style.check_fit(fit)
    spread = np.sqrt(np.abs(values.residuals_of(fit, "standardized")))
    ax = _against_fitted(fit, fit.fitted_values, spread, spread, label, smooth, ax)
    style.horizontal(ax, NORMAL_MEAN)
    ax.set_ylim(bottom=0)
    style.axis_labels(ax, f"Fitted {fit.design.response_name}", "√|standardized residual|")
    return ax


NORMAL_MEAN = 0.822179
"""Mean of the square root of the absolute value of a standard normal variable, 2^(1/4) Gamma(3/4) / sqrt(pi)."""


def _against_fitted(
    fit: LinearMixedModel, x: Vector, y: Vector, size: Vector, label: int, smooth: bool, ax: Any
) -> Axes:
    """Points, smooth and labels."""
    count = values.label_count(label)
    kept = np.flatnonzero(np.isfinite(y))
    curve = smoothed(x[kept], y[kept]) if smooth else None
    chosen = marks.largest(size, count)
    panel = style.single_axes(ax)
    marks.cloud(panel, x[kept], y[kept])
    if curve is not None:
        panel.plot(*curve, color=style.VERMILLION, linewidth=style.LINE, zorder=3)
    marks.label_points(panel, x, y, chosen, values.row_labels(fit, chosen))
    return panel
