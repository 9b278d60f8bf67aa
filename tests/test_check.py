"""The report of a fit: what is well, what is worth knowing, what is wrong, and one simpler model."""

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from henderson.inference.check import null_directions
from model_cases import fitted, table

SLOPE = "Reaction ~ Days + (Days | Subject)"
SINGULAR = "angle ~ recipe + temp + (temp | recipe:replicate)"


def sleep(formula=SLOPE, **more):
    return hd.lmer(formula, table("sleepstudy").assign(**more))


def finding(report, check):
    return next(found for found in report.findings if found.check == check)


def said(report, check):
    return " ".join(finding(report, check).texts)


def test_a_healthy_fit_says_so_in_a_few_lines():
    report = fitted({"data": "sleepstudy"}, SLOPE).check()
    assert report.ok
    assert report.suggestion is None
    lines = str(report).splitlines()
    assert lines[0] == f"Check of {SLOPE}"
    assert lines[-1] == "Nothing needs attention."
    assert len(lines) <= 11
    assert {found.level for found in report.findings} == {"ok"}


def test_the_text_keeps_its_columns():
    text = str(fitted({"data": "cake"}, SINGULAR).check())
    assert max(map(len, text.splitlines())) <= 88
    assert "\n  problem Covariances     (1 + temp | recipe:replicate) has rank 1 of 2:" in text


def test_numbers_are_those_of_the_fit():
    fit = fitted({"data": "sleepstudy"}, SLOPE)
    frame = fit.check().to_frame()
    assert list(frame.columns) == ["check", "level", "item", "value"]
    values = frame.set_index("item")["value"]
    assert values["expected_drop"] == fit.optimum.decrement
    assert values["evaluations"] == fit.optimum.evaluations
    assert values["Subject.levels"] == 18
    assert values["columns"] == 2
    scale = np.diag([1.0, np.sqrt(np.mean(np.arange(10) ** 2))])  # the columns, with mean square one
    wanted = np.linalg.eigvalsh(scale @ fit.varcorr["Subject"].to_numpy() @ scale)
    assert values["Subject.eigenvalue1"] == pytest.approx(wanted[1], rel=1e-9)
    assert values["Subject.eigenvalue2"] == pytest.approx(wanted[0], rel=1e-9)


def test_a_fit_that_was_stopped_has_a_problem():
    with pytest.warns(hd.ConvergenceWarning):
        fit = hd.lmer(SLOPE, table("sleepstudy"), max_evaluations=1)
    report = fit.check()
    assert not report.ok
    assert "raise max_evaluations" in said(report, "Optimum")
    assert str(report).splitlines()[-1] == "There are problems."


# ---------------------------------------------------------------------------------------------------------- singularity


def test_a_variance_of_zero_is_named():
    report = fitted({"data": "dyestuff2"}, "Yield ~ 1 + (1 | Batch)").check()
    assert not report.ok
    assert said(report, "Covariances") == "(1 | Batch) has rank 0 of 1: the variance of (Intercept) of Batch is zero."
    assert finding(report, "Optimum").numbers["slope_into_interior"] > 0


def test_a_perfect_correlation_is_named():
    report = fitted({"data": "cake"}, SINGULAR).check()
    assert "temp and (Intercept) of recipe:replicate are perfectly correlated (+1)" in said(report, "Covariances")


@pytest.mark.parametrize("seed", range(4))
def test_the_null_direction_is_in_the_null_space(seed):
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(3, 2))
    covariance = loadings @ loadings.T
    null = np.linalg.eigh(covariance)[1][:, :1]
    (text,) = null_directions(("(Intercept)", "a", "b"), "g", covariance, null, np.ones(3))
    assert text.endswith(" does not vary between the levels of g")
    pieces = text.removesuffix(" does not vary between the levels of g").replace("- ", "+ -").split(" + ")
    weights = {name: float(weight) for weight, name in (f"1 {piece}".split(" ")[-2:] for piece in pieces)}
    direction = np.array([weights[name] for name in ("(Intercept)", "a", "b")])
    assert np.linalg.norm(covariance @ direction) < 0.02 * np.linalg.norm(covariance) * np.linalg.norm(direction)
    assert max(direction, key=abs) == 1.0


def test_null_directions_of_each_kind():
    covariance = np.zeros((3, 3))
    covariance[:2, :2] = [[4.0, -2.0], [-2.0, 1.0]]
    null = np.linalg.eigh(covariance)[1][:, :2]
    assert null_directions(("x", "y", "z"), "g", covariance, null, np.ones(3)) == [
        "the variance of z of g is zero",
        "y and x of g are perfectly correlated (-1)",
    ]


