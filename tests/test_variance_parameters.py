"""Standard errors of variance parameters; intraclass correlations, R², design effects."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from henderson import theta
from model_cases import column, fitted, name, references, table
from oracle import Term, relative_factors

SCALES = ["vcov", "sdcor", "theta"]
SLOPE = "Reaction ~ Days + (Days | Subject)"


def sleep(formula=SLOPE, **keywords):
    return fitted({"data": "sleepstudy"} | keywords, formula)


# ------------------------------------------------------------------------------------------------------ standard errors


def test_standard_errors_of_sleepstudy():
    found = sleep().variance_parameters().to_frame()
    assert found["grp"].tolist() == ["Subject", "Subject", "Subject", "Residual"]
    assert found["var1"].tolist() == ["(Intercept)", "Days", "(Intercept)", None]
    assert found["var2"].tolist() == [None, None, "Days", None]
    assert found["std_error"].round(1).tolist() == [288.8, 14.8, 46.7, 77.2]


@pytest.mark.parametrize("scale", ["vcov", "sdcor"])
@pytest.mark.parametrize("formula", [SLOPE, "Reaction ~ Days + (Days || Subject)"])
def test_estimates_are_those_of_varcorr(formula, scale):
    fit = sleep(formula)
    ours, wanted = fit.variance_parameters(scale=scale).to_frame(), fit.varcorr.to_frame()
    pd.testing.assert_frame_equal(ours[["grp", "var1", "var2"]], wanted[["grp", "var1", "var2"]])
    np.testing.assert_allclose(ours["estimate"], wanted[scale], rtol=1e-13)


@pytest.mark.parametrize(
    "case",
    [case for case in references("deletions") if "dyestuff2" not in case["data"] and "temp |" not in case["formula"]],
    ids=name,
)
def test_the_covariance_of_theta_and_sigma_is_that_of_lmertest(case):
    fit = fitted(case)
    wanted = np.array(case["result"]["theta_sigma_vcov"])
    ours = fit.variance_parameters(scale="theta")
    np.testing.assert_allclose(ours.estimates[:-1], fit.theta, rtol=1e-14)
    scale = np.sqrt(np.diag(wanted))
    np.testing.assert_allclose(ours.vcov / np.outer(scale, scale), wanted / np.outer(scale, scale), atol=2e-5)


@cache
def crossed(is_reml):
    """A small crossed design with weights and two effects for each level of one factor."""
    rng = np.random.default_rng(8)
    n = 80
    data = pd.DataFrame({"g": np.arange(n) % 10, "h": rng.integers(0, 6, n), "x": rng.normal(size=n)})
    effects = rng.normal(size=(10, 2)) @ np.array([[1.5, 0.6], [0.0, 0.8]])
    data["y"] = effects[data["g"], 0] + data["x"] * effects[data["g"], 1] + rng.normal(size=6)[data["h"]]
    data["y"] += rng.normal(size=n)
    data["w"] = rng.uniform(0.5, 3.0, n)
    return hd.lmer("y ~ x + (x | g) + (1 | h)", data, weights="w", reml=is_reml), data


def dense_criterion(fit, data, parameters):
    """Deviance or REML criterion at (theta, sigma), with n x n matrices."""
    terms = [Term(fit.design.factors[t.factor].codes, fit.design.z_matrix(i)) for i, t in enumerate(fit.design.terms)]
    v = np.diag(1.0 / data["w"].to_numpy())
    for term, lam in zip(terms, relative_factors(parameters[:-1], [term.size for term in terms]), strict=True):
        z = term.matrix()
        v += z @ np.kron(np.eye(term.levels), lam @ lam.T) @ z.T
    v *= parameters[-1] ** 2
    x, y = fit.design.x_matrix(), fit.design.y
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    residual = y - x @ np.linalg.solve(information, x.T @ inverse @ y)
    value = np.linalg.slogdet(v)[1] + residual @ inverse @ residual
    return value + (np.linalg.slogdet(information)[1] if fit.is_reml else 0.0)


@cache
def dense_covariance(is_reml):
    """Twice the inverse of the Hessian of `dense_criterion`, by differences of fourth order."""
    fit, data = crossed(is_reml)
    at = np.append(fit.theta.to_numpy(), fit.sigma)
    k, step = len(at), 2e-3
    hessian = np.empty((k, k))
    weights = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    for i in range(k):
        for j in range(i + 1):
            moves = [(a, b) for a in weights for b in weights]
            values = [dense_criterion(fit, data, at + step * (a * np.eye(k)[i] + b * np.eye(k)[j])) for a, b in moves]
            hessian[i, j] = hessian[j, i] = (
                sum(weights[a] * weights[b] * v for (a, b), v in zip(moves, values, strict=True)) / step**2
            )
    return 2.0 * np.linalg.inv(hessian)


def transformed(fit, scale, parameters):
    """The parameters of a scale, straight from (theta, sigma)."""
    values = []
    for psi in theta.covariances(parameters[:-1], [len(term.names) for term in fit.design.terms]):
        sigma = parameters[-1] ** 2 * psi
        sd = np.sqrt(np.diag(sigma))
        upper = np.triu_indices(len(psi), 1)
        values += [*(np.diag(sigma) if scale == "vcov" else sd)]
        values += [*(sigma[upper] if scale == "vcov" else (sigma / np.outer(sd, sd))[upper])]
    return np.array([*values, parameters[-1] ** (2 if scale == "vcov" else 1)])


@pytest.mark.parametrize("is_reml", [True, False])
@pytest.mark.parametrize("scale", SCALES)
def test_covariances_are_those_of_dense_algebra(scale, is_reml):
    fit, _ = crossed(is_reml)
    assert not fit.is_singular
    covariance = dense_covariance(is_reml)
    if scale != "theta":
        at, step = np.append(fit.theta.to_numpy(), fit.sigma), 1e-6
        moved = [
            transformed(fit, scale, at + step * row) - transformed(fit, scale, at - step * row) for row in np.eye(5)
        ]
        jacobian = np.array(moved).T / (2 * step)
        covariance = jacobian @ covariance @ jacobian.T
    ours = fit.variance_parameters(scale=scale).vcov
    size = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(ours / np.outer(size, size), covariance / np.outer(size, size), atol=1e-5)


@pytest.mark.parametrize("scale, power", [("vcov", 2), ("sdcor", 1)])
def test_standard_errors_follow_the_units_of_the_response(scale, power):
    fit = sleep()
    other = fit.refit(1000.0 * fit.design.y).variance_parameters(scale=scale).std_errors
    factors = np.array([1000.0**power] * 4)
    if scale == "sdcor":
        factors[2] = 1.0  # a correlation has no unit
    np.testing.assert_allclose(other, factors * fit.variance_parameters(scale=scale).std_errors, rtol=1e-4)


def test_a_variance_of_zero_has_no_standard_error():
    found = fitted({"data": "dyestuff2"}, "Yield ~ 1 + (1 | Batch)").variance_parameters()
    frame = found.to_frame()
    assert np.isnan(frame["std_error"][0])
    sigma2 = frame["estimate"][1]  # that of a sample of 30
    assert frame["std_error"][1] == pytest.approx(sigma2 * np.sqrt(2 / 29), rel=1e-6)
    assert found.notes == ("At the boundary, without a standard error: the variance of (Intercept) (Batch).",)


def test_a_perfect_correlation_has_no_standard_error():
    fit = fitted({"data": "cake"}, "angle ~ recipe * temp + (temp | recipe:replicate)")
    found = fit.variance_parameters(scale="sdcor")
    assert np.isnan(found.std_errors).tolist() == [False, False, True, False]
    assert np.isnan(found.vcov[2]).all()
    assert "the correlation of (Intercept) and temp (recipe:replicate)" in found.notes[0]
    assert np.isnan(fit.variance_parameters(scale="theta").std_errors).tolist() == [False, False, True, False]


def test_what_is_printed():
    assert str(sleep().variance_parameters(scale="sdcor")).splitlines() == [
        "Standard deviations and correlations",
        " Groups   Name              Estimate Std. Error",
        " Subject  (Intercept)       24.74         5.836",
        "          Days               5.922        1.248",
        "          (Intercept), Days  0.06555      0.325",
        " Residual                   25.59         1.508",
    ]
    names = ["Subject.(Intercept)", "Subject.Days", "Subject.(Intercept).Days", "Residual"]
    assert list(sleep().variance_parameters().covariance.columns) == names
    assert "<table" in sleep().variance_parameters()._repr_html_()


def test_unknown_scales_are_named():
    with pytest.raises(hd.DataError, match="scale is 'sd'"):
        sleep().variance_parameters(scale="sd")


# --------------------------------------------------------------------------------------------------- shares of variance


@pytest.mark.parametrize("case", references("shares"), ids=name)
def test_shares_are_those_of_performance(case):
    fit, result = fitted(case), case["result"]
    assert fit.r2().conditional == pytest.approx(result["conditional"], rel=1e-6)
    assert fit.r2().marginal == pytest.approx(result["marginal"], rel=1e-6, abs=1e-12)
    assert fit.icc().adjusted == pytest.approx(result["adjusted"], rel=1e-6)
    assert fit.icc().unadjusted == pytest.approx(result["unadjusted"], rel=1e-6)
    if "icc" in result:
        groups = result["group"] if isinstance(result["group"], list) else [result["group"]]
        assert fit.icc().by_group == pytest.approx(dict(zip(groups, column(result, "icc"), strict=True)), rel=1e-5)


@pytest.mark.parametrize("make", [lambda: crossed(True)[0], lambda: sleep("Reaction ~ Days + (Days || Subject)")])
def test_shares_are_means_over_the_rows(make):
    fit = make()
    spread = fit.Z @ fit.Lambda
    random = fit.sigma**2 * np.mean(np.asarray(spread.multiply(spread).sum(axis=1)))
    weights = np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights
    residual = fit.sigma**2 * np.mean(1.0 / weights)
    fixed = np.var(fit.design.x_matrix() @ fit.fixef, ddof=1)
    shares = fit.r2().shares
    assert (shares.total_random, shares.residual, shares.fixed) == pytest.approx((random, residual, fixed), rel=1e-12)
    assert fit.r2().conditional == pytest.approx((fixed + random) / (fixed + random + residual), rel=1e-12)
    assert fit.icc().adjusted == pytest.approx(random / (random + residual), rel=1e-12)


def test_shares_do_not_depend_on_units_origins_or_the_size_of_weights():
    fit, data = crossed(True)
    wanted = fit.icc().to_frame()
    moved = data.assign(y=100.0 * data["y"] - 7.0, x=3.0 * data["x"] + 11.0, w=50.0 * data["w"])
    other = hd.lmer("y ~ x + (x | g) + (1 | h)", moved, weights="w")
    pd.testing.assert_frame_equal(other.icc().to_frame(), wanted, rtol=1e-6)
    assert other.r2().marginal == pytest.approx(fit.r2().marginal, rel=1e-6)


def test_several_terms_on_one_factor_are_one_share():
    found = sleep("Reaction ~ Days + (Days || Subject)").icc()
    assert list(found.by_group) == ["Subject"]
    assert found.by_group["Subject"] == pytest.approx(found.adjusted, rel=1e-14)


def test_aliased_columns_predict_nothing():
    data = table("sleepstudy").assign(twice=2.0 * table("sleepstudy")["Days"])
    aliased = hd.lmer("Reaction ~ Days + twice + (Days | Subject)", data)
    assert aliased.r2().marginal == pytest.approx(sleep().r2().marginal, rel=1e-8)


def test_design_effects_of_balanced_and_unbalanced_groups():
    balanced = sleep("Reaction ~ Days + (1 | Subject)")
    row = balanced.design_effect().to_frame().loc["Subject"]
    assert row["design_effect"] == pytest.approx(1.0 + 9.0 * balanced.icc().adjusted, rel=1e-12)
    assert row["effective_n"] == pytest.approx(180 / row["design_effect"], rel=1e-12)
    ratpup = fitted({"data": "ratpup"}, "weight ~ Lsize + Treatment + sex + (1 | Litter)")
    sizes = table("ratpup").groupby("Litter", observed=True).size().to_numpy()
    row = ratpup.design_effect().to_frame().loc["Litter"]
    assert row["weighted_size"] == pytest.approx(np.sum(sizes**2) / np.sum(sizes), rel=1e-12)
    assert row["mean_size"] == pytest.approx(sizes.mean(), rel=1e-12)


def test_the_design_effect_is_the_variance_of_a_mean_over_that_of_independent_rows():
    """For a random intercept: 1'V1 / (n times the mean variance of a row), V the covariance matrix of the response."""
    fit = fitted({"data": "ratpup"}, "weight ~ Lsize + Treatment + sex + (1 | Litter)")
    ones = np.ones(fit.nobs)
    spread = (fit.Z @ fit.Lambda).T @ ones
    variance = fit.sigma**2 * (spread @ spread + fit.nobs)
    row = fit.varcorr["Litter"].iloc[0, 0] + fit.sigma**2
    wanted = variance / (fit.nobs * row)
    assert fit.design_effect().to_frame()["design_effect"].iloc[0] == pytest.approx(wanted, rel=1e-10)


def test_a_singular_fit_has_shares_of_zero():
    fit = fitted({"data": "dyestuff2"}, "Yield ~ 1 + (1 | Batch)")
    assert fit.icc().adjusted == 0.0
    assert fit.r2().conditional == pytest.approx(0.0, abs=1e-15)
    assert fit.design_effect().to_frame()["design_effect"].tolist() == [1.0]


def test_shares_print_their_names():
    fit = fitted({"data": "pastes"}, "strength ~ 1 + (1 | batch/cask)")
    assert str(fit.icc()).splitlines() == [
        "Intraclass correlation",
        "            Adjusted Unadjusted",
        " cask:batch   0.7831     0.7831",
        " batch        0.1539     0.1539",
        " all          0.9370     0.9370",
    ]
    assert str(fit.r2()) == "R-squared: marginal 0.0000 (fixed effects), conditional 0.9370 (all effects)"
    assert fit.r2().to_frame().columns.tolist() == ["marginal", "conditional", "fixed", "random", "residual"]
    assert "Design effect" in str(fit.design_effect())
    for found in (fit.icc(), fit.r2(), fit.design_effect()):
        assert "<table" in found._repr_html_()
