"""Tests of terms: lmerTest's tables, hypotheses that depend on the terms and not on their coding, the printed table."""

import re

import numpy as np
import pandas as pd
import pytest

import henderson
from cases import BY_NAME
from cases import CASES as MODELS
from fixed_effects_cases import CASES, METHODS, fitted, references, table
from henderson.inference import anova, kenward_roger, satterthwaite
from henderson.inference.term_contrasts import term_contrasts

WITH_REFERENCE = [case for case in MODELS if case.reference().get("anova3")]
# lmerTest does not see that `half` is contained in `half:recipe` when recipe has no term of its own
NOT_CONTAINED_THERE = {("nested", 2), ("nested", 3)}


def fit(name):
    case = BY_NAME[name]
    return henderson.lmer(case.formula, case.data(), **case.options())


@pytest.mark.parametrize("case", WITH_REFERENCE, ids=lambda case: case.name)
def test_type_three_tables_are_those_of_lmertest(case):
    ours = fit(case.name).anova().to_frame()
    theirs = pd.DataFrame(case.reference()["anova3"]).set_index("term")
    assert list(ours.index) == list(theirs.index)
    np.testing.assert_array_equal(ours["num_df"], theirs["NumDF"])
    np.testing.assert_allclose(ours["den_df"], theirs["DenDF"], rtol=1e-4)
    np.testing.assert_allclose(ours["statistic"], theirs["F value"], rtol=1e-6)
    np.testing.assert_allclose(ours["p_value"], theirs["Pr(>F)"], atol=1e-6)
    np.testing.assert_allclose(ours[["sum_sq", "mean_sq"]], theirs[["Sum Sq", "Mean Sq"]], rtol=1e-5)


@pytest.mark.parametrize("ddf", METHODS)
@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_all_types_are_those_of_lmertest(name, kind, ddf):
    theirs = references()[name]["tables"][f"{kind} {METHODS[ddf]}"]
    ours = fitted(name).anova(type=kind, ddf=ddf).to_frame()
    frame = pd.DataFrame({column: np.atleast_1d(values) for column, values in theirs.items()}).set_index("terms")
    assert list(ours.index) == list(frame.index)
    if (name, kind) in NOT_CONTAINED_THERE:
        ours, frame = ours.drop("half"), frame.drop("half")
    np.testing.assert_array_equal(ours["num_df"], frame["num_df"])
    np.testing.assert_allclose(ours["den_df"], frame["den_df"], rtol=1e-6)
    np.testing.assert_allclose(ours["statistic"], frame["statistic"], rtol=2e-6)
    np.testing.assert_allclose(ours["p_value"], frame["p_value"], atol=1e-6)
    np.testing.assert_allclose(ours["sum_sq"], frame["sum_sq"], rtol=2e-6)


def test_a_term_is_contained_in_its_interactions_however_they_are_written():
    nested = fitted("nested").anova().to_frame()
    data = table("uneven")
    crossed = henderson.lmer("angle ~ half * recipe + temp + (1 | replicate) + (1 | recipe:replicate)", data)
    np.testing.assert_allclose(nested.loc["half"], crossed.anova().to_frame().loc["half"], rtol=1e-6)


@pytest.mark.parametrize("coding", ["sum", "helmert", ("treatment", "C")])
def test_hypotheses_do_not_depend_on_the_coding(coding):
    formula = "angle ~ recipe * half + recipe:temp + temp + (1 | replicate)"
    data = table("uneven")
    plain = henderson.lmer(formula, data)
    coded = henderson.lmer(formula, data, contrasts={"recipe": coding, "half": "sum"})
    for kind in (2, 3):
        ours, theirs = (model.anova(type=kind).to_frame() for model in (coded, plain))
        np.testing.assert_allclose(ours["statistic"], theirs["statistic"], rtol=1e-6)
    np.testing.assert_allclose(ours["den_df"], theirs["den_df"], rtol=1e-6)  # of type III


def test_type_three_averages_over_the_other_factor_with_equal_weights():
    model = fitted("three_way")
    small = henderson.lmer("angle ~ recipe * half + (1 | replicate)", table("uneven"))
    contrasts = dict(term_contrasts(small, 3))
    np.testing.assert_allclose(contrasts["half"], [[0, 0, 0, 1, 1 / 3, 1 / 3]], atol=1e-12)
    np.testing.assert_allclose(contrasts["recipe"], [[0, 1, 0, 0, 0.5, 0], [0, 0, 1, 0, 0, 0.5]], atol=1e-12)
    assert len(term_contrasts(model, 3)) == 7


