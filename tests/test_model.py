"""The fitted model: what it holds, under lme4's names and under statsmodels', at the estimate and at any theta."""

import math

import numpy as np
import pandas as pd
import pytest

import henderson
import oracle
from cases import BY_NAME

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def data():
    return BY_NAME["sleepstudy"].data()


@pytest.fixture(scope="module")
def fit(data):
    return henderson.lmer(FORMULA, data)


@pytest.fixture(scope="module")
def ml(data):
    return henderson.lmer(FORMULA, data, reml=False)


def terms_of(fit):
    design = fit.design
    n = len(design.y)
    return [
        oracle.Term(
            design.factors[term.factor].codes, np.column_stack([np.ones(n) if c is None else c for c in term.columns])
        )
        for term in design.terms
    ]


def dense(fit):
    design = fit.design
    y = design.y if design.offset is None else design.y - design.offset
    x = design.x_matrix()[:, fit.kept]
    return oracle.evaluate(y, x, terms_of(fit), fit.theta.to_numpy(), reml=fit.is_reml, weights=design.weights)


@pytest.mark.parametrize("name", ["sleepstudy", "sleepstudy_ml", "weighted", "offset", "pastes_nested", "ratpup_slope"])
def test_what_is_reported_is_the_dense_oracle_at_theta(name):
    case = BY_NAME[name]
    result = henderson.lmer(case.formula, case.data(), **case.options())
    want = dense(result)
    assert result.criterion == pytest.approx(want.criterion, rel=1e-10)
    assert result.sigma == pytest.approx(want.sigma, rel=1e-7)
    np.testing.assert_allclose(result.fixef, want.beta, rtol=1e-6)
    np.testing.assert_allclose(result.vcov, want.vcov, rtol=1e-6)
    offset = 0.0 if result.design.offset is None else result.design.offset
    np.testing.assert_allclose(result.fitted - offset, want.fitted, rtol=1e-6)
    for ours, theirs in zip(result.conditional_variance_arrays, want.conditional_variances, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-8)


# ---------------------------------------------------------------------------------------- what was fitted, likelihood


def test_the_fit_knows_what_was_fitted(fit, data):
    assert fit.formula == FORMULA
    assert fit.nobs == 180
    assert fit.ngroups == {"Subject": 18}
    assert fit.is_reml
    assert fit.converged
    assert not fit.is_singular
    assert fit.aliased == ()
    assert fit.index.equals(data.index)


def test_likelihoods_and_information_criteria_follow_from_the_criterion(fit, ml):
    for result in (fit, ml):
        assert result.loglik == -result.criterion / 2
        assert result.n_parameters == 6
        assert result.df_resid == 174
        assert type(result.df_resid) is int
        assert result.aic == pytest.approx(result.criterion + 12)
        assert result.bic == pytest.approx(result.criterion + 6 * math.log(180))


def test_deviance_and_reml_criterion_are_both_available(fit, ml):
    assert fit.reml_criterion == pytest.approx(fit.criterion, rel=1e-12)
    assert ml.deviance == pytest.approx(ml.criterion, rel=1e-12)
    assert ml.deviance < fit.deviance
    assert fit.reml_criterion < ml.reml_criterion


def test_the_criterion_can_be_evaluated_anywhere(fit):
    at_zero = fit.criterion_at([0.0, 0.0, 0.0])
    x, y = fit.design.x_matrix(), fit.design.y
    least_squares = oracle.evaluate(y, x, [], [], reml=True)
    assert at_zero == pytest.approx(least_squares.criterion, rel=1e-12)
    assert fit.criterion_at() == pytest.approx(fit.criterion, rel=1e-12)


def test_theta_has_the_names_and_order_of_lme4(fit, data):
    assert list(fit.theta.index) == ["Subject.(Intercept)", "Subject.Days.(Intercept)", "Subject.Days"]
    three = henderson.lmer("Reaction ~ 1 + (Days + I(Days^2) | Subject)", data)
    assert list(three.theta.index)[2:5] == ["Subject.I(Days^2).(Intercept)", "Subject.Days", "Subject.I(Days^2).Days"]


def test_the_optimum_proves_itself(fit):
    optimum = fit.optimum
    assert optimum.status == "converged"
    assert optimum.certificate.holds
    assert math.isnan(optimum.certificate.curvature)
    assert "certified optimum" in str(optimum)
    assert optimum.evaluations >= 1
    trace = optimum.trace
    assert list(trace.columns) == ["criterion", "decrement", "radius", "theta1", "theta2", "theta3"]
    assert trace.index.name == "evaluation"
    assert len(trace) == optimum.evaluations
    assert trace["criterion"].min() == pytest.approx(fit.criterion, rel=1e-10)


# ------------------------------------------------------------------------------------------------------ fixed effects


def test_fixed_effects_are_labelled(fit):
    assert list(fit.fixef.index) == ["(Intercept)", "Days"]
    assert list(fit.vcov.index) == list(fit.vcov.columns) == ["(Intercept)", "Days"]
    np.testing.assert_allclose(fit.stderror**2, np.diag(fit.vcov))
    np.testing.assert_allclose(fit.coefficients["std_error"], fit.stderror)


