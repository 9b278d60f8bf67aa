"""lme4's formula language: text -> Formula, a plain value without data.

The text is parsed to a tree (`parser`), random terms and offsets are taken out of it, and what remains on each side is
expanded by R's algebra of terms (`terms`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from henderson import errors
from henderson.expression import (
    Binary,
    Call,
    Expression,
    Name,
    Parentheses,
    Unary,
    columns_of,
    full_span,
    identifiers_of,
    strip_parentheses,
    to_text,
    walk,
)
from henderson.parser import parse
from henderson.terms import Term, TermList, expand

_STRUCTURES = {"us": True, "diag": False}  # name -> are the effects of a level correlated
_UNAVAILABLE_STRUCTURES = frozenset({"cs", "ar1", "toep", "rr", "exp", "mat", "ou", "hetar1", "homcs", "homdiag"})


@dataclass(frozen=True, slots=True)
class Grouping:
    """A grouping factor: the combinations of one or more variables, finest first.

    Attributes
    ----------
    variables
        What is crossed; ``(b, a)`` for the inner level of ``a/b``.
    label
        As lme4 prints it: ``Subject``, ``cask:batch``, ``c:(b:a)``.
    """

    variables: tuple[Expression, ...]
    label: str


@dataclass(frozen=True, slots=True)
class RandomPart:
    """One random term of a formula, ``(effects | grouping)``.

    Attributes
    ----------
    effects
        The left side of the bar.
    grouping
        The right side; ``(1 | a/b)`` gives two random parts.
    is_correlated
        False for ``||``: each column of the left side has a variance and nothing else.
    text
        As in the formula without parentheses, ``Days | Subject``.
    """

    effects: TermList
    grouping: Grouping
    is_correlated: bool
    text: str


@dataclass(frozen=True, init=False)
class Formula:
    """A mixed-model formula in lme4's language.

    Parameters
    ----------
    text
        For example ``"y ~ x + (x | subject) + (1 | item)"``.

    Attributes
    ----------
    response
        Expression left of ``~``; None for a one-sided formula.
    fixed
        The fixed effects.
    random_terms
        One entry per random term, ``a/b`` and ``a*b`` expanded, in the order of the text.
    offsets
        What stands inside ``offset(...)``.

    Raises
    ------
    FormulaError
        The text cannot be read; the message shows where.

    Examples
    --------
    >>> formula = Formula("log(y) ~ a * b + offset(w) + (1 + x || school/class)")
    >>> [term.label for term in formula.fixed_terms]
    ['a', 'b', 'a:b']
    >>> [(part.grouping.label, part.is_correlated) for part in formula.random_terms]
    [('class:school', False), ('school', False)]
    """

    text: str
    response: Expression | None = field(repr=False)
    fixed: TermList = field(repr=False)
    random_terms: tuple[RandomPart, ...] = field(repr=False)
    offsets: tuple[Expression, ...] = field(repr=False)
    has_dot: bool = field(repr=False)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise errors.formula_not_text(text)
        try:
            _fill(self, text, None)
        except RecursionError:
            raise errors.nested_too_deeply(text) from None

    @classmethod
    def of(
        cls,
        text: str,
        response: Expression | None,
        fixed: TermList,
        random_terms: tuple[RandomPart, ...],
        offsets: tuple[Expression, ...],
    ) -> Formula:
        """A formula from its parts, without reading the text."""
        formula = object.__new__(cls)
        values = (text, response, fixed, random_terms, offsets, False)
        for name, value in zip(cls.__dataclass_fields__, values, strict=True):
            object.__setattr__(formula, name, value)
        return formula

    def __str__(self) -> str:
        return self.text

    @property
    def fixed_terms(self) -> tuple[Term, ...]:
        """The fixed effects without the intercept."""
        return self.fixed.terms

    @property
    def has_intercept(self) -> bool:
        """Whether the fixed effects contain a constant."""
        return self.fixed.has_intercept

    @property
    def response_label(self) -> str:
        """The response as R prints it, ``log(y)``."""
        return "" if self.response is None else to_text(self.response)

    def columns(self) -> tuple[Name, ...]:
        """Every name that may be a column of the data, once, in order of appearance."""
        found: dict[str, Name] = {}
        for expression in self._expressions():
            for name in columns_of(expression):
                found.setdefault(name.name, name)
        return tuple(found.values())

    def identifiers(self) -> set[str]:
        """Every name in the formula: of columns, functions, constants."""
        return set().union(*map(identifiers_of, self._expressions()))

    def _expressions(self) -> Iterable[Expression]:
        if self.response is not None:
            yield self.response
        yield from self.fixed.variables()
        for part in self.random_terms:
            yield from part.effects.variables()
            yield from part.grouping.variables
        yield from self.offsets

    def expand_dot(self, names: Iterable[str]) -> Formula:
        """Replace ``.`` by those of `names` that the formula uses neither as response, grouping factor nor offset."""
        if not self.has_dot:
            return self
        taken = {
            name.name
            for part in self.random_terms
            for variable in part.grouping.variables
            for name in columns_of(variable)
        }
        for expression in (*self.offsets, *([self.response] if self.response is not None else [])):
            taken.update(name.name for name in columns_of(expression))
        return _expanded(self.text, tuple(name for name in names if name not in taken))

    def fixed_only(self) -> Formula:
        """The same formula without its random terms."""
        response = "" if self.response is None else to_text(self.response, quoted=True)
        pieces = ["1" if self.has_intercept else "0", *(term.source for term in self.fixed_terms)]
        pieces += [f"offset({to_text(offset, quoted=True)})" for offset in self.offsets]
        return parse_formula(f"{response} ~ {' + '.join(pieces)}".strip())

    def require_mixed(self) -> Formula:
        """Return the formula if it has a response and a random term.

        Raises
        ------
        FormulaError
            One of them is missing.
        """
        if self.response is None:
            raise errors.response_missing(self.text)
        if not self.random_terms:
            raise errors.random_term_missing(self.text)
        return self


@lru_cache(maxsize=512)
def parse_formula(text: str) -> Formula:
    """``Formula(text)``, remembered."""
    return Formula(text)


@lru_cache(maxsize=64)
def _expanded(text: str, names: tuple[str, ...]) -> Formula:
    formula = object.__new__(Formula)
    _fill(formula, text, names)
    return formula


def _fill(formula: Formula, text: str, dot: tuple[str, ...] | None) -> None:
    """Set the fields of a formula from its text; `dot` is what ``.`` stands for, None while unknown."""
    reader = _Reader(text, dot)
    response, right = reader.sides(parse(text))
    reader.add(right)
    values = {
        "text": text,
        "response": response,
        "fixed": expand(reader.fixed, text, dot),
        "random_terms": tuple(reader.random),
        "offsets": tuple(reader.offsets),
        "has_dot": dot is None and reader.has_dot,
    }
    for name, value in values.items():
        object.__setattr__(formula, name, value)


class _Reader:
    """Sorts the summands of a formula into fixed effects, random terms and offsets."""

    def __init__(self, text: str, dot: tuple[str, ...] | None) -> None:
        self.text = text
        self.dot = dot
        self.fixed: list[tuple[str, Expression]] = []  # sign and summand
        self.random: list[RandomPart] = []
        self.offsets: list[Expression] = []
        self.has_dot = False

    def sides(self, tree: Expression) -> tuple[Expression | None, Expression]:
        """Response and right side of a whole formula."""
        response: Expression | None = None
        if isinstance(tree, Unary) and tree.operator == "~":
            right = tree.operand
        elif isinstance(tree, Binary) and tree.operator == "~":
            response, right = strip_parentheses(tree.left), tree.right
        else:
            raise errors.tilde_missing(self.text)
        for side in (tree.left if response is not None and isinstance(tree, Binary) else right, right):
            for node in walk(side):
                if isinstance(node, Unary | Binary) and node.operator == "~":
                    raise errors.tilde_repeated(self.text, node.span)
        if response is not None:
            self.check_response(response)
        return response, right

    def check_response(self, response: Expression) -> None:
        for node in walk(response):
            if isinstance(node, Binary) and node.operator in ("|", "||"):
                raise errors.bar_misplaced(self.text, node.span)
            if isinstance(node, Name) and node.name == ".":
                raise errors.dot_invalid(self.text, node.span)
        if isinstance(response, Call) and response.function in ("cbind", "c"):
            raise errors.response_multivariate(self.text, full_span(response))

    def add(self, node: Expression, sign: str = "+") -> None:
        """Take one summand, or split it into its own summands."""
        inner = strip_parentheses(node)
        match inner:
            case Binary(operator="|" | "||"):
                self.add_random(node, inner, sign)
            case Binary(operator="+" | "-") if sign == "+":
                self.add(inner.left)
                self.add(inner.right, inner.operator)
            case Unary(operator="+" | "-") if sign == "+":
                self.add(inner.operand, inner.operator)
            case Call(function="offset"):
                self.add_offset(inner, sign)
            case Call(function=name) if name in _STRUCTURES or name in _UNAVAILABLE_STRUCTURES:
                self.add_structured(inner, sign)
            case _:
                self.check_fixed(inner)
                self.fixed.append((sign, inner))

    def check_fixed(self, node: Expression) -> None:
        """Nothing that must stand alone hides inside a fixed term."""
        for below in walk(node):
            if isinstance(below, Call) and below.function == "offset":
                raise errors.offset_invalid(self.text, below.span)
        stack = [node]
        while stack:
            below = strip_parentheses(stack.pop())
            if isinstance(below, Binary):
                if below.operator in ("|", "||"):
                    raise errors.bar_misplaced(self.text, below.span)
                stack += [below.left, below.right]
            elif isinstance(below, Name):
                self.has_dot |= below.name == "."
            elif isinstance(below, Call):
                self.check_call(below)

    def check_call(self, call: Call) -> None:
        for below in walk(call):
            if isinstance(below, Name) and below.name == ".":
                raise errors.dot_invalid(self.text, below.span)
            if isinstance(below, Binary) and below.operator in ("|", "||") and call.function != "I":
                raise errors.bar_misplaced(self.text, below.span)

    def add_offset(self, call: Call, sign: str) -> None:
        if sign != "+" or len(call.arguments) != 1 or call.arguments[0][0] is not None:
            raise errors.offset_invalid(self.text, call.span)
        self.check_call(call)
        self.offsets.append(call.arguments[0][1])

    def add_structured(self, call: Call, sign: str) -> None:
        """``us(x | g)`` and ``diag(x | g)``."""
        bar = strip_parentheses(call.arguments[0][1]) if call.arguments else None
        if not (isinstance(bar, Binary) and bar.operator == "|"):
            self.check_fixed(call)
            self.fixed.append((sign, call))
        elif call.function in _UNAVAILABLE_STRUCTURES or len(call.arguments) > 1:
            raise errors.structure_unknown(call.function, self.text, call.span)
        else:
            self.add_random(call, bar, sign, _STRUCTURES[call.function])

    def add_random(self, node: Expression, bar: Binary, sign: str, is_correlated: bool | None = None) -> None:
        """Turn ``(effects | grouping)`` into one random part per grouping factor."""
        if not isinstance(node, Parentheses | Call):
            raise errors.bar_needs_parentheses(self.text, bar.span)
        if sign != "+":
            raise errors.bar_misplaced(self.text, full_span(node))
        for side in (bar.left, bar.right):
            inner = strip_parentheses(side)
            if isinstance(inner, Binary) and inner.operator in ("|", "||"):
                raise errors.bar_repeated(self.text, inner.span)
        for below in walk(bar.left):
            if isinstance(below, Name) and below.name == ".":
                raise errors.dot_invalid(self.text, below.span)
        effects = expand([("+", bar.left)], self.text)
        if not effects.terms and not effects.has_intercept:
            raise errors.random_effects_empty(self.text, full_span(bar.left))
        correlated = bar.operator == "|" if is_correlated is None else is_correlated
        for grouping in self.groupings(bar.right):
            left = to_text(bar.left)
            text = f"{left} {'|' if correlated else '||'} {grouping.label}"
            self.random.append(RandomPart(effects, grouping, correlated, text))

    def groupings(self, node: Expression) -> list[Grouping]:
        """The grouping factors of the right side of a bar, finest first."""
        match node:
            case Parentheses():
                return self.groupings(node.inner)
            case Name(name="."):
                raise errors.dot_invalid(self.text, node.span)
            case Name() | Call():
                return [Grouping((node,), to_text(node))]
            case Binary(operator=":"):
                return [
                    _join(left, right) for left in self.groupings(node.left) for right in self.groupings(node.right)
                ]
            case Binary(operator="/"):
                outer = self.groupings(node.left)
                return [_join(inner, outer[0]) for inner in self.groupings(node.right)] + outer
            case Binary(operator="*"):
                left, right = self.groupings(node.left), self.groupings(node.right)
                return left + right + [_join(one, other) for one in left for other in right]
            case Binary(operator="+"):
                raise errors.grouping_sum(self.text, full_span(node))
            case _:
                raise errors.grouping_invalid(self.text, full_span(node))


def _join(left: Grouping, right: Grouping) -> Grouping:
    """The combinations of two grouping factors; R puts a right operand that is one in parentheses."""
    variables = left.variables + tuple(variable for variable in right.variables if variable not in left.variables)
    label = f"({right.label})" if len(right.variables) > 1 else right.label
    return Grouping(variables, f"{left.label}:{label}") if len(variables) > len(left.variables) else left
