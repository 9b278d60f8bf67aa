"""The algebra of terms: what ``a * b``, ``a / b``, ``(a + b)^2`` and ``- a`` mean on one side of a formula.

A term is a set of variables; the empty set is the intercept. A side is an ordered set of terms, sorted by their number
of variables as R does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from henderson import errors
from henderson.expression import (
    Binary,
    Call,
    Code,
    Constant,
    Expression,
    Items,
    Name,
    Parentheses,
    Unary,
    full_span,
    to_text,
)

_TermSet = dict[frozenset[Expression], None]  # ordered set of terms
_INTERCEPT: frozenset[Expression] = frozenset()


@dataclass(frozen=True, slots=True)
class Term:
    """A product of variables, in the order in which they first appear on their side of the formula."""

    variables: tuple[Expression, ...]

    @property
    def label(self) -> str:
        """As R prints it, ``a:log(x)``."""
        return ":".join(map(to_text, self.variables))

    @property
    def source(self) -> str:
        """Text that reads back as this term."""
        return ":".join(to_text(variable, quoted=True) for variable in self.variables)


@dataclass(frozen=True, slots=True)
class TermList:
    """One side of a formula: an intercept or none, and terms sorted by their number of variables."""

    has_intercept: bool
    terms: tuple[Term, ...]

    def variables(self) -> Iterator[Expression]:
        """Each variable once, in order of appearance among the terms."""
        return iter(dict.fromkeys(variable for term in self.terms for variable in term.variables))


def expand(summands: Sequence[tuple[str, Expression]], text: str, dot: tuple[str, ...] | None = None) -> TermList:
    """The terms of a sum; each summand comes with its sign. An intercept is there unless removed.

    Parameters
    ----------
    summands
        Pairs of ``"+"`` or ``"-"`` and an expression.
    text
        The whole formula, for error messages.
    dot
        The columns that ``.`` stands for, None while unknown (``.`` is then ignored).
    """
    algebra = _Algebra(text, dot)
    terms: _TermSet = {}
    has_intercept = True
    for sign, node in summands:
        terms, intercept = algebra.combine(sign, (terms, None), algebra.evaluate(node))
        has_intercept = has_intercept if intercept is None else intercept
    terms.pop(_INTERCEPT, None)
    order = {variable: position for position, variable in enumerate(algebra.appearance)}
    ordered = sorted(terms, key=len)  # stable: R keeps the order of appearance within an order of interaction
    return TermList(has_intercept, tuple(Term(tuple(sorted(term, key=order.__getitem__))) for term in ordered))


class _Algebra:
    """Evaluates an expression to its terms and to what it says about the intercept (True, False, None: nothing)."""

    def __init__(self, text: str, dot: tuple[str, ...] | None) -> None:
        self.text = text
        self.dot = dot
        self.appearance: dict[Expression, None] = {}

    def evaluate(self, node: Expression) -> tuple[_TermSet, bool | None]:
        match node:
            case Parentheses():
                return self.evaluate(node.inner)
            case Constant(value=0 | 1) if not isinstance(node.value, bool):
                return {}, node.value == 1
            case Name(name="."):
                return {frozenset({self.variable(Name(name))}): None for name in self.dot or ()}, None
            case Name() | Call() | Code():
                return {frozenset({self.variable(node)}): None}, None
            case Unary(operator="+" | "-"):
                return self.combine(node.operator, ({}, None), self.evaluate(node.operand))
            case Binary(operator="+" | "-"):
                return self.combine(node.operator, self.evaluate(node.left), self.evaluate(node.right))
            case Binary(operator="^"):
                return self.power(node), None
            case Binary(operator=":" | "%in%" | "*" | "/"):
                return self.product(node), None
            case Binary(operator="|" | "||"):
                raise errors.bar_repeated(self.text, node.span)
        what = "A list" if isinstance(node, Items) else to_text(node)
        raise errors.term_invalid(what, self.text, full_span(node))

    def variable(self, node: Expression) -> Expression:
        self.appearance.setdefault(node)
        return node

    def combine(
        self, sign: str, left: tuple[_TermSet, bool | None], right: tuple[_TermSet, bool | None]
    ) -> tuple[_TermSet, bool | None]:
        """Sum or difference; on the intercept the right one has the last word."""
        if sign == "+":
            return left[0] | right[0], left[1] if right[1] is None else right[1]
        kept: _TermSet = {term: None for term in left[0] if term not in right[0]}
        return kept, left[1] if right[1] is None else not right[1]

    def product(self, node: Binary) -> _TermSet:
        left, right = self.operand(node.left), self.operand(node.right)
        if node.operator == "/":  # every term on the right within all variables on the left
            everything = frozenset().union(*left)
            return left | {everything | term: None for term in right}
        crossed: _TermSet = {one | other: None for one in left for other in right}
        return left | right | crossed if node.operator == "*" else crossed

    def operand(self, node: Expression) -> _TermSet:
        terms, intercept = self.evaluate(node)
        return {_INTERCEPT: None} | terms if intercept else terms

    def power(self, node: Binary) -> _TermSet:
        exponent = node.right.inner if isinstance(node.right, Parentheses) else node.right
        if not (isinstance(exponent, Constant) and type(exponent.value) is int and exponent.value >= 1):
            raise errors.power_invalid(self.text, full_span(exponent))
        base = self.operand(node.left)
        result = base
        for _ in range(exponent.value - 1):
            grown: _TermSet = result | {one | other: None for one in result for other in base}
            if len(grown) == len(result):
                break
            result = grown
        return result
