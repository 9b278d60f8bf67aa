"""The formula of an estimator: what its arguments and the groups passed to fit() mean together."""

from __future__ import annotations

from collections.abc import Sequence

from henderson import errors_learn
from henderson.expression import Name, columns_of, strip_parentheses
from henderson.formula import Formula, RandomPart

RESPONSE = "y"
ROUTED = "groups"
"""What the groups passed to fit() are called in formulas."""


def estimator_formula(
    formula: str | None, random_effects: str | None, groups: Sequence[str], routed: Sequence[str], names: Sequence[str]
) -> Formula:
    """Formula of a fit to a table with the columns of X, of the groups passed to fit(), and the response.

    Parameters
    ----------
    formula, random_effects
        Arguments of the estimator.
    groups
        Columns of X that its argument `groups` names.
    routed
        Columns of the groups passed to fit().
    names
        Columns of X.

    Returns
    -------
    Formula
        With its response and its random effects.

    Raises
    ------
    DataError
        The arguments say two things.
    FormulaError
        A formula cannot be read.
    """
    if random_effects is not None and len(groups):
        raise errors_learn.groups_and_effects()
    intercepts = " + ".join(f"(1 | {quoted(name)})" for name in (*groups, *routed))
    if random_effects is not None:
        if formula is not None and _random_terms(formula):
            raise errors_learn.formula_and("random_effects")
        effects = _checked_effects(random_effects)
    else:
        effects = intercepts
    response, right = _free_name(names), ""
    if formula is not None:
        response, right = _sides(formula, response)
        if _random_terms(formula):
            if len(groups):
                raise errors_learn.formula_and("groups")
            effects = ""
        elif not effects:
            raise errors_learn.no_random_effects(formula)
    if formula is None:
        taken = group_columns(Formula(f"{RESPONSE} ~ {effects}"))
        right = " + ".join(quoted(name) for name in names if name not in taken) or "1"
    found = Formula(" + ".join(part for part in (f"{quoted(response)} ~ {right}", effects) if part))
    _require_groups(found, routed, names)
    return found


def quoted(name: str) -> str:
    """A column name as a formula has it."""
    return name if name.replace(".", "_").isidentifier() else f"`{name}`"


def response_name(formula: Formula) -> str:
    """The column of the response."""
    assert isinstance(formula.response, Name)
    return formula.response.name


def group_columns(formula: Formula) -> list[str]:
    """Columns that grouping factors are made of."""
    return list(dict.fromkeys(name for part in formula.random_terms for name in columns_of_group(part)))


def columns_of_group(part: RandomPart) -> list[str]:
    """Columns that the grouping factor of a random term is made of."""
    return [name.name for variable in part.grouping.variables for name in columns_of(variable)]


def stated_groups(formula: str | None, random_effects: str | None) -> list[str]:
    """Columns that the grouping factors in the arguments of an estimator are made of."""
    found = [] if formula is None else group_columns(Formula(formula))
    if random_effects is not None:
        found += group_columns(Formula(f"{RESPONSE} ~ {_checked_effects(random_effects)}"))
    return list(dict.fromkeys(found))


def effect_columns(part: RandomPart) -> list[str]:
    """Columns that the effects of a random term are made of."""
    return [name.name for variable in part.effects.variables() for name in columns_of(variable)]


def require_used(routed: Sequence[str], used: Sequence[str]) -> None:
    """Refuse groups passed to fit() that no grouping factor of a formula uses."""
    if routed and not set(routed) & set(used):
        raise errors_learn.groups_unused(routed)


def _random_terms(formula: str) -> bool:
    return bool(Formula(formula).random_terms)


def _checked_effects(text: str) -> str:
    if not isinstance(text, str) or "~" in text:  # type: ignore[redundant-expr]
        raise errors_learn.effects_invalid(text)
    formula = Formula(f"{RESPONSE} ~ 1 + {text}")
    if not formula.random_terms or formula.fixed_terms:
        raise errors_learn.effects_invalid(text)
    return text


def _sides(text: str, default: str) -> tuple[str, str]:
    formula = Formula(text)
    left, _, right = text.partition("~")
    if formula.response is None:
        return default, right.strip()
    response = strip_parentheses(formula.response)
    if not isinstance(response, Name):
        raise errors_learn.response_transformed(left.strip())
    return response.name, right.strip()


def _free_name(names: Sequence[str]) -> str:
    name = RESPONSE
    while name in names:
        name = f"_{name}"
    return name


def _require_groups(formula: Formula, routed: Sequence[str], names: Sequence[str]) -> None:
    """The groups passed to fit() are those that the formula uses."""
    used = group_columns(formula)
    require_used(routed, used)
    absent = [name for name in used if name not in {*names, *routed} and name.partition("_")[0] == ROUTED]
    if absent:
        raise errors_learn.groups_needed(absent)
