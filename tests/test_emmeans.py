"""Marginal means, contrasts and slopes: against R's emmeans, and the laws that they obey."""

import dataclasses
import itertools
import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import henderson
from cases import read_table
from henderson.inference.contrast_families import contrast_family
from henderson.newdata import design_for

REFERENCE = json.loads((Path(__file__).parent / "reference" / "emmeans" / "emmeans.json").read_text(encoding="utf-8"))
TABLES = {
    "cake": lambda: read_table("cake", ("replicate", "temperature")),
    "ratpup": lambda: read_table("RatPupWeight", ("Litter",)),
    "sleepstudy": lambda: read_table("sleepstudy", ("Subject",)),
}


@cache
def table(name):
    if name in TABLES:
        return TABLES[name]()
    data = pd.DataFrame(REFERENCE["tables"][name])
    if name == "phases":
        data["phase"] = pd.Categorical(data["phase"], ["early", "middle", "late"])
    return data


@cache
def fit(name, at_reference=True):
    """A model of the reference, at the theta that lme4 found or at our own."""
    model = REFERENCE["models"][name]
    options = {"weights": model["weights"]} if model["weights"] else {}
    found = henderson.lmer(model["formula"], table(model["data"]), **options)
    if at_reference:
        found.__dict__["optimum"] = dataclasses.replace(found.optimum, theta=np.array(model["theta"]))
    return found


def asked(answer, model):
    """What the reference answer is to: marginal means, slopes, or contrasts among them."""
    options = {name: answer[name] for name in ("by", "at", "weights", "ddf") if answer[name]}
    if answer["trend"]:
        found = model.emtrends(answer["trend"], answer["specs"], **options)
    else:
        found = model.emmeans(answer["specs"], **options)
    return found.contrasts(answer["method"], adjust=answer["adjust"]) if answer["method"] else found


def column(answer, name):
    return np.array([np.nan if value is None else value for value in np.atleast_1d(answer[name])], dtype=float)


def title(answer):
    specs = "*".join(np.atleast_1d(answer["specs"]))
    parts = [
        answer["model"],
        specs,
        *(str(answer[k]) for k in ("by", "trend", "weights", "method", "adjust") if answer[k]),
    ]
    return "-".join([*parts, "at" if answer["at"] else "", answer["ddf"][:3]])


def has_exact_reference(answer):
    """Whether R's p-values are those of the method: mvt is a simulation there, with rounded degrees of freedom;
    Tukey's degrees of freedom are rounded where a comparison of the family cannot be estimated."""
    return answer["adjust"] != "mvt" and not (answer["method"] and None in np.atleast_1d(answer["estimate"]))


ALL = REFERENCE["answers"]
ANSWERS = pytest.mark.parametrize("answer", ALL, ids=title)
EXACT = pytest.mark.parametrize("answer", [answer for answer in ALL if has_exact_reference(answer)], ids=title)
ONE_DDF = [answer for answer in ALL if answer["ddf"] == "satterthwaite"]


@ANSWERS
def test_estimates_and_tests_agree_with_emmeans(answer):
    result = asked(answer, fit(answer["model"]))
    found = result.estimates.estimated
    np.testing.assert_allclose(found.estimate, column(answer, "estimate"), rtol=1e-8)
    np.testing.assert_allclose(found.std_error, column(answer, "std_error"), rtol=1e-8)
    np.testing.assert_allclose(found.df, column(answer, "df"), rtol=1e-4)
    p_values = result.p_values if answer["method"] else found.p_value
    np.testing.assert_allclose(p_values, column(answer, "p_value"), atol=1e-6 if has_exact_reference(answer) else 5e-4)
    assert any("misleading" in note for note in result.notes) == answer["interaction_note"]


@pytest.mark.parametrize("answer", [a for a in ONE_DDF if a["model"] in ("cake", "ratpup", "cells")], ids=title)
def test_intervals_agree_with_emmeans(answer):
    found = asked(answer, fit(answer["model"])).to_frame()
    # R solves for the critical values of dunnettx to 5e-4 only, and simulates those of mvt
    tolerance = {"trt.vs.ctrl": 5e-4}.get(answer["method"], 1e-5) if answer["adjust"] != "mvt" else 2e-2
    for name in ("conf_low", "conf_high"):
        gap = (found[name].to_numpy() - column(answer, name)) / column(answer, "std_error")
        assert np.nanmax(np.abs(gap)) < tolerance


