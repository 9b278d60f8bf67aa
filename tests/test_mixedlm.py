"""`mixedlm` gives statsmodels' names; the numbers are compared with statsmodels itself."""

import pickle

import numpy as np
import pytest

import henderson as hd
from henderson import DataError

pytest.importorskip("statsmodels")

from mixedlm_cases import CASES, fit, quietly, table, their_model, theirs, wide_table

every_case = pytest.mark.parametrize("name", CASES)


def theta_of(model, result):
    """Theirs in our order: relative Cholesky factors, term after term."""
    found = []
    first = 1 if model.k_re else 0  # the part of the formula that is the first component
    for term in model.design.terms:
        if term.part < first:
            names = [model.cov_re.index[0] if name == "(Intercept)" else name for name in term.names]
            covariance = result.cov_re.loc[names, names].to_numpy() / result.scale
            found.append(np.linalg.cholesky(covariance).T[np.triu_indices(len(names))])
        else:
            found.append([np.sqrt(result.vcomp[term.part - first] / result.scale)])
    return np.concatenate(found)


def at_their_theta(name):
    """Our results where theirs are: the search is stopped where it starts."""
    case, result = CASES[name], theirs(name)
    theta = theta_of(fit(case), result)
    model = fit(case, start=theta, callback=lambda *_: True)
    assert model.optimum.theta == pytest.approx(theta, rel=1e-12)
    return model, result


# ------------------------------------------------------------------------------------------- against statsmodels itself


@every_case
def test_the_likelihood_is_theirs_and_the_optimum_theirs_or_better(name):
    case, result = CASES[name], theirs(name)
    model = fit(case)
    at_theirs = model.criterion_at(theta_of(model, result))
    assert at_theirs == pytest.approx(-2 * result.llf, abs=1e-8)
    assert model.criterion <= at_theirs + 1e-6
    assert model.converged
    assert (at_theirs - model.criterion < 1e-4) == case.found_by_statsmodels
    assert (model.reml, model.method) == (case.reml, result.method)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.found_by_statsmodels])
def test_estimates_are_theirs_where_they_converged(name):
    model, result = fit(CASES[name]), theirs(name)
    assert model.fe_params.to_numpy() == pytest.approx(result.fe_params.to_numpy(), abs=1e-3 * model.bse_fe.min())
    assert model.scale == pytest.approx(result.scale, rel=1e-3)
    assert model.vcomp == pytest.approx(result.vcomp, rel=5e-3)
    assert model.cov_re.to_numpy() == pytest.approx(np.asarray(result.cov_re), rel=5e-3)
    assert (model.k_fe, model.k_re, model.k_re2, model.k_vc) == (result.k_fe, result.k_re, result.k_re2, result.k_vc)
    assert model.llf == pytest.approx(result.llf, abs=1e-6)
    if not model.reml:
        assert (model.aic, model.bic) == pytest.approx((result.aic, result.bic), abs=1e-6)


@every_case
def test_what_follows_from_theta_is_theirs(name):
    model, result = at_their_theta(name)
    close = {"rtol": 1e-6, "atol": 1e-6 * result.scale**0.5}
    np.testing.assert_allclose(model.fe_params, result.fe_params, **close)
    np.testing.assert_allclose(model.scale, result.scale, rtol=1e-8)
    np.testing.assert_allclose(model.fittedvalues, result.fittedvalues, **close)
    np.testing.assert_allclose(model.resid, result.resid, **close)
    effects, covariances = result.random_effects, result.random_effects_cov
    assert list(model.random_effects) == list(effects) == list(model.random_effects_cov)
    own, own_covariances = model.random_effects, model.random_effects_cov
    names = {group: list(values.index) for group, values in own.items()}
    assert {group: sorted(labels) for group, labels in names.items()} == {
        group: sorted(values.index) for group, values in effects.items()
    }
    assert all(list(own_covariances[group].columns) == names[group] for group in names)
    expected = [effects[group].loc[names[group]].to_numpy() for group in names]
    np.testing.assert_allclose(np.concatenate(list(own.values())), np.concatenate(expected), **close)
    expected = [covariances[group].loc[names[group], names[group]].to_numpy().ravel() for group in names]
    found = [own_covariances[group].to_numpy().ravel() for group in names]
    size = np.abs(np.concatenate(expected)).max()
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected), rtol=1e-5, atol=1e-8 * size)


