"""Rows added to fits from arrays and taken out of them: always the fit to all rows."""

import pickle

import numpy as np
import pytest

from henderson import RandomTerm, fit_arrays
from henderson.errors import DataError

N, OLD = 240, 200
RNG = np.random.default_rng(5)
X = np.column_stack([np.ones(N), RNG.normal(size=N)])
G, H = RNG.integers(0, 12, N), RNG.integers(0, 5, N)
G[:12], H[:5] = np.arange(12), np.arange(5)
WEIGHTS, OFFSET = RNG.uniform(0.5, 2, N), RNG.normal(size=N)
Y = X @ [2.0, 0.5] + RNG.normal(size=12)[G] + RNG.normal(size=12)[G] * X[:, 1] + RNG.normal(size=5)[H]
Y += OFFSET + RNG.normal(size=N) / np.sqrt(WEIGHTS)
LATE = np.where(np.arange(N) < OLD, G, np.where(np.arange(N) % 3 == 0, 12 + np.arange(N) % 2, G))

TERMS = {
    "intercepts": lambda at: RandomTerm(G[at]),
    "slopes": lambda at: [RandomTerm(G[at], X[at])],
    "two terms of one factor": lambda at: [RandomTerm(G[at]), RandomTerm(G[at], X[at, 1])],
    "crossed": lambda at: [RandomTerm(G[at], X[at]), RandomTerm(H[at])],
    "new levels": lambda at: RandomTerm(LATE[at], X[at]),
    "new levels, crossed": lambda at: [RandomTerm(LATE[at]), RandomTerm(H[at])],
}
OPTIONS = {"plain": (), "weights": ("weights",), "offset": ("offset",), "both": ("weights", "offset")}
BEGUN, ADDED, ALL = slice(OLD), slice(OLD, N), slice(N)


def rows(terms, at, options=()):
    given = {"weights": WEIGHTS, "offset": OFFSET}
    return (Y[at], X[at]), {"terms": TERMS[terms](at), **{name: given[name][at] for name in options}}


def fitted(terms, at, options=(), **others):
    positional, named = rows(terms, at, options)
    return fit_arrays(*positional, **named, **others)


def updated(fit, terms, at, options=(), **others):
    positional, named = rows(terms, at, options)
    return fit.update(*positional, **named, **others)


