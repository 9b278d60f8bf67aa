"""The observed information of theta and sigma: against dense second derivatives, at boundaries, at full size."""

import numpy as np
import pandas as pd
import pytest

import dense_inference as dense
import henderson
from cases import BY_NAME
from henderson.compiled import CompiledProblem
from henderson.inference import information


def fit(name):
    case = BY_NAME[name]
    return henderson.lmer(case.formula, case.data(), **case.options())


SMALL = ("sleepstudy_ml", "weighted", "penicillin", "pastes_nested", "dyestuff2_singular")


@pytest.mark.parametrize("name", SMALL)
def test_hessian_is_that_of_the_criterion_with_sigma_not_profiled_out(name):
    model = fit(name)
    found = model.information
    deviance, at = dense.at_kept(model, dense.criterion)
    deviations = np.sqrt(np.diag(found.covariance))
    expected = dense.hessian(deviance, at, 0.003 * deviations)
    scale = np.outer(deviations, deviations)
    np.testing.assert_allclose(found.hessian * scale, expected * scale, atol=2e-5)
    np.testing.assert_allclose(found.covariance / scale, 2 * np.linalg.inv(expected) / scale, atol=1e-4)


@pytest.mark.parametrize("name", ["sleepstudy", "penicillin", "insteval"])
def test_one_sided_differences_agree_with_central_ones(name, monkeypatch):
    model = fit(name)
    monkeypatch.setattr(information, "MANY_EFFECTS", 10**9)
    central = information.information(model)
    monkeypatch.setattr(information, "MANY_EFFECTS", 0)
    one_sided = information.information(model)
    deviations = np.sqrt(np.diag(central.covariance))
    difference = (one_sided.hessian - central.hessian) * np.outer(deviations, deviations)
    assert np.abs(difference).max() < 5e-6


def test_a_large_fit_costs_one_gradient_for_each_theta_and_one_more(monkeypatch):
    model = fit("insteval")
    calls = []
    gradient = CompiledProblem.gradient
    monkeypatch.setattr(CompiledProblem, "gradient", lambda *arguments: calls.append(1) or gradient(*arguments))
    assert model.information.rank == 4
    assert len(calls) == 4


@pytest.mark.parametrize("name", ["sleepstudy", "ratpup_uncorrelated"])
def test_jacobian_leads_from_theta_and_sigma_to_variances_and_covariances(name):
    found = fit(name).information
    at = np.append(found.theta, found.sigma)
    expected = dense.gradient(
        lambda x: information.covariance_entries(x[:-1], x[-1], found.sizes), at, 1e-3 * np.ones(len(at))
    )
    np.testing.assert_allclose(found.jacobian, expected.T, rtol=1e-9, atol=1e-8)


def test_standard_errors_of_variances_are_those_of_sleepstudy():
    model = fit("sleepstudy")
    found = model.information
    entries = information.covariance_entries(found.theta, found.sigma, found.sizes)
    frame = model.varcorr.to_frame()
    np.testing.assert_allclose(entries, frame["vcov"].to_numpy()[[0, 2, 1, 3]])
    np.testing.assert_allclose(np.sqrt(np.diag(found.entry_covariance)), [288.8, 46.7, 14.8, 77.2], rtol=2e-3)


def test_a_variance_of_zero_is_left_out():
    found = fit("dyestuff2_singular").information
    assert found.kept.tolist() == []
    assert found.hessian.shape == (1, 1)
    assert found.hessian[0, 0] == pytest.approx(4 * 29 / found.sigma**2)


def singular_slopes():
    """Intercepts and slopes that are multiples of each other: a correlation of one."""
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(30), 6)
    x = np.tile(np.arange(6.0), 30)
    y = 3 + x + (2 + 0.7 * x) * rng.normal(size=30)[group] + rng.normal(size=180)
    return pd.DataFrame({"y": y, "x": x, "g": group.astype(str)})


def test_a_correlation_of_one_leaves_its_own_direction_out():
    model = henderson.lmer("y ~ x + (x | g)", singular_slopes())
    assert model.is_singular
    assert model.information.kept.tolist() == [0, 1]  # the first column of the factor
    assert model.information.rank == 3


def test_directions_without_information_are_counted():
    data = BY_NAME["sleepstudy"].data().copy()
    data["again"] = "s" + data["Subject"].astype(str)  # the same groups under another name
    model = henderson.lmer("Reaction ~ Days + (1 | Subject) + (1 | again)", data)
    single = henderson.lmer("Reaction ~ Days + (1 | Subject)", data)
    found = model.information
    assert len(found.hessian) - found.rank == (0 if len(found.kept) == 1 else 1)
    np.testing.assert_allclose(model.df, single.df, rtol=1e-4)


@pytest.mark.parametrize("shift, factor", [(2000, 1.0), (1e5, 1.0), (1e6, 1.0), (0, 1e6), (0, 1e-6)])
def test_the_origin_of_a_predictor_does_not_matter(shift, factor):
    data = BY_NAME["sleepstudy"].data()
    data = data[np.arange(len(data)) * 7 % 10 > 2]
    data = data.assign(year=factor * (shift + data["Days"]))
    plain, moved = (henderson.lmer(f"Reaction ~ {x} + ({x} | Subject)", data) for x in ("Days", "year"))
    assert moved.information.rank == 4
    rtol = 1e-4 if shift > 1e5 else 1e-6
    ours, theirs = (np.sqrt(np.diag(m.information.entry_covariance))[2:] for m in (moved, plain))
    np.testing.assert_allclose(ours * [factor**2, 1.0], theirs, rtol=rtol)  # of the slope's variance and the residual
    ours, theirs = (m.variance_parameters().std_errors[[1, 3]] for m in (moved, plain))
    np.testing.assert_allclose(ours * [factor**2, 1.0], theirs, rtol=rtol)
    ours, theirs = (m.influence("Subject").sigma for m in (moved, plain))
    np.testing.assert_allclose(ours, theirs, rtol=rtol)


def test_covariance_and_hessian_are_those_along_the_directions():
    found = fit("sleepstudy").information
    np.testing.assert_allclose(found.covariance @ found.hessian, 2.0 * np.eye(4), atol=1e-9)
    half = found.jacobian @ found.covariance @ found.jacobian.T
    np.testing.assert_allclose(found.entry_covariance, half, rtol=1e-9)


def test_columns_that_others_determine_carry_no_information():
    data = BY_NAME["sleepstudy"].data()
    data = data.assign(twice=2.0 * data["Days"])
    model = henderson.lmer("Reaction ~ Days + (0 + Days + twice | Subject)", data)
    single = henderson.lmer("Reaction ~ Days + (0 + Days | Subject)", data)
    np.testing.assert_allclose(model.df, single.df, rtol=1e-5)
    ours, theirs = (m.summary(ddf="kenward-roger").coefficients for m in (model, single))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
