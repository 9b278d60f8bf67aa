"""Fits in the real package marginaleffects, against our own marginal means and contrasts and against algebra."""

import subprocess
import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest

import henderson
from henderson.errors import DataError
from henderson.interop import marginaleffects as me

package = pytest.importorskip("marginaleffects")
pl = pytest.importorskip("polars")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*get_categories.*:DeprecationWarning"
)  # the package asks polars for it

RATPUP = henderson.datasets.load_ratpup()
NUMBERS = ("estimate", "std_error", "df", "p_value", "statistic", "conf_low", "conf_high")


@cache
def ratpup():
    return henderson.lmer("weight ~ Lsize + Treatment * sex + (1 | Litter)", RATPUP)


@cache
def sleepstudy():
    return henderson.lmer("Reaction ~ Days + (Days | Subject)", henderson.datasets.load_sleepstudy())


def same(result, ours, rtol=1e-6):
    """Whether a result of the package holds the numbers of one of our tables."""
    for name in NUMBERS:
        tolerance = {"rtol": 0, "atol": 1e-6} if name == "p_value" else {"rtol": rtol}
        np.testing.assert_allclose(result[name].to_numpy(), ours[name].to_numpy(), **tolerance)


# --------------------------------------------------------------------------------------- with degrees of freedom by row


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger", "normal"])
def test_average_predictions_over_a_balanced_grid_are_marginal_means(ddf):
    found = me.avg_predictions(ratpup(), newdata="balanced", by="Treatment", ddf=ddf)
    assert found["Treatment"].to_list() == ["Control", "Low", "High"]
    same(found, ratpup().emmeans("Treatment", ddf=ddf).to_frame())


def test_predictions_by_row_are_contrasts_with_the_rows_of_x():
    found = me.predictions(ratpup(), ddf="kenward-roger")
    want = ratpup().contrast(ratpup().model_matrix().to_numpy(), ddf="kenward-roger").to_frame()
    same(found, want)


@pytest.mark.parametrize("by", ["Treatment", ["Treatment", "sex"]])
def test_average_predictions_are_averages_of_rows(by):
    found = me.avg_predictions(ratpup(), by=by)
    rows = ratpup().model_matrix().groupby([RATPUP[name] for name in np.atleast_1d(by)], observed=True).mean()
    same(found, ratpup().contrast(rows.to_numpy()).to_frame())


def test_comparisons_of_a_factor_are_contrasts_of_marginal_means():
    found = me.avg_comparisons(ratpup(), variables={"Treatment": "pairwise"}, newdata="balanced")
    want = ratpup().emmeans("Treatment").contrasts("revpairwise", adjust="none").to_frame()
    assert found["contrast"].to_list() == want["contrast"].tolist()
    same(found, want)


def test_average_comparisons_are_averaged_over_the_data():
    found = me.avg_comparisons(ratpup(), variables="sex")
    share = RATPUP["Treatment"].value_counts(normalize=True)
    weights = {"sexFemale": 1, "TreatmentLow:sexFemale": share["Low"], "TreatmentHigh:sexFemale": share["High"]}
    same(found, ratpup().contrast(weights).to_frame())


def test_slopes_are_those_of_emtrends():
    found = me.avg_slopes(sleepstudy(), variables="Days", ddf="kenward-roger")
    same(found, sleepstudy().emtrends("Days", ddf="kenward-roger").to_frame())
    cake = henderson.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", henderson.datasets.load_cake())
    by_recipe = me.avg_slopes(cake, variables="temp", by="recipe")
    same(by_recipe, cake.emtrends("temp", "recipe").to_frame(), rtol=1e-5)


