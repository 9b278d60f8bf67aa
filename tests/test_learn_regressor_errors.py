"""LinearMixedRegressor: what cannot be fitted or predicted is explained."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import henderson as hd
from henderson import DataError, FormulaError
from henderson.learn import LinearMixedRegressor


@pytest.fixture(scope="module")
def data():
    sleep = hd.datasets.load_sleepstudy()
    return sleep[["Days", "Subject"]], sleep["Reaction"]


FITTED = {
    "an unknown column": ({"groups": "Subjct"}, {}, "Did you mean 'Subject'"),
    "a position too far": ({"groups": 2}, {}, "position 2, but X has 2 columns"),
    "a number that is none": ({"groups": 0.5}, {}, "by its name or position"),
    "no column": ({"groups": []}, {}, "by its name or position"),
    "a column twice": ({"groups": ["Subject", 1]}, {}, "has the column '1' twice"),
    "a transformed response": ({"formula": "log(y) ~ Days + (1 | Subject)"}, {}, "TransformedTargetRegressor"),
    "no random term": ({"formula": "~ Days"}, {}, "no random term and there are no groups"),
    "no formula": ({"formula": 3}, {}, "A formula is text"),
    "two random parts": ({"formula": "~ (1 | Subject)", "groups": "Subject"}, {}, "formula= and groups="),
    "random effects twice": (
        {"formula": "~ (1 | Subject)", "random_effects": "(1 | Subject)"},
        {},
        "formula= and random_effects=",
    ),
    "groups and effects": ({"random_effects": "(1 | Subject)", "groups": 1}, {}, "groups= and random_effects="),
    "fixed among random": ({"random_effects": "Days + (1 | Subject)"}, {}, "must be random terms"),
    "random effects as a list": ({"random_effects": ["(1 | Subject)"]}, {}, "must be random terms"),
    "unused groups": ({"formula": "~ (1 | Subject)"}, {"groups": np.arange(180) % 3}, "do not use it"),
    "groups twice": ({"groups": "Subject"}, {"groups": np.arange(180) % 3}, "passed to fit.. too"),
    "absent groups": ({"random_effects": "(1 | groups)"}, {}, "which fit.. was not given"),
    "too few groups": ({"formula": "~ Days"}, {"groups": np.arange(9)}, "one label per row"),
    "groups in three dimensions": ({"formula": "~ Days"}, {"groups": np.ones((180, 1, 1))}, "one label per row"),
    "groups by name in fit": ({"formula": "~ Days"}, {"groups": "Subject"}, "named in the arguments of the estimator"),
    "least squares of categories": ({}, {}, "'Subject' is used as a number .there are no groups"),
    "missing groups": ({"formula": "~ Days"}, {"groups": np.full(180, np.nan)}, "label of their own"),
    "negative weights": ({"groups": "Subject"}, {"sample_weight": -np.ones(180)}, "weights is -1 in row 0"),
    "a new kind of new group": ({"groups": "Subject", "new_groups": "mean"}, {}, "choose one of 'population'"),
    "reml as text": ({"groups": "Subject", "reml": "ML"}, {}, "reml=False"),
}


@pytest.mark.parametrize("name", FITTED)
def test_what_cannot_be_fitted_is_explained(name, data):
    arguments, given, message = FITTED[name]
    with pytest.raises((DataError, FormulaError), match=message):
        LinearMixedRegressor(**arguments).fit(*data, **given)


def test_values_must_be_there(data):
    X, y = data
    with pytest.raises(DataError, match=r"'Days' has a missing value \(NaN\) in row 2"):
        LinearMixedRegressor(groups="Subject").fit(X.assign(Days=[0.0, 1.0, np.nan] * 60), y)
    with pytest.raises(DataError, match="'Days' contains infinity in row 2"):
        LinearMixedRegressor(groups="Subject").fit(X.assign(Days=[0.0, 1.0, np.inf] * 60), y)
    with pytest.raises(DataError, match="'Subject' has a missing value"):
        LinearMixedRegressor(groups="Subject").fit(X.assign(Subject=None), y)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        LinearMixedRegressor(groups="Subject").fit(X, y.where(y > 200))
    model = LinearMixedRegressor(groups="Subject").fit(X, y)
    with pytest.raises(DataError, match="'Days' has a missing value"):
        model.predict(X.assign(Days=np.nan))
    with pytest.raises(DataError, match="requires y to be passed"):
        model.fit(X, None)


def test_names_need_a_table(data):
    X, y = data
    with pytest.raises(DataError, match="X has no column names"):
        LinearMixedRegressor(groups="Subject").fit(X.to_numpy(), y)
    with pytest.raises(DataError, match="several columns named 'a'"):
        LinearMixedRegressor(groups=1).fit(X.set_axis(["a", "a"], axis=1), y)
    with pytest.raises(DataError, match="X has a column 'groups'"):
        LinearMixedRegressor().fit(X.rename(columns={"Subject": "groups"}), y, groups=X["Subject"])


def test_prediction_needs_a_fit_and_its_columns(data):
    X, y = data
    with pytest.raises(NotFittedError):
        LinearMixedRegressor(groups="Subject").predict(X)
    model = LinearMixedRegressor(groups="Subject").fit(X, y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[["Subject", "Days"]])
    with pytest.raises(DataError, match="fitted without"):
        model.predict(X, groups=X["Subject"])
    two = LinearMixedRegressor("~ Days").fit(X, y, groups=np.column_stack([np.arange(180) % 7, np.arange(180) // 10]))
    with pytest.raises(DataError, match="groups has 1 columns; the estimator was fitted with 2"):
        two.predict(X, groups=X["Subject"])
