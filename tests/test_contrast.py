"""Contrasts: every way to write one, tests one by one and joint, and clear words for what cannot be tested."""

import numpy as np
import pandas as pd
import pytest

import henderson
from cases import BY_NAME
from fixed_effects_cases import CASES, METHODS, fitted, references
from henderson.inference.linear_forms import linear_forms


@pytest.fixture(scope="module")
def cake():
    return fitted("cake")


NAMES = (
    "(Intercept)",
    "recipeB",
    "recipeC",
    "temp",
    "recipeB:temp",
    "I(x - 1)",
    "log(y + 2)",
    "a",
    "a1",
    "poly(x, 2)1",
)


def read(value, kept=range(10)):
    return linear_forms(value, NAMES, list(kept))


def weights(value):
    forms = read(value)
    return [{name: w for name, w in zip(NAMES, row, strict=True) if w} for row in forms.weights.tolist()]


@pytest.mark.parametrize(
    "text, expected, right",
    [
        ("recipeB", {"recipeB": 1}, 0),
        ("recipeB - recipeC", {"recipeB": 1, "recipeC": -1}, 0),
        ("2*recipeB + .5 * temp = 3", {"recipeB": 2, "temp": 0.5}, 3),
        ("(recipeB + recipeC) / 2 - temp", {"recipeB": 0.5, "recipeC": 0.5, "temp": -1}, 0),
        ("recipeB = recipeC", {"recipeB": 1, "recipeC": -1}, 0),
        ("recipeB == 2 * recipeC - 1e1", {"recipeB": 1, "recipeC": -2}, -10),
        ("(Intercept) + recipeB:temp", {"(Intercept)": 1, "recipeB:temp": 1}, 0),
        ("Intercept", {"(Intercept)": 1}, 0),
        ("I(x - 1) - log(y + 2)", {"I(x - 1)": 1, "log(y + 2)": -1}, 0),
        ("-(a - a1) * 3", {"a": -3, "a1": 3}, 0),
        ("`poly(x, 2)1` + poly(x, 2)1", {"poly(x, 2)1": 2}, 0),
        ("+a-a1", {"a": 1, "a1": -1}, 0),
        ("a - 1 = 2 - a1", {"a": 1, "a1": 1}, 3),
    ],
)
def test_text_is_read_as_a_linear_function(text, expected, right):
    assert weights(text) == [expected]
    assert read(text).rhs.tolist() == [right]


def test_dicts_arrays_tables_and_lists_are_read_too():
    assert weights({"recipeB": 1, "temp": -2.5}) == [{"recipeB": 1, "temp": -2.5}]
    assert weights(["a", {"a1": 2}]) == [{"a": 1}, {"a1": 2}]
    row = np.zeros(10)
    row[[1, 2]] = 1, -1
    assert weights(row) == weights(row[None]) == weights([row.tolist()]) == [{"recipeB": 1, "recipeC": -1}]
    table = pd.DataFrame({"temp": [1.0, 0.0], "a": [0.0, 2.0]}, index=["first", "second"])
    assert weights(table) == [{"temp": 1}, {"a": 2}]
    assert read(table).labels == ("first", "second")
    assert read({"slope": "temp", "rest": {"a": 1}}).labels == ("slope", "rest")


def test_rows_are_labelled_by_what_they_say():
    assert read({"recipeB": 1, "temp": -2.5}).labels == ("recipeB - 2.5*temp",)
    assert read("recipeB  -  recipeC = 1").labels == ("recipeB - recipeC = 1",)
    assert read(-np.eye(10)[0]).labels == ("-(Intercept)",)


def test_aliased_columns_may_be_left_out_of_arrays():
    forms = linear_forms([1.0, 2.0], ("a", "again", "b"), [0, 2])
    assert forms.weights.tolist() == [[1, 0, 2]]


