"""Estimation by moments: exactly unbiased, the analysis of variance in balanced designs, standard errors that hold."""

import numpy as np
import pandas as pd
import pytest

import dense_moments
import henderson as hd
from henderson.moments.estimate import Job, _first_pass
from henderson.moments.forms import forms, solve, system
from henderson.moments.precision import covariance_of_forms
from henderson.moments.rows import checked_batch


def design(name, n=60, seed=3):
    """Codes, X (with its constant) and weights of a small unbalanced design."""
    generator = np.random.default_rng(seed)
    a, b, c = (np.append(np.arange(size), generator.integers(0, size, n - size)) for size in (9, 6, 4))
    b, c = generator.permutation(b), generator.permutation(c)
    x = np.column_stack(
        [np.ones(n), generator.normal(size=n), generator.normal(size=9)[a]]
    )  # the last is constant in a
    weights = None
    codes = {"one": [a], "crossed": [a, b], "three": [a, b, c], "nested": [a, a * 6 + b]}.get(name, [a, b])
    if name == "nested":
        codes[1] = np.unique(codes[1], return_inverse=True)[1]
    if name == "weighted":
        weights = generator.uniform(0.2, 3.0, n)
    if name == "intercept":
        x = x[:, :1]
    if name == "no intercept":
        x = x[:, 1:] + 4.0
    return codes, x, weights


NAMES = ("one", "crossed", "three", "nested", "weighted", "intercept", "no intercept")


def first_pass(y, x, codes, weights=None):
    has_intercept = bool(len(x.T)) and bool(np.all(x[:, 0] == 1.0))
    batch = checked_batch(y, x[:, 1:] if has_intercept else x, codes, weights, intercept=has_intercept)
    return _first_pass(Job(lambda: (batch,), True, None, None))


def raw_estimates(y, x, codes, weights=None):
    state = first_pass(y, x, codes, weights)
    return solve(forms(state.sums, state.tabs), state.groups)[0]


# ---------------------------------------- variances: exact algebra


