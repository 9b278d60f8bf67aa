"""MixedEffectsRegressor gives the published R² of several learners on the rat pups, and what boosting packages need."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from threadpoolctl import threadpool_limits

import henderson as hd
from henderson.learn import MixedEffectsRegressor

RATS = hd.datasets.load_ratpup()
Y = RATS["weight"]
DOSE = RATS["Treatment"].map({"Control": 0, "Low": 1, "High": 2}).astype(int)
NUMBERS = RATS[["Lsize", "Litter"]].assign(dose=DOSE, male=(RATS["sex"] == "Male").astype(int))


def published(learner):
    """20 EM steps with an effect of males for each litter."""
    at_20 = {"tol": 0.0, "callback": lambda iteration, _: iteration == 20}
    return MixedEffectsRegressor(learner, "(0 + male | Litter)", method="em", out_of_bag=False, **at_20)


def boosting():
    lightgbm = pytest.importorskip("lightgbm")
    return lightgbm.LGBMRegressor(verbose=-1, n_jobs=1)


@pytest.mark.parametrize(
    "learner, expected, tolerance",
    [
        (LinearRegression, 0.585982, 1e-6),
        (lambda: RandomForestRegressor(30, random_state=37), 0.661372, 0.005),
        (HistGradientBoostingRegressor, 0.605967, 0.005),
        (boosting, 0.605967, 0.005),
    ],
    ids=["linear", "forest", "boosting", "lightgbm"],
)
def test_training_rows_have_the_published_fit(learner, expected, tolerance):
    with threadpool_limits(1):  # threads that wait for one another are slower than one
        model = published(learner()).fit(NUMBERS, Y)
        assert model.score(NUMBERS, Y) == pytest.approx(expected, abs=tolerance)


def test_fixed_effects_alone_have_the_published_fit():
    learner = make_pipeline(
        make_column_transformer((OneHotEncoder(drop="first"), ["Treatment", "sex"]), remainder="passthrough"),
        LinearRegression(),
    )
    X = RATS[["Treatment", "sex", "Lsize", "Litter"]]
    model = MixedEffectsRegressor(learner, "(1 | Litter)").fit(X, Y)
    assert r2_score(Y, model.predict(X, re=None)) == pytest.approx(0.402659, abs=1e-4)


def test_pups_kept_back_have_the_published_fit():
    litters = RATS["Litter"].astype(int)
    train, test = train_test_split(np.arange(len(Y)), test_size=0.3, random_state=37, stratify=litters)
    model = published(RandomForestRegressor(30, random_state=37)).fit(NUMBERS.iloc[train], Y.iloc[train])
    assert model.score(NUMBERS.iloc[train], Y.iloc[train]) == pytest.approx(0.681957, abs=0.01)
    assert model.score(NUMBERS.iloc[test], Y.iloc[test]) == pytest.approx(0.553932, abs=0.02)


def test_rows_of_known_litters_are_predicted_better():
    train, test = train_test_split(np.arange(len(Y)), test_size=0.3, random_state=4, stratify=RATS["Litter"])
    model = MixedEffectsRegressor(LinearRegression(), "(1 | Litter)").fit(NUMBERS.iloc[train], Y.iloc[train])
    known, strangers = (r2_score(Y.iloc[test], model.predict(NUMBERS.iloc[test], re=re)) for re in ("all", None))
    assert known > strangers + 0.1
