"""What can be asked of marginal means and contrasts, how they print, and what is refused."""

import itertools
import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest

import henderson
from henderson.errors import DataError

DATA = henderson.datasets.load_ratpup()


@cache
def ratpup(formula="weight ~ Lsize + Treatment * sex + (1 | Litter)", reml=True):
    return henderson.lmer(formula, DATA, reml=reml)


@cache
def many():
    """Variables of every kind."""
    rng = np.random.default_rng(7)
    n = 240
    data = pd.DataFrame({"g": rng.integers(0, 12, n), "x": rng.uniform(1, 9, n), "flag": rng.random(n) < 0.4})
    data["dose"] = pd.Categorical(rng.choice([5, 10, 20], n))
    data["week"] = rng.choice([1, 2, 3], n)
    data["two words"] = rng.choice(["no", "yes"], n)
    data["y"] = (
        data["x"] + data["flag"] + data["dose"].astype(float) / 10 + rng.normal(size=12)[data["g"]] + rng.normal(size=n)
    )
    return henderson.lmer("y ~ x + flag + dose + factor(week) + `two words` + (1 | g)", data)


# -------------------------------------------------------------------------------------------------------------- tables


def test_tables_have_the_usual_columns():
    means = ratpup().emmeans("Treatment", by="sex")
    numbers = ["estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high"]
    assert list(means.to_frame().columns) == ["Treatment", "sex", *numbers]
    assert list(means.pairs().to_frame().columns) == ["contrast", "sex", *numbers]
    assert len(means) == len(means.pairs()) == 6


def test_intervals_can_be_asked_for_at_another_level_and_jointly():
    means = ratpup().emmeans("Treatment")
    usual, wide = means.confint(), means.confint(0.99)
    assert (wide["conf_high"] > usual["conf_high"]).all()
    widths = [
        means.confint(adjust=how).eval("conf_high - conf_low")
        for how in ("none", "mvt", "sidak", "bonferroni", "scheffe")
    ]
    for narrow, broad in itertools.pairwise(widths):
        assert (narrow < broad).all()
    pairs = means.pairs()
    unadjusted = pairs.confint(adjust="none")
    half = (unadjusted["conf_high"] - unadjusted["conf_low"]) / 2
    np.testing.assert_allclose(half, pairs.estimates.estimated.limits(0.95)[:, 1] - unadjusted["estimate"])
    pd.testing.assert_series_equal(pairs.confint(adjust="none")["p_value"], pairs.to_frame()["p_value"])


def test_stepwise_adjustments_get_bonferronis_intervals():
    pairs = ratpup().emmeans("Treatment").pairs(adjust="holm")
    pd.testing.assert_frame_equal(pairs.to_frame(), pairs.confint(adjust="bonferroni"))


def test_levels_keep_their_types():
    model = many()
    assert model.emmeans("dose").to_frame()["dose"].tolist() == [5, 10, 20]
    assert model.emmeans("flag").to_frame()["flag"].tolist() == [False, True]
    assert model.emmeans("week").to_frame()["week"].tolist() == [1, 2, 3]
    assert model.emmeans("two words").to_frame()["two words"].tolist() == ["no", "yes"]
    assert model.emmeans("x").to_frame()["x"].tolist() == [pytest.approx(model.design.x[1].mean())]


def test_at_takes_levels_in_any_form():
    model = many()
    for chosen in ([5, 20], ["5", "20"], np.array([5, 20]), pd.Series([5, 20])):
        assert model.emmeans("dose", at={"dose": chosen}).to_frame()["dose"].tolist() == [5, 20]
    assert model.emmeans("dose", at={"dose": 20}).to_frame()["dose"].tolist() == [20]
    assert model.emmeans("flag", at={"flag": True}).to_frame()["flag"].tolist() == [True]
    assert model.emmeans("week", at={"week": [3, 1]}).to_frame()["week"].tolist() == [3, 1]
    swapped = model.emmeans("dose", at={"dose": [20, 5]}).to_frame()["estimate"].to_numpy()
    straight = model.emmeans("dose", at={"dose": [5, 20]}).to_frame()["estimate"].to_numpy()
    np.testing.assert_allclose(swapped, straight[::-1])


def test_groups_can_be_changed_for_contrasts():
    means = ratpup().emmeans(["Treatment", "sex"])
    regrouped = means.pairs(by="sex").to_frame()
    pd.testing.assert_frame_equal(regrouped, ratpup().emmeans("Treatment", by="sex").pairs().to_frame())
    all_pairs = ratpup().emmeans("Treatment", by="sex").pairs(by=None)
    assert len(all_pairs) == 15


