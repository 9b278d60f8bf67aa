"""Singular fits are results: found in few evaluations, certified by derivatives, and nothing lower lies elsewhere."""

import warnings

import numpy as np
import pytest

import henderson as hd
from henderson import RandomTerm, fit_arrays
from oracle import relative_factors
from simulated import MODELS, experiment
from strategies import lam_theta

LIMITS = {"72 thetas": 20, "20 thetas": 15, "16 variances": 12}
SEEDS = range(8)

each_model = pytest.mark.parametrize("model", MODELS)


def slope_and_curvature(fit):
    """The largest slope at the optimum and the smallest curvature off the face, from values of the criterion alone.

    With v in the null space of lam lam', adding h^2 vv' to it changes the criterion by h^2 v'Gv.
    """
    problem, h = fit._problem._holding(fit._y), 2e-4
    value, gradient = problem.gradient(fit.theta, fit.is_reml)
    factors = relative_factors(fit.theta, fit.optimum.sizes)
    lowest = []
    for t, lam in enumerate(factors):
        values, vectors = np.linalg.eigh(lam @ lam.T)
        null = vectors[:, values < 1e-12]

        def change(v, t=t, lam=lam):
            moved = [np.column_stack([lam, h * v]) if u == t else factor for u, factor in enumerate(factors)]
            return (problem.criterion(lam_theta(moved), fit.is_reml) - value) / h**2

        single = [change(v) for v in null.T]
        g = np.diag(single)
        for i in range(len(single)):
            for j in range(i):
                g[i, j] = g[j, i] = (change(null[:, i] + null[:, j]) - single[i] - single[j]) / 2
        lowest += list(np.linalg.eigvalsh(g)[:1])
    return np.abs(gradient).max(), min(lowest)


@each_model
def test_singular_experiments_converge_within_few_evaluations(model):
    for seed in SEEDS:
        for rank in (1, 2, 3):
            y, X, terms = experiment(model, seed, rank)
            fit = fit_arrays(y, X, terms=terms, reml=seed % 2 == 0)
            assert fit.optimum.evaluations <= LIMITS[model], (seed, rank)
            assert fit.converged, (seed, rank)
            assert fit.is_singular or rank == 3, (seed, rank)  # of four; a variance estimate may well exceed zero
            assert fit.optimum.certificate.holds, (seed, rank)


@each_model
def test_singular_experiments_are_certified_by_rank_gradient_and_curvature(model):
    for seed in SEEDS[:3]:
        y, X, terms = experiment(model, seed)
        fit = fit_arrays(y, X, terms=terms)
        optimum = fit.optimum
        assert optimum.ranks == tuple(
            np.linalg.matrix_rank(covariance, tol=1e-9 * fit.sigma**2) for covariance in fit.covariances
        )
        assert any(rank < size for rank, size in zip(optimum.ranks, optimum.sizes, strict=True))
        assert optimum.curvature >= 0
        assert optimum.decrement < 1e-8
        slope, curvature = slope_and_curvature(fit)
        assert slope < 1e-3
        assert curvature >= -1e-4
        assert curvature == pytest.approx(optimum.curvature, rel=0.01)


@each_model
def test_no_start_reaches_a_lower_criterion(model):
    for seed in SEEDS[:4]:
        y, X, terms = experiment(model, seed)
        best = fit_arrays(y, X, terms=terms).criterion
        rng = np.random.default_rng(seed)
        size = len(fit_arrays(y, X, terms=terms).theta)
        starts = [rng.normal(size=size) * scale for scale in (0.05, 0.5, 5.0)]
        for start in (*starts, np.full(size, 0.3), np.ones(size)):
            fit = fit_arrays(y, X, terms=terms, start=start)
            assert fit.converged
            assert abs(fit.criterion - best) <= 1e-6, seed


