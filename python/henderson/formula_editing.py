"""Formulas made from another one by leaving terms out: what may go by marginality, and the text of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from henderson.expression import Expression, to_text
from henderson.formula import Formula, Grouping, RandomPart
from henderson.terms import Term, TermList


@dataclass(frozen=True)
class Reduction:
    """One way to make the random part of a formula smaller.

    Attributes
    ----------
    label
        As lmerTest names it: ``(1 | Subject)``, ``Days in (Days | Subject)``.
    group
        The grouping factor of what is left out.
    formula
        What is left; it may have no random term at all.
    """

    label: str
    group: str
    formula: Formula


def marginal_terms(side: TermList) -> tuple[Term, ...]:
    """The terms that are contained in no other: those that may be left out while the others stay.

    Examples
    --------
    >>> [term.label for term in marginal_terms(Formula("y ~ a * b + x").fixed)]
    ['x', 'a:b']
    """
    sets = [frozenset(term.variables) for term in side.terms]
    return tuple(term for term, own in zip(side.terms, sets, strict=True) if not any(own < other for other in sets))


def without_terms(side: TermList, gone: Iterable[Term]) -> TermList:
    """A side of a formula with some of its terms left out."""
    left_out = set(gone)
    return TermList(side.has_intercept, tuple(term for term in side.terms if term not in left_out))


def without_fixed(formula: Formula, term: Term) -> Formula:
    """A formula with one of its fixed terms left out.

    Examples
    --------
    >>> formula = Formula("y ~ a * b + (x | g)")
    >>> without_fixed(formula, formula.fixed_terms[-1]).text
    'y ~ a + b + (x | g)'
    """
    return edited(formula, fixed=without_terms(formula.fixed, [term]))


def reductions(
    formula: Formula, is_number: Callable[[Expression], bool], *, reduce_terms: bool = True
) -> tuple[Reduction, ...]:
    """The formulas with one random term less or, where a term has several effects, with one of its effects less.

    Parameters
    ----------
    formula
        A term of ``||`` stands for one term per effect.
    is_number
        Whether a variable is one column of numbers (rather than a factor, or a spline).
    reduce_terms
        False: whole terms only.

    Examples
    --------
    >>> for reduction in reductions(Formula("y ~ x + (x | g) + (1 | h)"), lambda variable: True):
    ...     print(reduction.label, "->", reduction.formula)
    x in (x | g) -> y ~ x + (1 | g) + (1 | h)
    (1 | h) -> y ~ x + (x | g)
    """
    parts = [piece for part in formula.random_terms for piece in separated(part, is_number)]
    found = []
    for place, part in enumerate(parts):
        before, after = parts[:place], parts[place + 1 :]
        inside = f"({part_source(part)})"
        effects = marginal_terms(part.effects)
        if not reduce_terms or not effects:
            found.append(Reduction(inside, part.grouping.label, edited(formula, random=[*before, *after])))
            continue
        for term in effects:
            less = without_terms(part.effects, [term])
            smaller = [rewritten(part, less)] if less.terms or less.has_intercept else []
            left = edited(formula, random=[*before, *smaller, *after])
            found.append(Reduction(f"{term.label} in {inside}", part.grouping.label, left))
    return tuple(found)


def uncorrelated(formula: Formula, groups: Iterable[str]) -> Formula:
    """A formula whose random terms on some grouping factors have ``||`` instead of ``|``.

    Examples
    --------
    >>> uncorrelated(Formula("y ~ x + (x | g) + (x | h)"), ["g"]).text
    'y ~ x + (x || g) + (x | h)'
    """
    wanted = set(groups)
    parts = [
        rewritten(part, part.effects, is_correlated=False) if part.grouping.label in wanted else part
        for part in formula.random_terms
    ]
    return edited(formula, random=parts)


def separated(part: RandomPart, is_number: Callable[[Expression], bool]) -> list[RandomPart]:
    """``(1 + x || g)`` as ``(1 | g)`` and ``(0 + x | g)``.

    Terms with factors stay together, with the terms they contain: how they are coded depends on those.
    """
    if part.is_correlated:
        return [part]
    terms = part.effects.terms
    joint = [term for term in terms if not all(map(is_number, term.variables))]
    joint += [term for term in terms if any(set(term.variables) < set(other.variables) for other in joint)]
    sides = [TermList(True, ())] if part.effects.has_intercept and not joint else []
    sides += [TermList(False, (term,)) for term in terms if term not in joint]
    pieces = [rewritten(part, side, is_correlated=True) for side in sides]
    if joint:
        kept = TermList(part.effects.has_intercept, tuple(term for term in terms if term in joint))
        pieces.append(rewritten(part, kept))
    return pieces


def rewritten(part: RandomPart, effects: TermList, *, is_correlated: bool | None = None) -> RandomPart:
    """A random term with other effects on the same grouping factor."""
    correlated = (part.is_correlated if is_correlated is None else is_correlated) or not effects.terms
    text = f"{side_source(effects)} {'|' if correlated else '||'} {part.grouping.label}"
    return RandomPart(effects, part.grouping, correlated, text)


def edited(formula: Formula, *, fixed: TermList | None = None, random: Sequence[RandomPart] | None = None) -> Formula:
    """A formula with other fixed effects or random terms, and the text to go with them.

    Random terms that occur twice are kept once.
    """
    fixed = formula.fixed if fixed is None else fixed
    given = formula.random_terms if random is None else random
    parts = tuple({(part.effects, part.grouping): part for part in given}.values())
    response = "" if formula.response is None else to_text(formula.response, quoted=True)
    pieces = [side_source(fixed), *(f"offset({to_text(node, quoted=True)})" for node in formula.offsets)]
    pieces += [f"({part_source(part)})" for part in parts]
    return Formula.of(f"{response} ~ {' + '.join(pieces)}".strip(), formula.response, fixed, parts, formula.offsets)


def side_source(side: TermList) -> str:
    """One side of a formula as text that reads back as it: ``1``, ``x + f:x``, ``0 + x``."""
    terms = [term.source for term in side.terms]
    start = [] if side.has_intercept and terms else ["1" if side.has_intercept else "0"]
    return " + ".join(start + terms)


def part_source(part: RandomPart) -> str:
    """A random term as text that reads back as it, without parentheses: as it was written if names need no quotes."""
    variables = [*part.effects.variables(), *part.grouping.variables]
    if all(to_text(variable) == to_text(variable, quoted=True) for variable in variables):
        return part.text
    bar = "|" if part.is_correlated else "||"
    return f"{side_source(part.effects)} {bar} {grouping_source(part.grouping)}"


def grouping_source(grouping: Grouping) -> str:
    """A grouping factor as text that reads back as the same combinations."""
    return ":".join(to_text(variable, quoted=True) for variable in grouping.variables)