@pytest.mark.parametrize("name", NAMES)
def test_the_moment_equations_are_the_traces_of_the_dense_forms(name):
    codes, x, weights = design(name)
    state = first_pass(np.arange(60.0) ** 1.3, x, codes, weights)
    dense = dense_moments.forms(x, codes, weights)
    np.testing.assert_allclose(
        system(forms(state.sums, state.tabs)), dense_moments.system(dense, codes, weights), rtol=1e-10, atol=1e-9
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_estimates_are_unbiased(name):
    """Over the 2n responses X beta +- sqrt(n) L e_r, LL' = V, any quadratic form has its expectation as its mean."""
    codes, x, weights = design(name, n=40)
    truth = np.array([*[1.7, 0.6, 0.9][: len(codes)], 0.8])
    root = np.linalg.cholesky(dense_moments.covariance(codes, truth, weights))
    mean = x @ np.linspace(-2.0, 3.0, x.shape[1])
    signs = [(sign, r) for sign in (-1.0, 1.0) for r in range(40)]
    found = [raw_estimates(mean + sign * np.sqrt(40.0) * root[:, r], x, codes, weights) for sign, r in signs]
    np.testing.assert_allclose(np.mean(found, axis=0), truth, rtol=1e-10)


@pytest.mark.parametrize("name", ["one", "crossed", "three", "nested", "intercept"])
def test_their_covariances_are_those_of_the_dense_forms(name):
    codes, x, _ = design(name)
    state = first_pass(np.arange(60.0) ** 1.3, x, codes)
    variances, fourth = (
        np.array([*[1.7, 0.6, 0.9][: len(codes)], 0.8]),
        np.array([*[5.0, -0.3, 2.0][: len(codes)], 0.0]),
    )
    if name == "intercept":
        fourth[-1] = 3.0  # with covariates the leverage of single rows is averaged
    parts = forms(state.sums, state.tabs)
    dense = dense_moments.covariance_of_forms(dense_moments.forms(x, codes), codes, variances, fourth)
    found = covariance_of_forms(state.sums, state.tabs, parts, variances, fourth)
    np.testing.assert_allclose(found, dense, rtol=1e-9, atol=1e-9 * np.abs(dense).max())


def test_covariances_from_random_signs_are_close_to_the_exact_ones(monkeypatch):
    generator = np.random.default_rng(5)
    codes = [generator.integers(0, 150, 3000), generator.integers(0, 120, 3000)]
    state = first_pass(generator.normal(size=3000), np.ones((3000, 1)), codes)
    parts, variances = forms(state.sums, state.tabs), np.array([0.4, 0.8, 1.0])
    found = covariance_of_forms(state.sums, state.tabs, parts, variances, np.zeros(3))
    monkeypatch.setattr("henderson.moments.precision.EXACT", 300)
    exact = covariance_of_forms(state.sums, state.tabs, parts, variances, np.zeros(3))
    assert not np.array_equal(found, exact)
    np.testing.assert_allclose(np.diag(found), np.diag(exact), rtol=0.02)


def test_henderson_iii_has_its_published_variances():
    """One factor, under normality: the formulas with t1, t2 and nu."""
    codes, x, _ = design("one")
    y = np.random.default_rng(2).normal(size=60) + np.random.default_rng(3).normal(size=9)[codes[0]]
    fit = hd.fit_moments(y, x[:, 1:], codes)
    z, projection = dense_moments.indicators(codes[0]), dense_moments.residual_projection(x)
    rank = np.linalg.matrix_rank(np.hstack([z, x]))
    sa2, s2 = fit.variance_components.variance
    nu, g, b, d = rank - 3, np.linalg.inv(x.T @ x), z.T @ x, np.diag(z.sum(axis=0))
    t1 = np.trace(z.T @ projection @ z)
    t2 = np.sum(np.diag(d) ** 2) - 2 * np.trace(g @ b.T @ d @ b) + np.trace(np.linalg.matrix_power(b.T @ b @ g, 2))
    of_s2 = 2 * s2**2 / (60 - rank)
    of_sa2 = (2 * (nu * s2**2 + 2 * t1 * s2 * sa2 + t2 * sa2**2) + nu**2 * of_s2) / t1**2
    expected = np.array([[of_sa2, -nu * of_s2 / t1], [-nu * of_s2 / t1, of_s2]])
    np.testing.assert_allclose(fit.variance_components.covariance, expected, rtol=1e-9)


BALANCED = {
    "dyestuff": "Yield ~ 1 + (1 | Batch)",
    "penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "pastes": "strength ~ 1 + (1 | batch / cask)",
    "sleepstudy": "Reaction ~ Days + (1 | Subject)",
}


@pytest.mark.parametrize("name", BALANCED)
def test_in_balanced_designs_moments_are_reml_and_the_analysis_of_variance(name):
    data = getattr(hd.datasets, f"load_{name}")()
    moments, reml = hd.lmer(BALANCED[name], data, method="moments"), hd.lmer(BALANCED[name], data, tolerance=1e-16)
    np.testing.assert_allclose(
        moments.varcorr.to_frame()["vcov"], reml.varcorr.to_frame()["vcov"], rtol=1e-6
    )  # as far as an optimiser finds it
    np.testing.assert_allclose(moments.fixef, reml.fixef, rtol=1e-10)
    if name == "dyestuff":
        table = data.groupby("Batch", observed=True)["Yield"]
        within = float(((data["Yield"] - table.transform("mean")) ** 2).sum()) / 24
        between = 5 * float(((table.mean() - data["Yield"].mean()) ** 2).sum()) / 5
        exact = [(between - within) / 5, within]
        np.testing.assert_allclose(moments.variance_components.raw, exact, rtol=1e-10)
        np.testing.assert_allclose(moments.vcov().iloc[0, 0], between / 30, rtol=1e-10)


def test_a_negative_estimate_is_reported_as_zero_with_its_raw_value():
    fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff2(), method="moments")
    assert fit.variance_components["Batch"] == 0.0 == fit.varcorr["Batch"].iloc[0, 0]
    assert fit.variance_components.raw[0] < 0
    assert "Negative variance estimates" in str(fit)
    assert ".raw" in str(fit)
    np.testing.assert_allclose(fit.fixef.iloc[0], hd.datasets.load_dyestuff2()["Yield"].mean())


# ---------------------------------------- fixed effects


@pytest.mark.parametrize("name", NAMES)
def test_fixed_effects_are_generalized_least_squares(name):
    codes, x, weights = design(name)
    generator = np.random.default_rng(8)
    y = x @ np.arange(1.0, 1 + x.shape[1]) + generator.normal(size=60)
    y = y + sum(generator.normal(size=60)[each] for each in codes)
    has_intercept = name != "no intercept"
    fit = hd.fit_moments(y, x[:, 1:] if has_intercept else x, codes, weights=weights, intercept=has_intercept)
    v = dense_moments.covariance(codes, fit.variance_components.variance, weights)
    beta, spread = dense_moments.least_squares(y, x, v)
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(fit.vcov().to_numpy(), spread, rtol=1e-8, atol=1e-10)
    robust = dense_moments.sandwich(y, x, v, codes)
    found = fit.vcov("cluster").to_numpy()
    if np.linalg.eigvalsh(robust)[0] > 0:
        np.testing.assert_allclose(found, robust, rtol=1e-7, atol=1e-10)
    else:
        assert np.linalg.eigvalsh(found)[0] > -1e-12