def test_contrasts_of_contrasts_are_interactions():
    found = ratpup().emmeans("Treatment", by="sex").contrasts("trt.vs.ctrl").pairs(by="contrast", adjust="none")
    beta = ratpup().fixef
    table = found.to_frame()
    assert table["contrast"].tolist() == ["Low - Control", "High - Control"]
    want = [-beta["TreatmentLow:sexFemale"], -beta["TreatmentHigh:sexFemale"]]
    np.testing.assert_allclose(table["estimate"], want, atol=1e-12)
    np.testing.assert_allclose(
        table["p_value"], ratpup().p_values[["TreatmentLow:sexFemale", "TreatmentHigh:sexFemale"]], rtol=1e-9
    )


def test_a_control_can_be_chosen():
    found = ratpup().emmeans("Treatment").contrasts("trt.vs.ctrl", ref="High").to_frame()
    assert found["contrast"].tolist() == ["Control - High", "Low - High"]


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger", "residual", "normal"])
def test_every_rule_for_degrees_of_freedom_is_honoured(ddf):
    means = ratpup().emmeans("Treatment", ddf=ddf)
    df = means.to_frame()["df"]
    expected = {"residual": ratpup().nobs - 7, "normal": np.inf}.get(ddf)
    assert (df == expected).all() if expected else (df < 30).all()
    text = str(means)
    assert f"Degrees-of-freedom method: {'asymptotic' if ddf == 'normal' else ddf}" in text
    assert ("asymp.LCL" in text) == (ddf == "normal")
    assert ("z.ratio" in str(means.pairs())) == (ddf == "normal")


def test_a_robust_covariance_matrix_is_honoured_and_named():
    means = ratpup().emmeans("Treatment", vcov="CR2", cluster="Litter")
    functions = means.estimates.functions
    want = ratpup().contrast(functions, vcov="CR2", cluster="Litter").to_frame()
    np.testing.assert_allclose(means.to_frame()["std_error"], want["std_error"], rtol=1e-10)
    np.testing.assert_allclose(means.to_frame()["df"], want["df"], rtol=1e-10)
    assert "Covariance estimate used: CR2" in str(means)
    assert "Covariance estimate used" not in str(ratpup().emmeans("Treatment", ddf="kenward-roger"))


def test_kenward_roger_of_an_ml_fit_says_that_it_refitted():
    reml = ratpup().emmeans("Treatment", ddf="kenward-roger")
    ml = ratpup(reml=False).emmeans("Treatment", ddf="kenward-roger")
    pd.testing.assert_frame_equal(ml.to_frame(), reml.to_frame(), rtol=1e-6)
    assert str(ml).splitlines()[-1] != str(reml).splitlines()[-1]


def test_results_survive_pickling():
    means = ratpup().emmeans("Treatment", by="sex")
    again = pickle.loads(pickle.dumps(means))
    assert str(again) == str(means)
    assert str(again.pairs()) == str(means.pairs())


def test_any_table_will_do():
    polars = pytest.importorskip("polars")
    formula = "weight ~ Lsize + Treatment * sex + (1 | Litter)"
    want = ratpup().emmeans("Treatment", at={"Lsize": 10}).to_frame()
    for data in (henderson.datasets.load_ratpup(as_="polars"), DATA.to_dict("series")):
        pd.testing.assert_frame_equal(
            henderson.lmer(formula, data).emmeans("Treatment", at={"Lsize": 10}).to_frame(), want
        )
    assert polars.DataFrame is not None


def test_rows_that_were_not_used_do_not_count():
    few = henderson.lmer("weight ~ Lsize + Treatment + (1 | Litter)", DATA, subset="Lsize > 9")
    same = henderson.lmer("weight ~ Lsize + Treatment + (1 | Litter)", DATA[DATA["Lsize"] > 9])
    for weights in ("equal", "proportional"):
        got, want = (fit.emmeans("1", weights=weights).to_frame() for fit in (few, same))
        pd.testing.assert_frame_equal(got, want, rtol=1e-8)


# ------------------------------------------------------------------------------------------------------------ printing


def test_transformed_responses_are_said_to_be_so():
    logged = ratpup("log(weight) ~ Treatment + (1 | Litter)").emmeans("Treatment")
    assert "Results are given on the log (not the response) scale." in str(logged)
    assert "Results are given on the log (not the response) scale." in str(logged.pairs())
    root = ratpup("sqrt(weight) ~ Treatment + (1 | Litter)").emmeans("Treatment")
    assert "Results are given on the sqrt (not the response) scale." in str(root)
    assert "Note: contrasts are still on the sqrt scale" in str(root.pairs())
    shifted = ratpup("log(weight + 1) ~ Treatment + (1 | Litter)").emmeans("Treatment")
    assert "on the log(weight + 1) (not the response) scale" in str(shifted)
    assert "scale" not in str(ratpup("I(weight) ~ Treatment + (1 | Litter)").emmeans("Treatment"))


