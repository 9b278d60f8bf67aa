"""MixedEffectsEncoder: BLUPs of levels, cross-fitted, in place of other encoders and by scikit-learn's rules."""

import pickle
import time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

import henderson as hd
from henderson import DataError, PredictionWarning
from henderson.learn import MixedEffectsEncoder


@parametrize_with_checks([MixedEffectsEncoder(), MixedEffectsEncoder(cv=None, crossed=True)])
def test_scikit_learn_accepts_the_encoder(estimator, check):
    check(estimator)


def people(n=600, seed=1):
    """Two unbalanced crossed factors with effects, and a number."""
    rng = np.random.default_rng(seed)
    town, job = (rng.pareto(1.0, n).astype(int) % 30), rng.integers(0, 8, n)
    y = 3.0 + rng.normal(size=30)[town] + rng.normal(size=8)[job] + rng.normal(size=n)
    names = {"town": np.char.add("t", town.astype(str)), "job": np.char.add("j", job.astype(str))}
    return pd.DataFrame(names | {"age": rng.normal(size=n)}), y


@pytest.fixture(scope="module")
def data():
    return people()


def blups(fit, column, X):
    return X[column].map(fit.ranef[column]["(Intercept)"]).to_numpy()


# ------------------------------------------------------------------------------------------------------ the encodings


def test_an_encoding_is_mean_plus_blup_of_the_level(data):
    X, y = data
    found = MixedEffectsEncoder(return_df=True).fit(X, y).transform(X)
    for column in ("town", "job"):
        fit = hd.lmer(f"y ~ 1 + (1 | {column})", X.assign(y=y))
        np.testing.assert_allclose(found[column], fit.fixef.iloc[0] + blups(fit, column, X), atol=1e-7)
    pd.testing.assert_series_equal(found["age"], X["age"])


def test_the_closed_form_of_shrinkage(data):
    X, y = data
    encoder = MixedEffectsEncoder(cols="town").fit(X, y)
    means = pd.Series(y).groupby(X["town"].to_numpy()).mean().loc[encoder.categories_[0]].to_numpy()
    between, within = encoder.between_variances_[0], encoder.within_variances_[0]
    factor = between / (between + within / encoder.counts_[0])
    mean = encoder.intercepts_[0]
    np.testing.assert_allclose(encoder.encodings_[0], mean + factor * (means - mean), rtol=1e-8)


def test_crossed_effects_are_those_of_one_model(data):
    X, y = data
    encoder = MixedEffectsEncoder(crossed=True, add_mean=False, return_df=True).fit(X, y)
    fit = hd.lmer("y ~ 1 + (1 | town) + (1 | job)", X.assign(y=y))
    found = encoder.transform(X)
    for column in ("town", "job"):
        np.testing.assert_allclose(found[column], blups(fit, column, X), atol=1e-7)
    np.testing.assert_allclose(encoder.within_variances_, fit.sigma**2, rtol=1e-6)


def test_cross_fitting_uses_the_rows_of_other_folds_only(data):
    X, y = data
    encoder = MixedEffectsEncoder(cols=["town"], cv=KFold(4, shuffle=True, random_state=5), return_df=True)
    found = encoder.fit_transform(X, y)["town"].to_numpy()
    for train, held_out in KFold(4, shuffle=True, random_state=5).split(X):
        other = MixedEffectsEncoder(cols=["town"], return_df=True).fit(X.iloc[train], y[train])
        np.testing.assert_allclose(found[held_out], other.transform(X.iloc[held_out])["town"], rtol=1e-9)
    changed = y.copy()
    changed[0] += 100.0
    assert encoder.fit_transform(X, changed)["town"].iloc[0] == found[0]