@every_case
def test_names_and_columns_are_theirs(name):
    model, result = fit(CASES[name]), theirs(name)
    assert model.fe_params.index.tolist() == result.fe_params.index.tolist() == model.model.exog_names
    assert model.cov_re.index.tolist() == list(result.model.data.exog_re_names) == model.cov_re.columns.tolist()
    assert model.variance_frame().index.tolist() == result.model.data.param_names[result.k_fe :]
    assert list(model.vcomp_names) == result.model.exog_vc.names
    np.testing.assert_allclose(model.model.exog, result.model.exog, rtol=1e-9, atol=1e-9)
    assert np.array_equal(model.model.endog, result.model.endog)
    assert model.model.endog_names == result.model.endog_names
    assert (model.model.group_labels, model.model.n_groups) == (result.model.group_labels, result.model.n_groups)
    assert np.array_equal(model.model.groups.astype(str), np.asarray(result.model.groups).astype(str))
    assert model.nobs == result.nobs == model.model.nobs


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + f",
        "y ~ 0 + f + x",
        "y ~ x:f + f + k",
        "y ~ f * C(k) + x",
        "y ~ (x + f) ** 2 - 1",
        "y ~ C(k, Treatment(reference=2)) + C(f, Treatment('mid'))",
        "y ~ C(f, Sum) + C(k, Helmert)",
        "y ~ C(k, Poly) + C(f, Diff)",
        "y ~ C(f, levels=['mid', 'low', 'high'])",
        "y ~ C(f, Sum, levels=['mid', 'low', 'high'])",
        "y ~ o * x",
        "y ~ C(o)",
        "y ~ flag + I(x > 0)",
        "y ~ np.log(Q('my z')) + I(x ** 2) + I(x*k)",
        "y ~ scale(x) + center(k) + standardize(Q('my z'))",
        "y ~ bs(x, df=5) + f",
        "y ~ bs(x, df=4, degree=2):f",
        "np.exp(y) ~ x / f",
        "I(y**2) ~ x",
    ],
)
def test_formulas_of_patsy_give_its_columns_in_its_order_by_its_names(formula):
    data = wide_table()
    expected = their_model(formula, data, groups="g", re_formula="1 + C(k):x + x")
    model = hd.mixedlm(formula, data, groups="g", re_formula="1 + C(k):x + x", max_evaluations=200).model
    assert model.exog_names == expected.exog_names
    np.testing.assert_allclose(model.exog, expected.exog, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(model.endog, expected.endog)
    assert model.endog_names == expected.endog_names
    assert model.exog_re_names == list(expected.data.exog_re_names)


# ------------------------------------------------------------------------------------------ defects that we do not have


def restricted_log_likelihood(parameters, y, x):
    """Of variances and covariance of intercept and slope, and of the residual variance; a row of y for each subject."""
    intercept, covariance, slope, residual = parameters
    v = x @ np.array([[intercept, covariance], [covariance, slope]]) @ x.T + residual * np.eye(len(x))
    inverse = np.linalg.inv(v)
    information = len(y) * x.T @ inverse @ x
    rest = y - x @ np.linalg.solve(information, x.T @ inverse @ y.sum(axis=0))
    log_det = len(y) * np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1]
    return -0.5 * (log_det + np.einsum("si,ij,sj", rest, inverse, rest))


def hessian(function, at, steps):
    size = len(at)
    found = np.empty((size, size))
    shifts = np.diag(steps)
    for i in range(size):
        for j in range(i + 1):
            corners = [function(at + a * shifts[i] + b * shifts[j]) * a * b for a in (1, -1) for b in (1, -1)]
            found[i, j] = found[j, i] = sum(corners) / (4 * steps[i] * steps[j])
    return found


