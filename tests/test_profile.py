"""Profile likelihood: constrained minima, signed roots, limits; against lme4, closed forms and the dense likelihood."""

import json
import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq, minimize, minimize_scalar

import cases
import henderson as hd
import oracle
from henderson.errors import ConvergenceWarning, DataError
from henderson.inference import profile as profiles
from henderson.inference.deviance_surface import DevianceSurface
from henderson.inference.profile_curve import slope_at_origin

REFERENCE = json.loads((Path(__file__).parent / "reference" / "profile" / "profile.json").read_text())
Z = 1.959963984540054


@pytest.fixture(scope="module")
def sleepstudy():
    case = cases.BY_NAME["sleepstudy"]
    return hd.lmer(case.formula, case.data())


@pytest.fixture(scope="module")
def profile(sleepstudy):
    return sleepstudy.profile()


def fitted(name):
    case = cases.BY_NAME[name]
    return hd.lmer(case.formula, case.data(), **case.options())


# ---------------------------------------------------------------------------------------------------- against others


@pytest.mark.parametrize("reference", REFERENCE, ids=lambda reference: reference["name"])
def test_limits_are_those_of_lme4(reference):
    ours = fitted(reference["name"]).confint(method="profile")
    assert list(ours.index) == reference["parameters"]
    theirs = np.column_stack([reference["lower"], reference["upper"]]).astype(float)
    right = np.ones(len(ours), dtype=bool)
    if reference["name"] == "weighted":  # lme4 1.1 forgets the weights when it profiles a fixed effect
        right[-2:] = False
    np.testing.assert_allclose(ours[right], theirs[right], rtol=2e-5, atol=1e-12)


@pytest.mark.parametrize("name", ["sleepstudy", "penicillin"])
def test_limits_are_those_that_lme4_gives_by_default(name):
    rows = cases.BY_NAME[name].reference()["profile_ci"]
    theirs = pd.DataFrame(rows).set_index("parameter")[["2.5 %", "97.5 %"]]
    ours = fitted(name).profile().confint()  # of a REML fit: profiled by maximum likelihood, as in lme4
    np.testing.assert_allclose(ours.loc[theirs.index], theirs, rtol=1e-4)


def test_balanced_one_way_data_have_a_closed_form():
    data = cases.read_table("Dyestuff")
    y = data["Yield"].to_numpy(float).reshape(6, 5)
    between = 5 * np.sum((y.mean(axis=1) - y.mean()) ** 2)
    within = np.sum((y - y.mean(axis=1, keepdims=True)) ** 2)

    def deviance(sd, sigma):
        level = sigma**2 + 5 * sd**2
        return 30 * np.log(2 * np.pi) + 24 * np.log(sigma**2) + 6 * np.log(level) + within / sigma**2 + between / level

    def zeta(sd):
        lowest = minimize_scalar(
            lambda log: deviance(sd, np.exp(log)), bounds=(2, 6), method="bounded", options={"xatol": 1e-12}
        )
        return np.sqrt(max(lowest.fun - fit.criterion, 0.0))

    fit = hd.lmer("Yield ~ 1 + (1 | Batch)", data, reml=False)  # found by zeta when it is called
    exact = brentq(lambda sd: zeta(sd) - Z, 5, 20, xtol=1e-12), brentq(lambda sd: zeta(sd) - Z, 60, 120, xtol=1e-12)
    found = fit.confint(method="profile", parameters="sd_(Intercept)|Batch")
    np.testing.assert_allclose(found.to_numpy()[0], exact, rtol=1e-6)
    np.testing.assert_allclose(fit.profile("sd_(Intercept)|Batch").confint().to_numpy()[0], exact, rtol=2e-5)


def small_data(seed=3, groups=8, rows=6):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), rows)
    x = rng.normal(size=len(g))
    effects = rng.normal(size=(groups, 2)) @ np.array([[1.0, 0.4], [0.0, 0.8]])
    y = 1 + 0.5 * x + effects[g, 0] + effects[g, 1] * x + rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "g": g, "w": rng.uniform(0.5, 2.0, len(g))})