def test_noise_in_levels_that_occur_twice_does_not_leak():
    rng = np.random.default_rng(2)
    X, y = rng.integers(0, 500, (1000, 1)).astype(str), rng.normal(size=1000)
    X = X.astype(object)
    leaking = MixedEffectsEncoder(cv=None).fit_transform(X, y).ravel()
    honest = MixedEffectsEncoder(random_state=0).fit_transform(X, y).ravel()
    mean_leaks = pd.Series(y).groupby(X.ravel()).transform("mean")
    assert np.corrcoef(mean_leaks, y)[0, 1] > 0.6
    assert np.ptp(leaking) < 1e-6 or np.corrcoef(leaking, y)[0, 1] > 0.5
    assert abs(np.corrcoef(honest, y)[0, 1]) < 0.15 or np.ptp(honest) < 1e-6


def test_random_state_fixes_the_folds(data):
    X, y = data
    one, same, other = (MixedEffectsEncoder(random_state=seed).fit_transform(X, y) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0
    ordered = MixedEffectsEncoder(shuffle=False).fit_transform(X, y)
    np.testing.assert_array_equal(ordered, MixedEffectsEncoder(cv=KFold(5)).fit_transform(X, y))


def test_folds_may_keep_groups_together_or_leave_rows_out(data):
    X, y = data
    found = MixedEffectsEncoder(cols="town", cv=GroupKFold(3), return_df=True).fit_transform(X, y, groups=X["town"])
    assert found["town"].nunique() <= 3  # no town is in the data of its own model
    some = MixedEffectsEncoder(cols="town", cv=ShuffleSplit(1, test_size=0.25, random_state=0), return_df=True)
    assert int(some.fit_transform(X, y)["town"].notna().sum()) == 150
    pairs = [(np.arange(300), np.arange(300, 600)), (np.arange(300, 600), np.arange(300))]
    halves = MixedEffectsEncoder(cv=pairs).fit_transform(X, y)
    np.testing.assert_array_equal(halves, MixedEffectsEncoder(cv=KFold(2)).fit_transform(X, y))


@pytest.mark.parametrize("labels", [[0, 1], [2, 7], ["no", "yes"], [False, True]], ids=str)
def test_two_classes_are_a_linear_probability_model(labels, data):
    X, y = data
    is_high = (y > 3).astype(int)
    target = np.array(labels)[is_high]
    encoder = MixedEffectsEncoder(random_state=0).fit(X, target)
    expected = MixedEffectsEncoder(target_type="continuous").fit(X, is_high)
    np.testing.assert_allclose(encoder.transform(X), expected.transform(X), rtol=1e-9)
    assert encoder.target_type_ == "binary"
    assert encoder.classes_.tolist() == labels
    assert encoder.target_mean_ == pytest.approx(is_high.mean())
    assert all(((own >= 0) & (own <= 1)).all() for own in encoder.encodings_)
    assert np.isfinite(encoder.fit_transform(X, target)).all()


def test_numbers_with_more_than_two_values_are_continuous():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 5, (200, 1)), rng.integers(1, 6, 200)
    encoder = MixedEffectsEncoder().fit(X, y)
    assert (encoder.target_type_, encoder.classes_) == ("continuous", None)


# ------------------------------------------------------------------------------------- unseen, missing, uninformative


def test_unseen_levels_are_encoded_as_the_mean(data):
    X, y = data
    new = X.head(1).assign(town="nowhere")
    encoder = MixedEffectsEncoder(cols="town", return_df=True).fit(X, y)
    assert encoder.transform(new)["town"].tolist() == [encoder.intercepts_[0]]
    zero = MixedEffectsEncoder(cols="town", add_mean=False, return_df=True).fit(X, y)
    assert zero.transform(new)["town"].tolist() == [0.0]
    empty = MixedEffectsEncoder(cols="town", handle_unknown="return_nan", return_df=True).fit(X, y)
    assert empty.transform(new)["town"].isna().all()
    with pytest.raises(DataError, match=r"did not see \(nowhere\)"):
        MixedEffectsEncoder(cols="town", handle_unknown="error").fit(X, y).transform(new)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA], ids=str)