@EXACT
def test_they_print_as_emmeans_does(answer):
    lines = str(asked(answer, fit(answer["model"]))).splitlines()
    assert [line for line in lines if not line.startswith(("NOTE", "Note"))] == [
        text.rstrip() for text in answer["text"]
    ]


@EXACT
def test_labels_are_those_of_emmeans(answer):
    found = asked(answer, fit(answer["model"])).estimates.labels
    for name, labels in answer["labels"].items():
        ours = [f"{value:g}" if isinstance(value, float) else str(value) for value in found[name]]
        assert ours == [{"TRUE": "True", "FALSE": "False"}.get(label, label) for label in np.atleast_1d(labels)]


@pytest.mark.parametrize("name", ["cake", "ratpup", "sleepstudy", "weighted", "cells", "shapes"])
def test_at_our_own_optimum_they_differ_by_what_the_optimum_does(name):
    for answer in [a for a in ALL if a["model"] == name and not a["method"]]:
        found = asked(answer, fit(name, at_reference=False)).to_frame()
        np.testing.assert_allclose(found["estimate"], column(answer, "estimate"), rtol=1e-6)
        np.testing.assert_allclose(found["std_error"], column(answer, "std_error"), rtol=1e-6)
        np.testing.assert_allclose(found["df"], column(answer, "df"), rtol=1e-4)


@pytest.mark.parametrize("name", REFERENCE["joint_tests"])
def test_joint_tests_are_those_of_type_three(name):
    want = REFERENCE["joint_tests"][name]
    terms = [term for term in want["term"] if term != "Lsize"]
    variables = [term for term in terms if ":" not in term]
    found = fit(name).emmeans(variables).joint_tests().to_frame()
    assert list(found.index) == terms
    rows = [want["term"].index(term) for term in terms]
    np.testing.assert_allclose(found["num_df"], np.array(want["df1"])[rows])
    np.testing.assert_allclose(found["statistic"], np.array(want["statistic"])[rows], rtol=1e-7)
    # the rule for several rows depends a little on which rows span the hypothesis
    np.testing.assert_allclose(found["den_df"], np.array(want["df2"])[rows], rtol=2e-3)


def test_joint_tests_are_joint_tests_of_contrasts():
    means = usual().emmeans(["Treatment", "sex"], ddf="kenward-roger")
    found = means.joint_tests().to_frame()
    cells = means.estimates.functions
    by_treatment = cells[:3] + cells[3:]
    rows = {"Treatment": np.diff(by_treatment, axis=0) / 2, "sex": np.atleast_2d(cells[3:].mean(0) - cells[:3].mean(0))}
    rows["Treatment:sex"] = np.diff(cells[3:] - cells[:3], axis=0)
    for term, functions in rows.items():
        want = usual().contrast(functions, joint=True, ddf="kenward-roger").to_frame().iloc[0]
        for name in ("statistic", "num_df", "den_df", "p_value"):
            assert found.loc[term, name] == pytest.approx(want[name], rel=1e-9)


def test_joint_tests_of_groups_and_of_contrasts():
    by_sex = usual().emmeans("Treatment", by="sex")
    found = by_sex.joint_tests().to_frame()
    assert list(found.index) == ["sex = Male: Treatment", "sex = Female: Treatment"]
    pairs = by_sex.pairs().joint_test().to_frame()
    assert list(pairs.index) == ["sex = Male", "sex = Female"]
    np.testing.assert_allclose(pairs["statistic"], found["statistic"], rtol=1e-9)
    additive = ratpup("weight ~ Treatment + sex + (1 | Litter)").emmeans(["Treatment", "sex"]).joint_tests()
    assert list(additive.to_frame().index) == ["Treatment", "sex"]


def test_joint_tests_are_of_what_can_be_estimated():
    found = fit("cells").emmeans(["A", "B"]).joint_tests().to_frame()
    assert found["num_df"].to_dict() == {"A": 0, "B": 1, "A:B": 4}


# ---------------------------------------------------------------------------------------------- laws, without reference


RATPUP = "weight ~ Lsize + Treatment * sex + (1 | Litter)"


def ratpup(formula=RATPUP, **options):
    return henderson.lmer(formula, henderson.datasets.load_ratpup(), **options)


@cache
def usual():
    return ratpup()


