"""Simulated responses: their distribution, which random effects are drawn, what makes them the same again."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import cases
import henderson as hd
import oracle
from henderson import draws
from henderson.errors import DataError
from monte_carlo import assert_distributed

LEVELS = 6


def table(rows=60, seed=2):
    """Two crossed factors, a slope, weights and an offset; the index is not 0, 1, 2, ..."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "f": rng.choice(list("abc"), rows),
            "g": rng.permutation(np.arange(rows) % LEVELS),
            "h": np.char.add("h", (np.arange(rows) % 4).astype(str)),
            "w": rng.uniform(0.3, 3.0, rows),
            "off": rng.normal(size=rows),
        },
        index=pd.Index(np.arange(rows) * 3 + 7, name="row"),
    )
    b = rng.normal(size=(LEVELS, 2))
    g = data["g"].to_numpy()
    data["y"] = 1 + data["off"] + data["x"] + b[g, 0] + b[g, 1] * data["x"] + rng.normal(size=rows)
    data["y"] += rng.normal(size=4)[data["h"].str[1].astype(int)]
    return data


DATA = table()


@pytest.fixture(scope="module")
def fit():
    model = hd.lmer("y ~ x + f + (x | g) + (1 | h)", DATA, weights="w", offset="off")
    assert not model.is_singular
    return model


@pytest.fixture(scope="module")
def sleepstudy():
    case = cases.BY_NAME["sleepstudy"]
    return hd.lmer(case.formula, case.data())


def dense(fit, data, drawn=("g", "h")):
    """Mean without random effects, and covariance, of responses at the rows of a table, written down literally."""
    matrix = oracle_columns(fit, data)
    mean = matrix @ fit.fixef.to_numpy() + data["off"].to_numpy()
    covariance = np.diag(fit.sigma**2 / data["w"].to_numpy())
    z = {"g": np.column_stack([np.ones(len(data)), data["x"]]), "h": np.ones((len(data), 1))}
    for name in drawn:
        codes = pd.factorize(data[name])[0].astype(np.int32)
        matrix = oracle.Term(codes, z[name]).matrix()
        spread = np.kron(np.eye(codes.max() + 1), fit.varcorr[name].to_numpy())
        covariance += matrix @ spread @ matrix.T
    return mean, covariance


def oracle_columns(fit, data):
    x = np.column_stack([np.ones(len(data)), data["x"], data["f"] == "b", data["f"] == "c"]).astype(float)
    assert list(fit.fixef.index) == ["(Intercept)", "x", "fb", "fc"]
    return x


# ---------------------------------------------------------------------------------------------------- distribution


def test_responses_have_the_mean_and_covariance_of_the_model(fit):
    drawn = fit.simulate(20000, seed=1).to_numpy()
    assert_distributed(drawn, *dense(fit, DATA))


def test_a_wrong_covariance_would_be_noticed(fit):
    drawn = fit.simulate(20000, seed=1).to_numpy()
    mean, covariance = dense(fit, DATA, drawn=("g",))
    with pytest.raises(AssertionError):
        assert_distributed(drawn, mean, covariance)


def test_conditional_responses_vary_by_their_residuals_only(fit):
    drawn = fit.simulate(20000, seed=2, conditional=True).to_numpy()
    assert_distributed(drawn, fit.fitted.to_numpy(), dense(fit, DATA, drawn=())[1])


def test_random_terms_that_are_kept_have_their_estimates(fit):
    drawn = fit.simulate(20000, seed=3, re="h").to_numpy()
    mean, covariance = dense(fit, DATA, drawn=("g",))
    b = fit.ranef["h"]["(Intercept)"]
    assert_distributed(drawn, mean + b.loc[DATA["h"]].to_numpy(), covariance)


@pytest.mark.parametrize("re", ["all", ["g", "h"], "(x | g) + (1 | h)"])
def test_conditional_is_short_for_all_random_terms(fit, re):
    pd.testing.assert_frame_equal(fit.simulate(3, seed=4, re=re), fit.simulate(3, seed=4, conditional=True))


def test_new_rows_of_known_and_new_levels_have_the_covariance_of_the_model(fit):
    new = table(24, seed=9)
    new["g"] = np.tile([0, 1, 77, 78], 6)
    new["h"] = np.repeat(["h0", "h9", "h8"], 8)
    drawn = fit.simulate(20000, newdata=new, seed=5).to_numpy()
    assert_distributed(drawn, *dense(fit, new))


