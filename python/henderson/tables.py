# ruff: noqa: D102 - the methods of a table are documented once, in Table
"""Any table as named columns: pandas, polars, pyarrow, dicts of arrays, and what can be turned into one of them.

No table library is imported here: a table of theirs can only exist if it is in `sys.modules` already.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from henderson import errors
from henderson.columns import ArrowColumn, Column, PolarsColumn, as_column, from_pandas, has_rows


class Table(ABC):
    """Rows and named columns; `source` is the user's object."""

    def __init__(self, source: Any) -> None:
        self.source = source

    @property
    @abstractmethod
    def n_rows(self) -> int: ...

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """Column names as text, in order."""

    @abstractmethod
    def column(self, name: str) -> Column | None:
        """The column of that name, None if there is none."""

    @property
    def index(self) -> Any:
        """The row labels as a pandas Index, None for plain row numbers."""
        return None


class PandasTable(Table):
    """A pandas DataFrame."""

    @property
    def n_rows(self) -> int:
        return len(self.source)

    @property
    def names(self) -> list[str]:
        return [str(name) for name in self.source.columns]

    def column(self, name: str) -> Column | None:
        try:
            values = self.source[name]
        except KeyError:
            alike = [label for label in self.source.columns if str(label) == name]
            if not alike:
                return None
            values = self.source[alike[0]]
        if values.ndim != 1:
            raise errors.column_repeated(name)
        return from_pandas(name, values)

    @property
    def index(self) -> Any:
        return self.source.index


class PolarsTable(Table):
    """A polars DataFrame."""

    @property
    def n_rows(self) -> int:
        return int(self.source.height)

    @property
    def names(self) -> list[str]:
        return list(self.source.columns)

    def column(self, name: str) -> Column | None:
        return PolarsColumn(name, self.source.get_column(name)) if name in self.source.columns else None


class ArrowTable(Table):
    """A pyarrow Table."""

    @property
    def n_rows(self) -> int:
        return int(self.source.num_rows)

    @property
    def names(self) -> list[str]:
        return list(self.source.column_names)

    def column(self, name: str) -> Column | None:
        count = self.source.column_names.count(name)
        if count > 1:
            raise errors.column_repeated(name)
        return ArrowColumn(name, self.source.column(name)) if count else None


class DictTable(Table):
    """A mapping of names to arrays of one length."""

    def __init__(self, source: Mapping[Any, Any]) -> None:
        super().__init__({str(name): values for name, values in source.items()})
        lengths = {name: _length(name, values) for name, values in self.source.items()}
        if len(set(lengths.values())) > 1:
            raise errors.table_ragged(lengths)
        self._n_rows = next(iter(lengths.values()), 0)

    @property
    def n_rows(self) -> int:
        return self._n_rows

    @property
    def names(self) -> list[str]:
        return list(self.source)

    def column(self, name: str) -> Column | None:
        return as_column(name, self.source[name]) if name in self.source else None


def _length(name: str, values: Any) -> int:
    if not has_rows(values):
        raise errors.argument_type(f"Column '{name}'", values, "an array with one value per row")
    return len(values)


def open_table(data: Any) -> Table:
    """Look at the user's data as a Table.

    Raises
    ------
    DataError
        It is nothing that can be looked at so.
    """
    if isinstance(data, Table):
        return data
    pandas, polars, pyarrow = (sys.modules.get(module) for module in ("pandas", "polars", "pyarrow"))
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return PandasTable(data)
    if polars is not None and isinstance(data, polars.DataFrame):
        return PolarsTable(data)
    if pyarrow is not None and isinstance(data, pyarrow.Table):
        return ArrowTable(data)
    if isinstance(data, Mapping):
        return DictTable(data)
    return _open_foreign(data)


def _open_foreign(data: Any) -> Table:
    if isinstance(data, np.ndarray) and data.dtype.names:
        return DictTable({name: data[name] for name in data.dtype.names})
    if type(data).__module__.startswith("narwhals") and hasattr(data, "to_native"):
        return open_table(data.to_native())
    if hasattr(data, "__arrow_c_stream__") and not hasattr(data, "ndim"):  # duckdb, ibis, record batch readers
        try:
            import pyarrow
        except ImportError:
            raise errors.table_type(data) from None
        return ArrowTable(pyarrow.table(data))
    raise errors.table_type(data)
