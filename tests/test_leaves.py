"""Levels that are eliminated before the leading factor change the work of a fit and nothing else."""

import numpy as np
import pytest

import generators
import oracle
from henderson import RandomTerm, fit_arrays

USERS, ITEMS, LEAVES, ROWS = 120, 110, 70, 900


def long_tailed(effects, departments, seed=0):
    """The first items have one to three rows, all of one user; the others fill their block: y, X and the terms."""
    rng = np.random.default_rng(seed)
    few = np.repeat(np.arange(LEAVES), 1 + np.arange(LEAVES) % 3)
    item = np.concatenate([few, rng.integers(LEAVES, ITEMS, ROWS - len(few))])
    user = np.concatenate([few % USERS, np.arange(USERS), rng.integers(USERS, size=ROWS - len(few) - USERS)])
    codes = [user, item] + ([rng.integers(departments, size=ROWS)] if departments else [])
    X = np.column_stack([np.ones(ROWS), rng.normal(size=ROWS)])
    y = X @ [1.0, 0.5] + rng.normal(size=ROWS)
    terms = []
    for each, columns in zip(codes, (X[:, :effects], X[:, :effects], X[:, :1]), strict=False):
        effect = rng.normal(size=(each.max() + 1, columns.shape[1]))
        y += np.sum(columns * effect[each], axis=1)
        terms.append(oracle.Term(each.astype(np.int32), columns))
    return y, X, terms


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("effects, departments", [(1, 0), (2, 0), (1, 4), (2, 3)])
def test_a_fit_with_stripped_levels_equals_the_dense_model(effects, departments, weighted, reml):
    y, X, terms = long_tailed(effects, departments)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, ROWS) if weighted else None
    columns = [RandomTerm(term.codes, term.columns) for term in terms]
    fit = fit_arrays(y, X, terms=columns, weights=weights, reml=reml)
    assert [block.stripped for block in fit.blocks.factors][:2] == [0, LEAVES]
    dense = oracle.evaluate(y, X, terms, fit.theta, reml=reml, weights=weights)
    assert fit.criterion == pytest.approx(dense.criterion, rel=1e-11)
    assert fit.sigma == pytest.approx(dense.sigma, rel=1e-9)
    np.testing.assert_allclose(fit.beta, dense.beta, rtol=1e-7)
    np.testing.assert_allclose(fit.vcov, dense.vcov, rtol=1e-6, atol=1e-10)
    for term in range(len(terms)):
        np.testing.assert_allclose(fit.ranef[term], dense.b[term], rtol=1e-6, atol=1e-7)
        expected = dense.conditional_variances[term]
        np.testing.assert_allclose(fit.conditional_variances[term], expected, rtol=1e-6, atol=1e-8)


def test_another_response_on_a_design_with_stripped_levels():
    y, X, terms = long_tailed(1, 3)
    columns = [RandomTerm(term.codes, term.columns) for term in terms]
    other = np.random.default_rng(3).normal(size=ROWS) + y**2
    again, fresh = fit_arrays(y, X, terms=columns).refit(other), fit_arrays(other, X, terms=columns)
    assert again.criterion == pytest.approx(fresh.criterion, rel=1e-12)
    np.testing.assert_allclose(again.ranef[1], fresh.ranef[1], rtol=1e-5, atol=1e-6)


def blocks_of(table):
    names = [name for name in table.columns if name != "y"]
    terms = [RandomTerm(table[name].cat.codes.to_numpy(), levels=len(table[name].cat.categories)) for name in names]
    return fit_arrays(table["y"].to_numpy(), np.ones(len(table)), terms=terms, max_evaluations=1).blocks


@pytest.mark.parametrize("departments", [0, 10])
def test_items_seen_once_are_stripped_and_the_predicted_work_falls(departments):
    blocks = blocks_of(generators.long_tailed(30_000, (2000, 1200), departments))
    assert [block.stripped for block in blocks.factors][:2] == [0, 600]
    assert blocks.schur.size == 600 + departments
    assert blocks.flops < 0.2 * blocks.leads[0].unstripped_flops
    assert "1200 levels x 1 effect, in the Schur complement but for 600 stripped before" in str(blocks)
    assert "with the stripped levels in it " in str(blocks)


def test_nothing_is_stripped_where_no_level_has_a_single_neighbour():
    blocks = blocks_of(generators.ratings(20_000, (400, 300)))
    assert not any(block.stripped for block in blocks.factors)
    assert blocks.flops == blocks.leads[0].unstripped_flops
    assert blocks.leads[0].leaf_flops == 0
