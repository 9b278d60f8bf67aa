"""Single term deletions and backward elimination, against lme4 and lmerTest, and the fits in between."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import henderson as hd
from henderson.expression import to_text
from henderson.formula import Formula
from henderson.formula_editing import marginal_terms, reductions, without_fixed
from henderson.inference.deletion import FixedSpace
from henderson.submodel import fit_formula
from model_cases import column, fitted, name, references, table

CASES = references("deletions")
SINGULAR = ("angle ~ recipe + temp + (temp | recipe:replicate)", "Yield ~ x + (1 | Batch)")


def over(cases):
    return pytest.mark.parametrize("case", cases, ids=name)


DELETIONS = over(CASES)
WITH_FIXED_TERMS = over([case for case in CASES if "drop1" in case["result"]])
BY_KENWARD_ROGER = over([case for case in CASES if "drop1_kr" in case["result"] and case["formula"] not in SINGULAR])


def printed(found):
    """A table without the mixture's column, and without what stands above and below it."""
    kept = tuple(column for column in found.columns if column.name != "p_value_mixture")
    return str(replace(found, columns=kept, heading=(), notes=()))


def shown(result):
    return "\n".join(line.rstrip() for line in result["printed"])


def assert_close(frame, result, pairs, **tolerances):
    for ours, theirs in pairs.items():
        wanted = column(result, theirs)
        np.testing.assert_allclose(frame[ours].astype(float), wanted, err_msg=ours, **tolerances)


# ------------------------------------------------------------------------------------------------------ random effects


@DELETIONS
@pytest.mark.parametrize("reduce_terms", [True, False])
def test_random_effects_are_tested_as_by_lmertest(case, reduce_terms):
    result = case["result"]["ranova" if reduce_terms else "ranova_whole"]
    found = fitted(case).ranova(reduce_terms=reduce_terms)
    frame = found.to_frame()
    assert list(frame.index) == result["rows"]
    assert_close(frame, result, {"npar": "npar", "loglik": "logLik", "aic": "AIC", "df": "Df"}, rtol=1e-8)
    assert_close(frame, result, {"statistic": "LRT"}, rtol=1e-5, atol=2e-6)
    is_above_zero = (frame["statistic"] > 1e-4).to_numpy()
    theirs = np.array(column(result, "Pr(>Chisq)"))[is_above_zero]
    np.testing.assert_allclose(frame["p_value"][is_above_zero], theirs, rtol=1e-4)
    if is_above_zero[1:].all():
        assert printed(found) == shown(result)


@DELETIONS
def test_what_is_left_is_a_formula_that_gives_the_same_fit(case):
    frame = fitted(case).ranova().to_frame().iloc[1:]
    for _, row in frame.iterrows():
        if "|" in row["formula"]:
            assert fitted(case, row["formula"]).loglik == pytest.approx(row["loglik"], rel=1e-9)
        else:
            with pytest.raises(hd.FormulaError, match="no random term"):
                fitted(case, row["formula"])


def test_without_its_only_random_effect_a_model_is_least_squares():
    data = table("cake").assign(w=np.linspace(0.5, 2.0, 270))
    fit = hd.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", data, weights="w", reml=False)
    root = np.sqrt(data["w"].to_numpy())
    x = fit.design.x_matrix() * root[:, None]
    rss = np.linalg.lstsq(x, data["angle"] * root, rcond=None)[1][0]
    deviance = 270 * (1.0 + np.log(2.0 * np.pi * rss / 270)) - np.log(data["w"]).sum()
    assert fit.ranova().to_frame()["loglik"].iloc[1] == pytest.approx(-0.5 * deviance, rel=1e-12)


def test_the_mixture_is_half_of_each():
    row = fitted({"data": "sleepstudy"}, "Reaction ~ Days + (Days | Subject)").ranova().to_frame().iloc[1]
    wanted = 0.5 * stats.chi2.sf(row["statistic"], 1) + 0.5 * stats.chi2.sf(row["statistic"], 2)
    assert row["p_value_mixture"] == pytest.approx(wanted, rel=1e-12)
    assert row["p_value_mixture"] < row["p_value"]