def test_a_cluster_robust_covariance_with_replicated_cells_is_positive_definite_here():
    """So that the test above compares with the dense sandwich where cells have several rows."""
    codes, x, _ = design("intercept")
    assert len(np.unique(np.column_stack(codes), axis=0)) < 60
    y = np.random.default_rng(8).normal(size=60) + np.random.default_rng(9).normal(size=9)[codes[0]]
    fit = hd.fit_moments(y, None, codes)
    v = dense_moments.covariance(codes, fit.variance_components.variance)
    np.testing.assert_allclose(fit.vcov("cluster").iloc[0, 0], dense_moments.sandwich(y, x, v, codes)[0, 0], rtol=1e-8)


def test_columns_that_earlier_ones_determine_are_dropped_and_named():
    codes, x, _ = design("crossed")
    y = np.random.default_rng(1).normal(size=60) + np.random.default_rng(9).normal(size=9)[codes[0]]
    more = np.column_stack([x[:, 1], 2.0 * x[:, 1] - 7.0, np.full(60, 0.1), x[:, 2]])
    fit = hd.fit_moments(y, more, codes, names=["x", "again", "constant", "z"])
    without = hd.fit_moments(y, x[:, 1:], codes)
    assert np.isnan(fit.fixef[["again", "constant"]]).all()
    np.testing.assert_allclose(fit.fixef[["(Intercept)", "x", "z"]], without.beta, rtol=1e-10)
    assert "again, constant" in str(fit)
    assert "again " not in str(fit).split("Fixed effects:")[1].split("Dropped")[0]


# ---------------------------------------- standard errors


def laplace(generator, size, variance):
    return generator.laplace(size=size, scale=np.sqrt(variance / 2.0))


def normal(generator, size, variance):
    return np.sqrt(variance) * generator.normal(size=size)


@pytest.mark.parametrize("draw", [normal, laplace], ids=["normal", "heavy-tailed"])
def test_standard_errors_agree_with_the_spread_of_simulated_estimates(draw):
    """300 replicates: the standard deviation of an estimate is known to 4 % (normal) to 8 %."""
    generator = np.random.default_rng(11)
    codes = [np.append(np.arange(size), generator.integers(0, size, 2400 - size)) for size in (200, 120)]
    codes[1] = generator.permutation(codes[1])
    truth = np.array([1.0, 0.5, 1.0])
    estimates, squares = [], []
    for _ in range(300):
        y = 3.0 + draw(generator, 200, 1.0)[codes[0]] + draw(generator, 120, 0.5)[codes[1]] + draw(generator, 2400, 1.0)
        fit = hd.fit_moments(y, codes=codes)
        estimates.append([*fit.variance_components.raw, fit.beta[0]])
        squares.append([*np.diag(fit.variance_components.covariance), fit.vcov().iloc[0, 0]])
    spread, claimed = np.std(estimates, axis=0, ddof=1), np.sqrt(np.mean(squares, axis=0))
    np.testing.assert_allclose(np.mean(estimates, axis=0)[:3], truth, atol=4 * spread[:3].max() / np.sqrt(300))
    np.testing.assert_allclose(claimed, spread, rtol=0.16)


def test_normal_standard_errors_would_be_far_too_small_for_heavy_tails():
    generator = np.random.default_rng(12)
    codes = np.repeat(np.arange(2000), 3)
    y = laplace(generator, 2000, 1.0)[codes] + laplace(generator, 6000, 1.0)
    fit = hd.fit_moments(y, codes=codes)
    assert 1.5 < fit.cumulants[0] < 5.0
    assert 1.5 < fit.cumulants[1] < 5.0
    state = first_pass(y, np.ones((6000, 1)), [codes])
    parts = forms(state.sums, state.tabs)
    inverse = solve(parts, state.groups)[1]
    gaussian = inverse @ covariance_of_forms(
        state.sums, state.tabs, parts, fit.variance_components.variance, np.zeros(2)
    )
    assert np.sqrt((gaussian @ inverse.T)[1, 1]) < 0.75 * fit.variance_components.std_error[1]


