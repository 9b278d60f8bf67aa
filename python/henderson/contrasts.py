"""Contrast matrices: how the k levels of a factor become k - 1 columns, with R's values and names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors
from henderson.levels import Categories, level_text

Matrix = NDArray[np.float64]
KINDS = ("treatment", "sum", "helmert", "poly", "sas", "diff")
_PREFIX = "contr."
_SYNONYMS = {"polynomial": "poly", "sdif": "diff", "dummy": "treatment"}


@dataclass(frozen=True, eq=False)
class Contrast:
    """A choice of contrasts: a kind and its base level, or a matrix.

    Attributes
    ----------
    kind
        One of `KINDS`, or ``"matrix"``.
    base
        Reference level of treatment contrasts, None for the first.
    matrix
        (levels, columns), for kind ``"matrix"``.
    names
        Names of the matrix's columns, None for 1, 2, ...
    rows
        Levels of the matrix's rows, None for the order of the levels.
    """

    kind: str
    base: Any = None
    matrix: Matrix | None = None
    names: tuple[str, ...] | None = None
    rows: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Factorized:
    """A categorical value and the contrasts its expression asks for."""

    categories: Categories
    contrast: Contrast | None = None


def as_contrast(label: str, value: Any) -> Contrast:
    """The contrasts meant by an entry of ``contrasts=`` for the variable called `label`.

    Accepted are a kind (``"sum"``, ``"contr.sum"``), a pair of kind and base level, a matrix with one row per level, or
    a pandas DataFrame whose columns name the contrasts.
    """
    if isinstance(value, Contrast):
        return value
    if isinstance(value, str):
        return Contrast(_kind(label, value))
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        kind = _kind(label, value[0])
        if kind != "treatment":
            raise errors.contrast_unknown(label, value, KINDS)
        return Contrast(kind, base=value[1])
    is_table = hasattr(value, "columns") and hasattr(value, "index")
    names = tuple(str(name) for name in value.columns) if is_table else None
    rows = tuple(level_text(level) for level in value.index) if is_table else None
    try:
        matrix = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise errors.contrast_unknown(label, value, KINDS) from None
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2:
        raise errors.contrast_unknown(label, value, KINDS)
    return Contrast("matrix", matrix=matrix, names=names, rows=rows)


def _kind(label: str, name: str) -> str:
    kind = name.removeprefix(_PREFIX).lower()
    kind = _SYNONYMS.get(kind, kind)
    if kind not in KINDS:
        raise errors.contrast_unknown(label, name, KINDS)
    return kind


def contrast_matrix(contrast: Contrast, label: str, levels: Sequence[Any]) -> tuple[Matrix, tuple[str, ...]]:
    """The (levels, columns) matrix of a contrast, and what R appends to the variable's name for each column."""
    texts = [level_text(level) for level in levels]
    count = len(texts)
    numbered = tuple(str(column + 1) for column in range(count - 1))
    match contrast.kind:
        case "treatment":
            return _treatment(texts, _position(contrast.base, label, levels, texts))
        case "sas":
            return _treatment(texts, count - 1)
        case "sum":
            return np.vstack([np.eye(count - 1), -np.ones(count - 1)]), numbered
        case "helmert":
            return _helmert(count), numbered
        case "poly":
            return _polynomial(count), tuple({0: ".L", 1: ".Q", 2: ".C"}.get(j, f"^{j + 1}") for j in range(count - 1))
        case "diff":
            steps = np.arange(1, count) / count
            matrix = np.where(np.arange(count)[:, None] <= np.arange(count - 1), steps - 1, steps)
            return matrix, tuple(f"{after}-{before}" for before, after in pairwise(texts))
    return _user_matrix(contrast, label, texts)


def _position(base: Any, label: str, levels: Sequence[Any], texts: Sequence[str]) -> int:
    if base is None:
        return 0
    for position, (level, text) in enumerate(zip(levels, texts, strict=True)):
        if level_text(base) == text or (level == base) is True:
            return position
    raise errors.contrast_level(label, base, texts)


def _treatment(texts: Sequence[str], base: int) -> tuple[Matrix, tuple[str, ...]]:
    others = [position for position in range(len(texts)) if position != base]
    return np.eye(len(texts))[:, others], tuple(texts[position] for position in others)


def _helmert(count: int) -> Matrix:
    """Column j compares level j + 1 with the mean of the levels before it: -1 above, j + 1 on it, 0 below."""
    level, column = np.arange(count)[:, None], np.arange(count - 1)
    return np.where(level <= column, -1.0, np.where(level == column + 1, column + 1.0, 0.0))


def _polynomial(count: int) -> Matrix:
    """Orthonormal polynomials of degree 1 to count - 1 at equally spaced scores, with positive leading coefficients."""
    scores = np.arange(1.0, count + 1) - (count + 1) / 2
    basis = np.full((count, count), 1 / np.sqrt(count))
    for degree in range(1, count):
        column = scores * basis[:, degree - 1]
        for _ in range(2):  # twice is enough for orthogonality to rounding
            column = column - basis[:, :degree] @ (basis[:, :degree].T @ column)
        basis[:, degree] = column / np.linalg.norm(column)
    return np.ascontiguousarray(basis[:, 1:])


def _user_matrix(contrast: Contrast, label: str, texts: Sequence[str]) -> tuple[Matrix, tuple[str, ...]]:
    matrix = contrast.matrix
    assert matrix is not None
    if contrast.rows is not None and set(contrast.rows) == set(texts) and len(contrast.rows) == len(texts):
        matrix = matrix[[contrast.rows.index(text) for text in texts]]
    rows, columns = matrix.shape
    fits = rows == len(texts) and 1 <= columns < rows and bool(np.isfinite(matrix).all())
    if not fits or np.linalg.matrix_rank(np.column_stack([np.ones(rows), matrix])) <= columns:
        raise errors.contrast_shape(label, matrix.shape, texts)
    return matrix, contrast.names or tuple(str(column + 1) for column in range(columns))
