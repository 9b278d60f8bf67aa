"""Normality of residuals and random effects: standard deviations by dense algebra, R's tests."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import henderson
from diagnostic_cases import NAMES, REFERENCES, Dense, fitted, references
from henderson import DataError
from henderson.diagnostics.normality_tests import anderson_darling, shape_of
from henderson.diagnostics.standardized_effects import standardized_effects


@pytest.mark.parametrize("name", NAMES)
def test_standardized_random_effects_are_divided_by_their_own_standard_deviations(name):
    fit, dense = fitted(name), Dense(fitted(name))
    Z, Lambda = fit.Z.toarray(), fit.Lambda.toarray()
    psi = Lambda @ Lambda.T
    linear = psi @ Z.T @ dense.P
    covariance = fit.sigma**2 * linear @ dense.V @ linear.T
    start = 0
    for term in standardized_effects(fit):
        levels, size = term.modes.shape
        modes = (linear @ dense.y)[start : start + levels * size].reshape(levels, size)
        np.testing.assert_allclose(term.modes, modes, atol=1e-6 * (np.abs(modes).max() + 1e-12))
        for j in range(levels):
            own = slice(start + j * size, start + (j + 1) * size)
            np.testing.assert_allclose(term.covariances[j], covariance[own, own], atol=1e-9 * fit.sigma**2)
            values, vectors = np.linalg.eigh(covariance[own, own])
            is_positive = values > 1e-7 * max(values.max(), 1e-12 * fit.sigma**2)
            along = vectors[:, is_positive].T @ term.modes[j]
            distance, rank = (part[j] for part in term.distances())
            assert rank == is_positive.sum()
            assert distance == pytest.approx(np.sum(along**2 / values[is_positive]), rel=1e-5, abs=1e-9)
        start += levels * size


def test_standardized_random_effects_have_variance_one_where_shrunken_ones_do_not():
    rng = np.random.default_rng(8)
    sizes = rng.integers(1, 8, 400)
    g = np.repeat(np.arange(400), sizes)
    data = pd.DataFrame({"g": g, "y": rng.normal(size=400)[g] + rng.normal(size=len(g))})
    fit = henderson.lmer("y ~ 1 + (1 | g)", data)
    (term,) = standardized_effects(fit)
    assert np.var(term.standardized) == pytest.approx(1.0, abs=0.15)
    assert np.var(fit.ranef["g"].to_numpy() / fit.varcorr.terms[0].std_dev) < 0.85
    frame = term.to_frame()
    assert frame.index.tolist() == list(range(400))
    assert frame.index.name == "g"
    np.testing.assert_array_equal(frame["(Intercept)"], term.standardized[:, 0])
    assert term.shares[0] == pytest.approx(np.var(term.modes) / fit.varcorr.terms[0].std_dev[0] ** 2, abs=0.1)


@pytest.mark.parametrize("name", REFERENCES)
def test_tests_of_normality_are_those_of_r(name):
    fit, reference = fitted(name), references()[name]
    for test in ("shapiro", "anderson"):
        found = fit.normality(test=test).residuals.shape
        statistic, p_value = reference[test]
        assert found.statistic == pytest.approx(statistic, rel=1e-4)
        assert found.p_value == pytest.approx(p_value, rel=5e-3)
    values = fit.residuals("standardized")
    assert found.skewness == pytest.approx(stats.skew(values), abs=1e-10)
    assert found.kurtosis == pytest.approx(stats.kurtosis(values), abs=1e-10)


def test_p_values_of_anderson_and_darling_are_uniform_for_normal_samples():
    rng = np.random.default_rng(11)
    p_values = [anderson_darling(rng.normal(3, 5, 60))[1] for _ in range(2000)]
    for level in (0.01, 0.05, 0.2, 0.5, 0.8):
        assert np.mean(np.array(p_values) < level) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 2000))


def test_the_test_suits_the_number_of_values():
    rng = np.random.default_rng(2)
    assert shape_of(rng.normal(size=5000)).test == "shapiro"
    assert shape_of(rng.normal(size=5001)).test == "anderson"
    assert shape_of(rng.normal(size=6000), "shapiro").test == "shapiro"
    few = shape_of(np.array([1.0, 2.0]))
    assert np.isnan(few.p_value)
    assert few.n == 2
    assert np.isnan(shape_of(np.ones(20)).statistic)
    assert np.isnan(shape_of(np.zeros(0)).skewness)


def test_the_report_finds_effects_that_are_not_normal_and_says_what_cannot_be_seen():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(60), 40)
    two = np.where(rng.random(60) < 0.2, 4.0, -1.0)
    x = rng.normal(size=2400)
    data = pd.DataFrame({"g": g, "x": x, "y": two[g] + rng.normal(size=2400) + rng.normal(size=60)[g] * x})
    found = henderson.lmer("y ~ x + (x | g)", data).normality()
    intercepts, slopes = found.effects
    assert intercepts.label == "(Intercept) | g"
    assert intercepts.shape.p_value < 1e-6
    assert intercepts.shape.skewness > 0.8
    assert slopes.shape.p_value > 0.01
    assert found.residuals.shape.p_value > 0.01
    assert found.distances[0].df == 2
    theoretical, distances = found.distances[0].quantile_plot()
    assert theoretical[-1] == pytest.approx(stats.chi2.ppf(59.5 / 60, 2))
    assert np.all(np.diff(distances) >= 0)
    quantiles, values = intercepts.quantile_plot()
    assert quantiles[0] == pytest.approx(stats.norm.ppf(0.5 / 60))
    assert values[-1] == intercepts.values.max()
    frame = found.to_frame()
    assert frame["what"].tolist() == ["Residuals", "(Intercept) | g", "x | g", "g"]
    assert "<table>" in found._repr_html_()
    assert "Squared distances" in str(found)
    few = fitted("pastes_nested").normality()
    assert "(Intercept) | batch: 33 % of the variance shows in the predictions" in " ".join(str(few).split())
    none = fitted("dyestuff2_singular").normality()
    assert "(Intercept) | Batch has no estimated variance and is left out" in str(none)
    assert none.effects == ()


def test_with_many_rows_the_report_warns_that_everything_is_significant():
    rng = np.random.default_rng(1)
    g = np.arange(6000) % 50
    data = pd.DataFrame({"g": g, "y": rng.normal(size=50)[g] + rng.normal(size=6000)})
    found = henderson.lmer("y ~ 1 + (1 | g)", data).normality()
    assert found.residuals.shape.test == "anderson"
    assert found.effects[0].shape.test == "shapiro"
    assert "With n = 6000 the tests find departures that do not matter" in str(found)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda fit: fit.normality(test="ks"), "test is 'ks'.*shapiro"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(call, message):
    with pytest.raises(DataError, match=message):
        call(fitted("sleepstudy"))
