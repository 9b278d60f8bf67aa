"""Arrays as users have them: what counts as numbers, and which column an error blames."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from henderson import DataError, RandomTerm, fit_arrays, lmer
from henderson.conversion import as_float

N = 60
RNG = np.random.default_rng(3)
G = np.repeat(np.arange(6), 10)
XX = RNG.normal(size=N)
Y = XX + RNG.normal(size=6)[G] + RNG.normal(size=N)
X = np.column_stack([np.ones(N), XX])
TABLE = pd.DataFrame({"y": Y, "x": XX, "g": G})
TERM = RandomTerm(G)
FIT = fit_arrays(Y, X, terms=TERM, offset=0.5 * XX)


@pytest.mark.parametrize(
    "values, message",
    [
        (
            np.ma.masked_less([1.0, -2.0, -3.0], 0),
            r"y is masked in row 1 \(2 masked values in all\): leave such rows out",
        ),
        (np.array([1, 2j]), "y cannot be read as numbers: it holds complex128 values; take its real part"),
        (np.array([1.0, np.complex128(2j)], dtype=object), "it holds complex128 values"),
        (np.array(["2020-01-01"], dtype="datetime64[ns]"), "days since a start"),
        (np.array([3], dtype="timedelta64[s]"), "it holds timedelta64.s. values"),
        (np.array([np.datetime64("2020-01-01")], dtype=object), "it holds datetime64 values"),
        (["1.5", "2"], "it holds <U3 values; convert it to an array of numbers"),
        (np.array([1.0, "2"], dtype=object), "it holds str values"),
        (np.zeros(2, dtype=[("a", float)]), "cannot be read as numbers"),
        ([[1.0], [1.0, 2.0]], "y cannot be read as numbers: setting an array element"),
        ([1.0, {}], "y cannot be read as numbers: float"),
    ],
    ids=repr,
)
def test_what_is_no_number_is_not_made_one(values, message):
    with pytest.raises(DataError, match=message):
        as_float("y", values)


@pytest.mark.parametrize(
    "values, want",
    [
        (np.ma.masked_less([1.0, 2.0], 0), [1, 2]),
        ([True, False], [1, 0]),
        (np.array([True, None, Decimal("0.5")], dtype=object), [1, np.nan, 0.5]),
        (np.array([2, np.longdouble("1e400")]), [2, np.inf]),
    ],
    ids=repr,
)
def test_what_is_a_number_is_one(values, want):
    np.testing.assert_array_equal(as_float("y", values), want)


def test_masked_arrays_are_not_read_through_their_mask():
    hidden = np.ma.array(Y, mask=XX > 1.0)
    codes = np.ma.array(G, mask=G == 3)
    for make in (
        lambda: fit_arrays(hidden, X, terms=TERM),
        lambda: fit_arrays(Y, np.ma.array(X, mask=X > 1.5), terms=TERM),
        lambda: fit_arrays(Y, X, terms=TERM, weights=np.ma.array(np.ones(N), mask=G == 0)),
        lambda: FIT.refit(hidden),
        lambda: FIT.refit_many(np.ma.array(Y[:, None], mask=XX[:, None] > 1)),
        lambda: RandomTerm(codes),
        lambda: lmer("y ~ x + (1 | g)", TABLE).refit(hidden),
    ):
        with pytest.raises(DataError, match="is masked in row"):
            make()


def test_a_response_is_copied_once_and_kept():
    buffer = Y.copy()
    for fit in (FIT.refit(buffer), FIT.refit(buffer[::-1][::-1]), fit_arrays(buffer, X, terms=TERM)):
        assert not np.shares_memory(fit._y, buffer)
        assert fit._y.flags.c_contiguous


def test_one_term_or_any_iterable_of_them():
    want = fit_arrays(Y, X, terms=[TERM]).criterion
    for terms in (TERM, (TERM,), iter([TERM]), {"g": TERM}.values()):
        assert fit_arrays(Y, X, terms=terms).criterion == want


@pytest.mark.parametrize("levels", [10**9, 10 * N + 1_000_001])
def test_levels_that_would_fill_the_memory_are_refused_first(levels):
    with pytest.raises(DataError, match=f"{levels} levels are too many for 60 rows: number the levels that occur"):
        RandomTerm(G, levels=levels)
    assert RandomTerm(G, levels=np.int64(10 * N + 1_000_000)).levels == 10 * N + 1_000_000


def test_one_level_or_every_level_once_leaves_no_variance():
    for codes, levels in ((np.full(N, 3), None), (np.full(N, 3), 9)):
        with pytest.raises(DataError, match=r"'terms\[1\]' has only one level \(3\) in the rows used"):
            fit_arrays(Y, X, terms=[TERM, RandomTerm(codes, levels=levels)])
    for codes in (np.arange(N), 2 * np.arange(N)):
        with pytest.raises(DataError, match=r"'terms\[0\]' has 60 levels for 60 rows"):
            fit_arrays(Y, X, terms=RandomTerm(codes, X))
    nearly = np.arange(N)
    nearly[1:3] = 0
    assert fit_arrays(Y, X, terms=RandomTerm(nearly, levels=2 * N), max_evaluations=1).nobs == N


# ------------------------------------------------------------------------------------------------ which column is named

HUGE = np.where(np.arange(N) == 7, 1e150, XX)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: fit_arrays(HUGE, X, terms=TERM), r"^y is too large: .* is 1e\+150 \(row 7\).*divide it by 1e\+150"),
        (lambda: fit_arrays(1e-200 * Y, X, terms=TERM), r"^y is too small: .* underflow .* divide it by 1e-200"),
        (lambda: fit_arrays(Y, [*zip(Y, HUGE, strict=True)], terms=TERM), "^column 1 of X is too large"),
        (lambda: fit_arrays(Y, X, terms=[TERM, RandomTerm(G, HUGE)]), r"^Z of terms\[1\] is too large"),
        (lambda: fit_arrays(Y, X, terms=RandomTerm(G, np.c_[Y, HUGE])), r"^column 1 of Z of terms\[0\] is too large"),
        (lambda: fit_arrays(Y, X, terms=TERM, weights=np.abs(HUGE)), "^weights is too large"),
        (lambda: FIT.refit(HUGE), "^y - offset is too large"),
        (lambda: FIT.refit_many(np.c_[Y, HUGE]), "^column 1 of Y - offset is too large"),
        (lambda: FIT.refit(np.where(G == 1, np.inf, Y)), r"^y is not finite in row 10 \(inf\)"),
        (lambda: fit_arrays(Y, X, terms=TERM, offset=-1e308 * (G == 1) * 10), "^offset is not finite in row 10"),
        (
            lambda: fit_arrays(1e308 * Y, X, terms=TERM, offset=-1.5e308 * np.sign(Y)),
            "^y - offset is not finite in row",
        ),
        (lambda: lmer("y ~ x + (1 | g)", TABLE.assign(x=HUGE)), r"^The fixed-effects column x .*\(row 7\)"),
        (lambda: lmer("y ~ 1 + (x | g)", TABLE.assign(x=HUGE)), "^The random-effects column x of g is too large"),
        (lambda: lmer("y ~ x + (1 | g)", TABLE.assign(y=HUGE), subset="g != 3"), r"^The response y .*\(row 7\)"),
        (lambda: lmer("y ~ x + (1 | g)", TABLE.assign(x=HUGE), subset="x != x[1]"), r"x .*\(row 7\)"),
        (lambda: lmer("y ~ x + (1 | g)", TABLE).refit(HUGE), "^y is too large"),
    ],
)
def test_columns_out_of_scale_are_named_with_row_value_and_remedy(make, message):
    with pytest.raises(DataError, match=message), np.errstate(over="ignore", invalid="ignore"):
        make()


@pytest.mark.parametrize("weight, scale", [(1e140, 1e100), (1e-140, 1e-100), (1e-40, 1e-139)])
def test_columns_are_in_scale_with_their_weights_too(weight, scale):
    weights = np.full(N, weight)
    too = "large" if weight > 1 else "small"
    for make, name in (
        (lambda: fit_arrays(scale * Y, X, terms=TERM, weights=weights), "^y"),
        (lambda: fit_arrays(Y, scale * X, terms=TERM, weights=weights), "^column 0 of X"),
        (lambda: fit_arrays(Y, X, terms=RandomTerm(G, X * [1, scale]), weights=weights), "^column 1 of Z of terms.0."),
        (lambda: fit_arrays(Y, X, terms=TERM, weights=weights).refit(scale * Y), "^y"),
        (lambda: fit_arrays(Y, X, terms=TERM, weights=weights).refit_many(scale * Y[:, None]), "^column 0 of Y"),
        (lambda: lmer("y ~ x + (1 | g)", TABLE.assign(x=scale * XX), weights=weights), "^The fixed-effects column x"),
    ):
        with pytest.raises(DataError, match=f"{name} and the weights together are too {too}: .*Divide the weights"):
            make()


# ------------------------------------------------------------------------------------------------------------ the start


@pytest.mark.parametrize("unit", [1e-120, 1e-9, 1.0, 1e9, 1e120])
@pytest.mark.parametrize("weight", [1e-30, 1.0, 1e30])
def test_a_start_is_as_large_as_its_column_is_small(unit, weight):
    weights = np.full(N, weight)
    fit = fit_arrays(Y, X, terms=RandomTerm(G, unit * X), weights=weights)
    assert fit.refit(Y, start=fit.theta).criterion == pytest.approx(fit.criterion, rel=1e-10)
    with pytest.raises(DataError, match=r"start is .*element 2 is .*, more than .* in size"):
        fit.refit(Y, start=[0, 0, 1e20 / unit / np.sqrt(weight)])


@pytest.mark.parametrize("start", [np.ma.masked_equal([1.0], 1.0), [1j], np.array([1j]), ["1"], [[1.0]], [1.0, 2.0]])
def test_a_start_is_numbers_of_the_right_count(start):
    with pytest.raises(DataError, match=r"^start (is|cannot)"):
        FIT.refit(Y, start=start)
    with pytest.raises(DataError, match=r"^start (is|cannot)"):
        FIT.refit_many(Y[:, None], start=start)


# -------------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "options, message",
    [
        ({"threads": 1025}, "threads is 1025 .*<= 1024"),
        ({"threads": True}, "threads is True"),
        ({"max_evaluations": 2**31}, "max_evaluations is 2147483648"),
        ({"max_evaluations": np.int64(0)}, r"max_evaluations is 0 \(int64\)"),
        ({"reml": 1}, "reml is 1 .*maximum likelihood is reml=False"),
        ({"tolerance": np.inf}, "tolerance is inf"),
    ],
)
def test_options_have_bounds(options, message):
    with pytest.raises(DataError, match=message):
        fit_arrays(Y, X, terms=TERM, **options)
    with pytest.raises(DataError, match=message):
        lmer("y ~ x + (1 | g)", TABLE, **options)


def test_numpy_scalars_are_options_too():
    options = {"max_evaluations": np.int32(50), "tolerance": np.float32(1e-8), "threads": np.int64(1)}
    for fit in (
        fit_arrays(Y, X, terms=TERM, reml=np.bool_(False), **options),
        lmer("y ~ x + (1 | g)", TABLE, reml=np.bool_(False), **options),
    ):
        assert fit.is_reml is False
        assert fit.converged
    assert FIT.refit_many(Y[:, None], **options).converged.all()


def test_the_criterion_elsewhere_is_reml_or_not():
    with pytest.raises(DataError, match="reml is 'ML'"):
        lmer("y ~ x + (1 | g)", TABLE).criterion_at([1.0], reml="ML")
