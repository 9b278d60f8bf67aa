"""X as named columns: any table, or an array whose columns are called x0, x1, ... as in scikit-learn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight

from henderson import errors, errors_fit, errors_learn
from henderson.columns import Column, NumpyColumn, as_column
from henderson.tables import PandasTable, Table, open_table


class ColumnsTable(Table):
    """Columns under names of our choice, row labels if there are any; columns may be functions that read them."""

    def __init__(self, columns: Mapping[str, Column | Callable[[], Column]], n_rows: int, index: Any = None) -> None:
        super().__init__(dict(columns))
        self._n_rows, self._index = n_rows, index

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self._n_rows

    @property
    def names(self) -> list[str]:
        """Column names, in order."""
        return list(self.source)

    def column(self, name: str) -> Column | None:
        """The column of that name, None if there is none."""
        column = self.source.get(name)
        if callable(column):
            column = self.source[name] = column()
        return column  # type: ignore[no-any-return]

    @property
    def index(self) -> Any:
        """The row labels as a pandas Index, None for plain row numbers."""
        return self._index

    def with_columns(self, columns: dict[str, Column]) -> ColumnsTable:
        """The same rows with more columns, or others of the same name."""
        return ColumnsTable(self.source | columns, self.n_rows, self._index)


def is_frame(X: Any) -> bool:
    """Whether X is a table (pandas, polars, pyarrow) and not an array."""
    return is_pandas(X) or ((hasattr(X, "columns") or hasattr(X, "column_names")) and hasattr(X, "shape"))


def frame_names(X: Any) -> list[Any] | None:
    """Names of the columns of a table, None for an array."""
    if not is_frame(X):
        return None
    return list(X.column_names if hasattr(X, "column_names") else X.columns)


def read_columns(X: Any, names: Iterable[str] | None = None) -> ColumnsTable:
    """The columns of X.

    Parameters
    ----------
    X
        A table or an array with one dimension per row and column.
    names
        What to call them, those of the fit; None for their own names if all are text, otherwise x0, x1, ...

    Raises
    ------
    DataError
        Two columns have one name. Columns that cannot be used are found when they are read.
    """
    own = frame_names(X)
    if own is None:
        return _array_columns(X, names)
    given = column_names(X) if names is None else list(names)
    _require_distinct(given)
    columns = {name: partial(_table_column, X, i, name) for i, name in enumerate(given)}
    table = open_table(X)
    return ColumnsTable(columns, table.n_rows, table.index if isinstance(table, PandasTable) else None)


def column_names(X: Any) -> list[str]:
    """What the columns of a table or a matrix are called in formulas."""
    own = frame_names(X)
    return own if own and all(isinstance(name, str) for name in own) else default_names(X.shape[1])


def _require_distinct(names: list[Any]) -> None:
    repeated = [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else []
    if repeated:
        raise errors.column_repeated(str(repeated[0]))


def default_names(count: int) -> list[str]:
    """What scikit-learn calls columns without names."""
    return [f"x{i}" for i in range(count)]


def _array_columns(X: Any, names: Iterable[str] | None) -> ColumnsTable:
    matrix = any_array(X)
    given = default_names(matrix.shape[1]) if names is None else list(names)
    columns = {name: partial(array_column, name, matrix[:, i]) for i, name in enumerate(given)}
    return ColumnsTable(columns, len(matrix))


def _table_column(X: Any, position: int, name: str) -> Column:
    return as_column(name, raw_column(X, position))


def any_array(X: Any) -> Any:
    """X as a matrix of any type, with missing values or without."""
    kind = "ensure_all_finite" if _sklearn_version() >= (1, 6) else "force_all_finite"
    return check_array(X, dtype=None, **{kind: False})


def array_column(name: str, values: Any) -> Column:
    """A numpy array (n,) as a column; of objects, by what they are."""
    if values.dtype.kind == "O":
        import pandas

        return as_column(name, pandas.Series(values).infer_objects())
    return NumpyColumn(name, np.ascontiguousarray(values))


def raw_column(X: Any, position: int) -> Any:
    """A column of a table or of an array as it is."""
    if isinstance(X, np.ndarray):
        return X[:, position]
    if is_pandas(X):
        return X.iloc[:, position]
    return X.to_series(position) if hasattr(X, "to_series") else X.column(position)


def take_rows(X: Any, rows: Any) -> Any:
    """Some rows of a table or an array, by position."""
    if is_pandas(X):
        return X.iloc[rows]
    return X.take(rows) if hasattr(X, "column_names") else X[rows]


def check_weights(sample_weight: Any, rows: int) -> NDArray[np.float64]:
    """Weights of rows, (n,), of which some may be zero.

    Raises
    ------
    DataError, ValueError
        They are not finite numbers >= 0, one for each row, or all zero.
    """
    try:
        found = _check_sample_weight(sample_weight, np.empty((rows, 1)), dtype=np.float64)
    except ValueError as problem:
        if "convert" in str(problem):
            raise errors_fit.not_numeric("sample_weight", problem) from None
        raise
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        raise errors.weight_invalid(row, float(found[row]))
    return np.asarray(found)


def is_pandas(X: Any) -> bool:
    """Whether X is a pandas DataFrame."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(X, pandas.DataFrame)


def _sklearn_version() -> tuple[int, int]:
    import sklearn

    major, minor = sklearn.__version__.split(".")[:2]
    return int(major), int(minor)


def check_features(estimator: Any, X: Any, *, reset: bool) -> None:
    """Record the number and the names of the columns of X, or compare them with those of the fit."""
    _require_distinct(frame_names(X) or [])
    if _sklearn_version() >= (1, 6):
        from sklearn.utils.validation import validate_data

        validate_data(estimator, X=X, reset=reset, skip_check_array=True)
    else:
        estimator._check_feature_names(X, reset=reset)
        estimator._check_n_features(X, reset=reset)


def positions(what: str, value: Any, names: list[Any] | None, count: int) -> list[int]:
    """Positions of the columns of X that an argument names: one or a list, by name or position.

    Raises
    ------
    DataError
        X has no such columns.
    """
    if isinstance(value, str | int | np.integer) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, list | tuple | np.ndarray) and not hasattr(value, "tolist"):
        raise errors_learn.features_invalid(what, value)
    found: list[int] = []
    for each in value:
        if isinstance(each, str):
            if names is None or each not in names:
                raise errors_learn.feature_unknown(what, each, names and [str(name) for name in names])
            position = names.index(each)
        elif isinstance(each, int | np.integer) and not isinstance(each, bool):
            if not -count <= each < count:
                raise errors_learn.feature_position(what, int(each), count)
            position = int(each) % count
        else:
            raise errors_learn.features_invalid(what, value)
        if position in found:
            raise errors_learn.feature_repeated(what, str(each))
        found.append(position)
    return found


def require_complete(table: ColumnsTable, names: Iterable[str], what: str, advice: str) -> None:
    """Refuse missing and infinite values."""
    for name in names:
        column = table.column(name)
        assert column is not None
        if column.missing is not None:
            row, count = int(np.argmax(column.missing)), int(np.count_nonzero(column.missing))
            raise errors_learn.missing_value(what.format(name), row, count, advice)
        if column.kind == "number":
            infinite = np.isinf(column.numbers(name))
            if infinite.any():
                raise errors_learn.infinite_value(what.format(name), int(np.argmax(infinite)))
