"""Estimated covariances of random effects as ellipses over the conditional modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_plots
from henderson.inference.distributions import check_level
from henderson.plots import marks, style, values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.model import LinearMixedModel

Matrix = NDArray[np.float64]


def covariance_ellipses(
    fit: LinearMixedModel,
    group: str | None = None,
    *,
    levels: Sequence[float] = (0.5, 0.95),
    label: int = 0,
    ax: Any = None,
) -> Any:
    """Pairs of random effects: conditional modes, and ellipses of the estimated covariance.

    Parameters
    ----------
    fit
        A fitted model with a random term of several effects, such as ``(Days | Subject)``.
    group
        A grouping factor, or the label of a random term; default: all terms with several effects.
    levels
        Probabilities of the ellipses.
    label
        How many of the points farthest out in each panel to label with their level.
    ax
        Where to draw: an Axes for one pair of effects, a sequence for several; default: a new figure.

    Returns
    -------
    Axes, or array of Axes if there are several pairs of effects

    Raises
    ------
    DataError
        No random term has several effects, there is no such term, or a level is no probability.

    Notes
    -----
    An ellipse contains a new level's pair of effects with the probability at its edge. Conditional modes are shrunk
    towards zero, so fewer of them lie outside than that. A correlation of one makes the ellipse a line, a variance of
    zero makes it flat. The pairs of one term of three or more effects are laid out as the lower triangle of a matrix.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> ax = hd.plots.covariance_ellipses(fit)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('(Intercept) | Subject', 'Days | Subject')
    """
    style.check_fit(fit)
    count = values.label_count(label)
    probabilities = sorted(_levels(levels), reverse=True)
    terms = [i for i in values.chosen_terms(fit, group) if len(fit.design.terms[i].names) > 1]
    if not terms:
        raise errors_plots.no_pairs(group)
    pairs = [(i, j, k) for i in terms for k in range(1, len(fit.design.terms[i].names)) for j in range(k)]
    places = [(k - 1, j) for _, j, k in pairs] if len(terms) == 1 else None
    covariances = [term.covariance for term in fit.varcorr.terms]
    axes = style.panel_axes(ax, len(pairs), choose="group=", places=places)
    for panel, (i, j, k) in zip(axes, pairs, strict=True):
        modes = fit.solution.b[i][:, [j, k]]
        covariance = covariances[i][np.ix_([j, k], [j, k])]
        marked = _draw(panel, modes, covariance, probabilities)
        spread = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
        far = marks.largest(np.sum((modes / spread) ** 2, axis=1), count if np.any(covariance) else 0)
        marks.label_points(panel, modes[:, 0], modes[:, 1], far, values.level_labels(fit, i, far), avoid=marked)
        lowest, leftmost = style.is_lowest(panel, axes), places is None or j == 0 or ax is not None
        style.axis_labels(
            panel,
            values.effect_label(fit, i, j) if lowest or places is None else None,
            values.effect_label(fit, i, k) if leftmost else None,
        )
    return style.returned(axes)


def ellipse(covariance: Matrix, probability: float, points: int = 181) -> Matrix:
    """Edge of the ellipse that a normal pair is inside of with this probability, (points, 2)."""
    angle = np.linspace(0.0, 2.0 * np.pi, points)
    size, axes = np.linalg.eigh(covariance)
    circle = np.column_stack([np.cos(angle), np.sin(angle)]) * np.sqrt(np.maximum(size, 0.0))
    return np.asarray(np.sqrt(-2.0 * np.log1p(-probability)) * circle @ axes.T)


def _draw(ax: Axes, modes: Matrix, covariance: Matrix, levels: list[float]) -> list[tuple[float, float]]:
    """Points and ellipses; returns the places above which the ellipses have their labels."""
    style.horizontal(ax)
    style.vertical(ax)
    if not np.any(covariance):
        marks.note(ax, "estimated variances are zero", 1.0)
        ax.set_xlim(-1, 1)
    marked: list[tuple[float, float]] = []
    widths = np.linspace(style.THIN, style.LINE, len(levels)) if len(levels) > 1 else [style.LINE]
    for level, width in zip(levels, widths, strict=True):
        edge = ellipse(covariance, level)
        ax.plot(*edge.T, color=style.VERMILLION, linewidth=width, zorder=3)
        if np.any(covariance):
            top = edge[np.argmax(edge[:, 1])]
            ax.annotate(
                f"{100 * level:g}%",
                top,
                (0, 1.5),
                textcoords="offset points",
                ha="center",
                va="bottom",
                color=style.VERMILLION,
                fontsize=style.text_size(ax),
                path_effects=style.halo(ax),
                zorder=4,
            )
            marked.append((float(top[0]), float(top[1])))
    marks.cloud(ax, modes[:, 0], modes[:, 1])
    return marked


def _levels(levels: Any) -> list[float]:
    given = [levels] if np.ndim(levels) == 0 else list(levels)
    for level in given:
        check_level(level)
    return [float(level) for level in given]
