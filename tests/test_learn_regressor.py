"""LinearMixedRegressor: scikit-learn's rules, the fit that lmer gives, groups as columns or passed along."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import _num_samples

import henderson as hd
from henderson import DataError
from henderson.learn import LinearMixedRegressor


class SomeGroups(LinearMixedRegressor):
    """A regressor that finds groups in any data, so that scikit-learn's checks, which pass none, fit mixed models."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight, groups=(np.arange(_num_samples(X)) * 7 // 3) % 4)


EXACT = "the check's X determine y exactly, which leaves no residual variance to a mixed model: a DataError"
EXPECTED = {
    "check_sample_weights_shape": EXACT,
    "check_sample_weights_not_overwritten": EXACT,
    "check_regressors_no_decision_function": EXACT,
    "check_sample_weight_equivalence_on_dense_data": "weights are precisions: a row of weight 2 is one observation",
}


def expected_failures(estimator):
    return EXPECTED if isinstance(estimator, SomeGroups) else {}


@parametrize_with_checks([LinearMixedRegressor(), SomeGroups()], expected_failed_checks=expected_failures)
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def sleep():
    return hd.datasets.load_sleepstudy()


@pytest.fixture(scope="module")
def data(sleep):
    return sleep[["Days", "Subject"]], sleep["Reaction"]


@pytest.fixture(scope="module")
def slopes(sleep):
    return hd.lmer("Reaction ~ Days + (Days | Subject)", sleep)


# ---------------------------------------------------------------------------------------------------- the same fit


@pytest.mark.parametrize(
    "arguments",
    [
        {"formula": "Reaction ~ Days + (Days | Subject)"},
        {"formula": "~ Days + (Days | Subject)"},
        {"formula": "~ . + (Days | Subject)"},
        {"formula": "~ Days", "random_effects": "(Days | Subject)"},
        {"random_effects": "(1 + Days | Subject)"},
    ],
    ids=lambda arguments: ", ".join(f"{name}={text}" for name, text in arguments.items()),
)
def test_every_way_to_write_a_model_gives_the_fit_of_lmer(arguments, data, slopes):
    X, y = data
    model = LinearMixedRegressor(**arguments).fit(X, y)
    assert model.fit_.criterion == pytest.approx(slopes.criterion, rel=1e-12)
    np.testing.assert_allclose(model.predict(X), slopes.fitted_values, rtol=1e-10)
    assert model.fit_.index.equals(X.index)


def test_groups_are_random_intercepts_crossed_if_there_are_several():
    table = hd.datasets.load_penicillin()
    fit = hd.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", table)
    X, y = table[["plate", "sample"]], table["diameter"]
    model = LinearMixedRegressor(groups=["plate", "sample"]).fit(X, y)
    assert model.fit_.criterion == pytest.approx(fit.criterion, rel=1e-12)
    routed = LinearMixedRegressor("~ 1").fit(X, y, groups=X)
    assert str(routed.fit_.formula) == "y ~ 1 + (1 | groups_0) + (1 | groups_1)"
    assert routed.fit_.criterion == pytest.approx(fit.criterion, rel=1e-12)
    np.testing.assert_allclose(routed.predict(X, groups=X.to_numpy()), fit.fitted_values, rtol=1e-9)


def test_tables_and_arrays_give_one_fit(data):
    X, y = data
    expected = LinearMixedRegressor(groups="Subject").fit(X, y)
    texts = X.assign(Subject=X["Subject"].astype(str))
    mixed = np.column_stack([X["Days"].astype(object), texts["Subject"]])
    numbers = np.column_stack([X["Days"], texts["Subject"].astype(int)])
    tables = [texts, pl.from_pandas(texts), pa.Table.from_pandas(texts), texts.set_index(np.arange(180) + 7)]
    for table in tables:
        model = LinearMixedRegressor(groups="Subject").fit(table, y.to_numpy())
        np.testing.assert_allclose(model.predict(table), expected.predict(X), rtol=1e-10)
        assert model.feature_names_in_.tolist() == ["Days", "Subject"]
    for array in (mixed, numbers, numbers.tolist()):
        model = LinearMixedRegressor(groups=-1).fit(array, y.to_list())
        np.testing.assert_allclose(model.predict(array), expected.predict(X), rtol=1e-10)
        assert model.n_features_in_ == 2
        assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize("names", [["a b", "g h"], ["y", "z.1"], [7, 8], ["if", "_y"]], ids=str)
