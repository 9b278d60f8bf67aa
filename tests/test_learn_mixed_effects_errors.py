"""MixedEffectsRegressor: what cannot be fitted or predicted is explained."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from threadpoolctl import threadpool_limits

import henderson as hd
from henderson.learn import MixedEffectsRegressor


def simulated(n=400, seed=3):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=n), "w": rng.uniform(1, 3, n), "a": rng.integers(0, 20, n)})
    data["y"] = data["x"] - data["w"] + rng.normal(size=20)[data["a"]] + rng.normal(size=n)
    return data


DATA = simulated()
X = DATA[["x", "w", "a"]]


class Constant(RegressorMixin, BaseEstimator):
    def __init__(self, value=np.nan):
        self.value = value

    def fit(self, _X, _y):
        return self

    def predict(self, X):
        return np.full(len(X), self.value)


@pytest.mark.parametrize(
    "options, call, message",
    [
        ({"random_effects": "x + (1 | a)"}, {}, "'x' is no random term"),
        ({"random_effects": "x"}, {}, "no random term"),
        ({"random_effects": 3}, {}, "random_effects is 3"),
        ({"random_effects": "(1 | q)"}, {}, "'q'"),
        ({"method": "mle"}, {}, "Did you mean 'ml'"),
        ({"criterion": "glll"}, {}, "Did you mean 'gll'"),
        ({"max_iter": 0}, {}, "max_iter is 0"),
        ({"tol": -1.0}, {}, "tol is -1.0"),
        ({"threads": -1}, {}, "threads is -1"),
        ({"out_of_bag": "yes"}, {}, "out_of_bag is 'yes'"),
        ({"callback": 1}, {}, "callback is 1"),
        ({"features": ["x", "v"]}, {}, "'v'"),
        ({"basis": lambda _: np.ones(3)}, {}, "basis.X. has shape"),
        ({"basis": lambda _: [["a"]]}, {}, "basis.X. cannot be read as a matrix of numbers"),
        ({"features": []}, {}, "No columns of X are left"),
        ({"fixed_effects_model": "forest"}, {}, "fixed_effects_model is 'forest'"),
        ({"fixed_effects_model": Ridge}, {}, "fixed_effects_model is <class"),
        ({"fixed_effects_model": LogisticRegression()}, {}, "it must be a regressor"),
        ({"fixed_effects_model": Constant()}, {}, "Constant predicts"),
        ({"fixed_effects_model": KNeighborsRegressor(1)}, {}, "reproduces the response"),
        ({"random_effects": None}, {"Z": np.ones(400)}, "pass groups="),
        ({}, {"Z": np.ones(400)}, "name its columns in random_effects"),
        ({"random_effects": None}, {"groups": np.ones(5)}, "groups has shape"),
        ({"random_effects": None}, {"groups": DATA["a"], "Z": np.ones((3, 1))}, "Z has shape"),
        ({"random_effects": None}, {"groups": np.arange(400)}, "400 levels"),
    ],
)
def test_errors_say_what_is_wrong(options, call, message):
    model = MixedEffectsRegressor(**{"fixed_effects_model": LinearRegression(), "random_effects": "(1 | a)"} | options)
    with pytest.raises((hd.DataError, hd.FormulaError), match=message):
        model.fit(X, DATA["y"], **call)


def test_prediction_says_what_is_missing():
    X = DATA[["x", "w"]]
    model = MixedEffectsRegressor(LinearRegression()).fit(X, DATA["y"], groups=DATA["a"], Z=np.ones(400))
    with pytest.raises(hd.DataError, match="pass Z="):
        model.predict(X, groups=DATA["a"])
    with pytest.raises(hd.DataError, match="re is '"):
        model.predict(X, re="a")
    plain = MixedEffectsRegressor(LinearRegression()).fit(X, DATA["y"])
    assert np.isnan(plain.sigma_)
    with pytest.raises(hd.DataError, match="fitted without"):
        plain.predict(X, groups=DATA["a"])


def test_slopes_of_missing_values_cannot_be_predicted():
    model = MixedEffectsRegressor(LinearRegression(), "(1 + x | a)").fit(X, DATA["y"])
    rows = X.head(3)
    model.fixed_effects_model_ = DummyRegressor(strategy="constant", constant=0.0).fit(rows[["x"]], np.zeros(3))
    with pytest.raises(hd.DataError, match=r"Column 'x' has a missing value .* in row 1"):
        model.predict(rows.assign(x=[0.0, np.nan, 1.0]))


def test_text_columns_need_a_learner_that_takes_them():
    X = DATA[["x", "a"]].assign(sort=np.where(DATA["w"] > 2, "large", "small"))
    with pytest.raises(hd.DataError, match=r"Ridge cannot be fitted to columns that are not numbers \(sort\)"):
        MixedEffectsRegressor(Ridge(), "(1 | a)").fit(X, DATA["y"])
    category = X.astype({"sort": "category"})
    learner = HistGradientBoostingRegressor(max_iter=3, max_leaf_nodes=4, categorical_features="from_dtype")
    with threadpool_limits(1):
        assert MixedEffectsRegressor(learner, "(1 | a)", tol=9.0).fit(category, DATA["y"]).sigma_ > 0


def test_missing_groups_and_responses_are_refused():
    X = DATA[["x", "w", "a"]].astype(float)
    X.loc[3, "a"] = np.nan
    with pytest.raises(hd.DataError, match=r"Column 'a' has a missing value .* in row 3"):
        MixedEffectsRegressor(LinearRegression(), "(1 | a)").fit(X, DATA["y"])
    with pytest.raises(hd.DataError, match="requires y to be passed"):
        MixedEffectsRegressor(LinearRegression(), "(1 | a)").fit(DATA, None)
    with pytest.raises(hd.DataError, match="y cannot be read as numbers"):
        MixedEffectsRegressor(LinearRegression(), "(1 | a)").fit(X, DATA["a"].astype(str) + "text")
    with pytest.raises(hd.DataError, match="NaN or infinity"):
        MixedEffectsRegressor(LinearRegression(), "(1 | a)").fit(X, DATA["y"].where(DATA.index != 7))
