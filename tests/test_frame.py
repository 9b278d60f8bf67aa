"""Which tables are accepted and which of their rows are used; what is said about unusable ones."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from henderson.design import build_design
from henderson.errors import DataError
from henderson.formula import Formula
from henderson.frame import model_frame
from small_table import FORMULA, TABLES, N, columns, frame


def same_design(one, other):
    np.testing.assert_array_equal(one.y, other.y)
    np.testing.assert_array_equal(one.x_matrix(), other.x_matrix())
    assert one.x_names == other.x_names
    for left, right in zip(one.factors, other.factors, strict=True):
        assert list(left.levels) == list(right.levels)
        np.testing.assert_array_equal(left.labels[left.codes], right.labels[right.codes])
    for left, right in zip(one.terms, other.terms, strict=True):
        assert (left.group, left.names) == (right.group, right.names)


# ------------------------------------------------------------------------------------------------------ kinds of table


@pytest.mark.parametrize("library", TABLES)
def test_every_table_library_gives_the_same_design(library):
    data = TABLES[library](columns(b=np.array([True, False] * 4), k=np.arange(8) % 3))
    formula = "y ~ x*f + b + factor(k) + (1 | g:k)"
    same_design(build_design(formula, data), build_design(formula, frame(b=[True, False] * 4, k=np.arange(8) % 3)))


@pytest.mark.parametrize("library", TABLES)
def test_missing_values_of_every_library_are_dropped(library):
    table = columns()
    as_lists = {name: values.tolist() for name, values in table.items()}
    as_lists["x"][1] = None
    as_lists["f"][2] = None
    as_lists["g"][3] = None
    data = TABLES[library](as_lists)
    design = build_design(FORMULA, data)
    assert design.n_dropped == 3
    assert list(design.index) == [0, 4, 5, 6, 7]
    same_design(design, build_design(FORMULA, frame().drop(index=[1, 2, 3])))


def test_other_tables_that_speak_arrow_are_accepted():
    class Foreign:
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.table(columns()).__arrow_c_stream__(requested_schema)

    same_design(build_design(FORMULA, Foreign()), build_design(FORMULA, frame()))


def test_narwhals_frames_and_structured_arrays_are_accepted():
    nw = pytest.importorskip("narwhals")
    same_design(build_design(FORMULA, nw.from_native(frame())), build_design(FORMULA, frame()))
    structured = frame().astype({"f": "U1", "g": "U1"}).to_records(index=False)
    same_design(build_design(FORMULA, np.array(structured)), build_design(FORMULA, frame()))


@pytest.mark.parametrize(
    "data, words",
    [
        (None, "No data"),
        ("sleepstudy", "must be a pandas DataFrame"),
        (np.zeros((3, 2)), "must be a pandas DataFrame"),
        (pl.LazyFrame(columns()), r"Call \.collect\(\)"),
        (frame().iloc[:0], "no rows"),
        ({}, "no rows"),
        ({"y": [1.0, 2.0], "x": [1.0]}, "different lengths: 'y' 2, 'x' 1"),
        ({"y": 1.0}, "one value per row"),
        ({"y": "abc"}, "one value per row"),
        ({"y": {1.0, 2.0}}, "one value per row"),
    ],
)
def test_what_is_no_table_is_named(data, words):
    with pytest.raises(DataError, match=words):
        build_design("y ~ x + (1 | g)", data)


def test_names_that_are_not_text_are_found_by_their_text():
    data = frame().rename(columns={"x": 7})
    design = build_design("y ~ `7` + (1 | g)", data)
    assert design.x_names == ("(Intercept)", "7")


def test_a_name_used_twice_is_an_error():
    data = frame()
    data.columns = ["y", "x", "x", "g"]
    with pytest.raises(DataError, match="several columns named 'x'"):
        build_design("y ~ x + (1 | g)", data)


def test_an_unknown_column_is_answered_with_the_nearest_name():
    with pytest.raises(DataError, match=r"Column 'Y' \(formula\) is not in the data. Did you mean 'y'\?.*y, x, f, g"):
        build_design("Y ~ x + (1 | g)", frame())
    with pytest.raises(DataError, match=r"Column 'weight' \(weights=\)"):
        build_design(FORMULA, frame(), weights="weight")


# ----------------------------------------------------------------------------------------------------------- rows used


@pytest.mark.parametrize("column", ["y", "x", "f", "g", "w", "o"])
def test_a_missing_value_in_any_used_column_drops_its_row(column):
    data = frame(w=np.ones(N), o=np.zeros(N), unused=[None] * N).astype({"f": object, "g": object})
    data.loc[3, column] = np.nan if column in "yxwo" else None
    design = build_design(FORMULA, data, weights="w", offset="o")
    assert (design.n, design.n_dropped) == (N - 1, 1)
    assert list(design.index) == [0, 1, 2, 4, 5, 6, 7]
    with pytest.raises(DataError, match=rf"1 row with missing values in '{column}.*\(1\).*na_action='fail'"):
        build_design(FORMULA, data, weights="w", offset="o", na_action="fail")


def test_missing_values_go_before_anything_is_estimated_from_the_column():
    data = frame()
    data.loc[[0, 7], "x"] = np.nan
    column = build_design("y ~ scale(x) + (1 | g)", data).x[1]
    assert len(column) == N - 2
    np.testing.assert_allclose([column.mean(), column.std(ddof=1)], [0, 1], atol=1e-14)


def test_a_row_missing_elsewhere_does_not_count_in_a_transformation():
    data = frame()
    data.loc[7, "y"] = np.nan
    column = build_design("y ~ center(x) + (1 | g)", data).x[1]
    np.testing.assert_allclose(column, np.arange(7.0) - 3.0)


def test_levels_of_dropped_rows_are_dropped():
    data = frame(f=pd.Categorical(list("abcabcab")), g=pd.Categorical(list("uvwuvwuv")))
    data.loc[[2, 5], "x"] = np.nan
    design = build_design(FORMULA, data)
    assert design.x_names == ("(Intercept)", "x", "fb")
    assert list(design.factors[0].levels) == ["u", "v"]
    assert design.factors[0].n_levels == 2


def test_the_index_of_the_table_is_kept():
    data = frame().set_index(pd.Index(list("ABCDEFGH"), name="id"))
    data.loc["B", "y"] = np.nan
    index = build_design(FORMULA, data).index
    assert list(index) == list("ACDEFGH")
    assert index.name == "id"
    assert list(build_design(FORMULA, columns()).index) == list(range(N))


def test_nothing_left_says_where_the_missing_values_are():
    with pytest.raises(DataError, match=r"None of the 8 rows can be used. Missing values: 'x' \(8\)"):
        build_design("y ~ x + (1 | g)", frame(x=[np.nan] * 8))
    with pytest.raises(DataError, match="exclude every row"):
        build_design("y ~ x + (1 | g)", frame(), subset=np.zeros(N, dtype=bool))


@pytest.mark.parametrize("library", TABLES)
@pytest.mark.parametrize(
    "subset",
    [
        "x > 1",
        "x > 1 and g != 'nobody'",
        lambda data: data["x"] > 1 if not isinstance(data, pa.Table) else np.arange(8) > 1,
        np.arange(N) > 1,
        [False, False] + [True] * 6,
        pl.Series([False, False] + [True] * 6),
    ],
)
def test_a_subset_may_be_a_query_a_function_or_a_mask(library, subset):
    design = build_design(FORMULA, TABLES[library](columns()), subset=subset)
    assert (design.n, design.n_excluded, design.n_dropped) == (6, 2, 0)
    assert list(design.index) == [2, 3, 4, 5, 6, 7]


def test_only_missing_values_within_the_subset_count():
    data = frame()
    data.loc[[0, 7], "x"] = np.nan
    design = build_design(FORMULA, data, subset=np.arange(N) > 1)
    assert (design.n, design.n_excluded, design.n_dropped) == (5, 2, 1)


@pytest.mark.parametrize(
    "subset, words",
    [
        ("x >", "cannot be evaluated"),
        (lambda data: data["nothing"] > 0, "'<lambda>' cannot be evaluated: KeyError"),
        ("nothing > 1", "cannot be evaluated"),
        ("3", "must be a boolean array"),
        (np.arange(N), "must be a boolean array"),
        (5, "must be a boolean array"),
        (np.ones(3, dtype=bool), "subset= has 3 values but the data have 8 rows"),
        (pd.Series([True] * N, index=range(1, N + 1)), "index differs"),
    ],
)
def test_a_subset_that_chooses_no_rows_in_particular_is_an_error(subset, words):
    with pytest.raises(DataError, match=words):
        build_design(FORMULA, frame(), subset=subset)


# ---------------------------------------------------------------------------------------------------- weights, offsets


@pytest.mark.parametrize(
    "weights", ["w", np.arange(1.0, 9), list(range(1, 9)), pd.Series(range(1, 9)), pl.Series(range(1, 9))]
)
def test_weights_are_a_column_or_an_array(weights):
    design = build_design(FORMULA, frame(w=np.arange(1, 9)), weights=weights)
    np.testing.assert_array_equal(design.weights, np.arange(1.0, 9))


def test_a_weight_of_zero_drops_its_row():
    weights = np.array([1.0, 0, 1, 1, 2, 2, 0, 1])
    design = build_design(FORMULA, frame(), weights=weights)
    assert (design.n, design.n_zero_weight, design.n_dropped) == (6, 2, 0)
    np.testing.assert_array_equal(design.weights, [1, 1, 1, 2, 2, 1])
    assert list(design.index) == [0, 2, 3, 4, 5, 7]


@pytest.mark.parametrize(
    "weights, words",
    [
        (np.r_[np.ones(7), -1], "weights is -1 in row 7"),
        (np.r_[np.ones(7), np.inf], "weights is inf in row 7"),
        (np.zeros(8), "exclude every row"),
        (np.ones(5), "weights= has 5 values but the data have 8 rows"),
        (2.0, "must be a column name or an array"),
        ("f", r"Column 'f' is used as a number \(weights\)"),
        (pd.Series(np.ones(8), index=range(8, 0, -1)), "index differs"),
    ],
)
def test_weights_that_cannot_be_variances_are_errors(weights, words):
    with pytest.raises(DataError, match=words):
        build_design(FORMULA, frame(), weights=weights)


def test_a_negative_weight_of_a_row_that_is_not_used_does_no_harm():
    assert build_design(FORMULA, frame(), weights=np.r_[-1, np.ones(7)], subset=np.arange(N) > 0).n == 7


def test_offsets_of_formula_and_argument_add_up():
    design = build_design("y ~ x + offset(2 * x) + offset(o) + (1 | g)", frame(o=np.ones(N)), offset=np.full(N, 5.0))
    np.testing.assert_array_equal(design.offset, 2 * np.arange(8.0) + 6)
    assert build_design(FORMULA, frame()).offset is None


def test_an_infinite_offset_is_an_error():
    with pytest.raises(DataError, match="offset= is inf in row 2"):
        build_design(FORMULA, frame(), offset=[0, 0, np.inf, 0, 0, 0, 0, 0])


def test_na_action_is_drop_or_fail():
    with pytest.raises(DataError, match=r"na_action is 'dorp'.*'drop', 'fail'. Did you mean 'drop'"):
        build_design(FORMULA, frame(), na_action="dorp")


def test_a_dot_leaves_out_weights_and_offset():
    data = frame(w=np.ones(N), o=np.ones(N))
    found = model_frame(Formula("y ~ . + (1 | g)"), data, weights="w", offset="o")
    assert set(found.columns) == {"y", "x", "f", "g"}


def test_a_name_used_twice_in_an_arrow_table_is_an_error():
    table = pa.table([[1.0, 2.0], [1.0, 2.0]], names=["y", "y"])
    with pytest.raises(DataError, match="several columns named 'y'"):
        build_design("y ~ 1 + (1 | g)", table)


@pytest.mark.parametrize("library", ["numpy", "polars"])
def test_a_table_library_that_the_data_do_not_use_is_not_loaded(library):
    unused = {"numpy": {"polars", "pyarrow", "formulaic"}, "polars": {"formulaic"}}[library]
    make = {"numpy": "import numpy as np; t = dict", "polars": "import polars as pl; t = pl.DataFrame"}[library]
    table = "t({'y': [1., 2., 4., 3.], 'x': [0., 1., 2., 4.], 'g': ['a', 'a', 'b', 'b']})"
    code = f"{make}\nfrom henderson.design import build_design\nbuild_design('y ~ x + I(x^2) + (1 | g)', {table})"
    code += "\nimport sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not unused & set(loaded) - ({"pyarrow"} if library == "numpy" else set())
