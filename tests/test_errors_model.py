"""What goes wrong while fitting or with a fit is said in words: what, where, and what to do."""

import copy

import numpy as np
import pytest

import henderson
from cases import BY_NAME
from henderson import DataError, FormulaError, MixedModelError

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def data():
    return BY_NAME["sleepstudy"].data()


@pytest.fixture(scope="module")
def fit(data):
    return henderson.lmer(FORMULA, data)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_evaluations": 0}, "max_evaluations is 0 .*an integer >= 1"),
        ({"max_evaluations": 10.5}, "max_evaluations is 10.5"),
        ({"max_evaluations": True}, "max_evaluations is True"),
        ({"tolerance": 0}, "tolerance is 0 .*a positive number"),
        ({"tolerance": "tight"}, "tolerance is 'tight'"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"threads": -1}, "threads is -1 .*an integer >= 0"),
        ({"start": [1.0]}, "start is .*it must be 3 finite numbers"),
        ({"start": [1.0, 0.0, np.inf]}, "3 finite numbers"),
        ({"start": "one"}, "start cannot be read as numbers"),
        ({"callback": 3}, "callback is 3 .*a function"),
        ({"na_action": "omit"}, "na_action is 'omit'; choose one of"),
        ({"weights": "nope"}, "Column 'nope'"),
    ],
)
def test_options_are_checked(data, options, message):
    with pytest.raises(DataError, match=message):
        henderson.lmer(FORMULA, data, **options)


def test_unknown_options_are_not_swallowed(data):
    with pytest.raises(TypeError, match="REML"):
        henderson.lmer(FORMULA, data, REML=False)


def test_errors_share_a_base_and_are_value_errors(data):
    for formula in ("Reaction ~ Days", "Reaction ~ Dayz + (1 | Subject)"):
        with pytest.raises(MixedModelError) as caught:
            henderson.lmer(formula, data)
        assert isinstance(caught.value, ValueError)


def test_a_formula_without_random_terms_is_explained(data):
    with pytest.raises(FormulaError, match=r"add one such as \(1 \| subject\)"):
        henderson.lmer("Reaction ~ Days", data)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@pytest.mark.parametrize("column", ["Reaction", "Days"])
def test_infinite_values_are_located(data, bad, column):
    broken = data.astype({"Days": float})
    broken.loc[13, column] = bad
    with pytest.raises(DataError, match=f"{column}.* is {bad} in row 13"):
        henderson.lmer(FORMULA, broken)


def test_values_that_overflow_are_located(data):
    with pytest.raises(DataError, match=r"row"), np.errstate(over="ignore"):
        henderson.lmer("Reaction ~ exp(Days * 100) + (1 | Subject)", data)


def test_too_few_rows_for_the_fixed_effects(data):
    small = data.iloc[[0, 1, 10, 11]].assign(a=[1.0, 0, 0, 1], b=[2.0, 1, 5, 7])
    with pytest.raises(DataError, match="4 rows cannot determine 4 fixed effects"):
        henderson.lmer("Reaction ~ Days + a + b + (1 | Subject)", small)


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, "wide", None, float("nan")])
def test_confidence_levels_lie_between_zero_and_one(fit, level):
    with pytest.raises(DataError, match="between 0 and 1"):
        fit.confint(level=level)


def test_kinds_of_residuals_are_listed(fit):
    with pytest.raises(DataError, match=r"kind is 'Pearson'; choose one of 'response'.*Did you mean 'pearson'"):
        fit.residuals("Pearson")


@pytest.mark.parametrize("y, message", [([1.0, 2.0], "has 2 values; this fit used 180 rows"), (["a"] * 180, "numbers")])
def test_new_responses_fit_the_rows(fit, y, message):
    with pytest.raises(DataError, match=message):
        fit.refit(y)


def test_new_responses_have_the_index_of_the_rows(fit, data):
    with pytest.raises(DataError, match="y is a Series whose index differs"):
        fit.refit(data["Reaction"].sort_values())


def test_a_response_that_overflows_is_located(data):
    huge = np.where(np.arange(180) == 5, -1e308, 0.0)
    with pytest.raises(DataError, match=r"Reaction - offset is not finite in row 5: 1e\+308 minus -1e\+308 overflows"):
        henderson.lmer(FORMULA, data.assign(Reaction=data["Reaction"] - huge), offset=huge)


def test_new_responses_are_finite(fit, data):
    y = data["Reaction"].to_numpy(copy=True)
    y[12] = np.nan
    with pytest.raises(DataError, match="y is not finite in row 12"):
        fit.refit(y)
    np.testing.assert_allclose(fit.refit(data["Reaction"]).fixef, fit.fixef, rtol=1e-9)


@pytest.mark.parametrize("theta", [[1.0], [1.0, np.nan, 1.0], "x"])
def test_theta_has_as_many_numbers_as_the_model(fit, theta):
    with pytest.raises(DataError, match="theta"):
        fit.criterion_at(theta)


def test_an_unconverged_fit_warns_where_lmer_was_called(data):
    with pytest.warns(henderson.ConvergenceWarning) as caught:
        henderson.lmer(FORMULA, data, max_evaluations=2)
    assert caught[0].filename == __file__


def test_a_singular_fit_does_not_warn():
    case = BY_NAME["dyestuff2_singular"]
    assert henderson.lmer(case.formula, case.data()).is_singular


def test_a_perfect_fit_is_refused(data):
    exact = data.assign(Reaction=data["Days"] * 2.0 + 1.0)
    with pytest.raises(DataError, match="exactly"):
        henderson.lmer("Reaction ~ Days + (1 | Subject)", exact)


def test_exceptions_can_be_copied(data):
    with pytest.raises(FormulaError) as caught:
        henderson.lmer("Reaction ~ Days + (1 | Subject", data)
    assert str(copy.copy(caught.value)) == str(caught.value)
