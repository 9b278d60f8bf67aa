"""How the optimiser got to the optimum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from henderson.plots import marks, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.model import LinearMixedModel

MOST_PATHS = 6
"""Up to this many parameters have a colour and a name each."""


def convergence(fit: LinearMixedModel, *, ax: Any = None) -> Any:
    """Two panels: distance of the criterion from its optimum, and the parameters theta, by evaluation.

    Parameters
    ----------
    fit
        A fitted model.
    ax
        Two Axes; default: a new figure.

    Returns
    -------
    array of two Axes

    Raises
    ------
    DataError
        `ax` is not a sequence of two Axes.

    Notes
    -----
    The distance is the criterion (REML criterion or deviance) minus its smallest value, plus what one more Newton step
    from there was expected to gain. The dotted line is the rounding error of the criterion, below which no distance can
    be told from zero. theta are the relative covariance parameters, in lme4's order.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> axes = hd.plots.convergence(fit)
    >>> axes[0].get_ylabel()
    'REML criterion − optimum'
    """
    style.check_fit(fit)
    trace = fit.optimum.trace
    evaluation = trace.index.to_numpy()
    criterion = trace["criterion"].to_numpy(dtype=np.float64)
    rounding = float(np.finfo(np.float64).eps) * max(float(np.max(np.abs(criterion))), 1.0)
    best = int(np.argmin(criterion))
    expected = max(float(trace["decrement"].iloc[best]), 0.0)
    above = np.maximum(criterion - criterion[best] + expected, rounding)
    paths = trace.filter(like="theta").to_numpy(dtype=np.float64)
    axes = style.panel_axes(ax, 2, columns=2)
    axes[0].semilogy(evaluation, above, color=style.BLUE, **_line(len(evaluation)))
    axes[0].axhline(rounding, color=style.GREY, linewidth=style.THIN, linestyle="dotted", zorder=1)
    axes[0].annotate(
        "rounding error",
        (evaluation[0], rounding),
        (0, 2),
        textcoords="offset points",
        va="bottom",
        color=style.GREY,
        fontsize=style.text_size(axes[0]),
    )
    name = "REML criterion" if fit.is_reml else "Deviance"
    style.axis_labels(axes[0], "Evaluation", f"{name} − optimum")
    _draw_paths(axes[1], evaluation, paths, list(fit.theta.index), own=ax is None)
    style.axis_labels(axes[1], "Evaluation", "θ")
    for panel in axes:
        panel.set_xticks(_ticks(evaluation))
    return style.returned(axes)


def _draw_paths(ax: Axes, evaluation: Any, paths: Any, names: list[str], *, own: bool) -> None:
    """A line per parameter; the legend has the order in which the lines end."""
    named = len(names) <= MOST_PATHS
    if np.min(paths) <= 0 <= np.max(paths):
        style.horizontal(ax)
    lines = [
        ax.plot(evaluation, path, color=style.PALETTE[i] if named else style.BLUE, **_line(len(evaluation)))[0]
        for i, path in enumerate(paths.T)
    ]
    if named and len(names) > 1:
        order = np.argsort(-paths[-1], kind="stable")
        beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if own else {}
        labels = [marks.shortened(names[i], 28) for i in order]
        style.legend(ax, [lines[i] for i in order], labels, handlelength=1.2, **beside)


def _ticks(evaluation: Any) -> list[int]:
    """At most eight whole numbers."""
    step = next(size for size in marks.round_steps() if len(evaluation) <= 8 * size)
    return [int(each) for each in evaluation if each % step == 0 or step == 1]


def _line(count: int) -> dict[str, Any]:
    return {"linewidth": style.LINE, "marker": "o", "markersize": style.MARKER if count <= 40 else 2, "clip_on": False}
