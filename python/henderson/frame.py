"""Table and formula -> ModelFrame: which rows are used, and the columns the formula names.

Rows are chosen before anything is computed from their values: first by `subset`; then rows with a missing value in any
used column (response, fixed effects, random effects, grouping factors, weights, offset) go, then rows of weight zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors
from henderson.columns import Column, Kind, Mask, Numbers, as_column, has_rows
from henderson.expression import Name
from henderson.formula import Formula
from henderson.levels import Categories
from henderson.tables import Table, open_table

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class ModelFrame:
    """The rows used for a model and the columns its formula names.

    Attributes
    ----------
    formula
        With ``.`` replaced by columns.
    n
        Number of rows used.
    rows
        Their positions in the table, None when all are used.
    weights, offset
        The arguments of that name at these rows; None if not given.
    n_excluded, n_dropped, n_zero_weight
        Rows left out by `subset`, for a missing value, and for a weight of zero.
    table_index
        Row labels of the whole table (pandas Index), None if they are row numbers.
    """

    formula: Formula
    n: int
    rows: Rows | None
    columns: Mapping[str, Column]
    weights: Numbers | None = None
    offset: Numbers | None = None
    n_excluded: int = 0
    n_dropped: int = 0
    n_zero_weight: int = 0
    table_index: Any = None
    _numbers: dict[str, Numbers] = field(default_factory=dict, repr=False)
    _categories: dict[str, Categories] = field(default_factory=dict, repr=False)

    def kind(self, name: str) -> Kind | None:
        """How a column enters a model, None if the frame has no such column."""
        column = self.columns.get(name)
        return None if column is None else column.kind

    def numbers(self, name: str, role: str) -> Numbers:
        """A column as float64; by reference when no row is dropped."""
        values = self._numbers.get(name)
        if values is None:
            values = self.columns[name].numbers(role)
            values = self._numbers[name] = values if self.rows is None else values[self.rows]
        return values

    def categories(self, name: str) -> Categories:
        """A column as codes and levels; levels that no used row has are dropped."""
        categories = self._categories.get(name)
        if categories is None:
            categories = self._categories[name] = self.columns[name].categories().take(self.rows)
        return categories

    def table_row(self, position: int) -> int:
        """The row of the table that a row of the frame came from."""
        return int(position if self.rows is None else self.rows[position])


def model_frame(
    formula: Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    subset: Any = None,
    na_action: str = "drop",
    context: Mapping[str, Any] | None = None,
) -> ModelFrame:
    """Choose the rows of a table and gather the columns of a formula.

    Parameters
    ----------
    formula
        May contain ``.``, which then stands for all other columns.
    data
        pandas, polars or pyarrow table, or dict of arrays.
    weights, offset
        Column name, or one number per row of the table.
    subset
        Boolean array, query such as ``"age > 5"``, or function of the table that gives one.
    na_action
        ``"drop"`` rows with missing values, or ``"fail"``.
    context
        Names that the formula may use besides columns.

    Raises
    ------
    DataError
        A column is missing or unusable, or no row is left.
    """
    if na_action not in ("drop", "fail"):
        raise errors.choice("na_action", na_action, ("drop", "fail"))
    table = open_table(data)
    n_rows = table.n_rows
    if n_rows == 0:
        raise errors.table_empty()
    if formula.has_dot:
        used = [argument for argument in (weights, offset) if isinstance(argument, str)]
        formula = formula.expand_dot(name for name in table.names if name not in used)
    columns = find_columns(table, formula.columns(), context or {})
    weights_column = argument_column(table, "weights", weights)
    offset_column = argument_column(table, "offset", offset)
    chosen = None if subset is None else _subset(table, subset)
    extra = {"weights": weights_column, "offset": offset_column}
    everything = dict(columns) | {f"{name}=": column for name, column in extra.items() if column is not None}
    kept, n_dropped = _complete_rows(everything, n_rows, chosen, na_action)
    n_zero = 0
    if weights_column is not None:
        kept, n_zero = _positive_weights(weights_column.numbers("weights"), kept)
    rows = None if kept is None else np.flatnonzero(kept)
    n = n_rows if rows is None else len(rows)
    if n == 0:
        raise errors.no_rows_left(_missing_counts(everything, chosen), n_rows)
    return ModelFrame(
        formula=formula,
        n=n,
        rows=rows,
        columns=columns,
        weights=_at(weights_column, rows, "weights"),
        offset=_at(offset_column, rows, "offset"),
        n_excluded=0 if chosen is None else n_rows - int(np.count_nonzero(chosen)),
        n_dropped=n_dropped,
        n_zero_weight=n_zero,
        table_index=table.index,
    )


def find_columns(table: Table, names: Iterable[Name], context: Mapping[str, Any]) -> dict[str, Column]:
    """The columns of a table by name; names of the context are left out."""
    columns: dict[str, Column] = {}
    for name in names:
        column = table.column(name.name)
        if column is not None:
            columns[name.name] = column
        elif name.name not in context:
            raise errors.column_unknown(name.name, table.names)
    return columns


def argument_column(table: Table, what: str, value: Any) -> Column | None:
    """The column an argument such as ``weights=`` stands for: a name, or one value per row of the table."""
    if value is None:
        return None
    if isinstance(value, str):
        column = table.column(value)
        if column is None:
            raise errors.column_unknown(value, table.names, f"{what}=")
        return column
    if not has_rows(value):
        raise errors.argument_type(what, value, "a column name or an array with one value per row")
    column = as_column(what, value)
    _check_length(table, f"{what}=", value, len(column))
    return column


def _check_length(table: Table, what: str, value: Any, length: int) -> None:
    if length != table.n_rows:
        raise errors.length_mismatch(what, length, table.n_rows)
    index: Any = getattr(value, "index", None)
    if table.index is not None and hasattr(index, "equals") and not index.equals(table.index):
        raise errors.index_mismatch(what)


def _at(column: Column | None, rows: Rows | None, role: str) -> Numbers | None:
    if column is None:
        return None
    values = column.numbers(role)
    return values if rows is None else values[rows]


def _missing_counts(columns: Mapping[str, Column], chosen: Mask | None) -> dict[str, int]:
    counts = {}
    for name, column in columns.items():
        if column.missing is not None:
            count = int(np.count_nonzero(column.missing if chosen is None else column.missing & chosen))
            if count:
                counts[name] = count
    return counts


def _complete_rows(
    columns: Mapping[str, Column], n_rows: int, chosen: Mask | None, na_action: str
) -> tuple[Mask | None, int]:
    """The chosen rows without missing values (None: every row of the table), and how many were dropped."""
    incomplete: Mask | None = None
    for column in columns.values():
        if column.missing is not None:
            incomplete = column.missing if incomplete is None else incomplete | column.missing
    if incomplete is None:
        return chosen, 0
    kept = ~incomplete if chosen is None else chosen & ~incomplete
    n_dropped = (n_rows if chosen is None else int(np.count_nonzero(chosen))) - int(np.count_nonzero(kept))
    if n_dropped and na_action == "fail":
        raise errors.missing_values(_missing_counts(columns, chosen), n_dropped)
    return (kept, n_dropped) if n_dropped else (chosen, 0)


def _positive_weights(weights: Numbers, kept: Mask | None) -> tuple[Mask | None, int]:
    """Check the weights of the rows kept, and leave out those of weight zero."""
    invalid = ~((weights >= 0) & (weights < np.inf))
    if kept is not None:
        invalid &= kept
    if invalid.any():
        row = int(np.argmax(invalid))
        raise errors.weight_invalid(row, float(weights[row]))
    zero = weights == 0 if kept is None else (weights == 0) & kept
    n_zero = int(np.count_nonzero(zero))
    if n_zero == 0:
        return kept, 0
    return (~zero if kept is None else kept & ~zero), n_zero


def _subset(table: Table, subset: Any) -> Mask:
    """The rows a subset argument chooses."""
    value = subset
    if isinstance(subset, str):
        value = _query(table, subset)
    elif callable(subset):
        try:
            value = subset(table.source)
        except Exception as reason:
            raise errors.subset_failed(getattr(subset, "__name__", "function"), reason) from reason
    if not has_rows(value):
        raise errors.subset_invalid(subset)
    column = as_column("subset", value)
    _check_length(table, "subset=", value, len(column))
    if column.kind != "boolean":
        raise errors.subset_invalid(subset)
    return np.asarray(column.numbers("subset") == 1.0)  # a missing value does not choose its row


def _query(table: Table, text: str) -> Any:
    """Evaluate a query such as ``"age > 5 and sex == 'F'"`` with pandas, on the columns it names."""
    import pandas

    frame = table.source if isinstance(table.source, pandas.DataFrame) else _named_columns(table, text)
    try:
        return frame.eval(text)
    except Exception as reason:
        raise errors.subset_failed(text, reason) from reason


def _named_columns(table: Table, text: str) -> Any:
    import pandas

    values = {}
    for name in table.names:
        column = table.column(name) if name in text else None
        if column is not None and column.kind in ("number", "boolean"):
            numbers = column.numbers("subset")
            values[name] = numbers == 1.0 if column.kind == "boolean" else numbers
        elif column is not None:
            categories = column.categories()
            labels = np.array([*categories.levels.labels.tolist(), None], dtype=object)
            values[name] = labels[categories.codes]
    return pandas.DataFrame(values)