def test_missing_values_are_a_level_of_their_own(missing, data):
    X, y = data
    holes = X.assign(town=X["town"].astype(object))
    holes.loc[::7, "town"] = missing
    named = holes.assign(town=holes["town"].fillna("missing").astype(str))
    expected = MixedEffectsEncoder(cols="town", return_df=True).fit(named, y).transform(named)["town"]
    encoder = MixedEffectsEncoder(cols="town", return_df=True).fit(holes, y)
    np.testing.assert_allclose(encoder.transform(holes)["town"], expected, rtol=1e-12)
    assert encoder.categories_[0][-1] is None
    for cv in (None, 3):
        nan = MixedEffectsEncoder(cols="town", handle_missing="return_nan", cv=cv, return_df=True)
        assert nan.fit_transform(holes, y)["town"].isna().equals(holes["town"].isna())
        assert nan.transform(holes)["town"].isna().equals(holes["town"].isna())
    with pytest.raises(DataError, match="'town' has a missing value in row 0, and handle_missing='error'"):
        MixedEffectsEncoder(cols="town", handle_missing="error").fit(holes, y)


def test_missing_values_that_the_fit_has_not_seen_are_encoded_as_the_mean(data):
    X, y = data
    holes = X.head(2).assign(town=None)
    encoder = MixedEffectsEncoder(cols="town", return_df=True).fit(X, y)
    assert encoder.transform(holes)["town"].tolist() == [encoder.intercepts_[0]] * 2
    assert encoder.set_params(handle_missing="return_nan").transform(holes)["town"].isna().all()
    with pytest.raises(DataError, match="missing value in row 0"):
        encoder.set_params(handle_missing="error").transform(holes)


@pytest.mark.parametrize("cv", [None, 3])
@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("column", ["one level", "as many levels as rows", "the other column again"])
def test_columns_that_say_nothing_have_no_effects(column, crossed, cv, data):
    X, y = data
    values = {
        "one level": ["a"] * len(y),
        "as many levels as rows": [f"r{i}" for i in range(len(y))],
        "the other column again": ("x" + X["job"]).tolist(),
    }[column]
    table = pd.DataFrame({"job": X["job"], "other": values})
    encoder = MixedEffectsEncoder(crossed=crossed, add_mean=False, cv=cv, random_state=0)
    found = encoder.fit_transform(table, y)
    alone = MixedEffectsEncoder(add_mean=False, cv=cv, random_state=0).fit_transform(table[["job"]], y)
    np.testing.assert_allclose(found[:, 0], alone[:, 0], rtol=1e-9)
    again = column == "the other column again" and not crossed
    np.testing.assert_allclose(found[:, 1], alone[:, 0] if again else 0.0, rtol=1e-9)


def test_a_constant_target_has_no_effects():
    X = np.arange(12)[:, None] % 3
    assert MixedEffectsEncoder().fit_transform(X, np.full(12, 2.5)).tolist() == [[2.5]] * 12


def test_levels_that_determine_the_target_keep_their_means():
    X = np.array([[0], [0], [1], [1], [1], [2]])
    encoder = MixedEffectsEncoder().fit(X, [1.0, 1.0, 2.0, 2.0, 2.0, 6.0])
    np.testing.assert_allclose(encoder.encodings_[0], [1.0, 2.0, 6.0])
    assert encoder.intercepts_[0] == pytest.approx(3.0)
    assert encoder.transform([[9]]).tolist() == [[encoder.intercepts_[0]]]


def test_crossed_effects_without_residuals_add_up_to_the_target():
    rng = np.random.default_rng(4)
    X = rng.integers(0, 4, (60, 2))
    y = 5.0 + np.array([0.0, 1.0, 2.0, -4.0])[X[:, 0]] + np.array([0.5, 0.0, 3.0, 1.0])[X[:, 1]]
    encoder = MixedEffectsEncoder(crossed=True, cv=None, add_mean=False)
    found = encoder.fit_transform(X, y)
    np.testing.assert_allclose(encoder.intercepts_[0] + found.sum(axis=1), y, rtol=1e-9)
    assert encoder.within_variances_.tolist() == [0.0, 0.0]


# ------------------------------------------------------------------------------------------------ columns in and out


