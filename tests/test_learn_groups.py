"""Groups that are passed to fit and predict: what they are called, in which form they come, what is refused."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")
from sklearn.linear_model import LinearRegression

import henderson as hd
from henderson.learn import LinearMixedRegressor, MixedEffectsRegressor


def simulated(n=300, seed=2):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=n), "v": rng.normal(size=n)})
    school, item = rng.integers(0, 15, n), rng.integers(100, 112, n)
    data["school"], data["item"] = np.char.add("s", school.astype(str)), item
    data["y"] = data["x"] + rng.normal(size=15)[school] + rng.normal(size=12)[item - 100] + rng.normal(size=n)
    return data


DATA = simulated()
X, Y, GROUPS = DATA[["x", "v"]], DATA["y"], DATA[["school", "item"]]
CROSSED = hd.lmer("y ~ x + v + (1 | school) + (1 | item)", DATA)


def forest(random_effects=None):
    return MixedEffectsRegressor(LinearRegression(), random_effects, tol=1e-12, max_iter=100)


def linear(random_effects=None):
    return LinearMixedRegressor(random_effects=random_effects)


BOTH = pytest.mark.parametrize("estimator", [forest, linear])


@BOTH
@pytest.mark.parametrize("random_effects", [None, "(1 | school) + (1 | item)", "(1 | groups_0) + (1 | groups_1)"])
@pytest.mark.parametrize("form", ["table", "matrix", "list", "polars", "pyarrow"])
def test_groups_in_any_form_are_one_model(estimator, random_effects, form):
    given = {"table": GROUPS, "matrix": GROUPS.to_numpy(), "list": GROUPS.to_numpy().tolist()}.get(form)
    if form == "polars":
        given = pytest.importorskip("polars").from_pandas(GROUPS)
    if form == "pyarrow":
        given = pytest.importorskip("pyarrow").Table.from_pandas(GROUPS)
    model = estimator(random_effects).fit(X, Y, groups=given)
    np.testing.assert_allclose(model.predict(X, groups=given), CROSSED.fitted, rtol=1e-5)
    np.testing.assert_allclose(model.predict(X), CROSSED.predict(DATA, re=None), rtol=1e-5)


@BOTH
def test_one_column_keeps_the_name_that_the_formula_uses(estimator):
    expected = hd.lmer("y ~ x + v + (1 + x | school)", DATA).fitted
    for groups in (DATA["school"], DATA["school"].to_numpy(), DATA["school"].astype("category").to_frame()):
        model = estimator("(1 + x | school)").fit(X, Y, groups=groups)
        np.testing.assert_allclose(model.predict(X, groups), expected, rtol=1e-5)


@BOTH
@pytest.mark.parametrize("random_effects", [None, "(1 | school) + (1 | item)"])
def test_columns_of_groups_are_told_apart_by_name(estimator, random_effects):
    model = estimator(random_effects).fit(X, Y, groups=GROUPS)
    swapped = GROUPS[["item", "school"]].assign(other=0)
    np.testing.assert_array_equal(model.predict(X, swapped), model.predict(X, GROUPS))


@BOTH
def test_terms_of_columns_of_x_take_part_without_groups(estimator):
    table = DATA[["x", "v", "school"]]
    model = estimator("(1 | school) + (1 | item)").fit(table, Y, groups=DATA["item"])
    np.testing.assert_allclose(model.predict(table), CROSSED.predict(DATA, re="school"), rtol=1e-5)


@BOTH
def test_known_groups_with_another_type_are_told_from_new_ones(estimator):
    model = estimator().fit(X, Y, groups=DATA["item"])
    with pytest.warns(hd.PredictionWarning, match=r"of groups is predicted as a new group: .* another type"):
        found = model.predict(X, DATA["item"].astype(str))
    np.testing.assert_array_equal(found, model.predict(X))
    model.predict(X, DATA["item"] + 1000)  # no warning: they are new


REFUSED = {
    "a name": (None, "school", r"shape \(\)"),
    "names": (None, ["school", "item"], r"shape \(2,\)"),
    "too few": (None, DATA["school"][:9], r"shape \(9,\)"),
    "rows for columns": (None, [DATA["school"], DATA["item"]], r"shape \(2, 300\)"),
    "ragged": (None, [["a"], ["a", "b"]] * 150, "list values"),
    "mixed types": (None, ["a", 1] * 150, "mixes types"),
    "missing labels": (None, ["a", float("nan")] * 150, "missing value"),
    "not used": ("(1 | x)", DATA["school"], "do not use it"),
    "two for one": ("(1 | school)", GROUPS, "do not use it"),
    "a column twice": (None, pd.concat([DATA["school"], DATA["school"]], axis=1), "several columns named 'school'"),
}


@BOTH
@pytest.mark.parametrize("name", REFUSED)
def test_groups_that_cannot_be_used_are_explained(estimator, name):
    random_effects, groups, message = REFUSED[name]
    with pytest.raises(hd.DataError, match=message):
        estimator(random_effects).fit(X, Y, groups=groups)


@BOTH
def test_groups_are_either_columns_of_x_or_passed(estimator):
    with pytest.raises(hd.DataError, match="X has a column 'school', which is what the groups"):
        estimator("(1 | school)").fit(DATA[["x", "school"]], Y, groups=DATA["school"])
    model = estimator().fit(X, Y, groups=GROUPS)
    with pytest.raises(hd.DataError, match="groups has 1 columns; the estimator was fitted with 2"):
        model.predict(X, DATA["school"])
    with pytest.raises(hd.DataError, match="fitted without"):
        estimator().fit(X, Y).predict(X, DATA["school"])
