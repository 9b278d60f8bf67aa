"""Satterthwaite's degrees of freedom: lmerTest's numbers, dense derivatives, and what must not change them."""

import math

import numpy as np
import pandas as pd
import pytest

import dense_inference as dense
import henderson
from cases import BY_NAME, CASES
from henderson.inference import coefficients, degrees, satterthwaite
from test_information import singular_slopes

WITH_REFERENCE = [case for case in CASES if case.reference().get("satterthwaite")]
# lmerTest's own number: its slope variance is so badly determined that its numerical derivatives are good to 1e-4
ROUGH = {"ratpup_slope": 1e-4}


def fit(name):
    case = BY_NAME[name]
    return henderson.lmer(case.formula, case.data(), **case.options())


@pytest.mark.parametrize("case", WITH_REFERENCE, ids=lambda case: case.name)
def test_coefficients_are_those_of_lmertest(case):
    model = fit(case.name)
    theirs = pd.DataFrame(case.reference()["satterthwaite"])
    np.testing.assert_allclose(model.df, theirs["df"], rtol=ROUGH.get(case.name, 1e-6))
    np.testing.assert_allclose(model.p_values, theirs["Pr(>|t|)"], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(model.p_values, theirs["Pr(>|t|)"], atol=1e-6)
    np.testing.assert_allclose(model.coefficients["statistic"], theirs["t value"], rtol=1e-6)


@pytest.mark.parametrize("name", ["sleepstudy_uncorrelated", "weighted", "ratpup_slope"])
def test_derivatives_are_those_of_the_dense_formula(name):
    model = fit(name)
    contrasts = np.eye(len(model.kept))
    expected = dense.satterthwaite(model, contrasts, 0.001 if name in ROUGH else 0.003, extrapolated=name in ROUGH)
    np.testing.assert_allclose(model.df, expected, rtol=3e-5)


def test_balanced_designs_have_the_degrees_of_freedom_of_their_analysis_of_variance():
    sleepstudy = fit("sleepstudy")
    np.testing.assert_allclose(sleepstudy.df, [17, 17], rtol=1e-7)
    np.testing.assert_allclose(fit("dyestuff").df, [5], rtol=1e-7)
    np.testing.assert_allclose(fit("pastes_nested").df, [9], rtol=1e-6)
    np.testing.assert_allclose(fit("cake").df[3:], [222, 222, 222], rtol=1e-7)
    assert degrees.degrees_of_freedom(sleepstudy, [[1.0, 5.0]])[0] == pytest.approx(17, rel=1e-6)


# ---------------------------------------------------------------------------------------------------- at the boundary


def test_a_variance_of_zero_counts_as_absent():
    data = BY_NAME["sleepstudy"].data().copy()
    data["pair"] = np.arange(len(data)) % 2  # balanced against everything: its variance is zero
    with_zero = henderson.lmer("Reaction ~ Days + (Days | Subject) + (1 | pair)", data)
    assert with_zero.is_singular
    without = henderson.lmer("Reaction ~ Days + (Days | Subject)", data)
    np.testing.assert_allclose(with_zero.df, without.df, rtol=1e-6)


def test_without_any_random_variance_it_is_ordinary_regression():
    model = fit("dyestuff2_singular")
    assert model.df.iloc[0] == pytest.approx(29, rel=1e-12)
    ml = henderson.lmer("Yield ~ 1 + (1 | Batch)", BY_NAME["dyestuff2_singular"].data(), reml=False)
    assert ml.df.iloc[0] == pytest.approx(30, rel=1e-12)  # maximum likelihood does not know of the mean


def test_a_correlation_of_one_counts_as_a_covariance_of_rank_one():
    model = henderson.lmer("y ~ x + (x | g)", singular_slopes())
    assert model.is_singular
    np.testing.assert_allclose(model.df, dense.satterthwaite(model, np.eye(2)), rtol=3e-5)


# ------------------------------------------------------------------------------------------ what must not change them

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def short():
    """An unbalanced part of sleepstudy."""
    data = BY_NAME["sleepstudy"].data()
    return data[np.arange(len(data)) * 7 % 10 > 2].reset_index(drop=True)


@pytest.fixture(scope="module")
def plain(short):
    return henderson.lmer(FORMULA, short)


def test_rows_may_come_in_any_order(short, plain):
    shuffled = short.sample(frac=1.0, random_state=1)
    np.testing.assert_allclose(henderson.lmer(FORMULA, shuffled).df, plain.df, rtol=1e-7)


def test_levels_may_have_any_names(short, plain):
    renamed = short.assign(Subject=[f"s{hash(s) % 9973}-{s}" for s in short["Subject"]])
    np.testing.assert_allclose(henderson.lmer(FORMULA, renamed).df, plain.df, rtol=1e-7)


@pytest.mark.parametrize("factor, shift", [(1e-3, 0.0), (1e5, 0.0), (1.0, 1e4)])
def test_the_unit_of_the_response_does_not_matter(short, plain, factor, shift):
    changed = short.assign(Reaction=factor * short["Reaction"] + shift)
    np.testing.assert_allclose(henderson.lmer(FORMULA, changed).df, plain.df, rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-6, 1e4])
def test_the_unit_of_a_predictor_does_not_matter(short, plain, factor):
    changed = short.assign(Days=factor * short["Days"])
    np.testing.assert_allclose(henderson.lmer(FORMULA, changed).df, plain.df, rtol=1e-6)