def test_a_start_on_the_boundary_is_left_when_the_optimum_is_inside():
    y, X, terms = experiment("20 thetas", 1)
    free = fit_arrays(y, X, terms=terms[:1], reml=False)
    size = len(free.theta)
    for start in (np.zeros(size), 1e-12 * np.ones(size), np.eye(size)[1]):
        fit = fit_arrays(y, X, terms=terms[:1], reml=False, start=start)
        assert fit.converged
        assert fit.criterion == pytest.approx(free.criterion, abs=1e-6)


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
def test_dyestuff2_has_no_variance_between_batches(reml):
    data = hd.datasets.load_dyestuff2()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = hd.lmer("Yield ~ 1 + (1 | Batch)", data, reml=reml)
    assert list(fit.theta) == [0.0]
    assert fit.is_singular
    assert fit.converged
    assert fit.optimum.ranks == (0,)
    assert fit.optimum.curvature >= 0
    rss, df = np.sum((data["Yield"] - data["Yield"].mean()) ** 2), 30 - reml
    expected = df * (1 + np.log(2 * np.pi * rss / df)) + (np.log(30) if reml else 0.0)
    assert fit.criterion == pytest.approx(expected, rel=1e-13)
    assert fit.sigma == pytest.approx(np.sqrt(rss / df), rel=1e-12)
    assert not np.asarray(fit.ranef["Batch"]).any()


def test_the_curvature_of_dyestuff2_is_the_slope_in_the_variance():
    """d criterion / d theta^2 at zero, by differences; positive: no variance improves the fit."""
    fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff2())
    step = 1e-4
    slope = (fit.criterion_at([np.sqrt(step)]) - fit.criterion_at([0.0])) / step
    assert slope > 0
    assert fit.optimum.curvature == pytest.approx(slope, rel=1e-2)


def test_zero_variances_end_at_exactly_zero_and_others_do_not():
    rng = np.random.default_rng(11)
    g, x = np.repeat(np.arange(25), 8), rng.normal(size=200)
    zeros = 0
    for _ in range(40):
        y = rng.normal(size=25)[g] + rng.normal(size=200)
        fit = fit_arrays(y, np.ones(200), terms=[RandomTerm(g), RandomTerm(g, x)])
        assert fit.optimum.certificate.holds
        assert (fit.theta == 0).tolist() == [rank == 0 for rank in fit.optimum.ranks]
        assert ((fit.theta == 0) | (fit.theta > 1e-4)).all()
        zeros += fit.theta[1] == 0
    assert 10 <= zeros <= 30  # about half of the estimates of a variance that is zero


def test_a_perfect_correlation_is_a_rank_of_one():
    rng = np.random.default_rng(12)
    g, x = np.repeat(np.arange(40), 10), np.tile(np.arange(10.0), 40)
    X = np.column_stack([np.ones(400), x])
    found = 0
    for _ in range(20):
        y = rng.normal(size=40)[g] * (1 + x) + rng.normal(size=400)
        fit = fit_arrays(y, X, terms=[RandomTerm(g, X)])
        assert fit.optimum.certificate.holds
        if not fit.is_singular:
            continue
        found += 1
        assert fit.optimum.ranks == (1,)
        (a, b), (_, c) = fit.covariances[0]
        assert b / np.sqrt(a * c) == pytest.approx(1.0, abs=1e-9)
    assert 5 <= found <= 15  # about half


def test_two_names_for_one_factor_share_its_variance_without_trouble():
    """Confounded terms: only the sum of the variances is determined; the fit says so by converging to one of them."""
    rng = np.random.default_rng(13)
    g = np.repeat(np.arange(20), 6)
    y = rng.normal(size=20)[g] + rng.normal(size=120)
    ones = np.ones(120)
    once = fit_arrays(y, ones, terms=[RandomTerm(g)])
    for twice in (RandomTerm(g), RandomTerm(19 - g)):
        fit = fit_arrays(y, ones, terms=[RandomTerm(g), twice])
        assert fit.converged
        assert fit.criterion == pytest.approx(once.criterion, abs=1e-8)
        assert np.sum(fit.theta**2) == pytest.approx(once.theta[0] ** 2, rel=1e-4)


def test_a_factor_of_two_levels_beside_an_intercept_is_fitted():
    rng = np.random.default_rng(14)
    g = np.tile([0, 1], 30)
    fit = fit_arrays(rng.normal(size=60) + 3 * g, np.ones(60), terms=[RandomTerm(g)])
    assert fit.converged
    assert fit.covariances[0][0, 0] == pytest.approx(4.5, rel=0.5)