def test_slopes_of_transformed_variables_are_derivatives():
    rng = np.random.default_rng(8)
    data = pd.DataFrame({"g": np.repeat(np.arange(10), 8), "t": rng.uniform(1, 5, 80), "x": rng.normal(size=80)})
    data["y"] = 3 * np.log(data["t"]) + data["x"] ** 2 + rng.normal(size=10)[data["g"]] + rng.normal(size=80)
    model = henderson.lmer("y ~ log(t) + poly(x, 2) + scale(x):t + (1 | g)", data)
    found = me.slopes(model, variables="t")
    spread = (data["x"] - data["x"].mean()) / data["x"].std()
    want = model.fixef["log(t)"] / data["t"] + model.fixef["scale(x):t"] * spread
    np.testing.assert_allclose(found["estimate"].to_numpy(), want, rtol=1e-5)
    average = me.avg_slopes(model, variables="t")
    contrast = {"log(t)": float((1 / data["t"]).mean()), "scale(x):t": float(spread.mean())}
    same(average, model.contrast(contrast).to_frame(), rtol=1e-4)


def test_hypotheses_about_coefficients_are_contrasts():
    found = me.hypotheses(ratpup())
    assert found["term"].to_list() == list(ratpup().fixef.index)
    same(found, ratpup().contrast(np.eye(7)).to_frame())
    one = me.hypotheses(ratpup(), "TreatmentHigh - TreatmentLow = 0", ddf="kenward-roger")
    same(one, ratpup().contrast("TreatmentHigh - TreatmentLow", ddf="kenward-roger").to_frame())


def test_hypotheses_about_a_value_move_the_statistic():
    found = me.hypotheses(sleepstudy(), hypothesis=10.0)
    np.testing.assert_allclose(
        found["statistic"].to_numpy(), (sleepstudy().fixef - 10) / sleepstudy().stderror, rtol=1e-6
    )


def test_joint_hypotheses_have_our_f_test():
    names = ["TreatmentLow:sexFemale", "TreatmentHigh:sexFemale"]
    want = ratpup().contrast(names, joint=True, ddf="kenward-roger").to_frame().iloc[0]
    for joint in (names, "Treatment.*:sex", [5, 6]):
        found = me.hypotheses(ratpup(), joint=joint, ddf="kenward-roger")
        got = [found[name][0] for name in ("statistic", "df1", "df2", "p_value")]
        np.testing.assert_allclose(got, want[["statistic", "num_df", "den_df", "p_value"]].tolist(), rtol=1e-10)
    chi_square = me.hypotheses(ratpup(), joint=names, joint_test="chisq", ddf="normal")
    assert chi_square["statistic"][0] == pytest.approx(
        2 * ratpup().contrast(names, joint=True, ddf="normal").to_frame()["statistic"].iloc[0]
    )
    everything = me.hypotheses(ratpup(), joint=True)
    assert everything["df1"][0] == 7
    for nothing in (["Dose"], "^Dose", 7, [True]):
        with pytest.raises(DataError, match="matches no coefficient"):
            me.hypotheses(ratpup(), joint=nothing)


def test_nonlinear_functions_have_the_delta_method():
    beta, covariance = sleepstudy().fixef.to_numpy(), sleepstudy().vcov.to_numpy()
    grid = me.datagrid(sleepstudy(), Days=[0])
    found = me.comparisons(sleepstudy(), variables={"Days": [0, 9]}, comparison="ratio", newdata=grid)
    ratio = (beta[0] + 9 * beta[1]) / beta[0]
    gradient = np.array([-9 * beta[1] / beta[0] ** 2, 9 / beta[0]])
    assert found["estimate"][0] == pytest.approx(ratio, rel=1e-12)
    assert found["std_error"][0] == pytest.approx(np.sqrt(gradient @ covariance @ gradient), rel=1e-5)
    assert found["df"][0] == pytest.approx(sleepstudy().contrast(gradient).to_frame()["df"].iloc[0], rel=1e-4)


def test_a_robust_covariance_matrix_and_one_of_the_users_are_honoured():
    robust = me.hypotheses(ratpup(), vcov="CR2", cluster="Litter")
    same(robust, ratpup().contrast(np.eye(7), vcov="CR2", cluster="Litter").to_frame())
    doubled = me.hypotheses(ratpup(), vcov=4 * ratpup().vcov.to_numpy())
    np.testing.assert_allclose(doubled["std_error"].to_numpy(), 2 * ratpup().stderror, rtol=1e-6)
    assert np.isinf(doubled["df"].to_numpy()).all()
    assert "std_error" not in me.avg_predictions(ratpup(), vcov=False).columns


