"""Kenward and Roger's method: pbkrtest's numbers, the formulas with n x n matrices, and what must not change them."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies
from scipy import special

import dense_inference as dense
import henderson
from cases import BY_NAME, CASES
from henderson.inference import degrees, kenward_roger

WITH_REFERENCE = [case for case in CASES if case.reference().get("kenward_roger")]
DENSE = ("sleepstudy_uncorrelated", "weighted", "offset", "penicillin", "pastes_nested")


def fit(name):
    case = BY_NAME[name]
    return henderson.lmer(case.formula, case.data(), **case.options())


def relative(ours, theirs):
    return np.abs(np.asarray(ours) / np.asarray(theirs) - 1).max()


@pytest.mark.parametrize("case", WITH_REFERENCE, ids=lambda case: case.name)
def test_coefficients_are_those_of_pbkrtest(case):
    model, reference = fit(case.name), case.reference()
    theirs = pd.DataFrame(reference["kenward_roger"])
    ours = model.summary(ddf="kenward-roger").coefficients
    np.testing.assert_allclose(model.vcov(kind="kenward-roger"), np.atleast_2d(reference["kr_vcov"]), rtol=1e-6)
    np.testing.assert_allclose(ours["df"], theirs["df"], rtol=1e-6)
    np.testing.assert_allclose(ours["p_value"], theirs["Pr(>|t|)"], atol=1e-6)
    np.testing.assert_allclose(ours["std_error"], theirs["Std. Error"], rtol=1e-6)


@pytest.mark.parametrize("name", DENSE)
def test_adjusted_covariance_is_that_of_the_dense_formula(name):
    model = fit(name)
    plain, adjusted, p, weights = dense.kenward_roger(model)
    found = kenward_roger.kenward_roger(model)
    assert relative(found.plain, plain) < 1e-9
    assert relative(found.covariance, adjusted) < 1e-9
    spread = np.einsum("iab,ij,jcd->abcd", found.derivatives, found.weights, found.derivatives)
    slopes = np.array([plain @ part @ plain for part in p])
    expected = np.einsum("iab,ij,jcd->abcd", slopes, weights, slopes)
    np.testing.assert_allclose(spread, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


def test_prior_weights_enter_the_residual_component():
    """pbkrtest takes the identity for it and finds another matrix."""
    data = BY_NAME["sleepstudy"].data()
    short = data[np.arange(len(data)) * 7 % 10 > 2]
    weights = 0.3 + short["Days"].to_numpy() % 3
    model = henderson.lmer("Reaction ~ Days + (1 | Subject)", short, weights=weights)
    found = model.vcov(kind="kenward-roger")
    assert relative(found, dense.kenward_roger(model)[1]) < 1e-9
    contrasts = np.eye(2)
    test, _ = degrees.fixed_effect_tests(model, "kenward-roger").f_test(contrasts)
    assert (test.statistic, test.den_df) == pytest.approx(dense.kenward_roger_f(model, contrasts), rel=1e-8)


@pytest.mark.parametrize("name", ["sleepstudy_uncorrelated", "penicillin", "ratpup_slope", "pastes_nested"])
def test_traces_by_differences_agree_with_exact_ones(name, monkeypatch):
    model = fit(name)
    exact = kenward_roger.kenward_roger(model)
    monkeypatch.setattr(kenward_roger, "DENSE", 0)
    other = kenward_roger.kenward_roger(model)
    assert relative(other.covariance, exact.covariance) < 1e-8
    contrasts = np.eye(len(model.kept))
    assert relative(other.df(contrasts), exact.df(contrasts)) < 1e-7


# ------------------------------------------------------------------------------------------------------- F tests


def test_joint_tests_are_those_of_the_dense_formula():
    cake = BY_NAME["cake"].data()
    uneven = cake[np.arange(len(cake)) * 7 % 11 > 2]
    model = henderson.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", uneven)
    contrasts = np.array([[0.0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 3]])
    test, p_value = degrees.fixed_effect_tests(model, "kenward-roger").f_test(contrasts)
    assert (test.statistic, test.den_df) == pytest.approx(dense.kenward_roger_f(model, contrasts), rel=1e-8)
    assert test.num_df == 3
    assert p_value == pytest.approx(special.fdtrc(3, test.den_df, test.statistic))


def test_one_contrast_gives_the_square_of_its_t_test():
    model = fit("sleepstudy_uncorrelated")
    tests = degrees.fixed_effect_tests(model, "kenward-roger")
    row = np.array([[1.0, 3.0]])
    t, (f, p_value) = tests.t_tests(row), tests.f_test(row)
    assert (f.statistic, f.den_df, p_value) == pytest.approx((t.statistic[0] ** 2, t.df[0], t.p_value[0]), rel=1e-10)


def test_dependent_contrasts_count_once():
    tests = degrees.fixed_effect_tests(fit("sleepstudy_intercept"), "kenward-roger")
    rows = np.array([[1.0, 0], [0, 1], [1, 1]])
    (both, p_both), (three, p_three) = tests.f_test(rows[:2]), tests.f_test(rows)
    assert three.num_df == 2
    assert (three.statistic, three.den_df, p_three) == pytest.approx((both.statistic, both.den_df, p_both), rel=1e-8)


def test_balanced_comparisons_within_blocks_are_those_of_the_analysis_of_variance():
    cake = henderson.lmer("angle ~ recipe * factor(temperature) + (1 | recipe:replicate)", BY_NAME["cake"].data())
    frame = cake.anova(ddf="kenward-roger").to_frame()
    np.testing.assert_allclose(frame["den_df"], [42, 210, 210], rtol=1e-9)


# ---------------------------------------------------------------------------------------- boundaries and other laws


def test_without_any_random_variance_it_is_ordinary_least_squares():
    data = BY_NAME["dyestuff2_singular"].data().copy()
    data["run"] = np.tile(np.arange(5.0), 6)
    model = henderson.lmer("Yield ~ run + (1 | Batch)", data)
    assert model.is_singular
    x = np.column_stack([np.ones(30), data["run"]])
    residual = data["Yield"] - x @ np.linalg.lstsq(x, data["Yield"], rcond=None)[0]
    expected = residual @ residual / 28 * np.linalg.inv(x.T @ x)
    np.testing.assert_allclose(model.vcov(kind="kenward-roger"), expected, rtol=1e-10)
    test, _ = degrees.fixed_effect_tests(model, "kenward-roger").f_test(np.eye(2))
    assert (test.num_df, test.den_df) == pytest.approx((2, 28), rel=1e-9)


def test_a_variance_of_zero_counts_as_absent():
    data = BY_NAME["sleepstudy"].data().copy()
    data["pair"] = np.arange(len(data)) % 2
    with_zero = henderson.lmer("Reaction ~ Days + (1 | Subject) + (1 | pair)", data)
    assert with_zero.is_singular
    without = henderson.lmer("Reaction ~ Days + (1 | Subject)", data)
    ours, theirs = (m.summary(ddf="kenward-roger").coefficients for m in (with_zero, without))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_singular_covariance_matrices_have_finite_tests(monkeypatch):
    model = fit("ratpup_slope")
    data = BY_NAME["ratpup_slope"].data()
    singular = henderson.lmer("weight ~ sex + (sex * Lsize || Litter)", data)
    assert singular.is_singular
    first = kenward_roger.kenward_roger(singular)
    monkeypatch.setattr(kenward_roger, "DENSE", 0)
    second = kenward_roger.kenward_roger(singular)
    assert np.isfinite(first.df(np.eye(2))).all()
    np.testing.assert_allclose(first.covariance, second.covariance, rtol=1e-8)
    assert not model.is_singular


def test_maximum_likelihood_fits_are_fitted_again_and_say_so():
    model, by_reml = fit("sleepstudy_ml"), fit("sleepstudy")
    summary = model.summary(ddf="kenward-roger")
    expected = by_reml.summary(ddf="kenward-roger")
    np.testing.assert_allclose(summary.coefficients, expected.coefficients, rtol=1e-6)
    assert "fitted again by REML" in " ".join(str(summary).split())
    assert "fitted again by REML" in " ".join(str(model.anova(ddf="kenward-roger")).split())
    assert "fitted again" not in str(expected)
    assert not model.is_reml


def test_units_and_order_do_not_matter():
    data = BY_NAME["sleepstudy"].data()
    short = data[np.arange(len(data)) * 7 % 10 > 2]
    plain = henderson.lmer("Reaction ~ Days + (Days | Subject)", short).summary(ddf="kenward-roger").coefficients
    changed = short.sample(frac=1.0, random_state=3).assign(
        Reaction=lambda table: 1e-3 * table["Reaction"], Days=lambda table: 1e4 * table["Days"]
    )
    other = henderson.lmer("Reaction ~ Days + (Days | Subject)", changed).summary(ddf="kenward-roger").coefficients
    np.testing.assert_allclose(other[["df", "statistic"]], plain[["df", "statistic"]], rtol=1e-6)


@pytest.mark.parametrize("dense_up_to", [400, 0])
@pytest.mark.parametrize("shift, factor", [(2000, 1.0), (1e5, 1.0), (1e6, 1.0), (2000, 1e-3), (0, 1e6), (0, 1e-6)])
def test_the_origin_of_a_random_slope_does_not_matter(shift, factor, dense_up_to, monkeypatch):
    monkeypatch.setattr(kenward_roger, "DENSE", dense_up_to)
    data = BY_NAME["sleepstudy"].data()
    short = data[np.arange(len(data)) * 7 % 10 > 2]
    moved = short.assign(year=factor * (shift + short["Days"]))
    plain, other = (
        henderson.lmer(f"Reaction ~ {x} + ({x} | Subject)", moved).summary(ddf="kenward-roger").coefficients.iloc[1]
        for x in ("Days", "year")
    )
    rtol = 1e-4 if shift > 1e5 else 1e-6
    names = ["df", "statistic", "p_value"]
    np.testing.assert_allclose(other[names].astype(float), plain[names].astype(float), rtol=rtol)
    assert factor * other["std_error"] == pytest.approx(plain["std_error"], rel=rtol)


def test_constant_weights_do_not_matter():
    data = BY_NAME["sleepstudy"].data()
    plain = henderson.lmer("Reaction ~ Days + (1 | Subject)", data)
    weighted = henderson.lmer("Reaction ~ Days + (1 | Subject)", data, weights=np.full(len(data), 4.0))
    ours, theirs = (m.summary(ddf="kenward-roger").coefficients for m in (weighted, plain))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_memory_does_not_grow_with_the_square_of_the_rows():
    rng = np.random.default_rng(2)
    n = 10_000
    a, b = rng.integers(0, 500, n), rng.integers(0, 500, n)
    y = rng.normal(size=500)[a] + rng.normal(size=500)[b] + rng.normal(size=n)
    data = pd.DataFrame({"y": y, "x": rng.normal(size=n), "a": a, "b": b})
    model = henderson.lmer("y ~ x + (1 | a) + (1 | b)", data)
    tracemalloc.start()
    found = kenward_roger.kenward_roger(model)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # n x n would be 800 MB
    assert np.isfinite(found.df(np.eye(2))).all()


def test_a_model_without_fixed_effects_has_nothing_to_adjust():
    model = henderson.lmer("Reaction ~ 0 + (1 | Subject)", BY_NAME["sleepstudy"].data())
    assert model.vcov(kind="kenward-roger").shape == (0, 0)
    assert len(model.summary(ddf="kenward-roger").coefficients) == 0


@pytest.mark.parametrize("ratio", [1e2, 1e4, 1e6])
def test_large_variance_ratios_keep_their_digits(ratio):
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(20), 6)
    data = pd.DataFrame({"x": rng.normal(size=120), "g": group})
    data["y"] = 1 + data["x"] + np.sqrt(ratio) * rng.normal(size=20)[group] + rng.normal(size=120)
    model = henderson.lmer("y ~ x + (1 | g)", data)
    found = kenward_roger.kenward_roger(model)
    assert relative(found.covariance, dense.kenward_roger(model)[1]) < 1e-14 * ratio + 1e-10
    np.testing.assert_allclose(found.df(np.eye(2)), [19, 99], rtol=0.02)


@settings(max_examples=25)
@given(
    seed=strategies.integers(0, 10**6),
    levels=strategies.tuples(strategies.integers(3, 12), strategies.integers(3, 8)),
    formula=strategies.sampled_from(
        ["y ~ x + (1 | a)", "y ~ x * k + (1 | a) + (1 | b)", "y ~ k + (x | a)", "y ~ x + (x || a) + (1 | b)"]
    ),
    is_weighted=strategies.booleans(),
)
def test_any_design_agrees_with_dense_algebra(seed, levels, formula, is_weighted):
    rng = np.random.default_rng(seed)
    n = 70
    a, b = (rng.integers(0, count, n) for count in levels)
    a[: levels[0]], b[: levels[1]] = np.arange(levels[0]), np.arange(levels[1])
    data = pd.DataFrame({"x": rng.normal(size=n), "k": rng.choice(list("pqr"), n), "a": a, "b": b})
    data["y"] = 2 * rng.normal(size=12)[a] + rng.normal(size=8)[b] + data["x"] * rng.normal(size=12)[a]
    data["y"] += rng.normal(size=n)
    weights = rng.uniform(0.2, 3.0, n) if is_weighted else None
    model = henderson.lmer(formula, data, weights=weights)
    found = kenward_roger.kenward_roger(model)
    contrasts = np.eye(len(model.kept))
    assert (found.df(contrasts) > 0).all()
    if not model.is_singular:
        plain, adjusted, p, w = dense.kenward_roger(model)
        scale = np.sqrt(np.outer(np.diag(adjusted), np.diag(adjusted)))
        np.testing.assert_allclose(found.covariance / scale, adjusted / scale, atol=1e-7)
        slopes = np.array([np.diag(plain @ part @ plain) for part in p])
        expected = 2 * np.diag(plain) ** 2 / np.einsum("ri,rs,si->i", slopes, w, slopes)
        np.testing.assert_allclose(found.df(contrasts), expected, rtol=1e-6)
