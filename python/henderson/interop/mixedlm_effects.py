"""Random effects by group with statsmodels' labels: those of ``re_formula``, then of each variance component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson.inference.products import level_positions
from henderson.interop.mixedlm_formula import Component, Structure
from henderson.interop.mixedlm_names import INTERCEPT, level_name, variable_name

if TYPE_CHECKING:
    import pandas as pd

    from henderson.design import DesignMatrices
    from henderson.factors import Factor
    from henderson.interop.mixedlm_result import MixedLMResults


@dataclass(frozen=True, eq=False)
class GroupEffects:
    """Which random effects are those of which group.

    Attributes
    ----------
    places
        By group, sorted: positions among all random effects, in the order of the columns of `Z`.
    labels
        By group: their names.
    """

    places: dict[Any, list[int]]
    labels: dict[Any, list[str]]

    def means(self, model: MixedLMResults) -> dict[Any, pd.Series[float]]:
        """The conditional means, group by group."""
        import pandas as pd

        by_term = model.solution.b
        orders = [np.asarray(model.design.factors[term.factor].order) for term in model.design.terms]
        values = np.concatenate([np.asarray(b)[order].ravel() for b, order in zip(by_term, orders, strict=True)])
        indices = self._indices()
        return {group: pd.Series(values[own], index=indices[group]) for group, own in self.places.items()}

    def covariances(self, model: MixedLMResults) -> dict[Any, pd.DataFrame]:
        """Their conditional covariance matrices.

        Groups are independent, so that one solution gives a column of the matrix of each group.
        """
        import pandas as pd

        size = sum(map(len, self.places.values()))
        unit = np.zeros((size, max(map(len, self.places.values()))))
        for own in self.places.values():
            unit[own, np.arange(len(own))] = 1.0
        solved = model.sigma**2 * model.solve_random(unit)
        indices = self._indices()
        return {
            group: pd.DataFrame(solved[own, : len(own)], index=indices[group], columns=indices[group])
            for group, own in self.places.items()
        }

    def _indices(self) -> dict[Any, pd.Index[str]]:
        """One index for all groups that have the same labels."""
        import pandas as pd

        known: dict[tuple[str, ...], pd.Index[str]] = {}
        return {group: known.setdefault(tuple(own), pd.Index(own)) for group, own in self.labels.items()}


def group_effects(
    model: MixedLMResults, structure: Structure, re: tuple[tuple[int, ...], tuple[str, ...]] | None
) -> GroupEffects:
    """Sort the random effects of a fit into groups.

    Parameters
    ----------
    re
        Of the effects of ``re_formula``: their order and their names in that order.
    """
    design = model.design
    starts = np.cumsum([0, *(design.factors[term.factor].n_levels * len(term.columns) for term in design.terms)])
    places: dict[Any, list[int]] = {group: [] for group in _groups(design, structure)}
    labels: dict[Any, list[str]] = {group: [] for group in places}
    if re is not None:
        order, names = re
        t = model._term(structure.re or 0)
        factor = design.factors[design.terms[t].factor]
        position = level_positions(design, t)
        for group, level in zip(factor.labels.tolist(), position.tolist(), strict=True):
            places[group] += [int(starts[t]) + level * len(order) + k for k in order]
            labels[group] += names
    for component in structure.components:
        t = model._term(component.part)
        factor = design.factors[design.terms[t].factor]
        position = level_positions(design, t)
        owners, columns = _owners(factor, structure), _columns(factor, component, structure)
        for code in np.asarray(factor.order).tolist():
            places[owners[code]].append(int(starts[t]) + int(position[code]))
            labels[owners[code]].append(f"{component.name}[{columns[code]}]")
    return GroupEffects(places, labels)


def _groups(design: DesignMatrices, structure: Structure) -> list[Any]:
    """The groups sorted by label, whatever the order of a categorical; unless their labels do not compare."""
    if structure.group is None:
        return [structure.only]
    factor = next(design.factors[term.factor] for term in design.terms)
    place = factor.variables.index(structure.group)
    levels = factor.parts[place]
    labels = list(levels.labels[levels.order].tolist())
    try:
        return sorted(labels)
    except TypeError:
        return labels


def _owners(factor: Factor, structure: Structure) -> list[Any]:
    """The group of each level of a factor, by code."""
    if structure.group is None:
        return [structure.only] * factor.n_levels
    return _labels(factor, factor.variables.index(structure.group))


def _labels(factor: Factor, place: int) -> list[Any]:
    """The value of one variable of a factor, by code."""
    labels: NDArray[Any] = factor.parts[place].labels
    return list((labels if factor.combinations is None else labels[factor.combinations[:, place]]).tolist())


def _columns(factor: Factor, component: Component, structure: Structure) -> list[str]:
    """What the effect of each level is called, by code."""
    if not component.variables:
        return [INTERCEPT] * factor.n_levels
    names = [""] * factor.n_levels
    place = 0
    for first, (node, is_categorical) in enumerate(component.variables):
        name = variable_name(node, structure.original)
        own = [name] * factor.n_levels
        if is_categorical:
            at = min(place, len(factor.variables) - 1)
            own = [level_name(name, level) for level in _labels(factor, at)]
            place += 1
        names = own if first == 0 else [f"{left}:{right}" for left, right in zip(names, own, strict=True)]
    return names