def test_a_variance_of_zero_has_p_value_one():
    found = fitted({"data": "dyestuff2"}, "Yield ~ 1 + (1 | Batch)").ranova()
    assert found.to_frame()[["p_value", "p_value_mixture"]].iloc[1].tolist() == [1.0, 1.0]
    assert found.notes == (
        "The likelihood does not rise with (1 | Batch): what is tested is estimated as zero, at the boundary.",
    )


def test_several_variances_that_go_at_once_are_an_upper_bound():
    found = fitted({"data": "sleepstudy"}, "Reaction ~ Days + (Days | Subject)").ranova(reduce_terms=False)
    assert found.notes[-1].startswith("Pr(>Chibar) is an upper bound for (Days | Subject)")


@pytest.mark.parametrize(
    "random, rows",
    [
        ("(Days + I(Days^2) || Subject)", ["(1 | Subject)", "Days in (0 + Days | Subject)"]),
        ("(phase || Subject)", ["phase in (phase || Subject)"]),
        ("(phase + Days || Subject)", ["Days in (0 + Days | Subject)", "phase in (phase || Subject)"]),
        ("(0 + phase | Subject)", ["phase in (0 + phase | Subject)"]),
        ("(Days * phase | Subject)", ["Days:phase in (Days * phase | Subject)"]),
        ("(1 | Subject/phase)", ["(1 | phase:Subject)", "(1 | Subject)"]),
        ("(1 | Subject) + (Days | Subject)", ["(1 | Subject)", "Days in (Days | Subject)"]),
    ],
)
def test_what_may_be_left_out_of_a_random_part(random, rows):
    formula = Formula(f"Reaction ~ Days + {random}")
    found = reductions(formula, lambda variable: to_text(variable) != "phase")
    assert [reduction.label for reduction in found][: len(rows)] == rows


def test_terms_with_factors_and_double_bars_leave_one_term_out_at_a_time():
    data = table("sleepstudy").assign(phase=np.where(table("sleepstudy")["Days"] < 4, "early", "late"))
    fit = hd.lmer("Reaction ~ Days + (phase || Subject)", data)
    frame = fit.ranova().to_frame()
    assert list(frame.index) == ["<none>", "phase in (phase || Subject)"]
    assert frame["formula"].iloc[1] == "Reaction ~ Days + (1 | Subject)"
    smaller = hd.lmer("Reaction ~ Days + (1 | Subject)", data)
    assert frame["loglik"].iloc[1] == pytest.approx(smaller.loglik, rel=1e-9)


def test_a_term_that_is_there_already_is_not_repeated():
    whole, slope = reductions(Formula("y ~ x + (1 | g) + (x | g)"), lambda _: True)
    assert whole.formula.text == "y ~ x + (x | g)"
    assert slope.formula.text == "y ~ x + (1 | g)"


# ------------------------------------------------------------------------------------------------------- fixed effects


@WITH_FIXED_TERMS
def test_fixed_terms_are_tested_as_by_lmertest(case):
    result = case["result"]["drop1"]
    frame = fitted(case).drop1().to_frame()
    assert list(frame.index) == column(result, "rows")
    assert_close(frame, result, {"num_df": "NumDF"}, rtol=0)
    assert_close(frame, result, {"sum_sq": "Sum Sq", "mean_sq": "Mean Sq", "statistic": "F value"}, rtol=1e-5)
    assert_close(frame, result, {"den_df": "DenDF"}, rtol=1e-4)
    assert_close(frame, result, {"p_value": "Pr(>F)"}, rtol=1e-4)


@BY_KENWARD_ROGER
def test_fixed_terms_are_tested_by_kenward_roger_as_by_lmertest(case):
    """Without weights, which R leaves out, and away from the boundary, where R keeps parameters that cannot move."""
    result = case["result"]["drop1_kr"]
    frame = fitted(case).drop1(ddf="kenward-roger").to_frame()
    assert_close(frame, result, {"num_df": "NumDF"}, rtol=0)
    assert_close(frame, result, {"den_df": "DenDF", "p_value": "Pr(>F)"}, rtol=1e-3)
    single = frame["num_df"] == 1  # lmerTest shows F without the scaling that its p-value has
    theirs = np.array(column(result, "F value"))[single]
    np.testing.assert_allclose(frame["statistic"][single], theirs, rtol=1e-5)