def test_kept_effects_of_known_levels_and_drawn_ones_of_new_levels(fit):
    new = table(24, seed=9)
    new["g"], new["h"] = np.tile([0, 1, 77, 78], 6), "h2"
    drawn = fit.simulate(20000, newdata=new, seed=6, conditional=True).to_numpy()
    mean, within = dense(fit, new, drawn=())
    modes = fit.ranef["g"]
    for level in (0, 1):
        rows = (new["g"] == level).to_numpy()
        mean[rows] += modes.loc[level, "(Intercept)"] + modes.loc[level, "x"] * new["x"].to_numpy()[rows]
    mean += fit.ranef["h"].loc["h2", "(Intercept)"]
    is_new = (new["g"] > 70).to_numpy()
    _, between = dense(fit, new, drawn=("g",))
    assert_distributed(drawn, mean, np.where(np.outer(is_new, is_new), between, within))


def test_new_levels_may_have_effects_of_zero_or_no_response(fit):
    new = table(12, seed=9).assign(g=[0, 77] * 6)
    is_new = (new["g"] == 77).to_numpy()
    drawn = fit.simulate(20000, newdata=new, seed=7, conditional=True, new_groups="population").to_numpy()
    mean, covariance = dense(fit, new, drawn=())
    mean += fit.ranef["h"].loc[new["h"], "(Intercept)"].to_numpy()
    b = fit.ranef["g"].loc[0]
    mean += np.where(is_new, 0.0, b["(Intercept)"] + b["x"] * new["x"])
    assert_distributed(drawn, mean, covariance)
    gaps = fit.simulate(2, newdata=new, seed=7, new_groups="nan").isna().to_numpy()
    np.testing.assert_array_equal(gaps, np.repeat(is_new[:, None], 2, axis=1))
    with pytest.raises(DataError, match=r"levels that the model was not fitted to \(g: 77\)"):
        fit.simulate(newdata=new, new_groups="error")


def test_singular_and_intercept_free_models_are_simulated():
    data = DATA.assign(y=DATA["y"] - DATA.groupby("g")["y"].transform("mean"))
    flat = hd.lmer("y ~ 0 + x + (1 | g)", data)
    assert flat.is_singular
    drawn = flat.simulate(20000, seed=1).to_numpy()
    assert_distributed(drawn, flat.fixef["x"] * data["x"].to_numpy(), flat.sigma**2 * np.eye(len(data)))


# -------------------------------------------------------------------------------------------------- the same again


def test_the_same_seed_gives_the_same_bits_however_many_are_drawn(fit):
    many = fit.simulate(600, seed=8)
    for count in (1, 255, 256, 257):
        pd.testing.assert_frame_equal(fit.simulate(count, seed=8), many.iloc[:, :count])
    assert not fit.simulate(1, seed=9).equals(many.iloc[:, :1])


def test_responses_are_those_that_the_bootstrap_fits(sleepstudy):
    drawn = sleepstudy.simulate(300, seed=11)
    replicates = sleepstudy.bootstrap(300, seed=11).replicates
    for place in (0, 7, 299):
        again = sleepstudy.refit(drawn[f"sim_{place + 1}"])
        np.testing.assert_allclose(again.fixef, replicates.loc[place, ["(Intercept)", "Days"]], rtol=1e-6)
        assert again.sigma == pytest.approx(replicates.loc[place, "sigma"], rel=1e-6)


@pytest.mark.parametrize("name", ["sleepstudy", "pastes_nested", "penicillin", "cake", "weighted", "offset"])
def test_the_rows_of_the_fit_as_new_data_give_the_same_responses(name):
    case = cases.BY_NAME[name]
    model = hd.lmer(case.formula, case.data(), **case.options())
    known = model.simulate(3, seed=1)
    pd.testing.assert_frame_equal(model.simulate(3, seed=1, newdata=case.data()), known, check_exact=False, rtol=1e-13)
    kept = model.simulate(3, seed=1, newdata=case.data(), conditional=True)
    pd.testing.assert_frame_equal(kept, model.simulate(3, seed=1, conditional=True), check_exact=False, rtol=1e-12)


def test_a_fresh_seed_is_named(fit):
    first, second = fit.simulate(), fit.simulate()
    assert not first.equals(second)
    pd.testing.assert_frame_equal(fit.simulate(seed=first.attrs["seed"]), first)


def test_blocks_of_draws_are_made_one_after_the_other(monkeypatch, sleepstudy):
    """Memory: a block at a time and the result, never all draws and all effects at once."""
    sizes = []
    whole = draws.NormalDraws.__call__

    def watched(self, random, count):
        sizes.append(count * len(self.mean))
        return whole(self, random, count)

    monkeypatch.setattr(draws.NormalDraws, "__call__", watched)
    monkeypatch.setattr(draws, "BLOCK_VALUES", 1000)
    assert sleepstudy.simulate(23, seed=1).shape == (180, 23)
    assert max(sizes) <= 1000
    assert len(sizes) == 5


# ------------------------------------------------------------------------------------------------------- the table


def test_the_result_is_labelled(fit):
    drawn = fit.simulate(3, seed=1)
    assert list(drawn.columns) == ["sim_1", "sim_2", "sim_3"]
    pd.testing.assert_index_equal(drawn.index, DATA.index)


