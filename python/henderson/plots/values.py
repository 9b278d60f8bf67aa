"""What several diagnostic plots show: residuals of a kind, labels of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_plots
from henderson.levels import level_text
from henderson.plots.grouping import chosen_names

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]


def residuals_of(fit: LinearMixedModel, kind: str, conditional: bool = True) -> Vector:
    """Residuals of a kind, shape (n,)."""
    return np.asarray(fit.residuals(kind, conditional=conditional), dtype=np.float64)


def residual_label(fit: LinearMixedModel, kind: str, conditional: bool) -> str:
    """What residuals of a kind are called on an axis; the unit of those that have one is the response's."""
    marginal = "marginal " if not conditional and kind not in ("marginal", "whitened") else ""
    name = f"{marginal}residual" if kind == "response" else f"{marginal}{kind} residual"
    of = f" of {fit.design.response_name}" if kind in ("response", "pearson", "marginal") else ""
    return name[0].upper() + name[1:] + of


def label_count(label: Any) -> int:
    """Check the number of points to label."""
    if isinstance(label, bool) or not isinstance(label, int | np.integer) or label < 0:
        raise errors_plots.label_count(label)
    return int(label)


def row_labels(fit: LinearMixedModel, chosen: NDArray[np.intp]) -> list[str]:
    """What the table calls these rows."""
    return [str(label) for label in fit.index[chosen]]


def chosen_effects(
    fit: LinearMixedModel, group: str | None, effects: str | Iterable[str] | None
) -> list[tuple[int, int]]:
    """Random effects by name: (random term, column of it) each.

    Parameters
    ----------
    fit
        A fitted model.
    group
        Label of a random term or name of a grouping factor, None for all.
    effects
        Names of effects, None for all.
    """
    terms = chosen_terms(fit, group)
    known = dict.fromkeys(name for i in terms for name in fit.design.terms[i].names)
    wanted = chosen_names("effects", effects, known)
    return [(i, k) for i in terms for k, name in enumerate(fit.design.terms[i].names) if name in wanted]


def chosen_terms(fit: LinearMixedModel, group: str | None) -> list[int]:
    """Random terms of a label or of a grouping factor, all for None."""
    terms = fit.design.terms
    if group is None:
        return list(range(len(terms)))
    exact = [i for i, term in enumerate(terms) if term.label == group]
    of_factor = [i for i, term in enumerate(terms) if term.group == group]
    found = of_factor if len(of_factor) > 1 else exact or of_factor
    if not found:
        raise errors_plots.name_unknown("group", group, [*dict.fromkeys(t for x in terms for t in (x.group, x.label))])
    return found


def level_labels(fit: LinearMixedModel, term: int, codes: NDArray[np.intp]) -> list[str]:
    """Levels of the grouping factor of a random term, by their codes."""
    return [level_text(level) for level in fit.design.factors[fit.design.terms[term].factor].labels[codes].tolist()]


def effect_label(fit: LinearMixedModel, term: int, effect: int) -> str:
    """What an effect of a random term is called on an axis."""
    found = fit.design.terms[term]
    return f"{found.names[effect]} | {found.label}"


def check_number(what: str, value: Any) -> None:
    """Refuse what is neither None nor a finite number."""
    if value is not None and (not isinstance(value, int | float | np.number) or not np.isfinite(value)):
        raise errors_plots.not_a_number(what, value)


def positive_numbers(what: str, given: Any) -> list[float] | None:
    """One positive number or several, as a list; None stays None."""
    if given is None:
        return None
    found = list(given) if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str) else [given]
    for value in found:
        check_number(what, value)
        if value is None or value <= 0:
            raise errors_plots.not_positive(what, value)
    return [float(value) for value in found]