def test_means_are_averages_of_predictions_over_the_grid():
    data = henderson.datasets.load_ratpup()
    grid = pd.DataFrame(itertools.product(("Control", "Low", "High"), ("Male", "Female")), columns=["Treatment", "sex"])
    beta = usual().fixef
    value = beta["(Intercept)"] + beta["Lsize"] * data["Lsize"].mean() + beta["sexFemale"] * (grid["sex"] == "Female")
    for level in ("Low", "High"):
        both = beta[f"Treatment{level}"] + beta[f"Treatment{level}:sexFemale"] * (grid["sex"] == "Female")
        value += (grid["Treatment"] == level) * both
    want = value.groupby(grid["Treatment"], sort=False).mean()
    np.testing.assert_allclose(usual().emmeans("Treatment").to_frame()["estimate"], want, rtol=1e-12)


@pytest.mark.parametrize("coding", ["sum", "helmert", "poly"])
def test_means_do_not_depend_on_the_coding_of_factors(coding):
    other = ratpup(contrasts={"Treatment": coding, "sex": "sum"})
    for weights in ("equal", "proportional", "cells"):
        ours = usual().emmeans("Treatment", weights=weights).to_frame()
        theirs = other.emmeans("Treatment", weights=weights).to_frame()
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6)


def test_means_scale_with_the_response():
    data = henderson.datasets.load_ratpup()
    scaled = henderson.lmer(RATPUP, data.assign(weight=1000 * data["weight"])).emmeans("Treatment", by="sex").to_frame()
    found = usual().emmeans("Treatment", by="sex").to_frame()
    np.testing.assert_allclose(scaled["estimate"], 1000 * found["estimate"], rtol=1e-8)
    np.testing.assert_allclose(scaled["std_error"], 1000 * found["std_error"], rtol=1e-6)
    np.testing.assert_allclose(scaled["df"], found["df"], rtol=1e-5)


def test_contrasts_are_differences_of_means_with_their_covariance():
    means = usual().emmeans(["Treatment", "sex"])
    estimate, covariance = means.to_frame()["estimate"].to_numpy(), means.covariance
    pairs = means.pairs()
    rows = contrast_family("pairwise", [str(i) for i in range(6)]).coefficients
    np.testing.assert_allclose(pairs.estimates.estimated.estimate, rows @ estimate, atol=1e-12)
    np.testing.assert_allclose(pairs.estimates.covariance, rows @ covariance @ rows.T, atol=1e-12)


def test_means_and_contrasts_are_contrasts_of_the_fixed_effects():
    means = usual().emmeans("Treatment", ddf="kenward-roger")
    functions = means.estimates.functions
    want = usual().contrast(functions, ddf="kenward-roger").to_frame()
    found = means.to_frame()
    for name in ("estimate", "std_error", "df", "p_value", "conf_low", "conf_high"):
        np.testing.assert_allclose(found[name], want[name], rtol=1e-10)


@pytest.mark.parametrize(
    "fixed",
    [
        "bs(x, df=4) + flag",
        "{np.log(x)} * flag",
        "relevel(kind, ref = 'c') * scale(x)",
        "factor(week) + I(x^2) + sqrt(x):kind",
        "C(kind, contr.sum) * C(week) + x",
        "x %in% kind + shift:x",
    ],
)
def test_the_grid_is_in_the_columns_whatever_the_formula_makes_of_them(fixed):
    rng = np.random.default_rng(11)
    data = pd.DataFrame({"g": np.tile(np.arange(12), 10), "x": rng.uniform(1, 5, 120), "flag": rng.random(120) < 0.5})
    data["kind"], data["week"] = rng.choice(["a", "b", "c"], 120), rng.choice([1, 2, 4], 120)
    data["y"] = rng.normal(size=120) + rng.normal(size=12)[data["g"]]
    context = {"shift": 2.0} if "shift" in fixed else None
    model = henderson.lmer(f"y ~ {fixed.replace('shift:x', 'I(shift + x)')} + (1 | g)", data, context=context)
    names = [name for name in ("x", "flag", "kind", "week") if name in fixed]
    others = {"flag": [False, True], "kind": ["a", "b", "c"], "week": [1, 2, 4], "x": [1.5, 3.0]}
    found = model.emmeans(names, at={"x": [1.5, 3.0]}).to_frame()
    grid = pd.DataFrame(list(itertools.product(*(others[name] for name in reversed(names)))), columns=names[::-1])
    pd.testing.assert_frame_equal(found[names], grid[names], check_dtype=False)
    x = design_for(grid, model.design, terms=()).x_matrix()[:, model.kept]
    np.testing.assert_allclose(found["estimate"], x @ model.fixef, rtol=1e-9)


