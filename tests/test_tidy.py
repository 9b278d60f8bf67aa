"""tidy, glance and augment against broom.mixed, dense algebra, and each other."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from cases import BY_NAME
from dense_inference import covariance, parts
from oracle import relative_factors

REFERENCE = json.loads((Path(__file__).parent / "reference" / "tidy" / "broom_mixed.json").read_text())
NUMBERS = {"estimate": "estimate", "std.error": "std_error", "statistic": "statistic", "df": "df", "p.value": "p_value"}
NUMBERS |= {"conf.low": "conf_low", "conf.high": "conf_high"}
GLANCE = {"nobs": "nobs", "sigma": "sigma", "logLik": "loglik", "AIC": "aic", "BIC": "bic"}
GLANCE |= {"REMLcrit": "reml_criterion", "deviance": "deviance", "df.residual": "df_residual"}


@cache
def table(name):
    case = BY_NAME["sleepstudy" if name == "missing" else name]
    data = case.data()
    if name == "missing":
        data = data.copy()
        data.loc[[2, 99], "Reaction"] = np.nan
    return data


@cache
def fit(name):
    case = BY_NAME["sleepstudy" if name == "missing" else name]
    return hd.lmer(case.formula, table(name), **case.options())


def compare(found, reference, rel=2e-5, columns=NUMBERS):
    """The columns that broom has, where it has a number."""
    assert found["term"].tolist() == reference["term"]
    if "group" in reference:
        assert found["group"].tolist() == reference["group"]
    if "level" in reference:
        assert [str(level) for level in found["level"]] == reference["level"]
    for theirs, ours in columns.items():
        if theirs in reference:
            expected = np.array(reference[theirs], dtype=float)
            known = ~np.isnan(expected)
            scale = np.max(np.abs(expected[known]), initial=0.0)
            values = found[ours].to_numpy()[known]
            np.testing.assert_allclose(values, expected[known], rtol=rel, atol=1e-7 * scale, err_msg=ours)


# -------------------------------------------------------------------------------------------------- against broom.mixed


@pytest.mark.parametrize("name", REFERENCE)
def test_fixed_effects_are_those_of_broom(name):
    p_values = {key: value for key, value in NUMBERS.items() if key != "p.value"}
    found = fit(name).tidy("fixed", conf_int=True)
    compare(found, REFERENCE[name]["fixed"], rel=2e-4, columns=p_values)
    np.testing.assert_allclose(found["p_value"], REFERENCE[name]["fixed"]["p.value"], rtol=0.02)


@pytest.mark.parametrize("name", [name for name in REFERENCE if "kenward_roger" in REFERENCE[name]])
def test_kenward_roger_tests_are_those_of_broom(name):
    found = fit(name).tidy("fixed", conf_int=True, ddf="kenward-roger")
    p_values = {key: value for key, value in NUMBERS.items() if key != "p.value"}
    compare(found, REFERENCE[name]["kenward_roger"], rel=2e-4, columns=p_values)


@pytest.mark.parametrize("scales", ["sdcor", "vcov"])
@pytest.mark.parametrize("name", REFERENCE)
def test_variance_parameters_are_those_of_broom_in_its_order(name, scales):
    found = fit(name).tidy("ran_pars", scales=scales)
    compare(found, REFERENCE[name][scales], rel=2e-4)
    assert (found["effect"] == "ran_pars").all()


@pytest.mark.parametrize("name", REFERENCE)
def test_random_effects_and_coefficients_are_those_of_broom(name):
    compare(fit(name).tidy("ran_vals", conf_int=True), REFERENCE[name]["ran_vals"], rel=1e-3)
    compare(fit(name).tidy("ran_coefs"), REFERENCE[name]["ran_coefs"], rel=1e-4)


@pytest.mark.parametrize("name", [name for name in REFERENCE if "profile" in REFERENCE[name]])
def test_profile_intervals_are_those_of_broom(name):
    """Of the variance parameters: for the fixed effects of lmerTest's fits broom's are always Wald's."""
    reference = {key: values[-len(fit(name).tidy("ran_pars")) :] for key, values in REFERENCE[name]["profile"].items()}
    compare(fit(name).tidy("ran_pars", conf_int=True, conf_method="profile"), reference, rel=1e-4)


