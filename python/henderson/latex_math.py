"""Names and expressions of a formula as LaTeX in math mode, for LaTeX, MathJax, KaTeX and matplotlib alike."""

from __future__ import annotations

import re

from henderson.expression import (
    CATEGORICAL_CALLS,
    Binary,
    Call,
    Code,
    Constant,
    Expression,
    Items,
    Name,
    Parentheses,
    Unary,
    number_text,
)

_SPECIAL = {character: "\\" + character for character in "_%$#&{}"}
_SPECIAL |= {
    " ": r"\ ",
    "\\": r"\backslash{}",
    "^": r"\wedge{}",
    "~": r"\sim{}",
    "-": "{-}",
    "<": "{<}",
    ">": "{>}",
    ":": "{:}",
}
_IN_TEXT = re.compile(r"([_%$#&{}])")
_FUNCTIONS = frozenset({"log", "exp", "sin", "cos", "tan", "sinh", "cosh", "tanh"})
_LOGARITHMS = {"log2": r"\log_{2}", "log10": r"\log_{10}"}
_OPERATORS = {"*": r" \cdot ", "%%": r" \bmod ", "==": " = ", "!=": r" \neq ", "<=": r" \leq ", ">=": r" \geq "}
_OPERATORS |= {"&": r" \wedge ", "&&": r" \wedge ", "|": r" \vee ", "||": r" \vee ", ":": " : "}
_LOOSE = frozenset({"+", "-", "<", ">", "==", "!=", "<=", ">=", "&", "&&", "|", "||", "%%"})


def upright(text: str) -> str:
    r"""A name in upright letters, special characters escaped.

    Examples
    --------
    >>> print(upright("my_var 1"))
    \mathrm{my\_var\ 1}
    """
    if not text.isascii():
        escaped = _IN_TEXT.sub(r"\\\1", text)
        return rf"\text{{{escaped}}}"
    return rf"\mathrm{{{''.join(_SPECIAL.get(character, character) for character in text)}}}"


def expression_latex(node: Expression, index: str = "i") -> str:
    r"""An expression whose variables carry an index.

    Examples
    --------
    >>> from henderson.formula import Formula
    >>> print(expression_latex(Formula("log(y + 1) ~ x").response))
    \log\left(\mathrm{y}_{i} + 1\right)
    """
    match node:
        case Name():
            return f"{upright(node.name)}_{{{index}}}"
        case Constant():
            return _constant(node.value)
        case Parentheses():
            return _enclosed(expression_latex(node.inner, index))
        case Unary():
            return node.operator.replace("!", r"\neg ") + expression_latex(node.operand, index)
        case Items():
            return r"\left[" + ", ".join(expression_latex(item, index) for item in node.items) + r"\right]"
        case Code():
            return upright(node.source)
        case Binary():
            return _binary(node, index)
        case Call():
            return _call(node, index)


def in_product(node: Expression, index: str = "i") -> str:
    """The same as a factor of a product: sums stand in parentheses."""
    inner = node.arguments[0][1] if isinstance(node, Call) and node.function == "I" else node
    text = expression_latex(inner, index)
    return _enclosed(text) if isinstance(inner, Binary) and inner.operator in _LOOSE else text


def column_of(node: Expression, column: int, index: str = "i") -> str:
    """One of the columns that an expression gives, ``poly(x, 2)``."""
    if isinstance(node, Call):
        return _operator(node.function, f"_{{{column}}}") + _arguments(node, index)
    return f"{_enclosed(expression_latex(node, index))}_{{{column}}}"


def category(node: Expression, index: str = "i") -> str:
    """A categorical variable: what stands in ``factor(...)`` and the like."""
    is_call = isinstance(node, Call) and node.function in CATEGORICAL_CALLS
    return (
        expression_latex(node.arguments[0][1], index)
        if is_call and isinstance(node, Call)
        else expression_latex(node, index)
    )


def _enclosed(text: str) -> str:
    return rf"\left({text}\right)"


def _constant(value: float | int | str | bool | None) -> str:
    if isinstance(value, str):
        return upright(value)
    return upright("NULL") if value is None else number_text(value)


def _binary(node: Binary, index: str) -> str:
    left, right = expression_latex(node.left, index), expression_latex(node.right, index)
    if node.operator == "^":
        base = left if isinstance(node.left, Name | Constant | Parentheses) else _enclosed(left)
        return f"{base}^{{{right}}}"
    if node.operator == "/":
        return rf"\frac{{{left}}}{{{right}}}"
    if node.operator == "%/%":
        return rf"\left\lfloor {left} / {right} \right\rfloor"
    return left + _OPERATORS.get(node.operator, f" {node.operator} ") + right


def _call(node: Call, index: str) -> str:
    function = node.function.rpartition(".")[2] if node.function.startswith(("np.", "numpy.")) else node.function
    if function == "I":
        return in_product(node, index)
    if function == "sqrt" and len(node.arguments) == 1:
        return rf"\sqrt{{{expression_latex(node.arguments[0][1], index)}}}"
    if function == "abs" and len(node.arguments) == 1:
        return rf"\left|{expression_latex(node.arguments[0][1], index)}\right|"
    return _operator(function, "") + _arguments(node, index)


def _operator(function: str, subscript: str) -> str:
    if function in _LOGARITHMS and not subscript:
        return _LOGARITHMS[function]
    known = function in _FUNCTIONS
    return ("\\" + function if known else upright(function).replace(r"\mathrm", r"\operatorname", 1)) + subscript


def _arguments(node: Call, index: str) -> str:
    shown = [(f"{upright(key)} = " if key else "") + expression_latex(value, index) for key, value in node.arguments]
    return _enclosed(", ".join(shown))
