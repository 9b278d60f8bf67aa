"""Columns of X and Z, their names, grouping factors: against R, against formulaic, and by the laws they follow."""

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from henderson.design import build_design
from henderson.errors import DataError, FormulaError
from reference_table import DATA, REFERENCE, N, design, span

# ------------------------------------------------------------------------------------------------------ columns of X


@pytest.mark.parametrize("case", REFERENCE["matrices"], ids=lambda case: case["formula"])
def test_columns_and_names_are_those_of_model_matrix_in_r(case):
    found = design(case["formula"])
    assert list(found.x_names) == case["names"]
    rows = np.arange(1, N + 1)
    sums = found.x_matrix().T @ np.column_stack([np.ones(N), rows, np.sin(rows)])
    expected = np.array(case["sums"], dtype=float).reshape(len(case["names"]), 3)
    np.testing.assert_allclose(sums, expected, rtol=1e-9, atol=1e-9)


VARIABLES = st.sampled_from(["a", "b", "c", "x", "z", "o", "l"])
TERMS = st.lists(VARIABLES, min_size=1, max_size=3, unique=True).map(":".join)


@given(st.lists(TERMS, min_size=1, max_size=5, unique=True), st.booleans())
def test_any_terms_span_the_same_space_as_formulaic_gives_them(terms, has_intercept):
    from formulaic import model_matrix

    text = ("1 + " if has_intercept else "0 + ") + " + ".join(terms)
    table = DATA.astype({"l": "category"})
    theirs = model_matrix(text, table, output="numpy")
    np.testing.assert_allclose(span(design(text).x_matrix()), span(np.asarray(theirs)), atol=1e-8)


@given(st.lists(TERMS, min_size=1, max_size=4, unique=True))
def test_names_of_columns_are_unique_and_one_per_column(terms):
    found = design(" + ".join(terms))
    assert len(set(found.x_names)) == len(found.x_names) == len(found.x)


def test_a_factor_after_a_numeric_interaction_keeps_its_main_effect():
    """R loses the effect of a here: its rule takes a:x as containing a."""
    found = design("a:x + a:b")
    assert np.linalg.matrix_rank(found.x_matrix()) == 9
    assert found.x_names[4:] == ("aA:bx", "aB:bx", "aC:bx", "aA:by", "aB:by", "aC:by")


def test_a_constant_column_is_none():
    found = design("x", "(1 + x | g)")
    assert found.x[0] is None
    assert found.terms[0].columns == (None, found.x[1])
    np.testing.assert_array_equal(found.x_matrix()[:, 0], 1.0)
    assert found.x_matrix().flags.f_contiguous


def test_no_fixed_effects_at_all():
    found = design("0")
    assert (found.x, found.x_names, found.x_matrix().shape) == ([], (), (N, 0))


def test_booleans_are_factors_as_in_r():
    """pandas and polars disagree with each other on booleans; here they are FALSE and TRUE."""
    for data in (DATA, pl.from_pandas(DATA.drop(columns="o")), pa.table(DATA.drop(columns="o"))):
        found = design("l", data=data)
        assert found.x_names == ("(Intercept)", "lTRUE")
        np.testing.assert_array_equal(found.x[1], DATA["l"].to_numpy(dtype=float))