@pytest.mark.parametrize("name", REFERENCE)
def test_glance_begins_with_the_columns_of_broom(name):
    found = fit(name).glance()
    reference = REFERENCE[name]["glance"]
    assert found.columns[: len(reference)].tolist() == [GLANCE[column] for column in reference]
    for theirs, (expected,) in reference.items():
        assert found[GLANCE[theirs]].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", REFERENCE)
def test_augment_has_the_columns_of_broom(name):
    reference = REFERENCE[name]["augment"]
    found = fit(name).augment().iloc[::7]
    dotted = [column for column in reference if column.startswith(".") and column != ".rownames"]
    assert [column for column in found.columns if column in dotted] == dotted
    for column in dotted:
        expected = np.array(reference[column], dtype=float)
        scale = np.max(np.abs(expected))
        np.testing.assert_allclose(found[column], expected, rtol=2e-4, atol=2e-5 * scale, err_msg=column)


# ------------------------------------------------------------------------------------------------------ laws of tidy


def test_tables_have_the_same_columns_whatever_is_asked_for():
    columns = ["effect", "group", "term", "estimate", "std_error", "statistic", "df", "p_value"]
    model = fit("sleepstudy")
    assert model.tidy().columns.tolist() == model.tidy("fixed").columns.tolist() == columns
    assert model.tidy(conf_int=True).columns.tolist() == [*columns, "conf_low", "conf_high"]
    with_level = [*columns[:2], "level", *columns[2:]]
    assert model.tidy(["ran_vals", "fixed"]).columns.tolist() == with_level
    assert model.tidy(["ran_vals", "fixed"])["effect"].drop_duplicates().tolist() == ["ran_vals", "fixed"]


def test_standard_errors_of_variance_parameters_are_those_of_the_information():
    for scales in ("sdcor", "vcov"):
        found = fit("sleepstudy").tidy("ran_pars", scales=scales)
        own = fit("sleepstudy").variance_parameters(scale=scales).to_frame()
        assert sorted(found["std_error"]) == sorted(own["std_error"])
        assert found["std_error"].tolist() == own["std_error"].iloc[[0, 2, 1, 3]].tolist()


def test_parameters_at_the_boundary_have_no_standard_error():
    found = fit("dyestuff2_singular").tidy("ran_pars", conf_int=True)
    assert found["estimate"].iloc[0] == 0.0
    assert np.isnan(found["std_error"].iloc[0])
    assert found["std_error"].iloc[1] > 0


def test_wald_intervals_are_those_of_confint():
    model = fit("cake")
    for ddf in ("satterthwaite", "kenward-roger", "residual", "normal"):
        found = model.tidy("fixed", conf_int=True, level=0.9, ddf=ddf)
        own = model.confint(0.9, ddf=ddf)
        np.testing.assert_allclose(found[["conf_low", "conf_high"]], own)
    assert np.isinf(model.tidy("fixed", ddf="normal")["df"]).all()
    np.testing.assert_allclose(model.tidy("fixed", ddf=None, conf_int=True)[["conf_low", "conf_high"]], model.confint())
    assert model.tidy("fixed", ddf=None)[["df", "p_value"]].isna().all(axis=None)


def test_robust_covariances_reach_the_table_and_its_intervals():
    model = fit("sleepstudy")
    found = model.tidy("fixed", vcov="CR2", conf_int=True)
    np.testing.assert_allclose(found["std_error"] ** 2, np.diag(model.vcov(kind="CR2")))
    own = model.confint(ddf="satterthwaite", vcov="CR2")
    np.testing.assert_allclose(found[["conf_low", "conf_high"]], own)


