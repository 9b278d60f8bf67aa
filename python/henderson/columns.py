# ruff: noqa: D102 - the methods of a storage are documented once, in Column
"""One column of a table, whatever holds it: as float64 numbers, or as codes and levels.

Each storage (numpy, pandas extension types, polars, pyarrow) is one small class with the same four answers: `kind`,
`missing`, `numbers`, `categories`. Plain float64 columns are passed on by reference.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from henderson import errors
from henderson.levels import Categories, Codes, Levels, boolean_categories, factorize

Kind = Literal["number", "boolean", "category", "time"]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


FEW = 1000
"""Up to so many rows, looking each text up costs less than finding the different ones first."""


def is_all_finite(values: Numbers) -> bool:
    """Whether there is no NaN and no infinity; one addition per value in the usual case."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.add.reduce(values, axis=None))) or bool(np.isfinite(values).all())


class Column(ABC):
    """A named column of a table."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """How the column enters a model when its name stands alone."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _numbers(self) -> Numbers:
        """The values as contiguous float64, NaN where missing; only called for numbers and booleans."""

    @abstractmethod
    def _categories(self) -> Categories:
        """Codes and levels."""

    @cached_property
    def _cached_numbers(self) -> Numbers:
        return self._numbers()

    @cached_property
    def _cached_categories(self) -> Categories:
        return self._categories()

    def numbers(self, role: str) -> Numbers:
        """The values as contiguous float64, NaN where missing.

        Raises
        ------
        DataError
            The column holds something else; `role` says what it was wanted for.
        """
        if self.kind in ("number", "boolean"):
            return self._cached_numbers
        if self.kind == "time":
            raise errors.column_type(self.name, "time")
        labels = self._cached_categories.levels.labels
        raise errors.column_not_numeric(self.name, labels[0] if len(labels) else None, role)

    def categories(self) -> Categories:
        """The values as codes (-1 where missing) and levels."""
        return self._cached_categories

    def codes_among(self, _: Levels) -> Codes | None:
        """Codes of the values among levels that are known; None if some are not, or if it is no faster so."""
        return None

    @cached_property
    def missing(self) -> Mask | None:
        """Where values are missing, None when none is."""
        if self.kind in ("number", "boolean"):
            values = self._cached_numbers
            mask: Mask | None = None if is_all_finite(values) else np.isnan(values)
        else:
            codes = self._cached_categories.codes
            mask = codes < 0 if len(codes) and codes.min() < 0 else None
        return mask if mask is not None and mask.any() else None


class NumpyColumn(Column):
    """A numpy array, of Python objects or of any type that is not specific to tables."""

    def __init__(self, name: str, values: NDArray[Any]) -> None:
        super().__init__(name)
        if values.ndim != 1:
            raise errors.column_shape(name, values.shape)
        self.values = values
        self._kind = _OF_NUMPY.get(values.dtype.kind) or self._kind_of_objects()

    @property
    def kind(self) -> Kind:
        return self._kind

    def __len__(self) -> int:
        return len(self.values)

    def _kind_of_objects(self) -> Kind:
        if self.values.dtype.kind != "O":
            unusable = {"c": "complex", "S": "bytes"}.get(self.values.dtype.kind, str(self.values.dtype))
            raise errors.column_type(self.name, unusable)
        from pandas.api.types import infer_dtype

        inferred = infer_dtype(self.values, skipna=True)
        if inferred in _OF_OBJECTS:
            return _OF_OBJECTS[inferred]
        if inferred in ("bytes", "complex"):
            raise errors.column_type(self.name, inferred)
        raise self._mixture()

    def _mixture(self) -> errors.DataError:
        from pandas import isna

        first: Any = None
        for row, value in enumerate(self.values.tolist()):
            if isinstance(value, list | tuple | dict | set | np.ndarray):
                return errors.column_type(self.name, "list")
            if isna(value):
                continue
            if first is None:
                first = value
            elif type(value) is not type(first):
                return errors.column_mixed(self.name, first, value, row)
        return errors.column_type(self.name, type(first).__name__)

    def codes_among(self, levels: Levels) -> Codes | None:
        is_worse = self.kind == "boolean" or (self.kind == "category" and len(self) > FEW)
        return None if is_worse else levels.find_all(self.values)

    @cached_property
    def missing(self) -> Mask | None:
        return None if self.values.dtype.kind in "iub" else super().missing  # without converting them

    def _numbers(self) -> Numbers:
        if self.values.dtype.kind != "O":
            return np.ascontiguousarray(self.values, dtype=np.float64)
        from pandas import isna

        values = np.full(len(self), np.nan)
        present = ~isna(self.values)
        values[present] = self.values[present].astype(np.float64)
        return values

    def _categories(self) -> Categories:
        if self.values.dtype.kind == "b":
            return boolean_categories(self.values)
        return factorize(self.values)


