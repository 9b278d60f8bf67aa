"""Plots of fitted models with matplotlib (the `plots` extra).

    import henderson as hd

    ax = hd.plots.residuals(fit)                  # a new figure
    hd.plots.residuals(fit, ax=ax)                # or into your own Axes

Every plot is ``hd.plots.<name>(fit, *, ax=None, ...)`` and returns its Axes; a plot of several panels returns an array
of them, and its ``ax=`` takes a sequence of that many. matplotlib's settings are never changed, and an Axes of your own
keeps its frame, ticks and fonts.

Names load when they are first used; a module here never has the name of a plot.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from henderson.plots.bootstrap_plots import bootstrap
    from henderson.plots.caterpillars import caterpillar
    from henderson.plots.coefficient_plots import coefficients
    from henderson.plots.covariance_plots import covariance_ellipses
    from henderson.plots.effect_plots import marginal_effects
    from henderson.plots.influence_plots import influence, leverage
    from henderson.plots.line_plots import fitted_lines
    from henderson.plots.optimum_plots import convergence
    from henderson.plots.overview import diagnostics
    from henderson.plots.power_plots import power
    from henderson.plots.profile_plots import profile, profile_density
    from henderson.plots.qq_plots import qq_random_effects, qq_residuals
    from henderson.plots.residual_plots import residuals, scale_location
    from henderson.plots.shrinkage_plots import shrinkage
    from henderson.plots.simulated_plots import quantile_residuals

_HOMES = {
    "bootstrap": "bootstrap_plots",
    "caterpillar": "caterpillars",
    "coefficients": "coefficient_plots",
    "convergence": "optimum_plots",
    "covariance_ellipses": "covariance_plots",
    "diagnostics": "overview",
    "fitted_lines": "line_plots",
    "influence": "influence_plots",
    "leverage": "influence_plots",
    "marginal_effects": "effect_plots",
    "power": "power_plots",
    "profile": "profile_plots",
    "profile_density": "profile_plots",
    "qq_random_effects": "qq_plots",
    "qq_residuals": "qq_plots",
    "quantile_residuals": "simulated_plots",
    "residuals": "residual_plots",
    "scale_location": "residual_plots",
    "shrinkage": "shrinkage_plots",
}

__all__ = [
    "bootstrap",
    "caterpillar",
    "coefficients",
    "convergence",
    "covariance_ellipses",
    "diagnostics",
    "fitted_lines",
    "influence",
    "leverage",
    "marginal_effects",
    "power",
    "profile",
    "profile_density",
    "qq_random_effects",
    "qq_residuals",
    "quantile_residuals",
    "residuals",
    "scale_location",
    "shrinkage",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'henderson.plots' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"henderson.plots.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