def test_a_matrix_close_to_singular_is_worth_knowing():
    rng = np.random.default_rng(5)
    codes, x = np.repeat(np.arange(60), 40), rng.normal(size=2400)
    effect = rng.normal(size=60)
    data = pd.DataFrame({"g": codes, "x": x})
    data["y"] = effect[codes] * (30.0 + 30.0 * x) + 0.3 * rng.normal(size=60)[codes] * x + rng.normal(size=2400)
    fit = hd.lmer("y ~ x + (x | g)", data)
    assert not fit.is_singular
    report = fit.check()
    assert report.ok
    assert "close to singular" in said(report, "Covariances")
    assert str(report).splitlines()[-1] == "Worth knowing, but no problem."


# ------------------------------------------------------------------------------------------------------ simplifications


def test_one_simpler_model_is_suggested_and_its_price_is_right():
    fit = fitted({"data": "cake"}, SINGULAR)
    found = fit.check().suggestion
    assert found.formula == "angle ~ recipe + temp + (temp || recipe:replicate)"
    simpler = fitted({"data": "cake"}, found.formula)
    assert found.rise == pytest.approx(simpler.criterion - fit.criterion, rel=1e-5)
    assert found.parameters == fit.n_parameters - simpler.n_parameters == 1
    assert not found.is_singular
    assert f"rises by {found.rise:.3g} with 1 parameter less; it is not singular" in found.text


def test_without_any_random_variance_least_squares_is_suggested():
    found = fitted({"data": "dyestuff2"}, "Yield ~ 1 + (1 | Batch)").check().suggestion
    assert found.formula == "Yield ~ 1"
    assert (
        found.text == "no random effect is left, fit it by least squares; the REML criterion does not change with 1 "
        "parameter less"
    )


def test_correlations_may_go_instead_of_effects():
    data = table("cake")
    fit = hd.lmer("angle ~ recipe * temp + (temp | recipe:replicate)", data)
    found = fit.check().suggestion
    candidates = {
        text: hd.lmer(f"angle ~ recipe * temp + {text}", data)
        for text in ("(temp || recipe:replicate)", "(1 | recipe:replicate)")
    }
    best = min(candidates.values(), key=lambda other: other.aic)
    assert hd.lmer(found.formula, data).criterion == pytest.approx(best.criterion, rel=1e-9)


def test_a_model_that_fits_worse_is_not_suggested():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": np.arange(240) % 12, "f": np.arange(240) // 12 % 3})
    data["y"] = 0.5 * rng.normal(size=240)
    data["y"] -= data.groupby(["g", "f"])["y"].transform("mean")
    data["y"] += (2.0 * rng.normal(size=(12, 3)) * [1.0, 1.0, 0.0])[data["g"], data["f"]]  # none for the last level
    data["f"] = data["f"].map({0: "a", 1: "b", 2: "c"})
    fit = hd.lmer("y ~ f + (0 + f || g)", data)
    assert fit.optimum.ranks == (1, 1, 0)
    report = fit.check()
    assert report.suggestion is None
    assert not report.ok
    assert str(report).splitlines()[-1] == "No simpler random part does as well by AIC."


def test_only_singular_terms_are_simplified():
    fit = sleep("Reaction ~ Days + (Days | Subject) + (1 | third)", third=np.arange(180) % 3)
    assert fit.is_singular
    assert fit.check().suggestion.formula == SLOPE


# ------------------------------------------------------------------------------------------------------ identifiability


@pytest.mark.parametrize(
    "formula", ["Reaction ~ Days + (1 | Subject) + (1 | again)", "Reaction ~ Days + (1 | Subject) + (Days | Subject)"]
)
def test_terms_that_cannot_be_told_apart_are_named(formula):
    report = sleep(formula, again=table("sleepstudy")["Subject"].astype(str) + "!").check()
    assert not report.ok
    assert "their variances cannot be told apart" in said(report, "Identification")


def test_terms_on_one_factor_without_common_effects_are_well():
    assert sleep("Reaction ~ Days + (Days || Subject)").check().ok
    crossed = sleep("Reaction ~ Days + (1 | Subject) + (1 | day)", day=table("sleepstudy")["Days"])
    assert finding(crossed.check(), "Identification").level == "ok"