def test_columns_may_have_any_names(names, data):
    X, y = data
    expected = LinearMixedRegressor(groups="Subject").fit(X, y).predict(X)
    X = X.set_axis(names, axis=1)
    np.testing.assert_allclose(LinearMixedRegressor(groups=1).fit(X, y).predict(X), expected, rtol=1e-10)


def test_coefficients_are_by_column_and_zero_for_groups(data, slopes):
    X, y = data
    model = LinearMixedRegressor(random_effects="(Days | Subject)").fit(X[["Subject", "Days"]], y)
    np.testing.assert_allclose(model.coef_, [0.0, slopes.fixef["Days"]], rtol=1e-10)
    assert model.intercept_ == pytest.approx(slopes.fixef["(Intercept)"], rel=1e-10)
    model.set_params(random_effects=None, formula="~ Days + (1 | Subject)").fit(X, y)
    assert not hasattr(model, "coef_")


def test_a_dropped_column_counts_as_zero(data):
    X, y = data
    twice = X.assign(Weeks=X["Days"] / 7)
    model = LinearMixedRegressor(groups="Subject").fit(twice, y)
    assert model.coef_[2] == 0.0
    np.testing.assert_allclose(model.predict(twice), LinearMixedRegressor(groups="Subject").fit(X, y).predict(X))


def test_text_columns_are_categories():
    table = hd.datasets.load_ratpup()
    X, y = table[["Treatment", "sex", "Litter"]].astype(str), table["weight"]
    model = LinearMixedRegressor(groups="Litter", contrasts={"sex": "sum"}).fit(X, y)
    fit = hd.lmer("weight ~ Treatment + sex + (1 | Litter)", table, contrasts={"sex": "sum"})
    np.testing.assert_allclose(model.predict(X), fit.fitted_values, rtol=1e-9)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("reml", [True, False])
def test_sample_weights_are_precision_weights(reml, data, sleep):
    X, y = data
    weights = np.random.default_rng(1).uniform(0.2, 3.0, len(y))
    weights[:5] = 0.0
    model = LinearMixedRegressor(groups="Subject", reml=reml).fit(X, y, sample_weight=weights)
    fit = hd.lmer("Reaction ~ Days + (1 | Subject)", sleep, weights=weights, reml=reml)
    assert model.fit_.criterion == pytest.approx(fit.criterion, rel=1e-12)
    assert model.fit_.nobs == len(y) - 5


# ------------------------------------------------------------------------------------------------------- predictions


def test_unseen_groups_are_predicted_as_the_mean_of_all_without_warning(data):
    X, y = data
    new = pd.DataFrame({"Days": [0, 9], "Subject": ["new", "other"]})
    model = LinearMixedRegressor(groups="Subject").fit(X, y)
    np.testing.assert_allclose(model.predict(new), model.fit_.predict(new, re=None))
    assert np.isnan(model.set_params(new_groups="nan").predict(new)).all()
    with pytest.raises(DataError, match="not fitted to"):
        model.set_params(new_groups="error").predict(new)


def test_known_groups_with_another_type_are_told_from_new_ones(data):
    X, y = data
    model = LinearMixedRegressor(groups="Subject").fit(X.assign(Subject=X["Subject"].astype(int)), y)
    with pytest.warns(hd.PredictionWarning, match=r"'308' of Subject is predicted as a new group: .* another type"):
        model.predict(X)


