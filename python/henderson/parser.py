"""Text of a formula -> expression tree, with R's operator precedence.

From tight to loose: ``^ **``, unary ``- +``, ``:``, ``%any% //``, ``* /``, binary ``+ -``, comparisons, ``!``, ``&``,
``| ||``, ``~``. A token is a (kind, value, start, stop) tuple.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from henderson import errors
from henderson.expression import (
    CATEGORICAL_CALLS,
    NAMED_CONSTANTS,
    Binary,
    Call,
    Code,
    Constant,
    Expression,
    Items,
    Name,
    Parentheses,
    Span,
    Unary,
    full_span,
)

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?L?)
  | (?P<name>(?:[^\W\d]|\.(?!\d))[\w.]*)
  | (?P<quoted>`[^`]+`)
  | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<operator>\*\*|\|\||&&|==|!=|<=|>=|//|%in%|%/%|%%|[-+*/:^|&!<>~()\[\],=%])
    """,
    re.VERBOSE,
)
_BINDING = {"~": 1, "|": 2, "||": 2, "&": 3, "&&": 3, "==": 5, "!=": 5, "<": 5, ">": 5, "<=": 5, ">=": 5}
_BINDING |= {"+": 6, "-": 6, "*": 7, "/": 7, "%%": 8, "%in%": 8, "%/%": 8, ":": 9, "^": 11}
_SYNONYMS = {"**": "^", "%": "%%", "//": "%/%"}
_NOT, _UNARY = 4, 10


class Token(NamedTuple):
    """A piece of the text: what kind it is, its characters, where it stands."""

    kind: str
    value: str
    span: Span


def tokenize(text: str) -> list[Token]:
    """The tokens of a formula, ended by one of kind ``end``."""
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        if text[position] == "{":
            token = _braces(text, position)
        elif found := _TOKEN.match(text, position):
            kind = str(found.lastgroup)
            value = found.group()
            token = Token(kind, _SYNONYMS.get(value, value) if kind == "operator" else value, found.span())
        else:
            raise _bad_character(text, position)
        if token.kind != "space":
            tokens.append(token)
        position = token.span[1]
    tokens.append(Token("end", "", (len(text), len(text) + 1)))
    return tokens


def _bad_character(text: str, position: int) -> errors.FormulaError:
    character = text[position]
    if character in "`\"'":
        what = "backtick" if character == "`" else "quotation mark"
        return errors.unclosed(what, character, text, (position, position + 1))
    if character == "}":
        return errors.unopened("}", text, (position, position + 1))
    return errors.unknown_character(text, (position, position + 1))


def _braces(text: str, start: int) -> Token:
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return Token("code", text[start + 1 : position].strip(), (start, position + 1))
    raise errors.unclosed("brace", "}", text, (start, start + 1))


def parse(text: str) -> Expression:
    """The expression tree of a whole formula."""
    parser = _Parser(text)
    if parser.token.kind == "end":
        raise errors.formula_empty()
    tree = parser.expression(0)
    parser.finish()
    return tree