def assert_same(one, other):
    assert one.nobs == other.nobs
    assert one.criterion == pytest.approx(other.criterion, abs=1e-8)
    for name in ("theta", "beta", "sigma", "vcov", "stderror"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6, atol=1e-6)
    for name in ("ranef", "conditional_variances", "covariances"):
        for own, its in zip(getattr(one, name), getattr(other, name), strict=True):
            np.testing.assert_allclose(own, its, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one.fitted, other.fitted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(one.resid, other.resid, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("terms", TERMS)
def test_rows_added_give_the_fit_to_all_rows(terms, options, reml):
    begun = fitted(terms, BEGUN, OPTIONS[options], reml=reml)
    fit, full = updated(begun, terms, ADDED, OPTIONS[options]), fitted(terms, ALL, OPTIONS[options], reml=reml)
    assert_same(fit, full)
    assert repr(fit) == repr(full)
    assert str(fit.blocks) == str(full.blocks)
    assert begun.nobs == OLD
    assert begun.fitted.shape == (OLD,)


@pytest.mark.parametrize("terms", [name for name in TERMS if "new" not in name])
def test_rows_taken_out_leave_the_fit_to_the_others(terms):
    positional, named = rows(terms, ADDED, ("weights", "offset"))
    fit = fitted(terms, ALL, ("weights", "offset")).downdate(*positional, **named)
    assert_same(fit, fitted(terms, BEGUN, ("weights", "offset")))
    assert_same(updated(fit, terms, ADDED, ("weights", "offset")), fitted(terms, ALL, ("weights", "offset")))


def test_a_chain_of_batches_is_one_fit_and_is_refitted_as_one():
    fit = fitted("crossed", slice(60))
    for first in range(60, N, 30):
        fit = updated(fit, "crossed", slice(first, first + 30))
    full = fitted("crossed", ALL)
    assert_same(fit, full)
    other = Y[::-1].copy()
    assert fit.refit(other).criterion == pytest.approx(full.refit(other).criterion, abs=1e-8)
    many = np.column_stack([Y, other])
    np.testing.assert_allclose(fit.refit_many(many).criterion, full.refit_many(many).criterion, atol=1e-8)
    assert_same(pickle.loads(pickle.dumps(fit)), full)


def test_two_factors_with_equal_codes_at_the_new_rows_stay_two():
    code = np.array([0, 1, 2, 3, 4])
    begun = fit_arrays(Y, X, terms=[RandomTerm(G), RandomTerm(H)])
    fit = begun.update(np.arange(5.0), X[:5], terms=[RandomTerm(code), RandomTerm(code)])
    terms = [RandomTerm(np.concatenate([own, code])) for own in (G, H)]
    assert_same(fit, fit_arrays(np.append(Y, np.arange(5.0)), np.vstack([X, X[:5]]), terms=terms))


def test_rows_may_come_in_the_same_arrays():
    fit = fitted("slopes", BEGUN)
    y, x, codes = np.empty(20), np.empty((20, 2), order="F"), np.empty(20, dtype=np.int32)
    for first in (OLD, OLD + 20):
        at = slice(first, first + 20)
        y[:], x[:], codes[:] = Y[at], X[at], G[at]
        fit = fit.update(y, x, terms=RandomTerm(codes, x))
    assert_same(fit, fitted("slopes", ALL))


def test_two_copies_that_count_half_each_are_the_rows():
    twice = updated(fitted("slopes", ALL), "slopes", ALL)
    quarter = updated(twice, "slopes", ALL, forgetting=0.25)
    half = updated(fitted("slopes", ALL), "slopes", ALL, forgetting=0.5)
    assert quarter.nobs == half.nobs == 1.5 * N
    assert quarter.criterion == pytest.approx(half.criterion, abs=1e-8)
    np.testing.assert_allclose(quarter.theta, half.theta, rtol=1e-6)


def test_forgetting_gives_up_the_rows():
    fit = updated(fitted("slopes", BEGUN), "slopes", ADDED, forgetting=0.5)
    assert fit.nobs == 140
    with pytest.raises(DataError, match="only cross-products are known"):
        _ = fit.resid
    positional, named = rows("slopes", ADDED)
    with pytest.raises(DataError, match="forgotten in part"):
        fit.downdate(*positional, **named)


def test_columns_that_were_dropped_come_back():
    x = np.column_stack([X, np.where(np.arange(N) < OLD, 2 * X[:, 1], OFFSET)])
    begun = fit_arrays(Y[:OLD], x[:OLD], terms=RandomTerm(G[:OLD]))
    assert np.isnan(begun.beta[2])
    fit = begun.update(Y[OLD:], x[OLD:], terms=RandomTerm(G[OLD:]))
    assert_same(fit, fit_arrays(Y, x, terms=RandomTerm(G)))


FIVE = (np.arange(5.0), X[:5])
CODES = np.arange(5)


@pytest.mark.parametrize(
    "given, options, message",
    [
        ((FIVE[0][:4], FIVE[1]), {}, "y"),
        ((FIVE[0] * np.nan, FIVE[1]), {}, "y is not finite"),
        ((FIVE[0], FIVE[1] * np.inf), {}, r"X\[:, 0\] is not finite"),
        ((FIVE[0], FIVE[1][:, :1]), {}, "X has 1 columns, but the model has 2"),
        ((FIVE[0], None), {}, "X has 0 columns"),
        ((["a"] * 5, FIVE[1]), {}, "y"),
        (FIVE, {"terms": RandomTerm(CODES)}, "terms has 1 random terms, but the model has 2"),
        (FIVE, {"terms": [RandomTerm(CODES), RandomTerm(CODES)]}, r"Z of terms\[0\] has 1 columns"),
        (FIVE, {"terms": [RandomTerm(CODES, X[:5] * np.nan), RandomTerm(CODES)]}, r"Z\[:, 0\] of terms\[0\] is not"),
        (FIVE, {"terms": CODES}, "RandomTerm"),
        (FIVE, {"weights": np.zeros(5)}, "weights"),
        (FIVE, {"offset": np.full(5, np.nan)}, "offset"),
        (FIVE, {"forgetting": 2}, "forgetting"),
        ((FIVE[0], FIVE[1][:0]), {}, "X"),
    ],
)
def test_rows_that_do_not_fit_the_model_are_refused(given, options, message):
    fit = fitted("crossed", ALL)
    terms = options.pop("terms", [RandomTerm(CODES, X[:5]), RandomTerm(CODES)])
    with pytest.raises(DataError, match=message):
        fit.update(*given, terms=terms, **options)


def test_a_column_of_ones_is_what_no_column_is():
    fit = fit_arrays(Y, X, terms=RandomTerm(G))
    less = fit.downdate(Y[OLD:], X[OLD:], terms=RandomTerm(G[OLD:], np.ones(N - OLD)))
    assert_same(less, fit_arrays(Y[:OLD], X[:OLD], terms=RandomTerm(G[:OLD], np.ones(OLD))))
    assert_same(less.update(Y[OLD:], X[OLD:], terms=RandomTerm(G[OLD:], np.ones(N - OLD))), fit)


def test_terms_that_share_a_factor_share_it_at_all_rows():
    fit = fitted("two terms of one factor", ALL)
    with pytest.raises(DataError, match="share one grouping factor"):
        fit.update(*FIVE, terms=[RandomTerm(CODES), RandomTerm(CODES[::-1], X[:5, 1])])


def test_rows_that_are_not_there_are_not_taken_out():
    fit = fitted("intercepts", ALL)
    with pytest.raises(DataError, match="row 0 of the table"):
        fit.downdate(*FIVE, terms=RandomTerm(CODES))
    with pytest.raises(DataError, match="has no level 40"):
        fit.downdate(*FIVE, terms=RandomTerm(CODES + 36))
    with pytest.raises(DataError, match="would be left"):
        fit.downdate(Y[1:], X[1:], terms=RandomTerm(G[1:]))
