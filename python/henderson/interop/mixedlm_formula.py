"""The formulas of statsmodels as one of ours.

``groups="g"``, ``re_formula="1 + x"`` and ``vc_formula={"b": "0 + C(b)"}`` become ``(1 + x | g) + (1 | b:g)``;
functions of patsy become those that compute the same here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from henderson import errors, errors_mixedlm
from henderson.expression import (
    CATEGORICAL_CALLS,
    Binary,
    Call,
    Expression,
    Items,
    Name,
    Parentheses,
    Unary,
    full_span,
    strip_parentheses,
    to_python,
    to_text,
    walk,
)
from henderson.formula import Formula, parse_formula
from henderson.parser import parse
from henderson.tables import Table
from henderson.terms import TermList
from henderson.transforms import FUNCTIONS

_OURS_BESIDES = frozenset({"offset"})
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_MODULES = ("np.", "numpy.")
_CONTRASTS = ("Treatment", "Sum", "Helmert", "Poly", "Diff", "c")


@dataclass(frozen=True)
class Component:
    """A variance component.

    Attributes
    ----------
    name
        Its key in ``vc_formula``.
    text
        Its formula.
    part
        Index into the random terms of the formula.
    variables
        Those of its term, and whether they are categorical.
    """

    name: str
    text: str
    part: int
    variables: tuple[tuple[Expression, bool], ...]


@dataclass(frozen=True)
class Structure:
    """What the random terms of a formula are in statsmodels' terms.

    Attributes
    ----------
    label
        What statsmodels calls the intercept of a group: the column, or "Group".
    group
        The variable that the groups are levels of; None for one group.
    only
        The label of the only group.
    re
        Index of the random term of ``re_formula``, None if there is none.
    components
        Sorted by name.
    original
        How expressions that were rewritten had been written.
    """

    label: str
    group: Name | None
    only: Any
    re: int | None
    components: tuple[Component, ...]
    original: Mapping[Expression, str] = field(repr=False)


@dataclass(frozen=True, init=False)
class MixedLMFormula(Formula):
    """A formula that remembers how it was put together."""

    structure: Structure = field(repr=False)


@dataclass(frozen=True)
class Groups:
    """The groups of a model: their column in the table, and what statsmodels calls it; `only` if there is but one."""

    column: str
    label: str
    is_one: bool
    only: Any


def mixed_formula(
    formula: Any, table: Table, groups: Groups, re_formula: Any, vc_formula: Any, context: Collection[str]
) -> MixedLMFormula:
    """The formula of a model given in statsmodels' way.

    Raises
    ------
    FormulaError, DataError
        It cannot be read, or the model is none that can be fitted; the message shows where.
    """
    if not isinstance(formula, str):
        raise errors.formula_not_text(formula)
    reader = _Reader(table, context)
    fixed = reader.fixed(formula)
    group = Name(groups.column)
    quoted = to_text(group, quoted=True)
    terms: list[str] = []
    if re_formula is not None or vc_formula is None:
        if groups.is_one:
            raise errors_mixedlm.one_group("re_formula" if re_formula is not None else "the intercept", groups.only)
        terms.append(f"({reader.effects(re_formula)} | {quoted})")
    components = []
    for name, text in _sorted_components(vc_formula):
        variables = reader.component(name, text)
        terms.append(_component_term(name, variables, groups, quoted))
        components.append(Component(name, text, len(terms) - 1, variables))
    structure = Structure(
        label=groups.label,
        group=None if groups.is_one else group,
        only=groups.only,
        re=0 if re_formula is not None or vc_formula is None else None,
        components=tuple(components),
        original=reader.original,
    )
    return _with_structure(parse_formula(" + ".join([fixed, *terms])), structure)


def _with_structure(formula: Formula, structure: Structure) -> MixedLMFormula:
    result = object.__new__(MixedLMFormula)
    for one in dataclasses.fields(formula):
        object.__setattr__(result, one.name, getattr(formula, one.name))
    object.__setattr__(result, "structure", structure)
    return result


def _sorted_components(vc_formula: Any) -> list[tuple[str, str]]:
    if vc_formula is None:
        return []
    if not isinstance(vc_formula, Mapping) or not vc_formula or not all(isinstance(name, str) for name in vc_formula):
        raise errors_mixedlm.vc_type(vc_formula)
    return sorted(vc_formula.items())


def _component_term(
    name: str, variables: tuple[tuple[Expression, bool], ...], groups: Groups, quoted_group: str
) -> str:
    """The random term of a component: categories become grouping factors, numbers effects."""
    numbers = [to_text(node, quoted=True) for node, is_categorical in variables if not is_categorical]
    factors = [to_text(_plain(node), quoted=True) for node, is_categorical in variables if is_categorical]
    if not groups.is_one and quoted_group not in factors:
        factors.append(quoted_group)
    if not factors:
        raise errors_mixedlm.one_group(f"component {name!r}", groups.only)
    return f"({'0 + ' + ':'.join(numbers) if numbers else '1'} | {':'.join(factors)})"


def _plain(node: Expression) -> Expression:
    """What groups rows as ``C(x)`` does: x."""
    while isinstance(node, Call) and node.function == "C":
        node = strip_parentheses(node.arguments[0][1])
    return node


class _Reader:
    """Reads patsy's formulas; `original` keeps how rewritten expressions had been written."""

    def __init__(self, table: Table, context: Collection[str]) -> None:
        self.table = table
        self.context = context
        self.original: dict[Expression, str] = {}

    def fixed(self, text: str) -> str:
        """The fixed effects and the response as text in our language."""
        tree = parse(text)
        self._refuse_bars(tree, text, errors_mixedlm.random_term_in_formula)
        parse_formula(text)  # says what else is wrong
        rewritten = self._rewritten(tree, text)
        return text.strip() if rewritten == tree else to_text(rewritten, quoted=True)

    def effects(self, text: Any) -> str:
        """The left side of the bar for a ``re_formula``."""
        if text is None:
            return "1"
        side, right = self._one_sided("re_formula", text, "1 + x")
        if not side.has_intercept and not side.terms:
            raise errors_mixedlm.no_effects("re_formula", text)
        return to_text(right, quoted=True) if side.terms else "1"

    def component(self, name: str, text: Any) -> tuple[tuple[Expression, bool], ...]:
        """The variables of the only term of a component, none for an intercept, and which of them are categorical."""
        what = f"vc_formula[{name!r}]"
        side, _ = self._one_sided(what, text, "0 + C(x)")
        if not side.terms:
            if not side.has_intercept:
                raise errors_mixedlm.no_effects(what, text)
            return ()
        if side.has_intercept:
            raise errors_mixedlm.vc_intercept(name, text)
        if len(side.terms) > 1:
            raise errors_mixedlm.vc_terms(name, [term.label for term in side.terms], text)
        variables = tuple((node, self._is_categorical(node)) for node in side.terms[0].variables)
        for node, is_categorical in variables:
            if is_categorical and isinstance(node, Call) and node.function == "C" and not _is_treatment(node):
                raise errors_mixedlm.vc_contrasts(name, text, (0, len(text)))
        return variables

    def _one_sided(self, what: str, text: Any, example: str) -> tuple[TermList, Expression]:
        """The terms of a formula without a response, and its tree."""
        if not isinstance(text, str):
            raise errors_mixedlm.not_text(what, text, example)
        whole = text if "~" in text else f"~ {text}"
        tree = parse(whole)
        if not (isinstance(tree, Unary) and tree.operator == "~"):
            raise errors_mixedlm.one_sided(what, whole, full_span(tree))
        self._refuse_bars(tree, whole, lambda text, span: errors_mixedlm.no_bars(what, text, span))
        right = self._rewritten(tree.operand, whole)
        return parse_formula(f"~ {to_text(right, quoted=True)}").fixed, right

    def _refuse_bars(self, tree: Expression, text: str, error: Any) -> None:
        """No bars outside of functions, and no dot."""
        stack = [tree]
        while stack:
            node = stack.pop()
            if isinstance(node, Binary):
                if node.operator in ("|", "||"):
                    raise error(text, full_span(node))
                stack += [node.left, node.right]
            elif isinstance(node, Unary):
                stack.append(node.operand)
            elif isinstance(node, Parentheses):
                stack.append(node.inner)
            elif isinstance(node, Name) and node.name == ".":
                raise errors_mixedlm.dot_in_formula(text, node.span)

    def _rewritten(self, node: Expression, text: str) -> Expression:
        """The same in our language; functions that are not known are errors."""
        match node:
            case Unary():
                return dataclasses.replace(node, operand=self._rewritten(node.operand, text))
            case Binary():
                left, right = self._rewritten(node.left, text), self._rewritten(node.right, text)
                return dataclasses.replace(node, left=left, right=right)
            case Parentheses():
                return dataclasses.replace(node, inner=self._rewritten(node.inner, text))
            case Items():
                return dataclasses.replace(node, items=tuple(self._rewritten(item, text) for item in node.items))
            case Call():
                return self._call(node, text)
        return node

    def _call(self, node: Call, text: str) -> Expression:
        known = FUNCTIONS | _OURS_BESIDES | set(self.context)
        if node.function not in known and not node.function.startswith(_MODULES):
            raise errors_mixedlm.function_unknown(node.function, sorted(known), text, node.span)
        if node.function in CATEGORICAL_CALLS:
            self._check_contrasts(node, text)
            (key, first), *rest = node.arguments
            inner = self._rewritten(first, text)
            return self._noted(_with_levels(node, (key, inner), rest), node)
        arguments = tuple((key, self._rewritten(argument, text)) for key, argument in node.arguments)
        name = "standardize" if node.function == "scale" and "scale" not in self.context else node.function
        return self._noted(dataclasses.replace(node, function=name, arguments=arguments), node)

    def _check_contrasts(self, node: Call, text: str) -> None:
        """Contrasts are patsy's classes, R's functions or matrices of the context."""
        known = {*_CONTRASTS, *self.context}
        for below in (below for key, argument in node.arguments[1:] for below in walk(argument) if key != "levels"):
            name = below.function if isinstance(below, Call) else below.name if isinstance(below, Name) else None
            if name is not None and name not in known and not name.startswith("contr."):
                raise errors_mixedlm.contrasts_unknown(name, _CONTRASTS, text, full_span(below))

    def _noted(self, result: Call, node: Call) -> Call:
        if result != node:
            self.original[result] = to_python(node)
        return result

    def _is_categorical(self, node: Expression) -> bool:
        inner = strip_parentheses(node)
        if isinstance(inner, Call) and inner.function == "I":
            inner = strip_parentheses(inner.arguments[0][1])
        if isinstance(inner, Call):
            return inner.function in CATEGORICAL_CALLS
        if isinstance(inner, Binary | Unary):
            return inner.operator in _COMPARISONS or inner.operator == "!"
        if isinstance(inner, Name) and inner.name not in self.context:
            column = self.table.column(inner.name)
            if column is None:
                raise errors.column_unknown(inner.name, self.table.names)
            return column.kind != "number"
        return False


