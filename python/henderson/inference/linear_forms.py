"""Linear functions of the fixed effects as users write them: text, dicts, arrays, tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_inference

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[^\s+\-*/()=]+")
INTERCEPT = "(Intercept)"


@dataclass(frozen=True, eq=False)
class LinearForms:
    """Rows l'beta and the values they are compared with.

    Attributes
    ----------
    labels
        One per row.
    weights
        (r, columns of X).
    rhs
        (r,) what the text has right of ``=``.
    of_columns
        (r,) whether a row has a weight for each column of X, zero or not, so that it must be estimable as it stands;
        otherwise coefficients that it does not name are left out, and aliased ones count as zero.
    """

    labels: tuple[str, ...]
    weights: Matrix
    rhs: Vector
    of_columns: NDArray[np.bool_]


def linear_forms(value: Any, names: Sequence[str], kept: Sequence[int]) -> LinearForms:
    """Read contrasts of the fixed effects.

    Parameters
    ----------
    value
        Text such as ``"Days - 2 * x = 0"``; a dict of weights by name; an array (r, columns) or (columns,), a row per
        contrast, with a column for each fixed effect, or for each that is not aliased; a data frame whose columns are
        names; a list of these; a dict of these by label.
    names
        Of all columns of X.
    kept
        Indices of those that are not aliased.
    """
    if isinstance(value, Mapping) and value and not all(_is_number(weight) for weight in value.values()):
        return _joined([_labelled(label, part, names, kept) for label, part in value.items()], names)
    return _joined(_rows(value, names, kept), names)


class _Row(NamedTuple):
    label: str
    weights: Vector
    right: float = 0.0
    is_of_columns: bool = False


def _labelled(label: Any, value: Any, names: Sequence[str], kept: Sequence[int]) -> _Row:
    rows = _rows(value, names, kept)
    if len(rows) != 1:
        raise errors_inference.contrast_label_rows(label, len(rows))
    return rows[0]._replace(label=str(label))


def _rows(value: Any, names: Sequence[str], kept: Sequence[int]) -> list[_Row]:
    if isinstance(value, str):
        weights, right = _Reader(value, names).equation()
        return [_Row(" ".join(value.split()), weights, right)]
    if isinstance(value, Mapping):
        weights = _by_name(value, names)
        return [_Row(_text(weights, names), weights)]
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):
        return _table_rows(value, names)
    if isinstance(value, list | tuple) and any(isinstance(part, str | Mapping) for part in value):
        return [row for part in value for row in _rows(part, names, kept)]
    return _array_rows(value, names, kept)


def _joined(rows: Sequence[_Row], names: Sequence[str]) -> LinearForms:
    for row in rows:
        if not np.isfinite(row.weights).all():
            raise errors_inference.contrast_not_finite(row.label)
        if not row.weights.any():
            raise errors_inference.contrast_zero(row.label)
    return LinearForms(
        tuple(row.label for row in rows),
        np.array([row.weights for row in rows]).reshape(len(rows), len(names)),
        np.array([row.right for row in rows]),
        np.array([row.is_of_columns for row in rows], dtype=bool),
    )


def _array_rows(value: Any, names: Sequence[str], kept: Sequence[int]) -> list[_Row]:
    if value is None or np.ndim(value) == 0:
        raise errors_inference.contrast_type(value)
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise errors_inference.contrast_type(value) from None
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or array.shape[1] not in (len(names), len(kept)) or not len(array):
        raise errors_inference.contrast_shape(np.shape(value), len(names), len(kept))
    if array.shape[1] == len(names):
        return [_Row(_text(row, names), row, is_of_columns=True) for row in array]
    weights = np.zeros((len(array), len(names)))
    weights[:, list(kept)] = array
    return [_Row(_text(row, names), row) for row in weights]


def _table_rows(table: Any, names: Sequence[str]) -> list[_Row]:
    columns = [str(name) for name in table.columns]
    values = _array_rows(table.to_numpy(), columns, range(len(columns)))
    labels = [str(label) for label in table.index] if hasattr(table, "index") else [row.label for row in values]
    return [
        _Row(label, _by_name(dict(zip(columns, row.weights, strict=True)), names))
        for label, row in zip(labels, values, strict=True)
    ]


def _by_name(weights: Mapping[Any, Any], names: Sequence[str]) -> Vector:
    row = np.zeros(len(names))
    for name, weight in weights.items():
        if not _is_number(weight):
            raise errors.argument_type(f"The weight of {name}", weight, "a number")
        row[_place(str(name), names)] += float(weight)
    return row


def _place(name: str, names: Sequence[str]) -> int:
    if name in names:
        return list(names).index(name)
    if name == "Intercept" and INTERCEPT in names:
        return list(names).index(INTERCEPT)
    raise errors_inference.coefficient_unknown(name, names)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _text(row: Vector, names: Sequence[str]) -> str:
    """What a row says, ``Days - 2*x``."""
    pieces: list[str] = []
    for weight, name in zip(row, names, strict=True):
        if weight == 0 or not np.isfinite(weight):
            continue
        size = "" if abs(weight) == 1 else f"{abs(weight):.4g}*"
        sign = "-" if weight < 0 else "+"
        pieces.append(f"{sign} {size}{name}" if pieces else f"{'-' if weight < 0 else ''}{size}{name}")
    return " ".join(pieces)


class _Reader:
    """Reads ``Days - 2 * (a + b:c) / 3 = 4``: an expression that is linear in the coefficients.

    Coefficients are found by name, the longest that fits, since names may hold any character; backquotes may help.
    """

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text = text
        self.names = names
        self.by_length = sorted(names, key=len, reverse=True)
        self.at = 0

    def equation(self) -> tuple[Vector, float]:
        """Weights and right-hand side."""
        left = self.sum()
        if self.accept("==") or self.accept("="):
            left = left - self.sum()
        elif left[-1] != 0:
            raise errors_inference.contrast_constant(self.text, float(left[-1]))
        self.skip()
        if self.at < len(self.text):
            self.fail()
        return left[:-1], float(-left[-1]) + 0.0  # no minus zero

    def sum(self) -> Vector:
        """Weights of the coefficients, and last the constant."""
        total = self.product()
        while True:
            if self.accept("+"):
                total = total + self.product()
            elif self.accept("-"):
                total = total - self.product()
            else:
                return total

    def product(self) -> Vector:
        value = self.factor()
        while True:
            if self.accept("*"):
                other = self.factor()
                if value[:-1].any() and other[:-1].any():
                    raise errors_inference.contrast_not_linear(self.text)
                value = other * value[-1] if other[:-1].any() else value * other[-1]
            elif self.accept("/"):
                other = self.factor()
                if other[:-1].any() or other[-1] == 0:
                    raise errors_inference.contrast_not_linear(self.text)
                value = value / other[-1]
            else:
                return value

    def factor(self) -> Vector:
        if self.accept("-"):
            return -self.factor()
        if self.accept("+"):
            return self.factor()
        name = self.name()
        if name is not None:
            return self.unit(name)
        number = _NUMBER.match(self.text, self.at)
        if number is not None:
            self.at = number.end()
            return self.unit(len(self.names), float(number.group()))
        if self.accept("("):
            inside = self.sum()
            if not self.accept(")"):
                self.fail()
            return inside
        self.fail()
        raise AssertionError  # pragma: no cover - fail() raises

    def name(self) -> int | None:
        """The coefficient whose name comes next, if any."""
        self.skip()
        if self.text.startswith("`", self.at):
            end = self.text.find("`", self.at + 1)
            if end > 0:
                place = _place(self.text[self.at + 1 : end], self.names)
                self.at = end + 1
                return place
        for name in self.by_length:
            if name and self.text.startswith(name, self.at) and self.ends_at(self.at + len(name), name):
                self.at += len(name)
                return list(self.names).index(name)
        word = _WORD.match(self.text, self.at)
        if word is not None and not _NUMBER.fullmatch(word.group()) and not word.group()[0].isdigit():
            place = _place(word.group(), self.names)
            self.at = word.end()
            return place
        return None

    def ends_at(self, end: int, name: str) -> bool:
        """Whether a name may end here: not in the middle of a word."""
        following = self.text[end : end + 1]
        return not (
            following and (name[-1].isalnum() or name[-1] in "_.") and (following.isalnum() or following in "_.:(")
        )

    def unit(self, place: int, value: float = 1.0) -> Vector:
        result = np.zeros(len(self.names) + 1)
        result[place] = value
        return result

    def accept(self, token: str) -> bool:
        self.skip()
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def fail(self) -> None:
        raise errors_inference.contrast_syntax(self.text, self.at)
