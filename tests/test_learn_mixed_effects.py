"""MixedEffectsRegressor: the fixed points of its steps, predictions, what the learner sees, conventions."""

import pickle

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor, StackingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import _num_samples

import henderson as hd
from henderson.learn import MixedEffectsRegressor

EXACT = {"max_iter": 2000, "tol": 1e-12}


def simulated(n=400, levels=(20, 12), seed=3):
    """Two crossed factors with slopes on the first, and a nested one."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=n), "w": rng.uniform(1, 3, n)})
    data["a"], data["b"] = (rng.integers(0, count, n) for count in levels)
    data["c"] = rng.integers(0, 3, n)
    effects = rng.normal(size=(levels[0], 2))[data["a"]]
    data["y"] = 3 + data["x"] - data["w"] + effects[:, 0] + 0.5 * effects[:, 1] * data["x"]
    data["y"] += rng.normal(size=levels[1])[data["b"]] + 0.7 * rng.normal(size=(levels[0], 3))[data["a"], data["c"]]
    data["y"] += rng.normal(size=n)
    return data


DATA = simulated()
RANDOM = ("(1 | a)", "(1 + x | a)", "(1 + x || a) + (1 | b)", "(1 | a/c) + (1 | b)", "(1 | a) + (0 + w | b)")


def fitted(random_effects, data=DATA, **options):
    model = MixedEffectsRegressor(LinearRegression(), random_effects, features=["x", "w"], **EXACT | options)
    return model.fit(data.drop(columns="y"), data["y"])


def assert_is_fit_of_lmer(model, fit, tolerance=1e-6):
    learned = [model.fixed_effects_model_.intercept_, *model.fixed_effects_model_.coef_]
    np.testing.assert_allclose(learned, fit.fixef, atol=tolerance)
    np.testing.assert_allclose(model.sigma_, fit.sigma, rtol=tolerance)
    frames = [varcorr.to_frame()["vcov"].astype(float) for varcorr in (model.varcorr_, fit.varcorr)]
    np.testing.assert_allclose(*frames, rtol=tolerance, atol=tolerance * fit.sigma**2)
    np.testing.assert_allclose(model.predict(DATA.drop(columns="y")), fit.fitted, atol=10 * tolerance)
    for label, table in model.ranef_.items():
        np.testing.assert_allclose(table, fit.ranef[label].loc[table.index], atol=10 * tolerance)


@pytest.mark.parametrize("random_effects", RANDOM)
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_least_squares_with_reml_or_ml_steps_is_the_fit_of_lmer(random_effects, method):
    fit = hd.lmer(f"y ~ x + w + {random_effects}", DATA, reml=method == "reml")
    assert_is_fit_of_lmer(fitted(random_effects, method=method), fit)


@pytest.mark.parametrize("random_effects", ["(1 | a)", "(1 + x | a)", "(1 | a) + (1 | b)"])
def test_least_squares_with_em_steps_converges_to_maximum_likelihood(random_effects):
    model = fitted(random_effects, method="em", tol=1e-11)
    assert_is_fit_of_lmer(model, hd.lmer(f"y ~ x + w + {random_effects}", DATA, reml=False), 3e-5)
    assert (np.diff(model.history_["deviance"]) < 1e-8).all()


def test_reml_knows_the_columns_of_a_regression_behind_transformers():
    learner = make_pipeline(PolynomialFeatures(2, include_bias=False), LinearRegression())
    model = MixedEffectsRegressor(learner, "(1 | a)", features=["x", "w"], **EXACT)
    model.fit(DATA[["x", "w", "a"]], DATA["y"])
    fit = hd.lmer("y ~ x + w + I(x^2) + x:w + I(w^2) + (1 | a)", DATA)
    np.testing.assert_allclose(model.sigma_, fit.sigma, rtol=1e-8)
    np.testing.assert_allclose(model.predict(DATA[["x", "w", "a"]]), fit.fitted, atol=1e-6)


def test_a_basis_tells_reml_what_another_learner_fits():
    known = {"basis": lambda X: np.column_stack([np.ones(len(X)), X])}
    ridge = MixedEffectsRegressor(Ridge(1e-9), "(1 | a)", features=["x", "w"], **EXACT, **known)
    ridge.fit(DATA.drop(columns="y"), DATA["y"])
    assert_is_fit_of_lmer(ridge, hd.lmer("y ~ x + w + (1 | a)", DATA))
    without = clone(ridge).set_params(basis=None).fit(DATA.drop(columns="y"), DATA["y"])
    assert without.sigma_ < ridge.sigma_  # two degrees of freedom are not paid for


def hajjem(X, Z, codes, y, variance, D, iterations):
    """The EM algorithm of the paper, group by group with dense matrices."""
    b = np.zeros((codes.max() + 1, Z.shape[1]))
    X1 = np.column_stack([np.ones(len(y)), X])
    for _ in range(iterations):
        mean = X1 @ np.linalg.lstsq(X1, y - np.einsum("nk,nk->n", Z, b[codes]), rcond=None)[0]
        squares, products = 0.0, np.zeros_like(D)
        for j in range(len(b)):
            own = Z[codes == j]
            inverse = np.linalg.inv(own @ D @ own.T + variance * np.eye(len(own)))
            r = (y - mean)[codes == j]
            b[j] = D @ own.T @ inverse @ r
            e = r - own @ b[j]
            squares += e @ e + variance * (len(own) - variance * np.trace(inverse))
            products += np.outer(b[j], b[j]) + D - D @ own.T @ inverse @ own @ D
        variance, D = squares / len(y), products / len(b)
    return variance, D, b


def test_em_steps_are_those_of_the_paper():
    seen = []
    X, Z, codes = DATA[["x", "w"]].to_numpy(), np.column_stack([np.ones(400), DATA["x"]]), DATA["a"].to_numpy()
    y = DATA["y"].to_numpy()

    def remember(iteration, state):
        seen.append(state)
        return iteration == 5

    model = MixedEffectsRegressor(LinearRegression(), method="em", tol=0.0, callback=remember)
    model.fit(X, y, groups=codes, Z=Z)
    assert model.n_iter_ == 5
    one = seen[0]
    variance, D, _ = hajjem(X, Z, codes, y, one.sigma**2, one.covariances[0], 0)
    first = LinearRegression().fit(X, y).predict(X)
    half = 0.5 * np.var(y - first)
    start = np.diag(half / 2 / np.mean(Z**2, axis=0))
    variance, D, b = hajjem(X, Z, codes, y, half, start, 5)
    np.testing.assert_allclose(seen[-1].sigma ** 2, variance, rtol=1e-9)
    np.testing.assert_allclose(seen[-1].covariances[0], D, atol=1e-9)
    order = pd.unique(codes)
    np.testing.assert_allclose(seen[-1].b[0][np.argsort(order)], b, atol=1e-9)


def test_the_deviance_is_that_of_the_residuals_and_gll_the_joint_density():
    states = []
    model = fitted("(1 + x | a)", method="ml", callback=lambda _, state: states.append(state))
    state, y = states[-1], DATA["y"].to_numpy()
    r = y - model.fixed_effects_model_.predict(DATA[["x", "w"]])
    Z = np.column_stack([np.ones(400), DATA["x"]])
    own = Z @ state.covariances[0] @ Z.T * np.equal.outer(DATA["a"].to_numpy(), DATA["a"].to_numpy())
    V = own + state.sigma**2 * np.eye(400)
    density = np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r) + 400 * np.log(2 * np.pi)
    assert state.deviance == pytest.approx(density, abs=1e-6)
    log_det, D = 0.0, state.covariances[0]
    for j in range(20):
        rows = Z[DATA["a"] == j]
        log_det += np.linalg.slogdet(rows.T @ rows / state.sigma**2 + np.linalg.inv(D))[1]
    assert state.gll + log_det + 400 * np.log(2 * np.pi) == pytest.approx(density, abs=1e-6)


def test_out_of_bag_residuals_do_not_shrink_the_residual_variance():
    rng = np.random.default_rng(5)
    X, g = rng.normal(size=(600, 3)), rng.integers(0, 30, 600)
    y = X[:, 0] + rng.normal(size=30)[g] + rng.normal(size=600)
    bagged = RandomForestRegressor(60, min_samples_leaf=3)
    sigma = {}
    for out_of_bag in (True, False):
        model = MixedEffectsRegressor(bagged, out_of_bag=out_of_bag, random_state=1, tol=1.0)
        sigma[out_of_bag] = model.fit(X, y, groups=g).sigma_
    assert sigma[False] < 0.8
    assert 0.9 < sigma[True] < 1.2


# ---------------------------------------------------------------------------------------------------------- prediction


def test_unknown_and_missing_groups_have_no_random_effect():
    model = fitted("(1 + x | a) + (1 | b)")
    rows = DATA[["x", "w", "a", "b", "c"]].head(4).astype({"a": float})
    rows.loc[0, "a"], rows.loc[1, "a"] = 99, np.nan
    population = model.predict(rows, re=None)
    b = model.ranef_["b"]["(Intercept)"].loc[rows["b"]].to_numpy()
    np.testing.assert_allclose(model.predict(rows)[:2], (population + b)[:2])
    assert (model.predict(rows)[2:] != (population + b)[2:]).all()


def test_groups_may_come_as_columns_arrays_or_tables():
    X, groups = DATA[["x", "w"]], DATA[["a", "b"]]
    one = MixedEffectsRegressor(LinearRegression(), "(1 + x | a) + (1 | b)", **EXACT)
    expected = clone(one).fit(X.join(groups), DATA["y"]).predict(X.join(groups))
    for given in (groups, groups.to_numpy(), {"polars": groups}["polars"].copy()):
        model = clone(one).fit(X, DATA["y"], groups=given)
        np.testing.assert_allclose(model.predict(X, groups=given), expected)
        np.testing.assert_allclose(model.predict(X), model.predict(X, groups=given, re=None))


def test_a_formula_may_name_columns_of_an_array_by_position():
    matrix = DATA[["x", "w", "a"]].to_numpy()
    model = MixedEffectsRegressor(LinearRegression(), "(1 + x0 | x2)", **EXACT).fit(matrix, DATA["y"])
    np.testing.assert_allclose(model.predict(matrix), fitted("(1 + x | a)").predict(DATA.drop(columns="y")), atol=1e-6)
    assert model.fixed_effects_model_.n_features_in_ == 2


def test_arrays_of_groups_have_an_intercept_each():
    X, groups = DATA[["x", "w"]].to_numpy(), DATA[["a", "b"]].to_numpy()
    model = MixedEffectsRegressor(LinearRegression(), **EXACT).fit(X, DATA["y"], groups=groups)
    assert list(model.ranef_) == ["groups_0", "groups_1"]
    expected = fitted("(1 | a) + (1 | b)").predict(DATA.drop(columns="y"))
    np.testing.assert_allclose(model.predict(X, groups=groups), expected, atol=1e-6)


@pytest.mark.parametrize("package", ["polars", "pyarrow"])
def test_other_tables_give_the_same(package):
    pytest.importorskip(package)
    table = DATA.drop(columns="y")
    if package == "polars":
        import polars

        given = polars.from_pandas(table)
    else:
        import pyarrow

        given = pyarrow.Table.from_pandas(table)
    model = MixedEffectsRegressor(LinearRegression(), "(1 | a)", features=["x", "w"]).fit(given, DATA["y"].to_numpy())
    np.testing.assert_allclose(model.predict(given), fitted("(1 | a)").predict(table), atol=1e-6)


def test_rows_in_another_order_change_nothing():
    order = np.random.default_rng(0).permutation(len(DATA))
    shuffled = fitted("(1 + x | a)", DATA.iloc[order])
    np.testing.assert_allclose(shuffled.sigma_, fitted("(1 + x | a)").sigma_, rtol=1e-8)


# --------------------------------------------------------------------------------------------------------- conventions


class SomeGroups(MixedEffectsRegressor):
    """Finds groups in any data, so that scikit-learn's checks, which pass none, fit random effects."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight, groups=(np.arange(_num_samples(X)) * 7 // 3) % 4)