def test_text_columns_are_encoded_or_all_if_there_are_none(data):
    X, y = data
    assert MixedEffectsEncoder().fit(X, y).encoded_ == [0, 1]
    assert MixedEffectsEncoder(cols="all").fit(X, y).encoded_ == [0, 1, 2]
    assert MixedEffectsEncoder(cols=[-2, "town"]).fit(X, y).encoded_ == [1, 0]
    assert MixedEffectsEncoder().fit(X[["age"]].round(0), y).encoded_ == [0]
    assert MixedEffectsEncoder().fit(X.to_numpy(), y).encoded_ == [0, 1]


def test_tables_and_arrays_give_the_same_encodings(data):
    X, y = data
    expected = MixedEffectsEncoder(random_state=0).fit_transform(X, y)
    categories = X.assign(town=X["town"].astype("category"))
    tables = [pl.from_pandas(X), pa.Table.from_pandas(X), categories, X.set_index(np.arange(600)[::-1])]
    for table in [*tables, X.to_numpy()]:
        found = MixedEffectsEncoder(random_state=0).fit_transform(table, y)
        np.testing.assert_allclose(found.astype(float), expected, rtol=1e-9)
    codes = np.column_stack([X["town"].str[1:].astype(int), X["job"].str[1:].astype(int)])
    np.testing.assert_allclose(MixedEffectsEncoder(random_state=0).fit_transform(codes, y), expected[:, :2], rtol=1e-9)


def test_columns_with_numbers_as_names():
    X = pd.DataFrame({0: list("abc") * 20, 1: "q"})
    y = np.arange(60.0) % 7
    found = MixedEffectsEncoder(cols=[0], random_state=0, return_df=True).fit_transform(X, y)
    assert (found.columns.tolist(), found[1].tolist()) == ([0, 1], ["q"] * 60)
    assert X[0].tolist() == list("abc") * 20


def test_set_output_and_names(data):
    X, y = data
    encoder = MixedEffectsEncoder(cols="town", random_state=0).set_output(transform="pandas").fit(X, y)
    found = encoder.transform(X)
    assert found.columns.tolist() == encoder.get_feature_names_out().tolist() == ["town", "job", "age"]
    assert found["job"].equals(X["job"])
    assert found.index.equals(X.index)
    numbers = MixedEffectsEncoder().set_output(transform="polars").fit(X[["town", "age"]], y)
    frame = numbers.transform(X[["town", "age"]])
    assert (type(frame), frame.columns) == (pl.DataFrame, ["town", "age"])
    array = MixedEffectsEncoder().fit(X.to_numpy()[:, :1], y)
    assert array.get_feature_names_out().tolist() == ["x0"]
    assert array.transform(X.to_numpy()[:, :1]).dtype == np.float64


@pytest.mark.parametrize(
    "encoder",
    [
        TargetEncoder(target_type="continuous", cv=5),
        MixedEffectsEncoder(target_type="continuous", cv=5),
        MixedEffectsEncoder(cols=["town", "job"], handle_unknown="value", handle_missing="value", random_state=1),
    ],
    ids=["TargetEncoder", "called as TargetEncoder", "called as GLMMEncoder"],
)
def test_the_same_code_works_as_with_other_encoders(encoder, data):
    X, y = data
    X = X[["town", "job"]]
    encoder = pickle.loads(pickle.dumps(clone(encoder).fit(X, y)))
    assert np.asarray(encoder.transform(X)).shape == (600, 2)
    assert [len(own) for own in encoder.encodings_] == [len(own) for own in encoder.categories_]
    assert encoder.get_feature_names_out().tolist() == ["town", "job"]
    model = make_pipeline(ColumnTransformer([("encode", encoder, ["town", "job"])]), LinearRegression())
    assert cross_val_score(model, X, y).mean() > 0.4