def test_standard_errors_of_variances_are_those_of_the_likelihood():
    """288.8 for the variance of the intercept, where statsmodels has 11.9 (the root of the scale too small)."""
    model = fit(CASES["sleepstudy"])
    y = table("sleepstudy").pivot_table(index="Subject", columns="Days", values="Reaction", observed=True)
    x = np.column_stack([np.ones(10), y.columns])
    at = np.array([*model.variance_frame()["estimate"], model.scale])

    def likelihood(parameters):
        return restricted_log_likelihood(parameters, y.to_numpy(), x)

    expected = np.sqrt(np.diag(np.linalg.inv(-hessian(likelihood, at, 0.01 * np.abs(at)))))
    assert model.bse_re.to_numpy() == pytest.approx(expected[:3], rel=2e-3)
    assert model.bse_re["Subject Var"] == pytest.approx(288.8, abs=0.05)
    their_error = theirs("sleepstudy").bse_re["Subject Var"]
    assert their_error == pytest.approx(11.9, abs=0.05), "no longer so: docs/coming-from-statsmodels.md names it"


def test_params_and_their_kin_are_of_the_fixed_effects_only():
    model, result = fit(CASES["sleepstudy"]), theirs("sleepstudy")
    names = ["Intercept", "Days"]
    for values in (model.params, model.bse, model.bse_fe, model.tvalues, model.pvalues, model.conf_int()):
        assert values.index.tolist() == names
    assert result.params.index.tolist() == [*names, "Subject Var", "Subject x Days Cov", "Days Var"]
    assert model.bse.to_numpy() == pytest.approx(result.bse_fe.to_numpy(), rel=1e-4)
    assert np.sqrt(np.diag(model.cov_params())) == pytest.approx(model.bse.to_numpy())
    assert model.normalized_cov_params * model.scale == pytest.approx(model.cov_params().to_numpy())


def test_predictions_have_the_random_effects_unless_told_otherwise():
    model, result = fit(CASES["sleepstudy"]), theirs("sleepstudy")
    data = table("sleepstudy")
    assert model.predict(exog=data).to_numpy() == pytest.approx(model.fittedvalues.to_numpy())
    assert model.predict(data).to_numpy() == pytest.approx(model.fittedvalues.to_numpy())
    their_prediction = np.asarray(quietly(result.predict, data))
    assert model.predict(data, re=None).to_numpy() == pytest.approx(their_prediction)
    assert np.abs(their_prediction - result.fittedvalues).max() > 100  # for the rows that the model was fitted to


def test_tests_are_t_tests():
    model, result = fit(CASES["sleepstudy"]), theirs("sleepstudy")
    assert model.pvalues["Days"] == pytest.approx(3.26e-6, rel=1e-2)
    assert result.pvalues["Days"] < 1e-10  # from the normal distribution, with 18 subjects
    assert model.conf_int(0.1).to_numpy() == pytest.approx(model.confint(0.9, ddf="satterthwaite").to_numpy())
    assert model.t_test([0, 1]).tests.df == pytest.approx([17.0])
    normal = model.t_test(np.eye(2), use_t=False).to_frame()["p_value"]
    assert normal.to_numpy() == pytest.approx(result.pvalues[:2].to_numpy(), rel=1e-3)
    assert model.f_test(np.eye(2)).to_frame().equals(model.wald_test(np.eye(2)).to_frame())
    assert model.use_t


def test_restrictions_are_in_the_order_of_fe_params():
    model = hd.mixedlm("y ~ x + f", wide_table(), groups="g")
    assert model.fe_params.index.tolist() == ["Intercept", "f[T.low]", "f[T.mid]", "x"]
    assert model.fixef.index.tolist() == ["(Intercept)", "x", "flow", "fmid"]
    found = model.t_test(np.eye(4)).tests
    assert found.estimate == pytest.approx(model.fe_params.to_numpy())
    assert found.std_error == pytest.approx(model.bse.to_numpy())
    assert found.p_value == pytest.approx(model.pvalues.to_numpy())
    with pytest.raises(DataError, match="they need 4 columns, in the order of fe_params: Intercept, f"):
        model.t_test([0, 1])


def test_dropped_columns_have_no_names():
    data = wide_table().assign(twice=lambda d: 2 * d["x"])
    model = hd.mixedlm("y ~ x + f + twice", data, groups="g")
    assert model.fe_params.index.tolist() == ["Intercept", "f[T.low]", "f[T.mid]", "x"]
    assert model.cov_params().shape == (4, 4)
    assert model.aliased == ("twice",)


