"""Expressions of the formula language: what one cell of a formula means, and how R would print it.

The nodes are plain values. Two expressions that are written alike are equal and hash alike, wherever they stand in the
text: positions (`span`) only serve error messages.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

Span = tuple[int, int]

# expressions that give categories; only their first argument is data
CATEGORICAL_CALLS = frozenset({"C", "factor", "as.factor", "ordered", "as.ordered", "relevel"})
NAMED_CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None, "True": True, "False": False, "None": None}
_TIGHT_OPERATORS = frozenset({"^", ":", "/", "%%", "%/%"})
_MODULES = ("np.", "numpy.")
_PYTHON_OPERATORS = {"^": "**", "%%": "%", "%/%": "//", "&&": "&", "||": "|"}


@dataclass(frozen=True, slots=True)
class Name:
    """A column, or a variable of the context: ``x``, ```my column```."""

    name: str
    span: Span = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a quoted text, or TRUE, FALSE, NULL."""

    value: float | int | str | bool | None
    span: Span = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Items:
    """A Python list, ``[1, 2]``; R's ``c(1, 2)`` is a call."""

    items: tuple[Expression, ...]
    span: Span = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; each argument is a (keyword or None, expression) pair."""

    function: str
    arguments: tuple[tuple[str | None, Expression], ...]
    span: Span = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """``-x``, ``+x`` or ``!x``."""

    operator: str
    operand: Expression
    span: Span = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """Two expressions joined by an operator; `span` is the operator's."""

    operator: str
    left: Expression
    right: Expression
    span: Span = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Parentheses:
    """An expression in parentheses, kept because R prints them."""

    inner: Expression
    span: Span = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Code:
    """Python source in braces, handed over as it stands: ``{x % 2}``."""

    source: str
    span: Span = field(default=(0, 0), compare=False, repr=False)


Expression: TypeAlias = "Name | Constant | Items | Call | Unary | Binary | Parentheses | Code"


def strip_parentheses(node: Expression) -> Expression:
    """What stands inside any parentheses."""
    while isinstance(node, Parentheses):
        node = node.inner
    return node


def full_span(node: Expression) -> Span:
    """Everything a node covers in the text."""
    if isinstance(node, Binary):
        return full_span(node.left)[0], full_span(node.right)[1]
    return node.span


def children(node: Expression) -> tuple[Expression, ...]:
    """The expressions directly below a node."""
    match node:
        case Unary():
            return (node.operand,)
        case Binary():
            return (node.left, node.right)
        case Parentheses():
            return (node.inner,)
        case Items():
            return node.items
        case Call():
            return tuple(argument for _, argument in node.arguments)
        case _:
            return ()


def walk(node: Expression) -> Iterator[Expression]:
    """The node and everything below it, left to right."""
    yield node
    for child in children(node):
        yield from walk(child)


def columns_of(node: Expression) -> tuple[Name, ...]:
    """The names that may be columns, each once, in order of appearance.

    Arguments of ``factor()``, ``C()`` and the like after the first describe contrasts, not data.
    """
    found: dict[str, Name] = {}

    def visit(node: Expression) -> None:
        if isinstance(node, Name):
            if not node.name.startswith(_MODULES):
                found.setdefault(node.name, node)
        elif isinstance(node, Code):
            for name in _python_names(node.source):
                found.setdefault(name, Name(name, node.span))
        elif isinstance(node, Call) and node.function in CATEGORICAL_CALLS:
            visit(node.arguments[0][1])
        else:
            for child in children(node):
                visit(child)

    visit(node)
    return tuple(found.values())


def identifiers_of(node: Expression) -> set[str]:
    """Every name in an expression: of columns, functions, constants."""
    found: set[str] = set()
    for below in walk(node):
        if isinstance(below, Name):
            found.add(below.name)
        elif isinstance(below, Call):
            found.add(below.function)
        elif isinstance(below, Code):
            found.update(_python_names(below.source, called=True))
    return found


def _python_names(source: str, *, called: bool = False) -> list[str]:
    """Names in Python source, with or without those of functions."""
    try:
        tree = ast.parse(source, mode="eval")
    except SyntaxError:
        return []
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and not called}
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions]
    return [name for name in names if name not in ("np", "numpy")]


def to_text(node: Expression, *, quoted: bool = False) -> str:
    """The expression as R prints it: ``log(x + 1)``, ``I(x^2)``, ``poly(x, 2)``.

    With `quoted`, names that are not plain words get backticks, so that the text can be read back.
    """

    def write(node: Expression) -> str:
        match node:
            case Name():
                return f"`{node.name}`" if quoted and not node.name.replace(".", "_").isidentifier() else node.name
            case Constant():
                return _constant_text(node.value)
            case Parentheses():
                return f"({write(node.inner)})"
            case Unary():
                return node.operator + write(node.operand)
            case Items():
                return "[" + ", ".join(map(write, node.items)) + "]"
            case Call():
                return f"{node.function}({_arguments(node, write, ' = ')})"
            case Code():
                return "{" + node.source + "}"
            case Binary():
                operator = node.operator if node.operator in _TIGHT_OPERATORS else f" {node.operator} "
                return write(node.left) + operator + write(node.right)

    return write(node)


def to_python(node: Expression) -> str:
    """The expression as Python source, for formulaic: ``x^2`` becomes ``x**2``, ``c(1, 2)`` becomes ``[1, 2]``."""
    match node:
        case Name():
            return node.name if node.name.isidentifier() or node.name.startswith(_MODULES) else f"`{node.name}`"
        case Constant():
            return repr(node.value)
        case Parentheses():
            return f"({to_python(node.inner)})"
        case Unary():
            return ("~" if node.operator == "!" else node.operator) + to_python(node.operand)
        case Items():
            return "[" + ", ".join(map(to_python, node.items)) + "]"
        case Call(function="c"):
            return f"[{_arguments(node, to_python, '=')}]"
        case Call():
            return f"{node.function}({_arguments(node, to_python, '=')})"
        case Code():
            return f"({node.source})"
        case Binary():
            operator = _PYTHON_OPERATORS.get(node.operator, node.operator)
            return f"{to_python(node.left)} {operator} {to_python(node.right)}"


def _arguments(node: Call, write: Callable[[Expression], str], equals: str) -> str:
    return ", ".join((f"{key}{equals}" if key else "") + write(argument) for key, argument in node.arguments)


def _constant_text(value: float | int | str | bool | None) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if value is None:
        return "NULL"
    return number_text(value)


def number_text(value: float | int | bool) -> str:
    """A number as R prints it, with up to 15 significant digits and the shorter of fixed and scientific notation."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    digits, _, exponent = f"{value:.14e}".partition("e")
    if not exponent:  # nan, inf
        return str(value)
    digits = digits.rstrip("0").rstrip(".")
    power = int(exponent)
    scientific = f"{digits}e{'-' if power < 0 else '+'}{abs(power):02d}"
    significant = len(digits.lstrip("-").replace(".", ""))
    fixed = f"{value:.{max(significant - 1 - power, 0)}f}"
    return fixed if len(fixed) <= len(scientific) else scientific
