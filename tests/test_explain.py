"""Fits in words: golden texts, grammar for none, one and many effects, and numbers that are those of the fit."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import henderson as hd
from cases import BY_NAME, Case

GOLDEN = Path(__file__).parent / "golden"
EXTRA = (
    Case("no_fixed_effects", "sleepstudy", "Reaction ~ 0 + (1 | Subject)", factors=("Subject",)),
    Case("no_intercept", "sleepstudy", "Reaction ~ 0 + Days + (0 + Days | Subject)", factors=("Subject",)),
    Case("aliased", "sleepstudy", "Reaction ~ Days + I(2 * Days) + (1 | Subject)", factors=("Subject",)),
    Case("quadratic", "sleepstudy", "Reaction ~ Days + (Days + I(Days^2) | Subject)", factors=("Subject",)),
    Case(
        "many_effects",
        "cake",
        "angle ~ recipe * temperature + (1 | replicate) + (1 | recipe:replicate)",
        factors=("replicate", "temperature"),
    ),
)
NAMED = BY_NAME | {case.name: case for case in EXTRA}
NAMES = (
    *("sleepstudy", "sleepstudy_ml", "sleepstudy_uncorrelated", "dyestuff", "dyestuff2_singular", "penicillin"),
    *("pastes_nested", "cake", "ratpup_slope", "weighted", "offset", "no_fixed_effects", "no_intercept", "aliased"),
    *("quadratic", "many_effects"),
)


@cache
def fit(name):
    case = NAMED[name]
    return hd.lmer(case.formula, case.data(), **case.options())


def paragraph(explanation, title):
    return dict(explanation.paragraphs)[title]


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_the_one_that_was_read_and_approved(name):
    path = GOLDEN / f"{name}.explain.txt"
    assert str(fit(name).explain()) + "\n" == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_wrapped_and_says_the_same_twice(name):
    found = fit(name).explain()
    assert max(map(len, str(found).splitlines())) <= 80
    assert max(map(len, found.to_text(40).splitlines())) <= 40
    assert str(found) == repr(found) == str(fit(name).explain())
    assert " ".join(found.to_text(40).split()) == " ".join(found.to_text(200).split())


@pytest.mark.parametrize("name", NAMES)
def test_sentences_are_sentences(name):
    for title, text in fit(name).explain().paragraphs:
        assert text[0].isupper() or text.startswith(tuple(fit(name).design.recipe.columns))
        assert text.endswith(".")
        assert "  " not in text
        assert not re.search(r"\b1 (rows|levels|effects)\b|nan|None| ,| \.(?!\d)", text.replace("NaN", "")), title


# ------------------------------------------------------------------------------------------------------------- numbers


def test_estimates_and_tests_are_those_of_the_fit():
    model = fit("sleepstudy")
    row = model.coefficients.loc["Days"]
    low, high = model.confint(ddf="satterthwaite").loc["Days"]
    text = paragraph(model.explain(), "Fixed effects")
    shown = f"{row['estimate']:.2f}, 95 % confidence interval {low:.2f} to {high:.2f}; t({row['df']:.1f}) = "
    assert shown + f"{row['statistic']:.2f}, p < 0.001." in text
    other = paragraph(model.explain(ddf="kenward-roger", level=0.9), "Fixed effects")
    low, high = model.confint(0.9, ddf="kenward-roger").loc["Days"]
    assert f"90 % confidence interval {low:.2f} to {high:.2f}" in other
    assert "Kenward-Roger's method" in other
    assert "10 % level" in other


def test_shares_of_variance_are_icc_and_r2():
    model = fit("pastes_nested")
    text = paragraph(model.explain(), "Variance")
    for group, share in model.icc().by_group.items():
        assert f"{100 * share:.1f} % " in text
        assert f"between levels of {group}" in text
    assert f"{100 * model.icc().adjusted:.1f} % together" in text
    cake = paragraph(fit("cake").explain(), "Variance")
    assert f"{100 * fit('cake').r2().marginal:.1f} %" in cake
    assert f"{100 * fit('cake').r2().conditional:.1f} %" in cake


def test_what_is_kept_is_the_textbook_reliability_in_a_balanced_design():
    model = fit("dyestuff")
    tau = model.varcorr["Batch"].iloc[0, 0]
    kept = 5 * tau / (5 * tau + model.sigma**2)
    assert f"about {100 * kept:.0f} % is kept for the intercept" in paragraph(model.explain(), "Shrinkage")


def test_ranges_are_given_where_levels_differ():
    model = fit("ratpup_slope")
    variance = model.varcorr["Litter"].iloc[0, 0]
    kept = 1 - model.conditional_variance_arrays[0][:, 0, 0] / variance
    shown = f"{100 * kept.mean():.0f} % ({100 * kept.min():.0f} % to {100 * kept.max():.0f} %)"
    assert shown in paragraph(model.explain(), "Shrinkage")


# ------------------------------------------------------------------------------------------------ few and many effects


def noise(columns, seed=1):
    rng = np.random.default_rng(seed)
    data = {f"x{i}": rng.normal(size=240) for i in range(columns)}
    group = np.repeat(np.arange(24), 10)
    data["g"] = group
    return data | {"y": 3 + rng.normal(size=24)[group] + rng.normal(size=240)}


def test_one_effect_that_does_not_differ_from_zero():
    text = paragraph(hd.lmer("y ~ x0 + (1 | g)", noise(1)).explain(), "Fixed effects")
    assert "the effect of x0 is not distinguishable from zero at the 5 % level:" in text


def test_none_of_several():
    data = noise(3, seed=4)
    model = hd.lmer("y ~ x0 + x1 + x2 + (1 | g)", data)
    assert (model.p_values.iloc[1:] > 0.05).all()
    assert "none of the 3 effects is distinguishable from zero" in paragraph(model.explain(), "Fixed effects")


def test_many_effects_are_summed_up_by_their_smallest_p_values():
    data = noise(30)
    data["y"] = data["y"] + 2 * data["x3"] + 2 * data["x7"]
    model = hd.lmer("y ~ . - g + (1 | g)", data)
    text = paragraph(model.explain(), "Fixed effects")
    others = model.p_values.drop(["(Intercept)", "x3", "x7"])
    others = others[others > 0.05].nsmallest(6).index
    different = (model.p_values.drop("(Intercept)") <= 0.05).sum()
    assert f"{different} of the 30 effects are distinguishable" in text
    assert "x3 (" in text
    assert "x7 (" in text
    _, _, rest = text.partition("Not distinguishable from zero are")
    assert re.findall(r"(x\d+) \(", rest) == sorted(others, key=lambda name: int(name[1:]))
    assert rest.rstrip().endswith(f"and {30 - different - 6} more.")
    short = paragraph(model.explain(most=1), "Fixed effects")
    assert len(re.findall(r"x\d+ \(", short)) == 2


def test_without_tests_estimates_remain():
    text = paragraph(fit("cake").explain(ddf=None), "Fixed effects")
    assert "Not tested: recipeB (" in text
    assert "p = " not in text
    assert "z-tests" in paragraph(fit("cake").explain(ddf="normal"), "Fixed effects")


def test_robust_covariances_are_named():
    text = paragraph(fit("sleepstudy").explain(vcov="CR2"), "Fixed effects")
    assert "(Satterthwaite's method and CR2 covariance by Subject)" in text


def test_rows_left_out_and_notes_are_told():
    data = BY_NAME["sleepstudy"].data().copy()
    data.loc[[4, 7], "Reaction"] = np.nan
    text = paragraph(hd.lmer("Reaction ~ Days + (1 | Subject)", data, subset="Days > 0").explain(), "Model")
    assert "2 rows with missing values and 18 rows outside the subset were left out." in text
    data.loc[4, "Reaction"] = 1.0
    text = paragraph(hd.lmer("Reaction ~ Days + (1 | Subject)", data).explain(), "Model")
    assert "1 row with missing values was left out." in text
    notes = paragraph(fit("sleepstudy_ml").explain(ddf="kenward-roger"), "Notes")
    assert "REML" in notes
    assert "Notes" not in dict(fit("sleepstudy").explain().paragraphs)
    with pytest.warns(hd.ConvergenceWarning):
        stopped = hd.lmer("Reaction ~ Days + (Days | Subject)", data, max_evaluations=3)
    assert "Not converged" in paragraph(stopped.explain(), "Notes")


# ------------------------------------------------------------------------------------------------------------- formats


def test_markdown_and_html_hold_the_same_sentences():
    found = fit("cake").explain()
    markdown, html = found.to_markdown(), found.to_html()
    assert markdown.count("\n\n") == len(found.paragraphs) - 1
    assert r"angle ~ recipe \* temp + (1 \| recipe:replicate)" in markdown
    assert markdown.startswith("**Model.** ")
    assert html.count("<p>") == len(found.paragraphs)
    assert "p &lt; 0.001" in html
    assert found._repr_html_() == html
    assert found._repr_markdown_() == markdown


@pytest.mark.parametrize(
    "options, message",
    [
        ({"level": 1}, "level is 1; a confidence level lies between 0 and 1"),
        ({"ddf": "t"}, "ddf is 't'; choose one of"),
        ({"digits": 2.5}, "digits is 2.5"),
        ({"most": 0}, "most is 0; it must be a whole number of at least 1"),
    ],
)
def test_bad_choices_are_refused(options, message):
    with pytest.raises(hd.DataError, match=message):
        fit("sleepstudy").explain(**options)


def test_a_width_that_holds_no_words_is_refused():
    with pytest.raises(hd.DataError, match="width is 5; it must be a whole number of at least 20"):
        fit("sleepstudy").explain().to_text(5)
