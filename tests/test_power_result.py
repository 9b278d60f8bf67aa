"""The result of a power simulation: limits, table, print; and what is refused."""

import numpy as np
import pytest
from scipy import stats

import cases
import henderson as hd
from henderson.errors import DataError
from henderson.inference.power_result import SizeResult, exact_limits
from henderson.inference.power_tests import hypothesis


@pytest.fixture(scope="module")
def sleepstudy():
    case = cases.BY_NAME["sleepstudy"]
    return hd.lmer(case.formula, case.data())


# ------------------------------------------------------------------------------------------------------- the result


def test_limits_are_those_of_clopper_and_pearson():
    for successes, trials in ((0, 20), (3, 20), (20, 20), (800, 1000)):
        expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
        np.testing.assert_allclose(exact_limits(successes, trials, 0.95), expected, rtol=1e-9)


def test_the_table_has_a_row_for_each_size(sleepstudy):
    found = sleepstudy.power(
        "Days", n=50, effect=4, along={"Subject": [6, 9]}, within={"Subject": [5, 10]}, ddf="normal", seed=1
    )
    table = found.to_frame()
    assert list(table.columns) == [
        "rows_per_Subject", "Subject", "n_rows", "power", "conf_low", "conf_high", "n_significant", "n", "n_singular",
        "n_failed",
    ]  # fmt: skip
    assert table["n_rows"].tolist() == [30, 45, 60, 90]
    assert (table["power"] == table["n_significant"] / 50).all()
    assert ((table["conf_low"] <= table["power"]) & (table["power"] <= table["conf_high"])).all()
    wide = found.to_frame(0.99)
    assert (wide["conf_low"] < table["conf_low"]).all()
    assert found.curve.index.names == ["rows_per_Subject", "Subject"]
    with pytest.raises(DataError, match="4 sizes"):
        float(found)
    assert "<table>" in found._repr_html_()


def test_responses_that_cannot_be_fitted_are_not_significant():
    result = SizeResult((), 10, np.array([0.01, np.nan, 0.5, 0.05]), 0)
    assert result.significant(0.05) == 2
    assert result.n_failed == 1


def test_it_prints_as_simr_does(sleepstudy):
    text = str(sleepstudy.power("Days", n=200, effect={"Days": 4}, ddf="normal", seed=1))
    assert text == (
        "Power for predictor 'Days', (95% confidence interval):\n"
        "      68.50% (61.57, 74.87)\n\n"
        "Test: z test\n"
        "      Effect size for Days is 4\n\n"
        "Based on 200 simulations (5 singular), seed 1\n"
        "alpha = 0.05, nrow = 180"
    )


def test_power_at_the_estimate_comes_with_a_warning(sleepstudy):
    assert "says nothing" in " ".join(sleepstudy.power("Days", n=2, ddf="normal").notes)
    assert not sleepstudy.power("Days", n=2, ddf="normal", effect=3).notes
    plan = {"x": [0, 1] * 20, "g": [i // 4 for i in range(40)]}
    given = {"fixef": {"(Intercept)": 0, "x": 1}, "varcorr": {"g": 1}, "sigma": 1}
    assert not hd.model_from_parameters("y ~ x + (1 | g)", plan, **given).power("x", n=2, ddf="normal").notes


# -------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "test, arguments, message",
    [
        ("days", {}, "no fixed effect or term 'days'. Did you mean 'Days'"),
        (None, {}, "test is None"),
        ("Days - z", {}, "z"),
        ("Days", {"ddf": "wald"}, "ddf is 'wald'"),
        ("Days", {"n": 0}, "n is 0"),
        ("Days", {"level": 5}, "level is 5"),
        ("Days", {"seed": 1.5}, "seed is 1.5"),
        ("Days", {"threads": -1}, "threads is -1"),
        ("Days", {"callback": 3}, "callback is 3"),
        ("Days", {"effect": {"z": 1}}, "effect names 'z'"),
        ("Days", {"effect": "large"}, "effect is 'large'"),
        ("Days", {"effect": {"Days": np.inf}}, r"effect\['Days'\] is inf"),
        (["Days", "(Intercept)"], {"effect": 1.0}, "is not one coefficient"),
        ("Days", {"sigma": -1}, "sigma is -1"),
        ("Days", {"varcorr": {"subject": 1}}, "varcorr names 'subject'"),
        ("Days", {"along": [10]}, "along is"),
        ("Days", {"along": {"subject": [10]}}, "Did you mean 'Subject'"),
        ("Days", {"along": {"Subject": [1]}}, "sizes are integers >= 2"),
        ("Days", {"along": {"Subject": []}}, "sizes are integers"),
        ("Days", {"within": {"Subject": 2.5}}, "sizes are integers >= 1"),
        ("Days", {"within": {"Subject": 1}}, "18 levels for 18 rows"),
        ("Days", {"weights": 1}, "weights= goes with newdata="),
        ("Days", {"newdata": {"Days": [1.0, np.nan], "Subject": [1, 2]}}, "missing value in row 1"),
        ("Days", {"newdata": {"Days": [1.0, 2.0], "Subject": [1, 1]}}, "only one level"),
        ("Days", {"newdata": {"Days": [1.0] * 6, "Subject": [1, 1, 2, 2, 3, 3]}}, "Days cannot be estimated"),
    ],
)
def test_bad_arguments_are_refused_with_a_reason(sleepstudy, test, arguments, message):
    with pytest.raises(DataError, match=message):
        sleepstudy.power(test, **({"n": 2} | arguments))


def test_aliased_effects_cannot_be_tested():
    data = cases.BY_NAME["sleepstudy"].data().assign(twice=lambda d: 2 * d["Days"])
    model = hd.lmer("Reaction ~ Days + twice + (1 | Subject)", data)
    for test in ("twice", "Days - twice"):
        with pytest.raises(DataError, match="cannot be estimated"):
            model.power(test, n=2)
    assert model.power("Days", n=2, effect=1).effects == {"Days": 1.0}


def test_hypotheses_are_named_by_their_coefficients():
    case = cases.BY_NAME["cake"]
    model = hd.lmer("angle ~ recipe + (1 | recipe:replicate)", case.data())
    assert hypothesis(model, "recipe").rows == ("recipeB", "recipeC")
    assert hypothesis(model, "recipeB - recipeC").contrasts.tolist() == [[0.0, 1.0, -1.0]]