@pytest.mark.filterwarnings("ignore::henderson.PredictionWarning")
def test_standard_errors_are_those_of_the_fit(data):
    X, y = data
    new = pd.DataFrame({"Days": [0, 9, 3], "Subject": ["308", "309", "new"]})
    model = LinearMixedRegressor(random_effects="(Days | Subject)").fit(X, y)
    means, errors = model.predict(new, return_std=True)
    table = model.fit_.predict(new, std_error=True)
    np.testing.assert_allclose(means, table["estimate"])
    np.testing.assert_allclose(errors, table["std_error"])
    assert errors[2] > 2 * errors[0]


def test_groups_passed_along_are_used_where_they_are_given(data, slopes):
    X, y = data
    model = LinearMixedRegressor(random_effects="(1 + Days | groups)").fit(X[["Days"]], y, groups=X["Subject"])
    np.testing.assert_allclose(model.predict(X[["Days"]], groups=X["Subject"]), slopes.fitted_values, rtol=1e-9)
    np.testing.assert_allclose(model.predict(X[["Days"]]), slopes.predict(X, re=None), rtol=1e-9)
    assert model.score(X[["Days"]], y, groups=X["Subject"]) == pytest.approx(r2_score(y, slopes.fitted_values))
    assert model.score(X[["Days"]], y) == pytest.approx(r2_score(y, slopes.predict(X, re=None)))


def test_without_the_groups_passed_along_columns_of_x_still_take_part():
    table = hd.datasets.load_penicillin()
    X, y = table[["sample"]], table["diameter"]
    model = LinearMixedRegressor("~ 1 + (1 | sample) + (1 | groups)").fit(X, y, groups=table["plate"])
    fit = hd.lmer("diameter ~ 1 + (1 | sample) + (1 | plate)", table)
    np.testing.assert_allclose(model.predict(X), fit.predict(table, re="sample"), rtol=1e-9)
    errors = model.predict(X, return_std=True)[1]
    np.testing.assert_allclose(errors, fit.predict(table, re="sample", std_error=True)["std_error"], rtol=1e-6)


# ------------------------------------------------------------------------------------------------------ without groups


@pytest.mark.parametrize("is_weighted", [False, True])
def test_without_groups_it_is_least_squares(is_weighted):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(40, 3))
    y = X @ [1.0, -2.0, 0.0] + rng.normal(size=40)
    weights = rng.uniform(0.1, 2.0, 40) if is_weighted else None
    model = LinearMixedRegressor().fit(X, y, sample_weight=weights)
    other = LinearRegression().fit(X, y, sample_weight=weights)
    assert model.fit_ is None
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-10)
    new = rng.normal(size=(5, 3))
    means, errors = model.predict(new, return_std=True)
    np.testing.assert_allclose(means, other.predict(new), rtol=1e-10)
    w = np.ones(40) if weights is None else weights
    design, at = np.column_stack([np.ones(40), X]), np.column_stack([np.ones(5), new])
    residual = y - other.predict(X)
    covariance = np.linalg.inv(design.T * w @ design) * (w @ residual**2) / 36
    np.testing.assert_allclose(errors, np.sqrt(np.einsum("ij,jk,ik->i", at, covariance, at)), rtol=1e-9)


def test_a_new_fit_forgets_the_old_one(data):
    X, y = data
    model = LinearMixedRegressor().fit(X[["Days"]], y, groups=X["Subject"])
    assert model.fit_ is not None
    model.fit(X[["Days"]], y)
    assert model.fit_ is None
    with pytest.raises(DataError, match="fitted without"):
        model.predict(X[["Days"]], groups=X["Subject"])


# ----------------------------------------------------------------------------------------------- scikit-learn's tools


def test_copies_and_pickles(data):
    X, y = data
    model = LinearMixedRegressor(groups="Subject", reml=False, tolerance=1e-9)
    assert clone(model).get_params() == model.get_params()
    model.fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    assert repr(model) == "LinearMixedRegressor(groups='Subject', reml=False, tolerance=1e-09)"


