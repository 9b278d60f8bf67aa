"""What a formula from a file may do: predictions evaluate it, so it must not be a way to run code.

The functions of the formula language, numpy's elementwise functions and what the caller passes as context= are
harmless. Python code in braces and everything else is refused unless the caller allows it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from henderson.expression import (
    CATEGORICAL_CALLS,
    Binary,
    Call,
    Code,
    Constant,
    Expression,
    Name,
    Unary,
    children,
    to_text,
)
from henderson.transforms import FUNCTIONS

_MODULES = ("np.", "numpy.")
UNARY = frozenset({"+", "-", "!"})
BINARY = frozenset({*("+", "-", "*", "/", "^", "%%", "%/%"), *("==", "!=", "<", "<=", ">", ">=", "&", "&&", "|", "||")})
_OF_NUMPY = frozenset({"where", "clip", "mean", "median", "std", "var", "min", "max", "sum", "pi", "e", "inf", "nan"})


def untrusted(expressions: Iterable[Expression], context: Collection[str]) -> str | None:
    """The first part of some expressions that could run any code, as it is written; None if there is none."""
    for node in expressions:
        found = _untrusted(node, context)
        if found is not None:
            return found
    return None


def _untrusted(node: Expression, context: Collection[str]) -> str | None:
    if isinstance(node, Code) or not _is_well_formed(node):
        return to_text(node)
    if isinstance(node, Name):
        return node.name if node.name.startswith(_MODULES) and not _is_plain(node.name) else None
    if isinstance(node, Call):
        name = node.function
        if name in CATEGORICAL_CALLS:  # only the first argument is evaluated
            return untrusted((argument for _, argument in node.arguments[:1]), context)
        if name not in FUNCTIONS and name not in context and not (name.startswith(_MODULES) and _is_plain(name)):
            return to_text(node)
    return untrusted(children(node), context)


def _is_well_formed(node: Expression) -> bool:
    """Whether a node is what the parser makes: its pieces become part of a text that is evaluated."""
    match node:
        case Name():
            return "`" not in node.name
        case Constant():
            return node.value is None or isinstance(node.value, bool | int | float | str)
        case Unary():
            return node.operator in UNARY
        case Binary():
            return node.operator in BINARY
        case Call():
            return all(key is None or key.isidentifier() for key, _ in node.arguments)
    return True


def _is_plain(name: str) -> bool:
    """Whether this is an elementwise function of numpy, a summary or a constant."""
    own = name.partition(".")[2]
    return own in _OF_NUMPY or isinstance(getattr(np, own, None) if own.isidentifier() else None, np.ufunc)
