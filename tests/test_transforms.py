"""Expressions: their values, the categories they give, and what is said when they give neither."""

import numpy as np
import pandas as pd
import pytest

from henderson.design import build_design
from henderson.errors import DataError, FormulaError
from henderson.newdata import design_for
from reference_table import DATA, N, design, span


def test_i_of_a_caret_is_a_power():
    np.testing.assert_array_equal(design("I(x^2)").x[1], DATA["x"].to_numpy() ** 2)
    np.testing.assert_array_equal(design("I(x**2)").x[1], DATA["x"].to_numpy() ** 2)


def test_numpy_functions_and_functions_of_the_user_can_be_called():
    found = design("np.log(z) + np.clip(x, -1, 1) + twice(x)", context={"twice": lambda v: 2 * v})
    np.testing.assert_array_equal(found.x[1], np.log(DATA["z"]))
    np.testing.assert_array_equal(found.x[2], DATA["x"].clip(-1, 1))
    np.testing.assert_array_equal(found.x[3], 2 * DATA["x"])


def test_splines_and_python_code_come_from_formulaic():
    from formulaic import model_matrix

    found = design("bs(x, df = 4) + {x % 2} + cr(z, df=3)")
    theirs = np.asarray(model_matrix("1 + bs(x, df=4) + {x % 2} + cr(z, df=3)", DATA, output="numpy"))
    assert found.x_names[:6] == ("(Intercept)", *(f"bs(x, df = 4){i}" for i in (1, 2, 3, 4)), "{x % 2}")
    np.testing.assert_allclose(span(found.x_matrix()), span(theirs), atol=1e-8)


@pytest.mark.parametrize(
    "written, spelled_out",
    [
        ("poly(x^2 + 1, 2)", "poly(w, 2)"),
        ("poly((x**2 + 1), degree = 2)", "poly(w, 2)"),
        ("bs(-z, knots = c(-3, -2))", "bs(v, knots = [-3, -2])"),
        ("bs(v, knots = [-3, -2], include_intercept = FALSE)", "bs(v, knots = [-3, -2])"),
        ("poly(`a b`, 2)", "poly(x, 2)"),
        ("poly(Q('a.b'), 2)", "poly(x, 2)"),
        ("bs(x, df = 4, degree = 3)", "bs(x, df = 4)"),
    ],
)
def test_calls_reach_formulaic_in_its_own_language(written, spelled_out):
    data = DATA.assign(w=DATA["x"] ** 2 + 1, v=-DATA["z"], **{"a b": DATA["x"], "a.b": DATA["x"]})
    np.testing.assert_allclose(design(written, data=data).x_matrix(), design(spelled_out, data=data).x_matrix())


def test_a_response_may_be_transformed():
    data = DATA.assign(y=np.exp(DATA["y"]))
    found = build_design("log(y) ~ 1 + (1 | g)", data)
    np.testing.assert_allclose(found.y, DATA["y"])
    assert found.response_name == "log(y)"
    np.testing.assert_allclose(build_design("I(y / 1000) ~ 1 + (1 | g)", data).y, data["y"] / 1000)
    np.testing.assert_allclose(build_design("y / 1000 ~ 1 + (1 | g)", data).y, data["y"] / 1000)


def test_a_boolean_response_counts_as_zero_and_one():
    np.testing.assert_array_equal(build_design("l ~ x + (1 | g)", DATA).y, DATA["l"].to_numpy(dtype=float))


@pytest.mark.parametrize(
    "fixed, words",
    [
        ("log(x)", r"log\(x\) is (nan|-inf) in row 1 \(x = -0.59\)"),
        ("bogus(x)", r"Unknown function bogus\(\).*context="),
        ("exq(x)", r"Did you mean 'exp'"),
        ("I(a + 1)", r"Column 'a' is used as a number \(in a \+ 1\) but holds"),
        ("log(a)", "Column 'a' is used as a number"),
        ("np.nothing(x)", "numpy has no such name"),
        ("np.zeros(3)", r"shape \(3,\)"),
        ("bs(x, df = -5)", r"bs\(x, df = -5\) cannot be computed"),
        ("hashed(a, levels = 3)", "gives categories"),
        ("lag(x)", "shape|is nan"),
        ("log(x, 2, 3)", "cannot be computed: TypeError"),
        ("I(x:z)", "no value inside a call"),
        ("I('text')", "categories where numbers"),
        ("I(nothing)", "Column 'nothing'"),
        ("poly(x, 60)", "more distinct values than its degree"),
        ("hashed(a, levels = 2)", "gives categories"),
        ("as.numeric(a)", "cannot be computed"),
        ("factor(np.zeros(3))", r"shape \(3,\)"),
        ("factor(k, levels = c(1, 2))", "'k' has no level '3'"),
        ("relevel(a, 'Z')", "'a' has no level 'Z'"),
    ],
)
def test_expressions_that_give_no_numbers_are_errors(fixed, words):
    with pytest.raises(DataError, match=words):
        design(fixed)


@pytest.mark.parametrize("written", ["scale(x, 1, 2, 3)", "center(x, 1)", "scale(centre = 1, x = x)", "scale()"])
def test_scale_is_called_as_in_r(written):
    with pytest.raises(FormulaError, match="is not used like this"):
        design(written)


