"""Splines, polynomials and other calls that formulaic evaluates; it is imported only when one occurs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson import errors
from henderson.columns import Mask, Numbers
from henderson.expression import Call, Code, columns_of, to_python, to_text

if TYPE_CHECKING:
    from henderson.transforms import Source


def _table(node: Call | Code, source: Source) -> Any:
    """The columns of an expression as the pandas DataFrame that formulaic wants."""
    import pandas

    columns: dict[str, Any] = {}
    for name in columns_of(node):
        kind = source.kind(name.name)
        if kind == "number":
            columns[name.name] = source.numbers(name.name, "a predictor")
        elif kind is not None:
            categories = source.categories(name.name).in_order()
            labels = pandas.Index(categories.levels.labels)
            columns[name.name] = pandas.Categorical.from_codes(categories.codes, labels)
    return pandas.DataFrame(columns, index=pandas.RangeIndex(source.n))


def learn(node: Call | Code, source: Source, context: Mapping[str, Any]) -> tuple[Numbers, Any]:
    """Values at these rows, and formulaic's specification of how to compute them again."""
    from formulaic import model_matrix

    label = to_text(node)
    try:
        text = f"0 + {_source(node)}"
        matrix = model_matrix(text, _table(node, source), output="numpy", na_action="ignore", context=dict(context))
    except Exception as reason:
        raise errors.transform_failed(label, reason) from reason
    spec = matrix.model_spec
    for kind, _ in spec.encoder_state.values():
        if kind.value == "categorical":
            raise errors.transform_categorical(label)
    values = _values(matrix, label, source.n)
    is_polynomial = isinstance(node, Call) and node.function == "poly" and values.ndim == 2
    if is_polynomial and len(np.unique(values[:, 0])) <= values.shape[1]:  # the first column is linear in the variable
        raise errors.transform_failed(label, ValueError("it needs more distinct values than its degree"))
    return values, spec


def restored(node: Call | Code, learned: Mapping[str, Any]) -> Any:
    """The specification of an expression whose transformations have learned something before."""
    from formulaic import ModelSpec

    return ModelSpec(f"0 + {_source(node)}", output="numpy", na_action="ignore", transform_state=dict(learned))


def apply(node: Call | Code, spec: Any, source: Source, missing: Mask | None, context: Mapping[str, Any]) -> Numbers:
    """Values at other rows, NaN where an input is missing."""
    label = to_text(node)
    table = _table(node, source)
    if missing is not None and missing.any():
        table = table[~missing]
    try:
        matrix = spec.get_model_matrix(table, context=dict(context))
    except Exception as reason:
        raise errors.transform_failed(label, reason) from reason
    values = _values(matrix, label, len(table))
    if missing is None or not missing.any():
        return values
    result = np.full((source.n, *values.shape[1:]), np.nan)
    result[~missing] = values
    return result


def _source(node: Call | Code) -> str:
    return "{" + node.source + "}" if isinstance(node, Code) else to_python(node)


def _values(matrix: Any, label: str, rows: int) -> Numbers:
    values = np.asarray(matrix, dtype=np.float64)
    if values.shape[0] != rows:
        raise errors.transform_shape(label, values.shape, rows)
    return values[:, 0] if values.shape[1] == 1 else values