def test_weights_do_not_matter_where_the_data_are_balanced():
    cake = henderson.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", henderson.datasets.load_cake())
    want = cake.emmeans("recipe").to_frame()
    for weights in ("proportional", "outer", "cells", "flat"):
        pd.testing.assert_frame_equal(cake.emmeans("recipe", weights=weights).to_frame(), want, rtol=1e-10)


def test_specifications_can_be_written_in_several_ways():
    want = usual().emmeans("Treatment", by="sex").to_frame()
    for specs in ("Treatment | sex", "~ Treatment | sex", ["Treatment"]):
        by = "sex" if isinstance(specs, list) else None
        pd.testing.assert_frame_equal(usual().emmeans(specs, by=by).to_frame(), want)
    both = usual().emmeans("Treatment * sex").to_frame()
    pd.testing.assert_frame_equal(usual().emmeans(["Treatment", "sex"]).to_frame(), both)
    assert usual().emmeans("1").to_frame()["1"].tolist() == ["overall"]


def test_covariates_are_reduced_as_asked():
    data = henderson.datasets.load_ratpup()["Lsize"]
    at_median = usual().emmeans("Treatment", at={"Lsize": data.median()}).to_frame()
    pd.testing.assert_frame_equal(usual().emmeans("Treatment", cov_reduce=np.median).to_frame(), at_median)
    pd.testing.assert_frame_equal(usual().emmeans("Treatment", cov_reduce={"Lsize": np.median}).to_frame(), at_median)
    every = usual().emmeans("Lsize", cov_reduce=False).to_frame()["Lsize"].tolist()
    assert every == sorted(set(data.tolist()))
    assert usual().emmeans("Lsize", cov_keep=["Lsize"]).to_frame()["Lsize"].tolist() == every
    assert usual().emmeans("Lsize", cov_reduce=lambda x: (x.min(), x.max())).to_frame()["Lsize"].tolist() == [2, 18]


def test_an_offset_is_at_its_mean_unless_given():
    data = henderson.datasets.load_ratpup()
    given = data.assign(known=np.linspace(0, 1, len(data)))
    plain = henderson.lmer("weight ~ Treatment + (1 | Litter)", given.assign(weight=data["weight"] - given["known"]))
    want = plain.emmeans("Treatment").to_frame()["estimate"]
    by_column = henderson.lmer("weight ~ Treatment + (1 | Litter)", given, offset="known")
    by_term = henderson.lmer("weight ~ Treatment + offset(known) + (1 | Litter)", given)
    by_array = henderson.lmer("weight ~ Treatment + (1 | Litter)", given, offset=given["known"].to_numpy())
    for found in (by_column, by_term, by_array):
        np.testing.assert_allclose(found.emmeans("Treatment").to_frame()["estimate"], want + 0.5, rtol=1e-9)
        np.testing.assert_allclose(found.emmeans("Treatment", offset=0).to_frame()["estimate"], want, rtol=1e-9)
        np.testing.assert_allclose(found.emmeans("Treatment").pairs().estimates.offsets, 0, atol=1e-15)


def test_slopes_are_derivatives():
    data = table("shapes")
    model = henderson.lmer("y ~ log(t) + poly(x, 2) + flag * z + (1 | g)", data)
    averaged = model.emtrends("t", "flag", at={"t": [0.5, 2.0]}).to_frame()
    np.testing.assert_allclose(averaged["estimate"], model.fixef["log(t)"] * (1 / 0.5 + 1 / 2.0) / 2, rtol=1e-6)
    by_t = model.emtrends("t", "t", at={"t": [0.5, 2.0]}).to_frame()
    np.testing.assert_allclose(by_t["estimate"], model.fixef["log(t)"] / np.array([0.5, 2.0]), rtol=1e-6)
    raw = henderson.lmer("y ~ log(t) + x + I(x^2) + flag * z + (1 | g)", data)
    at = np.array([1.0, 3.0])
    want = raw.fixef["x"] + 2 * at * raw.fixef["I(x^2)"]
    for either in (model, raw):
        quadratic = either.emtrends("x", "x", at={"x": at}).to_frame()
        np.testing.assert_allclose(quadratic["estimate"], want, rtol=1e-5)
    by_flag = model.emtrends("z", "flag").to_frame()
    np.testing.assert_allclose(
        by_flag["estimate"], model.fixef["z"] + np.array([0, model.fixef["flagTRUE:z"]]), rtol=1e-9
    )