def test_numeric_variables_are_held_at_zero_and_factors_averaged():
    contrasts = dict(term_contrasts(fit("cake"), 3))
    np.testing.assert_allclose(contrasts["recipe"], [[0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(contrasts["temp"], [[0, 0, 0, 1, 1 / 3, 1 / 3]], atol=1e-12)


def test_one_column_gives_the_square_of_its_t_test():
    model = fit("weighted")
    row = model.anova().to_frame().loc["Days"]
    assert row["statistic"] == pytest.approx(model.coefficients.loc["Days", "statistic"] ** 2)
    assert row["den_df"] == pytest.approx(model.df["Days"])
    assert row["p_value"] == pytest.approx(model.p_values["Days"])


def test_other_rules_for_the_denominator():
    model = fitted("cake")
    residual = model.anova(ddf="residual").to_frame()
    assert set(residual["den_df"]) == {model.nobs - 6.0}
    normal = model.anova(ddf="normal").to_frame()
    assert np.isinf(normal["den_df"]).all()
    np.testing.assert_allclose(normal["statistic"], residual["statistic"])
    assert "Inf" in str(model.anova(ddf="normal"))


def test_robust_covariances_are_honoured():
    model = fitted("cake")
    robust = model.anova(vcov="CR2", cluster="recipe:replicate")
    plain = model.anova().to_frame()
    assert "CR2 covariance by recipe:replicate" in robust.heading[0]
    assert not np.allclose(robust.to_frame()["statistic"], plain["statistic"])


def test_types_have_several_names():
    model = fitted("cake")
    for kind, names in ((1, (1, "1", "I")), (2, (2, "2", "II")), (3, (3, "3", "III"))):
        assert len({str(model.anova(type=name)) for name in names}) == 1
        assert str(model.anova(type=kind)).startswith(f"Type {'I' * kind} Analysis of Variance Table")
    for wrong in (4, "IV", None, True, 1.5):
        with pytest.raises(henderson.DataError, match="choose 1, 2 or 3"):
            model.anova(type=wrong)


def test_other_models_are_compared():
    small = henderson.lmer("Reaction ~ Days + (1 | Subject)", BY_NAME["sleepstudy"].data())
    large = fit("sleepstudy")
    assert str(small.anova(large)) == str(anova.comparison.compare([small, large]))


def test_a_term_without_columns_of_its_own_has_no_test():
    data = table("cake").assign(again=lambda frame: 2.0 * frame["temp"])
    model = henderson.lmer("angle ~ recipe + temp + again + (1 | recipe:replicate)", data)
    row = model.anova().to_frame().loc["again"]
    assert row["num_df"] == 0
    assert row.drop(["num_df", "sum_sq"]).isna().all()
    assert re.search(r"^again +0 *$", str(model.anova()), flags=re.MULTILINE)


def test_a_model_without_terms_has_an_empty_table():
    assert len(fit("dyestuff").anova()) == 0
    assert "Analysis of Variance" in str(fit("dyestuff").anova())


def test_large_designs_need_the_distinct_rows_only():
    frame = fit("insteval_interaction").anova().to_frame()
    assert list(frame.index) == ["service", "dept", "service:dept"]
    assert frame["num_df"].tolist() == [1, 13, 13]
    assert (frame["den_df"] > 1000).all()


# ------------------------------------------------------------------------------------------------------- the table

PRINTED = """\
Type III Analysis of Variance Table with Satterthwaite's method
                    Sum Sq Mean Sq NumDF DenDF F value Pr(>F)
recipe               64.61   32.30     2    28  1.5781 0.2242
temperature        2100.30  420.06     5   210 20.5199 <2e-16 ***
recipe:temperature  205.98   20.60    10   210  1.0062 0.4393
---
Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"""


def test_table_is_printed_as_lmertest_prints_it():
    model = henderson.lmer("angle ~ recipe * temperature + (1 | replicate) + (1 | recipe:replicate)", table("cake"))
    assert str(model.anova()) == PRINTED
    assert str(model.anova(ddf="kenward-roger")) == PRINTED.replace("Satterthwaite", "Kenward-Roger")
    assert model.anova()._repr_html_().count("<tr>") == 4


def test_sources_of_tests_are_computed_once(monkeypatch):
    model = fit("sleepstudy")
    model.anova()
    monkeypatch.setattr(satterthwaite, "projections", None)
    monkeypatch.setattr(kenward_roger, "kenward_roger", None)
    assert len(model.anova(type=1)) == 1
    assert len(model.summary().coefficients) == 2