@WITH_FIXED_TERMS
def test_likelihood_ratios_of_fixed_terms_are_those_of_lme4(case):
    result = case["result"]["drop1_chisq"]
    found = fitted(case).drop1(test="chisq")
    frame = found.to_frame()
    assert list(found.rows) == result["rows"]
    assert_close(frame, result, {"df": "npar"}, rtol=0)
    better = column(result, "AIC") - frame["aic"].to_numpy()
    assert better.min() > -1e-6
    alike = better < 1e-4  # lme4 stops early in some
    for ours, theirs in (("statistic", "LRT"), ("p_value", "Pr(Chi)")):
        np.testing.assert_allclose(frame[ours][alike], np.array(column(result, theirs))[alike], rtol=1e-4, atol=1e-6)
    if alike.all():
        assert printed(found) == shown(result)
    else:
        assert case["formula"] == "angle ~ recipe + temp + (temp | recipe:replicate)"


def test_the_table_prints_as_in_lmertest():
    case = next(case for case in references("deletions") if case["data"] == "ratpup" and "contrasts" not in case)
    assert printed(fitted(case).drop1()) == shown(case["result"]["drop1"])


@pytest.mark.parametrize(
    "formula",
    [
        "angle ~ 0 + recipe + temperature + (1 | Batch)",
        "angle ~ recipe * temp + (1 | Batch)",
        "angle ~ temp:recipe + recipe + (1 | Batch)",
    ],
)
def test_with_no_random_variance_the_tests_are_those_of_least_squares(formula):
    data = table("cake")
    left = hd.lmer("angle ~ recipe * temperature + (1 | replicate)", data).residuals("marginal")
    data = data.iloc[np.argsort(left.to_numpy())].assign(Batch=np.arange(270) % 30)
    fit = hd.lmer(formula, data)
    assert fit.is_singular  # each batch has its share of everything
    frame = fit.drop1(ddf="residual").to_frame()

    def rss(x):
        residual = data["angle"] - x @ np.linalg.lstsq(x, data["angle"], rcond=None)[0]
        return residual @ residual, np.linalg.matrix_rank(x)

    full, rank = rss(fit.design.x_matrix())
    for term in marginal_terms(fit.design.formula.fixed):
        smaller = hd.lmer(without_fixed(fit.design.formula, term).text, data)
        left, small_rank = rss(smaller.design.x_matrix())
        row = frame.loc[term.label]
        assert row["num_df"] == rank - small_rank
        assert row["sum_sq"] == pytest.approx(left - full, rel=1e-8)
        statistic = (left - full) / (rank - small_rank) / (full / (270 - rank))
        assert row["statistic"] == pytest.approx(statistic, rel=1e-8)
        assert row["p_value"] == pytest.approx(stats.f.sf(statistic, rank - small_rank, 270 - rank), rel=1e-8)


@pytest.mark.parametrize("term", ["f", "g"])
def test_a_hypothesis_says_what_the_smaller_formula_says(term):
    """Where factors are coded anew without the term, L beta = 0 exactly for the means of the smaller model."""
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"y": rng.normal(size=60), "f": rng.choice(list("abc"), 60), "g": rng.choice(list("uvw"), 60)})
    data["s"] = np.arange(60) % 6
    fit = hd.lmer("y ~ 0 + f + g + (1 | s)", data)
    formula = next(without_fixed(fit.design.formula, t) for t in fit.design.formula.fixed_terms if t.label == term)
    contrasts = FixedSpace(fit).hypothesis(formula)
    small = hd.lmer(formula.text, data).design.x_matrix()
    x = fit.design.x_matrix()
    beta = np.linalg.lstsq(x, small, rcond=None)[0]
    np.testing.assert_allclose(contrasts @ beta, 0.0, atol=1e-10)
    assert np.linalg.matrix_rank(contrasts) == len(contrasts) == x.shape[1] - small.shape[1]


