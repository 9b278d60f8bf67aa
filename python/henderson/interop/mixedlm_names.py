"""patsy's names and order of the columns of a model: ``Intercept``, ``C(f)[T.b]``, ``bs(x, df=4)[0]``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from henderson.coding import CategoricalVariable, NumericVariable, Variable, is_contrast_coded
from henderson.contrasts import Contrast, contrast_matrix
from henderson.expression import Expression, full_span, to_python
from henderson.terms import Term, TermList

INTERCEPT = "Intercept"
_QUOTED = re.compile("`([^`]+)`")
_POWERS = {0: ".Linear", 1: ".Quadratic", 2: ".Cubic"}


@dataclass(frozen=True)
class ColumnNames:
    """The columns of one side of a formula.

    Attributes
    ----------
    names
        As patsy calls them, in our order.
    order
        Our column at each of patsy's places: first what has no numeric variable, then by numeric variables.
    """

    names: tuple[str, ...]
    order: tuple[int, ...]


def column_names(
    side: TermList, variables: Mapping[Expression, Variable], original: Mapping[Expression, str]
) -> ColumnNames:
    """Name the columns of one side of a formula.

    Parameters
    ----------
    variables
        What is known of the variables.
    original
        How expressions that were rewritten had been written.
    """
    names: list[str] = [INTERCEPT] if side.has_intercept else []
    buckets: dict[frozenset[Expression], list[int]] = {frozenset(): list(range(len(names)))}
    written = _first_places(side)
    flags = is_contrast_coded(side, lambda v: isinstance(variables[v], CategoricalVariable))
    for term, coding in zip(side.terms, flags, strict=True):
        own = _term(term, coding, variables, original)
        numeric = frozenset(v for v in term.variables if isinstance(variables[v], NumericVariable))
        buckets.setdefault(numeric, []).extend(range(len(names), len(names) + len(own)))
        names += own
    ordered = sorted(buckets, key=lambda numeric: max((written[node] for node in numeric), default=-1))
    return ColumnNames(tuple(names), tuple(place for numeric in ordered for place in buckets[numeric]))


def _first_places(side: TermList) -> dict[Expression, int]:
    """Where in the text each variable is written first."""
    found: dict[Expression, int] = {}
    for node in (node for term in side.terms for node in term.variables):
        found[node] = min(found.get(node, full_span(node)[0]), full_span(node)[0])
    return found


def variable_name(node: Expression, original: Mapping[Expression, str]) -> str:
    """An expression as patsy writes it."""
    return _QUOTED.sub(lambda found: f"Q({found[1]!r})", original.get(node) or to_python(node))


def level_name(variable: str, level: object) -> str:
    """The column of a level where there is one for each level."""
    return f"{variable}[{level}]"


def _term(
    term: Term, coding: tuple[bool, ...], variables: Mapping[Expression, Variable], original: Mapping[Expression, str]
) -> list[str]:
    """All products of one column per variable, the first variable varying fastest."""
    product = [""]
    for place, (node, is_contrast) in enumerate(zip(term.variables, coding, strict=True)):
        name = variable_name(node, original)
        own = [name + suffix for suffix in _suffixes(variables[node], is_contrast)]
        product = [f"{left}:{right}" if place else right for right in own for left in product]
    return product


def _suffixes(variable: Variable, is_contrast: bool) -> list[str]:
    if isinstance(variable, NumericVariable):
        return [""] if variable.width == 1 else [f"[{column}]" for column in range(variable.width)]
    labels = variable.levels.labels.tolist()
    if not is_contrast:
        return [f"[{label}]" for label in labels]
    matrix = variable.contrast
    if ((matrix == 0) | (matrix == 1)).all() and (matrix.sum(axis=0) == 1).all():
        return [f"[T.{labels[row]}]" for row in matrix.argmax(axis=0)]
    for kind, letter, shown in (("sum", "S", labels[:-1]), ("helmert", "H", labels[1:]), ("diff", "D", labels[:-1])):
        if _is(matrix, kind, labels):
            return [f"[{letter}.{label}]" for label in shown]
    if _is(matrix, "poly", labels):
        return [_POWERS.get(column, f"^{column + 1}") for column in range(matrix.shape[1])]
    return [f"[custom{column}]" for column in range(matrix.shape[1])]


def _is(matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]], kind: str, labels: list[object]) -> bool:
    usual = contrast_matrix(Contrast(kind), "", labels)[0]
    return usual.shape == matrix.shape and bool(np.allclose(usual, matrix))