def test_likelihood_intervals_are_those_of_confint():
    model = fit("sleepstudy")
    profile = model.confint(method="profile").to_numpy()
    found = model.tidy(conf_int=True, conf_method="profile")[["conf_low", "conf_high"]].to_numpy()
    np.testing.assert_allclose(found, profile[[4, 5, 0, 1, 2, 3]], rtol=1e-6)
    squares = model.tidy("ran_pars", conf_int=True, conf_method="profile", scales="vcov")
    np.testing.assert_allclose(squares["conf_low"].iloc[[0, 2, 3]], profile[[0, 2, 3], 0] ** 2, rtol=1e-6)
    assert np.isnan(squares["conf_low"].iloc[1])
    boot = model.tidy(conf_int=True, conf_method="boot", n=50, seed=1)
    own = model.confint(method="boot", n=50, seed=1).to_numpy()
    np.testing.assert_allclose(boot[["conf_low", "conf_high"]], own[[4, 5, 0, 1, 2, 3]])


def coefficient_errors(model):
    """Per term and effect the standard deviations of (beta + b) - (its estimate), by dense algebra."""
    _, x, terms, _ = parts(model)
    theta, sigma = model.optimum.theta, model.sigma
    v = covariance(model, theta, sigma)
    inverse = np.linalg.inv(v)
    gls = np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)
    adjusted = inverse @ (np.eye(len(v)) - x @ gls)
    found = []
    for term, own, lam in zip(model.design.terms, terms, relative_factors(theta, [t.size for t in terms]), strict=True):
        factor, psi = model.design.factors[term.factor], sigma**2 * lam @ lam.T
        deviations = np.empty((factor.n_levels, len(term.names)))
        for place, code in enumerate(factor.order):
            rows = (own.codes == code)[:, None] * own.columns @ psi  # Cov(y, b_g)
            projected = rows.T @ adjusted
            for k, name in enumerate(term.names):
                unit = np.array([float(model.design.x_names[i] == name) for i in model.kept])
                weights = unit @ gls + projected[k]  # the estimate is weights'y
                variance = weights @ v @ weights - 2 * weights @ rows[:, k] + psi[k, k]
                deviations[place, k] = np.sqrt(variance)
        found.append(deviations)
    return found


@pytest.mark.parametrize("name", ["sleepstudy", "weighted", "penicillin", "pastes_nested", "ratpup_slope", "missing"])
def test_standard_errors_of_coefficients_by_level_are_exact(name):
    model = fit(name)
    found = model.tidy("ran_coefs")
    for term, expected in zip(model.design.terms, coefficient_errors(model), strict=True):
        for k, effect in enumerate(term.names):
            rows = found[(found["group"] == term.group) & (found["term"] == effect)]
            np.testing.assert_allclose(rows["std_error"], expected[:, k], rtol=1e-6)


def test_standard_errors_of_coefficients_need_no_rows(tmp_path):
    model = fit("ratpup_slope")
    model.save(tmp_path / "fit")
    loaded = hd.load(tmp_path / "fit")
    own = model.tidy(["fixed", "ran_pars", "ran_vals", "ran_coefs"], conf_int=True)
    found = loaded.tidy(["fixed", "ran_pars", "ran_vals", "ran_coefs"], conf_int=True)
    pd.testing.assert_frame_equal(found, own, rtol=1e-6)
    with pytest.raises(hd.DataError, match="loaded without its rows"):
        loaded.augment()


def test_coefficients_that_do_not_vary_have_the_standard_error_of_the_fixed_effect():
    model = fit("sleepstudy_intercept")
    days = model.tidy("ran_coefs").query("term == 'Days'")
    np.testing.assert_allclose(days["std_error"], model.stderror["Days"])