class _Parser:
    """A precedence climber over the tokens; `token` is the next one to read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.position = 0
        self.token = self.tokens[0]

    def advance(self) -> Token:
        token = self.token
        self.position += 1
        self.token = self.tokens[min(self.position, len(self.tokens) - 1)]
        return token

    def finish(self) -> None:
        if self.token.value in (")", "]"):
            raise errors.unopened(self.token.value, self.text, self.token.span)
        if self.token.kind != "end":
            raise errors.unexpected(self.token.value, self.text, self.token.span)

    def expression(self, binding: int) -> Expression:
        left = self.prefix()
        while self.token.kind == "operator" and _BINDING.get(self.token.value, 0) > binding:
            operator = self.advance()
            strength = _BINDING[operator.value]
            # the right side of ^ may carry a sign and groups to the right: 2^-x^2
            right = self.operand(operator, _UNARY - 1 if operator.value == "^" else strength)
            left = Binary(operator.value, left, right, operator.span)
        return left

    def operand(self, operator: Token, binding: int) -> Expression:
        if self.token.kind == "end" or self.token.value in (")", "]", ","):
            if operator.value in ("|", "||"):
                raise errors.bar_side_empty("right", self.text, operator.span)
            raise errors.operand_missing(f"after {operator.value!r}", self.text, operator.span)
        return self.expression(binding)

    def prefix(self) -> Expression:
        token = self.advance()
        match token.kind:
            case "number":
                value = token.value.rstrip("L")
                return Constant(int(value) if value.isdigit() else float(value), token.span)
            case "text":
                return Constant(re.sub(r"\\(.)", r"\1", token.value[1:-1]), token.span)
            case "quoted":
                return Name(token.value[1:-1], token.span)
            case "code":
                return Code(token.value, token.span)
            case "name":
                return self.call(token) if self.token.value == "(" else self.name(token)
        if token.value == "(":
            return self.parentheses(token)
        if token.value == "[":
            items, stop = self.sequence(token, "]")
            return Items(tuple(item for _, item in items), (token.span[0], stop))
        if token.value in ("+", "-", "!"):
            operand = self.operand(token, _NOT if token.value == "!" else _UNARY)
            return Unary(token.value, operand, (token.span[0], full_span(operand)[1]))
        if token.value == "~" and token.span[0] == len(self.text) - len(self.text.lstrip()):
            operand = self.operand(token, _BINDING["~"])
            return Unary("~", operand, token.span)
        raise self.misplaced(token)

    def name(self, token: Token) -> Expression:
        if token.value in NAMED_CONSTANTS:
            return Constant(NAMED_CONSTANTS[token.value], token.span)
        return Name(token.value, token.span)

    def misplaced(self, token: Token) -> errors.FormulaError:
        if token.kind == "end":
            return errors.operand_missing("at the end", self.text, token.span)
        if token.value in ("|", "||"):
            return errors.bar_side_empty("left", self.text, token.span)
        return errors.operand_missing(f"before {token.value!r}", self.text, token.span)

    def parentheses(self, opening: Token) -> Expression:
        if self.token.value == ")":
            raise errors.operand_missing("between the parentheses", self.text, (opening.span[0], self.token.span[1]))
        inner = self.expression(0)
        closing = self.close(opening, ")")
        return Parentheses(inner, (opening.span[0], closing.span[1]))

    def close(self, opening: Token, closing: str) -> Token:
        if self.token.value == closing:
            return self.advance()
        if self.token.kind == "end":
            what = "parenthesis" if closing == ")" else "bracket"
            raise errors.unclosed(what, closing, self.text, opening.span)
        raise errors.unexpected(self.token.value, self.text, self.token.span)

    def call(self, name: Token) -> Expression:
        arguments, stop = self.sequence(self.advance(), ")")
        span = (name.span[0], stop)
        if not arguments and (name.value == "I" or name.value in CATEGORICAL_CALLS):
            raise errors.operand_missing("between the parentheses", self.text, (name.span[1], stop))
        if name.value == "Q":  # formulaic's quotation of a column name
            quoted = arguments[0][1] if len(arguments) == 1 else None
            if not (isinstance(quoted, Constant) and isinstance(quoted.value, str)):
                raise errors.call_invalid("Q", "write Q('column name')", self.text, span)
            return Name(quoted.value, span)
        return Call(name.value, tuple(arguments), span)

    def sequence(self, opening: Token, closing: str) -> tuple[list[tuple[str | None, Expression]], int]:
        """Comma-separated arguments up to `closing`; returns them and where the closing token stops."""
        arguments: list[tuple[str | None, Expression]] = []
        while self.token.value != closing and self.token.kind != "end":
            key = None
            following = self.tokens[min(self.position + 1, len(self.tokens) - 1)]
            if self.token.kind == "name" and following.value == "=":
                key = self.advance().value
                self.advance()
            arguments.append((key, self.expression(0)))
            if self.token.value != ",":
                break
            self.advance()
        return arguments, self.close(opening, closing).span[1]
