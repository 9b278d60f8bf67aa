"""Few evaluations, each independent of the number of rows, none of which leaves memory behind."""

from pathlib import Path

import numpy as np
import pytest

import henderson as hd
from cases import CASES, LARGE
from henderson import RandomTerm, fit_arrays

SMALL_MODELS, WORST = 8, 12  # evaluations: one to three thetas, and all
STATM = Path("/proc/self/statm")


def to_a_decrement_of(fit, limit):
    """Evaluations until the accepted point was known to be within `limit` of the optimum; the last one included."""
    after = [step[2] for step in fit.optimum.steps[1:]]  # the decrement known when each further point was tried
    return 1 + next((i for i, decrement in enumerate(after) if decrement < limit), len(after))


@pytest.mark.parametrize("case", [case for case in CASES if case.name not in LARGE], ids=lambda case: case.name)
def test_shared_cases_are_optimal_to_1e_8_within_few_evaluations(case):
    fit = hd.lmer(case.formula, case.data(), **case.options())
    limit = SMALL_MODELS if len(fit.theta) <= 3 else WORST
    assert to_a_decrement_of(fit, 1e-8) <= limit
    assert fit.optimum.evaluations <= WORST
    assert fit.optimum.decrement < 1e-8


def test_the_trace_counts_every_evaluation_and_its_best_is_the_result():
    fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    optimum = fit.optimum
    assert len(optimum.steps) == optimum.evaluations
    assert optimum.iterations <= optimum.evaluations
    assert min(step[1] for step in optimum.steps) == pytest.approx(fit.criterion, abs=1e-9)
    assert [fit.criterion_at(step[0]) for step in optimum.steps] == pytest.approx(
        [step[1] for step in optimum.steps], rel=1e-12
    )


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-10])
def test_the_promised_decrease_bounds_what_is_left_to_gain(tolerance):
    rng = np.random.default_rng(3)
    g, h = rng.integers(0, 30, 400), rng.integers(0, 12, 400)
    x = rng.normal(size=400)
    X = np.column_stack([np.ones(400), x])
    for _ in range(20):
        y = np.sum(X * rng.normal(size=(30, 2))[g], axis=1) + rng.normal(size=12)[h] + rng.normal(size=400)
        terms = [RandomTerm(g, X), RandomTerm(h)]
        rough = fit_arrays(y, X, terms=terms, tolerance=tolerance)
        exact = fit_arrays(y, X, terms=terms, tolerance=1e-12)
        assert rough.criterion - exact.criterion <= 2 * tolerance + 1e-10
        assert rough.optimum.evaluations <= exact.optimum.evaluations