class Dense:
    """The deviance of `small_data` with weights, by n x n matrices."""

    def __init__(self, data, drop=None, shift=0.0):
        x = np.column_stack([np.ones(len(data)), data["x"]])
        self.y = data["y"].to_numpy() - (0.0 if drop is None else shift * x[:, drop])
        self.x = x if drop is None else np.delete(x, drop, axis=1)
        self.terms = [oracle.Term(data["g"].to_numpy(np.int32), x)]
        self.w = data["w"].to_numpy()

    def profiled(self, theta):
        return oracle.evaluate(self.y, self.x, self.terms, theta, reml=False, weights=self.w)

    def at(self, theta, sigma):
        """With sigma not profiled out."""
        found, n = self.profiled(theta), len(self.y)
        return found.criterion - n * (1 + np.log(found.sigma**2)) + n * np.log(sigma**2) + n * found.sigma**2 / sigma**2

    def least(self, start, deviance):
        return minimize(deviance, start, method="BFGS", options={"gtol": 1e-6}).fun


@pytest.mark.parametrize("place", [1, -2])
def test_constrained_fits_are_minima_of_the_dense_likelihood(place):
    data = small_data()
    dense = Dense(data)
    fit = hd.lmer("y ~ x + (x | g)", data, reml=False, weights="w")
    found = fit.profile(cutoff=2.0)
    theta, sigma = np.asarray(fit.optimum.theta), fit.sigma

    def held(name):
        curve = found[name]
        return curve.points[place].deviance, float(curve.value[place])

    deviance, sd = held("sd_(Intercept)|g")
    assert deviance == pytest.approx(dense.least(theta, lambda t: dense.at(t, sd / abs(t[0]))), abs=1e-6)
    deviance, sd = held("sd_x|g")
    assert deviance == pytest.approx(dense.least(theta, lambda t: dense.at(t, sd / np.hypot(t[1], t[2]))), abs=1e-6)
    deviance, r = held("cor_x.(Intercept)|g")
    lengths = [theta[0], np.hypot(theta[1], theta[2])]
    least = dense.least(lengths, lambda s: dense.profiled([s[0], s[1] * r, s[1] * np.sqrt(1 - r * r)]).criterion)
    assert deviance == pytest.approx(least, abs=1e-6)
    deviance, held_sigma = held("sigma")
    assert deviance == pytest.approx(dense.least(theta, lambda t: dense.at(t, held_sigma)), abs=1e-6)
    assert held_sigma != pytest.approx(sigma)
    deviance, beta = held("x")
    shifted = Dense(data, drop=1, shift=beta)
    assert deviance == pytest.approx(shifted.least(theta, lambda t: shifted.profiled(t).criterion), abs=1e-6)


# -------------------------------------------------------------------------------------------------------------- laws


def test_signed_roots_increase_and_invert(profile):
    assert list(profile) == list(profile.names) == list(profile.confint().index)
    for name in profile:
        curve = profile[name]
        assert (np.diff(curve.zeta) > 0).all()
        assert (np.diff(curve.value) > 0).all()
        assert curve.zeta_at(curve.estimate) == pytest.approx(0.0, abs=1e-9)
        reach = np.linspace(curve.zeta[0], curve.zeta[-1], 301)
        values = curve.value_at(reach)
        assert (np.diff(values) > 0).all()
        np.testing.assert_allclose(curve.zeta_at(values), reach, atol=1e-8)
        assert np.isnan(curve.value_at([-99.0, 99.0])).all()
        assert np.isnan(curve.zeta_at(curve.value[-1] + 1000.0))