@pytest.mark.parametrize("shift, factor", [(2000, 1.0), (1e5, 1.0), (1e6, 1.0), (2000, 1e-3), (0, 1e6), (0, 1e-6)])
def test_the_origin_of_a_random_slope_does_not_matter(short, plain, shift, factor):
    moved = short.assign(year=factor * (shift + short["Days"]))
    model = henderson.lmer("Reaction ~ year + (year | Subject)", moved)
    rtol = 1e-4 if shift > 1e5 else 1e-6
    assert model.df.iloc[1] == pytest.approx(plain.df.iloc[1], rel=rtol)
    assert model.p_values.iloc[1] == pytest.approx(plain.p_values.iloc[1], rel=rtol)


@pytest.mark.parametrize("shift", [30.0, 300.0])
def test_the_origin_of_a_random_parabola_does_not_matter(short, shift):
    formula = "Reaction ~ {0} + I({0}**2) + ({0} + I({0}**2) | Subject)"
    own = henderson.lmer(formula.format("Days"), short)
    moved = henderson.lmer(formula.format("year"), short.assign(year=short["Days"] + shift))
    assert own.information.rank == moved.information.rank
    assert moved.df.iloc[2] == pytest.approx(own.df.iloc[2], rel=2e-5)


def test_constant_weights_do_not_matter(short, plain):
    weighted = henderson.lmer(FORMULA, short, weights=np.full(len(short), 3.0))
    np.testing.assert_allclose(weighted.df, plain.df, rtol=1e-6)


def test_other_coordinates_of_the_fixed_effects_give_the_same_tests(short, plain):
    moved = henderson.lmer("Reaction ~ I(Days - 4) + (Days | Subject)", short)
    at_four = degrees.fixed_effect_tests(plain).t_tests(np.array([[1.0, 4.0]]))
    intercept = moved.coefficients.iloc[0]
    assert intercept["df"] == pytest.approx(at_four.df[0], rel=1e-7)
    assert intercept["p_value"] == pytest.approx(at_four.p_value[0], rel=1e-5)


def test_the_coding_of_a_factor_does_not_matter():
    cake = BY_NAME["cake"].data()
    cake = cake[np.arange(len(cake)) * 7 % 11 > 2]
    b_minus_a = {"treatment": [0, 1, 0, 0], "sum": [0, -1, 1, 0], "helmert": [0, 2, 0, 0]}
    found = []
    for coding, weights in b_minus_a.items():
        model = henderson.lmer("angle ~ recipe + temp + (1 | replicate)", cake, contrasts={"recipe": coding})
        test = degrees.fixed_effect_tests(model).t_tests(np.array([weights], dtype=float))
        found.append([test.estimate[0], test.std_error[0], test.df[0]])
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-7)
    assert found[0][2] != round(found[0][2])


# --------------------------------------------------------------------------------------------- combining, other rules


def test_equal_degrees_of_freedom_stay_as_they_are():
    assert satterthwaite.combined(np.array([12.0, 12.0])) == 12.0
    assert satterthwaite.combined(np.array([3.0, 2.0])) == 2.0
    assert np.isnan(satterthwaite.combined(np.array([])))
    mean = sum(nu / (nu - 2) for nu in (8.0, 20.0)) / 2  # the mean of F with den_df is den_df / (den_df - 2)
    den_df = satterthwaite.combined(np.array([8.0, 20.0]))
    assert den_df / (den_df - 2) == pytest.approx(mean)


def test_other_rules(plain):
    n, p = plain.nobs, 2
    np.testing.assert_array_equal(degrees.degrees_of_freedom(plain, np.eye(2), "residual"), [n - p, n - p])
    np.testing.assert_array_equal(degrees.degrees_of_freedom(plain, np.eye(2), "normal"), [np.inf, np.inf])
    z = plain.summary(ddf="normal").coefficients
    assert list(z.columns) == ["estimate", "std_error", "statistic", "p_value"]
    assert z.loc["Days", "p_value"] == pytest.approx(math.erfc(z.loc["Days", "statistic"] / math.sqrt(2)))


def test_names_of_rules_are_checked(plain):
    for wrong in ("kr", None, 3):
        with pytest.raises(henderson.DataError, match="choose one of 'satterthwaite'"):
            degrees.fixed_effect_tests(plain, wrong)
    with pytest.raises(henderson.DataError, match="Did you mean 'satterthwaite'"):
        plain.summary(ddf="Satterthwait")


def test_aliased_columns_have_no_tests(short):
    model = henderson.lmer("Reaction ~ Days + I(2 * Days) + (1 | Subject)", short)
    assert model.coefficients.loc["I(2 * Days)"].isna().all()
    assert list(model.df.index) == list(model.p_values.index) == ["(Intercept)", "Days"]


def test_a_model_without_fixed_effects_has_an_empty_table(short):
    model = henderson.lmer("Reaction ~ 0 + (1 | Subject)", short)
    assert len(model.coefficients) == len(model.df) == len(model.p_values) == 0


def test_a_summary_without_degrees_of_freedom_says_why(plain, monkeypatch):
    def fail():
        raise np.linalg.LinAlgError("no information")

    normal = degrees.fixed_effect_tests(plain, "normal")
    monkeypatch.setattr(coefficients, "fixed_effect_tests", lambda _, ddf, *__: normal if ddf == "normal" else fail())
    text = " ".join(str(plain.summary()).split())
    assert "cannot be computed for this fit (no information)" in text
    assert "Pr(>|t|)" not in text


def test_large_fits_have_them_too():
    model = fit("insteval")
    np.testing.assert_allclose(model.df, [15.3594, 37613.99], rtol=1e-4)
