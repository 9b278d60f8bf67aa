"""Columns at new rows: the same transformations and codings, with what they learned from the rows of the fit."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from henderson.design import build_design
from henderson.errors import DataError
from henderson.newdata import design_for

N = 48
RNG = np.random.default_rng(5)
DATA = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "x": RNG.normal(size=N),
        "z": RNG.uniform(1, 4, N),
        "a": RNG.choice(list("ABC"), N),
        "o": pd.Categorical(RNG.choice(["lo", "mid", "hi"], N), ["lo", "mid", "hi"], ordered=True),
        "l": RNG.choice([True, False], N),
        "k": RNG.integers(1, 4, N),
        "g": RNG.choice(list("uvwxyz"), N),
    }
)
FIXED = [
    "x",
    "a*x",
    "0 + a + l",
    "o:x",
    "scale(x) + center(z)",
    "scale(x, center = FALSE)",
    "I(x - mean(x))",
    "I(x / np.std(x))",
    "log(z) + I(x^2)",
    "poly(x, 2)",
    "poly(x, 2):a",
    "bs(z, df = 4)",
    "factor(k)",
    "C(a, contr.sum)",
    "relevel(a, 'B')",
    "I(x > 0)",
    "I(a == 'B')",
    "factor(k, levels = c(3, 2, 1))",
    "{x % 2}",
    "log(scale(z) + 10)",
    "as.numeric(l)",
]


def make(fixed="x", random="(1 | g)", data=DATA, **options):
    return build_design(f"y ~ {fixed} + {random}", data, **options)


@pytest.mark.parametrize("fixed", FIXED)
def test_new_rows_taken_from_the_old_have_the_old_columns(fixed):
    design = make(fixed, "(1 + x || g) + (0 + a | k)")
    rows = [5, 3, 17, 3, 40]
    new = design_for(DATA.iloc[rows], design)
    np.testing.assert_allclose(new.x_matrix(), design.x_matrix()[rows], atol=1e-12)
    for index, term in enumerate(design.terms):
        np.testing.assert_array_equal(new.terms[index].codes, design.factors[term.factor].codes[rows])
        for new_column, column in zip(new.terms[index].columns, term.columns, strict=True):
            assert (new_column is None) == (column is None)
            if column is not None:
                np.testing.assert_allclose(new_column, column[rows], atol=1e-12)
    assert list(new.index) == rows
    assert not any(new.unseen.values())


@pytest.mark.parametrize("fixed", FIXED)
def test_a_design_that_was_pickled_gives_the_same_columns(fixed):
    design = make(fixed)
    twin = pickle.loads(pickle.dumps(design))
    new, again = design_for(DATA.iloc[:4], design), design_for(DATA.iloc[:4], twin)
    np.testing.assert_array_equal(new.x_matrix(), again.x_matrix())


@given(st.lists(st.integers(0, N - 1), min_size=1, max_size=10))
def test_rows_do_not_depend_on_each_other(rows):
    fixed = (
        "a*scale(x) + poly(z, 2) + o + l + relevel(a, 'B') + I(x > 0) + factor(k, levels = c(3, 2, 1)) + I(a == 'B')"
    )
    design = make(fixed)
    together = design_for(DATA.iloc[rows], design).x_matrix()
    alone = np.vstack([design_for(DATA.iloc[[row]], design).x_matrix() for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-12)


def test_another_table_library_may_hold_the_new_rows():
    design = make("a*x + l", "(1 | g:k)", DATA.drop(columns="o"))
    new = DATA.drop(columns=["o", "y"]).iloc[:6]
    for table in (pl.from_pandas(new), {name: new[name].tolist() for name in new}):
        np.testing.assert_array_equal(design_for(table, design).x_matrix(), design.x_matrix()[:6])
        np.testing.assert_array_equal(design_for(table, design).terms[0].codes, design.factors[0].codes[:6])


def test_a_new_level_of_a_fixed_effect_is_an_error_not_the_base_level():
    design = make("a")
    with pytest.raises(DataError, match=r"'a' has the level 'D' in row 2 of the new data.*Levels: A, B, C"):
        design_for(DATA.iloc[:3].assign(a=["A", "B", "D"]), design)


def test_a_column_of_another_type_is_converted_or_refused():
    data = DATA.assign(c=pd.Categorical(DATA["k"]))
    design = make("c + x", data=data)
    found = design_for({"c": [1, 3], "x": [True, False], "g": ["u", "u"]}, design).x_matrix()
    np.testing.assert_array_equal(found, [[1, 0, 0, 1], [1, 0, 1, 0]])
    missing = design_for({"c": [None, None], "x": [1.0, 2.0], "g": ["u", "u"]}, design).x_matrix()
    assert np.isnan(missing[:, 1:3]).all()
    with pytest.raises(DataError, match=r"'c' has the level 7"):
        design_for({"c": [1, 7], "x": [1.0, 2.0], "g": ["u", "u"]}, design)
    with pytest.raises(DataError, match=r"'x' is used as a number .* but holds categories such as 'low'"):
        design_for({"c": [1, 3], "x": ["low", "high"], "g": ["u", "u"]}, design)


def test_fewer_levels_in_the_new_rows_change_nothing():
    design = make("a + o")
    new = design_for(pd.DataFrame({"a": ["B"], "o": ["hi"], "g": ["u"]}), design).x_matrix()
    np.testing.assert_allclose(new, [[1, 1, 0, np.sqrt(1 / 2), np.sqrt(1 / 6)]])


def test_new_levels_of_a_grouping_factor_have_code_minus_one_and_are_listed():
    design = make(random="(1 | g) + (1 | a:k)")
    new = DATA.iloc[:4].assign(g=["u", "new", "newer", "new"], a=["A", "A", "A", "Z"])
    found = design_for(new, design)
    codes = {design.terms[index].group: term.codes for index, term in found.terms.items()}
    np.testing.assert_array_equal(codes["g"] < 0, [False, True, True, True])
    np.testing.assert_array_equal(codes["a:k"] < 0, [False, False, False, True])
    assert found.unseen == {"g": ("new", "newer"), "a:k": (f"Z:{DATA['k'][3]}",)}


def test_a_combination_that_did_not_occur_is_new_even_if_its_levels_are_not():
    data = DATA[~((DATA["a"] == "A") & (DATA["k"] == 1))]
    design = make(random="(1 | a:k)", data=data)
    found = design_for(DATA.iloc[:2].assign(a="A", k=[1, 2]), design)
    assert list(found.terms[0].codes < 0) == [True, False]
    assert found.unseen == {"a:k": ("A:1",)}


def test_missing_values_in_new_rows_give_nan_and_no_group():
    design = make("a + x + poly(z, 2) + I(x^2)", "(x | g)")
    new = DATA.iloc[:4].astype({"a": object, "g": object})
    new.loc[0, "a"] = None
    new.loc[1, "x"] = np.nan
    new.loc[2, "z"] = np.nan
    new.loc[3, "g"] = None
    found = design_for(new, design)
    expected = np.zeros((4, 7), dtype=bool)
    expected[0, 1:3] = expected[1, [3, 6]] = expected[2, 4:6] = True
    np.testing.assert_array_equal(np.isnan(found.x_matrix()), expected)
    np.testing.assert_array_equal(found.terms[0].codes < 0, [False, False, False, True])
    assert found.unseen == {"g": ()}


def test_columns_of_terms_that_are_not_wanted_may_be_absent():
    design = make("x", "(1 | g) + (a | k)")
    found = design_for(pd.DataFrame({"x": [1.0, 2.0]}), design, terms=[])
    assert found.terms == {}
    np.testing.assert_array_equal(found.x_matrix(), [[1, 1], [1, 2]])
    with pytest.raises(DataError, match="Column 'a'"):
        design_for(pd.DataFrame({"x": [1.0, 2.0]}), design, terms=[1])


def test_offsets_are_computed_at_the_new_rows():
    design = make("x + offset(2 * x)", offset="z")
    np.testing.assert_allclose(design_for(DATA.iloc[:3], design).offset, (2 * DATA["x"] + DATA["z"])[:3])
    with pytest.raises(DataError, match=r"Column 'z' \(offset=\)"):
        design_for(DATA.iloc[:3].drop(columns="z"), design)
    assert design_for(DATA.iloc[:3], make("x")).offset is None


def test_a_dot_means_the_columns_it_meant_at_the_fit():
    data = DATA[["y", "x", "z", "g"]]
    design = make(".", data=data)
    found = design_for(data.assign(extra=1.0).iloc[:2], design)
    np.testing.assert_array_equal(found.x_matrix(), design.x_matrix()[:2])


def test_functions_of_the_user_are_kept_or_given_again():
    design = make("twice(x)", context={"twice": lambda v: 2 * v})
    np.testing.assert_array_equal(design_for(DATA.iloc[:3], design).x[1], 2 * DATA["x"][:3])
    np.testing.assert_array_equal(
        design_for(DATA.iloc[:3], design, context={"twice": np.negative}).x[1], -DATA["x"][:3]
    )
