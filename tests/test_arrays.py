"""Fits from arrays: the same numbers as the dense oracle, cheap refits, and errors that name the argument."""

import numpy as np
import pytest

import oracle
from cases import BY_NAME
from henderson import ArrayFit, DataError, RandomTerm, fit_arrays, lmer

REML = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])


@pytest.fixture(scope="module")
def sleep():
    """Response, X and codes of sleepstudy."""
    data = BY_NAME["sleepstudy"].data()
    x = np.column_stack([np.ones(len(data)), data["Days"]])
    return data["Reaction"].to_numpy(float), x, np.unique(data["Subject"], return_inverse=True)[1]


@pytest.fixture
def crossed():
    """An unbalanced crossed design with weights: y, X, terms as arrays, weights."""
    rng = np.random.default_rng(5)
    n = 90
    a, b = rng.integers(0, 9, n), rng.integers(0, 4, n)
    a[:9], b[:4] = np.arange(9), np.arange(4)
    x = rng.normal(size=n)
    y = 1 + x + rng.normal(size=9)[a] * (1 + x) + 2 * rng.normal(size=4)[b] + rng.normal(size=n)
    return y, np.column_stack([np.ones(n), x]), (a, b, x), rng.uniform(0.5, 2, n)


def dense(y, X, fit, terms, weights=None):
    dense_terms = [oracle.Term(term.codes, _matrix(term)) for term in terms]
    return oracle.evaluate(y, X, dense_terms, fit.theta, reml=fit.is_reml, weights=weights)


def _matrix(term):
    return np.column_stack([np.ones(len(term.codes)) if column is None else column for column in term.columns])


