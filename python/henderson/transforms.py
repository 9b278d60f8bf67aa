"""Values of expressions: ``log(x)``, ``I(x^2)``, ``scale(x)``, ``factor(g)``; ``poly(x, 2)``, ``bs(x)`` by formulaic.

What a transformation learns from the data it first sees (a mean, the knots of a spline) is kept in `states`, by
expression, and used again for new data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from henderson import errors
from henderson.columns import Kind, Mask, Numbers, is_all_finite
from henderson.contrasts import Factorized
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
    columns_of,
    to_text,
)
from henderson.factor_calls import evaluate_factor_call
from henderson.levels import Categories, boolean_categories, factorize, level_text

States = dict[Expression, Any]


class Source(Protocol):
    """Where columns come from: a ModelFrame."""

    @property
    def n(self) -> int:
        """Number of rows."""

    def kind(self, name: str) -> Kind | None:
        """How a column enters a model, None if there is none of that name."""

    def numbers(self, name: str, role: str) -> Numbers:
        """A column as float64, NaN where missing."""

    def categories(self, name: str) -> Categories:
        """A column as codes and levels."""

    def table_row(self, position: int) -> int:
        """Row of the user's table, for messages."""


Value = Any  # float64 array of shape (n,) or (n, k), boolean array, Factorized, or a scalar, text or list argument

_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "expm1": np.expm1, "log1p": np.log1p, "log2": np.log2, "log10": np.log10, "sqrt": np.sqrt,
    "abs": np.abs, "sign": np.sign, "floor": np.floor, "ceiling": np.ceil, "round": np.round, "trunc": np.trunc,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "pmin": np.minimum, "pmax": np.maximum, "ifelse": np.where,
}  # fmt: skip
_SUMMARIES: dict[str, Callable[..., Any]] = {
    "mean": np.mean, "median": np.median, "min": np.min, "max": np.max, "sum": np.sum,
    "sd": lambda x: np.std(x, ddof=1), "var": lambda x: np.var(x, ddof=1),
}  # fmt: skip
_OF_FORMULAIC = frozenset({"bs", "cr", "cs", "cc", "poly", "hashed", "lag", "exp2", "exp10", "standardize"})
_SYNONYMS = frozenset({"identity", "as.numeric", "as.integer", "as.double", "c"})
FUNCTIONS = frozenset(
    {*_ELEMENTWISE, *_SUMMARIES, *_OF_FORMULAIC, *CATEGORICAL_CALLS, *_SYNONYMS, "log", "scale", "center", "I"}
)
"""What a formula may call without a context; numpy's functions are called by their full names."""
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide, "^": np.power, "%%": np.mod,
    "%/%": np.floor_divide,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
    "&": np.logical_and, "&&": np.logical_and, "|": np.logical_or, "||": np.logical_or,
}  # fmt: skip


