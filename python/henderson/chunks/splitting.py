"""Which groups go to which chunk, and whether chunks of groups leave the other grouping factors whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_chunks
from henderson.columns import as_column
from henderson.expression import columns_of
from henderson.formula import Formula
from henderson.levels import factorize
from henderson.tables import Table, open_table

Rows = NDArray[np.intp]
Codes = NDArray[np.int64]


def group_codes(data: Any, by: Any) -> tuple[str, Codes]:
    """What `by` is called, and the group of each row: 0, 1, ..., shape (n,).

    Parameters
    ----------
    data
        Table or dict of arrays.
    by
        A column, a list of columns (their combinations), or one label per row.
    """
    table = open_table(_tabular(data))
    if isinstance(by, str):
        return by, _combined(table, [by])
    if isinstance(by, list | tuple) and by and all(isinstance(name, str) and name in table.names for name in by):
        return ":".join(by), _combined(table, list(by))
    if not hasattr(by, "__len__"):
        raise errors.argument_type("by", by, "the name of a column, a list of names, or one label per row")
    if len(by) != table.n_rows:
        raise errors_chunks.by_length(len(by), table.n_rows)
    name = getattr(by, "name", None)
    label = name if isinstance(name, str) else "by"
    return label, _checked(label, as_column(label, by).categories().codes)


def deal(codes: Codes, n_chunks: int, name: str, generator: np.random.Generator) -> list[Rows]:
    """Rows of each chunk, in order: the groups in random order are dealt out one by one."""
    groups = int(codes.max()) + 1
    if n_chunks * 2 > groups:
        raise errors_chunks.too_many_chunks(n_chunks, groups, name)
    chunk = np.empty(groups, dtype=np.int64)
    chunk[generator.permutation(groups)] = np.arange(groups) % n_chunks
    of_row = chunk[codes]
    order = np.argsort(of_row, kind="stable")
    return np.split(order, np.cumsum(np.bincount(of_row, minlength=n_chunks))[:-1])


def take(data: Any, rows: Rows) -> Any:
    """Some rows of a table, of the same type."""
    if isinstance(data, Mapping):
        return {name: _take_array(values, rows) for name, values in data.items()}
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    if hasattr(data, "take") and hasattr(data, "column_names"):
        return data.take(rows)
    return data[rows]


def split_target(data: Any, target: str) -> tuple[Any, Any]:
    """All columns but one, and that one."""
    if isinstance(data, Mapping):
        import pandas

        data = pandas.DataFrame(data)
    names = list(data.column_names if hasattr(data, "column_names") else data.columns)
    if target not in names:
        raise errors.column_unknown(target, names, "target")
    others = [name for name in names if name != target]
    if hasattr(data, "column_names"):
        return data.select(others), data.column(target).to_numpy()
    return data[others], data[target]


def split_factors(formula: Formula, data: Any, codes: Codes) -> Iterator[tuple[str, int]]:
    """Grouping factors of a formula with levels in several groups, and the number of these levels.

    Raises
    ------
    DataError
        A column is absent.
    """
    table = open_table(_tabular(data))
    seen = set()
    for part in formula.random_terms:
        names = [name.name for node in part.grouping.variables for name in columns_of(node)]
        if not names or part.grouping.label in seen:
            continue
        seen.add(part.grouping.label)
        own = _combined(table, names, missing_is_level=True)
        pairs = np.unique(own * (int(codes.max()) + 1) + codes) // (int(codes.max()) + 1)
        count = int(np.count_nonzero(np.bincount(pairs) > 1))
        if count:
            yield part.grouping.label, count


def _combined(table: Table, names: list[str], *, missing_is_level: bool = False) -> Codes:
    codes = np.zeros(table.n_rows, dtype=np.int64)
    for name in names:
        column = table.column(name)
        if column is None:
            raise errors.column_unknown(name, table.names, "by" if not missing_is_level else "formula")
        found = column.categories().codes.astype(np.int64)
        own = found + 1 if missing_is_level else _checked(name, found)
        codes = factorize(codes * (int(own.max(initial=0)) + 1) + own).codes.astype(np.int64)
    return codes


def _checked(name: str, codes: NDArray[Any]) -> Codes:
    """Codes 0, 1, ... of the levels that occur."""
    if not len(codes):
        raise errors.table_empty()
    if codes.min() < 0:
        raise errors_chunks.by_missing(name, int(np.argmin(codes)))
    return factorize(codes).codes.astype(np.int64)


def _tabular(data: Any) -> Any:
    """A dict of arrays, some of which may have several columns, as a dict of vectors."""
    if not isinstance(data, Mapping):
        return data
    if any(not hasattr(values, "__len__") for values in data.values()):
        raise errors_chunks.data_type(data)
    return {name: np.arange(len(v)) if getattr(v, "ndim", 1) > 1 else v for name, v in data.items()}


def _take_array(values: Any, rows: Rows) -> Any:
    if hasattr(values, "iloc"):
        return values.iloc[rows]
    return values[rows] if isinstance(values, np.ndarray) or hasattr(values, "dtype") else np.asarray(values)[rows]
