"""Fits survive pickling and copying, and can be refitted afterwards."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import henderson
from cases import BY_NAME

ROUND_TRIPS = pytest.mark.parametrize(
    "round_trip",
    [lambda fit: pickle.loads(pickle.dumps(fit)), copy.deepcopy, copy.copy],
    ids=["pickle", "deepcopy", "copy"],
)


@pytest.fixture(params=["sleepstudy", "offset", "pastes_nested", "ratpup_slope"])
def case(request):
    return BY_NAME[request.param]


@ROUND_TRIPS
def test_a_fit_that_nothing_was_asked_of_survives(case, round_trip):
    fit = henderson.lmer(case.formula, case.data(), **case.options())
    again = round_trip(fit)
    assert str(again.summary()) == str(fit.summary())
    pd.testing.assert_series_equal(again.theta, fit.theta)
    pd.testing.assert_series_equal(again.resid, fit.resid)
    for group, table in fit.ranef.items():
        pd.testing.assert_frame_equal(again.ranef[group], table)
    assert again.optimum.certificate == fit.optimum.certificate or not fit.optimum.certificate.holds


@ROUND_TRIPS
def test_a_fit_that_everything_was_asked_of_survives(case, round_trip):
    fit = henderson.lmer(case.formula, case.data(), **case.options())
    everything = (fit.ranef, fit.conditional_variances, fit.coef, fit.Z, fit.Lambda, fit.summary(), fit.optimum.trace)
    assert everything
    again = round_trip(fit)
    assert str(again) == str(fit)
    assert (again.Z != fit.Z).nnz == 0


@ROUND_TRIPS
def test_the_problem_is_compiled_again_when_it_is_needed(case, round_trip):
    fit = henderson.lmer(case.formula, case.data(), **case.options())
    again = round_trip(fit)
    assert again.criterion_at(fit.theta) == pytest.approx(fit.criterion, rel=1e-12)
    refitted = again.refit(case.data()[fit.design.response_name] * 2)
    want = fit.refit(case.data()[fit.design.response_name] * 2)
    pd.testing.assert_series_equal(refitted.fixef, want.fixef, rtol=1e-9)
    for ours, theirs in zip(again.conditional_variance_arrays, fit.conditional_variance_arrays, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_pickles_are_small():
    case = BY_NAME["sleepstudy"]
    fit = henderson.lmer(case.formula, case.data())
    assert len(pickle.dumps(fit)) < 40_000


def test_pickles_load_in_another_process(tmp_path):
    case = BY_NAME["sleepstudy"]
    path = tmp_path / "fit.pickle"
    path.write_bytes(pickle.dumps(henderson.lmer(case.formula, case.data())))
    code = f"import pickle; print(pickle.loads(open({str(path)!r}, 'rb').read()).fixef['Days'])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(shown) == pytest.approx(10.467286, abs=1e-5)


@pytest.mark.parametrize("round_trip", [lambda fit: pickle.loads(pickle.dumps(fit)), copy.deepcopy])
def test_array_fits_survive(round_trip):
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(10), 6)
    y = rng.normal(size=10)[codes] * 2 + rng.normal(size=60)
    fit = henderson.fit_arrays(y, np.ones(60), terms=[henderson.RandomTerm(codes)])
    again = round_trip(fit)
    np.testing.assert_array_equal(again.beta, fit.beta)
    np.testing.assert_array_equal(again.ranef[0], fit.ranef[0])
    assert again.kept == fit.kept
    np.testing.assert_allclose(again.refit(2 * y).beta, 2 * fit.beta, rtol=1e-7)
    np.testing.assert_allclose(again.conditional_variances[0], fit.conditional_variances[0], rtol=1e-10)
