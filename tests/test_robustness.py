"""Units, offsets and near-degenerate data cost no digits: the same optimum however the columns are written down."""

from decimal import Decimal
from fractions import Fraction
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import linalg

import henderson as hd
from henderson import RandomTerm, _core, fit_arrays

GROUPS, ROWS = 30, 8
N = GROUPS * ROWS
SEEDS = range(60)
STANDARD_DEVIATIONS = ((1.0, 0.5), (1.0, 0.0), (0.0, 0.5), (0.0, 0.0))
REML = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])


def on_grid(values):
    """Multiples of 2^-10: a shift by 1e6 rounds nothing."""
    return np.round(values * 1024) / 1024


@cache
def simulated(seed):
    """30 groups x 8 rows with a random intercept and slope, one or both without variance in three cases of four."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(GROUPS), ROWS)
    x, z = on_grid(rng.normal(size=N)), rng.normal(size=N)
    intercept, slope = np.array(STANDARD_DEVIATIONS[seed % 4])[:, None] * rng.normal(size=(2, GROUPS))
    y = 1 + 0.5 * x - 0.3 * z + intercept[g] + slope[g] * x + rng.normal(size=N)
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": g})


@cache
def plain(seed, reml):
    return hd.lmer("y ~ x + z + (x | g)", simulated(seed), reml=reml)


# name: (y, x) -> (y, x), and what that adds to the criterion by REML and by ML
CHANGES = {
    "x * 100": (lambda y, x: (y, x * 100), 2 * np.log(100), 0.0),
    "x + 50": (lambda y, x: (y, x + 50), 0.0, 0.0),
    "x + 2000": (lambda y, x: (y, x + 2000), 0.0, 0.0),
    "x * 1e6 + 1e9": (lambda y, x: (y, x * 1e6 + 1e9), 2 * np.log(1e6), 0.0),
    "y / 1000": (lambda y, x: (y / 1000, x), -2 * (N - 3) * np.log(1000), -2 * N * np.log(1000)),
}


@REML
@pytest.mark.parametrize("change", CHANGES)
def test_shifts_and_units_of_predictor_and_response_change_nothing(change, reml):
    apply, added_reml, added_ml = CHANGES[change]
    added = added_reml if reml else added_ml
    for seed in SEEDS:
        data, base = simulated(seed), plain(seed, reml)
        y, x = apply(data["y"], data["x"])
        fit = hd.lmer("y ~ x + z + (x | g)", data.assign(y=y, x=x), reml=reml)
        assert base.optimum.certificate.holds
        assert fit.optimum.certificate.holds, seed
        assert abs(fit.criterion - added - base.criterion) <= 1e-6, seed
        assert fit.is_singular == base.is_singular, seed
        assert abs(fit.optimum.evaluations - base.optimum.evaluations) <= 2, seed


# -------------------------------------------------------------------------------------------- columns of random effects


@cache
def vector_case(seed):
    """y, x, z, two factors: a term with three effects, of which some have no variance, and a crossed intercept."""
    rng = np.random.default_rng(seed)
    g, h = np.repeat(np.arange(GROUPS), ROWS), rng.integers(0, 7, N)
    x, z = on_grid(rng.normal(size=N)), on_grid(rng.normal(size=N))
    effects = rng.choice([0.0, 0.3, 1.0], 3) * rng.normal(size=(GROUPS, 3))
    y = 1 + x + np.sum(np.column_stack([np.ones(N), x, z]) * effects[g], axis=1) + rng.normal(size=7)[h]
    return y + rng.normal(size=N), x, z, g, h


def vector_fit(seed, x_random, z_random, together=True):
    y, x, z, g, h = vector_case(seed)
    ones = np.ones(N)
    joint = [RandomTerm(g, np.column_stack([ones, x_random, z_random]))]
    terms = joint if together else [RandomTerm(g), RandomTerm(g, x_random), RandomTerm(g, z_random)]
    return fit_arrays(y, np.column_stack([ones, x, z]), terms=[*terms, RandomTerm(h)])


@pytest.mark.parametrize("together", [True, False], ids=["correlated", "uncorrelated"])
@pytest.mark.parametrize("factors", [(1e-6, 1.0), (1e-3, 1.0), (1e3, 1e3), (1e6, 1.0), (1e-6, 1e6)])
def test_units_of_random_effect_columns_change_nothing(factors, together):
    for seed in range(30):
        _, x, z, _, _ = vector_case(seed)
        base = vector_fit(seed, x, z, together)
        fit = vector_fit(seed, x * factors[0], z * factors[1], together)
        assert abs(fit.criterion - base.criterion) <= 1e-8, seed
        assert abs(fit.optimum.evaluations - base.optimum.evaluations) <= 2, seed


@pytest.mark.parametrize("shifts", [(1e6, 0.0), (-1e6, 1e6), (50.0, -2000.0)])
def test_shifts_of_random_effect_columns_change_nothing(shifts):
    for seed in range(30):
        _, x, z, _, _ = vector_case(seed)
        base, fit = vector_fit(seed, x, z), vector_fit(seed, x + shifts[0], z + shifts[1])
        assert abs(fit.criterion - base.criterion) <= 1e-8, seed
        assert abs(fit.optimum.evaluations - base.optimum.evaluations) <= 2, seed


def test_any_basis_of_the_random_effects_gives_the_same_fit():
    turn = np.random.default_rng(0).normal(size=(3, 3))
    for seed in range(20):
        y, x, z, g, h = vector_case(seed)
        columns = np.column_stack([np.ones(N), x, z])
        fits = [fit_arrays(y, columns, terms=[RandomTerm(g, Z), RandomTerm(h)]) for Z in (columns, columns @ turn)]
        assert abs(fits[0].criterion - fits[1].criterion) <= 1e-8, seed
        modes = [fits[0].ranef[0], fits[1].ranef[0] @ turn.T]
        np.testing.assert_allclose(modes[1], modes[0], atol=1e-4)


def test_the_cubic_model_of_sleepstudy_reaches_its_optimum():
    fit = hd.lmer(
        "Reaction ~ Days + (Days + I(Days^2) + I(Days^3) | Subject)", hd.datasets.load_sleepstudy(), max_evaluations=12
    )
    assert fit.criterion == pytest.approx(1720.42159, abs=5e-6)
    assert fit.optimum.certificate.holds


# --------------------------------------------------------------------------------------------- NIST StRD, SmLs01 ... 09


def digits(value, exact):
    """Correct digits of a float: minus the logarithm of its relative error, at most 16."""
    error = abs(Fraction(value) - exact) / abs(exact)
    return 16.0 if error == 0 else min(16.0, -np.log10(float(error)))


def simon_lesage(base, replicates, scale=1):
    """NIST's rule: base + 0.4 + t_i + e_j with t, e = 0, -0.1, 0.1, -0.1, ..., written in decimals and rounded once."""
    steps = [Decimal(0)] + [Decimal("-0.1"), Decimal("0.1")] * (replicates // 2)
    rows = [(Decimal(base) + Decimal("0.4") + t + e) * scale for t in steps[:9] for e in steps]
    return np.array([float(row) for row in rows]), np.repeat(np.arange(9), replicates)


NIST = [  # base, digits to reach; the decimals themselves hold no more than this
    (1, 13.0, (21, 201, 2001)),
    (10**6, 9.8, (21, 201, 2001)),
    (10**12, 3.9, (21, 201, 2001)),
]
NIST_CASES = [(base, goal, replicates) for base, goal, several in NIST for replicates in several]


@pytest.mark.parametrize("base, goal, replicates", NIST_CASES, ids=[f"SmLs0{i}" for i in range(1, 10)])
@pytest.mark.parametrize("scale", [1, 10], ids=["decimals", "integers"])
def test_variances_of_the_nist_sets_are_exact_to_the_digits_of_the_data(base, goal, replicates, scale):
    y, codes = simon_lesage(base, replicates, scale)
    fit = fit_arrays(y, np.ones(len(y)), terms=[RandomTerm(codes)])
    within = Fraction(scale**2, 100)
    between = (Fraction(replicates, 100) * scale**2 - within) / replicates
    goal = 13.0 if scale == 10 else goal
    assert digits(fit.sigma**2, within) >= goal
    assert digits(float(fit.covariances[0][0, 0]), between) >= goal


# ------------------------------------------------------------------------------------------------- near-degenerate data


def test_a_nearly_collinear_column_is_kept_and_its_coefficient_is_right():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(12), 10)
    x, z = rng.normal(size=(2, 120))
    y = 2 + x + rng.normal(size=12)[g] + rng.normal(size=120)
    near = x + 1e-5 * z
    ones, terms = np.ones(120), [RandomTerm(g)]
    fit = fit_arrays(y, np.column_stack([ones, x, near]), terms=terms)
    same = fit_arrays(y, np.column_stack([ones, x, near - x]), terms=terms)  # the same space, well conditioned
    assert fit.kept == [0, 1, 2]
    assert fit.criterion == pytest.approx(same.criterion, abs=1e-8)
    np.testing.assert_allclose(fit.fitted, same.fitted, atol=1e-8)
    assert fit.beta[2] == pytest.approx(same.beta[2], rel=1e-7)