def test_standard_errors_of_coefficients_do_not_depend_on_the_origin_of_predictors():
    data = table("sleepstudy").assign(Shifted=lambda d: d["Days"] + 1e6)
    far = hd.lmer("Reaction ~ Shifted + (1 | Subject)", data).tidy("ran_coefs").query("term == 'Shifted'")
    near = fit("sleepstudy_intercept").tidy("ran_coefs").query("term == 'Days'")
    np.testing.assert_allclose(far["std_error"], near["std_error"], rtol=1e-6)


def test_effects_without_fixed_effects_and_repeated_effects():
    data = table("sleepstudy")
    none = hd.lmer("Reaction ~ 0 + (1 | Subject)", data)
    assert len(none.tidy("fixed")) == 0
    assert none.tidy()["effect"].tolist() == ["ran_pars", "ran_pars"]
    np.testing.assert_allclose(none.tidy("ran_coefs")["std_error"], none.tidy("ran_vals")["std_error"])
    twice = hd.lmer("Reaction ~ Days + (1 | Subject) + (1 + Days | Subject)", data)
    found = twice.tidy("ran_coefs")
    assert found.query("term == '(Intercept)'")["std_error"].isna().all()
    assert found.query("term == 'Days'")["std_error"].notna().all()


def test_aliased_columns_are_left_out():
    data = table("sleepstudy").assign(Twice=lambda d: 2 * d["Days"])
    assert hd.lmer("Reaction ~ Days + Twice + (1 | Subject)", data).tidy("fixed")["term"].tolist() == [
        "(Intercept)",
        "Days",
    ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"effects": "random"}, "effects is 'random'; choose one of 'fixed', 'ran_pars'"),
        ({"effects": []}, "effects names nothing to show"),
        ({"effects": 3}, "effects is 3; choose one of"),
        ({"effects": ["fixed", None]}, "effects is None; choose one of"),
        ({"scales": "sd"}, "scales is 'sd'; choose one of 'sdcor', 'vcov'"),
        ({"conf_method": "Wald"}, "conf_method is 'Wald'; choose one of 'wald'"),
        ({"ddf": "kr"}, "ddf is 'kr'; choose one of"),
        ({"level": 95}, "level is 95; a confidence level lies between 0 and 1"),
    ],
)
def test_unknown_choices_are_refused(arguments, message):
    with pytest.raises(hd.DataError, match=message):
        fit("sleepstudy").tidy(**{"effects": "fixed"} | arguments)


def test_glance_adds_shares_of_variance_and_numbers_of_levels():
    model = fit("pastes_nested")
    found = model.glance()
    assert found["icc"].item() == model.icc().adjusted
    assert found["r2_conditional"].item() == model.r2().conditional
    assert found[["ngroups_cask:batch", "ngroups_batch"]].iloc[0].tolist() == [30, 10]


# --------------------------------------------------------------------------------------------------- laws of augment


def test_rows_of_a_fit_have_the_variables_of_the_formula():
    model = hd.lmer("log(Reaction) ~ poly(Days, 2) + (Days | Subject)", table("missing"))
    found = model.augment()
    columns = ["log(Reaction)", "poly(Days, 2)1", "poly(Days, 2)2", "Days", "Subject"]
    assert found.columns[:5].tolist() == columns
    assert found.index.equals(model.index)
    assert len(found) == 178
    nested = fit("pastes_nested").augment()
    assert nested.columns[:3].tolist() == ["strength", "cask", "batch"]
    pd.testing.assert_frame_equal(
        nested[["batch", "cask"]], table("pastes_nested")[["batch", "cask"]], check_dtype=False
    )