@pytest.mark.parametrize("ratio", [1.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
def test_large_variance_ratios_cost_no_more_evaluations(ratio, reml):
    """Standard deviations of intercepts and slopes up to a million times that of the residuals."""
    rng = np.random.default_rng(6)
    g, x = rng.integers(0, 100, 3000), rng.normal(size=3000)
    X = np.column_stack([np.ones(3000), x])
    for _ in range(5):
        y = x + ratio * np.sum(X * rng.normal(size=(100, 2))[g], axis=1) + rng.normal(size=3000)
        fit = fit_arrays(y, X, terms=[RandomTerm(g, X)], reml=reml)
        assert fit.converged
        assert fit.optimum.evaluations <= SMALL_MODELS
        assert fit.sigma == pytest.approx(1.0, rel=0.1)


def test_a_looser_tolerance_or_a_good_start_costs_fewer_evaluations():
    data = hd.datasets.load_sleepstudy()
    tight = hd.lmer("Reaction ~ Days + (Days | Subject)", data)
    loose = hd.lmer("Reaction ~ Days + (Days | Subject)", data, tolerance=1e-2)
    again = hd.lmer("Reaction ~ Days + (Days | Subject)", data, start=tight.theta)
    assert loose.optimum.evaluations < tight.optimum.evaluations
    assert again.optimum.evaluations <= 2


def test_max_evaluations_is_kept_to():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(20), 10)
    Z = rng.normal(size=(200, 4))
    y = np.sum(Z * rng.normal(size=(20, 4))[g], axis=1) + rng.normal(size=200)
    for limit in (1, 2, 3, 5):
        fit = fit_arrays(y, np.ones(200), terms=[RandomTerm(g, Z)], max_evaluations=limit)
        assert fit.optimum.evaluations == limit
        assert fit.optimum.status == "evaluation limit"
        assert np.isfinite(fit.criterion)
        assert fit.criterion == pytest.approx(fit.optimum.trace["criterion"].min())


def test_max_evaluations_is_never_exceeded_not_even_by_the_last_step():
    data = hd.datasets.load_sleepstudy()
    X = np.column_stack([np.ones(180), data["Days"]])
    first = fit_arrays(data["Reaction"], X, terms=[RandomTerm(np.repeat(np.arange(18), 10), X)])
    for limit in range(1, first.optimum.evaluations + 1):
        fit = first.refit(data["Reaction"], max_evaluations=limit)
        assert fit.optimum.evaluations <= limit
        assert fit.converged == (fit.optimum.decrement < 1e-10)


# --------------------------------------------------------------------------------------------------- work, not seconds


def crossed(n):
    """The same 60 x 25 crossed layout, seen n times."""
    rng = np.random.default_rng(5)
    g, h = np.arange(n) % 60, (np.arange(n) // 60) % 25
    y = rng.normal(size=60)[g] + rng.normal(size=25)[h] + rng.normal(size=n)
    x = rng.normal(size=n)
    return fit_arrays(y, np.column_stack([np.ones(n), x]), terms=[RandomTerm(g), RandomTerm(h)])


def test_the_work_of_an_evaluation_depends_on_the_levels_and_not_on_the_rows():
    few, many = (crossed(n)._problem._problem.block_description for n in (1500, 150000))
    assert few == many
    schur = few[-1]
    assert schur["size"] == 25
    assert schur["entries"] <= 25 * 25
    assert schur["coupling_entries"] == 60 * 25
    assert 0 < schur["factor_flops"] < 25**3
    assert 0 < schur["update_flops"] <= 60 * 25 * 25


def test_nested_factors_need_work_in_proportion_to_their_levels():
    def flops(middle):
        inner = np.arange(4 * middle)
        codes = [np.tile(c, 2) for c in (inner, inner // 4, inner // 4 // 10)]
        y = np.random.default_rng(6).normal(size=8 * middle)
        fit = fit_arrays(y, np.ones(len(y)), terms=[RandomTerm(c) for c in codes])
        schur = fit._problem._problem.block_description[-1]
        assert schur["storage"].startswith("sparse")
        return schur["factor_flops"] + schur["update_flops"], schur["entries"]

    small, large = flops(1000), flops(4000)
    assert large[0] <= 4.2 * small[0]
    assert large[1] <= 4.2 * small[1]


def resident_bytes():
    return int(STATM.read_text().split()[1]) * 4096


@pytest.mark.skipif(not STATM.exists(), reason="needs /proc")
@pytest.mark.parametrize("layout", ["single", "crossed", "nested"])
def test_evaluations_leave_no_memory_behind(layout):
    n = 4000
    g = np.arange(n) // 4
    factors = {"single": [g], "crossed": [g, np.arange(n) % 37], "nested": [g, g // 5, g // 50]}[layout]
    y = np.random.default_rng(7).normal(size=n)
    fit = fit_arrays(y, np.ones(n), terms=[RandomTerm(codes) for codes in factors])
    problem = fit._problem._problem
    theta = np.full(len(factors), 0.8)

    def evaluate(times):
        for _ in range(times):
            problem.criterion(theta, True)
            problem.gradient(theta, True)

    evaluate(100)
    before = resident_bytes()
    evaluate(1000)
    problem.set_response(y)
    grown = resident_bytes() - before
    assert grown <= 256 * 1024, f"{grown} bytes in 1000 evaluations"  # a vector per evaluation would be 32 MB


@pytest.mark.skipif(not STATM.exists(), reason="needs /proc")
def test_fits_and_refits_leave_no_memory_behind():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(500), 8)
    responses = rng.normal(size=(4000, 4)) + rng.normal(size=(500, 4))[g]
    terms = [RandomTerm(g)]
    first = fit_arrays(responses[:, 0], np.ones(4000), terms=terms)

    def work(times):
        for i in range(times):
            y = responses[:, i % 4]
            assert first.refit(y).beta.shape == (1,)
            assert fit_arrays(y, np.ones(4000), terms=terms).sigma > 0
        first.refit_many(responses)

    work(30)
    before = resident_bytes()
    work(200)
    assert resident_bytes() - before <= 2**20
