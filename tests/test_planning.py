"""Responses and models from given parameters, without a fit."""

import itertools

import numpy as np
import pandas as pd
import pytest

import cases
import henderson as hd
import oracle
from henderson.errors import DataError
from monte_carlo import assert_distributed

PLAN = pd.DataFrame(list(itertools.product(range(12), [0.0, 1.0, 2.0])), columns=["subject", "x"])
FIXEF = {"(Intercept)": 2.0, "x": 0.5}
DEVIATIONS = {"sd_(Intercept)|subject": 2.0, "sd_x|subject": 0.5, "cor_x.(Intercept)|subject": -0.4}
COVARIANCE = [[4.0, -0.4], [-0.4, 0.25]]


def planned(**changes):
    given = {"fixef": FIXEF, "varcorr": DEVIATIONS, "sigma": 1.5, "n": 3, "seed": 1} | changes
    return hd.simulate("~ x + (x | subject)", PLAN, **given)


def test_planned_responses_have_the_mean_and_covariance_given():
    values = planned(n=20000).to_numpy()
    z = oracle.Term(PLAN["subject"].to_numpy().astype(np.int32), np.column_stack([np.ones(36), PLAN["x"]])).matrix()
    covariance = z @ np.kron(np.eye(12), COVARIANCE) @ z.T + 1.5**2 * np.eye(36)
    assert_distributed(values, 2 + 0.5 * PLAN["x"].to_numpy(), covariance)


def test_covariances_can_be_given_in_several_ways():
    expected = planned()
    np.testing.assert_allclose(planned(varcorr={"subject": COVARIANCE}), expected, rtol=1e-12)
    factor = np.linalg.cholesky(COVARIANCE) / 1.5
    np.testing.assert_allclose(planned(varcorr=None, theta=factor[[0, 1, 1], [0, 0, 1]]), expected, rtol=1e-12)
    np.testing.assert_allclose(planned(fixef=[2.0, 0.5]), expected, rtol=1e-12)
    np.testing.assert_allclose(planned(fixef=pd.Series(FIXEF)), expected, rtol=1e-12)
    uncorrelated = {name: value for name, value in DEVIATIONS.items() if name.startswith("sd_")}
    np.testing.assert_allclose(
        planned(varcorr=uncorrelated), planned(varcorr={"subject": np.diag([4.0, 0.25])}), rtol=1e-12
    )


@pytest.mark.parametrize("name", ["sleepstudy", "weighted", "offset", "cake", "pastes_nested", "dyestuff2_singular"])
def test_the_parameters_of_a_fit_give_the_responses_of_the_fit(name):
    case = cases.BY_NAME[name]
    fit = hd.lmer(case.formula, case.data(), **case.options())
    known = {"fixef": fit.fixef, "sigma": fit.sigma, "n": 4, "seed": 2, "weights": case.weights, "offset": case.offset}
    given = hd.simulate(case.formula, case.data(), varcorr=fit.varcorr, **known)
    pd.testing.assert_frame_equal(given, fit.simulate(4, seed=2), check_exact=False, rtol=1e-10)
    by_theta = hd.simulate(case.formula, case.data(), theta=fit.theta, **known)
    pd.testing.assert_frame_equal(by_theta, given, check_exact=False, rtol=1e-10)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"fixef": {"x": 1.0}}, r"fixef lacks a value for \(Intercept\)"),
        ({"fixef": FIXEF | {"z": 1}}, "fixef names 'z'"),
        ({"fixef": [1.0]}, "fixef has 1 values for 2 fixed effects"),
        ({"fixef": {"(Intercept)": 1, "x": np.nan}}, r"fixef\['x'\] is nan"),
        ({"sigma": 0}, "sigma is 0"),
        ({"sigma": None}, "sigma is None"),
        ({"varcorr": None}, "no covariance"),
        ({"theta": [1.0, 0.0, 1.0]}, "same thing"),
        ({"varcorr": None, "theta": [1.0]}, "theta is"),
        ({"varcorr": 3}, "varcorr is 3"),
        ({"varcorr": {"Subject": COVARIANCE}}, "Did you mean 'subject'"),
        ({"varcorr": {"subject": 3.0}}, r"shape \(\)"),
        ({"varcorr": {"subject": [[1.0, 2.0], [2.0, 1.0]]}}, "negative eigenvalue"),
        ({"varcorr": {"subject": [[1.0, 0.5], [0.0, 1.0]]}}, "not symmetric"),
        ({"varcorr": {"sd_x|subject": 1.0}}, r"lacks sd_\(Intercept\)\|subject"),
        ({"varcorr": DEVIATIONS | {"sd_x|subject": -1}}, "must be a number >= 0"),
        ({"varcorr": DEVIATIONS | {"cor_x.(Intercept)|subject": 2}}, "between -1 and 1"),
    ],
)
def test_impossible_parameters_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        planned(**changes)


def test_a_plan_needs_a_random_term_and_its_columns():
    with pytest.raises(hd.FormulaError, match="no random term"):
        hd.simulate("~ x", PLAN, fixef=FIXEF, varcorr={}, sigma=1.0)
    with pytest.raises(DataError, match="Column 'z'"):
        hd.simulate("~ z + (1 | subject)", PLAN, fixef=FIXEF, varcorr={"subject": 1.0}, sigma=1.0)


@pytest.mark.parametrize("reml", [True, False])
def test_a_model_from_parameters_has_just_these(reml):
    model = hd.model_from_parameters(
        "y ~ x + (x | subject)", PLAN, fixef=FIXEF, varcorr=DEVIATIONS, sigma=1.5, reml=reml, seed=3
    )
    np.testing.assert_allclose(model.fixef, [2.0, 0.5], rtol=1e-10)
    np.testing.assert_allclose(model.varcorr["subject"], COVARIANCE, rtol=1e-10)
    assert model.sigma == pytest.approx(1.5, rel=1e-12)
    z = oracle.Term(PLAN["subject"].to_numpy().astype(np.int32), np.column_stack([np.ones(36), PLAN["x"]])).matrix()
    inverse = np.linalg.inv(z @ np.kron(np.eye(12), COVARIANCE) @ z.T + 1.5**2 * np.eye(36))
    x = np.column_stack([np.ones(36), PLAN["x"]])
    np.testing.assert_allclose(model.vcov, np.linalg.inv(x.T @ inverse @ x), rtol=1e-9)
    assert not model.converged
    assert "given, not estimated" in str(model)
    assert model.refit(model.simulate(seed=1)).converged
    np.testing.assert_allclose(model.simulate(2, seed=4), planned(n=2, seed=4), rtol=1e-9)