_OF_NUMPY: dict[str, Kind] = {"f": "number", "i": "number", "u": "number", "b": "boolean"}
_OF_NUMPY |= {"U": "category", "T": "category", "M": "time", "m": "time"}
_OF_OBJECTS: dict[str, Kind] = {"string": "category", "boolean": "boolean", "empty": "number"}
_OF_OBJECTS |= {"integer": "number", "floating": "number", "mixed-integer-float": "number", "decimal": "number"}
_OF_OBJECTS |= {"integer-na": "number", "categorical": "category", "interval": "time", "period": "time", "time": "time"}
_OF_OBJECTS |= {"datetime": "time", "datetime64": "time", "date": "time", "timedelta": "time", "timedelta64": "time"}


class PandasColumn(Column):
    """A pandas extension array: categorical, string, nullable number, time with zone."""

    def __init__(self, name: str, values: Any) -> None:
        super().__init__(name)
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def kind(self) -> Kind:
        from pandas import CategoricalDtype, StringDtype
        from pandas.api import types

        dtype = self.values.dtype
        if isinstance(dtype, CategoricalDtype | StringDtype):
            return "category"
        if types.is_bool_dtype(dtype):
            return "boolean"
        if types.is_complex_dtype(dtype):
            raise errors.column_type(self.name, "complex")
        return "number" if types.is_numeric_dtype(dtype) else "time"

    def _numbers(self) -> Numbers:
        return np.ascontiguousarray(self.values.to_numpy(dtype=np.float64, na_value=np.nan))

    def codes_among(self, levels: Levels) -> Codes | None:
        is_text = self.kind == "category" and not hasattr(self.values, "categories") and len(self) <= FEW
        return levels.find_all(self.values.to_numpy(dtype=object)) if is_text else None

    def _categories(self) -> Categories:
        if hasattr(self.values, "categories"):
            levels = Levels(self.values.categories, has_own_order=True, is_ordered=bool(self.values.ordered))
            return Categories(self.values.codes.astype(np.int32), levels)
        if self.kind == "boolean":
            missing = np.asarray(self.values.isna())
            return boolean_categories(self.values.to_numpy(dtype=bool, na_value=False), missing)
        return factorize(self.values)


class PolarsColumn(Column):
    """A polars Series."""

    def __init__(self, name: str, values: Any) -> None:
        super().__init__(name)
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def kind(self) -> Kind:
        import polars

        dtype = self.values.dtype
        if dtype.is_numeric() or dtype == polars.Null:
            return "number"
        if dtype == polars.Boolean:
            return "boolean"
        if dtype in (polars.String, polars.Categorical, polars.Enum):
            return "category"
        if dtype.is_temporal():
            return "time"
        if dtype == polars.Object:
            raise errors.column_type(self.name, "object")
        raise errors.column_type(self.name, "list" if dtype.is_nested() else str(dtype).lower())

    def _numbers(self) -> Numbers:
        import polars

        return np.ascontiguousarray(self.values.cast(polars.Float64).to_numpy())

    def _categories(self) -> Categories:
        import polars

        values = self.values
        if self.kind == "boolean":
            return boolean_categories(values.fill_null(False).to_numpy(), values.is_null().to_numpy())
        if values.dtype == polars.Enum:
            labels, is_own = values.dtype.categories.to_numpy(), True
        elif self.kind == "category":  # strings, and Categorical whose order is that of appearance somewhere else
            present = values.cast(polars.String)
            uniques = present.drop_nulls().unique(maintain_order=True)
            labels, is_own = uniques.to_numpy(), False
            values = present.cast(polars.Enum(uniques))
        else:
            return factorize(values.to_numpy())
        codes = values.to_physical().cast(polars.Int32).fill_null(-1).to_numpy()
        return Categories(codes, Levels(labels, has_own_order=is_own), all_used=not is_own)