PRECISIONS = {"check_sample_weight_equivalence_on_dense_data": "a row of weight 2 is one observation of its group"}


@parametrize_with_checks(
    [MixedEffectsRegressor(LinearRegression()), SomeGroups(Ridge(10.0), tol=1e9)],
    expected_failed_checks=lambda estimator: PRECISIONS if isinstance(estimator, SomeGroups) else {},
)
def test_scikit_learns_conventions_hold(estimator, check):
    check(estimator)


def test_tags_are_those_of_the_learner_and_of_groups():
    from sklearn.utils import get_tags

    tags = [
        get_tags(MixedEffectsRegressor(learner, "(1 | a)")) for learner in (HistGradientBoostingRegressor(), Ridge())
    ]
    assert [each.input_tags.allow_nan for each in tags] == [True, False]
    assert all(each.input_tags.string for each in tags)
    assert not get_tags(MixedEffectsRegressor(Ridge())).input_tags.string


def test_learners_may_say_only_when_fitted_that_they_predict():
    learner = StackingRegressor([("ridge", Ridge(1e-9))], cv=3)
    assert not hasattr(learner, "predict")
    model = MixedEffectsRegressor(learner, "(1 | a)", features=["x", "w"], tol=1.0).fit(DATA, DATA["y"])
    assert model.sigma_ == pytest.approx(fitted("(1 | a)").sigma_, rel=0.05)


