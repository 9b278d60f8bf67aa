"""Profile likelihoods: the signed root over each parameter, and the densities that follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_plots
from henderson.inference.distributions import check_level, t_quantile
from henderson.inference.profile_curve import bounds
from henderson.plots import style
from henderson.plots.parameter_panels import name_axes, parameter_axes

if TYPE_CHECKING:
    from henderson.inference.profile import Profile
    from henderson.inference.profile_curve import ParameterProfile
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]

LEVELS = (0.5, 0.8, 0.95, 0.99)
REACH = 3.3
"""Largest signed root that is drawn: that of an interval of 99.9 %."""
_POINTS = 400


def profile(
    fit: LinearMixedModel | Profile,
    *,
    parameters: str | Iterable[str] | None = None,
    levels: Iterable[float] = LEVELS,
    ax: Any = None,
) -> Any:
    """Profile zeta plot: the signed root of the deviance over each parameter, with confidence intervals.

    Parameters
    ----------
    fit
        What ``fit.profile()`` returns, or a fitted model, which is profiled first.
    parameters
        Names as in ``fit.confint``, ``"theta_"`` or ``"beta_"``; None: all.
    levels
        Of the intervals that are marked; that of 95 % is drawn in colour.
    ax
        Where to draw: one Axes per parameter; default: a new figure.

    Returns
    -------
    Axes, or an array of them
        One per parameter.

    Raises
    ------
    DataError
        An unknown parameter, or one that has no profile.

    Notes
    -----
    A straight line means that the estimate is as good as normal on this scale; the interval of level 1 - a lies between
    the values where zeta is the normal quantile of a/2 and of 1 - a/2. A curve that ends before is at the boundary of
    the parameter: a standard deviation of 0, a correlation of -1 or 1.

    References
    ----------
    Bates, D. and Watts, D. (1988). Nonlinear Regression Analysis and Its Applications. Wiley, chapter 6.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (1 | Subject)", hd.datasets.load_sleepstudy())
    >>> axes = hd.plots.profile(fit.profile())
    >>> [ax.get_xlabel() for ax in axes]
    ['sd_(Intercept)|Subject', 'sigma', '(Intercept)', 'Days']
    """
    marked = _levels(levels)
    curves = _curves(fit, parameters, max(marked, default=0.95))
    axes = parameter_axes(ax, len(curves))
    for own, curve in zip(axes, curves, strict=True):
        style.horizontal(own)
        x = np.linspace(*_ends(curve, REACH), _POINTS)
        own.plot(x, curve.zeta_at(x), color=style.BLUE, linewidth=style.LINE, zorder=3)
        for level in marked:
            main = abs(level - 0.95) < 1e-9
            look: dict[str, Any] = {
                "color": style.VERMILLION if main else style.GREY,
                "linewidth": 1.2 if main else style.THIN,
            }
            for limit in curve.interval(level):
                zeta = float(curve.zeta_at(limit)) if np.isfinite(limit) else np.nan
                if np.isfinite(zeta):
                    own.plot([limit, limit], [0.0, zeta], zorder=2, **look)
        own.plot(curve.estimate, 0.0, "o", color=style.BLUE, markersize=style.MARKER, zorder=4)
        name_axes(own, curve.parameter.name, "ζ", ax is None)
    reach = min(max(float(np.abs(curve.zeta).max()) for curve in curves), REACH)
    for own in axes:
        own.set_ylim(-1.06 * reach, 1.06 * reach)
    return style.returned(axes)


def profile_density(
    fit: LinearMixedModel | Profile,
    *,
    parameters: str | Iterable[str] | None = None,
    level: float = 0.95,
    ax: Any = None,
) -> Any:
    """Profile densities: of each parameter as if the signed root of its deviance were standard normal.

    Parameters
    ----------
    fit
        What ``fit.profile()`` returns, or a fitted model, which is profiled first.
    parameters
        Names as in ``fit.confint``, ``"theta_"`` or ``"beta_"``; None: all.
    level
        Of the interval that is shaded.
    ax
        Where to draw: one Axes per parameter; default: a new figure.

    Returns
    -------
    Axes, or an array of them
        One per parameter.

    Raises
    ------
    DataError
        An unknown parameter, or one that has no profile.

    Notes
    -----
    The density at c is phi(zeta(c)) zeta'(c), with phi the standard normal density. It shows how far from normal an
    estimator is, in particular how skewed those of standard deviations are. Where a profile meets the boundary the
    density ends there, and what is left of the probability belongs to the boundary itself.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> ax = hd.plots.profile_density(fit, parameters="sigma")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('sigma', 'Density')
    """
    check_level(level)
    curves = _curves(fit, parameters, level)
    axes = parameter_axes(ax, len(curves))
    for own, curve in zip(axes, curves, strict=True):
        x, density = _density(curve)
        low, high = curve.interval(level)
        inside = (x >= low) & (x <= high)
        own.fill_between(x, density, where=inside, color=style.BLUE, alpha=style.BAND, linewidth=0, zorder=1)
        own.plot(x, density, color=style.BLUE, linewidth=style.LINE, zorder=3)
        own.vlines(curve.estimate, 0.0, np.interp(curve.estimate, x, density), color=style.VERMILLION, zorder=2)
        own.set_ylim(0.0, 1.06 * float(density.max()))
        name_axes(own, curve.parameter.name, "Density", ax is None)
    return style.returned(axes)


def _density(curve: ParameterProfile) -> tuple[Vector, Vector]:
    """Values and densities, from end to end of the profile."""
    low, high = bounds(curve.parameter)
    x = np.linspace(*_ends(curve, REACH), _POINTS)
    step = 1e-5 * (x[-1] - x[0])
    inner = np.clip(x, max(low, x[0]) + step, min(high, x[-1]) - step)
    slope = (curve.zeta_at(inner + step) - curve.zeta_at(inner - step)) / (2.0 * step)
    density = np.exp(-0.5 * curve.zeta_at(inner) ** 2) / np.sqrt(2.0 * np.pi) * slope
    return x, np.nan_to_num(np.maximum(density, 0.0))


def _levels(levels: Any) -> list[float]:
    marked = [levels] if isinstance(levels, int | float) else list(levels)
    for level in marked:
        check_level(level)
    return sorted(marked)


def _curves(fit: Any, parameters: str | Iterable[str] | None, level: float) -> list[ParameterProfile]:
    """The profiles asked for; those of parameters that nothing depends on are left out."""
    if hasattr(fit, "curves"):
        found = fit
    else:
        style.check_fit(fit)
        found = fit.profile(parameters, cutoff=1.02 * float(t_quantile(max(level, 0.995), np.inf)))
    names = list(found) if parameters is None else list(found.confint(parameters=parameters).index)
    curves = [found[name] for name in names]
    shown = [curve for curve in curves if len(curve.points) > 1]
    if not shown:
        raise errors_plots.no_profile(names)
    return shown


def _ends(curve: ParameterProfile, reach: float) -> tuple[float, float]:
    """From where to where a profile is drawn: up to a signed root, or as far as it goes."""
    zeta = np.clip(curve.zeta[[0, -1]], -reach, reach)
    low, high = curve.value_at(zeta)
    return float(low), float(high)
