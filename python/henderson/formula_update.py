"""Formulas changed by a formula: ``. ~ . + x - (1 | g)``, as R's ``update`` reads it.

``.`` stands for the old formula's own side: left of ``~`` for its response, right of it for everything there. Among the
fixed effects the rest is R's algebra of terms, with the old fixed effects in place of ``.``: ``.:x`` and ``.^2`` work.
Random terms and offsets are added and removed one by one.
"""

from __future__ import annotations

from dataclasses import replace

from henderson import errors, errors_simulation
from henderson.expression import (
    Binary,
    Call,
    Constant,
    Expression,
    Items,
    Name,
    Parentheses,
    Span,
    Unary,
    full_span,
    strip_parentheses,
    to_text,
    walk,
)
from henderson.formula import Formula, RandomPart, parse_formula
from henderson.formula_editing import edited, rewritten, without_terms
from henderson.parser import parse
from henderson.terms import TermList, expand

Signed = tuple[str, Expression]


def update_formula(old: Formula, text: str) -> Formula:
    """The formula that `text` makes of an old one.

    Parameters
    ----------
    old
        With ``.`` for all other columns replaced already, if it had one.
    text
        A formula in which ``.`` stands for a side of the old one; without its left side, ``~ . + x``, the response
        stays.

    Raises
    ------
    FormulaError
        The text cannot be read, or removes what is not there; the message shows where.

    Examples
    --------
    >>> old = Formula("y ~ x + (x | g) + (1 | h)")
    >>> for text in (". ~ . + z - (1 | h)", "log(.) ~ . - (x | g) + (x || g)", "~ .^2 + f:x", "y ~ 1 + (1 | g)"):
    ...     print(update_formula(old, text))
    y ~ x + z + (x | g)
    log(y) ~ x + (1 | h) + (x || g)
    y ~ x + x:f + (x | g) + (1 | h)
    y ~ 1 + (1 | g)
    """
    if not isinstance(text, str):
        raise errors_simulation.update_formula_type(text)
    tree = parse(text)
    left, right = _sides(tree, text)
    _check_dots(right, text)
    if left is not None and not any(_is_dot(node) for side in (left, right) for node in walk(side)):
        return parse_formula(text)
    return _edited(old, text, tree.span[0], old.response if left is None else _response(old, left, text), right)


def _sides(tree: Expression, text: str) -> tuple[Expression | None, Expression]:
    if isinstance(tree, Unary) and tree.operator == "~":
        sides: tuple[Expression | None, Expression] = (None, tree.operand)
    elif isinstance(tree, Binary) and tree.operator == "~":
        sides = (tree.left, tree.right)
    else:
        raise errors.tilde_missing(text)
    for side in sides:
        for node in walk(side) if side is not None else ():
            if isinstance(node, Unary | Binary) and node.operator == "~":
                raise errors.tilde_repeated(text, node.span)
    return sides


def _check_dots(right: Expression, text: str) -> None:
    """``.`` stands among the fixed effects, outside calls and random terms."""
    for node in walk(right):
        is_bar = isinstance(node, Binary) and node.operator in ("|", "||") and node is not right
        inside = (node.left, node.right) if is_bar and isinstance(node, Binary) else ()
        for part in (node,) if isinstance(node, Call) else inside:
            dot = next((below for below in walk(part) if _is_dot(below)), None)
            if dot is not None:
                raise errors_simulation.update_dot_misplaced(text, dot.span)


def _response(old: Formula, left: Expression, text: str) -> Expression | None:
    """The left side with the old response for ``.``."""
    inner = strip_parentheses(left)
    if old.response is None or not any(_is_dot(node) for node in walk(inner)):
        return _as_response(inner, text)
    return _as_response(strip_parentheses(_substituted(inner, old.response)), text)


def _as_response(node: Expression, text: str) -> Expression:
    """Refuse what cannot be a response, as the parser of formulas does."""
    for below in walk(node):
        if isinstance(below, Binary) and below.operator in ("|", "||"):
            raise errors.bar_misplaced(text, below.span)
        if _is_dot(below):
            raise errors.dot_invalid(text, below.span)
    if isinstance(node, Call) and node.function in ("cbind", "c"):
        raise errors.response_multivariate(text, full_span(node))
    return node


