"""Fits changed by a formula: the grammar, what stays as it was, and that nothing is approximate."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

import cases
import henderson as hd
from henderson.errors import DataError, FormulaError
from henderson.formula import Formula
from henderson.formula_update import update_formula

RNG = np.random.default_rng(7)
N = 120
DATA = pd.DataFrame(
    {
        "x": RNG.normal(size=N),
        "z": RNG.uniform(1, 4, N),
        "f": RNG.choice(list("abc"), N),
        "l": RNG.choice([True, False], N),
        "k": RNG.integers(1, 5, N),
        "g": RNG.integers(0, 10, N),
        "h": RNG.choice(list("uvwxyz"), N),
        "w": RNG.uniform(0.5, 2, N),
        "off": RNG.normal(size=N),
    }
)
DATA["y"] = np.exp(1 + 0.1 * RNG.normal(size=10)[DATA["g"]] + 0.1 * DATA["x"] + 0.1 * RNG.normal(size=N))
FORMULA = "y ~ x + f + log(z) + k + (1 + x | g) + (1 | h)"


@pytest.fixture(scope="module")
def fit():
    return hd.lmer(FORMULA, DATA)


def assert_same_fit(one, other, exactly=False):
    assert one.is_reml == other.is_reml
    assert list(one.fixef.index) == list(other.fixef.index)
    if exactly:
        assert one.criterion == other.criterion
        np.testing.assert_array_equal(one.theta, other.theta)
        return
    assert one.criterion == pytest.approx(other.criterion, abs=1e-7)
    np.testing.assert_allclose(one.fixef, other.fixef, rtol=1e-5, atol=1e-7)
    assert list(one.varcorr) == list(other.varcorr)


# -------------------------------------------------------------------------------------------------------- the grammar

OLD = "y ~ x + (x | g) + (1 | h) + offset(w)"


@pytest.mark.parametrize(
    "text, expected",
    [
        (". ~ .", OLD),
        ("~ .", OLD),
        (". ~ . + z", "y ~ x + z + offset(w) + (x | g) + (1 | h)"),
        (". ~ . - x", "y ~ 1 + offset(w) + (x | g) + (1 | h)"),
        (". ~ . - 1", "y ~ 0 + x + offset(w) + (x | g) + (1 | h)"),
        (". ~ 0 + .", "y ~ 0 + x + offset(w) + (x | g) + (1 | h)"),
        (". ~ . + f:x", "y ~ x + x:f + offset(w) + (x | g) + (1 | h)"),
        (". ~ . * f", "y ~ x + f + x:f + offset(w) + (x | g) + (1 | h)"),
        (". ~ (. + f)^2", "y ~ x + f + x:f + offset(w) + (x | g) + (1 | h)"),
        (". ~ . + poly(z, 2)", "y ~ x + poly(z, 2) + offset(w) + (x | g) + (1 | h)"),
        (". ~ . - (1 | h)", "y ~ x + offset(w) + (x | g)"),
        (". ~ . - (x | g) + (x || g)", "y ~ x + offset(w) + (1 | h) + (x || g)"),
        (". ~ . - ((x | g) + (1 | h)) + (1 | a/b)", "y ~ x + offset(w) + (1 | b:a) + (1 | a)"),
        (". ~ . + (1 | h)", OLD.replace(" + offset(w)", "").replace("x +", "x + offset(w) +", 1)),
        (". ~ . - offset(w) + offset(log(v))", "y ~ x + offset(log(v)) + (x | g) + (1 | h)"),
        ("log(.) ~ .", "log(y) ~ x + offset(w) + (x | g) + (1 | h)"),
        ("I(. / w) ~ .", "I(y / w) ~ x + offset(w) + (x | g) + (1 | h)"),
        ("v ~ .", "v ~ x + offset(w) + (x | g) + (1 | h)"),
        ("~ z + (1 | g)", "y ~ z + (1 | g)"),
        ("v ~ z + (1|g)", "v ~ z + (1|g)"),
        (". ~ . + `two words`", "y ~ x + `two words` + offset(w) + (x | g) + (1 | h)"),
    ],
)
def test_a_dot_stands_for_a_side_of_the_old_formula(text, expected):
    updated = update_formula(Formula(OLD), text)
    wanted = Formula(expected)
    assert updated.response == wanted.response
    assert updated.fixed == wanted.fixed
    assert updated.offsets == wanted.offsets
    assert [(p.effects, p.grouping.label, p.is_correlated) for p in updated.random_terms] == [
        (p.effects, p.grouping.label, p.is_correlated) for p in wanted.random_terms
    ]
    assert Formula(updated.text).fixed == updated.fixed


@pytest.mark.parametrize(
    "text, left",
    [
        (". ~ . - (1 | a/b)", ["1 + x || g"]),
        (". ~ . - (1 | a:b)", ["1 + x || g", "1 | a"]),
        (". ~ . - (1 | a)", ["1 + x || g", "1 | b:a"]),
        (". ~ . - (1 | g)", ["0 + x || g", "1 | b:a", "1 | a"]),
        (". ~ . - (0 + x | g)", ["1 | g", "1 | b:a", "1 | a"]),
        (". ~ . - (x || g)", ["1 | b:a", "1 | a"]),
        (". ~ . - diag(x | g)", ["1 | b:a", "1 | a"]),
    ],
)
def test_random_terms_go_one_by_one_nested_and_uncorrelated_ones_too(text, left):
    updated = update_formula(Formula("y ~ 1 + (1 + x || g) + (1 | a/b)"), text)
    assert [part.text for part in updated.random_terms] == left


@pytest.mark.parametrize(
    "text, message, marked",
    [
        (". + z", "no '~'", ""),
        (". ~ . ~ .", "one '~'", "~"),
        (". ~ . - q", "q is not in the model", "q"),
        (". ~ . - (1 | k)", r"\(1 \| k\) is not in the model", "(1 | k)"),
        (". ~ . - (1 | g)", r"\(1 \| g\) is not in the model", "(1 | g)"),
        (". ~ . - offset(v)", r"offset\(v\) is not in the model", "offset(v)"),
        (". ~ . + (. | g)", "outside calls and random terms", "."),
        (". ~ . + log(.)", "outside calls and random terms", "."),
        (". ~ . + 1 | g", "needs parentheses", "|"),
        (". ~ . * (1 | g)", "can only be added", "|"),
        (". ~ . + (1 | g", "never closed", "("),
        (". ~ . +", "missing after", "+"),
        ("c(., z) ~ .", "one response", "c(., z)"),
        ("(1 | g) ~ .", "random term can only", "|"),
        (". ~ . + ar1(x | g)", "not available", "ar1(x | g)"),
        (". ~ . - ar1(x | g)", "not available", "ar1(x | g)"),
        ("", "empty", ""),
    ],
)
def test_errors_show_where_in_the_text_given(text, message, marked):
    with pytest.raises(FormulaError, match=message) as caught:
        update_formula(Formula(OLD), text)
    if marked:
        assert caught.value.text == text
        assert text[slice(*caught.value.span)] == marked


def test_a_formula_must_be_text(fit):
    with pytest.raises(FormulaError, match="not int"):
        fit.update(3)


# --------------------------------------------------------------------------------------------------- the same again


@pytest.mark.parametrize("case", [case for case in cases.CASES if case.name not in cases.LARGE], ids=lambda c: c.name)
def test_nothing_changed_is_the_same_fit(case):
    model = hd.lmer(case.formula, case.data(), **case.options())
    for again in (
        model.update(),
        model.update(". ~ ."),
        model.update(data=case.data()),
        model.update(". ~ .", data=case.data()),
    ):
        assert_same_fit(again, model, exactly=True)
        assert again.formula == model.formula


@pytest.mark.parametrize(
    "text",
    [
        ". ~ . - f",
        ". ~ . + I(x^2) + x:f",
        ". ~ 0 + .",
        ". ~ . + scale(z)",
        ". ~ . + poly(z, 2) - log(z)",
        ". ~ . + factor(k) - k",
        ". ~ . - (1 + x | g) + (1 + x || g)",
        ". ~ . - (1 | h) + (1 | f:h)",
        ". ~ . - (1 + x | g) + (1 | f) + (1 | k)",
        ". ~ . + h - (1 | h)",
        ". ~ . + g",
        "log(.) ~ .",
        "I(. * 2) ~ x * f + (f | g)",
        ". ~ . + offset(z)",
        ". ~ . - (1 | h) + (z | h)",
    ],
)
def test_columns_of_the_fit_are_enough_for_formulas_over_them(fit, text):
    updated = fit.update(text)
    fresh = hd.lmer(updated.formula, DATA)
    assert_same_fit(updated, fresh)
    assert_same_fit(fit.update(text, data=DATA), fresh, exactly=True)
    new = DATA.head(20)
    expected = fresh.simulate(1, newdata=new, seed=1, conditional=True)
    pd.testing.assert_frame_equal(updated.simulate(1, newdata=new, seed=1, conditional=True), expected, rtol=1e-4)


def test_steps_back_and_forth_end_where_they_began(fit):
    there = fit.update(". ~ . - f - log(z) - (1 | h) + (1 | k)")
    back = there.update(". ~ . + f + log(z) + (1 | h) - (1 | k)", data=DATA)
    assert back.criterion == pytest.approx(fit.criterion, abs=1e-7)
    again = there.update(". ~ . + f + I(log(z))")  # still known, though not in the formula in between
    assert "I(log(z))" in again.fixef.index


def test_an_updated_fit_does_not_change_the_first(fit):
    before = (fit.formula, dict(fit.design.recipe.variables), dict(fit.design.recipe.states), fit.criterion)
    fit.update(". ~ . + scale(x)", contrasts={"f": "sum"})
    assert before == (fit.formula, fit.design.recipe.variables, fit.design.recipe.states, fit.criterion)


def test_a_fit_from_a_pickle_updates_too(fit):
    again = pickle.loads(pickle.dumps(fit))
    assert_same_fit(again.update(". ~ . + I(x^2)"), fit.update(". ~ . + I(x^2)"))


def test_rows_stay_without_data_and_are_chosen_anew_with_it():
    data = DATA.assign(z=DATA["z"].where(DATA.index > 9))
    model = hd.lmer(FORMULA, data)
    assert model.nobs == N - 10
    assert model.update(". ~ . - log(z)").nobs == N - 10
    assert model.update(". ~ . - log(z)", data=data).nobs == N


# --------------------------------------------------------------------------------------------------------- options


def test_options_of_the_fit_are_kept():
    options = {"reml": False, "weights": "w", "offset": "off", "subset": "x > -1", "contrasts": {"f": "sum"}}
    model = hd.lmer("y ~ x + f + (1 | g)", DATA, **options)
    fresh = hd.lmer("y ~ x + f + z + (1 | g)", DATA, **options)
    with_table = model.update(". ~ . + z", data=DATA)
    assert_same_fit(with_table, fresh, exactly=True)
    assert with_table.call == fresh.call
    assert_same_fit(model.update(". ~ . + I(x^2)"), hd.lmer("y ~ x + f + I(x^2) + (1 | g)", DATA, **options))
    assert model.update(". ~ . - f", data=DATA).fixef.index.tolist() == ["(Intercept)", "x"]


@pytest.mark.parametrize("with_table", [False, True])
@pytest.mark.parametrize(
    "options, fresh",
    [
        ({"reml": False}, {"reml": False, "weights": "w", "offset": "off"}),
        ({"weights": None}, {"offset": "off"}),
        ({"offset": None}, {"weights": "w"}),
        ({"contrasts": {"f": "helmert"}}, {"weights": "w", "offset": "off", "contrasts": {"f": "helmert"}}),
        ({"tolerance": 1e-4, "max_evaluations": 300, "threads": 1}, {"weights": "w", "offset": "off"}),
    ],
)
def test_options_given_replace_those_of_the_fit(options, fresh, with_table):
    model = hd.lmer("y ~ x + f + (1 | g)", DATA, weights="w", offset="off")
    updated = model.update(**options, **({"data": DATA} if with_table else {}))
    expected = hd.lmer("y ~ x + f + (1 | g)", DATA, **fresh)
    assert updated.criterion == pytest.approx(expected.criterion, abs=1e-3 if "tolerance" in options else 1e-8)
    assert list(updated.fixef.index) == list(expected.fixef.index)
    assert updated.call == expected.call


def test_functions_of_the_context_are_kept_and_added():
    model = hd.lmer("y ~ half(x) + (1 | g)", DATA, context={"half": lambda x: x / 2})
    updated = model.update(". ~ . + twice(x^2)", context={"twice": lambda x: 2 * x})
    assert list(updated.fixef.index) == ["(Intercept)", "half(x)", "twice(x^2)"]
    with pytest.raises((DataError, FormulaError), match="thrice"):
        model.update(". ~ . + thrice(x)")


def test_the_callback_and_the_start_of_an_update_are_its_own(fit):
    seen = []
    fit.update(". ~ . - f", start=fit.theta, callback=lambda *at: seen.append(at[0]))
    np.testing.assert_allclose(seen[0], fit.theta, atol=1e-6)


def test_other_tables_and_other_libraries(fit):
    other = DATA.iloc[::-1].iloc[:100].reset_index(drop=True)
    expected = hd.lmer(FORMULA, other)
    for table in (other, pl.from_pandas(other), dict(other.items())):
        assert_same_fit(fit.update(data=table), expected)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"formula": ". ~ . + v"}, "'v' is not among the columns that this fit keeps.*pass data="),
        ({"formula": ". ~ . + log(w)"}, r"'w' \(in log\(w\)\)"),
        ({"formula": ". ~ . + (1 | H)"}, "Did you mean 'h'"),
        ({"formula": ". ~ . + offset(off)"}, "'off' is not among"),
        ({"formula": "v ~ ."}, "'v' is not among"),
        ({"formula": ". ~ . + y"}, "'y' is not among"),
        ({"weights": "w"}, "weights= .* pass data="),
        ({"offset": np.ones(N)}, "offset= .* pass data="),
        ({"subset": "x > 0"}, "subset= .* pass data="),
        ({"na_action": "fail"}, "na_action= .* pass data="),
        ({"reml": "ML"}, "reml is 'ML'"),
        ({"weight": "w"}, "no option 'weight'. Did you mean 'weights'"),
        ({"contrasts": {"q": "sum"}}, "contrasts= names 'q'"),
        ({"contrasts": 3}, "contrasts is 3"),
        ({"context": 3}, "context is 3"),
        ({"threads": -1}, "threads is -1"),
        ({"data": DATA.drop(columns="x")}, "Column 'x'"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(fit, arguments, message):
    with pytest.raises(DataError, match=message):
        fit.update(**arguments)


def test_a_model_without_random_terms_is_refused(fit):
    with pytest.raises(FormulaError, match="no random term"):
        fit.update(". ~ . - (1 + x | g) - (1 | h)")


@pytest.mark.parametrize("name", ["weights", "offset", "subset"])
def test_arrays_of_the_first_table_are_asked_for_again(name):
    values = {"weights": DATA["w"].to_numpy(), "offset": DATA["off"].to_numpy(), "subset": DATA["x"].to_numpy() > -1}
    model = hd.lmer("y ~ x + (1 | g)", DATA, **{name: values[name]})
    with pytest.raises(DataError, match=f"{name}= given as an array"):
        model.update(data=DATA)
    assert_same_fit(model.update(data=DATA, **{name: values[name]}), model, exactly=True)
    assert model.update(data=DATA, **{name: None}).nobs == N
    assert model.update(". ~ . + I(x^2)").nobs == model.nobs


def test_a_formula_with_all_other_columns_is_updated_by_what_they_were():
    model = hd.lmer("y ~ . + (1 | g)", DATA[["y", "x", "z", "g"]])
    updated = model.update(". ~ . - z", data=DATA)
    assert list(updated.fixef.index) == ["(Intercept)", "x"]
