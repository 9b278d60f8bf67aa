"""What a fit answers, a streamed fit answers, and alike; and what people do to streams."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from henderson.errors import DataError
from henderson.model import LinearMixedModel
from test_streaming import DATA, assert_same

FORMULA = "y ~ x + f + (x | g)"
ARGUMENTS = {
    "bootstrap": ((3,), {"seed": 1}),
    "contrast": (("x",), {}),
    "downdate": ((DATA[:3],), {}),
    "emmeans": (("f",), {}),
    "emtrends": (("x",), {}),
    "marginal_cov": (([0, 1, 239],), {}),
    "power": (("x",), {"n": 3, "seed": 1}),
    "refit": ((DATA["y"].to_numpy()[::-1].copy(),), {}),
    "residuals": (("pearson",), {}),
    "simulate": ((2,), {"seed": 1}),
    "solve_random": ((np.ones((30, 1), order="F"),), {}),
    "update": ((". ~ . - f",), {}),
}
ELSEWHERE = {"save", "design", "profile"}  # tested in test_streaming
ATTRIBUTES = sorted(name for name in dir(LinearMixedModel) if not name.startswith("_") and name not in ELSEWHERE)


@pytest.fixture(scope="module")
def full():
    return hd.lmer(FORMULA, DATA)


@pytest.fixture(scope="module")
def streamed():
    return hd.lmer(FORMULA, DATA[:200]).update(DATA[200:])


def answer(fit, name):
    positional, named = ARGUMENTS.get(name, ((), {}))
    value = getattr(fit, name)
    return value(*positional, **named) if callable(value) else value


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_streamed_fit_answers_as_a_fit_to_all_rows(name, full, streamed):
    own, other = answer(streamed, name), answer(full, name)
    assert isinstance(own, type(other))
    if isinstance(other, pd.Series | pd.DataFrame):
        pd.testing.assert_index_equal(pd.Index(own.index), pd.Index(other.index))
        numbers = pd.DataFrame(other).select_dtypes("number")
        np.testing.assert_allclose(pd.DataFrame(own)[numbers.columns], numbers, rtol=1e-3, atol=1e-4)
    if isinstance(other, np.ndarray | float) and np.asarray(other).dtype.kind == "f" and name != "ranef":
        np.testing.assert_allclose(own, other, rtol=1e-3, atol=1e-4)


def test_a_streamed_fit_does_not_look_at_rows_to_predict_others(full):
    fit = hd.lmer(FORMULA, DATA[:200]).update(DATA[200:])
    np.testing.assert_allclose(fit.predict(DATA[:5]), full.predict(DATA[:5]), rtol=1e-6)
    assert fit._stand_in is None
    np.testing.assert_allclose(fit.predict(), full.predict(), rtol=1e-6)
    assert fit._stand_in is not None


def test_streamed_fits_are_compared_by_their_rows(full, streamed):
    small = streamed.update(". ~ . - f")
    expected = hd.anova(full, full.update(". ~ . - f")).to_frame()
    np.testing.assert_allclose(hd.anova(streamed, small).to_frame(), expected, rtol=1e-5)
    assert hd.pbtest(streamed, small, 9, seed=1).statistic == pytest.approx(expected["statistic"].max(), rel=1e-5)
    others = hd.lmer(FORMULA, DATA[:200]).update(DATA[:40])
    with pytest.raises(DataError, match=r"responses of .* differ"):
        hd.anova(streamed, others)


@pytest.mark.parametrize("plot", ["marginal_effects", "fitted_lines", "caterpillar", "residuals", "coefficients"])
def test_plots_take_streamed_fits(streamed, plot):
    from matplotlib import pyplot as plt

    assert getattr(hd.plots, plot)(streamed) is not None
    plt.close("all")


@pytest.mark.parametrize("as_model", [False, True])
def test_batches_may_come_in_the_same_arrays(as_model):
    buffer = {name: DATA[name].to_numpy()[:80].copy() for name in ("y", "x", "f", "g")}
    model, fit = hd.StreamingModel("y ~ x + f + (1 | g)"), None
    for first in (0, 80, 160):
        for name, values in buffer.items():
            values[:] = DATA[name].to_numpy()[first : first + 80]
        if as_model:
            fit = model.partial_fit(buffer).fit_
        else:
            fit = hd.lmer("y ~ x + f + (1 | g)", DATA[:80]) if first == 0 else fit.update(buffer)
    full = hd.lmer("y ~ x + f + (1 | g)", DATA)
    assert_same(fit, full)
    np.testing.assert_allclose(fit.resid, full.resid, rtol=1e-5, atol=1e-6)
    assert fit.downdate(DATA[80:90]).nobs == 230


@pytest.mark.parametrize("rows", [1, 12])
@pytest.mark.parametrize("formula", ["y ~ x + (x | g)", "y ~ x + (1 | h/g)", "y ~ f + (1 | g) + (1 | h)"])
def test_rows_of_one_level_that_nobody_has_seen(formula, rows):
    new = DATA[:rows].assign(g="unseen", h=77)
    fit = hd.lmer(formula, DATA).update(new)
    assert_same(fit, hd.lmer(formula, pd.concat([DATA, new])))
    assert fit.downdate(new).nobs == 240
    assert_same(fit.downdate(new), hd.lmer(formula, DATA))


@pytest.mark.parametrize("size", [1e3, 1e6])
def test_rounding_is_not_taken_for_rows_that_are_not_there(size):
    level = DATA.index[DATA["g"] == "g03"]
    data = DATA.assign(x=DATA["x"].where(DATA.index != level[0], size))
    fit = hd.lmer("y ~ x + (0 + x | g)", data).downdate(data.loc[level])
    assert fit.criterion == pytest.approx(hd.lmer("y ~ x + (0 + x | g)", data.drop(level)).criterion, abs=1e-8)


@pytest.mark.parametrize("names", ["text", "categories", "ordered"])
def test_categories_that_the_rows_do_not_have_are_no_levels(names):
    own = {
        "text": str,
        "categories": "category",
        "ordered": pd.CategoricalDtype([f"g{k:02d}" for k in range(40)], True),
    }
    data = DATA.assign(g=DATA["g"].astype(own[names]), f=DATA["f"].astype("category"))
    fit = hd.lmer("y ~ f + (1 | g)", data[:200]).update(data[200:])
    assert fit.ngroups == {"g": 15}
    assert_same(fit, hd.lmer("y ~ f + (1 | g)", data))
    assert fit.update(data[:1].assign(g="g39")).ngroups == {"g": 16}


def test_a_day_that_comes_again_and_again_is_forgotten_to_its_limit():
    fit = hd.lmer("y ~ x + (1 | g)", DATA)
    for _ in range(200):
        fit = fit.update(DATA, forgetting=0.5)
    assert fit.nobs == pytest.approx(480)
    np.testing.assert_allclose(fit.fixef, hd.lmer("y ~ x + (1 | g)", pd.concat([DATA, DATA])).fixef, rtol=1e-6)
    assert fit.optimum.evaluations <= 2


# ------------------------------------------------------------------------------------------------------- StreamingModel


def test_streaming_models_are_cloned_copied_and_pickled():
    clone = pytest.importorskip("sklearn.base").clone
    model = hd.StreamingModel("y ~ x + (1 | g)", weights="w", forgetting=0.9).partial_fit(DATA[:120])
    fresh = clone(model)
    assert fresh.fit_ is None
    assert fresh.get_params() == model.get_params()
    for own in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert own.partial_fit(DATA[120:]).fit_.nobs == pytest.approx(228)
    assert fresh.set_params(forgetting=1.0).partial_fit(DATA).partial_fit(DATA).fit_.nobs == 480
    assert repr(fresh) == "<StreamingModel 'y ~ x + (1 | g)': 480 rows>"
    with pytest.raises(DataError, match="no parameter 'forget'"):
        fresh.set_params(forget=1.0)
