"""Fourth cumulants, which make standard errors of variances right for distributions that are not normal."""

import numpy as np
import pytest

import dense_moments
import henderson as hd
from henderson.moments import cumulants
from henderson.moments.second_pass import Residuals
from test_moments import design, first_pass


def test_light_tails_have_negative_cumulants_and_none_below_what_is_possible():
    """Effects of +1 and -1: the fourth cumulant of no distribution is less than their -2 sigma⁴."""
    generator = np.random.default_rng(13)
    codes = np.repeat(np.arange(1000), 10)
    y = generator.choice([-1.0, 1.0], 1000)[codes] + 0.3 * generator.normal(size=10_000)
    fit = hd.fit_moments(y, codes=codes)
    variance = fit.variance_components.variance[0]
    assert -2.0 * variance**2 <= fit.cumulants[0] < -1.8 * variance**2
    assert fit.variance_components.std_error[0] < 0.5 * np.sqrt(2.0 / 1000)


def test_fourth_powers_of_differences_have_the_expectation_that_is_solved_for():
    """Term by term, against loops over all pairs of rows."""
    codes, x, _ = design("three", n=30)
    state = first_pass(np.random.default_rng(1).normal(size=30), x[:, :1], codes)
    residuals = np.random.default_rng(4).normal(size=30)
    variances = np.array([1.7, 0.6, 0.9, 0.8])
    for k in range(3):
        own = codes[k]
        fourth, squared, differ = 0.0, 0.0, np.zeros(4)
        for r in range(30):
            for s in range(30):
                if r == s or own[r] != own[s]:
                    continue
                d = np.array([each[r] != each[s] for each in codes] + [True])
                share = 1.0 / np.sum(own == own[r])
                fourth += share / 2.0 * (residuals[r] - residuals[s]) ** 4
                squared += share * (2.0 * d @ variances) ** 2
                differ += share * d
        counts = np.bincount(own).astype(float)
        powers = np.array([np.bincount(own, residuals**power) for power in (1, 2, 3, 4)])
        np.testing.assert_allclose(cumulants._fourth_powers(powers, counts), fourth, rtol=1e-10)
        found = cumulants._squared_variances(state.sums, state.tabs, k, variances, differ)
        np.testing.assert_allclose(found, squared, rtol=1e-10)
        same = [30.0 - cumulants._same(state.sums, state.tabs, (k, m)) for m in range(3)]
        np.testing.assert_allclose(same, differ[:3], atol=1e-10)


@pytest.mark.parametrize("name", ["one", "three", "nested", "no intercept"])
def test_means_of_levels_have_the_variances_and_cumulants_that_are_solved_for(name):
    """Against n x n matrices: m = (Z'Z)^-1 Z'C y, C taking the mean of all rows away where there is a constant."""
    codes, x, _ = design(name)
    state = first_pass(np.arange(60.0) ** 1.3, x[:, :1], codes)
    variances = [*[1.7, 0.6, 0.9][: len(codes)], 0.8]
    residuals = np.random.default_rng(4).normal(size=60)
    v = dense_moments.covariance(codes, variances)
    centre = np.eye(60) if name == "no intercept" else np.eye(60) - 1.0 / 60.0
    for k, own in enumerate(codes):
        averaging = (lambda z: (z / z.sum(axis=0)).T)(dense_moments.indicators(own))
        spread = np.diag(averaging @ centre @ v @ centre @ averaging.T)
        weights = spread**-4.0 / np.sum(spread**-4.0)
        parts = [*(dense_moments.indicators(each) for each in codes), np.eye(60)]
        shares = [np.sum(weights @ (averaging @ part) ** 4) for part in parts]
        powers = np.array([np.bincount(own, residuals**power) for power in (1, 2, 3, 4)])
        found = Residuals(np.zeros(4), [powers] * len(codes), [])
        coefficients, right = cumulants._of_levels(state.sums, state.tabs, found, k, np.array(variances))
        np.testing.assert_allclose(coefficients, shares, rtol=1e-10)
        expected = weights @ (averaging @ residuals) ** 4 - 3.0 * weights @ spread**2
        np.testing.assert_allclose(right, expected, rtol=1e-10)


def test_a_heavy_tailed_factor_does_not_pass_for_the_tails_of_another():
    """Effects of +1 and -1 beside exponential ones and errors, long-tailed group sizes, 60 replicates."""
    generator = np.random.default_rng(7)
    codes = []
    for levels in (300, 150):
        shares = generator.lognormal(0.0, 1.2, levels)
        drawn = generator.choice(levels, 4000, p=shares / shares.sum())
        codes.append(np.unique(drawn, return_inverse=True)[1])
    estimates, claimed = [], []
    for _ in range(60):
        effects = 0.6 * (generator.exponential(size=300) - 1.0), 0.5 * generator.choice([-1.0, 1.0], 150)
        y = effects[0][codes[0]] + effects[1][codes[1]] + generator.exponential(size=4000)
        fit = hd.fit_moments(y, codes=codes)
        estimates.append(fit.variance_components.raw[1])
        claimed.append(fit.variance_components.std_error[1])
        assert fit.cumulants[1] == pytest.approx(-0.125, abs=0.09)
    assert np.sqrt(np.mean(np.square(claimed))) < 1.6 * np.std(estimates, ddof=1)


def test_a_factor_of_few_levels_leaves_the_cumulants_of_the_others():
    generator = np.random.default_rng(8)
    few, many = generator.integers(0, 20, 20_000), generator.integers(0, 2000, 20_000)
    y = generator.normal(size=20)[few] + generator.laplace(size=2000)[many] + generator.laplace(size=20_000)
    fit = hd.fit_moments(y, codes=[few, many], groups=["few", "many"])
    assert fit.cumulants[0] == 0.0
    assert np.all((fit.cumulants[1:] > 6.0) & (fit.cumulants[1:] < 20.0))  # truly 12
    assert "take few as normally distributed" in " ".join(str(fit).split())


def test_pairs_that_differ_in_a_factor_of_few_levels_say_nothing_about_the_errors():
    generator = np.random.default_rng(9)
    codes = [generator.integers(0, 24, 1500), generator.integers(0, 6, 1500)]
    y = generator.normal(size=24)[codes[0]] + generator.normal(size=6)[codes[1]] + generator.exponential(size=1500)
    fit = hd.fit_moments(y, codes=codes, groups=["plate", "sample"])
    assert not fit.cumulants.any()
    assert "take plate, sample, Residual as normally distributed" in " ".join(str(fit).split())
    single = hd.fit_moments(y - generator.normal(size=6)[codes[1]], codes=codes[0], groups=["plate"])
    assert single.cumulants[1] != 0.0  # pairs of rows of one plate differ in their errors only