@REML
def test_everything_reported_is_the_dense_oracle_at_theta(crossed, reml):
    y, X, (a, b, x), weights = crossed
    terms = [RandomTerm(a, np.column_stack([np.ones_like(x), x])), RandomTerm(b)]
    fit = fit_arrays(y, X, terms=terms, reml=reml, weights=weights)
    want = dense(y, X, fit, terms, weights)
    assert fit.criterion == pytest.approx(want.criterion, rel=1e-10)
    assert fit.loglik == -fit.criterion / 2
    np.testing.assert_allclose(fit.beta, want.beta, rtol=1e-7)
    np.testing.assert_allclose(fit.vcov, want.vcov, rtol=1e-7)
    np.testing.assert_allclose(fit.stderror**2, np.diag(want.vcov), rtol=1e-7)
    assert fit.sigma == pytest.approx(want.sigma, rel=1e-8)
    np.testing.assert_allclose(fit.fitted, want.fitted, rtol=1e-7)
    np.testing.assert_allclose(fit.resid, y - want.fitted, rtol=1e-6, atol=1e-8)
    for ours, theirs in zip(fit.ranef, want.b, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    for ours, theirs in zip(fit.conditional_variances, want.conditional_variances, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    assert fit.converged
    assert fit.nobs == len(y)


def test_covariances_are_sigma_squared_lam_lam(sleep):
    y, X, codes = sleep
    fit = fit_arrays(y, X, terms=[RandomTerm(codes, X)])
    a, b, c = fit.theta
    lam = np.array([[a, 0], [b, c]])
    np.testing.assert_allclose(fit.covariances[0], fit.sigma**2 * lam @ lam.T)


def test_formula_and_arrays_agree(sleep):
    y, X, codes = sleep
    case = BY_NAME["sleepstudy"]
    by_formula = lmer(case.formula, case.data())
    by_arrays = fit_arrays(y, X, terms=[RandomTerm(codes, X)])
    assert by_arrays.criterion == pytest.approx(by_formula.criterion, rel=1e-12)
    np.testing.assert_allclose(by_arrays.beta, by_formula.fixef, rtol=1e-7)


def test_refit_is_a_fresh_fit(sleep):
    y, X, codes = sleep
    terms = [RandomTerm(codes, X)]
    other = y[::-1].copy()
    first = fit_arrays(y, X, terms=terms)
    again = first.refit(other)
    fresh = fit_arrays(other, X, terms=terms)
    assert again.criterion == pytest.approx(fresh.criterion, rel=1e-12)
    np.testing.assert_allclose(again.beta, fresh.beta, rtol=1e-8)
    np.testing.assert_allclose(again.resid, other - again.fitted, rtol=1e-8, atol=1e-9)


def test_a_refit_leaves_the_first_fit_as_it_was(sleep):
    y, X, codes = sleep
    first = fit_arrays(y, X, terms=[RandomTerm(codes)])
    second = first.refit(2 * y)  # before anything of the first was asked for
    np.testing.assert_allclose(second.beta, 2 * first.beta, rtol=1e-7)
    assert second.sigma == pytest.approx(2 * first.sigma, rel=1e-6)
    np.testing.assert_allclose(first.conditional_variances[0] * 4, second.conditional_variances[0], rtol=1e-5)


def test_the_caller_may_reuse_the_buffer_of_the_response(sleep):
    y, X, codes = sleep
    buffer = y.copy()
    fit = fit_arrays(buffer, X, terms=[RandomTerm(codes)])
    buffer *= 3
    again = fit.refit(buffer)
    buffer[:] = 0
    np.testing.assert_allclose(again.beta, 3 * fit.beta, rtol=1e-7)
    np.testing.assert_allclose(fit.resid, y - fit.fitted)


def test_many_responses_are_as_many_refits(sleep):
    y, X, codes = sleep
    rng = np.random.default_rng(2)
    fit = fit_arrays(y, X, terms=[RandomTerm(codes)])
    responses = y[:, None] + 30 * rng.normal(size=(len(y), 5))
    many = fit.refit_many(responses)
    assert len(many) == 5
    assert "5 responses, 5 converged" in repr(many)
    assert many.converged.all()
    for i in range(5):
        one = fit.refit(responses[:, i])
        np.testing.assert_allclose(many.theta[i], one.theta, atol=1e-6)
        np.testing.assert_allclose(many.beta[i], one.beta, rtol=1e-6)
        assert many.sigma[i] == pytest.approx(one.sigma, rel=1e-6)
        assert many.criterion[i] == pytest.approx(one.criterion, rel=1e-10)
    assert (many.evaluations > 0).all()


def test_offset_is_a_known_part_of_the_mean(sleep):
    y, X, codes = sleep
    offset = np.linspace(0, 50, len(y))
    terms = [RandomTerm(codes)]
    plain = fit_arrays(y - offset, X, terms=terms)
    fit = fit_arrays(y, X, terms=terms, offset=offset)
    assert fit.criterion == pytest.approx(plain.criterion, rel=1e-12)
    np.testing.assert_allclose(fit.fitted, plain.fitted + offset, rtol=1e-8)
    np.testing.assert_allclose(fit.resid, plain.resid, atol=1e-7)
    np.testing.assert_allclose(fit.refit_many(y[:, None]).beta[0], fit.beta, rtol=1e-7)


def test_terms_with_the_same_codes_share_a_factor(sleep):
    y, X, codes = sleep
    one = fit_arrays(y, X, terms=[RandomTerm(codes), RandomTerm(codes, X[:, 1])])
    equal = fit_arrays(y, X, terms=[RandomTerm(codes.copy()), RandomTerm(codes.astype(np.int8), X[:, 1])])
    case = BY_NAME["sleepstudy_uncorrelated"]
    reference = case.reference()
    for fit in (one, equal):
        assert fit.criterion == pytest.approx(reference["criterion"], rel=1e-10)
        assert len(fit._problem._arguments[1]) == 1


def test_intercept_column_may_be_left_to_the_term(sleep):
    y, X, codes = sleep
    fit = fit_arrays(y, X, terms=[RandomTerm(codes)])
    same = fit_arrays(y, X, terms=[RandomTerm(codes, np.ones(len(y)))])
    assert fit.criterion == pytest.approx(same.criterion, rel=1e-12)


def test_levels_without_rows_have_modes_of_zero(sleep):
    y, X, codes = sleep
    fit = fit_arrays(y, X, terms=[RandomTerm(codes)])
    more = fit_arrays(y, X, terms=[RandomTerm(codes, levels=25)])
    assert more.criterion == pytest.approx(fit.criterion, rel=1e-10)
    np.testing.assert_allclose(more.ranef[0][18:], 0)


def test_aliased_columns_are_nan(sleep):
    y, X, codes = sleep
    terms = [RandomTerm(codes)]
    fit = fit_arrays(y, np.column_stack([X, 2 * X[:, 1], X[:, 0]]), terms=terms)
    assert fit.kept == [0, 1]
    assert np.isnan(fit.beta).tolist() == [False, False, True, True]
    assert np.isnan(fit.vcov[2]).all()
    np.testing.assert_allclose(fit.beta[:2], fit_arrays(y, X, terms=terms).beta, rtol=1e-7)
    assert np.isnan(fit.refit_many(y[:, None]).beta[0, 2:]).all()


def test_no_fixed_effects(sleep):
    y, _, codes = sleep
    fit = fit_arrays(y - y.mean(), None, terms=[RandomTerm(codes)])
    assert fit.beta.shape == (0,)
    assert fit.fitted.shape == y.shape


def test_layouts_and_types_do_not_matter(sleep):
    y, X, codes = sleep
    want = fit_arrays(y, X, terms=[RandomTerm(codes, X)])
    for give in (np.asfortranarray, np.ascontiguousarray, lambda array: array.tolist(), lambda array: array[::1]):
        fit = fit_arrays(list(y), give(X), terms=[RandomTerm(codes.tolist(), give(X))])
        assert fit.criterion == pytest.approx(want.criterion, rel=1e-12)
    wide = np.repeat(X, 2, axis=1)[:, ::2]
    assert fit_arrays(y.astype(np.float32), wide, terms=want._inputs.terms).criterion == pytest.approx(
        want.criterion, rel=1e-5
    )


def test_start_at_the_optimum_needs_few_evaluations(sleep):
    y, X, codes = sleep
    fit = fit_arrays(y, X, terms=[RandomTerm(codes, X)])
    again = fit.refit(y, start=fit.theta)
    assert again.optimum.evaluations <= fit.optimum.evaluations
    assert again.criterion == pytest.approx(fit.criterion, rel=1e-12)
    assert fit_arrays(y, X, terms=[RandomTerm(codes, X)], start=fit.theta).converged


def test_callback_sees_every_evaluation_and_may_stop(sleep):
    y, X, codes = sleep
    seen = []

    def stop_at_three(theta, criterion, evaluation, decrement):
        seen.append((theta.copy(), criterion, evaluation, decrement))
        return evaluation >= 3

    fit = fit_arrays(y, X, terms=[RandomTerm(codes, X)], callback=stop_at_three)
    assert not fit.converged
    assert fit.optimum.status == "stopped by callback"
    assert seen[-1][2] == 3
    assert seen[0][0].shape == (3,)


def test_singular_fits_are_certified(sleep):
    _, _, codes = sleep
    rng = np.random.default_rng(0)
    for _ in range(20):
        y = rng.normal(size=len(codes))
        fit = fit_arrays(y, np.ones(len(y)), terms=[RandomTerm(codes)])
        if fit.is_singular:
            assert fit.optimum.certificate.holds
            assert "boundary" in str(fit.optimum)
            return
    pytest.fail("no singular fit among 20")


def test_representation_says_what_was_fitted(sleep):
    y, X, codes = sleep
    fit = fit_arrays(y, X, terms=[RandomTerm(codes, X)])
    assert isinstance(fit, ArrayFit)
    assert repr(fit) == "<ArrayFit: 180 rows, p = 2, terms [2 x 18 levels], REML criterion 1743.628272>"


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "codes, levels, message",
    [
        (["a", "b"], None, "codes has dtype .* numpy.unique"),
        ([0.0, 1.0], None, "integers 0, 1"),
        ([[0, 1]], None, "shape"),
        ([], None, "must be a vector of integers"),
        ([0, -1], None, "lie between -1 and 0"),
        ([0, 5], 3, "with 3 levels they must lie in 0 .. 2"),
    ],
)
def test_codes_must_be_small_integers(codes, levels, message):
    with pytest.raises(DataError, match=message):
        RandomTerm(codes, levels=levels)


def test_columns_must_fit_the_codes():
    with pytest.raises(DataError, match=r"Z has shape \(3, 1\); it must have shape \(2,"):
        RandomTerm([0, 1], [1.0, 2.0, 3.0])
    with pytest.raises(DataError, match="Z has no columns"):
        RandomTerm([0, 1], np.empty((2, 0)))
    with pytest.raises(DataError, match="Z cannot be read as numbers"):
        RandomTerm([0, 1], ["a", "b"])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"y": [1.0, 2.0]}, r"y has shape \(2,\); it must have shape \(180,\)"),
        ({"y": ["a"] * 180}, "y cannot be read as numbers"),
        ({"X": np.ones((7, 2))}, "X has shape"),
        ({"X": np.ones((180, 2, 2))}, "X has shape"),
        ({"terms": []}, "at least one RandomTerm"),
        ({"terms": RandomTerm([0, 1, 1])}, r"X has shape \(180, 2\); it must have shape \(3,"),
        ({"terms": 3}, "list with at least one RandomTerm"),
        ({"terms": [np.zeros(180, int)]}, r"terms\[0\] is a ndarray: wrap"),
        ({"terms": [RandomTerm(np.arange(180) % 5), RandomTerm([0, 1])]}, r"codes of terms\[1\] has shape"),
        ({"weights": np.zeros(180)}, r"weights\[0\] is 0"),
        ({"weights": np.full(180, np.nan)}, r"weights\[0\] is nan"),
        ({"weights": np.ones(3)}, "weights has shape"),
        ({"offset": np.ones(3)}, "offset has shape"),
        ({"start": [1.0, 2.0]}, "start is .*; it must be 1 finite number"),
        ({"start": [np.nan]}, "1 finite number,"),
        ({"start": ["x"]}, "start cannot be read as numbers"),
    ],
)
def test_bad_arguments_are_named(sleep, change, message):
    y, X, codes = sleep
    given = {"y": y, "X": X, "terms": [RandomTerm(codes)]} | change
    with pytest.raises(DataError, match=message):
        fit_arrays(given.pop("y"), given.pop("X"), **given)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_located(sleep, bad):
    y, X, codes = sleep
    for name, message in (("y", "y is not finite in row 7"), ("X", "column 1 of X is not finite in row 7")):
        arrays = {"y": y.copy(), "X": X.copy()}
        (arrays["y"] if name == "y" else arrays["X"][:, 1])[7] = bad
        with pytest.raises(DataError, match=message):
            fit_arrays(arrays["y"], arrays["X"], terms=[RandomTerm(codes)])
    Z = X.copy()
    Z[3, 1] = bad
    with pytest.raises(DataError, match=r"Z of terms\[0\] is not finite in row 3"):
        fit_arrays(y, X, terms=[RandomTerm(codes, Z)])


def test_refit_survives_a_bad_response(sleep):
    y, X, codes = sleep
    fit = fit_arrays(y, X, terms=[RandomTerm(codes)])
    bad = y.copy()
    bad[4] = np.nan
    with pytest.raises(DataError, match="y is not finite in row 4"):
        fit.refit(bad)
    with pytest.raises(DataError, match="column 1 of Y is not finite in row 4"):
        fit.refit_many(np.column_stack([y, bad]))
    with pytest.raises(DataError, match="Y has shape"):
        fit.refit_many(y)
    np.testing.assert_allclose(fit.refit(y).beta, fit.beta, rtol=1e-9)
    assert fit.refit_many(np.column_stack([y, y])).converged.all()
