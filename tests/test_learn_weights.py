"""MixedEffectsRegressor with sample_weight: precision weights, in the random effects and in the learner."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")
from sklearn import config_context
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import henderson as hd
from henderson.learn import LinearMixedRegressor, MixedEffectsRegressor

EXACT = {"features": ["x", "v"], "max_iter": 2000, "tol": 1e-12}


def simulated(n=500, seed=8):
    """Residual variance 1 / weight; crossed groups, slopes of x in the first; some rows of weight zero."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=n), "v": rng.normal(size=n), "weight": rng.gamma(1.0, 2.0, n) + 0.05})
    data["a"], data["b"] = rng.integers(0, 25, n), rng.choice([f"b{k}" for k in range(12)], n)
    slopes = rng.normal(size=(25, 2)) @ [[1.0, 0.3], [0.0, 0.5]]
    data["y"] = 1 + data["x"] - 0.5 * data["v"] + slopes[data["a"], 0] + slopes[data["a"], 1] * data["x"]
    data["y"] += data["b"].map({f"b{k}": each for k, each in enumerate(rng.normal(size=12))})
    data["y"] += rng.normal(size=n) / np.sqrt(data["weight"])
    data.loc[::20, "weight"] = 0.0
    return data


DATA = simulated()
X, Y, W = DATA[["x", "v", "a", "b"]], DATA["y"], DATA["weight"]


