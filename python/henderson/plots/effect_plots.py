"""What the fixed effects say about one variable: marginal means along it, with bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_means, errors_plots
from henderson.absent import in_one_place, mean_of
from henderson.inference.grid_columns import kind_of, levels_of, numbers, plain
from henderson.inference.reference_grid import grid_names
from henderson.levels import level_text
from henderson.plots import grouping, marks, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]

POINTS = 60
"""Of a line over a numeric variable."""
MOST_JOINED = 8
"""Levels of a factor whose means are joined by lines, to show an interaction."""
SHOWN = ("data", "residuals")


def marginal_effects(
    fit: LinearMixedModel,
    x: str | None = None,
    *,
    by: str | None = None,
    at: Mapping[str, Any] | None = None,
    points: str | None = None,
    weights: str = "equal",
    level: float = 0.95,
    ddf: str = "satterthwaite",
    vcov: Any = "model",
    cluster: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Estimated means over one variable of the fixed effects, with a confidence band.

    Parameters
    ----------
    fit
        A fitted model.
    x
        The variable: a line for a numeric one, points with intervals for a factor. None: the first numeric variable,
        or else the first.
    by
        Another variable, a colour for each of its levels; a numeric one is held at its mean and one standard deviation
        below and above it.
    at
        Values of variables by name, as in ``fit.emmeans``.
    points
        ``"data"``: the response of each row. ``"residuals"``: partial residuals, the estimated mean at the row's `x`
        and `by` plus its residual, so that other variables and random effects are taken out. None: none.
    weights
        How factors are averaged over, as in ``fit.emmeans``.
    level
        Of the band, which is one of separate intervals.
    ddf, vcov, cluster
        Degrees of freedom and covariance matrix of the fixed effects.
    ax
        Where to draw; default: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        A name is no variable of the fixed effects, or an option is not one of those above.

    Notes
    -----
    These are the marginal means of ``fit.emmeans([x, by])``: other factors averaged over, other numbers at their mean,
    random effects at zero. If `x` interacts with a factor, ask for it with `by`: the average may describe no level.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", hd.datasets.load_cake())
    >>> ax = hd.plots.marginal_effects(fit, "temp", by="recipe")
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['A', 'B', 'C']
    """
    style.check_fit(fit)
    fit = in_one_place(fit)
    known, coerced = grid_names(fit.design)
    x = _variable(fit.design, x, known, coerced)
    if points is not None and points not in SHOWN:
        raise errors.choice("points", points, SHOWN)
    if by is not None and (by not in known or by == x):
        raise errors_means.variable_unknown("by", by, [name for name in known if name != x])
    is_line = kind_of(fit.design, x) == "number" and x not in coerced
    chosen = _values(fit.design, x, by, dict(at or {}), coerced, is_line)
    means = fit.emmeans(
        x, by=by, at=chosen, weights=weights, level=level, ddf=ddf, vcov=vcov, cluster=cluster
    ).to_frame()
    groups = [means] if by is None else [own for _, own in means.groupby(by, sort=False, observed=True)]
    shown = _shown(fit, x, by, groups, points, is_line)
    ax = style.single_axes(ax)
    colors = _colors(fit.design, by, len(groups))
    for own, color in zip(shown, colors if len(shown) > 1 else [style.GREY] * len(shown), strict=True):
        cloud = marks.cloud(ax, *own, color=color)
        if len(own[0]) <= marks.CROWD:
            cloud.set_alpha(0.4)
    draw = _lines if is_line else _intervals
    handles = draw(ax, x, groups, colors)
    style.axis_labels(ax, x, fit.design.response_name)
    if by is not None:
        labels = [_label(own[by].iloc[0]) for own in groups]
        grouping.legend_above(ax, handles, labels, by, columns=min(len(labels), 4))
    return ax


def _variable(design: DesignMatrices, x: str | None, known: Sequence[str], coerced: frozenset[str]) -> str:
    if x is not None:
        if x not in known:
            raise errors_means.variable_unknown("x", x, known)
        return x
    if not known:
        raise errors_plots.no_variable()
    numeric = [name for name in known if kind_of(design, name) == "number" and name not in coerced]
    return (numeric or list(known))[0]


def _values(
    design: DesignMatrices, x: str, by: str | None, at: dict[str, Any], coerced: frozenset[str], is_line: bool
) -> dict[str, Any]:
    """Where the means are evaluated: a fine grid of a numeric x; a numeric `by` at three values."""
    if is_line:
        column: Any = numbers(design, x)
        ends = at.get(x, (column.smallest, column.largest) if hasattr(column, "smallest") else column)
        try:
            low, high = float(np.min(ends)), float(np.max(ends))
        except (TypeError, ValueError):
            raise errors_means.at_not_numeric(x, ends) from None
        at[x] = np.linspace(low, high, POINTS).tolist()
    if by is not None and by not in at and by not in coerced and kind_of(design, by) == "number":
        column = numbers(design, by)
        if not hasattr(column, "smallest") and len(np.unique(column)) > 4:
            centre, spread = mean_of(column), float(np.std(column, ddof=1))
            at[by] = [float(f"{value:.4g}") for value in (centre - spread, centre, centre + spread)]
        elif not hasattr(column, "smallest"):
            at[by] = [plain(value) for value in np.unique(column)]
    return at