class Evaluator:
    """Computes expressions over the rows of a frame.

    Parameters
    ----------
    source
        The columns.
    states
        What transformations have learned; filled where `is_learning`.
    context
        Functions and constants of the user.
    is_learning
        Whether these are the rows the model is fitted to. On new rows missing values are allowed.
    """

    def __init__(self, source: Source, states: States, context: Mapping[str, Any], *, is_learning: bool) -> None:
        self.source = source
        self.states = states
        self.context = context
        self.is_learning = is_learning

    def variable(self, node: Expression) -> Numbers | Factorized:
        """The value of a variable of a term: numbers of shape (n,) or (n, k), or categories."""
        if isinstance(node, Name):
            return self._column(node)
        with np.errstate(all="ignore"):
            value = self.value(node)
        if isinstance(value, Factorized):
            return value
        array = np.asarray(value)
        if array.dtype == bool and array.ndim == 1:
            return Factorized(boolean_categories(array, self._missing_inputs(node)).without_unused())
        return self._checked(node, array)

    def number(self, node: Expression, role: str) -> Numbers:
        """The value of an expression that must be one number per row: the response, an offset."""
        if isinstance(node, Name) and self.source.kind(node.name) is not None:
            value = self.source.numbers(node.name, role)
            self._check_finite_column(node.name, value)
            return value
        with np.errstate(all="ignore"):
            result = self.value(node)
        if isinstance(result, Factorized):
            raise errors.expression_not_numeric(to_text(node), role)
        numbers = self._checked(node, np.asarray(result))
        if numbers.ndim != 1:
            raise errors.transform_shape(to_text(node), numbers.shape, self.source.n)
        return numbers

    def _column(self, node: Name) -> Numbers | Factorized:
        kind = self.source.kind(node.name)
        if kind is None:
            return self._checked(node, np.asarray(self.value(node)))
        if kind == "number":
            values = self.source.numbers(node.name, "a predictor")
            self._check_finite_column(node.name, values)
            return values
        if kind == "time":
            raise errors.column_type(node.name, "time")
        return Factorized(self.source.categories(node.name))

    def _check_finite_column(self, name: str, values: Numbers) -> None:
        if is_all_finite(values):
            return
        bad = np.isinf(values)
        if bad.any():
            row = int(np.argmax(bad))
            raise errors.infinite_value(f"Column '{name}'", self.source.table_row(row), float(values[row]))

    def _checked(self, node: Expression, array: NDArray[Any]) -> Numbers:
        """`array` as float64 with one row per row of the data and, when learning, finite."""
        n = self.source.n
        label = to_text(node)
        if array.dtype.kind not in "biuf":
            raise errors.expression_not_numeric(label, "a variable of the formula")
        if array.ndim == 0:
            array = np.full(n, array)
        if array.ndim > 2 or len(array) != n:
            raise errors.transform_shape(label, array.shape, n)
        numbers = np.ascontiguousarray(array, dtype=np.float64)
        if not is_all_finite(numbers):
            self._check_finite_result(node, label, numbers)
        return numbers

    def _check_finite_result(self, node: Expression, label: str, numbers: Numbers) -> None:
        bad = ~np.isfinite(numbers if numbers.ndim == 1 else numbers.sum(axis=1))
        missing = self._missing_inputs(node)
        if missing is not None:
            bad &= ~missing
        if bad.any():
            row = int(np.argmax(bad))
            inputs = {name.name: self._shown(name.name, row) for name in columns_of(node)}
            value = numbers[row] if numbers.ndim == 1 else numbers[row].sum()
            raise errors.transform_not_finite(label, self.source.table_row(row), float(value), inputs)

    def _shown(self, name: str, row: int) -> Any:
        if self.source.kind(name) == "number":
            return float(self.source.numbers(name, "a predictor")[row])
        return None if self.source.kind(name) is None else "..."

    def _missing_inputs(self, node: Expression) -> Mask | None:
        """Rows where a column of the expression is missing; None when learning, as such rows are gone."""
        if self.is_learning:
            return None
        missing = np.zeros(self.source.n, dtype=bool)
        for name in columns_of(node):
            kind = self.source.kind(name.name)
            if kind == "number":
                missing |= np.isnan(self.source.numbers(name.name, "a predictor"))
            elif kind is not None:
                missing |= self.source.categories(name.name).codes < 0
        return missing

    # ------------------------------------------------------------------------------------------------- expressions

    def value(self, node: Expression) -> Value:
        """The value of any expression."""
        match node:
            case Name():
                return self._name(node)
            case Constant():
                return node.value
            case Items():
                return [self.value(item) for item in node.items]
            case Parentheses():
                return self.value(node.inner)
            case Unary():
                return self._unary(node)
            case Binary():
                return self._binary(node)
            case Call():
                return self._call(node)
            case Code():
                return self._formulaic(node)

    def _name(self, node: Name) -> Value:
        kind = self.source.kind(node.name)
        if kind == "number":
            return self.source.numbers(node.name, "a predictor")
        if kind == "boolean":
            categories = self.source.categories(node.name)
            levels = np.append(categories.levels.labels.astype(bool), False)
            return levels[categories.codes]
        if kind is not None:
            return Factorized(self.source.categories(node.name))
        if node.name in self.context:
            return self.context[node.name]
        if node.name.startswith(("np.", "numpy.")):
            return _of_numpy(node.name)
        raise errors.column_unknown(node.name, list(self.context))

    def _unary(self, node: Unary) -> Value:
        operand = self._operand(node.operand, to_text(node))
        if node.operator == "!":
            return np.logical_not(operand)
        return np.negative(_as_number(operand)) if node.operator == "-" else _as_number(operand)

    def _operand(self, node: Expression, whole: str) -> Value:
        value = self.value(node)
        if isinstance(value, Factorized):
            labels = value.categories.levels.labels
            name = to_text(node)
            raise errors.column_not_numeric(name, labels[0] if len(labels) else None, f"in {whole}")
        return value

    def _binary(self, node: Binary) -> Value:
        if node.operator in ("==", "!="):
            left, right = self.value(node.left), self.value(node.right)
            if isinstance(left, Factorized) or isinstance(right, Factorized):
                return _equal_levels(left, right) == (node.operator == "==")
            return _COMPARISONS[node.operator](left, right)
        left, right = self._operand(node.left, to_text(node)), self._operand(node.right, to_text(node))
        if node.operator in _COMPARISONS:
            return _COMPARISONS[node.operator](left, right)
        if node.operator not in _ARITHMETIC:
            raise errors.transform_failed(to_text(node), ValueError(f"'{node.operator}' has no value inside a call"))
        return _ARITHMETIC[node.operator](_as_number(left), _as_number(right))

    def _call(self, node: Call) -> Value:
        name = node.function
        if name in CATEGORICAL_CALLS:
            return evaluate_factor_call(node, self)
        if name in self.context:
            return self._apply(node, self.context[name])
        if name in ("I", "identity", "as.numeric", "as.integer", "as.double") and len(node.arguments) == 1:
            value = self.value(node.arguments[0][1])
            return value if name in ("I", "identity") else self._to_number(node, value)
        if name == "c":
            return [self.value(argument) for _, argument in node.arguments]
        if name == "log":
            return self._apply(node, _log)
        if name in ("scale", "center"):
            return self._scale(node)
        if name in _ELEMENTWISE:
            return self._apply(node, _ELEMENTWISE[name])
        if name in _SUMMARIES:
            return self._apply(node, _SUMMARIES[name])
        if name.startswith(("np.", "numpy.")):
            return self._apply(node, _of_numpy(name))
        if name in _OF_FORMULAIC:
            return self._formulaic(node)
        raise errors.transform_unknown(name, sorted(FUNCTIONS - _SYNONYMS))

    def _apply(self, node: Call, function: Callable[..., Any]) -> Value:
        """Call a function; a summary of the rows, such as a mean, is remembered for new data."""
        if node in self.states:
            return self.states[node]
        positional = [self._operand(argument, to_text(node)) for key, argument in node.arguments if key is None]
        named = {key: self._operand(argument, to_text(node)) for key, argument in node.arguments if key is not None}
        try:
            value = function(*positional, **named)
        except Exception as reason:
            raise errors.transform_failed(to_text(node), reason) from reason
        if self.is_learning and np.ndim(value) == 0 and any(np.ndim(entry) for entry in positional):
            self.states[node] = value
        return value

    def _to_number(self, node: Call, value: Value) -> Value:
        if isinstance(value, Factorized):
            labels = value.categories.levels.labels
            try:
                numbers = np.append(labels.astype(np.float64), np.nan)
            except (TypeError, ValueError) as reason:
                raise errors.transform_failed(to_text(node), reason) from reason
            return numbers[value.categories.codes]
        return np.asarray(value, dtype=np.float64)

    def _scale(self, node: Call) -> Value:
        """``scale(x, center = TRUE, scale = TRUE)`` with R's meaning, and ``center(x)``."""
        usage = f"{node.function}(x)" if node.function == "center" else "scale(x, center = TRUE, scale = TRUE)"
        names = ("x",) if node.function == "center" else ("x", "center", "scale")
        if not 1 <= len(node.arguments) <= len(names):
            raise errors.call_invalid(node.function, usage)
        given = {key or names[position]: argument for position, (key, argument) in enumerate(node.arguments)}
        if not given.keys() <= set(names) or "x" not in given:
            raise errors.call_invalid(node.function, usage)
        x = _as_number(self._operand(given["x"], to_text(node)))
        if node not in self.states:
            center = self.value(given["center"]) if "center" in given else True
            spread = self.value(given["scale"]) if "scale" in given else node.function == "scale"
            self.states[node] = _location_and_spread(x, center, spread)
        location, divisor = self.states[node]
        return (x - location) / divisor

    def factorized(self, node: Expression) -> Factorized:
        """An expression as categories, whatever its type."""
        if isinstance(node, Name) and self.source.kind(node.name) is not None:
            return Factorized(self.source.categories(node.name))
        with np.errstate(all="ignore"):
            value = self.value(node)
        if isinstance(value, Factorized):
            return value
        array = np.asarray(value)
        if array.ndim != 1 or len(array) != self.source.n:
            raise errors.transform_shape(to_text(node), array.shape, self.source.n)
        if array.dtype == bool:
            return Factorized(boolean_categories(array, self._missing_inputs(node)).without_unused())
        return Factorized(factorize(array))

    def _formulaic(self, node: Call | Code) -> Value:
        from henderson import formulaic_bridge

        if node not in self.states:
            values, self.states[node] = formulaic_bridge.learn(node, self.source, self.context)
            return values
        return formulaic_bridge.apply(node, self.states[node], self.source, self._missing_inputs(node), self.context)