def test_far_away_columns_give_the_dense_answer_at_the_same_theta():
    """Longley-like: a year, a price level and a trend, each far from zero."""
    rng = np.random.default_rng(4)
    year = 1950.0 + np.arange(96) // 6
    price = 1e6 + 5 * (year - 1950) + on_grid(rng.normal(size=96))
    g = np.arange(96) % 6
    y = 3e6 + 0.5 * (year - 1950) + rng.normal(size=6)[g] + rng.normal(size=96)
    fit = fit_arrays(y, np.column_stack([np.ones(96), year, price]), terms=[RandomTerm(g)])
    centred = np.column_stack([np.ones(96), year - 1958, price - 1e6])
    same = fit_arrays(y - 3e6, centred, terms=[RandomTerm(g)])
    assert fit.criterion == pytest.approx(same.criterion, abs=1e-8)
    np.testing.assert_allclose(fit.beta[1:], same.beta[1:], rtol=1e-7)


@pytest.mark.parametrize("theta", [0.0, 1e-6, 1e-3, 1.0, 1e3, 1e4, 1e5, 1e6])
@REML
def test_the_criterion_at_huge_and_tiny_theta_is_that_of_the_closed_form(theta, reml):
    """Balanced one-way: log|V| = levels log(1 + replicates theta^2), and V^-1 shrinks the means."""
    levels, replicates = 9, 5
    y = np.random.default_rng(8).normal(size=(levels, replicates))
    means, grown = y.mean(axis=1), replicates * theta**2
    pwrss = np.sum((y - means[:, None]) ** 2) + replicates * np.sum((means - means.mean()) ** 2) / (1 + grown)
    df = y.size - reml
    expected = levels * np.log1p(grown) + df * (1 + np.log(2 * np.pi * pwrss / df))
    expected += reml * (np.log(y.size) - np.log1p(grown))
    codes = np.repeat(np.arange(levels, dtype=np.int32), replicates)
    problem = _core.Problem(y.ravel(), [None], [codes], [levels], [(0, [None])])
    assert problem.criterion(np.array([theta]), reml) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("ratio", [1e-8, 1e-4, 1e4, 1e6, 1e8, 1e12])