def test_wald_intervals_are_those_of_lme4(fit):
    interval = fit.confint()
    assert list(interval.columns) == ["2.5 %", "97.5 %"]
    np.testing.assert_allclose(interval, [[238.029141, 264.78107], [7.437594, 13.49698]], rtol=2e-6)
    narrow = fit.confint(level=0.9)
    assert list(narrow.columns) == ["5 %", "95 %"]
    assert (narrow["5 %"] > interval["2.5 %"]).all()


def test_names_of_statsmodels_answer(fit):
    pd.testing.assert_series_equal(fit.params, fit.fixef)
    pd.testing.assert_series_equal(fit.bse, fit.stderror)
    np.testing.assert_allclose(fit.tvalues, fit.fixef / fit.stderror)
    assert fit.llf == fit.loglik
    pd.testing.assert_frame_equal(fit.cov_params(), fit.vcov)
    pd.testing.assert_series_equal(fit.fittedvalues, fit.fitted)
    interval = fit.conf_int(alpha=0.1)
    assert list(interval.columns) == [0, 1]
    np.testing.assert_allclose(interval, fit.confint(level=0.9))


def test_aliased_columns_are_dropped_and_nan_in_the_full_table(data, fit):
    aliased = henderson.lmer("Reaction ~ Days + I(2 * Days) + (Days | Subject)", data)
    assert aliased.aliased == ("I(2 * Days)",)
    assert list(aliased.fixef.index) == ["(Intercept)", "Days"]
    assert aliased.coefficients.loc["I(2 * Days)"].isna().all()
    assert list(aliased.coefficients.index) == ["(Intercept)", "Days", "I(2 * Days)"]
    assert aliased.criterion == pytest.approx(fit.criterion, rel=1e-10)
    assert aliased.n_parameters == fit.n_parameters
    assert list(aliased.model_matrix().columns) == ["(Intercept)", "Days", "I(2 * Days)"]
    np.testing.assert_allclose(aliased.fitted, fit.fitted, rtol=1e-6)


# ---------------------------------------------------------------------------------------- rows and matrices


def test_fitted_values_and_residuals_add_up_to_the_response(fit, data):
    np.testing.assert_allclose(fit.fitted + fit.resid, data["Reaction"])
    pd.testing.assert_series_equal(fit.resid, fit.residuals("response"))


def test_kinds_of_residuals_are_related():
    case = BY_NAME["weighted"]
    weighted = henderson.lmer(case.formula, case.data(), **case.options())
    plain, root = weighted.resid, np.sqrt(case.data()["w"])
    np.testing.assert_allclose(weighted.residuals("pearson"), plain * root)
    np.testing.assert_allclose(weighted.residuals("scaled"), plain * root / weighted.sigma)
    marginal = case.data()["Reaction"] - weighted.model_matrix() @ weighted.fixef
    np.testing.assert_allclose(weighted.residuals("marginal"), marginal)


def test_offset_is_part_of_the_fitted_values_only():
    case = BY_NAME["offset"]
    with_offset = henderson.lmer(case.formula, case.data(), offset="off")
    shifted = henderson.lmer("I(Reaction - off) ~ Days + (1 | Subject)", case.data())
    np.testing.assert_allclose(with_offset.fixef, shifted.fixef, rtol=1e-8)
    np.testing.assert_allclose(with_offset.fitted, shifted.fitted + case.data()["off"], rtol=1e-8)
    np.testing.assert_allclose(with_offset.resid, shifted.resid, atol=1e-6)
    np.testing.assert_allclose(with_offset.residuals("marginal"), shifted.residuals("marginal"), atol=1e-6)


def test_rows_keep_the_index_of_the_table(data):
    indexed = data.set_index(pd.Index([f"row{i}" for i in range(180)])).drop("row5")
    indexed.loc["row7", "Reaction"] = np.nan
    result = henderson.lmer(FORMULA, indexed)
    assert result.nobs == 178
    assert result.fitted.index[4:7].tolist() == ["row4", "row6", "row8"]
    assert result.resid.index.equals(result.model_matrix().index)


def test_matrices_rebuild_the_fit(data):
    case = BY_NAME["pastes_nested"]
    pastes = henderson.lmer(case.formula, case.data())
    days = henderson.lmer("Reaction ~ Days + (Days || Subject)", data)
    for result in (pastes, henderson.lmer(FORMULA, data)):
        b = np.concatenate([table.to_numpy().ravel() for table in result.ranef.values()])
        np.testing.assert_allclose(result.model_matrix() @ result.fixef + result.Z @ b, result.fitted, rtol=1e-9)
    for result in (pastes, days):
        assert result.Z.shape == (result.nobs, result.Lambda.shape[0])
        z, lam = result.Z.toarray(), result.Lambda.toarray()
        v = z @ lam @ lam.T @ z.T + np.eye(result.nobs)
        x = result.model_matrix().to_numpy()
        np.testing.assert_allclose(result.vcov, result.sigma**2 * np.linalg.inv(x.T @ np.linalg.inv(v) @ x), rtol=1e-7)
    assert pastes.Lambda.nnz == 40