def test_a_grid_of_formulas_over_folds_of_whole_groups(data):
    X, y = data
    grid = {"formula": ["~ 1 + (1 | Subject)", "~ Days + (1 | Subject)"], "reml": [True, False]}
    search = GridSearchCV(LinearMixedRegressor(), grid, cv=GroupKFold(3)).fit(X, y, groups=X["Subject"])
    assert search.best_params_["formula"] == "~ Days + (1 | Subject)"
    assert search.best_score_ > 0.1


def test_within_a_pipeline_columns_keep_their_names(data):
    X, y = data
    scale = ColumnTransformer([("scale", StandardScaler(), ["Days"])], remainder="passthrough")
    scale.set_output(transform="pandas")
    steps = make_pipeline(scale, LinearMixedRegressor(groups="remainder__Subject"))
    steps.fit(X, y)
    np.testing.assert_allclose(steps.predict(X), LinearMixedRegressor(groups="Subject").fit(X, y).predict(X))
    log = TransformedTargetRegressor(LinearMixedRegressor(groups="Subject"), func=np.log, inverse_func=np.exp)
    assert log.fit(X, y).score(X, y) > 0.6


def test_effects_of_groups_help_in_folds_of_rows_and_not_in_folds_of_groups(data):
    X, y = data
    model = LinearMixedRegressor(random_effects="(Days | Subject)")
    of_rows = cross_val_predict(model, X, y, cv=KFold(5, shuffle=True, random_state=1))
    of_groups = cross_val_predict(model, X, y, groups=X["Subject"], cv=GroupKFold(6))
    assert r2_score(y, of_rows) > 0.7
    assert r2_score(y, of_groups) < 0.4


def test_permutation_importance_sees_predictors_and_groups(data):
    X, y = data
    model = LinearMixedRegressor(groups="Subject").fit(X, y)
    importance = permutation_importance(model, X, y, n_repeats=3, random_state=0).importances_mean
    assert (importance > 0.3).all()


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
def test_groups_and_weights_are_routed_through_pipelines_and_folds(data):
    X, y = data
    model = LinearMixedRegressor().set_fit_request(groups=True, sample_weight=True)
    model.set_predict_request(groups=True).set_score_request(groups=True, sample_weight=True)
    given = {"groups": X["Subject"].astype(str), "sample_weight": np.ones(len(y))}
    steps = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
    folds = KFold(5, shuffle=True, random_state=1)
    found = cross_validate(steps, X[["Days"]], y, params=given, cv=folds, return_estimator=True)
    assert all(one[-1].fit_.ngroups == {"groups": 18} for one in found["estimator"])
    own = cross_validate(LinearMixedRegressor(groups="Subject"), X, y, cv=folds)
    np.testing.assert_allclose(found["test_score"], own["test_score"], rtol=1e-6)
    means = cross_val_predict(steps, X[["Days"]], y, params=given, cv=folds)  # which passes nothing to predict
    strangers = X.assign(Subject="new")
    for train, held_out in folds.split(X):
        one = LinearMixedRegressor(groups="Subject").fit(X.iloc[train], y.iloc[train])
        np.testing.assert_allclose(means[held_out], one.predict(strangers.iloc[held_out]), rtol=1e-9)


def test_a_line_shows_progress(data, capsys):
    LinearMixedRegressor(groups="Subject", progress=True).fit(*data)
    assert "criterion" in capsys.readouterr().err


def test_tags_say_that_text_is_welcome_where_groups_are_columns():
    from sklearn.utils import get_tags

    assert get_tags(LinearMixedRegressor(groups="g")).input_tags.string
    assert not get_tags(LinearMixedRegressor()).input_tags.string
    assert LinearMixedRegressor(groups="g")._more_tags()["X_types"] == ["2darray", "string", "categorical"]