@REML
def test_huge_and_tiny_variance_ratios_are_those_of_the_closed_form(ratio, reml):
    """Balanced one-way: the optimum has a closed form in the two mean squares."""
    levels, replicates = 12, 7
    rng = np.random.default_rng(5)
    means, noise = rng.normal(size=levels), rng.normal(size=(levels, replicates))
    means -= means.mean()
    noise -= noise.mean(axis=1, keepdims=True)
    within = np.sum(noise**2) / (levels * (replicates - 1))
    wanted = within * ratio  # between-level variance
    df = levels - 1 if reml else levels
    means *= np.sqrt((wanted + within / replicates) * df / np.sum(means**2))
    y = (means[:, None] + noise).ravel()
    codes = np.repeat(np.arange(levels), replicates)
    fit = fit_arrays(y, np.ones(y.size), terms=[RandomTerm(codes)], reml=reml)
    total = levels * (replicates - 1) * np.log(within) + df * np.log(within + replicates * wanted)
    total += y.size * (1 + np.log(2 * np.pi)) if not reml else (y.size - 1) * (1 + np.log(2 * np.pi)) + np.log(y.size)
    assert fit.converged
    assert fit.criterion == pytest.approx(total, abs=1e-7)
    assert fit.sigma**2 == pytest.approx(within, rel=1e-6)
    if ratio > 1e-5:
        assert fit.theta[0] ** 2 == pytest.approx(ratio, rel=1e-5)


def test_balanced_variances_are_those_of_the_analysis_of_variance():
    """Crossed without replication: REML solves the ANOVA equations when both estimates are positive."""
    penicillin = hd.datasets.load_penicillin()
    fit = hd.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", penicillin)
    table = penicillin.pivot_table(index="plate", columns="sample", values="diameter").to_numpy()
    a, b = table.shape
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    residual = table - rows[:, None] - columns + table.mean()
    error = np.sum(residual**2) / ((a - 1) * (b - 1))
    expected = [(b * rows.var(ddof=1) - error) / b, (a * columns.var(ddof=1) - error) / a, error]
    np.testing.assert_allclose(fit.varcorr.to_frame()["vcov"], expected, rtol=1e-6)


def test_a_hilbert_matrix_of_random_effects_still_converges():
    """Six effects whose columns have condition number 1e7: only the space they span counts."""
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(40), 12)
    columns = rng.normal(size=(480, 6))
    y = np.sum(columns * (rng.normal(size=(40, 6)))[g], axis=1) + rng.normal(size=480)
    ones = np.ones(480)
    base = fit_arrays(y, ones, terms=[RandomTerm(g, columns)])
    fit = fit_arrays(y, ones, terms=[RandomTerm(g, columns @ linalg.hilbert(6))])
    assert fit.converged
    assert fit.criterion == pytest.approx(base.criterion, abs=1e-6)