def _as_number(value: Value) -> Value:
    """Booleans count as 0 and 1, as in R."""
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind in "biu" else array


def _log(x: Any, base: Any = None) -> Any:
    return np.log(x) if base is None else np.log(x) / np.log(base)


def _of_numpy(name: str) -> Any:
    value: Any = np
    for part in name.split(".")[1:]:
        value = getattr(value, part, None)
        if value is None:
            raise errors.transform_failed(name, AttributeError("numpy has no such name"))
    return value


def _location_and_spread(x: Numbers, center: Any, spread: Any) -> tuple[float, float]:
    location = float(np.mean(x)) if center is True else float(center or 0.0)
    if spread is True:  # R: the root of the sum of squares about the location over n - 1
        return location, float(np.sqrt(np.sum((x - location) ** 2) / max(len(x) - 1, 1)))
    return location, float(spread or 1.0)


def _equal_levels(left: Value, right: Value) -> NDArray[np.bool_]:
    """Rows where a factor has a given level, or where two factors agree."""
    if not isinstance(left, Factorized):
        left, right = right, left
    codes = left.categories.codes
    if isinstance(right, Factorized):
        matched = np.append(left.categories.levels.find(right.categories.levels.labels), np.int32(-2))
        return np.asarray(codes == matched[right.categories.codes])
    texts = left.categories.levels.texts()
    wanted = level_text(right)
    return np.asarray(codes == texts.index(wanted)) if wanted in texts else np.zeros(len(codes), dtype=bool)