def test_the_pair_estimator_is_the_mean_product_of_pairs():
    codes, x, _ = design("one")
    y = np.random.default_rng(8).normal(size=60) + np.random.default_rng(9).normal(size=9)[codes[0]]
    fit = hd.fit_moments(y, x[:, 1:], codes)
    residuals = y - x @ fit.beta
    alike = (codes[0][:, None] == codes[0][None, :]) & ~np.eye(60, dtype=bool)
    products = np.outer(residuals, residuals)
    between = products[alike].mean()
    np.testing.assert_allclose(fit.pair_estimates.raw, [between, np.mean(residuals**2) - between], rtol=1e-10)
    by_group = [
        np.sum((products - between)[np.ix_(own, own)][alike[np.ix_(own, own)]])
        for own in (np.flatnonzero(codes[0] == level) for level in range(9))
    ]
    np.testing.assert_allclose(fit.pair_estimates.std_error[0], np.linalg.norm(by_group) / alike.sum(), rtol=1e-10)
    pairs = hd.fit_moments(y, x[:, 1:], codes, estimator="pairs")
    assert pairs.estimator == "pairs"
    v = dense_moments.covariance(codes, pairs.variance_components.variance)
    np.testing.assert_allclose(pairs.beta, dense_moments.least_squares(y, x, v)[0], rtol=1e-10)


# ---------------------------------------- group sizes


def rated(seed=6, users=3000):
    """Users who rate often rate lower: by 0.05 for each rating."""
    generator = np.random.default_rng(seed)
    sizes = 1 + generator.poisson(6.0, users)
    user = np.repeat(np.arange(users), sizes)
    item = generator.integers(0, 150, len(user))
    effects = generator.normal(scale=0.5, size=users) - 0.05 * (sizes - sizes.mean())
    y = 4.0 + effects[user] + generator.normal(scale=0.3, size=150)[item] + generator.normal(size=len(user))
    return pd.DataFrame({"rating": y, "user": user, "item": item}), sizes


def test_the_effect_of_the_group_size_is_recovered():
    data, sizes = rated()
    fit = hd.lmer("rating ~ 1 + (1 | user) + (1 | item)", data, method="moments", group_size_effect="user")
    effect = fit.group_size_effect["user"]
    assert fit.names == ("(Intercept)", "N(user)")
    assert abs(effect.estimate + 0.05) < 4 * effect.std_error
    assert effect.statistic < -5
    assert abs(fit.variance_components["user"] - 0.25) < 4 * fit.variance_components.std_error[0]
    without = hd.lmer("rating ~ 1 + (1 | user) + (1 | item)", data, method="moments")
    assert without.group_size_effect == {}
    assert without.variance_components["user"] > fit.variance_components["user"]
    assert effect.levels == 3000
    assert effect.mean_size == pytest.approx(sizes.mean())
    assert effect.mean_size_of_rows == pytest.approx(np.mean(sizes[data["user"]]))
    means = data.groupby("user")["rating"].mean()
    assert effect.correlation == pytest.approx(np.corrcoef(sizes, means)[0, 1])
    assert effect.covariance == pytest.approx(np.cov(sizes, means)[0, 1])
    assert effect.mean_of_groups == pytest.approx(means.mean())
    assert effect.mean_of_rows == pytest.approx(data["rating"].mean())
    assert "Effect of one row more: -0.0" in str(effect)
    assert "Correlation of size" in str(fit)
    assert "Effect of one row more" in fit._repr_html_()


def test_a_group_size_column_is_the_same_as_one_in_the_table():
    data, _ = rated(users=300)
    data["x"] = np.random.default_rng(1).normal(size=len(data))
    for group in ("user", "item"):
        data[f"n_{group}"] = data.groupby(group)["rating"].transform("size").astype(float)
    found = hd.lmer("rating ~ x + (1 | user) + (1 | item)", data, method="moments", group_size_effect=True)
    direct = hd.lmer("rating ~ x + n_user + n_item + (1 | user) + (1 | item)", data, method="moments")
    np.testing.assert_allclose(found.beta, direct.beta, rtol=1e-9)
    for kind in ("model", "cluster"):
        np.testing.assert_allclose(found.vcov(kind).to_numpy(), direct.vcov(kind).to_numpy(), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found.variance_components.raw, direct.variance_components.raw, rtol=1e-9)


def test_equal_group_sizes_have_no_effect_to_estimate():
    fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff(), method="moments", group_size_effect=True)
    assert np.isnan(fit.group_size_effect["Batch"].estimate)
    assert "same size" in str(fit)
    assert fit.fixef["(Intercept)"] == pytest.approx(1527.5)