def test_the_slope_of_the_signed_root_is_known_at_every_point(profile):
    for name in profile:
        curve = profile[name]
        between = slope_at_origin(curve.coordinates, curve.zeta, curve.slopes, int(np.argmin(np.abs(curve.zeta))), 1.0)
        differences = np.gradient(curve.zeta, curve.coordinates)
        np.testing.assert_allclose(curve.slopes[1:-1], differences[1:-1], rtol=0.1)
        assert between == pytest.approx(curve.slopes[int(np.argmin(np.abs(curve.zeta)))])


def test_wider_intervals_hold_narrower_ones(profile):
    narrow, wide, wider = (profile.confint(level).to_numpy() for level in (0.5, 0.95, 0.999))
    assert (wider[:, 0] <= wide[:, 0]).all()
    assert (wide[:, 0] < narrow[:, 0]).all()
    assert (narrow[:, 1] < wide[:, 1]).all()
    assert (wide[:, 1] <= wider[:, 1]).all()


@pytest.mark.parametrize("level", [0.01, 0.5, 0.95, 0.9999, 0.9999999])
def test_a_profile_made_for_a_level_agrees_with_a_finer_one(sleepstudy, level):
    made = sleepstudy.confint(level, method="profile")
    fine = sleepstudy.profile(cutoff=5.5, step=0.25).confint(level)
    assert made.notna().all().all()
    np.testing.assert_allclose(made, fine, rtol=1e-4, atol=1e-6)


def test_reml_and_ml_fits_have_one_profile(profile):
    by_ml = fitted("sleepstudy_ml").profile()
    np.testing.assert_allclose(by_ml.confint(), profile.confint(), rtol=1e-7)
    assert by_ml.deviance == pytest.approx(profile.deviance, abs=1e-8)


def test_units_of_the_response_scale_all_but_correlations(profile):
    data = cases.BY_NAME["sleepstudy"].data()
    scaled = hd.lmer("Reaction ~ Days + (Days | Subject)", data.assign(Reaction=1000.0 * data["Reaction"])).profile()
    factors = np.where(profile.confint().index.str.startswith("cor_"), 1.0, 1000.0)[:, None]
    np.testing.assert_allclose(scaled.confint(), factors * profile.confint(), rtol=1e-6)


def test_rows_and_labels_do_not_matter(profile):
    data = cases.BY_NAME["sleepstudy"].data().sample(frac=1.0, random_state=7)
    labels = {label: f"s{(7 * i) % 18:02d}" for i, label in enumerate(data["Subject"].cat.categories)}
    data["Subject"] = data["Subject"].astype(object).map(labels)
    again = hd.lmer("Reaction ~ Days + (Days | Subject)", data).profile()
    np.testing.assert_allclose(again.confint(), profile.confint(), rtol=1e-6)


def test_the_order_of_effects_does_not_matter():
    data = small_data()
    one = hd.lmer("y ~ x + (x | g)", data).confint(method="profile")
    other = hd.lmer("y ~ x + (0 + x + I(x * 0 + 1) | g)", data).confint(method="profile")
    np.testing.assert_allclose(other.to_numpy()[[2, 1, 0, 3, 4, 5]], one, rtol=1e-5)


