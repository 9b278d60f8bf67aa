"""The ``groups=`` of a model given in statsmodels' way: a column, or values that become one."""

from __future__ import annotations

from typing import Any

import numpy as np

from henderson import errors
from henderson.columns import Column
from henderson.frame import argument_column
from henderson.interop.mixedlm_formula import Groups
from henderson.tables import ArrowTable, PandasTable, PolarsTable, Table, open_table

LABEL = "Group"
"""What statsmodels calls the groups where they have no name."""


def with_groups(table: Table, groups: Any) -> tuple[Table, Groups]:
    """The table with a column for the groups, and which it is.

    Values that are those of a column of the table are that column, so that new rows need no other one.

    Raises
    ------
    DataError
        There is no such column, or not one value per row.
    """
    column = argument_column(table, "groups", groups)
    if column is None:
        raise errors.argument_type("groups", groups, "a column name or an array with one value per row")
    if isinstance(groups, str):
        return table, _described(column, groups, groups)
    name = getattr(groups, "name", None)
    if isinstance(name, str) and name in table.names and _is_column(table, name, groups):
        return table, _described(column, name, LABEL)
    name = LABEL
    while name in table.names:
        name += "_"
    return open_table(_with_column(table, name, groups)), _described(column, name, LABEL)


def _described(column: Column, name: str, label: str) -> Groups:
    levels = column.categories().without_unused().levels
    is_one = len(levels) == 1
    return Groups(name, label, is_one, levels.labels.tolist()[0] if is_one else None)


def _is_column(table: Table, name: str, values: Any) -> bool:
    own = table.source[name]
    return own is values or bool(np.array_equal(np.asarray(own), np.asarray(values)))


def _with_column(table: Table, name: str, values: Any) -> Any:
    """The user's table with one column more; theirs stays as it is."""
    source = table.source
    if isinstance(table, PandasTable):
        return source.assign(**{name: values})
    if isinstance(table, PolarsTable):
        import polars

        return source.with_columns(polars.Series(name, list(values)))
    if isinstance(table, ArrowTable):
        import pyarrow

        return source.append_column(name, pyarrow.array(list(values)))
    return {**source, name: values}