def test_random_effects_that_are_fixed_effects_too_are_named():
    data = table("sleepstudy").assign(twin=table("sleepstudy")["Subject"].astype(str))
    report = hd.lmer("Reaction ~ Days + twin + (1 | Subject)", data).check()
    assert not report.ok
    assert "The effects of (1 | Subject) are among the fixed effects" in said(report, "Identification")


def test_a_slope_of_something_constant_within_groups_is_worth_knowing():
    report = sleep("Reaction ~ Days + (size | Subject)", size=np.repeat(np.linspace(-1, 1, 18), 10)).check()
    assert "size does not vary within the levels of Subject" in said(report, "Identification")
    assert finding(report, "Identification").level == "note"


def test_nearly_as_many_effects_as_rows_are_worth_knowing():
    pairs = np.arange(180) // 2
    pairs[:20] = np.arange(20) // 4
    data = table("sleepstudy").assign(pair=pairs, x=np.arange(180) % 2)
    report = hd.lmer("Reaction ~ Days + (x || pair)", data, max_evaluations=500).check()
    assert "Identification" in {found.check for found in report.findings}
    wide = hd.lmer("Reaction ~ Days + (Days | pair)", data[data["pair"] != 3]).check()
    assert "effects for" in said(wide, "Identification")


# --------------------------------------------------------------------------------------------------- columns and groups


def test_nearly_collinear_columns_are_named():
    noise = np.random.default_rng(0).normal(size=180)
    report = sleep(
        "Reaction ~ Days + other + nearly + (1 | Subject)", other=noise, nearly=noise + 1e-3 * noise**2
    ).check()
    found = finding(report, "Fixed effects")
    assert found.level == "note"
    assert report.ok
    assert "other, nearly." in said(report, "Fixed effects")
    x = sleep("Reaction ~ Days + other + nearly + (1 | Subject)", other=noise, nearly=noise + 1e-3 * noise**2)
    scaled = x.design.x_matrix() / np.linalg.norm(x.design.x_matrix(), axis=0)
    assert found.numbers["condition_number"] == pytest.approx(np.linalg.cond(scaled), rel=1e-8)


def test_dropped_columns_are_named():
    report = sleep("Reaction ~ Days + twice + (1 | Subject)", twice=2.0 * table("sleepstudy")["Days"]).check()
    assert "dropped 1 column that earlier columns determine: twice" in said(report, "Fixed effects")
    assert report.ok


def test_a_model_without_fixed_effects_is_checked():
    assert said(sleep("Reaction ~ 0 + (1 | Subject)").check(), "Fixed effects") == "No column."
    assert said(sleep("Reaction ~ 1 + (1 | Subject)").check(), "Fixed effects") == "1 column."


def test_few_levels_are_worth_knowing():
    report = sleep("Reaction ~ Days + (1 | Subject) + (1 | few)", few=np.arange(180) // 60).check()
    assert "few has 3 levels only" in said(report, "Groups")


def test_badly_unbalanced_groups_are_worth_knowing():
    groups = np.concatenate([np.zeros(150), np.arange(1, 31)]).astype(int)
    report = sleep("Reaction ~ Days + (1 | g)", g=groups).check()
    assert "g is badly unbalanced: its largest level has 150 rows, the average 5.8." in said(report, "Groups")
    assert "97 % of the levels of g have one row." in said(report, "Groups")
    assert said(fitted({"data": "ratpup"}, "weight ~ sex + (1 | Litter)").check(), "Groups") == (
        "Litter: 27 levels of 2 to 18 rows."
    )


# ----------------------------------------------------------------------------------------------------------- everywhere


@pytest.mark.parametrize(
    "case, formula",
    [
        ({"data": "pastes"}, "strength ~ 1 + (1 | batch/cask)"),
        ({"data": "penicillin"}, "diameter ~ 1 + (1 | plate) + (1 | sample)"),
        ({"data": "sleepstudy", "weights": "w"}, SLOPE),
        ({"data": "sleepstudy", "reml": False}, "Reaction ~ Days + offset(off) + (1 | Subject)"),
        ({"data": "ratpup"}, "weight ~ Lsize + Treatment * sex + (sex | Litter)"),
    ],
)
def test_models_of_every_kind_are_checked(case, formula):
    report = fitted(case, formula).check()
    assert report.ok
    html = report._repr_html_()
    assert html.count("<tr>") == len(report.findings) == 5
    assert str(report).splitlines()[-1] in ("Nothing needs attention.", "Worth knowing, but no problem.")
