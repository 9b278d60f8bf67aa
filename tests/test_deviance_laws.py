"""Laws of the criterion that hold at every theta, on designs drawn by hypothesis; no optimiser is involved."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle import Term, relative_factors
from strategies import LAWS, Design, deep_designs, lam_theta, lower_triangles, models

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def same(design, ours, theirs):
    """Equal to ten digits on the scale of a sum over the rows."""
    assert ours == pytest.approx(theirs, abs=1e-10 * (design.n + abs(theirs)))


def criterion(design, theta, reml):
    return design.problem().criterion(np.ascontiguousarray(theta), reml)


def with_columns(term, columns):
    return Term(term.codes, columns)


def invertible(size, rng):
    """A well-conditioned square matrix."""
    q, _ = np.linalg.qr(rng.normal(size=(size, size)))
    return q * rng.uniform(0.3, 3.0, size) @ np.linalg.qr(rng.normal(size=(size, size)))[0]


# ------------------------------------------------------------------------------------------------- what changes nothing


@LAWS
@given(models(), seeds)
def test_the_order_of_rows_does_not_matter(model, rng):
    design, theta, reml = model
    same(design, criterion(design.rows(rng.permutation(design.n)), theta, reml), criterion(design, theta, reml))


@LAWS
@given(models(), seeds)
def test_the_numbering_of_levels_does_not_matter(model, rng):
    design, theta, reml = model
    order = {id(term.codes): rng.permutation(term.levels).astype(np.int32) for term in design.terms}
    new = {id(term.codes): order[id(term.codes)][term.codes] for term in design.terms}  # shared factors stay shared
    terms = tuple(Term(new[id(term.codes)], term.columns) for term in design.terms)
    same(design, criterion(replace(design, terms=terms), theta, reml), criterion(design, theta, reml))


@LAWS
@given(models(), seeds)
def test_the_order_of_terms_does_not_matter(model, rng):
    design, theta, reml = model
    order = rng.permutation(len(design.terms))
    factors = relative_factors(theta, design.sizes)
    swapped = replace(design, terms=tuple(design.terms[t] for t in order))
    same(
        design,
        criterion(swapped, lower_triangles([factors[t] for t in order]), reml),
        criterion(design, theta, reml),
    )


@LAWS
@given(models())
def test_a_level_without_rows_changes_nothing(model):
    design, theta, reml = model
    same(design, criterion(replace(design, spare=3), theta, reml), criterion(replace(design, spare=0), theta, reml))


@LAWS
@given(models(), seeds)
def test_the_sign_of_a_column_of_lam_does_not_matter(model, rng):
    design, theta, reml = model
    flipped = [lam * rng.choice([-1.0, 1.0], len(lam)) for lam in relative_factors(theta, design.sizes)]
    same(design, criterion(design, lower_triangles(flipped), reml), criterion(design, theta, reml))


@LAWS
@given(models(), seeds)
def test_only_lam_lam_counts_so_a_basis_of_z_is_arbitrary(model, rng):
    design, theta, reml = model
    changes = [invertible(size, rng) for size in design.sizes]
    terms = tuple(with_columns(term, term.columns @ d) for term, d in zip(design.terms, changes, strict=True))
    factors = [np.linalg.solve(d, lam) for d, lam in zip(changes, relative_factors(theta, design.sizes), strict=True)]
    same(design, criterion(replace(design, terms=terms), lam_theta(factors), reml), criterion(design, theta, reml))


@LAWS
@given(models(), st.sampled_from([1e-6, 0.25, 3.0, 1e6]))
def test_a_constant_weight_only_rescales_theta(model, c):
    design, theta, reml = model
    weighted = replace(design, weights=np.full(design.n, c))
    same(design, criterion(weighted, theta / np.sqrt(c), reml), criterion(replace(design, weights=None), theta, reml))


@LAWS
@given(models(), seeds)
def test_what_the_fixed_effects_explain_does_not_count(model, rng):
    design, theta, reml = model
    shifted = replace(design, y=design.y + design.x @ (10 * rng.normal(size=design.x.shape[1])))
    same(design, criterion(shifted, theta, reml), criterion(design, theta, reml))


@LAWS
@given(models(), seeds)
def test_a_column_that_earlier_columns_determine_changes_nothing(model, rng):
    design, theta, reml = model
    p = design.x.shape[1]
    redundant = replace(design, x=np.column_stack([design.x, design.x @ rng.normal(size=(p, 2))]))
    problem = redundant.problem()
    assert problem.kept == list(range(p))
    same(design, problem.criterion(theta, reml), criterion(design, theta, reml))


@LAWS
@given(models(), seeds)
def test_terms_on_one_factor_are_one_term_with_a_block_diagonal_lam(model, rng):
    design, theta, reml = model
    one = design.terms[0]
    extra = with_columns(one, rng.normal(size=(design.n, 1)))
    apart = replace(design, terms=(one, extra, *design.terms[1:]))
    joint = replace(design, terms=(with_columns(one, np.hstack([one.columns, extra.columns])), *design.terms[1:]))
    first, *rest = relative_factors(theta, design.sizes)
    block = np.zeros((one.size + 1, one.size + 1))
    block[:-1, :-1], block[-1, -1] = first, 0.7
    same(
        design,
        criterion(apart, lower_triangles([first, np.array([[0.7]]), *rest]), reml),
        criterion(joint, lower_triangles([block, *rest]), reml),
    )


# ------------------------------------------------------------------------------------------- what changes it by so much


@LAWS
@given(models(), seeds, st.integers(0, 6))
def test_weights_are_rows_times_their_root_and_add_minus_their_logarithms(model, rng, decades):
    design, theta, reml = model
    weights = 10.0 ** rng.uniform(-decades, decades, design.n)
    root = np.sqrt(weights)[:, None]
    terms = tuple(with_columns(term, root * term.columns) for term in design.terms)
    scaled = replace(design, y=root[:, 0] * design.y, x=root * design.x, terms=terms, weights=None)
    weighted = replace(design, weights=weights)
    same(design, criterion(weighted, theta, reml), criterion(scaled, theta, reml) - np.log(weights).sum())


@LAWS
@given(models(), st.sampled_from([-3.0, 1e-7, 0.5, 1e9]))
def test_a_response_times_c_adds_2_df_log_c(model, c):
    design, theta, reml = model
    added = 2 * design.df(reml) * np.log(abs(c))
    same(design, criterion(replace(design, y=c * design.y), theta, reml), criterion(design, theta, reml) + added)


@LAWS
@given(models(), seeds)
def test_a_basis_of_x_adds_its_log_determinant_to_reml_and_nothing_to_ml(model, rng):
    design, theta, reml = model
    t = invertible(design.x.shape[1], rng) if design.x.shape[1] else np.empty((0, 0))
    added = 2 * np.linalg.slogdet(t)[1] if reml else 0.0
    same(design, criterion(replace(design, x=design.x @ t), theta, reml), criterion(design, theta, reml) + added)


@LAWS
@given(models())
def test_theta_zero_is_weighted_least_squares(model):
    design, theta, reml = model
    w, df = design.w, design.df(reml)
    root = np.sqrt(w)[:, None]
    beta = np.linalg.lstsq(root * design.x, root[:, 0] * design.y, rcond=None)[0]
    rss = np.sum(w * (design.y - design.x @ beta) ** 2)
    expected = df * (1 + np.log(2 * np.pi * rss / df)) - np.log(w).sum()
    if reml:
        expected += np.linalg.slogdet((root * design.x).T @ (root * design.x))[1]
    at = design.problem().solve(np.zeros_like(theta), reml)
    same(design, at.criterion, expected)
    np.testing.assert_allclose(at.beta, beta, rtol=1e-9, atol=1e-9)
    assert at.sigma == pytest.approx(np.sqrt(rss / df), rel=1e-10)
    assert all(not b.any() for b in at.b)


# ----------------------------------------------------------------------------------------------------- the dense oracle


def assert_dense(design, theta, reml):
    """Everything a solution holds, against n x n matrices."""
    want = design.dense(theta, reml)
    problem = design.problem()
    at = problem.solve(theta, reml)
    same(design, at.criterion, want.criterion)
    same(design, problem.criterion(theta, reml), want.criterion)
    scale = np.abs(design.y).max()
    np.testing.assert_allclose(at.beta, want.beta, rtol=1e-8, atol=1e-9 * scale)
    np.testing.assert_allclose(at.sigma**2 * at.unscaled_vcov, want.vcov, rtol=1e-8, atol=1e-10)
    assert at.sigma == pytest.approx(want.sigma, rel=1e-9)
    variances = problem.conditional_variances(theta, reml)
    covariances = [lam @ lam.T for lam in relative_factors(theta, design.sizes)]
    for t, term in enumerate(design.terms):
        size = term.levels
        largest = max(1.0, np.abs(want.b[t]).max())
        np.testing.assert_allclose(at.b[t][:size], want.b[t], rtol=1e-8, atol=1e-9 * largest)
        np.testing.assert_allclose(at.u[t][:size], want.u[t], rtol=1e-8, atol=1e-9 * max(1.0, np.abs(want.u[t]).max()))
        largest = want.sigma**2 * max(1.0, np.abs(covariances[t]).max())  # the oracle subtracts from it
        np.testing.assert_allclose(variances[t][:size], want.conditional_variances[t], rtol=1e-8, atol=1e-10 * largest)


@LAWS
@given(models())
def test_blocked_is_the_dense_marginal_likelihood(model):
    assert_dense(*model)


@settings(LAWS, max_examples=10)
@given(models(deep_designs()))
def test_blocked_with_a_sparse_trailing_block_is_the_dense_marginal_likelihood(model):
    assert model[0].problem().block_description[-1]["storage"].startswith("sparse")
    assert_dense(*model)


@pytest.mark.parametrize("effects", [5, 8, 12, 20])
@pytest.mark.parametrize("terms", [1, 2])
def test_many_effects_per_level_are_the_dense_marginal_likelihood(effects, terms):
    rng = np.random.default_rng(effects)
    n = 150
    codes = [rng.integers(0, 6 - t, n).astype(np.int32) for t in range(terms)]
    x = np.column_stack([np.ones(n), rng.normal(size=n)])
    design = Design(rng.normal(size=n), x, tuple(Term(c, rng.normal(size=(n, effects))) for c in codes), None)
    theta = lower_triangles([0.3 * np.tril(rng.normal(size=(effects, effects))) for _ in codes])
    for reml in (True, False):
        assert_dense(design, theta, reml)
        assert_gradient(design, theta, reml)


@LAWS
@given(models())
def test_the_criterion_is_the_sum_of_its_parts(model):
    design, theta, reml = model
    at, df = design.problem().solve(theta, reml), design.df(reml)
    parts = at.log_det_l + df * (1 + np.log(2 * np.pi * at.pwrss / df)) - np.log(design.w).sum()
    same(design, at.criterion, parts + (at.log_det_rx if reml else 0.0))
    assert at.sigma**2 == pytest.approx(at.pwrss / df, rel=1e-12)
    assert at.reml is reml


# ------------------------------------------------------------------------------- certificates: slopes, normal equations


def slopes(function, theta, step=2e-4):
    """Central differences of the fourth order."""
    out = np.empty_like(theta)
    for k in range(len(theta)):
        unit = np.zeros_like(theta)
        unit[k] = step * max(1.0, abs(theta[k]))
        one, two = (function(theta + m * unit) - function(theta - m * unit) for m in (1, 2))
        out[k] = (8 * one - two) / (12 * unit[k])
    return out


def assert_gradient(design, theta, reml):
    problem = design.problem()
    value, gradient = problem.gradient(theta, reml)
    assert value == problem.criterion(theta, reml)
    expected = slopes(lambda at: problem.criterion(at, reml), theta)
    np.testing.assert_allclose(gradient, expected, atol=1e-7 * (1 + np.abs(expected).max()))


@LAWS
@given(models())
def test_the_gradient_is_that_of_central_differences_also_at_singular_theta(model):
    assert_gradient(*model)


@settings(LAWS, max_examples=10)
@given(models(deep_designs()))
def test_the_gradient_of_a_sparse_trailing_block_is_that_of_central_differences(model):
    assert_gradient(*model)


@LAWS
@given(models())
def test_the_slope_along_a_column_of_lam_at_zero_is_zero(model):
    design, theta, reml = model
    lam = relative_factors(theta, design.sizes)
    lam[0][:, -1] = 0.0
    gradient = design.problem().gradient(lower_triangles(lam), reml)[1]
    own = relative_factors(gradient, design.sizes)[0]
    assert np.abs(own[:, -1]).max() <= 1e-8 * (1 + np.abs(gradient).max())


@LAWS
@given(models())
def test_the_solution_satisfies_hendersons_equations(model):
    design, theta, reml = model
    at = design.problem().solve(theta, reml)
    residual = design.y - design.x @ at.beta
    for term, b in zip(design.terms, at.b, strict=True):
        residual -= np.sum(term.columns * b[term.codes], axis=1)
    weighted = design.w * residual
    scale = np.abs(design.y).max() * design.w.max() * design.n * max(1.0, np.abs(theta).max())
    np.testing.assert_allclose(design.x.T @ weighted, 0, atol=1e-11 * scale)
    penalty = 0.0
    for term, lam, b, u in zip(design.terms, relative_factors(theta, design.sizes), at.b, at.u, strict=True):
        np.testing.assert_allclose(b, u @ lam.T, rtol=1e-8, atol=1e-10 * scale)
        cross = (term.matrix().T @ weighted).reshape(term.levels, term.size)
        np.testing.assert_allclose(u[: term.levels], cross @ lam, atol=1e-10 * scale)
        penalty += np.sum(u**2)
    assert at.pwrss == pytest.approx(weighted @ residual + penalty, rel=1e-8)


# --------------------------------------------------------------------------------------------------------- other states


@LAWS
@given(models(), seeds)
def test_another_response_in_the_same_problem_is_a_fresh_problem(model, rng):
    design, theta, reml = model
    problem = design.problem()
    other = replace(design, y=rng.normal(size=design.n))
    problem.criterion(theta, reml)
    problem.set_response(other.y)
    assert problem.criterion(theta, reml) == pytest.approx(criterion(other, theta, reml), rel=1e-11)
    problem.set_response(design.y)
    assert problem.criterion(theta, reml) == pytest.approx(criterion(design, theta, reml), rel=1e-11)


@LAWS
@given(models())
def test_an_evaluation_leaves_no_trace(model):
    design, theta, reml = model
    problem = design.problem()
    first = problem.criterion(theta, reml)
    problem.criterion(theta + 1.0, not reml)
    problem.gradient(0.5 * theta, reml)
    problem.conditional_variances(theta + 0.5, reml)
    assert problem.criterion(theta, reml) == first


@settings(LAWS, max_examples=20)
@given(models())
def test_theta_may_be_any_view_of_its_numbers(model):
    design, theta, reml = model
    problem = design.problem()
    assert problem.criterion(np.repeat(theta, 3)[::3], reml) == problem.criterion(theta, reml)
    assert problem.criterion(theta[::-1].copy()[::-1], reml) == problem.criterion(theta, reml)


@LAWS
@given(models(), st.sampled_from([1e3, 1e8, 1e100, 1e200]))
def test_the_criterion_of_a_huge_theta_is_a_number_or_infinite_but_never_nan(model, size):
    design, theta, reml = model
    problem = design.problem()
    at = theta * size
    value, slope = problem.gradient(at, reml)
    assert value == problem.criterion(at, reml)
    assert not np.isnan(value)
    assert np.isfinite(value) or size > 1e3
    assert np.isfinite(slope).all() or size > 1e3