# ------------------------------------------------------------------------------------------------- other fits, options


def test_refit_is_a_fresh_fit_of_the_new_response(fit, data):
    other = data["Reaction"].to_numpy()[::-1]
    again = fit.refit(other)
    fresh = henderson.lmer(FORMULA, data.assign(Reaction=other))
    assert again.criterion == pytest.approx(fresh.criterion, rel=1e-12)
    pd.testing.assert_series_equal(again.fixef, fresh.fixef, rtol=1e-6)
    pd.testing.assert_series_equal(again.resid, fresh.resid, rtol=1e-5)
    assert again.formula == fit.formula


def test_a_refit_before_results_are_asked_for_leaves_them_right(data):
    first = henderson.lmer(FORMULA, data)
    second = first.refit(data["Reaction"] * 2)
    np.testing.assert_allclose(second.fixef, 2 * first.fixef, rtol=1e-6)
    np.testing.assert_allclose(second.sigma, 2 * first.sigma, rtol=1e-5)


def test_refit_subtracts_the_offset_again():
    case = BY_NAME["offset"]
    first = henderson.lmer(case.formula, case.data(), offset="off")
    again = first.refit(case.data()["Reaction"])
    pd.testing.assert_series_equal(first.fixef, again.fixef)
    pd.testing.assert_series_equal(first.resid, again.resid)


def test_start_is_taken(fit, data):
    again = henderson.lmer(FORMULA, data, start=fit.theta)
    assert again.optimum.evaluations <= fit.optimum.evaluations
    assert again.criterion == pytest.approx(fit.criterion, rel=1e-12)
    np.testing.assert_allclose(again.optimum.trace.iloc[0, 3:], fit.theta, rtol=1e-6, atol=1e-9)


def test_callback_may_stop_the_fit_without_a_warning(data):
    stopped = henderson.lmer(FORMULA, data, callback=lambda *state: state[2] == 2)
    assert not stopped.converged
    assert stopped.optimum.status == "stopped by callback"
    assert "stopped by callback" in str(stopped)


def test_errors_in_a_callback_reach_the_caller(data):
    def fail(*_):
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        henderson.lmer(FORMULA, data, callback=fail)


def test_looser_tolerance_needs_no_more_evaluations(fit, data):
    loose = henderson.lmer(FORMULA, data, tolerance=1e-2)
    assert loose.converged
    assert loose.optimum.evaluations <= fit.optimum.evaluations
    assert loose.criterion <= fit.criterion + 2e-2


def test_threads_do_not_change_the_result(fit, data):
    for threads in (1, 2):
        assert henderson.lmer(FORMULA, data, threads=threads).criterion == pytest.approx(fit.criterion, rel=1e-13)


def test_progress_is_shown_on_stderr(data, capsys):
    seen = []
    henderson.lmer(FORMULA, data, progress=True, callback=lambda *state: seen.append(state))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("\r[")
    assert "criterion 1743.628272" in shown.err
    assert shown.err.endswith("\n")
    assert len(seen) == shown.err.count("\r")


def test_functions_of_the_caller_can_be_used(data):
    result = henderson.lmer("Reaction ~ double(Days) + (1 | Subject)", data, context={"double": lambda x: 2 * x})
    plain = henderson.lmer("Reaction ~ Days + (1 | Subject)", data)
    assert result.fixef["double(Days)"] == pytest.approx(plain.fixef["Days"] / 2)


def test_badly_scaled_predictors_change_nothing(fit, data):
    scaled = henderson.lmer("Reaction ~ x + (x | Subject)", data.assign(x=data["Days"] * 1e6 + 1e9))
    assert scaled.converged
    assert scaled.fixef["x"] * 1e6 == pytest.approx(fit.fixef["Days"], rel=1e-5)
    assert scaled.criterion == pytest.approx(fit.criterion + 2 * math.log(1e6), abs=1e-6)
    np.testing.assert_allclose(scaled.fitted, fit.fitted, rtol=1e-6)


def test_tables_of_any_kind_give_the_same_fit(fit, data):
    pl = pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    plain = data.assign(Subject=data["Subject"].astype(int))
    tables = [
        pl.DataFrame({name: plain[name].to_list() for name in plain}),
        pa.table({name: plain[name].to_numpy() for name in plain}),
        {name: plain[name].to_numpy() for name in plain},
    ]
    for table in tables:
        result = henderson.lmer(FORMULA, table)
        assert result.criterion == pytest.approx(fit.criterion, rel=1e-12)
        assert result.fitted.index.equals(pd.RangeIndex(180))


def test_public_names_are_found():
    for name in henderson.__all__:
        assert getattr(henderson, name) is not None
    assert set(henderson.__all__) <= set(dir(henderson))
    with pytest.raises(AttributeError, match="no attribute 'lmre'"):
        _ = henderson.lmre