def test_robust_tests_of_single_terms():
    fit = fitted({"data": "ratpup"}, "weight ~ Lsize + Treatment + sex + (1 | Litter)")
    found = fit.drop1(vcov="CR2", cluster="Litter")
    row = fit.contrast({"Lsize": 1.0}, vcov="CR2", cluster="Litter").to_frame().iloc[0]
    assert found.to_frame().loc["Lsize", "statistic"] == pytest.approx(row["statistic"] ** 2, rel=1e-10)
    assert "CR2" in str(found).splitlines()[0]


def test_a_model_without_fixed_terms_has_nothing_to_drop():
    fit = fitted({"data": "penicillin"}, "diameter ~ 1 + (1 | plate) + (1 | sample)")
    assert len(fit.drop1()) == 0
    assert list(fit.drop1(test="chisq").rows) == ["<none>"]


def test_a_term_whose_columns_others_have_is_not_tested():
    data = table("sleepstudy").assign(twice=2.0 * table("sleepstudy")["Days"])
    frame = hd.lmer("Reaction ~ Days + twice + (1 | Subject)", data).drop1().to_frame()
    assert frame["num_df"].tolist() == [0, 0]
    assert frame["p_value"].isna().all()


def test_kenward_roger_needs_reml_and_says_so():
    fit = fitted({"data": "sleepstudy", "reml": False}, "Reaction ~ Days + (Days | Subject)")
    assert "REML" in " ".join(fit.drop1(ddf="kenward-roger").notes)


def test_unknown_choices_are_named():
    fit = fitted({"data": "penicillin"}, "diameter ~ 1 + (1 | plate) + (1 | sample)")
    with pytest.raises(hd.DataError, match="test is 'Chisq'"):
        fit.drop1(test="Chisq")
    with pytest.raises(hd.DataError, match="ddf"):
        fit.drop1(ddf="satterthwait")


# ------------------------------------------------------------------------------------------------- the fits in between


MESSY = "log(y) ~ x * f + z + offset(o) + (x | g) + (1 | h)"


@pytest.fixture(scope="module")
def messy():
    """Missing values, weights, an offset, contrasts and a subset: everything that must stay as it is."""
    rng = np.random.default_rng(6)
    n = 200
    data = pd.DataFrame({name: rng.normal(size=n) for name in ("x", "z", "o")})
    data["f"], data["g"], data["h"] = rng.choice(list("abc"), n), rng.integers(0, 12, n), rng.integers(0, 7, n)
    data["y"] = np.exp(data["x"] + data["o"] + rng.normal(size=12)[data["g"]] + 0.3 * rng.normal(size=n))
    data["w"] = rng.uniform(0.5, 2.0, n)
    data.loc[::17, "z"] = np.nan
    return data


def options(data):
    return {"weights": "w", "contrasts": {"f": "sum"}, "subset": (data["x"] < 1.5).to_numpy()}


@pytest.mark.parametrize("is_pickled", [False, True])
def test_smaller_formulas_use_the_same_rows_weights_offset_and_contrasts(messy, is_pickled):
    fit = hd.lmer(MESSY, messy, **options(messy))
    if is_pickled:
        fit = pickle.loads(pickle.dumps(fit))
    same_rows = messy.dropna()
    for term in marginal_terms(fit.design.formula.fixed):
        smaller = without_fixed(fit.design.formula, term)
        ours = fit_formula(fit, smaller)
        wanted = hd.lmer(smaller.text, same_rows, **options(same_rows))
        assert ours.criterion == pytest.approx(wanted.criterion, rel=1e-10)
        pd.testing.assert_series_equal(ours.fixef, wanted.fixef, rtol=1e-6)
        pd.testing.assert_index_equal(ours.index, wanted.index)


def test_a_table_that_changed_since_does_not_matter(messy):
    data = messy.copy()
    fit = hd.lmer(MESSY, data, **options(data))
    before = str(fit.drop1())
    again = hd.lmer(MESSY, data, **options(data))
    data["f"] = "a"
    del data["z"]
    assert str(again.drop1()) == before


def test_a_dot_stays_what_it_was(messy):
    fit = hd.lmer("y ~ . + (1 | g)", messy[["y", "x", "f", "g"]])
    assert list(fit.drop1().rows) == ["x", "f"]


