"""EM, PX-EM and MM at singular optima: they end where Newton's method ends, at zero, and nothing holds them before."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import henderson as hd
from cases import read_table
from henderson import fit_arrays
from henderson.solvers.boundary import Boundary
from henderson.solvers.loop import METHODS, SOLVERS
from henderson.solvers.path import Path
from henderson.solvers.point import LEAST, Model, theta_of, triangular
from oracle import relative_factors
from singular_designs import KINDS, singular_experiment
from strategies import LAWS

SLOW = tuple(SOLVERS)
SLOPES = "weight ~ Lsize + Treatment + sex + (sex | Litter)"


def ranks_along(fit):
    """Rank of each term at each accepted point, as exact zeros of theta say."""
    return [
        tuple(int(np.abs(lam).any(axis=0).sum()) for lam in relative_factors(theta, fit.optimum.sizes))
        for theta, *_ in fit.optimum.steps
    ]


# ----------------------------------------------------------------------------------------------------- the same optimum


@settings(LAWS, max_examples=60)
@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.booleans())
def test_all_methods_end_at_newtons_optimum_on_small_designs_singular_or_not(kind, seed, reml):
    y, x, terms = singular_experiment(kind, seed)
    best = fit_arrays(y, x, terms=terms, reml=reml)
    for method in SLOW:
        fit = fit_arrays(y, x, terms=terms, reml=reml, method=method)
        path = np.array([criterion for _, criterion, _, _ in fit.optimum.steps])
        assert np.all(np.diff(path) <= 2e-12 * np.abs(path[1:]).clip(1.0)), method
        assert fit.criterion == pytest.approx(path[-1])
        if fit.optimum.status == "evaluation limit":  # EM, where a variance is small but not zero
            assert method == "em"
            assert not best.is_singular
            assert fit.criterion - best.criterion < 10 * fit.optimum.decrement < 1e-2
            continue
        assert abs(fit.criterion - best.criterion) < 1e-6, method
        assert fit.optimum.certificate.holds, method
        if best.is_singular:
            assert fit.optimum.ranks == best.optimum.ranks, method
            for one, other in zip(fit.covariances, best.covariances, strict=True):
                np.testing.assert_allclose(one, other, atol=2e-3 * np.abs(other).max(initial=fit.sigma**2))


@pytest.mark.parametrize("method", SLOW)
@pytest.mark.parametrize("reml", [True, False])
def test_a_single_variance_of_zero_is_zero_after_a_few_steps(method, reml):
    data = read_table("Dyestuff2")
    best = hd.lmer("Yield ~ 1 + (1 | Batch)", data, reml=reml)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = hd.lmer("Yield ~ 1 + (1 | Batch)", data, reml=reml, method=method)
    assert list(fit.theta) == [0.0]
    assert fit.is_singular
    assert fit.optimum.certificate.holds
    assert fit.optimum.curvature == pytest.approx(best.optimum.curvature)
    assert fit.criterion == pytest.approx(best.criterion, abs=1e-10)
    assert fit.optimum.evaluations <= 10


@pytest.mark.parametrize("method", SLOW)
@pytest.mark.parametrize("reml", [True, False])
def test_a_correlation_of_one_is_reached(method, reml):
    best = hd.lmer(SLOPES, read_table("RatPupWeight"), reml=reml)
    fit = hd.lmer(SLOPES, read_table("RatPupWeight"), reml=reml, method=method)
    assert fit.optimum.certificate.holds
    assert fit.optimum.ranks == best.optimum.ranks
    assert fit.criterion == pytest.approx(best.criterion, abs=1e-8)
    np.testing.assert_allclose(fit.fixef, best.fixef, rtol=1e-4, atol=1e-4)


def test_mm_is_not_held_where_its_own_step_shrinks_what_the_criterion_wants_to_grow():
    """The matrix in the step of MM may shrink an axis of Psi although the criterion falls into its direction."""
    shrunk = 0
    for seed in range(40):
        y, x, terms = singular_experiment("slope", seed)
        best, fit = fit_arrays(y, x, terms=terms), fit_arrays(y, x, terms=terms, method="mm")
        assert fit.criterion - best.criterion < 1e-6
        model = Model.of(fit._problem, fit._y, True)
        for theta, *_ in fit.optimum.steps[:8]:
            at = model.at(theta)
            if at.spectra[0].is_full and at.slopes[0][1, 1] < 0:
                after = model.at(next(SOLVERS["mm"](model).candidates(at)))
                shrunk += after.spectra[0].lengths[-1] < at.spectra[0].lengths[-1]
    assert shrunk > 0  # the trap is real


# --------------------------------------------------------------------------------------------------- onto it and off it


@pytest.mark.parametrize("method", SLOW)
def test_rank_is_lost_only_where_no_direction_without_variance_would_help(method):
    lost = 0
    for seed in range(12):
        y, x, terms = singular_experiment(KINDS[seed % len(KINDS)], seed)
        fit = fit_arrays(y, x, terms=terms, method=method)
        ranks = ranks_along(fit)
        for k in range(1, len(ranks)):
            if sum(ranks[k]) < sum(ranks[k - 1]):
                lost += 1
                proof = fit._problem.fit(fit._y, True, fit.optimum.steps[k][0], 1e-10, 1)
                assert proof.curvature >= -1e-6
    assert lost > 5


@settings(LAWS, max_examples=60)
@given(st.sampled_from(("slope", "three effects", "slope and crossed")), st.integers(0, 2**32 - 1), st.booleans())
def test_a_point_without_a_variance_that_is_needed_is_left_downwards(kind, seed, reml):
    y, x, terms = singular_experiment(kind, seed)
    problem = fit_arrays(y, x, terms=terms)._problem
    model = Model.of(problem, y, reml)
    rng = np.random.default_rng(seed)
    path = Path(model, 50)
    at = path.at(theta_of([triangular(0.3 * rng.normal(size=(s, max(s - 1, 0)))) for s in model.sizes]))
    assert all(own.rank == s - 1 for own, s in zip(at.spectra, model.sizes, strict=True))
    found = Boundary().move(at, path, is_last=True)
    if at.proof.curvature < -1e-6:
        assert found.criterion < at.criterion
        assert sum(own.rank for own in found.spectra) == sum(own.rank for own in at.spectra) + 1
    else:
        assert found is None or found.criterion <= at.criterion + 1e-12 * abs(at.criterion)


@pytest.mark.parametrize("method", SLOW)
def test_the_limit_counts_looks_at_the_boundary_too(method):
    y, x, terms = singular_experiment("three effects", 2)
    for limit in range(1, 15):
        fit = fit_arrays(y, x, terms=terms, method=method, max_evaluations=limit)
        assert len(fit.optimum.steps) <= fit.optimum.evaluations <= limit
        counts_all = len(fit.optimum.steps) == fit.optimum.evaluations
        assert fit.optimum.trace.index.name == ("evaluation" if counts_all else "step")


def test_what_nothing_determines_stays_out_of_it():
    """Effects of a column twice, and effects that the fixed effects span: the criterion is level in their variances."""
    data = hd.datasets.load_sleepstudy()
    formulas = ("Reaction ~ Days + (Days + I(2 * Days) | Subject)", "Reaction ~ Subject + (1 | Subject)")
    for formula in formulas:
        best = hd.lmer(formula, data)
        for method in SLOW:
            fit = hd.lmer(formula, data, method=method)
            assert fit.optimum.certificate.holds
            assert fit.criterion == pytest.approx(best.criterion, abs=1e-8)
            assert np.abs(fit.theta).max() < 10
    assert list(fit.theta) == [0.0]


# ----------------------------------------------------------------------------------------------------------- the starts


def test_the_default_start_is_that_of_newton_moved_off_the_boundary():
    data = read_table("RatPupWeight")
    formula = "weight ~ sex + (1 | Litter)"
    first = [hd.lmer(formula, data, method=method).optimum.steps[0][0] for method in METHODS]
    for theta in first[1:]:
        np.testing.assert_allclose(theta, first[0], rtol=1e-12)
    with pytest.warns(hd.ConvergenceWarning, match="evaluation limit.*method='newton' takes few evaluations there too"):
        fit = hd.lmer(formula, data, method="em", start=[0.0], max_evaluations=3)
    rows, litters = len(data), data["Litter"].nunique()
    assert fit.optimum.steps[0][0][0] ** 2 == pytest.approx(LEAST / (rows / litters))


def test_a_start_inside_is_taken_as_it_is_however_close_to_the_boundary():
    with pytest.warns(hd.ConvergenceWarning):
        fit = hd.lmer("Yield ~ 1 + (1 | Batch)", read_table("Dyestuff2"), method="em", start=[1e-3], max_evaluations=2)
    assert fit.optimum.steps[0][0][0] == pytest.approx(1e-3, rel=1e-12)