def test_strings_and_unordered_polars_categoricals_have_sorted_levels():
    values = ["b", "c", "a"] * (N // 3)
    for column in (np.array(values), pl.Series(values), pl.Series(values, dtype=pl.Categorical), pa.array(values)):
        data = {"y": DATA["y"].to_numpy(), "g": DATA["g"].to_numpy(), "f": column}
        assert design("f", data=data).x_names == ("(Intercept)", "fb", "fc")


def test_categoricals_with_an_order_of_their_own_keep_it():
    values = ["b", "c", "a"] * (N // 3)
    own = ["c", "unused", "a", "b"]
    for column in (pd.Categorical(values, own), pl.Series(values, dtype=pl.Enum(own))):
        data = {"y": DATA["y"].to_numpy(), "g": DATA["g"].to_numpy(), "f": column}
        assert design("f", data=data).x_names == ("(Intercept)", "fa", "fb")


def test_polynomial_contrasts_are_orthonormal_whatever_the_number_of_levels():
    from henderson.contrasts import Contrast, contrast_matrix

    for count in (2, 5, 12, 60):
        matrix, names = contrast_matrix(Contrast("poly"), "f", range(count))
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(count - 1), atol=1e-12)
        np.testing.assert_allclose(matrix.sum(axis=0), 0, atol=1e-12)
        assert (matrix[-1] > 0).all()
        assert names[:4] == (".L", ".Q", ".C", "^4")[: count - 1]


@pytest.mark.parametrize(
    "contrast, names, matrix",
    [
        ("treatment", "BC", [[0, 0], [1, 0], [0, 1]]),
        ("contr.treatment", "BC", [[0, 0], [1, 0], [0, 1]]),
        (("treatment", "B"), "AC", [[1, 0], [0, 0], [0, 1]]),
        ("sas", "AB", [[1, 0], [0, 1], [0, 0]]),
        ("sum", "12", [[1, 0], [0, 1], [-1, -1]]),
        ("helmert", "12", [[-1, -1], [1, -1], [0, 2]]),
        ("poly", [".L", ".Q"], np.array([[-1, 1], [0, -2], [1, 1]]) / np.sqrt([2, 6])),
        ("diff", ["B-A", "C-B"], np.array([[-2, -1], [1, -1], [1, 2]]) / 3),
        (np.array([[1.0], [0], [-1]]), "1", [[1], [0], [-1]]),
        (np.array([1.0, 0, -1]), "1", [[1], [0], [-1]]),
        (pd.DataFrame({"late": [1, 0, 0]}, index=["C", "B", "A"]), ["late"], [[0], [0], [1]]),
    ],
)
def test_contrasts_can_be_chosen(contrast, names, matrix):
    found = design("a", contrasts={"a": contrast})
    assert found.x_names == ("(Intercept)", *(f"a{name}" for name in names))
    codes = np.searchsorted(["A", "B", "C"], DATA["a"].to_numpy(dtype=str))
    np.testing.assert_allclose(found.x_matrix()[:, 1:], np.array(matrix, dtype=float)[codes], atol=1e-15)


@pytest.mark.parametrize(
    "written",
    ["C(a, contr.treatment('B'))", "C(a, Treatment('B'))", "C(a, contr.treatment(base = 'B'))", "relevel(a, 'B')"],
)
def test_a_base_level_can_be_chosen_in_the_formula(written):
    np.testing.assert_array_equal(
        design(written).x_matrix(), design("a", contrasts={"a": ("treatment", "B")}).x_matrix()
    )


def test_contrasts_of_the_context_can_be_used_in_the_formula():
    found = design("C(a, mine)", context={"mine": [[1.0], [0], [-1]]})
    assert found.x_names == ("(Intercept)", "C(a, mine)1")


@pytest.mark.parametrize(
    "contrasts, words",
    [
        ("sum", "contrasts is 'sum'.*must be a dict"),
        ({"a": "summ"}, "Unknown contrasts 'summ' for 'a'. Did you mean 'sum'"),
        ({"a": ("sum", "B")}, "Unknown contrasts"),
        ({"a": 3}, "Unknown contrasts"),
        ({"a": object()}, "Unknown contrasts"),
        ({"aa": "sum"}, "names 'aa', which is not a categorical variable.*Did you mean 'a'"),
        ({"x": "sum"}, "names 'x', which is not a categorical variable"),
        ({"a": ("treatment", "D")}, "'a' has no level 'D'.*Levels: A, B, C"),
        ({"a": np.eye(2)}, r"shape \(2, 2\); it needs 3 rows"),
        ({"a": np.eye(3)}, r"shape \(3, 3\)"),
        ({"a": np.ones((3, 1))}, "linearly independent"),
        ({"a": [[1, np.nan]] * 3}, "finite"),
    ],
)
def test_contrasts_that_make_no_sense_are_errors(contrasts, words):
    with pytest.raises(DataError, match=words):
        design("a + x", contrasts=contrasts)


@pytest.mark.parametrize(
    "written", ["C(a, contr.treatment('B', 2))", "relevel(a)", "factor(a, labels = 'q')", "C(1:2, x = a)"]
)
def test_factor_calls_that_make_no_sense_are_errors(written):
    with pytest.raises((FormulaError, DataError)):
        design(written)


# ------------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("column", ["x", "y"])
def test_an_infinite_value_is_named_with_its_row(column):
    data = DATA.assign(**{column: DATA[column].where(DATA.index != 7, -np.inf)})
    with pytest.raises(DataError, match=f"Column '{column}' is -inf in row 7"):
        design("x", data=data)


def test_the_row_of_an_error_is_that_of_the_table():
    data = DATA.assign(x=DATA["x"].where(DATA.index != 0).where(DATA.index != 7, np.inf))
    with pytest.raises(DataError, match="row 7"):
        design("x", data=data)


def test_a_constant_response_is_an_error():
    with pytest.raises(DataError, match="The response y is 3 in every row"):
        design(data=DATA.assign(y=3.0))


def test_a_factor_with_one_level_is_an_error():
    with pytest.raises(DataError, match="'a' is 'A' in every row used"):
        design("a", subset=DATA["a"] == "A")


# ------------------------------------------------------------------------------------------- random terms and factors


def test_terms_are_sorted_by_decreasing_number_of_levels_and_keep_their_order_otherwise():
    found = design("1", "(1 | b) + (x || c) + (1 | g) + (z | c)")
    assert [(term.label, term.names) for term in found.terms] == [
        ("g", ("(Intercept)",)),
        ("c", ("(Intercept)",)),
        ("c.1", ("x",)),
        ("c.2", ("(Intercept)", "z")),
        ("b", ("(Intercept)",)),
    ]
    assert [found.factors[term.factor].name for term in found.terms] == ["g", "c", "c", "c", "b"]
    assert len(found.factors) == 3


def test_double_bars_are_diagonal_over_the_columns_of_a_factor():
    found = design("1", "(0 + a || g)")
    assert [term.names for term in found.terms] == [("aA",), ("aB",), ("aC",)]
    assert [term.names for term in design("1", "(a || g)").terms] == [("(Intercept)",), ("aB",), ("aC",)]


def test_the_left_side_of_a_bar_is_coded_by_itself():
    """Marginality holds within each side: `0 + a` left of a bar has all levels whatever the fixed effects are."""
    found = design("a", "(0 + a | g)")
    assert found.x_names == ("(Intercept)", "aB", "aC")
    assert found.terms[0].names == ("aA", "aB", "aC")
    np.testing.assert_array_equal(found.z_matrix(0).sum(axis=1), 1.0)


def test_interactions_group_by_the_combinations_that_occur():
    found = design("1", "(1 | a:k)").factors[0]
    pairs = sorted(set(zip(DATA["a"], DATA["k"], strict=True)))
    assert list(found.levels) == [f"{a}:{k}" for a, k in pairs]
    assert list(found.labels[found.codes]) == [f"{a}:{k}" for a, k in zip(DATA["a"], DATA["k"], strict=True)]


def test_nesting_is_printed_as_lme4_prints_it():
    found = design("1", "(1 | c/b/a)")
    assert [term.group for term in found.terms] == ["a:(b:c)", "b:c", "c"]
    assert found.factors[1].levels[0] == "x:p"
    assert all(level.count(":") == 2 for level in found.factors[0].levels)


def test_combinations_are_sorted_by_the_order_of_each_variable():
    data = DATA.assign(k=DATA["k"] * 9, c=pd.Categorical(DATA["c"], ["r", "p", "q"]))
    levels = design("1", "(1 | c:k)", data).factors[0].levels
    assert list(levels) == [f"{c}:{k}" for c in "rpq" for k in (9, 18, 27) if f"{c}:{k}" in set(levels)]


def test_a_grouping_factor_may_be_computed():
    found = design("1", "(1 | factor(k)) + (1 | I(x > 0)) + (1 | b:factor(k))")
    assert {factor.name for factor in found.factors} == {"factor(k)", "I(x > 0)", "b:factor(k)"}
    assert [list(f.levels) for f in found.factors if f.name == "I(x > 0)"] == [[False, True]]


@given(st.lists(st.integers(0, 6), min_size=12, max_size=40), st.randoms(use_true_random=False))
def test_codes_and_levels_reproduce_the_column_whatever_the_order_of_rows(values, random):
    assume(1 < len(set(values)) < len(values))
    order = list(range(len(values)))
    random.shuffle(order)
    labels = np.array([f"s{value}" for value in values])
    y = np.arange(len(values), dtype=float)
    one = build_design("y ~ 1 + (1 | g)", {"y": y, "g": labels}).factors[0]
    other = build_design("y ~ 1 + (1 | g)", {"y": y[order], "g": labels[order]}).factors[0]
    assert list(one.levels) == list(other.levels) == sorted(set(labels))
    np.testing.assert_array_equal(one.labels[one.codes], labels)
    np.testing.assert_array_equal(other.labels[other.codes], labels[order])
    np.testing.assert_array_equal(one.labels[one.order], one.levels)


@pytest.mark.parametrize(
    "random, words",
    [
        ("(1 | one)", r"Grouping factor 'one' has only one level \('only'\)"),
        ("(1 | each)", "Grouping factor 'each' has 36 levels for 36 rows"),
        ("(a*c | half)", r"Random term \(a \* c \| half\) has 162 effects for 36 rows"),
        ("(1 | list)", "list"),
    ],
)
def test_groups_that_no_variance_can_be_estimated_from_are_errors(random, words):
    data = DATA.assign(one="only", each=range(N), half=np.arange(N) // 2, list=[[1]] * N)
    with pytest.raises(DataError, match=words):
        design("1", random, data)


# ------------------------------------------------------------------------------------------------------------ the value


def test_a_design_pickles_and_copies():
    found = design("a*x + poly(z, 2) + scale(x)", "(x || a/k)")
    for twin in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        np.testing.assert_array_equal(twin.x_matrix(), found.x_matrix())
        assert twin.x_names == found.x_names
        assert list(twin.factors[0].levels) == list(found.factors[0].levels)
        assert list(twin.index) == list(found.index)


def test_weights_offset_and_names_travel_with_the_design():
    found = design("x + offset(z)", weights=np.arange(1.0, N + 1), offset="x", data_name="table")
    np.testing.assert_array_equal(found.weights, np.arange(1.0, N + 1))
    np.testing.assert_allclose(found.offset, DATA["z"] + DATA["x"])
    assert (found.data_name, found.n, str(found.formula)) == ("table", N, "y ~ x + offset(z) + (1 | g)")


def test_only_what_the_formula_uses_of_the_context_is_kept():
    found = design("I(x - shift) + {z * shift}", context={"shift": 2.0, "other": lambda: None, "module": np})
    assert found.recipe.context == {"shift": 2.0}
    np.testing.assert_allclose(pickle.loads(pickle.dumps(found)).x[2], DATA["z"] * 2)
