"""Residuals: each kind against the covariance matrices of residuals written down, and against lme4."""

import numpy as np
import pandas as pd
import pytest

import henderson
from cases import BY_NAME
from diagnostic_cases import NAMES, REFERENCES, Dense, fitted, references, table
from henderson import DataError
from henderson.diagnostics import whitening
from henderson.diagnostics.whitening import Whitening

# --------------------------------------------------------------------------------------------------- what they are


@pytest.mark.parametrize("name", NAMES)
def test_residuals_and_their_standard_errors_are_those_of_dense_algebra(name):
    fit, dense = fitted(name), Dense(fitted(name))
    sigma, conditional, marginal = fit.sigma, dense.conditional @ dense.y, dense.marginal @ dense.y
    expected = {
        ("response", True): conditional,
        ("response", False): marginal,
        ("marginal", True): marginal,
        ("pearson", True): conditional / np.sqrt(dense.variances),
        ("pearson", False): marginal / np.sqrt(np.diag(dense.V)),
        ("scaled", True): conditional / np.sqrt(dense.variances) / sigma,
        ("scaled", False): marginal / np.sqrt(np.diag(dense.V)) / sigma,
        ("standardized", True): conditional
        / (sigma * np.sqrt(np.diag(dense.conditional @ dense.V @ dense.conditional.T))),
        ("standardized", False): marginal / (sigma * np.sqrt(np.diag(dense.marginal @ dense.V @ dense.marginal.T))),
    }
    for (kind, is_conditional), values in expected.items():
        found = fit.residuals(kind, conditional=is_conditional)
        scale = np.abs(values).max()
        np.testing.assert_allclose(found / scale, values / scale, atol=1e-7, err_msg=f"{kind}, {is_conditional}")
        assert found.index.equals(fit.index)
        assert found.name == "resid"
    pd.testing.assert_series_equal(fit.resid, fit.residuals())


@pytest.mark.parametrize("name", ["sleepstudy", "weighted", "penicillin", "sleepstudy_ml", "no fixed effects"])
def test_a_studentized_residual_is_the_error_of_predicting_the_row_from_the_others(name):
    fit, dense = fitted(name), Dense(fitted(name))
    n, p = dense.X.shape
    found = fit.residuals("studentized").to_numpy()
    for i in range(0, n, 17):
        rest = np.delete(np.arange(n), i)
        V, X, y = dense.V[np.ix_(rest, rest)], dense.X[rest], dense.y[rest]
        inverse = np.linalg.inv(V)
        vcov = np.linalg.inv(X.T @ inverse @ X)
        beta = vcov @ X.T @ inverse @ y
        link = inverse @ dense.V[rest, i]
        own = dense.X[i] - X.T @ link
        error = dense.y[i] - dense.X[i] @ beta - link @ (y - X @ beta)
        variance = dense.V[i, i] - dense.V[rest, i] @ link + own @ vcov @ own
        sigma2 = (y - X @ beta) @ inverse @ (y - X @ beta) / (n - 1 - p)
        assert found[i] == pytest.approx(error / np.sqrt(sigma2 * variance), rel=1e-6)


@pytest.mark.parametrize("name", REFERENCES)
def test_standardized_residuals_are_those_of_lme4(name):
    case = BY_NAME[name]
    fit = henderson.lmer(case.formula, case.data(), **case.options())
    np.testing.assert_allclose(fit.residuals("standardized"), references()[name]["standardized"], atol=2e-5)
    np.testing.assert_allclose(
        fit.residuals("standardized"), references()[name]["rstudent"], atol=2e-5
    )  # its name for it


# ------------------------------------------------------------------------------------------------------- whitening


@pytest.mark.parametrize("name", NAMES)
def test_whitened_rows_are_uncorrelated_with_variance_one(name):
    fit, dense = fitted(name), Dense(fitted(name))
    roots = np.sqrt(dense.variances)
    K = Whitening(fit)(np.eye(len(roots))).T
    np.testing.assert_allclose(K @ (dense.V / np.outer(roots, roots)) @ K.T, np.eye(len(roots)), atol=1e-12)
    expected = K @ (dense.marginal @ dense.y / roots) / fit.sigma
    np.testing.assert_allclose(fit.residuals("whitened"), expected, atol=1e-7)


def test_the_order_of_the_rows_does_not_matter_to_whitening():
    data = table()
    shuffled = data.sample(frac=1.0, random_state=1)
    formula = "y ~ x + (x | g/s) + (1 | h)"
    ours, theirs = (henderson.lmer(formula, d).residuals("whitened") for d in (data, shuffled))
    np.testing.assert_allclose(theirs.loc[ours.index], ours, atol=1e-5)


def test_too_many_crossed_effects_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(whitening, "MOST_EFFECTS", 4)
    fit = fitted("crossed, vector-valued, weighted, offset")
    with pytest.raises(DataError, match=r"5 x 5 matrix for the random effects of h.*the limit is 4.*standardized"):
        fit.residuals("whitened")
    assert fitted("sleepstudy").residuals("whitened").std() == pytest.approx(1.0, abs=0.05)


# ------------------------------------------------------------------------------------------------------------- laws


def test_units_of_weights_and_response_do_not_matter_once_divided_by_a_standard_error():
    data = table().dropna()
    data = data.assign(w2=data["w"] * 50.0, y2=data["y"] * 1e3)
    base = henderson.lmer("y ~ x + (x | g) + (1 | h)", data, weights="w")
    scaled = henderson.lmer("y2 ~ x + (x | g) + (1 | h)", data, weights="w2")
    for kind in ("scaled", "standardized", "studentized", "whitened"):
        np.testing.assert_allclose(scaled.residuals(kind), base.residuals(kind), rtol=1e-5, atol=1e-6)
    for kind in ("scaled", "standardized"):
        ours, theirs = (fit.residuals(kind, conditional=False) for fit in (base, scaled))
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)


def test_a_row_that_the_model_fits_exactly_has_no_standardized_residual():
    data = table().dropna()
    data = data.assign(only=(np.arange(len(data)) == 5).astype(float))
    fit = henderson.lmer("y ~ x + only + (1 | g)", data)
    for conditional in (True, False):
        found = fit.residuals("standardized", conditional=conditional)
        assert np.flatnonzero(found.isna()).tolist() == [5]
    assert abs(fit.residuals("response").iloc[5]) < 1e-8


def test_what_cannot_be_asked_for_is_refused():
    fit = fitted("sleepstudy")
    with pytest.raises(DataError, match=r"kind is 'deviance'.*response.*standardized"):
        fit.residuals("deviance")
    with pytest.raises(DataError, match="kind is None"):
        fit.residuals(None)
    with pytest.raises(DataError, match="Studentized residuals are conditional"):
        fit.residuals("studentized", conditional=False)
    with pytest.raises(DataError, match="conditional"):
        fit.residuals("response", conditional="yes")