def test_columns_of_no_use_to_the_random_effects_may_hold_anything():
    X = DATA[["x", "w", "a"]].assign(pairs=DATA[["x", "w"]].to_numpy().tolist())
    learner = make_pipeline(FunctionTransformer(lambda X: np.array(X["pairs"].tolist())), LinearRegression())
    model = MixedEffectsRegressor(learner, "(1 | a)", features="pairs", **EXACT).fit(X, DATA["y"])
    np.testing.assert_allclose(model.predict(X), fitted("(1 | a)").predict(DATA.drop(columns="y")), atol=1e-6)


def test_the_same_seed_gives_the_same_fit_and_the_regressor_is_left_alone():
    learner = RandomForestRegressor(10)
    X = DATA.drop(columns="y")
    one, two, other = (
        MixedEffectsRegressor(learner, "(1 | a)", random_state=seed, tol=1.0, max_iter=10).fit(X, DATA["y"])
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    assert (one.predict(X) != other.predict(X)).any()
    assert learner.random_state is None
    assert not hasattr(learner, "estimators_")


def test_it_works_in_searches_and_survives_a_pickle():
    X = DATA.drop(columns="y")
    model = MixedEffectsRegressor(Ridge(), "(1 | a)")
    search = GridSearchCV(model, {"fixed_effects_model__alpha": [1e-3, 1e5], "method": ["reml", "em"]}, cv=3)
    assert search.fit(X, DATA["y"]).best_params_["fixed_effects_model__alpha"] == 1e-3
    assert np.corrcoef(cross_val_predict(model, X, DATA["y"]), DATA["y"])[0, 1] > 0.5
    best = search.best_estimator_
    again = pickle.loads(pickle.dumps(best))
    np.testing.assert_array_equal(again.predict(X), best.predict(X))
    assert len(pickle.dumps(best)) < 40 * len(X)  # no rows in it


def test_progress_and_callback(capsys):
    seen = []
    model = fitted("(1 | a)", method="em", progress=True, callback=lambda i, state: seen.append((i, state.deviance)))
    assert capsys.readouterr().err.count("iteration") == model.n_iter_ == len(seen)
    assert [deviance for _, deviance in seen] == model.history_["deviance"].tolist()
    assert model.converged_
    stopped = fitted("(1 | a)", method="em", callback=lambda i, _: i == 3)
    assert stopped.n_iter_ == 3
    assert not stopped.converged_


@pytest.mark.parametrize("criterion", ["deviance", "gll"])
def test_the_criterion_is_what_settles(criterion):
    model = fitted("(1 + x | a)", method="em", criterion=criterion, tol=1e-3)
    changes = np.abs(np.diff(model.history_[criterion]))
    limit = 1e-3 * len(DATA) / 100
    assert (changes[:-1] >= limit).all()
    assert changes[-1] < limit
    assert model.converged_


def test_the_deviance_settles_where_a_variance_vanishes():
    noise = pd.Series(np.random.default_rng(1).normal(size=400))
    y = DATA["x"] + noise - noise.groupby(DATA["a"]).transform("mean")
    model = fitted("(1 | a)", DATA.assign(y=y), criterion="gll")
    assert model.history_["gll"].iloc[-1] == -np.inf
    assert model.converged_


def test_giving_up_is_a_warning():
    with pytest.warns(hd.ConvergenceWarning, match="raise max_iter"):
        fitted("(1 | a)", method="em", max_iter=3)