class ArrowColumn(Column):
    """A pyarrow array, chunked or not."""

    def __init__(self, name: str, values: Any) -> None:
        super().__init__(name)
        import pyarrow

        self.values = values if isinstance(values, pyarrow.ChunkedArray) else pyarrow.chunked_array([values])

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def kind(self) -> Kind:
        from pyarrow import types

        type_ = self.values.type
        if types.is_boolean(type_):
            return "boolean"
        if types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_) or types.is_null(type_):
            return "number"
        if types.is_dictionary(type_) or any(test(type_) for test in _arrow_texts()):
            return "category"
        if types.is_temporal(type_):
            return "time"
        raise errors.column_type(self.name, "list" if types.is_nested(type_) else str(type_))

    def _numbers(self) -> Numbers:
        import pyarrow

        values = self.values
        if self.kind == "boolean":
            values = values.cast(pyarrow.uint8())
        return np.ascontiguousarray(values.cast(pyarrow.float64()).to_numpy())

    def _categories(self) -> Categories:
        import pyarrow

        if self.kind == "boolean":
            missing = self.values.is_null().to_numpy()
            return boolean_categories(self.values.fill_null(False).to_numpy(), missing)
        if self.kind == "time":
            return factorize(self.values.to_pandas().array)
        is_dictionary = pyarrow.types.is_dictionary(self.values.type)
        chunks = self.values if is_dictionary else self.values.dictionary_encode()
        encoded = pyarrow.concat_arrays(chunks.unify_dictionaries().chunks)
        codes = encoded.indices.cast(pyarrow.int32()).fill_null(-1).to_numpy(zero_copy_only=False)
        # an unordered dictionary is an encoding: its order is that of appearance, often in another file
        is_ordered = is_dictionary and bool(self.values.type.ordered)
        return Categories(codes, Levels(encoded.dictionary, is_ordered, is_ordered), all_used=not is_dictionary)


def _arrow_texts() -> tuple[Any, ...]:
    from pyarrow import types

    return (types.is_string, types.is_large_string, types.is_string_view)


def has_rows(values: Any) -> bool:
    """Whether an argument holds several values, whatever their type."""
    is_array = hasattr(values, "__len__") and not isinstance(values, str | bytes | Mapping | Set)
    return is_array and getattr(values, "ndim", 1) > 0


def as_column(name: str, values: Any) -> Column:
    """The column of any array-like: numpy, list, pandas, polars or pyarrow."""
    if isinstance(values, np.ndarray):
        if isinstance(values, np.ma.MaskedArray):
            masked = np.ma.getmaskarray(values)
            values = np.asarray(values.data, dtype=object)
            values = np.where(masked, np.array(None, dtype=object), values)
        return NumpyColumn(name, values)
    pandas, polars, pyarrow = (sys.modules.get(module) for module in ("pandas", "polars", "pyarrow"))
    if pandas is not None and isinstance(values, pandas.Series | pandas.Index | pandas.api.extensions.ExtensionArray):
        return from_pandas(name, values)
    if polars is not None and isinstance(values, polars.Series):
        return PolarsColumn(name, values)
    if pyarrow is not None and isinstance(values, pyarrow.Array | pyarrow.ChunkedArray):
        return ArrowColumn(name, values)
    return NumpyColumn(name, _as_array(name, values))


def from_pandas(name: str, values: Any) -> Column:
    """The column of a pandas Series, Index or array."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return NumpyColumn(name, values.to_numpy())
    array = getattr(values, "array", values)
    if type(dtype).__name__ == "ArrowDtype":
        import pyarrow

        return ArrowColumn(name, pyarrow.chunked_array(array.__arrow_array__()))
    if type(dtype).__name__ == "SparseDtype":
        return NumpyColumn(name, np.asarray(array))
    return PandasColumn(name, array)


def _as_array(name: str, values: Any) -> NDArray[Any]:
    if not has_rows(values):
        raise errors.argument_type(f"Column '{name}'", values, "an array with one value per row")
    try:
        array = np.asarray(values)
    except ValueError:  # ragged
        raise errors.column_type(name, "list") from None
    if array.dtype.kind in "USO" and array.ndim == 1:  # keep what numpy would turn into text
        array = np.empty(len(values), dtype=object)
        array[:] = list(values)
    return array
