"""Which grouping factor and which of its effects a plot is about, and how much room its levels have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_plots
from henderson.levels import level_text
from henderson.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel

Matrix = NDArray[np.float64]

LEAST_PITCH = 6.0
"""Points between two levels below which their names would run into each other."""


@dataclass(frozen=True, eq=False)
class GroupEffects:
    """Random effects of one grouping factor, all its terms side by side.

    Attributes
    ----------
    group
        Name of the factor.
    names
        Of the effects.
    levels
        As text, in the order of `ranef`.
    modes, deviations
        Conditional modes and conditional standard deviations, shape (levels, effects).
    """

    group: str
    names: tuple[str, ...]
    levels: list[str]
    modes: Matrix
    deviations: Matrix


def group_effects(fit: LinearMixedModel, factor: int) -> GroupEffects:
    """The random effects of a grouping factor, by its index."""
    design = fit.design
    own = design.factors[factor]
    terms = [t for t, term in enumerate(design.terms) if term.factor == factor]
    names = tuple(name for t in terms for name in design.terms[t].names)
    modes = np.hstack([fit.solution.b[t] for t in terms])[own.order]
    variances = np.hstack([np.einsum("jkk->jk", fit.conditional_variance_arrays[t]) for t in terms])[own.order]
    levels = [level_text(level) for level in own.levels.tolist()]
    return GroupEffects(own.name, names, levels, modes, np.sqrt(variances))


def chosen_factors(design: DesignMatrices, group: str | None) -> list[int]:
    """Indices of the grouping factor asked for, or of all of them in the order of the terms."""
    indices = list(dict.fromkeys(term.factor for term in design.terms))
    if group is None:
        return indices
    names = [design.factors[i].name for i in indices]
    for term in design.terms:
        if group in (term.group, term.label):
            return [term.factor]
    raise errors.choice("group", group, names)


def one_factor(design: DesignMatrices, group: str | None) -> int:
    """Index of the grouping factor asked for; without a name the one with most levels."""
    return chosen_factors(design, group)[0]


def chosen_names(what: str, wanted: str | Iterable[str] | None, available: Iterable[str]) -> list[str]:
    """Some of the names available, in the order asked for; all by default.

    Raises
    ------
    DataError
        A name is not available.
    """
    known = list(available)
    if wanted is None:
        return known
    names: list[Any] = [wanted] if isinstance(wanted, str) or not isinstance(wanted, Iterable) else list(wanted)
    for name in names:
        if name not in known:
            raise errors_plots.name_unknown(what, name, known)
    if not names:
        raise errors_plots.names_empty(what)
    return list(dict.fromkeys(names))


def pitch(ax: Axes, levels: int) -> float:
    """Points between two of so many levels, from bottom to top of a panel; nearly."""
    height = style.figure_of(ax).get_size_inches()[1]
    return float(72 * height * ax.get_position().height / max(levels, 1))


def note(ax: Axes, text: str) -> None:
    """A remark in the upper right corner of a panel."""
    ax.text(
        0.99, 0.99, text, transform=ax.transAxes, ha="right", va="top", fontsize=style.text_size(ax), color=style.GREY
    )


def legend_above(ax: Axes, handles: Sequence[Any], labels: Sequence[str], title: str = "", columns: int = 0) -> None:
    """A legend above the panel, in as many columns as there are entries."""
    from matplotlib.lines import Line2D

    found = style.legend(
        ax,
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns or len(labels),
        columnspacing=1.4,
        handletextpad=0.4,
        borderaxespad=0.2,
        borderpad=0.1,
        alignment="left",
    )
    for handle in found.legend_handles:
        if isinstance(handle, Line2D):
            handle.set(alpha=1, markersize=max(style.MARKER, handle.get_markersize()))
    if title:
        found.set_title(style.plain(title))
        found.get_title().set_fontsize(style.text_size(ax))
