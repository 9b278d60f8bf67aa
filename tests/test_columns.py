"""What a column of any library is taken for: numbers by reference, or codes and levels."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from henderson.design import build_design
from henderson.errors import DataError
from small_table import columns, frame


def factor_column(values):
    """Levels and values of a column used as grouping factor."""
    factor = build_design("y ~ 1 + (1 | g)", {"y": columns()["y"], "g": values}).factors[0]
    assert factor.codes.dtype == np.int32
    return list(factor.levels), list(factor.labels[factor.codes])


@pytest.mark.parametrize(
    "values, levels",
    [
        (np.array([3, 1, 3, 1, 2, 2, 3, 1]), [1, 2, 3]),
        (np.array([3.0, 1.5, 3.0, 1.5, 2.0, 2.0, 3.0, 1.5]), [1.5, 2.0, 3.0]),
        (np.array(["c", "a", "c", "a", "b", "b", "c", "a"]), ["a", "b", "c"]),
        (np.array([True, False] * 4), [False, True]),
        (pd.array([3, 1, 3, 1, 2, 2, 3, 1], dtype="Int64"), [1, 2, 3]),
        (pd.array(["c", "a"] * 4, dtype="string"), ["a", "c"]),
        (pd.array([True, False] * 4, dtype="boolean"), [False, True]),
        (pd.Categorical(["c", "a"] * 4, categories=["c", "b", "a"]), ["c", "a"]),
        (pl.Series(["c", "a"] * 4, dtype=pl.Categorical), ["a", "c"]),
        (pl.Series(["c", "a"] * 4, dtype=pl.Enum(["c", "b", "a"])), ["c", "a"]),
        (pl.Series([True, False] * 4), [False, True]),
        (pl.Series([3, 1] * 4, dtype=pl.UInt8), [1, 3]),
        (pa.array(["c", "a"] * 4).dictionary_encode(), ["a", "c"]),
        (pa.chunked_array([["c", "a"] * 2, ["b", "a"] * 2]), ["a", "b", "c"]),
        (pa.array([True, False] * 4), [False, True]),
    ],
)
def test_grouping_factors_of_any_type_have_sorted_levels_or_their_own_order(values, levels):
    found, rows = factor_column(values)
    assert found == levels
    assert rows == list(values.to_pylist() if hasattr(values, "to_pylist") else values)


def test_dates_may_group():
    days = pd.to_datetime(["2024-01-02", "2024-01-01"] * 4)
    assert factor_column(days.to_series().reset_index(drop=True))[0] == sorted(set(days.to_numpy()))
    assert len(factor_column([datetime.date(2024, 1, 2), datetime.date(2024, 1, 1)] * 4)[0]) == 2
    assert len(factor_column(pl.Series([datetime.date(2024, 1, 2), datetime.date(2024, 1, 1)] * 4))[0]) == 2
    assert len(factor_column(pa.array([datetime.date(2024, 1, 2), datetime.date(2024, 1, 1)] * 4))[0]) == 2


@pytest.mark.parametrize(
    "values",
    [
        np.arange(8),
        np.arange(8, dtype=np.uint8),
        np.arange(8, dtype=np.float32),
        np.arange(16.0)[::2] / 2,
        np.array([0, 1, 2, 3, 4, 5, 6, 7], dtype=object),
        [0, 1, 2, 3, 4, 5, 6, 7.0],
        range(8),
        np.ma.masked_array(np.arange(8), mask=False),
        pd.Index(range(8)),
        pd.array(range(8), dtype="Int64"),
        pd.array(range(8), dtype="Float32"),
        pd.array(range(8), dtype="int16[pyarrow]"),
        pd.arrays.SparseArray(np.arange(8.0)),
        pl.Series(range(8)),
        pl.Series([str(i) for i in range(8)]).cast(pl.Decimal(10, 2)),
        pa.array(range(8), pa.int8()),
        pa.chunked_array([[0.0, 1.0], [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]]),
    ],
)
def test_numbers_of_any_type_become_contiguous_float64(values):
    column = build_design("y ~ x + (1 | g)", columns(x=values)).x[1]
    assert column.dtype == np.float64
    assert column.flags.c_contiguous
    np.testing.assert_array_equal(column, np.arange(8.0))


def test_float64_columns_are_passed_by_reference():
    data = columns()
    design = build_design("y ~ x + (x | g)", data)
    assert np.shares_memory(design.x[1], data["x"])
    assert np.shares_memory(design.y, data["y"])
    assert design.terms[0].columns[1] is design.x[1]
    table = pd.DataFrame({"y": data["y"], "g": data["g"]}).assign(x=data["x"])
    assert np.shares_memory(build_design("y ~ x + (1 | g)", table).x[1], table["x"].to_numpy())


@pytest.mark.parametrize(
    "values, words",
    [
        (np.array([1, "a", 2, 3, 4, 5, 6, 7], dtype=object), r"mixes types: int 1 and str 'a' \(row 1\)"),
        ([1, "a", 2, 3, 4, 5, 6, 7], "mixes types"),
        (np.array([[1], [2]] * 4, dtype=object)[:, 0].reshape(8, 1), "one dimension"),
        ([[1, 2]] * 4 + [[1]] * 4, "holds list values"),
        (pl.Series([[1, 2]] * 8), "holds list values"),
        (pa.array([[1, 2]] * 8), "holds list values"),
        (np.arange(8) * 1j, "complex values"),
        (pd.Series(np.arange(8) * 1j), "complex values"),
        (np.array([b"a"] * 8), "bytes values"),
        (np.array([b"a"] * 8, dtype=object), "bytes values"),
        (pd.date_range("2024-01-01", periods=8), "time values.*days since a start"),
        (pd.date_range("2024-01-01", periods=8, tz="UTC").to_series(), "time values"),
        (pl.Series([datetime.date(2024, 1, 1)] * 8), "time values"),
        (pa.array([datetime.date(2024, 1, 1)] * 8), "time values"),
        (np.array([object()] * 8), "object values"),
        (pl.Series([object()] * 8, dtype=pl.Object), "object values"),
        (np.zeros(8, dtype="V4"), "cannot use"),
    ],
)
def test_columns_that_no_model_can_use_are_named_with_their_type(values, words):
    with pytest.raises(DataError, match=f"Column 'x'.*{words}"):
        build_design("y ~ x + (1 | g)", columns(x=values))


def test_text_where_a_number_is_needed_is_shown():
    with pytest.raises(DataError, match=r"Column 'f' is used as a number \(the response\) but holds.*'b'"):
        build_design("f ~ x + (1 | g)", frame())


def test_masked_values_are_missing():
    masked = np.ma.masked_array(np.arange(8.0), mask=[True] + [False] * 7)
    assert build_design("y ~ x + (1 | g)", columns(x=masked)).n_dropped == 1


def test_nullable_booleans_with_missing_values_are_factors():
    for values in (pd.array([None, True, False, True] * 2, dtype="boolean"), [None, True, False, True] * 2):
        found = build_design("y ~ x + (1 | g)", columns(x=values))
        assert (found.n_dropped, found.x_names) == (2, ("(Intercept)", "xTRUE"))


def test_labels_that_do_not_compare_are_sorted_as_text():
    from henderson.levels import Levels

    levels = Levels(np.array(["b", 2, "a"], dtype=object))
    assert list(levels.labels[levels.order]) == [2, "a", "b"]