def test_names_that_need_quotes_are_quoted():
    data = table("sleepstudy").rename(columns={"Days": "days of test", "Subject": "the subject"})
    fit = hd.lmer("Reaction ~ `days of test` + (`days of test` | `the subject`)", data)
    assert fit.ranova().to_frame()["formula"].iloc[1] == "Reaction ~ `days of test` + (1 | `the subject`)"
    assert list(fit.drop1().rows) == ["days of test"]


# --------------------------------------------------------------------------------------------------------- elimination


@pytest.mark.parametrize("case", references("eliminations"), ids=name)
def test_elimination_takes_the_steps_of_lmertest(case):
    result = case["result"]
    found = fitted(case).step(keep=case.get("keep", ()))
    random, fixed = found.random.to_frame(), found.fixed.to_frame()
    assert list(random.index) == result["random"]["rows"]
    np.testing.assert_array_equal(random["eliminated"], column(result["random"], "Eliminated"))
    assert_close(random, result["random"], {"loglik": "logLik", "aic": "AIC", "df": "Df"}, rtol=1e-8)
    assert_close(random, result["random"], {"statistic": "LRT"}, rtol=1e-5, atol=2e-6)
    rows = result["fixed"]["rows"]
    assert list(fixed.index) == (rows if isinstance(rows, list) else [rows])
    np.testing.assert_array_equal(fixed["eliminated"], column(result["fixed"], "Eliminated"))
    if "DenDF" in result["fixed"]:
        pairs = {"num_df": "NumDF", "den_df": "DenDF", "sum_sq": "Sum Sq"}
    else:  # a linear model: R prints it in another layout
        pairs = {"num_df": "Df", "sum_sq": "Sum of Sq"}
    assert_close(fixed, result["fixed"], pairs | {"statistic": "F value"}, rtol=1e-4)
    assert_close(fixed, result["fixed"], {"p_value": "Pr(>F)"}, rtol=1e-3)
    assert found.formula == result["formula"]


def test_the_model_found_is_the_fit_of_its_formula():
    case = references("eliminations")[0]
    found = fitted(case).step()
    assert found.model.formula == found.formula == "angle ~ temperature + (1 | recipe:replicate)"
    assert found.model.criterion == pytest.approx(fitted(case, found.formula).criterion, rel=1e-10)


def test_without_a_random_term_least_squares_goes_on():
    found = fitted({"data": "dyestuff2"}, "Yield ~ x + (1 | Batch)").step()
    assert found.model is None
    assert found.formula == "Yield ~ 1"
    assert "No random term is left" in str(found)
    assert list(found.to_frame()) == ["random", "fixed"]
    assert "<code>Yield ~ 1</code>" in found._repr_html_()


def test_parts_that_are_not_to_be_reduced_stay():
    fit = fitted({"data": "dyestuff2"}, "Yield ~ x + (1 | Batch)")
    found = fit.step(reduce_random=False)
    assert found.random is None
    assert found.formula == "Yield ~ 1 + (1 | Batch)"
    found = fit.step(reduce_fixed=False)
    assert found.fixed is None
    assert found.formula == "Yield ~ x"


def test_the_levels_decide():
    fit = fitted({"data": "sleepstudy"}, "Reaction ~ Days + I(Days^2) + (Days | Subject)")
    assert fit.step(alpha_fixed=0.99).formula == "Reaction ~ Days + I(Days^2) + (Days | Subject)"
    assert fit.step(alpha_random=0.0, alpha_fixed=1.0).formula == "Reaction ~ Days + I(Days^2)"


@pytest.mark.parametrize("alpha", [-0.1, 1.5, "0.05", None])
def test_levels_lie_between_0_and_1(alpha):
    with pytest.raises(hd.DataError, match="alpha_fixed is"):
        fitted({"data": "dyestuff2"}, "Yield ~ x + (1 | Batch)").step(alpha_fixed=alpha)


def test_terms_to_keep_must_exist():
    fit = fitted({"data": "cake"}, "angle ~ recipe * temp + (1 | recipe:replicate)")
    assert fit.step(keep="temp:recipe").formula == fit.formula
    with pytest.raises(hd.DataError, match=r"keep names 'recipes', which is not a fixed term .* Did you mean 'recipe'"):
        fit.step(keep=["recipes"])
