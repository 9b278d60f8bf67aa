"""Likelihood-ratio tests between models, against lme4's anova, and what may not be compared."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import henderson as hd
from henderson.inference.comparison import compare
from henderson.inference.mixtures import Mixture, chi_square_tail
from henderson.inference.nesting import variances_added
from model_cases import column, fitted, name, references, table

SLEEP = {"data": "sleepstudy"}
INTERCEPT, SLOPE = "Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days | Subject)"


def sleep(formula, **keywords):
    return fitted(SLEEP | keywords, formula)


def without(found, *names):
    """A table without some of its columns, without what stands above and below it."""
    kept = tuple(column for column in found.columns if column.name not in names)
    return replace(found, columns=kept, heading=(), notes=())


@pytest.mark.parametrize("case", references("comparisons"), ids=name)
def test_comparisons_are_those_of_lme4(case):
    models = [fitted(case, formula) for formula in case["formulas"]]
    found = compare(models, refit=case.get("refit", True))
    result, frame = case["result"], found.to_frame()
    assert list(frame.index) == result["rows"]
    pairs = {"npar": "npar", "aic": "AIC", "bic": "BIC", "loglik": "logLik", "deviance": "deviance", "df": "Df"}
    for ours, theirs in pairs.items():
        np.testing.assert_allclose(frame[ours], column(result, theirs), rtol=1e-8, err_msg=ours)
    np.testing.assert_allclose(frame["statistic"], column(result, "Chisq"), rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(frame["p_value"], column(result, "Pr(>Chisq)"), rtol=1e-4, atol=1e-6)
    assert str(without(found, "p_value_mixture")) == "\n".join(line.rstrip() for line in result["printed"])


def test_the_lines_above_the_table_say_what_is_compared():
    data = table("sleepstudy").copy()
    data.attrs["name"] = "sleepstudy"
    large, small = hd.lmer(SLOPE, data), hd.lmer(INTERCEPT, data)
    assert str(hd.anova(large, small, names=["slopes", "intercepts"])).splitlines()[:5] == [
        "refitting model(s) with ML (instead of REML)",
        "Data: sleepstudy",
        "Models:",
        f"intercepts: {INTERCEPT}",
        f"slopes: {SLOPE}",
    ]


def test_the_order_of_the_models_does_not_matter():
    models = [sleep(SLOPE), sleep(INTERCEPT), sleep("Reaction ~ 1 + (1 | Subject)")]
    one = compare(models, names=["c", "b", "a"]).to_frame()
    other = compare(models[::-1], names=["a", "b", "c"]).to_frame()
    pd.testing.assert_frame_equal(one, other)


def test_models_are_not_changed_by_a_comparison():
    model = sleep(SLOPE)
    before = model.criterion
    compare([model, sleep(INTERCEPT)])
    assert model.is_reml
    assert model.criterion == before


def test_restricted_likelihoods_are_compared_for_any_coding_of_the_same_fixed_effects():
    data = table("cake")
    one = hd.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", data)
    same = "angle ~ I(2 * temp - 7) + recipe + (temp | recipe:replicate)"
    other = hd.lmer(same, data, contrasts={"recipe": "sum"})
    found = compare([one, other], refit=False)
    assert found.heading[0] == "comparing restricted likelihoods: the fixed effects are the same"
    frame = found.to_frame()
    assert frame["deviance"].tolist() == [one.criterion, other.criterion]


def test_restricted_likelihoods_of_different_fixed_effects_are_refused():
    with pytest.raises(hd.DataError, match=r"'m1' and 'm2' were fitted by REML and have different fixed effects"):
        compare([sleep(SLOPE), sleep("Reaction ~ 1 + (Days | Subject)")], refit=False)


def test_reml_and_ml_fits_are_not_mixed():
    with pytest.raises(hd.DataError, match="'m2' was fitted by REML and 'm1' by maximum likelihood"):
        compare([sleep(SLOPE, reml=False), sleep(INTERCEPT)], refit=False)
    frame = compare([sleep(SLOPE, reml=False), sleep(INTERCEPT)]).to_frame()
    pd.testing.assert_frame_equal(frame, compare([sleep(SLOPE), sleep(INTERCEPT)]).to_frame(), rtol=1e-9)


def test_models_of_different_rows_are_refused():
    data = table("sleepstudy").copy()
    data.loc[3, "w"] = np.nan
    fewer = hd.lmer("Reaction ~ Days + w + (1 | Subject)", data)
    with pytest.raises(
        hd.DataError, match="fitted to 179 rows and 'b' to 180 rows: models can be compared on the same"
    ):
        compare([fewer, sleep(SLOPE)], names=["a", "b"])


def test_models_of_different_responses_are_refused():
    logged = hd.lmer("log(Reaction) ~ Days + (1 | Subject)", table("sleepstudy"))
    with pytest.raises(hd.DataError, match=r"'m1' models Reaction and 'm2' models log\(Reaction\)"):
        compare([sleep(SLOPE), logged])
    moved = table("sleepstudy").copy()
    moved.loc[5, "Reaction"] += 1.0
    with pytest.raises(hd.DataError, match=r"differ \(first in row 5 of those used\)"):
        compare([sleep(SLOPE), hd.lmer(INTERCEPT, moved)])


def test_models_of_different_weights_are_refused():
    with pytest.raises(hd.DataError, match="'m1' and 'm2' were fitted with different weights"):
        compare([sleep(SLOPE), sleep(INTERCEPT, weights="w")])


def test_weights_of_one_are_no_weights():
    ones = hd.lmer(INTERCEPT, table("sleepstudy"), weights=np.ones(180))
    assert compare([sleep(SLOPE), ones]).to_frame()["df"].iloc[1] == 2


@pytest.mark.parametrize("names", ["ab", ["a"], ["a", "a"], [1, "1"]])
def test_names_must_be_different_and_one_for_each_model(names):
    with pytest.raises(hd.DataError, match="it must be a list of 2 different names"):
        compare([sleep(SLOPE), sleep(INTERCEPT)], names=names)


def test_only_models_are_compared():
    with pytest.raises(hd.DataError, match=r"Argument 2 of the comparison is 'm0' \(str\)"):
        compare([sleep(SLOPE), "m0"])
    with pytest.raises(hd.DataError, match="There is no model to compare"):
        hd.anova()


def test_anova_of_one_model_tests_its_terms():
    assert str(hd.anova(sleep(SLOPE), type=2)) == str(sleep(SLOPE).anova(type=2))
    with pytest.raises(hd.DataError, match="type: these belong to the anova of one model"):
        hd.anova(sleep(SLOPE), sleep(INTERCEPT), type=2)


def test_the_method_and_the_function_agree():
    assert str(sleep(SLOPE).anova(sleep(INTERCEPT))) == str(hd.anova(sleep(SLOPE), sleep(INTERCEPT)))


def test_fits_from_a_pickle_are_compared():
    models = [sleep(SLOPE), sleep(INTERCEPT)]
    again = [pickle.loads(pickle.dumps(model)) for model in models]
    assert str(compare(again)) == str(compare(models))


# --------------------------------------------------------------------------------------------------------- the boundary


@pytest.mark.parametrize(
    "small, large, variances",
    [
        ("(1 | Subject)", "(Days | Subject)", 1),
        ("(1 | Subject)", "(Days || Subject)", 1),
        ("(Days || Subject)", "(Days | Subject)", 0),
        ("(1 | Subject)", "(1 | Subject) + (1 | half)", 1),
        ("(1 | Subject)", "(Days + I(Days^2) | Subject)", 2),
        ("(1 | Subject)", "(Days | Subject) + (1 | half)", 2),
        ("(0 + Days | Subject)", "(I(Days - 4) | Subject)", 1),
        ("(I(Days - 4) | Subject)", "(Days | Subject)", 0),
        ("(1 | Subject)", "(1 | half/Subject)", 1),
        ("(1 | Subject)", "(0 + Days | Subject)", None),
        ("(Days | Subject)", "(Days || Subject)", None),
        ("(1 | half)", "(1 | Subject)", None),
    ],
)
def test_variances_that_a_model_adds(small, large, variances):
    data = table("sleepstudy").assign(half=np.arange(180) // 10 % 6)
    designs = [hd.lmer(f"Reaction ~ Days + {random}", data).design for random in (small, large)]
    assert variances_added(*designs) == variances


def test_the_mixture_stands_beside_the_conservative_p_value():
    frame = compare([sleep(INTERCEPT), sleep("Reaction ~ Days + (Days || Subject)"), sleep(SLOPE)]).to_frame()
    statistic = frame["statistic"].iloc[1]
    assert frame["p_value_mixture"].iloc[1] == pytest.approx(0.5 * stats.chi2.sf(statistic, 1), rel=1e-12)
    assert np.isnan(frame["p_value_mixture"].iloc[2])  # a correlation has no boundary at zero
    two = compare([sleep(INTERCEPT), sleep(SLOPE)])
    statistic, wanted = two.to_frame()["statistic"].iloc[1], two.to_frame()["p_value_mixture"].iloc[1]
    assert wanted == pytest.approx(0.5 * stats.chi2.sf(statistic, 1) + 0.5 * stats.chi2.sf(statistic, 2), rel=1e-12)
    assert "0.5 chi2(1) + 0.5 chi2(2) for 'm2'" in " ".join(two.notes)


def test_without_a_variance_tested_there_is_no_mixture():
    found = compare([sleep(SLOPE), sleep("Reaction ~ 1 + (Days | Subject)")])
    assert "Chibar" not in str(found)
    assert found.notes == ()


def test_a_variance_estimated_as_zero_is_said_to_be():
    data = table("dyestuff2").assign(half=np.arange(30) % 3)
    one = hd.lmer("Yield ~ 1 + (1 | half)", data)
    both = hd.lmer("Yield ~ 1 + (1 | half) + (1 | Batch)", data)
    found = compare([one, both])
    assert found.to_frame()["p_value"].iloc[1] == 1.0
    assert "estimated as zero, at the boundary" in found.notes[-1]


def test_an_effect_of_each_level_within_a_group_is_a_special_case_of_a_correlated_one():
    data = hd.datasets.load_ratpup()
    whole = hd.lmer("weight ~ sex + (sex | Litter)", data)
    for part in ("(1 | Litter) + (1 | Litter:sex)", "(1 | Litter:sex)", "(1 | Litter)"):
        found = hd.anova(hd.lmer(f"weight ~ sex + {part}", data), whole)
        assert not any("special case" in note for note in found.notes)
    uncorrelated = hd.lmer("weight ~ sex + (0 + sex || Litter)", data)
    slopes = hd.lmer("weight ~ sex + (Lsize | Litter)", data)
    for other in (uncorrelated, slopes):
        found = hd.anova(hd.lmer("weight ~ sex + (1 | Litter) + (1 | Litter:sex)", data), other)
        assert "special case" in found.notes[-1]


def test_models_that_are_not_nested_are_said_to_be():
    found = compare([sleep(INTERCEPT), sleep("Reaction ~ 1 + (Days | Subject)")])
    assert found.notes[-1].startswith("'m1' is not a special case of 'm2'")


def test_a_mixture_of_one_variance_is_that_of_stram_and_lee():
    rng = np.random.default_rng(3)
    draws = rng.normal(size=(200_000, 2))  # a variance, which is not negative, and a covariance
    statistics = np.maximum(draws[:, 0], 0.0) ** 2 + draws[:, 1] ** 2
    for statistic in (0.5, 2.0, 5.0):
        assert np.mean(statistics >= statistic) == pytest.approx(Mixture(2, 1).tail(statistic), abs=4e-3)


def test_with_several_variances_the_mixture_is_an_upper_bound_below_the_conservative_one():
    rng = np.random.default_rng(4)
    draws = rng.normal(size=(200_000, 3))  # symmetric 2 x 2 matrices, projected on the positive semidefinite ones
    middle, difference = (draws[:, 0] + draws[:, 1]) / 2, (draws[:, 0] - draws[:, 1]) / 2
    radius = np.hypot(difference, draws[:, 2] / np.sqrt(2))
    statistics = sum(np.maximum(middle + sign * radius, 0.0) ** 2 for sign in (1, -1))
    for statistic in (0.5, 2.0, 5.0, 8.0):
        tail = np.mean(statistics >= statistic)
        assert tail < Mixture(3, 2).tail(statistic) < chi_square_tail(statistic, 3)


def test_tails_of_chi_square():
    assert chi_square_tail(0.0, 0) == 1.0
    assert chi_square_tail(1.0, 0) == 0.0
    assert chi_square_tail(0.0, 2) == 1.0
    assert chi_square_tail(3.0, 2) == pytest.approx(stats.chi2.sf(3.0, 2), rel=1e-14)


# ------------------------------------------------------------------------------------------------------------ the table


def test_the_table_for_notebooks_has_every_cell():
    found = compare([sleep(SLOPE), sleep(INTERCEPT)])
    text = found._repr_html_()
    assert text.count("<tr>") == 3
    assert "***" in text
    assert "1802.1" in text
    assert "Pr(&gt;Chibar)" in text


def test_p_values_line_up_as_in_r():
    from henderson.significance import format_p_values

    assert format_p_values([0.0, 0.9592, 0.7809], 4) == ["<2e-16", "0.9592", "0.7809"]
    assert format_p_values([1e-20, 4.99e-10, float("nan")], 4) == ["< 2.2e-16", "4.99e-10", ""]
    assert format_p_values([0.0], 4) == ["< 2.2e-16"]
    assert format_p_values([1e-20, 0.00012, 0.04, 0.5], 3) == ["< 2e-16", "0.00012", "0.04000", "0.50000"]
    assert format_p_values([9.63e-8, 2.93e-4, 4.8e-13], 4) == ["9.63e-08", "0.000293", "4.80e-13"]