def test_shrinkage_by_reml_predicts_as_well_as_the_best_smoothing():
    X, y = people(3000, seed=3)
    X = X[["town", "job"]]
    score = {
        name: cross_val_score(make_pipeline(encoder, LinearRegression()), X, y, cv=KFold(5)).mean()
        for name, encoder in {
            "blups": MixedEffectsEncoder(random_state=0),
            "means": TargetEncoder(smooth=0.0, target_type="continuous"),
            "smooth": TargetEncoder(target_type="continuous"),
        }.items()
    }
    assert score["blups"] > score["means"] - 1e-3
    assert score["blups"] > score["smooth"] - 1e-3


def test_a_hundred_thousand_rows_of_ten_thousand_levels_take_milliseconds():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 10_000, 100_000)
    y = rng.normal(size=10_000)[codes] + rng.normal(size=100_000)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        MixedEffectsEncoder().fit(codes[:, None], y)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


def test_a_line_shows_progress(data, capsys):
    MixedEffectsEncoder(cv=2, progress=True).fit_transform(*data)
    assert "encoding 6/6" in capsys.readouterr().err


def test_levels_of_another_type_are_new_ones_with_a_warning():
    X = pd.DataFrame({"g": np.repeat([1, 2, 3], 20)})
    encoder = MixedEffectsEncoder(cols="g").fit(X, np.arange(60.0))
    with pytest.warns(PredictionWarning, match="'1' of column 'g'.*another type"):
        encoded = encoder.transform(X.astype(str))
    assert np.all(encoded == encoder.intercepts_[0])
    np.testing.assert_array_equal(encoder.transform(X.astype(float)), encoder.transform(X))


# -------------------------------------------------------------------------------------------------------------- errors

REFUSED = {
    "three classes": ({}, list("abc") * 200, "The target has 3 classes"),
    "one class": ({}, ["a"] * 600, "1 different value"),
    "not binary": ({"target_type": "binary"}, np.arange(600), "600 classes"),
    "not numeric": ({"target_type": "continuous"}, list("ab") * 300, "labels such as 'a'"),
    "target type": ({"target_type": "multiclass"}, None, "choose one of 'auto'"),
    "target out of scale": ({}, np.geomspace(1.0, 1e200, 600), "y is too large"),
    "missing label": ({}, [None, *"ab" * 299, "a"], "y contains NaN, in row 0"),
    "missing target": ({}, np.full(600, np.nan), "Input y contains NaN"),
    "no columns": ({"cols": []}, None, "cols is empty"),
    "unknown column": ({"cols": "twon"}, None, "Did you mean 'town'"),
    "handling": ({"handle_unknown": "ignore"}, None, "choose one of 'value'"),
    "one fold": ({"cv": 1}, None, "at least 2 folds"),
    "many folds": ({"cv": 601}, None, "600 rows cannot be split into 601 folds"),
    "cv": ({"cv": "loo"}, None, "a number of folds, a splitter"),
    "pairs": ({"cv": [1, 2]}, None, "pairs of index arrays"),
    "pairs of numbers": ({"cv": [(1, 2)]}, None, "fold 0 has rows of dtype int64 and shape"),
    "pairs of fractions": ({"cv": [([0.5], [1])]}, None, "fold 0 has rows of dtype float64"),
    "rows that do not exist": ({"cv": [([0, 1], [2]), ([0], [600])]}, None, "fold 1 has rows 600 to 600"),
    "no rows to fit": ({"cv": [([], [0, 1])]}, None, "fold 0 has no rows to fit"),
    "no groups": ({"cv": GroupKFold(2)}, None, "a GroupKFold, cannot split the rows.*passed as groups="),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_encoded_is_explained(name, data):
    arguments, target, message = REFUSED[name]
    X, y = data
    with pytest.raises(ValueError, match=message):
        MixedEffectsEncoder(**arguments).fit_transform(X, y if target is None else target)


def test_it_needs_a_target_and_a_fit(data):
    X, y = data
    with pytest.raises(DataError, match="requires y to be passed"):
        MixedEffectsEncoder().fit(X, None)
    with pytest.raises(NotFittedError):
        MixedEffectsEncoder().transform(X)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        MixedEffectsEncoder().fit(X, y[:5])