def _edited(old: Formula, text: str, tilde: int, response: Expression | None, right: Expression) -> Formula:
    """An old formula with another response and the right side as `text` has it, from the position of its tilde on."""
    summands = list(_summands("+", right))
    removed = [node for sign, node in summands if sign == "-" and _stands_alone(node)]
    added = _parsed_without(
        text, tilde, removed
    )  # checks the text, and has the random terms and offsets that are added
    fixed_summands = [(sign, node) for sign, node in summands if not _stands_alone(node)]
    keeps_old = any(_is_dot(node) for _, summand in fixed_summands for node in walk(summand))
    random = [*old.random_terms, *added.random_terms] if keeps_old else list(added.random_terms)
    offsets = [*old.offsets, *added.offsets] if keeps_old else list(added.offsets)
    for node in removed:
        random, offsets = _without(random, offsets, node, text)
    fixed = _fixed(old, fixed_summands, text) if fixed_summands else TermList(True, ())
    result = edited(replace_response(old, response, tuple(dict.fromkeys(offsets))), fixed=fixed, random=random)
    same = (old.response, old.fixed, old.random_terms, old.offsets)
    return old if (result.response, result.fixed, result.random_terms, result.offsets) == same else result


def replace_response(formula: Formula, response: Expression | None, offsets: tuple[Expression, ...]) -> Formula:
    """A formula with another response and other offsets; its text is not brought up to date."""
    return Formula.of(formula.text, response, formula.fixed, formula.random_terms, offsets)


# ------------------------------------------------------------------------------------------------------- the summands


def _is_dot(node: Expression) -> bool:
    return isinstance(node, Name) and node.name == "."


def _summands(sign: str, node: Expression) -> list[Signed]:
    """A sum as signed summands; a sign before parentheses goes to everything inside."""
    inner = strip_parentheses(node)
    match inner:
        case Binary(operator="+" | "-"):
            other = inner.operator if sign == "+" else {"+": "-", "-": "+"}[inner.operator]
            return [*_summands(sign, inner.left), *_summands(other, inner.right)]
        case Unary(operator="+" | "-"):
            other = inner.operator if sign == "+" else {"+": "-", "-": "+"}[inner.operator]
            return _summands(other, inner.operand)
    return [(sign, node)]


def _stands_alone(node: Expression) -> bool:
    """Whether a summand is a random term or an offset."""
    inner = strip_parentheses(node)
    if isinstance(inner, Call):
        first = strip_parentheses(inner.arguments[0][1]) if inner.arguments else None
        return inner.function == "offset" or (isinstance(first, Binary) and first.operator == "|")
    return isinstance(inner, Binary) and inner.operator in ("|", "||")


def _parsed_without(text: str, tilde: int, removed: list[Expression]) -> Formula:
    """The right side of the text as a formula, without the summands that are removed; errors show the text."""
    blanked = " " * tilde + text[tilde:]
    for node in removed:
        first, last = full_span(node)
        blanked = blanked[:first] + ".".ljust(last - first) + blanked[last:]
    try:
        return Formula(blanked)
    except errors.FormulaError as problem:
        raise errors.FormulaError(problem.message, text, problem.span) from None


def _parsed_alone(text: str, span: Span) -> Formula:
    """One summand of the text as a formula; errors show the text."""
    first, last = span
    try:
        return Formula("~".ljust(first) + text[first:last])
    except errors.FormulaError as problem:
        raise errors.FormulaError(problem.message, text, problem.span) from None


# ------------------------------------------------------------------------------------------------------- fixed effects