@pytest.mark.parametrize(
    "value, message",
    [
        ("recipeD", "no fixed effect 'recipeD'. Did you mean 'recipe"),
        ({"tmp": 1}, "no fixed effect 'tmp'. Did you mean 'temp'"),
        ("`tmp`", "no fixed effect 'tmp'"),
        ("temp +", "cannot be read here:\n    temp \\+\n          \\^"),
        ("temp temp", "cannot be read here"),
        ("(temp", "cannot be read here"),
        ("temp = 1 = 2", "cannot be read here"),
        ("temp * a", "not linear in the coefficients"),
        ("1 / temp", "not linear in the coefficients"),
        ("temp / 0", "not linear in the coefficients"),
        ("temp - 10", "holds the constant -10: write '= 10'"),
        ("temp - temp", "nothing to test"),
        (np.zeros((1, 10)), "nothing to test"),
        ({"temp": 0}, "nothing to test"),
        ([1, 2, 3], r"shape \(3,\); it must have one column for each of the 10 fixed effects"),
        (np.ones((2, 2, 2)), "shape"),
        ([], "shape"),
        (None, "NoneType"),
        (3, "pass text such as"),
        (["temp", None], "NoneType"),
        ({"temp": np.nan}, "not finite"),
        ({"temp": "x"}, "no fixed effect 'x'"),
        ([{"temp": "x"}], "The weight of temp"),
        ({"both": ["temp", "a"]}, "labelled 'both' has 2 rows"),
        ([["a", "b"]], "pass text such as"),
    ],
)
def test_what_cannot_be_read_is_named(value, message):
    with pytest.raises(henderson.DataError, match=message):
        read(value)


# --------------------------------------------------------------------------------------------------------------- tests


def test_a_coefficient_is_tested_as_in_the_table(cake):
    row = cake.contrast("temp").to_frame().loc["temp"]
    expected = cake.coefficients.loc["temp"]
    np.testing.assert_allclose(row[expected.index], expected, rtol=1e-12)
    assert list(row.index) == ["estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high"]


def test_limits_and_tests_agree(cake):
    low, high = cake.contrast("temp", level=0.9).to_frame().loc["temp", ["conf_low", "conf_high"]]
    for limit in (low, high):
        assert cake.contrast("temp", rhs=limit).to_frame()["p_value"].iloc[0] == pytest.approx(0.1)
        assert cake.contrast(f"temp = {float(limit)!r}").to_frame()["p_value"].iloc[0] == pytest.approx(0.1)


def test_values_to_compare_with(cake):
    shown = cake.contrast(["temp", "recipeB = 1"], rhs=[0.1, 0.5])
    frame = shown.to_frame()
    assert frame["null_value"].tolist() == [0.1, 1.5]
    np.testing.assert_allclose(frame["statistic"], (frame["estimate"] - frame["null_value"]) / frame["std_error"])
    assert "temp = 0.1 " in str(shown)
    assert "null_value" not in cake.contrast("temp").to_frame()


@pytest.mark.parametrize("ddf", METHODS)
@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_joint_tests_are_those_of_lmertest(name, ddf):
    model, theirs = fitted(name), references()[name]["joint"][METHODS[ddf]]
    p = len(model.kept)
    found = model.contrast(np.eye(p)[:3], joint=True, ddf=ddf, rhs=1.0).to_frame().loc["contrasts"]
    assert found["num_df"] == theirs["num_df"]
    np.testing.assert_allclose(found["den_df"], theirs["den_df"], rtol=2e-6)
    np.testing.assert_allclose(found["statistic"], theirs["statistic"], rtol=2e-6)
    np.testing.assert_allclose(found["p_value"], theirs["p_value"], rtol=1e-3, atol=1e-12)


def test_dependent_rows_count_once_in_a_joint_test(cake):
    two = cake.contrast(["recipeB", "recipeC"], joint=True).to_frame()
    three = cake.contrast(["recipeB", "recipeC", "recipeB - recipeC"], joint=True).to_frame()
    assert three["num_df"].iloc[0] == 2
    np.testing.assert_allclose(three["statistic"], two["statistic"], rtol=1e-9)
    with pytest.raises(henderson.DataError, match="contradict each other"):
        cake.contrast(["recipeB = 1", "2 * recipeB = 3"], joint=True)
    agreeing = cake.contrast(["recipeB = 1", "2 * recipeB = 2"], joint=True).to_frame()
    np.testing.assert_allclose(agreeing["p_value"], cake.contrast("recipeB = 1").to_frame()["p_value"])