def test_an_adjustment_that_cannot_be_made_is_replaced_and_said():
    text = str(ratpup().emmeans("Treatment").contrasts("eff", adjust="tukey"))
    assert "P value adjustment: sidak method for 3 tests" in text
    assert "Note: sidak instead of tukey" in text


def test_html_has_the_same_numbers():
    means = ratpup().emmeans("Treatment", by="sex")
    for result in (means, means.pairs()):
        page = result._repr_html_()
        assert page.count("<table>") == 2
        assert "sex = Female" in page
        for cell in str(result).splitlines()[2].split()[-4:]:
            assert f">{cell}<".replace("<.0001", "&lt;.0001") in page


def test_a_single_mean_prints():
    assert str(many().emmeans("1")).splitlines()[0].split()[:2] == ["1", "emmean"]
    only = henderson.lmer("weight ~ 1 + (1 | Litter)", DATA)
    assert only.emmeans("1").to_frame()["estimate"].tolist() == pytest.approx(only.fixef.tolist())


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "specs, options, words",
    [
        ("treatment", {}, "specs names 'treatment', which is not a variable.*Did you mean 'Treatment'"),
        ("Litter", {}, "specs names 'Litter'"),
        (["Treatment", "Treatment"], {}, "more than once"),
        ("Treatment", {"by": "Treatment"}, "more than once"),
        ("Treatment", {"by": "Sex"}, "by names 'Sex'.*Did you mean 'sex'"),
        ("pairwise ~ Treatment", {}, "is a method here"),
        ("Treatment | sex | Lsize", {}, "name variables"),
        ("Treatment *", {}, "name variables"),
        ([], {}, "names no variable"),
        (3, {}, "specs is 3"),
        ("Treatment", {"at": {"dose": 1}}, "at names 'dose'"),
        ("Treatment", {"at": {"Treatment": "low"}}, "at has the value 'low' for 'Treatment'"),
        ("Treatment", {"at": {"Lsize": "ten"}}, "finite numbers"),
        ("Treatment", {"at": {"Lsize": np.nan}}, "finite numbers"),
        ("Treatment", {"at": {"Lsize": []}}, "at least one"),
        ("Treatment", {"weights": "fair"}, "weights is 'fair'"),
        ("Treatment", {"ddf": "kr"}, "ddf is 'kr'"),
        ("Treatment", {"vcov": "HC3"}, "vcov is 'HC3'"),
        ("Treatment", {"level": 95}, "level is 95"),
        ("Treatment", {"cov_reduce": "mean"}, "cov_reduce is 'mean'"),
        ("Treatment", {"cov_reduce": lambda x: np.nan}, "cov_reduce gave"),  # noqa: ARG005
        ("Treatment", {"cov_reduce": lambda x: "a"}, "cov_reduce gave"),  # noqa: ARG005
        ("Treatment", {"at": {"Lsize": np.linspace(1, 18, 50_000)}}, "reference grid has 300000 rows"),
    ],
)
def test_what_makes_no_sense_is_refused(specs, options, words):
    with pytest.raises(DataError, match=words):
        ratpup().emmeans(specs, **options)


@pytest.mark.parametrize(
    "variable, options, words",
    [
        ("Size", {}, "variable names 'Size'"),
        ("sex", {}, "'sex' is categorical"),
        ("Lsize", {"specs": "Size"}, "specs names 'Size'"),
    ],
)
def test_slopes_that_make_no_sense_are_refused(variable, options, words):
    with pytest.raises(DataError, match=words):
        ratpup().emtrends(variable, **options)


def test_a_model_without_fixed_effects_has_no_means():
    with pytest.raises(DataError, match="no fixed effects"):
        henderson.lmer("weight ~ 0 + (1 | Litter)", DATA).emmeans("1")


def test_a_constant_has_no_slope():
    same = henderson.lmer("weight ~ Treatment + one:sex + (1 | Litter)", DATA.assign(one=1.0))
    with pytest.raises(DataError, match="'one' has the same value in all rows"):
        same.emtrends("one")


def test_a_factor_of_numbers_has_no_slope():
    with pytest.raises(DataError, match="'week' is categorical"):
        many().emtrends("week")


def test_options_of_contrasts_are_checked():
    means = ratpup().emmeans("Treatment")
    with pytest.raises(DataError, match="adjust is 'bonf'"):
        means.pairs(adjust="bonf")
    with pytest.raises(DataError, match="by names 'sex'"):
        means.pairs(by="sex")
    with pytest.raises(DataError, match="level is 2"):
        means.confint(2)
    with pytest.raises(DataError, match="at least two"):
        ratpup().emmeans("1").pairs()
    with pytest.raises(DataError, match="at least two"):
        ratpup().emmeans("1").joint_tests()