def test_missing_values_in_new_data_are_missing_in_the_responses(fit):
    new = DATA.head(8).astype({"g": float})
    for place, name in enumerate(["x", "f", "g", "h", "w", "off"]):
        new.iloc[place, new.columns.get_loc(name)] = np.nan
    missing = fit.simulate(2, newdata=new, seed=1).isna().to_numpy()
    np.testing.assert_array_equal(missing, np.repeat([[True]] * 6 + [[False]] * 2, 2, axis=1))


@pytest.mark.parametrize("make", [pl.from_pandas, pa.Table.from_pandas, lambda data: dict(data.items())])
def test_other_tables_give_the_same_responses(fit, make):
    new = DATA.drop(columns="y").reset_index(drop=True)
    given = fit.simulate(2, newdata=make(new), seed=1)
    np.testing.assert_array_equal(given, fit.simulate(2, newdata=new, seed=1))


def test_weights_and_offset_of_new_rows(fit):
    new = DATA.head(10).drop(columns=["w", "off"])
    columns = {"weights": DATA["w"].head(10), "offset": DATA["off"].head(10)}
    expected = fit.simulate(2, newdata=DATA.head(10), seed=1)
    pd.testing.assert_frame_equal(fit.simulate(2, newdata=new, seed=1, **columns), expected)
    precise = fit.simulate(2, newdata=new, seed=1, weights=1e16, offset=3.0, conditional=True)
    mean = fit.fitted.head(10) - DATA["off"].head(10) + 3.0
    np.testing.assert_allclose(precise["sim_1"], mean, atol=1e-6)
    with pytest.raises(DataError, match="weights='w', a column that newdata does not have"):
        fit.simulate(newdata=new, offset=0)
    with pytest.raises(DataError, match="Column 'off'"):
        fit.simulate(newdata=new, weights=1)


def test_arrays_of_the_fit_must_be_given_for_new_rows():
    model = hd.lmer("y ~ x + (1 | g)", DATA, weights=DATA["w"].to_numpy(), offset=DATA["off"].to_numpy())
    with pytest.raises(DataError, match="weights= given as an array"):
        model.simulate(newdata=DATA, offset=0.0)
    with pytest.raises(DataError, match="offset= given as an array"):
        model.simulate(newdata=DATA, weights=1.0)
    assert model.simulate(newdata=DATA, weights=1.0, offset=0.0).notna().all(axis=None)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"n": 0}, "n is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"conditional": "g"}, "conditional is 'g'"),
        ({"re": "z"}, "re names 'z'"),
        ({"re": "(1 | g)"}, "some effects of the term"),
        ({"new_groups": "zero"}, "new_groups is 'zero'"),
        ({"weights": "w"}, "weights= goes with newdata="),
        ({"offset": 1.0}, "offset= goes with newdata="),
        ({"newdata": 3}, "data is a builtins.int"),
        ({"newdata": DATA.drop(columns="x")}, "Column 'x'"),
        ({"newdata": DATA.assign(w=0.0)}, "weights is 0 in row 0"),
        ({"newdata": DATA.assign(f="z")}, "level"),
    ],
)
def test_bad_arguments_are_refused_with_a_reason(fit, arguments, message):
    with pytest.raises(DataError, match=message):
        fit.simulate(**arguments)


# -------------------------------------------------------------------------------------------------------- refitting


def test_a_table_of_one_response_is_fitted(sleepstudy):
    drawn = sleepstudy.simulate(seed=3)
    assert sleepstudy.refit(drawn).criterion == sleepstudy.refit(drawn["sim_1"]).criterion


@pytest.mark.parametrize("options", [{}, {"weights": "w"}, {"offset": "off"}, {"subset": "x > -1"}])
def test_a_refit_is_the_fit_of_a_table_with_that_response(options):
    model = hd.lmer("y ~ x + (x | g)", DATA, **options)
    drawn = model.simulate(seed=12)["sim_1"]
    again = model.refit(drawn)
    fresh = hd.lmer("y ~ x + (x | g)", DATA.assign(y=drawn), **options)
    assert again.criterion == pytest.approx(fresh.criterion, abs=1e-8)
    np.testing.assert_allclose(again.fixef, fresh.fixef, rtol=1e-6)


def test_refit_refuses_missing_values_and_other_lengths(sleepstudy):
    response = sleepstudy.simulate(2, seed=1)
    with pytest.raises(DataError, match="not finite in row 4"):
        sleepstudy.refit(response["sim_1"].where(np.arange(180) != 4))
    with pytest.raises(DataError, match="has 360 values"):
        sleepstudy.refit(response)
    with pytest.raises(DataError, match="index differs"):
        sleepstudy.refit(response["sim_1"].sample(frac=1, random_state=1))