def test_standardised_residuals_and_cooks_distances_follow_their_formulas():
    model = fit("weighted")
    found = model.augment()
    hat = model.leverage.to_numpy()
    np.testing.assert_allclose(found[".std_resid"], model.residuals("scaled") / np.sqrt(1 - hat))
    np.testing.assert_allclose(found[".std_resid"], model.residuals("standardized"))
    np.testing.assert_allclose(found[".cooksd"], found[".std_resid"] ** 2 * hat / (1 - hat) / 2)
    np.testing.assert_allclose(found[".resid"], model.resid)
    np.testing.assert_allclose(found[".wtres"], model.residuals("pearson"))
    np.testing.assert_allclose(found[".fixed"] + model.residuals("marginal"), model.design.y)


def test_columns_are_appended_to_a_table_with_an_index_of_its_own():
    data = table("missing").assign(extra=range(180))
    data.index = [f"row {i}" for i in range(180)]
    model = hd.lmer("Reaction ~ Days + (Days | Subject)", data)
    found = model.augment(data)
    pd.testing.assert_frame_equal(found[data.columns], data)
    assert found.index[found[".fitted"].isna()].tolist() == ["row 2", "row 99"]
    used = model.augment()
    pd.testing.assert_frame_equal(found[used.columns[3:]].dropna(), used[used.columns[3:]])
    backwards = model.augment(data.iloc[::-1])
    pd.testing.assert_frame_equal(backwards.iloc[::-1], found)


def test_rows_left_out_by_subset_or_weight_are_nan():
    data = table("sleepstudy").assign(weight=lambda d: (d["Days"] != 4).astype(float))
    model = hd.lmer("Reaction ~ Days + (1 | Subject)", data, weights="weight", subset="Days > 1")
    found = model.augment(data)
    assert (found[".hat"].isna() == ((data["Days"] <= 1) | (data["Days"] == 4))).all()


def test_the_table_comes_back_in_its_own_type():
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    plain = table("missing").astype({"Subject": int}).reset_index(drop=True)
    expected = fit("missing").augment()[".hat"].to_numpy()
    tables = {
        polars.DataFrame: polars.from_pandas(plain),
        pyarrow.Table: pyarrow.Table.from_pandas(plain),
        dict: {name: values.to_numpy() for name, values in plain.items()},
        pd.DataFrame: plain,
    }
    for kind, data in tables.items():
        model = hd.lmer("Reaction ~ Days + (Days | Subject)", data)
        found = model.augment(data)
        again = model.augment(found)
        for result in (found, again):
            assert isinstance(result, kind)
            hat = np.asarray(result[".hat"])
            np.testing.assert_allclose(hat[~np.isnan(hat)], expected, rtol=1e-6)
            assert np.flatnonzero(np.isnan(hat)).tolist() == [2, 99]


def test_a_refit_can_be_appended_too():
    model = fit("sleepstudy")
    again = model.refit(model.design.y[::-1])
    np.testing.assert_allclose(again.augment(table("sleepstudy"))[".fitted"], again.fitted)


def test_another_table_is_refused():
    data = table("missing")
    model = fit("missing")
    with pytest.raises(hd.DataError, match="The row labels of data are not those of the table of this fit: 89 of its"):
        model.augment(data.head(90).drop(index=[2]))
    with pytest.raises(hd.DataError, match=r"Column 'Days' of data is not what this fit was given.* in row 0"):
        model.augment(data.assign(Days=data["Days"] + 1))
    with pytest.raises(hd.DataError, match="Column 'Subject' of data"):
        model.augment(data.assign(Subject=data["Subject"].to_numpy()[::-1]))
    with pytest.raises(hd.DataError, match="Column 'Days' of data"):
        model.augment(data.dropna().reset_index(drop=True).reindex(range(180), method="ffill"))
    with pytest.raises(hd.DataError, match="data has 178 rows; the table of this fit had 180 rows, 178 of which"):
        model.augment({name: values.to_numpy() for name, values in data.dropna().items()})
    with pytest.raises(hd.DataError, match="data"):
        model.augment(3)
    repeated = data.set_axis([0] * 180)
    with pytest.raises(hd.DataError, match="row labels"):
        model.augment(repeated)