def _fixed(old: Formula, summands: list[Signed], text: str) -> TermList:
    """The fixed effects: R's algebra, with the old ones for ``.``."""
    side = _side_tree(old.fixed)
    replaced = [(sign, _substituted(node, side)) for sign, node in summands]
    kept = set(expand([("+", node) for sign, node in replaced if sign == "+"], text).terms) | set(old.fixed.terms)
    for sign, node in replaced:
        if sign == "-" and not _is_number(node):
            gone = expand([("+", node)], text).terms
            if gone and not kept & set(gone):
                raise errors_simulation.update_removes_nothing(
                    to_text(strip_parentheses(node)),
                    [term.label for term in old.fixed.terms] or ["no fixed terms"],
                    text,
                    full_span(node),
                )
    return expand(replaced, text)


def _is_number(node: Expression) -> bool:
    return isinstance(strip_parentheses(node), Constant)


def _side_tree(side: TermList) -> Expression:
    """A side of a formula as the expression of its sum."""
    parts: list[Expression] = []
    if not side.has_intercept:
        parts.append(Constant(0))
    elif not side.terms:
        parts.append(Constant(1))
    for term in side.terms:
        product, *rest = term.variables
        for variable in rest:
            product = Binary(":", product, variable)
        parts.append(product)
    total, *others = parts
    for part in others:
        total = Binary("+", total, part)
    return total


def _substituted(node: Expression, value: Expression) -> Expression:
    """An expression with `value` in place of ``.``."""
    match node:
        case Name(name="."):
            return Parentheses(value, node.span) if isinstance(value, Binary | Unary) else value
        case Unary():
            return replace(node, operand=_substituted(node.operand, value))
        case Binary():
            return replace(node, left=_substituted(node.left, value), right=_substituted(node.right, value))
        case Parentheses():
            return replace(node, inner=_substituted(node.inner, value))
        case Items():
            return replace(node, items=tuple(_substituted(item, value) for item in node.items))
        case Call():
            return replace(node, arguments=tuple((key, _substituted(each, value)) for key, each in node.arguments))
    return node


# ------------------------------------------------------------------------------------------- random terms and offsets


def _without(
    random: list[RandomPart], offsets: list[Expression], node: Expression, text: str
) -> tuple[list[RandomPart], list[Expression]]:
    """Random terms and offsets without those that one summand of the text names."""
    named = _parsed_alone(text, full_span(node))
    for expression in named.offsets:
        if expression not in offsets:
            available = [f"offset({to_text(offset)})" for offset in offsets] or ["no offset"]
            raise errors_simulation.update_removes_nothing(
                f"offset({to_text(expression)})", available, text, full_span(node)
            )
        offsets = [offset for offset in offsets if offset != expression]
    for part in named.random_terms:
        remaining = _without_part(random, part)
        if remaining is None:
            available = [f"({own.text})" for own in random] or ["no random term"]
            raise errors_simulation.update_removes_nothing(f"({part.text})", available, text, full_span(node))
        random = remaining
    return random, offsets


def _without_part(random: list[RandomPart], gone: RandomPart) -> list[RandomPart] | None:
    """Random terms without one of them, or without some effects of a term of ``||``; None if it is not there."""
    own_group = [place for place, part in enumerate(random) if _same_group(part, gone)]
    for place in own_group:
        part = random[place]
        if part.effects == gone.effects and (part.is_correlated == gone.is_correlated or not part.effects.terms):
            return [*random[:place], *random[place + 1 :]]
    for place in own_group:
        part = random[place]
        is_single = len(gone.effects.terms) + gone.effects.has_intercept == 1
        within = set(gone.effects.terms) <= set(part.effects.terms) and (
            part.effects.has_intercept or not gone.effects.has_intercept
        )
        if not part.is_correlated and within and (is_single or not gone.is_correlated):
            rest = without_terms(part.effects, gone.effects.terms)
            rest = replace(rest, has_intercept=rest.has_intercept and not gone.effects.has_intercept)
            smaller = [rewritten(part, rest)] if rest.terms or rest.has_intercept else []
            return [*random[:place], *smaller, *random[place + 1 :]]
    return None


def _same_group(one: RandomPart, other: RandomPart) -> bool:
    return set(one.grouping.variables) == set(other.grouping.variables)