def _shown(
    fit: LinearMixedModel, x: str, by: str | None, groups: list[pd.DataFrame], points: str | None, is_line: bool
) -> list[tuple[Vector, Vector]]:
    """Points of each group: x and y; all of them in one if `by` is a number."""
    if points is None:
        return []
    design = fit.design
    values = _positions(design, x, groups[0][x].tolist(), is_line)
    kind = "" if by is None else kind_of(design, by)
    if points == "residuals" and kind == "number":
        raise errors_plots.partial_residuals_by(str(by))
    if kind in ("", "number"):
        rows = [np.arange(design.n)]
    else:
        own = levels_of(design, str(by))
        texts = own.levels.texts()
        rows = [np.flatnonzero(own.codes == texts.index(level_text(group[by].iloc[0]))) for group in groups]
    found = []
    for place, (group, kept) in enumerate(zip(groups, rows, strict=False)):
        at = values[kept]
        y = design.y[kept]
        if points == "residuals":
            along = group[x].to_numpy(dtype=np.float64) if is_line else np.arange(len(group), dtype=np.float64)
            y = np.interp(at, along, group["estimate"].to_numpy()) + np.asarray(fit.resid)[kept]
        if not is_line:
            at = at + _shift(place, len(groups)) + 0.1 * (np.arange(len(at)) % 7 - 3) / 3 / len(groups)
        inside = np.isfinite(at) & np.isfinite(y)
        found.append((at[inside], y[inside]))
    return found


def _positions(design: DesignMatrices, x: str, levels: list[Any], is_line: bool) -> Vector:
    """The rows along the horizontal axis; NaN for levels that are not shown."""
    if is_line:
        return np.asarray(numbers(design, x), dtype=np.float64)
    texts = [level_text(level) for level in levels]
    if kind_of(design, x) == "number":
        own, codes = np.unique(numbers(design, x), return_inverse=True)
        labels = [level_text(plain(value)) for value in own]
    else:
        categories = levels_of(design, x)
        codes, labels = np.asarray(categories.codes, dtype=np.intp), categories.levels.texts()
    place = np.array([texts.index(label) if label in texts else np.nan for label in labels], dtype=np.float64)
    return place[codes]


def _colors(design: DesignMatrices, by: str | None, count: int) -> list[Any]:
    """A colour for each group; a scale of one colour for numbers and for many levels."""
    if by is None or (kind_of(design, by) != "number" and count <= len(style.PALETTE)):
        return list(style.PALETTE[:count])
    from matplotlib import colormaps

    return [colormaps["viridis"](value) for value in np.linspace(0.0, 0.85, count)]


def _lines(ax: Axes, x: str, groups: list[pd.DataFrame], colors: list[Any]) -> list[Any]:
    handles = []
    for own, color in zip(groups, colors, strict=True):
        at = own[x].to_numpy(dtype=np.float64)
        style.band(ax, at, own["conf_low"], own["conf_high"], color)
        handles += ax.plot(at, own["estimate"], color=color, linewidth=style.LINE, zorder=3)
    ax.margins(x=0.02)
    return handles


def _intervals(ax: Axes, x: str, groups: list[pd.DataFrame], colors: list[Any]) -> list[Any]:
    handles = []
    for place, (own, color) in enumerate(zip(groups, colors, strict=True)):
        at = np.arange(len(own)) + _shift(place, len(groups))
        ax.vlines(at, own["conf_low"], own["conf_high"], color=color, linewidth=style.LINE, zorder=3)
        if len(groups) > 1 and len(own) <= MOST_JOINED:
            ax.plot(at, own["estimate"], color=color, linewidth=style.THIN, alpha=0.6, zorder=2.5)
        handles += ax.plot(at, own["estimate"], "o", color=color, markersize=1.2 * style.MARKER, zorder=4)
    labels = [style.plain(marks.shortened(_label(level), 14)) for level in groups[0][x]]
    ax.set_xticks(range(len(labels)), labels)
    ax.set_xlim(-0.5, len(labels) - 0.5)
    figure: Any = ax.get_figure()
    room = 72 * figure.get_size_inches()[0] * ax.get_position().width / len(labels)
    if 0.6 * style.text_size(ax) * max(map(len, labels)) > room:
        ax.tick_params(axis="x", rotation=45)
        for label in ax.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    return handles


def _shift(place: int, count: int) -> float:
    """How far a group stands beside the position of a level."""
    return min(0.22, 0.7 / count) * (place - 0.5 * (count - 1))


def _label(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else level_text(value)
