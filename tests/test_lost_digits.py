"""Where residuals or the information about X are a tiny part of the cross-products, the rows are read again.

The reference is exact: rational arithmetic on the numbers as they are stored.
"""

import math
from fractions import Fraction

import numpy as np
import pytest

from henderson import RandomTerm, _core, fit_arrays

REML = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
N = 24


def solved(matrix, right):
    """matrix⁻¹ right and log|matrix|, by elimination; both are lists of rows of fractions, matrix positive definite."""
    rows = [[*left, *other] for left, other in zip(matrix, right, strict=True)]
    log_det = 0.0
    for j, row in enumerate(rows):
        pivot = row[j]
        log_det += math.log(pivot.numerator) - math.log(pivot.denominator)
        rows[j] = row = [value / pivot for value in row]
        for i, other in enumerate(rows):
            if i != j and other[j]:
                rows[i] = [value - other[j] * own for value, own in zip(other, row, strict=True)]
    return [row[len(rows) :] for row in rows], log_det


def exact(y, x, z_psi, weights, reml):
    """Criterion, beta and residual variance for V = sum of Z Psi Z' + W⁻¹."""
    n, p = x.shape
    v = [[Fraction(0)] * n for _ in range(n)]
    for z, psi in z_psi:
        half = [[sum((a * b for a, b in zip(row, col, strict=True)), Fraction(0)) for col in psi] for row in z]
        for i in range(n):
            for j in range(n):
                v[i][j] += sum((a * b for a, b in zip(half[i], z[j], strict=True)), Fraction(0))
    for i in range(n):
        v[i][i] += 1 / Fraction(weights[i])
    right = [[*map(Fraction, x[i]), Fraction(y[i])] for i in range(n)]
    inverse, log_det = solved(v, right)
    gram = [[sum(right[i][a] * inverse[i][b] for i in range(n)) for b in range(p + 1)] for a in range(p + 1)]
    beta, log_det_x = solved([row[:p] for row in gram[:p]], [row[p:] for row in gram[:p]])
    pwrss = gram[p][p] - sum(gram[p][a] * beta[a][0] for a in range(p))
    df = n - p if reml else n
    value = log_det + (log_det_x if reml else 0.0) + df * (1 + math.log(2 * math.pi * float(pwrss / df)))
    return value, [float(own[0]) for own in beta], float(pwrss / df)


def rational(z, codes, levels, lam):
    """Z (n, s levels) and Psi = I (x) lam lam' as fractions, Psi by rows."""
    n, s = z.shape
    dense = [[Fraction(0)] * (s * levels) for _ in range(n)]
    for i in range(n):
        for k in range(s):
            dense[i][s * codes[i] + k] = Fraction(z[i, k])
    own = [[sum(Fraction(a) * Fraction(b) for a, b in zip(u, w, strict=True)) for w in lam] for u in lam]
    psi = [[Fraction(0)] * (s * levels) for _ in range(s * levels)]
    for j in range(levels):
        for a in range(s):
            for b in range(s):
                psi[s * j + a][s * j + b] = own[a][b]
    return dense, psi