def test_transformations_and_equivalence_use_the_same_degrees_of_freedom():
    plain = me.avg_predictions(sleepstudy(), by=True)
    shown = me.avg_predictions(sleepstudy(), by=True, transform=np.exp)
    for name in ("estimate", "conf_low", "conf_high"):
        assert shown[name][0] == pytest.approx(np.exp(plain[name][0]), rel=1e-12)
    bounds = me.hypotheses(sleepstudy(), equivalence=[8.0, 12.0])
    days = sleepstudy().contrast("Days", rhs=8.0).to_frame().iloc[0]
    assert bounds["p_value_noninf"][1] == pytest.approx(days["p_value"] / 2, rel=1e-6)
    assert bounds["p_value_equiv"][1] == max(bounds["p_value_noninf"][1], bounds["p_value_nonsup"][1])


def test_results_print_t_and_degrees_of_freedom():
    found = me.avg_slopes(sleepstudy(), variables="Days")
    assert [name in str(found) for name in ("Df", " t ", "P(>|t|)")] == [True, True, True]
    normal = me.avg_slopes(sleepstudy(), variables="Days", ddf="normal")
    assert " z " in str(normal)
    assert list(found.columns)[:6] == ["term", "contrast", "estimate", "std_error", "statistic", "df"]


# ------------------------------------------------------------------------------------------------------ data and offset


def test_offsets_are_part_of_the_predictions():
    data = RATPUP.assign(known=np.linspace(0, 1, len(RATPUP)))
    terms = "weight ~ Treatment + {}(1 | Litter)"
    fits = [
        henderson.lmer(terms.format(""), data, offset="known"),
        henderson.lmer(terms.format("offset(known) + "), data),
        henderson.lmer(terms.format(""), data, offset=data["known"].to_numpy()),
    ]
    for fit in fits:
        x = fit.model_matrix().to_numpy()
        found = me.predictions(fit)
        np.testing.assert_allclose(found["estimate"].to_numpy(), x @ fit.fixef + data["known"], rtol=1e-10)
        want = fit.contrast(x).to_frame()
        np.testing.assert_allclose(found["std_error"].to_numpy(), want["std_error"], rtol=1e-6)
        grid = me.avg_predictions(fit, newdata=pd.DataFrame({"Treatment": pd.Categorical(["Low"])}))
        assert grid["estimate"][0] == pytest.approx(fit.fixef["(Intercept)"] + fit.fixef["TreatmentLow"] + 0.5)


def test_variables_of_every_kind_are_varied_as_they_should_be():
    rng = np.random.default_rng(9)
    n = 200
    data = pd.DataFrame({"group": rng.integers(0, 10, n), "x": rng.normal(size=n), "flag": rng.random(n) < 0.5})
    data["dose"] = pd.Categorical(rng.choice([5, 10], n))
    data["week"] = rng.choice([1, 2, 3], n)
    data["k"] = rng.integers(0, 2, n)
    data["y"] = rng.normal(size=10)[data["group"]] + rng.normal(size=n) + data["x"]
    fit = henderson.lmer("y ~ x + flag + dose + factor(week) + k + (1 | group)", data)
    found = me.avg_comparisons(fit)
    got = dict(zip(zip(found["term"], found["contrast"], strict=True), found["estimate"], strict=True))
    beta = fit.fixef
    want = {
        ("x", "+1"): beta["x"],
        ("flag", "True - False"): beta["flagTRUE"],
        ("dose", "10 - 5"): beta["dose10"],
        ("week", "2.0 - 1.0"): beta["factor(week)2"],
        ("week", "3.0 - 1.0"): beta["factor(week)3"],
        ("k", "1 - 0"): beta["k"],
    }
    assert got.keys() == want.keys()
    for key, value in want.items():
        assert got[key] == pytest.approx(value, rel=1e-9)


def test_new_rows_keep_what_the_transformations_learned():
    model = henderson.lmer("Reaction ~ poly(Days, 2) + (1 | Subject)", henderson.datasets.load_sleepstudy())
    new = pd.DataFrame({"Days": [0.0, 4.5, 9.0]})
    found = me.predictions(model, newdata=new)["estimate"].to_numpy()
    want = model.emmeans("Days", at={"Days": [0.0, 4.5, 9.0]}).to_frame()["estimate"]
    np.testing.assert_allclose(found, want, rtol=1e-10)


