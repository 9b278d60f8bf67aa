"""Several diagnostics in one figure: what `fit.plot()` draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from henderson import errors_plots
from henderson.plots import style, values
from henderson.plots.influence_plots import influence, leverage
from henderson.plots.qq_plots import qq_residuals
from henderson.plots.residual_plots import residuals, scale_location

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

PANELS: dict[str, Callable[..., Any]] = {
    "residuals": residuals,
    "scale_location": scale_location,
    "qq_residuals": qq_residuals,
    "leverage": leverage,
    "influence": influence,
}


def diagnostics(
    model: LinearMixedModel,
    panels: Sequence[str] = ("residuals", "scale_location", "qq_residuals", "leverage"),
    *,
    label: int = 3,
    ax: Any = None,
) -> Any:
    """Draw four diagnostics: residuals against fitted values, scale-location, normal quantiles, leverage.

    Parameters
    ----------
    model
        A fitted model.
    panels
        Which diagnostics: ``"residuals"``, ``"scale_location"``, ``"qq_residuals"``, ``"leverage"``, ``"influence"``
        (by row). Each is explained where it is defined, as ``hd.plots.residuals``.
    label
        How many of the most extreme rows to label in each.
    ax
        As many Axes as there are panels; default: a new figure.

    Returns
    -------
    array of Axes (the Axes itself for a single panel)

    Raises
    ------
    DataError
        There is no such diagnostic, or `ax` does not have as many Axes.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> axes = fit.plot()
    >>> axes.shape
    (4,)
    """
    style.check_fit(model)
    values.label_count(label)
    names = [panels] if isinstance(panels, str) else list(panels)
    if not names:
        raise errors_plots.no_panels(list(PANELS))
    for name in names:
        if name not in PANELS:
            raise errors_plots.name_unknown("panel", name, list(PANELS))
    axes = style.panel_axes(ax, len(names), choose="panels=")
    try:
        for name, panel in zip(names, axes, strict=True):
            PANELS[name](model, label=label, ax=panel)
    except Exception:
        style.discard(axes, ax)
        raise
    return style.returned(axes)