def test_the_table_holds_the_constrained_fits(sleepstudy, profile):
    table = profile.to_frame()
    assert list(table.columns) == ["parameter", "value", "zeta", "deviance", *profile.names]
    for name, rows in table.groupby("parameter"):
        np.testing.assert_allclose(rows[name], rows["value"], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(rows["zeta"] ** 2, rows["deviance"] - profile.deviance, atol=1e-6)
    start = table[table["zeta"] == 0.0]
    assert len(start) == 6
    by_ml = sleepstudy.profile("sigma", cutoff=0.5).to_frame().query("zeta == 0.0")
    np.testing.assert_allclose(start[list(profile.names)], np.repeat(by_ml[list(profile.names)].to_numpy(), 6, axis=0))


def test_a_profile_takes_few_evaluations(sleepstudy, monkeypatch):
    count = 0
    plain = DevianceSurface.__call__

    def counted(self, x):
        nonlocal count
        count += 1
        return plain(self, x)

    monkeypatch.setattr(DevianceSurface, "__call__", counted)
    sleepstudy.confint(method="profile", parameters="theta_")
    assert count < 200  # 4 parameters, 36 points, 16 for Hessians


# -------------------------------------------------------------------------------------------------------- boundaries


def test_a_standard_deviation_at_zero_has_an_upper_limit_only():
    fit = fitted("dyestuff2_singular")
    curve = fit.profile()["sd_(Intercept)|Batch"]
    assert curve.estimate == 0.0
    assert curve.value[0] == 0.0
    assert curve.is_bounded == (True, False)
    low, high = curve.interval(0.95)
    assert low == 0.0
    assert high == pytest.approx(2.084048, rel=1e-5)


def test_limits_beyond_a_boundary_are_the_boundary(profile):
    batch = fitted("pastes_nested").profile("sd_(Intercept)|batch")
    curve = batch["sd_(Intercept)|batch"]
    assert batch.confint().iloc[0, 0] == 0.0
    assert curve.value[0] == 0.0
    assert -Z < curve.zeta[0] < 0.0
    inside = curve.interval(0.2)
    assert inside[0] > 0.0
    assert profile.confint(0.999).loc["cor_Days.(Intercept)|Subject", "99.95 %"] == 1.0


def test_a_correlation_of_one_is_a_point_to_start_from():
    found = fitted("ratpup_slope").profile("cor_sexMale.(Intercept)|Litter")
    curve = found["cor_sexMale.(Intercept)|Litter"]
    assert curve.estimate == pytest.approx(1.0)
    assert curve.interval(0.95) == pytest.approx((-0.214315, 1.0), abs=1e-4)
    assert curve.interval(0.99) == (-1.0, 1.0)  # without the slopes' variance the deviance is lower than beyond


def test_the_correlation_of_an_effect_that_does_not_vary_can_be_anything():
    g, x = np.repeat(np.arange(10), 8), np.tile(np.arange(8.0), 10)
    for seed in range(50):  # the first draw in which the slopes do not vary at all
        y = x + np.random.default_rng(seed).normal(size=80)
        fit = hd.lmer("y ~ x + (x | g)", pd.DataFrame({"y": y, "x": x, "g": g}), reml=False)
        if fit.varcorr.terms[0].std_dev[1] == 0.0:
            break
    assert fit.varcorr.terms[0].std_dev[1] == 0.0
    found = fit.profile()
    assert np.isnan(found["cor_x.(Intercept)|g"].estimate)
    assert found.confint().loc["cor_x.(Intercept)|g"].tolist() == [-1.0, 1.0]
    assert found.confint().loc["sd_x|g"].iloc[0] == 0.0
    assert found.confint().notna().all().all()
    assert "cor_x.(Intercept)|g" not in found.to_frame()["parameter"].to_numpy()
    assert np.isnan(found["cor_x.(Intercept)|g"].zeta_at(0.3))
    assert np.isnan(found["cor_x.(Intercept)|g"].value_at(0.3))


# -------------------------------------------------------------------------------------------------- better optimum


def test_a_better_optimum_is_adopted_and_said(profile, monkeypatch):
    stopped = hd.lmer(
        "Reaction ~ Days + (Days | Subject)",
        cases.BY_NAME["sleepstudy"].data(),
        reml=False,
        start=[0.3, 0.1, 0.1],
        callback=lambda *_: True,
    )
    np.testing.assert_allclose(stopped.profile().confint(), profile.confint(), rtol=1e-7)  # it has not converged
    monkeypatch.setattr(profiles, "_by_maximum_likelihood", lambda model: model)  # as if it had
    with pytest.warns(ConvergenceWarning, match="A better optimum was found"):
        found = stopped.profile()
    np.testing.assert_allclose(found.confint(), profile.confint(), rtol=1e-7)
    assert "A better optimum was found" in str(found)
    assert "A better optimum was found" in found._repr_html_()


# --------------------------------------------------------------------------------------------------------- the rest


def test_models_of_every_shape_have_profiles():
    data = small_data()
    rng = np.random.default_rng(5)
    data["h"] = rng.integers(0, 5, len(data))
    data["double"] = 2.0 * data["x"]
    data["off"] = rng.normal(size=len(data))
    for formula, options, count in (
        ("y ~ 0 + (1 | g)", {}, 2),
        ("y ~ x + double + (1 | g)", {}, 4),
        ("y ~ x + (x | g) + (1 | h)", {"weights": "w", "offset": "off"}, 7),
        ("y ~ x + (x || g)", {"reml": False}, 5),
        ("y ~ x + (x | g) + (0 + x | g)", {}, 7),
    ):
        found = hd.lmer(formula, data, **options).profile(cutoff=1.0)
        assert len(found) == count
        assert len(set(found.names)) == count
        assert found.confint(0.6).notna().all().all()


def test_parameters_are_chosen_by_name(sleepstudy):
    chosen = sleepstudy.profile(["Days", "sigma"], cutoff=1.0)
    assert list(chosen) == ["sigma", "Days"]
    assert list(chosen.confint(0.5, parameters="Days").index) == ["Days"]
    assert list(sleepstudy.profile("beta_", cutoff=1.0)) == ["(Intercept)", "Days"]
    assert len(sleepstudy.profile("theta_", cutoff=1.0)) == 4
    assert chosen.confint(0.95).isna().all().all()  # not followed as far


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"parameters": "Dais"}, "no parameter 'Dais'. Did you mean 'Days'?"),
        ({"parameters": 3}, "pass a name"),
        ({"parameters": [3]}, "no parameter 3"),
        ({"cutoff": 0}, "cutoff is 0; it must be a positive number"),
        ({"cutoff": float("nan")}, "cutoff is nan"),
        ({"step": "wide"}, "step is 'wide'"),
        ({"step": True}, "step is True"),
    ],
)
def test_bad_arguments_are_named(sleepstudy, arguments, message):
    with pytest.raises(DataError, match=re.escape(message)):
        sleepstudy.profile(**arguments)