def design(kind):
    """X, and per term columns, codes and factor; the response is theta times as large as its noise."""
    rng = np.random.default_rng(4)
    ones, x = np.ones(N), np.round(rng.normal(size=N), 3)
    g, h = np.arange(N, dtype=np.int32) % 5, (np.arange(N, dtype=np.int32) // 3) % 4
    terms = {
        "one factor": [(ones[:, None], g)],
        "slopes": [(np.column_stack([ones, x]), g)],
        "crossed": [(ones[:, None], g), (ones[:, None], h)],
        "crossed slopes": [(np.column_stack([ones, x]), g), (ones[:, None], h)],
        "nested": [(ones[:, None], g // 2), (ones[:, None], g)],
        "weighted": [(ones[:, None], g)],
    }[kind]
    weights = np.round(rng.uniform(0.5, 2.0, N), 3) if kind == "weighted" else None
    return np.column_stack([ones, x]), terms, weights


def compiled(y, x, terms, weights):
    codes, levels, layout = [], [], []
    for z, own in terms:
        layout.append((len(codes), [None, *(np.ascontiguousarray(z[:, k]) for k in range(1, z.shape[1]))]))
        codes.append(own)
        levels.append(int(own.max()) + 1)
    columns = [None, *(np.ascontiguousarray(x[:, j]) for j in range(1, x.shape[1]))]
    return _core.Problem(y, columns, codes, levels, layout, weights)


def response(x, terms, scale, seed=7):
    rng = np.random.default_rng(seed)
    y = x @ [3.0, 2.0] + rng.normal(size=N)
    for z, codes in terms:
        y += scale * np.sum(z * rng.normal(size=(int(codes.max()) + 1, z.shape[1]))[codes], axis=1)
    return y


@pytest.mark.parametrize(
    "kind, scale, tolerance",
    [
        *((kind, scale, 1e-11) for kind in ["one factor", "slopes", "weighted"] for scale in [1e3, 1e5]),
        *((kind, scale, 2e-9) for kind in ["crossed", "crossed slopes", "nested"] for scale in [1e3, 1e4]),
    ],
)
@REML
def test_the_criterion_is_exact_however_much_of_the_response_the_random_effects_take(kind, scale, tolerance, reml):
    x, terms, weights = design(kind)
    y = response(x, terms, scale)
    lams = [np.array([[1.5]]) if z.shape[1] == 1 else np.array([[1.5, 0.0], [0.25, 0.75]]) for z, _ in terms]
    theta = scale * np.concatenate([lam[np.tril_indices(len(lam))] for lam in lams])
    parts = [rational(z, codes, int(codes.max()) + 1, scale * lam) for (z, codes), lam in zip(terms, lams, strict=True)]
    value, beta, variance = exact(y, x, parts, np.ones(N) if weights is None else weights, reml)
    problem = compiled(y, x, terms, weights)
    found = problem.solve(theta, reml)
    assert problem.criterion(theta, reml) == pytest.approx(value, rel=tolerance)
    assert found.sigma**2 == pytest.approx(variance, rel=1e-10)
    np.testing.assert_allclose(found.beta, beta, rtol=2e-6, atol=1e-7)


@REML
def test_refits_and_many_responses_read_their_own_rows(reml):
    """The rows of a response that is gone are not read: each fit equals one from scratch."""
    x, terms, _ = design("slopes")
    own = [RandomTerm(codes, z) for z, codes in terms]
    responses = [response(x, terms, 1e5, seed=seed) for seed in range(4)]
    fit = fit_arrays(responses[0], x, terms=own, reml=reml)
    again = [fit.refit(np.array(y)).criterion for y in responses]  # each array is let go after its fit
    many = fit.refit_many(np.column_stack(responses)).criterion
    fresh = [fit_arrays(y, x, terms=own, reml=reml).criterion for y in responses]
    np.testing.assert_allclose(again, fresh, rtol=1e-9)
    np.testing.assert_allclose(many, fresh, rtol=1e-9)


def test_threads_do_not_change_a_bit():
    rng = np.random.default_rng(1)
    g, h = rng.integers(0, 300, 60_000), rng.integers(0, 40, 60_000)
    y = 1e5 * (rng.normal(size=300)[g] + rng.normal(size=40)[h]) + rng.normal(size=60_000)
    fits = [
        fit_arrays(y, np.ones((60_000, 1)), terms=[RandomTerm(g), RandomTerm(h)], threads=threads)
        for threads in (1, 2, 5)
    ]
    assert len({fit.criterion for fit in fits}) == 1
    assert len({fit.theta.tobytes() for fit in fits}) == 1
    assert fits[0].sigma == pytest.approx(1.0, rel=0.02)