def assert_same(model, fit, tolerance):
    learned = [model.fixed_effects_model_.intercept_, *model.fixed_effects_model_.coef_]
    np.testing.assert_allclose(learned, fit.fixef, atol=tolerance)
    frames = [varcorr.to_frame()["vcov"].astype(float) for varcorr in (model.varcorr_, fit.varcorr)]
    np.testing.assert_allclose(*frames, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(model.predict(X), fit.predict(DATA), atol=10 * tolerance)
    assert model.history_["deviance"].iloc[-1] == pytest.approx(fit.criterion, abs=1e-8 * len(DATA))


@pytest.mark.parametrize("random_effects", ["(1 | a)", "(1 + x | a)", "(1 + x | a) + (1 | b)"])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_weighted_least_squares_is_the_weighted_fit_of_lmer(random_effects, method):
    model = MixedEffectsRegressor(LinearRegression(), random_effects, method=method, **EXACT).fit(X, Y, W)
    fit = hd.lmer(f"y ~ x + v + {random_effects}", DATA, weights="weight", reml=method == "reml")
    assert_same(model, fit, 1e-6)


def test_em_steps_with_weights_converge_to_the_weighted_fit():
    model = MixedEffectsRegressor(LinearRegression(), "(1 + x | a)", method="em", **EXACT).fit(X, Y, W)
    assert_same(model, hd.lmer("y ~ x + v + (1 + x | a)", DATA, weights="weight", reml=False), 3e-5)
    assert (np.diff(model.history_["deviance"]) < 1e-8).all()


@pytest.mark.parametrize("method", ["reml", "em"])
def test_weights_count_up_to_a_factor_that_sigma_takes(method):
    one = MixedEffectsRegressor(LinearRegression(), "(1 + x | a)", method=method, features=["x", "v"])
    sigma = one.fit(X, Y, W).sigma_
    expected, deviances = one.predict(X), one.history_["deviance"]
    one.fit(X, Y, 100.0 * W)
    np.testing.assert_allclose(one.predict(X), expected, rtol=1e-8)
    assert one.sigma_ == pytest.approx(10 * sigma, rel=1e-8)
    np.testing.assert_allclose(one.history_["deviance"], deviances, rtol=1e-10)


def test_rows_of_weight_zero_are_left_out():
    kept = DATA["weight"] > 0
    learner = RandomForestRegressor(20, min_samples_leaf=20)  # in small leaves rounding decides between splits
    model = MixedEffectsRegressor(learner, "(1 | a) + (1 | b)", features=["x", "v"], random_state=1, tol=2.0)
    all_rows = model.fit(X, Y, W).predict(X)
    np.testing.assert_allclose(model.fit(X[kept], Y[kept], W[kept]).predict(X), all_rows, rtol=1e-10)
    strange = X.assign(a=np.where(kept, X["a"], 99))
    assert 99 not in model.fit(strange, Y, W).ranef_["a"].index


@pytest.mark.parametrize("package", ["polars", "pyarrow", "numpy"])
def test_other_tables_and_arrays_have_weights_too(package):
    expected = MixedEffectsRegressor(LinearRegression(), "(1 + x | a)", **EXACT).fit(X, Y, W)
    model, given, groups = MixedEffectsRegressor(LinearRegression(), "(1 + x | a)", **EXACT), X[["x", "v", "a"]], None
    if package == "numpy":
        model.set_params(random_effects="(1 + x0 | groups)", features=None)
        given, groups = X[["x", "v"]].to_numpy(), X["a"].to_list()
    elif package == "polars":
        given = pytest.importorskip("polars").from_pandas(given)
    else:
        given = pytest.importorskip("pyarrow").Table.from_pandas(given)
    model.fit(given, Y.to_numpy(), W.to_list(), groups=groups)
    np.testing.assert_allclose(model.predict(given, groups), expected.predict(X), rtol=1e-9)


@pytest.mark.parametrize("is_routing", [False, True])
def test_pipelines_hand_weights_to_their_last_step(is_routing):
    inner = make_pipeline(StandardScaler(), LinearRegression())
    expected = MixedEffectsRegressor(LinearRegression(), "(1 | a)", **EXACT).fit(X, Y, W)
    for learner in (inner, make_pipeline(StandardScaler(), inner)):
        with config_context(enable_metadata_routing=is_routing):
            model = MixedEffectsRegressor(learner, "(1 | a)", **EXACT).fit(X, Y, W)
        np.testing.assert_allclose(model.predict(X), expected.predict(X), rtol=1e-9)
        assert model.sigma_ == pytest.approx(expected.sigma_, rel=1e-9)


def test_other_learners_take_weights():
    model = MixedEffectsRegressor(HistGradientBoostingRegressor(max_iter=20), "(1 | a)", features=["x", "v"], tol=2.0)
    with threadpool_limits(1):
        weighted = model.fit(X, Y, W).score(X, Y, W)
        assert weighted > model.fit(X, Y).score(X, Y, W)
    assert model.score(X, Y, W) == pytest.approx(r2_score(Y, model.predict(X), sample_weight=W))
    assert model.score(X, Y) == pytest.approx(r2_score(Y, model.predict(X)))
    search = GridSearchCV(LinearRegression(), {"fit_intercept": [True]}, cv=2)
    found = MixedEffectsRegressor(search, "(1 | a)", features=["x", "v"], tol=1e-9).fit(X, Y, W)
    expected = MixedEffectsRegressor(LinearRegression(), "(1 | a)", **EXACT).fit(X, Y, W)
    np.testing.assert_allclose(found.predict(X), expected.predict(X), atol=0.05)


def test_without_groups_only_the_learner_has_weights():
    model = MixedEffectsRegressor(LinearRegression(), features=["x", "v"]).fit(X, Y, W)
    other = LinearRegression().fit(X[["x", "v"]], Y, W)
    np.testing.assert_array_equal(model.predict(X), other.predict(X[["x", "v"]]))


def test_weights_and_groups_are_routed():
    with config_context(enable_metadata_routing=True):
        model = MixedEffectsRegressor(LinearRegression()).set_fit_request(groups=True, sample_weight=True)
        model.set_score_request(groups=True, sample_weight=True).set_predict_request(groups=True)
        given = {"groups": X["a"], "sample_weight": W + 0.1}
        folds = KFold(4, shuffle=True, random_state=0)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        found = cross_validate(pipeline, X[["x", "v"]], Y, params=given, cv=folds)["test_score"]
        linear = LinearMixedRegressor().set_fit_request(groups=True, sample_weight=True)
        linear.set_score_request(groups=True, sample_weight=True)
        expected = cross_validate(linear, X[["x", "v"]], Y, params=given, cv=folds)["test_score"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "learner, weights, message",
    [
        (KNeighborsRegressor(20), W, "KNeighborsRegressor takes no sample_weight"),
        (make_pipeline(StandardScaler(), KNeighborsRegressor(20)), W, "KNeighborsRegressor takes no sample_weight"),
        (LinearRegression(), -W, "weights is -.* in row 1"),
        (LinearRegression(), W[:3], r"sample_weight.shape == \(3,\)"),
        (LinearRegression(), ["a"] * len(Y), "sample_weight cannot be read as numbers"),
        (LinearRegression(), 0 * W, "at least one non-zero"),
        (LinearRegression(), W.where(W > 1), "NaN"),
    ],
)
def test_weights_that_cannot_be_used_are_explained(learner, weights, message):
    with pytest.raises(ValueError, match=message):
        MixedEffectsRegressor(learner, "(1 | a)", features=["x", "v"]).fit(X, Y, weights)
