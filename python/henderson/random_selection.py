"""Some of the random effects of a fitted model, as users ask for them: by grouping factor, by term, by formula."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from henderson import errors_predict
from henderson.design import DesignMatrices
from henderson.formula import Grouping, RandomPart, parse_formula
from henderson.newdata import Wanted, effect_names

NONE = frozenset({"~0", "0"})
"""What lme4's users write for no random effects."""


@dataclass(frozen=True)
class Selection:
    """Some of the random effects of a model.

    Attributes
    ----------
    chosen
        By index of the random term: positions of the effects that take part, in order.
    left_out
        The same of all others.
    """

    chosen: dict[int, tuple[int, ...]]
    left_out: dict[int, tuple[int, ...]]

    def wanted(self, *, with_others: bool) -> dict[int, Wanted]:
        """What new rows need; with the columns of the effects left out, though not their grouping factors."""
        found = {t: Wanted(effects) for t, effects in self.chosen.items()}
        if with_others:
            for t, effects in self.left_out.items():
                own = self.chosen.get(t, ())
                found[t] = Wanted(tuple(sorted((*own, *effects))), is_grouped=bool(own))
        return found


def select(design: DesignMatrices, value: Any) -> Selection:
    """Read an argument such as ``re=``.

    Parameters
    ----------
    design
        Of the fitted model.
    value
        "all"; None for no random effects; the name of a grouping factor, for all its terms; the label of a term
        (``"Subject.1"``); random terms as in a formula, with all or some of the effects that the model has
        (``"(1 | Subject)"``); or a list of these.

    Raises
    ------
    DataError
        The model has no such random effects.
    FormulaError
        The text cannot be read.
    """
    sizes = [len(term.names) for term in design.terms]
    taken: list[set[int]] = [set() for _ in sizes]
    for text in _texts(value):
        for t, effects in _effects(design, text):
            taken[t].update(effects)
    chosen = {t: tuple(sorted(own)) for t, own in enumerate(taken) if own}
    rest = {t: tuple(k for k in range(size) if k not in taken[t]) for t, size in enumerate(sizes)}
    return Selection(chosen, {t: own for t, own in rest.items() if own})


def _texts(value: Any) -> list[str]:
    values = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(text, str) for text in values):
        raise errors_predict.re_type(value)
    return [text for text in values if "".join(text.split()) not in NONE]


def _effects(design: DesignMatrices, text: str) -> Iterable[tuple[int, Iterable[int]]]:
    """Pairs of a term and positions of its effects."""
    everything = [(t, range(len(term.names))) for t, term in enumerate(design.terms)]
    if text == "all":
        return everything
    if "|" in text:
        formula = parse_formula(text if "~" in text else f"~ {text}")
        if formula.fixed_terms or formula.response is not None:
            label = formula.fixed_terms[0].label if formula.fixed_terms else formula.response_label
            raise errors_predict.re_fixed(text, label)
        return [pair for part in formula.random_terms for pair in _of_part(design, part)]
    name = text.strip()
    of_group = [(t, all_) for t, all_ in everything if design.terms[t].group == name]
    found = of_group or [(t, all_) for t, all_ in everything if design.terms[t].label == name]
    if not found:
        known = dict.fromkeys([*(term.group for term in design.terms), *(term.label for term in design.terms)])
        raise errors_predict.re_unknown(name, list(known))
    return found


def _of_part(design: DesignMatrices, part: RandomPart) -> list[tuple[int, Iterable[int]]]:
    """The effects that a random term such as ``1 | Subject`` names."""
    own = design.formula.random_terms
    terms = [t for t, term in enumerate(design.terms) if _same(own[term.part].grouping, part.grouping)]
    group = part.grouping.label
    if not terms:
        raise errors_predict.re_group(part.text, group, list(dict.fromkeys(term.group for term in design.terms)))
    same = [t for t in terms if own[design.terms[t].part].effects == part.effects]
    if same:  # as it stands in the formula
        return [(t, range(len(design.terms[t].names))) for t in same]
    known = list(dict.fromkeys(name for t in terms for name in design.terms[t].names))
    for variable in part.effects.variables():
        if variable not in design.recipe.variables:
            label = next(term.label for term in part.effects.terms if variable in term.variables)
            raise errors_predict.re_effect(part.text, label, group, known)
    found: list[tuple[int, Iterable[int]]] = []
    for name in effect_names(design, part.effects):
        holders = [t for t in terms if name in design.terms[t].names]
        if not holders:
            raise errors_predict.re_effect(part.text, name, group, known)
        if len(holders) > 1:
            raise errors_predict.re_ambiguous(part.text, name, [own[design.terms[t].part].text for t in holders])
        found.append((holders[0], [design.terms[holders[0]].names.index(name)]))
    return found


def _same(one: Grouping, other: Grouping) -> bool:
    """Whether two grouping factors are combinations of the same variables."""
    return one.label == other.label or set(one.variables) == set(other.variables)
