"""Levels stripped before the leading factor change the work of a fit and nothing else."""

import numpy as np
import pytest

import generators
import oracle
from henderson import RandomTerm, fit_arrays


def long_tailed(users=120, items=110, rows=330, effects=1, departments=0, seed=0):
    """Half of the items have one to three rows, all of one user: (y, X, oracle terms)."""
    rng = np.random.default_rng(seed)
    leaves = items // 2
    v = np.concatenate([np.repeat(np.arange(leaves), 1 + np.arange(leaves) % 3), np.arange(leaves, items)])
    v = np.concatenate([v, rng.integers(leaves, items, rows - len(v))])
    u = np.where(v < leaves, v % users, rng.integers(users, size=rows))
    u[-users:] = np.where(v[-users:] < leaves, u[-users:], np.arange(users))
    x = rng.normal(size=rows)
    columns = np.column_stack([np.ones(rows), x])
    codes = [u, v] + ([rng.integers(departments, size=rows)] if departments else [])
    z = [columns[:, :effects], columns[:, :effects], columns[:, :1]]
    y = rng.normal(size=rows) + 0.5 * x + sum(rng.normal(size=c.max() + 1)[c] for c in codes)
    return y, columns, [oracle.Term(c.astype(np.int32), each) for c, each in zip(codes, z, strict=False)]


def fitted(y, X, terms, **options):
    return fit_arrays(y, X, terms=[RandomTerm(term.codes, term.columns) for term in terms], **options)


DESIGNS = {
    "two factors": {},
    "slopes": {"effects": 2},
    "three factors": {"departments": 4, "rows": 400},
    "three factors, slopes": {"effects": 2, "departments": 3, "rows": 400},
}


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", DESIGNS)
def test_a_fit_with_stripped_levels_equals_the_dense_model(name, weighted, reml):
    y, X, terms = long_tailed(**DESIGNS[name])
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(y)) if weighted else None
    fit = fitted(y, X, terms, weights=weights, REML=reml)
    assert any(block.stripped for block in fit.blocks.factors)
    dense = oracle.evaluate(y, X, terms, fit.theta, reml=reml, weights=weights)
    assert fit.objective == pytest.approx(dense.criterion, rel=1e-10)
    assert fit.sigma == pytest.approx(dense.sigma, rel=1e-8)
    np.testing.assert_allclose(fit.fixef, dense.beta, rtol=1e-6, atol=1e-8)
    for term in range(len(terms)):
        for step in (1e-3, -1e-3):
            moved = np.array(fit.theta)
            moved[term] += step
            other = oracle.evaluate(y, X, terms, moved, reml=reml, weights=weights)
            assert other.criterion > dense.criterion - 1e-6
