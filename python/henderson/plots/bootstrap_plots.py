"""Bootstrap replicates: their densities, with the estimate and the interval."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_plots
from henderson.plots import style
from henderson.plots.parameter_panels import name_axes, parameter_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.inference.bootstrap_result import Bootstrap
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]

MOST_BINS = 60


def bootstrap(
    fit: LinearMixedModel | Bootstrap,
    *,
    parameters: str | Iterable[str] | None = None,
    level: float = 0.95,
    method: str = "percentile",
    n: int = 1000,
    seed: int | None = None,
    ax: Any = None,
) -> Any:
    """Distribution of the bootstrap replicates of each parameter, with its estimate and interval.

    Parameters
    ----------
    fit
        What ``fit.bootstrap()`` returns, or a fitted model, for which a parametric bootstrap is run first.
    parameters
        Names, ``"theta_"`` or ``"beta_"``; None: all.
    level
        Of the interval.
    method
        ``"percentile"``, ``"basic"``, ``"bca"`` or ``"shortest"``.
    n, seed
        Of the bootstrap of a fitted model.
    ax
        Where to draw: one Axes per parameter; default: a new figure.

    Returns
    -------
    Axes, or an array of them
        One per parameter.

    Raises
    ------
    DataError
        An unknown parameter or method, or fewer than two replicates.

    Notes
    -----
    Histograms are of the replicates that could be fitted and have a value; a peak at 0, or at -1 and 1, are singular
    fits. The bar below is the interval, the line the estimate of the data: where it is off the centre of the
    replicates, the estimator is biased, and the intervals of the methods differ.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> axes = hd.plots.bootstrap(fit.bootstrap(200, 1))
    >>> [ax.get_xlabel() for ax in axes]
    ['sd_(Intercept)|Batch', 'sigma', '(Intercept)']
    """
    if hasattr(fit, "replicates"):
        found: Any = fit
    else:
        style.check_fit(fit)
        found = fit.bootstrap(n, seed)
    limits = found.confint(level, method=method, parameters=parameters)
    drawn: list[tuple[str, float, Vector, Vector]] = []
    for name, ends in zip(limits.index, limits.to_numpy(), strict=True):
        place = found.names.index(name)
        values = found.values[found.has_converged, place]
        known = values[np.isfinite(values)]
        if len(known) > 1:
            drawn.append((name, float(found.estimates[place]), known, ends))
    if not drawn:
        raise errors_plots.no_replicates(list(limits.index))
    axes = parameter_axes(ax, len(drawn))
    for own, (name, estimate, known, ends) in zip(axes, drawn, strict=True):
        _panel(own, known, estimate, ends)
        name_axes(own, name, "Density", ax is None)
    return style.returned(axes)


def _panel(ax: Axes, values: Vector, estimate: float, ends: Vector) -> None:
    """Histogram, estimate and interval of one parameter."""
    heights, edges = np.histogram(values, bins=_edges(values), density=True)
    ax.stairs(heights, edges, fill=True, color=style.BLUE, alpha=0.35, zorder=1)
    ax.stairs(heights, edges, color=style.BLUE, linewidth=style.THIN, zorder=2)
    top = float(heights.max())
    base = -0.05 * top
    if np.isfinite(ends).all():
        ax.plot(ends, [base, base], color=style.VERMILLION, linewidth=2.2, solid_capstyle="butt", zorder=3)
    if np.isfinite(estimate):
        ax.plot([estimate, estimate], [base, 1.03 * top], color=style.VERMILLION, linewidth=style.LINE, zorder=3)
    ax.set_ylim(-0.09 * top, 1.06 * top)
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= 1.06 * top])


def _edges(values: Vector) -> Vector:
    """Bins as wide as Freedman and Diaconis say; one around values that are all alike."""
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        half = 0.5 * max(abs(low), 1.0) * 1e-3
        return np.array([low - half, high + half])
    spread = float(np.subtract(*np.quantile(values, [0.75, 0.25])))
    width = 2.0 * spread / len(values) ** (1 / 3)
    bins = (high - low) / width if width > 0 else MOST_BINS
    return np.linspace(low, high, int(np.clip(np.ceil(bins), 5, MOST_BINS)) + 1)