def test_cells_that_do_not_occur_have_no_prediction():
    data = RATPUP[~((RATPUP["Treatment"] == "High") & (RATPUP["sex"] == "Male"))]
    fit = henderson.lmer("weight ~ Treatment * sex + (1 | Litter)", data)
    found = me.predictions(fit, newdata=me.datagrid(fit, Treatment=["Low", "High"], sex=["Male", "Female"]))
    assert np.isnan(found["estimate"].to_numpy()).tolist() == [False, False, True, False]
    assert np.isnan(found["df"].to_numpy()).tolist() == [False, False, True, False]


def test_levels_that_the_model_does_not_know_are_refused():
    new = pl.DataFrame({"Lsize": [10.0], "Treatment": ["Medium"], "sex": ["Male"]})
    for rows in (new, new.to_pandas()):
        with pytest.raises(DataError, match="'Treatment' has the level 'Medium' in row 0"):
            me.predictions(ratpup(), newdata=rows)


def test_new_rows_come_as_any_table():
    new = pd.DataFrame({"Lsize": [10, 12], "Treatment": ["Low", "High"], "sex": ["Male", "Male"], "id": ["a", "b"]})
    want = me.predictions(ratpup(), newdata=new)
    assert want["id"].to_list() == ["a", "b"]
    for rows in (pl.from_pandas(new), new.astype({"Treatment": "category"}), new.iloc[:, [2, 1, 3, 0]]):
        np.testing.assert_array_equal(me.predictions(ratpup(), newdata=rows)["estimate"], want["estimate"])


# ------------------------------------------------------------------------------------------------ the package by itself


def test_the_package_takes_the_adapter_of_a_fit():
    adapted = ratpup().to_marginaleffects()
    smallest = float(ratpup().df.min())
    assert adapted.df_resid == pytest.approx(smallest)
    found = package.avg_slopes(adapted, variables="Lsize", eps_vcov=1e-4)
    want = ratpup().emtrends("Lsize").to_frame().iloc[0]
    assert found["estimate"][0] == pytest.approx(want["estimate"])
    assert found["std_error"][0] == pytest.approx(want["std_error"], rel=1e-6)
    assert found["p_value"][0] > want["p_value"]  # of fewer degrees of freedom
    assert package.avg_predictions(adapted, vcov="CR0")["std_error"][0] > 0
    grid = package.datagrid(adapted, Treatment=["Low", "High"])
    assert package.predictions(adapted, newdata=grid).height == 2
    assert me.predictions(adapted, newdata=grid)["df"].to_list() == pytest.approx(
        me.predictions(ratpup(), newdata=grid)["df"].to_list()
    )


def test_options_of_an_adapter_are_chosen_when_it_is_made():
    adapted = ratpup().to_marginaleffects(ddf="normal")
    assert np.isinf(adapted.df_resid)
    with pytest.raises(DataError, match="when the adapter is made"):
        me.predictions(adapted, ddf="kenward-roger")
    with pytest.raises(DataError, match="vcov is"):
        package.predictions(adapted, vcov=3)
    with pytest.raises(DataError, match="ddf is 'kr'"):
        ratpup().to_marginaleffects(ddf="kr")


def test_a_polars_that_the_package_does_not_know_is_named(monkeypatch):
    def fails(*_, **__):
        raise AttributeError("`get_categories` was removed in version 2.0")

    monkeypatch.setattr(package, "avg_comparisons", fails)
    with pytest.raises(RuntimeError, match="pip install 'polars<2'"):
        me.avg_comparisons(ratpup())


def test_without_the_package_one_is_told_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "henderson.interop.marginaleffects_model", raising=False)
    monkeypatch.setitem(sys.modules, "marginaleffects.classes", None)
    with pytest.raises(ImportError, match=r"pip install 'henderson\[marginaleffects\]'"):
        ratpup().to_marginaleffects()


def test_the_package_is_imported_when_it_is_used():
    code = "import sys, henderson, henderson.interop.marginaleffects; print('marginaleffects' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
        == "False"
    )
