"""Rows added to a fit, taken out and forgotten: always the fit to all rows, in a few evaluations."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

import henderson as hd
from henderson.errors import DataError


def table(n=240, seed=3):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "f": rng.choice(list("abc"), n),
            "g": rng.choice([f"g{k:02d}" for k in range(15)], n),
            "h": rng.integers(0, 5, n),
            "w": rng.uniform(0.5, 2, n),
            "off": rng.normal(size=n),
        }
    )
    effect = dict(zip(sorted(data["g"].unique()), rng.normal(size=15), strict=True))
    slope = dict(zip(sorted(data["g"].unique()), 0.6 * rng.normal(size=15), strict=True))
    level = rng.normal(size=5)
    data["y"] = 3 + 0.5 * data["x"] + data["g"].map(effect) + data["g"].map(slope) * data["x"] + level[data["h"]]
    data["y"] += data["off"] + rng.normal(size=n) / np.sqrt(data["w"])
    return data


DATA = table()
NEW_LEVELS = DATA["g"].isin(["g13", "g14"])
SPLITS = {
    "old levels": np.arange(len(DATA)) < 200,
    "new levels": (~NEW_LEVELS & (np.arange(len(DATA)) < 225)).to_numpy(),
}
CASES = {
    "single": ("y ~ x + (1 | g)", {}),
    "vector": ("y ~ x + f + (x | g)", {}),
    "several terms": ("y ~ x + (x || g)", {}),
    "nested": ("y ~ x + (1 | h/g)", {}),
    "crossed": ("y ~ x + (1 | g) + (1 | h)", {}),
    "crossed vector": ("y ~ x + (x | g) + (1 | h)", {}),
    "weighted": ("y ~ x + (x | g)", {"weights": "w"}),
    "offset": ("y ~ x + offset(off) + (1 | g)", {}),
    "offset argument": ("y ~ f + (1 | g) + (1 | h)", {"offset": "off", "weights": "w"}),
    "transformed": ("log(y + 20) ~ log(x + 9) + I(x^2) + (1 | g)", {}),
    "no fixed effects": ("y ~ 0 + (1 | g)", {}),
}


def assert_same(one, other, tolerance=1e-8):
    """The same fit; levels that have lost their rows may be there still."""
    assert one.nobs == other.nobs
    assert one.criterion == pytest.approx(other.criterion, abs=tolerance)
    np.testing.assert_allclose(one.fixef, other.fixef, rtol=1e-6, atol=1e-7)
    assert one.sigma == pytest.approx(other.sigma, rel=1e-6)
    for label, own in one.ranef.items():
        known = own.index.isin(other.ranef[label].index)
        np.testing.assert_allclose(own[known], other.ranef[label].reindex(own.index[known]), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(own[~known], 0, atol=1e-9)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("case", CASES)
def test_rows_added_give_the_fit_to_all_rows(case, split, reml):
    formula, options = CASES[case]
    old = SPLITS[split]
    before = hd.lmer(formula, DATA[old], reml=reml, **options)
    criterion = before.criterion
    fit = before.update(DATA[~old])
    assert fit.ngroups == hd.lmer(formula, DATA, **options).ngroups
    assert_same(fit, hd.lmer(formula, DATA, reml=reml, **options))
    assert before.criterion == criterion == pytest.approx(before.criterion_at(), rel=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_rows_taken_out_again_leave_the_fit(case):
    formula, options = CASES[case]
    old = SPLITS["old levels"]
    before = hd.lmer(formula, DATA[old], **options)
    assert_same(before.update(DATA[~old]).downdate(DATA[~old]), before)
    assert_same(hd.lmer(formula, DATA, **options).downdate(DATA[~old]), before)


@pytest.mark.parametrize("case", ["single", "vector", "crossed", "weighted"])
def test_a_few_rows_take_three_evaluations_at_most(case):
    formula, options = CASES[case]
    data = table(20040)
    updated = hd.lmer(formula, data[:20000], **options).update(data[20000:])
    assert updated.optimum.evaluations <= 3
    assert updated.optimum.certificate.holds
    assert updated.downdate(data[20000:]).optimum.evaluations <= 3


@pytest.mark.parametrize("groups", ["numbers", "text", "categories", "truth values"])
@pytest.mark.parametrize("convert", [pl.from_pandas, lambda d: {name: d[name].to_numpy() for name in d}, pd.DataFrame])
def test_any_table_and_any_type_of_group(groups, convert):
    own = {"numbers": DATA["h"], "text": DATA["g"], "categories": DATA["g"].astype("category")}
    data = DATA.assign(k=own.get(groups, DATA["h"] > 2))
    data.index = data.index + 1000
    old = np.arange(240) < 200
    fit = hd.lmer("y ~ x + (1 | g) + (1 | k)" if groups == "truth values" else "y ~ x + (1 | k)", data[old])
    assert_same(fit.update(convert(data[~old])), fit.update(data=data))


@pytest.mark.parametrize("formula", ["y ~ poly(x, 2) * f + (1 | g)", "y ~ scale(x) + (scale(x) | g)"])
def test_what_transformations_have_learned_stays(formula):
    before = hd.lmer(formula, DATA[:200], reml=False)
    assert before.update(DATA[200:]).criterion == pytest.approx(hd.lmer(formula, DATA, reml=False).criterion, abs=1e-8)


def test_a_stream_of_batches_is_one_fit():
    fit = hd.lmer("y ~ x + (x | g)", DATA[:60])
    for first in range(60, 240, 20):
        fit = fit.update(DATA[first : first + 20])
    assert_same(fit, hd.lmer("y ~ x + (x | g)", DATA))


def test_the_rows_of_a_streamed_fit_are_there_when_needed():
    full = hd.lmer("y ~ x + f + (x | g)", DATA, weights="w")
    fit = hd.lmer("y ~ x + f + (x | g)", DATA[:200], weights="w").update(DATA[200:])
    pd.testing.assert_frame_equal(fit.coefficients, full.coefficients, rtol=1e-4)
    np.testing.assert_allclose(fit.anova().to_frame(), full.anova().to_frame(), rtol=1e-4)
    np.testing.assert_allclose(fit.confint(method="profile"), full.confint(method="profile"), rtol=1e-4)
    np.testing.assert_allclose(fit.predict(DATA[:5]), full.predict(DATA[:5]), rtol=1e-5)
    assert str(fit.summary()) == str(full.summary())
    with pytest.raises(DataError, match="stand_in"):
        _ = fit.design.y + 1
    pd.testing.assert_series_equal(fit.resid, full.resid, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(fit.stand_in.design.y, full.design.y)
    kept = hd.lmer("y ~ x + f + (x | g)", DATA[:200], weights="w").update(DATA[200:], keep_rows=True)
    pd.testing.assert_series_equal(kept.fitted, full.fitted, rtol=1e-5)
    np.testing.assert_allclose(kept.emmeans("f").to_frame()["estimate"], full.emmeans("f").to_frame()["estimate"])


def test_streamed_fits_take_other_formulas_and_criteria():
    fit = hd.lmer("y ~ x + f + (1 | g)", DATA[:200]).update(DATA[200:])
    assert_same(fit.update(". ~ . - f"), hd.lmer("y ~ x + (1 | g)", DATA))
    by_ml = hd.lmer("y ~ x + f + (1 | g)", DATA, reml=False)
    assert_same(fit.update(reml=False), by_ml)
    np.testing.assert_allclose(fit.update(reml=False).resid, by_ml.resid, rtol=1e-4, atol=1e-6)


def test_rows_forgotten_in_part_have_no_residuals():
    fit = hd.lmer("y ~ x + f + (1 | g)", DATA[:200]).update(DATA[200:], forgetting=0.5)
    for ask in (lambda: fit.resid, lambda: fit.icc(), lambda: fit.update(". ~ . - f")):
        with pytest.raises(DataError, match="only cross-products are known"):
            ask()


def test_streamed_fits_are_pickled_and_saved(tmp_path):
    fit = hd.lmer("y ~ x + (x | g)", DATA[:200]).update(DATA[200:])
    assert_same(pickle.loads(pickle.dumps(fit)).update(DATA[:20]), fit.update(DATA[:20]))
    for rows in (False, True):
        fit.save(tmp_path / "fit.henderson", rows=rows)
        assert str(hd.load(tmp_path / "fit.henderson").summary()) == str(fit.summary())
    fit.downdate(DATA[200:]).save(tmp_path / "less.henderson")
    with pytest.raises(DataError, match="A file of a fit"):
        fit.update(DATA[:20], forgetting=0.5).save(tmp_path / "none.henderson")


def test_loaded_fits_go_on(tmp_path):
    hd.lmer("y ~ x + (x | g)", DATA[:200]).save(tmp_path / "fit.henderson")
    loaded = hd.load(tmp_path / "fit.henderson")
    full = hd.lmer("y ~ x + (x | g)", DATA)
    fit = loaded.update(DATA[200:])
    assert_same(fit, full)
    pd.testing.assert_frame_equal(fit.coefficients, full.coefficients, rtol=1e-4)
    assert "Scaled residuals" not in str(fit.summary())
    less = fit.downdate(DATA[:20])
    assert_same(less, hd.lmer("y ~ x + (x | g)", DATA[20:]))
    with pytest.raises(DataError, match="only cross-products are known"):
        less.anova()


# -------------------------------------------------------------------------------------------------------- forgetting


@pytest.mark.parametrize("case", CASES)
def test_two_copies_that_count_half_each_are_the_rows(case):
    formula, options = CASES[case]
    twice = pd.concat([DATA, DATA])
    fit = hd.lmer(formula, twice, **options)
    half = fit.update(DATA, forgetting=0.25)  # half of what would be 480 rows, and 120 and 240
    copies = hd.lmer(formula, DATA, **options).update(DATA, forgetting=0.5)
    assert half.nobs == copies.nobs == 360
    np.testing.assert_allclose(half.theta, copies.theta, rtol=1e-5, atol=1e-6)
    assert half.criterion == pytest.approx(copies.criterion, abs=1e-8)


def dense_power_likelihood(data, power, tau, sigma):
    """-2 log of the integral over b of prod p(y_i | b)^power_i p(b), beta at its maximum; `tau` of a random intercept.

    The power of a normal density is a normal density of variance sigma^2 / power, times a constant.
    """
    z = pd.get_dummies(data["g"]).to_numpy(float)
    x = np.column_stack([np.ones(len(data)), data["x"]])
    noise = sigma**2 / power
    v = tau**2 * z @ z.T + np.diag(noise)
    beta = np.linalg.solve(x.T @ np.linalg.solve(v, x), x.T @ np.linalg.solve(v, data["y"]))
    r = data["y"] - x @ beta
    constant = (power * np.log(2 * np.pi * sigma**2) - np.log(2 * np.pi * noise)).sum()
    return np.linalg.slogdet(2 * np.pi * v)[1] + r @ np.linalg.solve(v, r) + constant


def test_forgetting_is_the_power_likelihood():
    fit = hd.lmer("y ~ x + (1 | g)", DATA[:200], reml=False).update(DATA[200:], forgetting=0.7)
    power = np.where(np.arange(240) < 200, 0.7, 1.0)
    assert fit.nobs == pytest.approx(180)
    tau = float(fit.theta.iloc[0]) * fit.sigma
    best = dense_power_likelihood(DATA, power, tau, fit.sigma)
    assert fit.criterion == pytest.approx(best, abs=1e-8)
    for step in (0.99, 1.01):
        assert dense_power_likelihood(DATA, power, tau * step, fit.sigma) > best
        assert dense_power_likelihood(DATA, power, tau, fit.sigma * step) > best


def test_forgetting_weighs_the_rows_of_fixed_and_random_effects():
    fit = hd.lmer("y ~ x + (x | g)", DATA[:200]).update(DATA[200:], forgetting=0.7)
    weighted = hd.lmer("y ~ x + (x | g)", DATA, weights=np.where(np.arange(240) < 200, 0.7, 1.0))
    at = weighted._problem.solve(weighted._y, fit.optimum.theta, True)
    np.testing.assert_allclose(fit.fixef, at.beta, rtol=1e-9)
    np.testing.assert_allclose(np.sort(fit.ranef["g"].to_numpy(), axis=0), np.sort(at.b[0], axis=0), rtol=1e-7)
    assert np.isfinite(fit.coefficients.to_numpy()).all()
    assert "Number of obs: 180" in str(fit.summary())


def test_partial_fit_forgets_batch_by_batch():
    model = hd.StreamingModel("y ~ x + (1 | g)", forgetting=0.9)
    for first in (0, 80, 160):
        model.partial_fit(DATA[first : first + 80])
    assert model.fit_.nobs == pytest.approx(80 * (1 + 0.9 + 0.81))
    np.testing.assert_allclose(model.predict(DATA[:3]), model.fit_.predict(DATA[:3]))
    plain = hd.StreamingModel("y ~ x + (1 | g)")
    with pytest.raises(DataError, match="no fit yet"):
        plain.predict(DATA)
    for first in (0, 120):
        plain.partial_fit(pl.from_pandas(DATA[first : first + 120]))
    assert_same(plain.fit_, hd.lmer("y ~ x + (1 | g)", DATA))


# --------------------------------------------------------------------------------------------------------- layouts


def test_dropped_columns_come_back_when_rows_tell_them_apart():
    data = DATA.assign(x2=np.where(np.arange(240) < 200, 2 * DATA["x"], DATA["off"]))
    before = hd.lmer("y ~ x + x2 + (1 | g)", data[:200])
    assert before.aliased == ("x2",)
    fit = before.update(data[200:])
    assert fit.aliased == ()
    assert_same(fit, hd.lmer("y ~ x + x2 + (1 | g)", data))


def test_columns_that_no_rows_tell_apart_any_more_are_dropped():
    data = DATA.assign(late=(np.arange(240) >= 200).astype(float))
    fit = hd.lmer("y ~ x + late + (1 | g)", data).downdate(data[200:])
    assert fit.aliased == ("late",)
    assert_same(fit, hd.lmer("y ~ x + (1 | g)", data[:200]))


def test_a_level_without_rows_has_no_effect():
    one = DATA[DATA["g"] == "g03"]
    fit = hd.lmer("y ~ x + (1 | g)", DATA).downdate(one)
    less = hd.lmer("y ~ x + (1 | g)", DATA[DATA["g"] != "g03"])
    assert fit.criterion == pytest.approx(less.criterion, abs=1e-8)
    assert abs(fit.ranef["g"].loc["g03", "(Intercept)"]) < 1e-10


def test_digits_are_lost_to_the_size_of_what_was_taken_out():
    few, many = DATA[:60], DATA[60:].assign(y=lambda d: 1e3 * d["y"])
    fit = hd.lmer("y ~ x + (1 | g)", pd.concat([few, many])).downdate(many)
    assert fit.criterion == pytest.approx(hd.lmer("y ~ x + (1 | g)", few).criterion, abs=1e-5)


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda d: d.drop(columns="y"), "y"),
        (lambda d: d.drop(columns="g"), "g"),
        (lambda d: d.drop(columns="w"), "weights"),
        (lambda d: d.assign(y=[np.nan, *d["y"][1:]]), "Column 'y' is missing in row 0"),
        (lambda d: d.assign(x=[*d["x"][:-1], np.nan]), "Column 'x' is missing in row 9"),
        (lambda d: d.assign(g=[None, *d["g"][1:]]), "'g' is missing in row 0"),
        (lambda d: d.assign(f="z"), "level"),
        (lambda d: d.assign(x="text"), "x"),
        (lambda d: d.assign(y=np.inf), "y"),
        (lambda d: d.assign(w=-1.0), "weight -1 in row 0"),
        (lambda d: d.assign(w=0.0), "weight 0 in row 0"),
        (lambda d: d.assign(w=np.nan), "weights= is missing in row 0"),
        (lambda d: d.assign(f=[*d["f"][:-1], None]), "Column 'f' is missing in row 9"),
        (lambda d: d[:0], "no rows"),
    ],
)
def test_rows_that_cannot_be_added_are_refused(change, message):
    fit = hd.lmer("y ~ x + f + (1 | g)", DATA[:200], weights="w")
    with pytest.raises(DataError, match=message):
        fit.update(change(DATA[200:210]))


def test_levels_of_another_type_are_refused():
    fit = hd.lmer("y ~ x + (1 | h)", DATA)
    with pytest.raises(DataError, match="another type"):
        fit.update(DATA[:5].assign(h=DATA["h"][:5].astype(str)))


@pytest.mark.parametrize("value", [0, 1.5, -1, "half", True, float("nan")])
def test_forgetting_is_a_part(value):
    with pytest.raises(DataError, match="forgetting"):
        hd.lmer("y ~ x + (1 | g)", DATA).update(DATA[:5], forgetting=value)


def test_arguments_that_mean_nothing_are_refused():
    fit = hd.lmer("y ~ x + (1 | g)", DATA)
    with pytest.raises(DataError, match="no option 'reml'"):
        fit.update(DATA[:5], reml=False)
    with pytest.raises(DataError, match="no option 'forgetting'"):
        fit.downdate(DATA[:5], forgetting=0.5)
    with pytest.raises(DataError, match="not both"):
        fit.update(DATA[:5], data=DATA)
    with pytest.raises(DataError, match="pandas DataFrame"):
        fit.update(rows=3)


def test_rows_that_are_not_in_the_fit_cannot_be_taken_out():
    fit = hd.lmer("y ~ x + (1 | g)", DATA[:200])
    with pytest.raises(DataError, match="row 2 of the table"):
        fit.downdate(DATA[198:205])
    with pytest.raises(DataError, match="no level"):
        fit.downdate(DATA[:5].assign(g="new"))
    with pytest.raises(DataError, match="would be left"):
        fit.downdate(DATA[:199])
    with pytest.raises(DataError, match="forgotten"):
        fit.update(DATA[200:], forgetting=0.5).downdate(DATA[:5])


def test_more_rows_of_a_level_than_there_are_cannot_be_taken_out(tmp_path):
    hd.lmer("y ~ x + (1 | g)", DATA).save(tmp_path / "fit.henderson")
    level = DATA[DATA["g"] == "g03"]
    with pytest.raises(DataError, match="fewer than none"):
        hd.load(tmp_path / "fit.henderson").downdate(pd.concat([level, level]))