def test_rules_for_degrees_of_freedom_and_robust_covariances(cake):
    normal = cake.contrast("temp", ddf="normal")
    assert "z value" in str(normal)
    assert np.isinf(normal.to_frame()["df"].iloc[0])
    assert cake.contrast("temp", ddf="residual").to_frame()["df"].iloc[0] == cake.nobs - 6
    robust = cake.contrast("temp", vcov=("CR1", "recipe:replicate"))
    error = np.sqrt(cake.vcov(kind="CR1", cluster="recipe:replicate").loc["temp", "temp"])
    again = cake.contrast("temp", vcov="CR1", cluster="recipe:replicate").to_frame()
    assert again["std_error"].iloc[0] == pytest.approx(error)
    assert "CR1 covariance" in str(robust)


def test_maximum_likelihood_fits_give_kenward_rogers_tests_of_their_reml_fit():
    case = BY_NAME["sleepstudy_ml"]
    model = henderson.lmer(case.formula, case.data(), reml=False)
    shown = model.contrast("Days", ddf="kenward-roger")
    assert shown.to_frame()["df"].iloc[0] == pytest.approx(17)
    assert "fitted again by REML" in " ".join(str(shown).split())


def test_estimable_functions_of_aliased_columns_are_tested():
    data = BY_NAME["sleepstudy"].data().assign(twice=lambda table: 2.0 * table["Days"])
    model = henderson.lmer("Reaction ~ Days + twice + (1 | Subject)", data)
    row = model.contrast("Days + 2 * twice").to_frame().iloc[0]
    assert row["estimate"] == pytest.approx(model.fixef["Days"])
    with pytest.raises(henderson.DataError, match="cannot be estimated: it involves twice"):
        model.contrast("twice")
    for row in ([0.0, 1.0, 1.0], [0.0, 1.0, 0.0]):
        with pytest.raises(henderson.DataError, match="cannot be estimated"):
            model.contrast(row)
    for of_the_table in ("Days", [0.0, 1.0]):  # aliased coefficients zero, as in the table of coefficients
        assert model.contrast(of_the_table).to_frame()["df"].iloc[0] == pytest.approx(model.df["Days"])


def test_options_are_checked(cake):
    for options, message in (
        ({"ddf": "kr"}, "choose one of 'satterthwaite'"),
        ({"ddf": None}, "choose one of 'satterthwaite'"),
        ({"vcov": "HC3"}, "choose one of 'model'"),
        ({"vcov": "CR2", "ddf": "kenward-roger"}, "cannot be combined"),
        ({"vcov": "kenward-roger"}, "ddf='kenward-roger'"),
        ({"cluster": "replicate"}, "leave it out"),
        ({"level": 95}, "between 0 and 1"),
        ({"level": True}, "between 0 and 1"),
        ({"level": "a"}, "between 0 and 1"),
        ({"rhs": [1, 2]}, r"rhs has shape \(2,\)"),
        ({"rhs": "a"}, "rhs"),
    ):
        with pytest.raises(henderson.DataError, match=message):
            cake.contrast("temp", **options)


# ----------------------------------------------------------------------------------------------------- covariance table


def test_the_covariance_table_can_be_called_for_other_kinds():
    model = fitted("ratpup")
    pd.testing.assert_frame_equal(model.vcov(), pd.DataFrame(model.vcov))
    pd.testing.assert_frame_equal(model.vcov(kind="model"), pd.DataFrame(model.vcov))
    adjusted = model.vcov(kind="kenward-roger")
    assert type(adjusted) is type(model.vcov * 2) is pd.DataFrame
    assert list(adjusted.index) == list(adjusted.columns) == list(model.fixef.index)
    assert not np.allclose(adjusted, model.vcov, rtol=1e-6)
    with pytest.raises(henderson.DataError, match="choose one of 'model', 'kenward-roger', 'CR0'"):
        model.vcov(kind="HC0")
    with pytest.raises(henderson.DataError, match="leave it out"):
        model.vcov(cluster="Subject")


def test_prints_and_tables(cake):
    shown = cake.contrast({"slope": "temp", "difference": "recipeB - recipeC"})
    assert str(shown).splitlines()[0].split() == [
        *("Estimate", "Std.", "Error", "df", "lower", "upper", "t", "value", "Pr(>|t|)")
    ]
    assert "95 % confidence limits; Satterthwaite's method" in str(shown)
    assert repr(shown) == str(shown)
    assert shown._repr_html_().count("<tr>") == 3
    assert len(shown) == 2
