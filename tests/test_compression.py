"""Rows that stand for others: the same cross-products, so the same criterion, estimates and covariances."""

from functools import cache

import numpy as np
import pytest

import henderson as hd
from cases import CASES
from henderson.compiling import compile_design
from henderson.compression import compressed


@cache
def fitted(case):
    return hd.lmer(case.formula, case.data(), **case.options())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_criterion_and_what_follows_from_it_are_the_same(case):
    fit = fitted(case)
    design = compressed(fit.design, fit._y)
    problem = compile_design(design, design.y, 0)
    y, theta = fit._y, fit.optimum.theta
    for at in (theta, 0.5 * theta + 0.1, 0 * theta):
        for reml in (True, False):
            value, slope = problem.gradient(design.y, at, reml)
            expected, expected_slope = fit._problem.gradient(y, at, reml)
            assert value == pytest.approx(expected, rel=1e-11, abs=1e-8)
            np.testing.assert_allclose(slope, expected_slope, rtol=1e-6, atol=1e-6 * (1 + np.abs(expected_slope).max()))
    own, other = problem.solve(design.y, theta, fit.is_reml), fit.solution
    np.testing.assert_allclose(own.beta, other.beta, rtol=1e-8, atol=1e-9 * np.abs(other.beta).max(initial=0))
    np.testing.assert_allclose(own.unscaled_vcov, other.unscaled_vcov, rtol=1e-7, atol=1e-12)
    assert own.sigma == pytest.approx(other.sigma, rel=1e-10)
    for b, expected_b in zip(own.b, other.b, strict=True):
        np.testing.assert_allclose(b, expected_b, rtol=1e-6, atol=1e-8 * fit.sigma)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_cell_has_no_more_rows_than_columns(case):
    fit = fitted(case)
    design = compressed(fit.design, fit._y)
    assert design.n <= fit.nobs
    assert design.nobs == fit.nobs
    columns = 1 + len(design.x) + sum(len(term.columns) for term in design.terms)
    cells = np.unique(np.stack([factor.codes for factor in design.factors]), axis=1, return_counts=True)[1]
    assert cells.max() <= columns


def test_compressing_twice_changes_nothing_but_signs():
    fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    once = compressed(fit.design, fit._y)
    twice = compressed(once, once.y)
    assert (twice.n, twice.nobs, twice.represented) == (once.n, once.nobs, once.represented)
    assert once.n == 3 * 18
    np.testing.assert_allclose(np.abs(twice.y), np.abs(once.y), rtol=1e-10)


def test_rows_of_weight_are_represented_with_it():
    data = hd.datasets.load_sleepstudy()
    weights = np.linspace(0.5, 2.0, len(data))
    fit = hd.lmer("Reaction ~ Days + (Days | Subject)", data, weights=weights)
    design = compressed(fit.design, fit._y)
    assert design.represented == (180, pytest.approx(np.log(weights).sum()))
    again = compile_design(design, design.y, 1)
    assert again.fit(design.y, True).criterion == pytest.approx(fit.criterion, abs=1e-8)