def _is_treatment(node: Call) -> bool:
    """Whether ``C(x, ...)`` without an intercept gives an indicator for each level."""
    names = {below.name for _, argument in node.arguments[1:] for below in walk(argument) if isinstance(below, Name)}
    calls = {
        below.function for _, argument in node.arguments[1:] for below in walk(argument) if isinstance(below, Call)
    }
    return (names | calls) <= {"Treatment", "contr.treatment"}


def _with_levels(node: Call, first: tuple[str | None, Expression], rest: list[tuple[str | None, Expression]]) -> Call:
    """The ``C(x, levels=[...])`` of patsy is ``factor(x, levels = [...])``, with contrasts or without."""
    levels = [argument for key, argument in rest if key == "levels"]
    if node.function != "C" or not levels:
        return dataclasses.replace(node, arguments=(first, *rest))
    factor = Call("factor", (first, ("levels", levels[0])), node.span)
    others = tuple((key, argument) for key, argument in rest if key != "levels")
    return dataclasses.replace(node, arguments=((None, factor), *others)) if others else factor


def ordered_factors(formula: Formula, table: Table) -> dict[str, str]:
    """Contrasts for ordered categoricals: patsy compares with the first level, we would take polynomials."""
    found: dict[str, str] = {}
    sides = [formula.fixed, *(part.effects for part in formula.random_terms)]
    for node in (variable for side in sides for variable in side.variables()):
        inner = node
        if isinstance(node, Call) and node.function == "C" and len(node.arguments) == 1:
            inner = strip_parentheses(node.arguments[0][1])
        column = table.column(inner.name) if isinstance(inner, Name) else None
        if column is not None and column.kind == "category" and column.categories().levels.is_ordered:
            found[to_text(node)] = "treatment"
    return found