@pytest.mark.parametrize("shift", [50, 2000])
def test_the_optimum_does_not_depend_on_the_origin_of_a_predictor(shift):
    """statsmodels 0.15 ends 27 above it at 50, with `converged` true, and 144 at 2000."""
    data = table("sleepstudy").assign(day=lambda d: d["Days"] + shift)
    model = hd.mixedlm("Reaction ~ day", data, groups="Subject", re_formula="~ day")
    assert model.criterion == pytest.approx(fit(CASES["sleepstudy"]).criterion, abs=1e-6)
    result = quietly(their_model("Reaction ~ day", data, groups="Subject", re_formula="~ day").fit)
    assert model.criterion <= -2 * result.llf + 1e-6


def test_there_is_an_aic_for_reml():
    model, result = fit(CASES["sleepstudy"]), theirs("sleepstudy")
    assert np.isnan(result.aic)
    assert model.aic == pytest.approx(-2 * result.llf + 2 * 6)


def test_a_variance_of_zero_is_a_result():
    data = hd.datasets.load_dyestuff2()
    model = hd.mixedlm("Yield ~ 1", data, groups="Batch")
    assert model.converged
    assert model.cov_re.iloc[0, 0] == 0
    assert np.isnan(model.bse_re["Batch Var"])
    assert all(own["Batch"] == 0 for own in model.random_effects.values())


# ------------------------------------------------------------------------------------------ everything else works too


def test_it_is_a_model_like_any_other():
    model = fit(CASES["sleepstudy"])
    same = hd.lmer("Reaction ~ Days + (Days | Subject)", table("sleepstudy"))
    assert isinstance(model, hd.LinearMixedModel)
    assert model.summary().to_text() == same.summary().to_text()
    assert model.anova(ddf="kenward-roger").to_frame().equals(same.anova(ddf="kenward-roger").to_frame())
    assert str(model.ranova()) == str(same.ranova())
    assert model.refit(2 * model.design.y).cov_re.to_numpy() == pytest.approx(4 * model.cov_re.to_numpy(), rel=1e-5)
    assert model.update(". ~ . - Days").fixef.index.tolist() == ["(Intercept)"]
    assert model.cov_re_unscaled.to_numpy() * model.scale == pytest.approx(model.cov_re.to_numpy())


def test_it_can_be_copied_and_saved(tmp_path):
    model = fit(CASES["pastes"])
    again = pickle.loads(pickle.dumps(model))
    assert again.vcomp == pytest.approx(model.vcomp)
    assert again.random_effects["A"].equals(model.random_effects["A"])
    model.save(tmp_path / "fit.henderson")
    assert hd.load(tmp_path / "fit.henderson").fixef.equals(model.fixef)


def test_another_formula_has_no_structure_of_statsmodels():
    model = hd.lmer("Reaction ~ Days + (1 | Subject)", table("sleepstudy"))
    assert not hasattr(model, "pvalues")
    model.__class__ = hd.MixedLMResults  # as fits of other formulas to the same rows come about, inside of tests
    assert model.fe_params.index.tolist() == ["Intercept", "Days"]
    with pytest.raises(AttributeError, match="was not made by mixedlm"):
        _ = model.vcomp


def test_maketables_takes_it_for_a_result_of_statsmodels():
    """It has pvalues; fits of lmer have not, and get the longer table with groups and variances."""
    maketables = pytest.importorskip("maketables")
    text = str(maketables.ETable([fit(CASES["sleepstudy"])]).df)
    assert "10.467" in text
    assert "(1.546)" in text
    assert "180" in text


def test_tools_that_read_results_of_statsmodels_read_it():
    """summary_col looks for params, bse, pvalues and model.endog_names."""
    from statsmodels.iolib.summary2 import summary_params

    model = fit(CASES["sleepstudy"])
    found = quietly(summary_params, (model, *_columns(model)))
    assert found.loc["Days"].iloc[0] == pytest.approx(10.467, abs=1e-3)


def _columns(model):
    return model.params, model.bse, model.tvalues, model.pvalues, model.conf_int()