def test_an_unknown_profile_is_an_error(profile):
    with pytest.raises(DataError, match=r"no parameter 'Sigma'\. Did you mean 'sigma'"):
        profile["Sigma"]
    with pytest.raises(DataError, match="between 0 and 1"):
        profile.confint(95)


def test_the_callback_sees_every_point_and_stops_it(sleepstudy):
    seen = []
    found = sleepstudy.profile(cutoff=1.0, callback=lambda *point: seen.append(point))
    assert {name for name, _, _ in seen} == set(found)
    assert len(seen) == sum(len(found[name].points) - 1 for name in found)
    few = sleepstudy.profile(cutoff=1.0, callback=lambda name, *_: name == "sigma")
    assert list(few) == ["sd_(Intercept)|Subject", "cor_Days.(Intercept)|Subject", "sd_Days|Subject"]


def test_progress_is_a_line_on_stderr(sleepstudy, capsys):
    sleepstudy.profile("sigma", cutoff=1.0, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "profile 0/1  sigma = " in shown.err
    assert shown.err.endswith("\n")


def test_profiles_print_and_pickle(profile):
    text = str(profile)
    assert text.splitlines()[0] == "Profile likelihood of Reaction ~ Days + (Days | Subject)"
    assert "sd_Days|Subject                5.71683   3.80118   8.75339" in text
    assert "<table" in profile._repr_html_()
    again = pickle.loads(pickle.dumps(profile))
    pd.testing.assert_frame_equal(again.to_frame(), profile.to_frame())
    np.testing.assert_array_equal(again.confint(), profile.confint())


def test_no_warnings_leave_a_profile(sleepstudy):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sleepstudy.profile(cutoff=6.0)