@pytest.mark.parametrize(
    "written, values",
    [
        ("I(l * 2)", DATA["l"] * 2.0),
        ("I(+l)", DATA["l"] * 1.0),
        ("I(l + l)", DATA["l"] * 2.0),
        ("as.numeric(x > 0)", (DATA["x"] > 0) * 1.0),
        ("as.numeric(factor(k))", DATA["k"] * 1.0),
        ("I(x * np.pi)", DATA["x"] * np.pi),
        ("log(z, 10)", np.log10(DATA["z"])),
        ("pmax(x, 0)", DATA["x"].clip(lower=0)),
        ("I(x - median(x))", DATA["x"] - DATA["x"].median()),
        ("I(x / sd(x))", DATA["x"] / DATA["x"].std()),
        ("I(z^2^0.5)", DATA["z"] ** (2**0.5)),
        ("I(-z^2)", -(DATA["z"] ** 2)),
    ],
)
def test_booleans_count_and_summaries_summarise(written, values):
    np.testing.assert_allclose(design(written).x[1], values, atol=1e-14)


@pytest.mark.parametrize(
    "written, values",
    [
        ("I(x > 0)", DATA["x"] > 0),
        ("I(a == 'B')", DATA["a"] == "B"),
        ("I(a != 'B')", DATA["a"] != "B"),
        ("I('B' == a)", DATA["a"] == "B"),
        ("I(factor(k) == 2)", DATA["k"] == 2),
        ("I(k == 2 | x > 0)", (DATA["k"] == 2) | (DATA["x"] > 0)),
        ("I(relevel(a, 'C') == a & l)", DATA["l"]),
        ("I(l == TRUE)", DATA["l"]),
    ],
)
def test_comparisons_give_a_factor_of_false_and_true(written, values):
    found = design(written)
    assert found.x_names[1].endswith(")TRUE")
    np.testing.assert_array_equal(found.x[1], values)


def test_a_comparison_with_an_unknown_level_is_never_true():
    with pytest.raises(DataError, match="'FALSE' in every row"):
        design("I(a == 'Z')")
    with pytest.raises(DataError, match="'TRUE' in every row"):
        design("l", data=DATA.assign(l=True))


@pytest.mark.parametrize(
    "written, suffixes",
    [
        ("factor(k)", "23"),
        ("factor(k, levels = c(3, 2, 1))", "21"),
        ("factor(k, levels = [3, 2, 1, 0])", "21"),
        ("factor(k, ordered = TRUE)", [".L", ".Q"]),
        ("ordered(k)", [".L", ".Q"]),
        ("ordered(k, levels = c(2, 1, 3))", [".L", ".Q"]),
        ("factor(I(-k), levels = c(-1, -2, -3))", ["-2", "-3"]),
        ("C(k)", "23"),
        ("C(factor(k), contr.sum())", "12"),
        ("C(k, 'helmert')", "12"),
        ("C(k, Sum)", "12"),
        ("C(relevel(a, 'C'), contr.treatment)", "AB"),
        ("factor(x > 0)", ["TRUE"]),
    ],
)
def test_calls_that_give_factors_name_their_columns(written, suffixes):
    names = design(written).x_names[1:]
    assert [name[-len(suffix) :] for name, suffix in zip(names, suffixes, strict=True)] == list(suffixes)


def test_polynomial_contrasts_follow_the_order_given():
    found = design("ordered(k, levels = c(2, 1, 3))")
    scores = DATA["k"].map({2: -1, 1: 0, 3: 1}) / np.sqrt(2)
    np.testing.assert_allclose(found.x[1], scores, atol=1e-14)


def test_a_constant_of_the_context_is_no_column():
    found = design("I(x - shift) + bs(z, knots = knots, degree = 1)", context={"shift": 2.0, "knots": [2.0, 3.0]})
    np.testing.assert_allclose(found.x[1], DATA["x"] - 2)
    assert len(found.x) == 5
    new = design_for(DATA.iloc[:3], found)
    np.testing.assert_allclose(new.x_matrix(), found.x_matrix()[:3])


def test_an_array_of_the_context_has_one_value_per_row():
    np.testing.assert_array_equal(design("k2", context={"k2": np.arange(N)}).x[1], np.arange(N))
    with pytest.raises(DataError, match=r"shape \(3,\)"):
        design("k2", context={"k2": np.arange(3)})


def test_missing_values_of_new_rows_stay_missing_through_comparisons_and_code():
    found = design("I(x > 0) + {x % 2} + log(z)")
    new = DATA.iloc[:3].assign(x=[1.0, np.nan, -1.0], z=[np.nan, 1.0, 1.0])
    missing = np.isnan(design_for(new, found).x_matrix())
    np.testing.assert_array_equal(missing, [[0, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]])


def test_numbers_print_as_in_r():
    from henderson.expression import number_text
    from henderson.levels import level_text

    printed = {100000: "1e+05", 123456: "123456", 0.1: "0.1", 1e-15: "1e-15", 1 / 3: "0.333333333333333", 1e22: "1e+22"}
    assert {value: number_text(value) for value in printed} == printed
    assert [level_text(v) for v in (True, 2, 2.5, np.float32(2), pd.Timestamp("2024-01-01"))][:4] == [
        "TRUE",
        "2",
        "2.5",
        "2",
    ]
    assert number_text(float("inf")) == "inf"
