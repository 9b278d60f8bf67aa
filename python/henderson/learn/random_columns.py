"""Where a learner's random effects come from: columns of X, groups passed to `fit`, columns of Z."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from henderson import errors, errors_forests
from henderson.columns import Column, NumpyColumn, as_column
from henderson.expression import columns_of
from henderson.formula import Formula, parse_formula
from henderson.learn.inputs import ColumnsTable, frame_names, is_frame
from henderson.learn.model_text import ROUTED


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


def grouping_columns(formula: Formula) -> list[str]:
    """The columns that grouping factors are made of."""
    nodes = [node for part in formula.random_terms for node in part.grouping.variables]
    return list(dict.fromkeys(name.name for node in nodes for name in columns_of(node)))


def all_columns(formula: Formula) -> list[str]:
    """The columns that random terms are made of."""
    nodes = [node for part in formula.random_terms for node in part.effects.variables()]
    slopes = [name.name for node in nodes for name in columns_of(node)]
    return list(dict.fromkeys([*grouping_columns(formula), *slopes]))


@dataclass(frozen=True)
class Layout:
    """What the arrays passed to `fit` beside X are called in the formula.

    Attributes
    ----------
    text
        The random part.
    groups, effects
        Names of the columns of ``groups=`` and ``Z=``.
    """

    text: str
    groups: tuple[str, ...]
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
        formula = parse_random_effects(random_effects)
        if Z is not None:
            raise errors_forests.z_with_formula()
        if groups is None:
            return Layout(random_effects, (), ())
        return Layout(random_effects, _group_names(groups, all_columns(formula), known, n), ())
    if groups is None:
        if Z is not None:
            raise errors_forests.groups_needed()
        return None
    names = _group_names(groups, [], known, n)
    count = 0 if Z is None else _matrix(Z, n).shape[1]
    effects = tuple(f"z{k}" for k in range(count))
    side = " + ".join(["0", *effects]) if effects else "1"
    return Layout(" + ".join(f"({side} | {name})" for name in names), names, effects)


def with_groups(table: ColumnsTable, names: Layout, groups: Any, Z: Any) -> ColumnsTable:
    """Columns of X, of groups and of Z side by side; where two have one name, that of groups counts."""
    added: dict[str, Column] = {}
    if names.groups and groups is not None:
        columns = _group_columns(groups, table.n_rows)
        if len(columns) != len(names.groups):
            raise errors_forests.groups_count(len(columns), len(names.groups))
        added |= {name: as_column(name, column) for name, column in zip(names.groups, columns, strict=True)}
    if Z is not None:
        if not names.effects:
            raise errors_forests.z_unfitted()
        matrix = _matrix(Z, table.n_rows)
        if matrix.shape[1] != len(names.effects):
            raise errors_forests.z_count(matrix.shape[1], len(names.effects))
        pairs = zip(names.effects, matrix.T, strict=True)
        added |= {name: NumpyColumn(name, np.ascontiguousarray(column)) for name, column in pairs}
    return table.with_columns(added)


def _group_names(groups: Any, used: list[str], known: list[str], n: int) -> tuple[str, ...]:
    """Their own names if the formula uses them; else those that it lacks; else groups, or groups_0, groups_1, ..."""
    count = len(_group_columns(groups, n))
    own = frame_names(groups)
    if own is None:
        own = [getattr(groups, "name", None)]
    if own and all(isinstance(name, str) and name in used for name in own):
        repeated = [name for name in own if own.count(name) > 1]
        if repeated:
            raise errors.column_repeated(repeated[0])
        return tuple(own)
    missing = [name for name in used if name not in known]
    if len(missing) == count:
        return tuple(missing)
    return (ROUTED,) if count == 1 else tuple(f"{ROUTED}_{k}" for k in range(count))


def _group_columns(groups: Any, n: int) -> list[Any]:
    """The grouping factors, (n,) each."""
    if is_frame(groups):
        columns = [groups.iloc[:, k] if hasattr(groups, "iloc") else groups[name] for k, name in _numbered(groups)]
    else:
        given = groups if getattr(groups, "ndim", None) == 1 or hasattr(groups, "to_numpy") else np.asarray(groups)
        columns = [given] if getattr(given, "ndim", 1) == 1 else list(given.T) if given.ndim == 2 else []
    if not columns or any(len(column) != n for column in columns):
        raise errors_forests.groups_shape(np.shape(groups), n)
    return columns


def _numbered(groups: Any) -> list[tuple[int, Any]]:
    return list(enumerate(frame_names(groups) or []))


def _matrix(Z: Any, n: int) -> Any:
    try:
        matrix = np.asarray(Z, dtype=np.float64)
    except (TypeError, ValueError):
        raise errors_forests.z_shape(np.shape(Z), n) from None
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    if matrix.ndim != 2 or len(matrix) != n or not matrix.shape[1]:
        raise errors_forests.z_shape(np.shape(Z), n)
    return matrix
