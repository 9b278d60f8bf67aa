"""Where a learner's random effects come from: columns of X, groups passed to `fit`, columns of Z."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from henderson import errors, errors_forests
from henderson.columns import Column, NumpyColumn
from henderson.formula import Formula, parse_formula
from henderson.learn.inputs import ColumnsTable
from henderson.learn.model_text import group_columns, require_used
from henderson.learn.routed_groups import RoutedGroups, routed_groups


def parse_random_effects(text: Any) -> Formula:
    """Read random terms, ``"(1 + x | group)"``."""
    if not isinstance(text, str):
        raise errors_forests.random_effects_type(text)
    formula = parse_formula(text if "~" in text else f"~ {text}")
    if not formula.random_terms:
        raise errors.random_term_missing(text)
    if formula.fixed_terms or formula.response is not None or formula.offsets:
        label = formula.fixed_terms[0].label if formula.fixed_terms else text.partition("~")[0].strip() or "offset()"
        raise errors_forests.random_effects_fixed(text, label)
    return formula


@dataclass(frozen=True)
class Layout:
    """What the arrays passed to `fit` beside X are called in the formula.

    Attributes
    ----------
    text
        The random part.
    groups
        Those passed as ``groups=``.
    effects
        Names of the columns of ``Z=``.
    """

    text: str
    groups: RoutedGroups
    effects: tuple[str, ...]


def layout(random_effects: str | None, known: list[str], groups: Any, Z: Any, n: int) -> Layout | None:
    """Name the columns of groups and Z; None where there are no random effects at all.

    Parameters
    ----------
    random_effects
        The formula; None for an intercept, or the effects of Z, for each column of groups.
    known
        The columns of X.
    groups, Z
        As passed to `fit`.
    n
        Number of rows.
    """
    if random_effects is not None:
        if Z is not None:
            raise errors_forests.z_with_formula()
        used = group_columns(parse_random_effects(random_effects))
        routed = routed_groups(groups, used, known, n)
        require_used(routed.names, used)
        return Layout(random_effects, routed, ())
    if groups is None:
        if Z is not None:
            raise errors_forests.groups_needed()
        return None
    routed = routed_groups(groups, [], known, n)
    count = 0 if Z is None else _matrix(Z, n).shape[1]
    effects = tuple(f"z{k}" for k in range(count))
    side = " + ".join(["0", *effects]) if effects else "1"
    return Layout(" + ".join(f"({side} | {name})" for name in routed.names), routed, effects)


def with_groups(table: ColumnsTable, names: Layout, groups: Any, Z: Any) -> ColumnsTable:
    """Columns of X, of groups and of Z side by side."""
    added: dict[str, Column] = {}
    if groups is not None:
        added |= names.groups.columns(groups, table.n_rows)
    if Z is not None:
        if not names.effects:
            raise errors_forests.z_unfitted()
        matrix = _matrix(Z, table.n_rows)
        if matrix.shape[1] != len(names.effects):
            raise errors_forests.z_count(matrix.shape[1], len(names.effects))
        pairs = zip(names.effects, matrix.T, strict=True)
        added |= {name: NumpyColumn(name, np.ascontiguousarray(column)) for name, column in pairs}
    return table.with_columns(added)


def _matrix(Z: Any, n: int) -> Any:
    try:
        matrix = np.asarray(Z, dtype=np.float64)
    except (TypeError, ValueError):
        raise errors_forests.z_shape(np.shape(Z), n) from None
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    if matrix.ndim != 2 or len(matrix) != n or not matrix.shape[1]:
        raise errors_forests.z_shape(np.shape(Z), n)
    return matrix
