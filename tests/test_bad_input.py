"""Input that is wrong, absurd or merely odd: a henderson error that says what, where and what to do, or the right fit.

Kinds of bad input that belong to a formula, a table or an option of `lmer` are in the tests of those.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from henderson import DataError, FormulaError, MixedModelError, RandomTerm, fit_arrays, lmer
from strategies import LAWS

N = 120
RNG = np.random.default_rng(0)
G = np.repeat(np.arange(12), 10)
XX = RNG.normal(size=N)
Y = 1 + XX + RNG.normal(size=12)[G] + RNG.normal(size=N)
X = np.column_stack([np.ones(N), XX])
TABLE = pd.DataFrame({"y": Y, "x": XX, "g": G})
SLOPE = np.column_stack([np.ones(N), XX])


def arrays(**changes):
    """`fit_arrays` of the good data with some arguments replaced."""
    given = {"y": Y, "X": X, "terms": [RandomTerm(G)]} | changes
    return fit_arrays(given.pop("y"), given.pop("X"), **given)


def table(formula="y ~ x + (1 | g)", **options):
    columns = {name: options.pop(name) for name in ("y", "x", "g", "z", "e") if name in options}
    return lmer(formula, TABLE.assign(**columns), **options)


def outcome(make):
    """The fit and no message, or no fit and the message of a henderson error."""
    try:
        return make(), ""
    except MixedModelError as error:
        return None, str(error)


GOOD = arrays().criterion


# ------------------------------------------------------------------------------------------- options of a fit of arrays

OPTIONS = [
    ({"max_evaluations": 0}, "max_evaluations is 0.*integer >= 1"),
    ({"max_evaluations": -3}, "max_evaluations is -3"),
    ({"max_evaluations": "many"}, "max_evaluations is 'many'"),
    ({"max_evaluations": 2.5}, "max_evaluations is 2.5"),
    ({"tolerance": 0}, "tolerance is 0.*positive number"),
    ({"tolerance": -1.0}, "tolerance is -1"),
    ({"tolerance": np.nan}, "tolerance is nan"),
    ({"tolerance": None}, "tolerance is None"),
]


@pytest.mark.parametrize(
    "options, message",
    [
        *OPTIONS,
        ({"callback": 3}, "callback is 3.*function"),
        ({"threads": -1}, "threads is -1.*integer >= 0"),
        ({"threads": "two"}, "threads is 'two'"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"reml": "ML"}, "reml is 'ML'.*True or False"),
        ({"reml": None}, "reml is None"),
        ({"start": [[1.0]]}, "start is .*theta of this model"),
        ({"start": [1j]}, "start cannot be read as numbers"),
        ({"start": {"theta": 1.0}}, "start cannot be read as numbers"),
    ],
    ids=str,
)
def test_options_of_a_fit_of_arrays_are_checked(options, message):
    with pytest.raises(DataError, match=message):
        arrays(**options)


@pytest.mark.parametrize("options, message", OPTIONS, ids=str)
def test_options_of_a_refit_are_checked(options, message):
    fit = arrays()
    with pytest.raises(DataError, match=message):
        fit.refit(Y, **options)
    with pytest.raises(DataError, match=message):
        fit.refit_many(Y[:, None], **options)


@pytest.mark.parametrize("start", [[0.0], [-1.0], [1e-200], [1e6], 1.0])
def test_a_start_may_be_zero_negative_or_far_away(start):
    fit = arrays(start=start)
    assert fit.converged
    assert fit.criterion == pytest.approx(GOOD, abs=1e-8)
    assert fit.theta[0] > 0


def test_a_start_at_which_there_is_no_criterion_is_not_blamed_on_the_response():
    fit, message = outcome(lambda: arrays(start=[1e300]))
    assert "start" in message if fit is None else fit.criterion == pytest.approx(GOOD, abs=1e-8)


# ----------------------------------------------------------------------------------------------------- types and shapes


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"y": Y * 1j}, "y .*complex"),
        ({"X": X * 1j}, "X .*complex"),
        ({"y": np.arange(N).astype("datetime64[D]")}, "y .*(datetime|numbers)"),
        ({"y": np.ma.masked_greater(Y, 2.0)}, "y .*mask"),
        ({"y": None}, "y "),
        ({"y": Y[:, None]}, r"y has shape \(120, 1\)"),
        ({"y": 3.0}, r"y has shape \(\)"),
        ({"X": np.empty((0, 2))}, r"X has shape \(0, 2\)"),
        ({"X": "intercept"}, "X cannot be read as numbers"),
        ({"X": [[1.0, 2.0], [1.0]]}, "X cannot be read as numbers"),
        ({"X": np.where(X > 2, None, X)}, "column 1 of X is not finite in row"),
        ({"weights": np.where(G == 3, -1.0, 1.0)}, r"weights\[30\] is -1.*> 0"),
        ({"weights": np.where(G == 3, np.inf, 1.0)}, "weights.* row 30|weights.30"),
        ({"weights": "w"}, "weights cannot be read as numbers"),
        ({"weights": np.ones((N, 1))}, r"weights has shape \(120, 1\)"),
        ({"offset": np.where(G == 3, np.nan, 0.0)}, "offset .*row 30"),
        ({"offset": ["a"] * N}, "offset cannot be read as numbers"),
        ({"terms": None}, "at least one RandomTerm"),
        ({"terms": "g"}, r"terms\[0\] is a str: wrap"),
        ({"terms": [RandomTerm(G), None]}, r"terms\[1\] is a NoneType"),
        ({"terms": [RandomTerm(G[:50])]}, r"X has shape .* must have shape \(50"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_arguments_of_the_wrong_kind_are_named(changes, message):
    with pytest.raises(DataError, match=message):
        arrays(**changes)


def test_terms_may_be_any_iterable_of_terms():
    assert arrays(terms=(term for term in [RandomTerm(G)])).criterion == GOOD
    assert arrays(terms=(RandomTerm(G),)).criterion == GOOD


def read_only(array):
    copy = array.copy()
    copy.setflags(write=False)
    return copy


@pytest.mark.parametrize(
    "change",
    [
        read_only,
        np.asfortranarray,
        lambda a: a.astype(">f8"),
        lambda a: a.astype(np.longdouble),
        lambda a: a.astype(object),
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: a[::-1].copy()[::-1],
        lambda a: np.frombuffer(b"x" + a.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(a.shape),
        lambda a: a.tolist(),
        lambda a: pd.DataFrame(a).squeeze(),
    ],
    ids=["read-only", "fortran", "big-endian", "long", "object", "strided", "reversed", "unaligned", "list", "pandas"],
)
def test_the_layout_of_arrays_in_memory_does_not_matter(change):
    terms = [RandomTerm(G, change(SLOPE))]
    fit = fit_arrays(change(Y), change(X), terms=terms, weights=change(np.linspace(1, 2, N)), offset=change(XX))
    plain = fit_arrays(Y, X, terms=[RandomTerm(G, SLOPE)], weights=np.linspace(1, 2, N), offset=XX)
    assert fit.criterion == pytest.approx(plain.criterion, rel=1e-13)
    np.testing.assert_allclose(fit.refit(change(Y)).beta, plain.beta, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["int8", "uint8", ">i4", "int64", "uint64"])
def test_codes_of_any_integer_type_are_the_same(dtype):
    assert arrays(terms=[RandomTerm(G.astype(dtype))]).criterion == GOOD
    assert arrays(terms=[RandomTerm(np.repeat(G, 2).astype(dtype)[::2])]).criterion == GOOD


@pytest.mark.parametrize(
    "codes, levels, message",
    [
        (G > 5, None, "codes has dtype bool"),
        (np.array([0, 2**31]), None, "codes .*2147483648"),
        (np.array([0, 2**63], dtype=np.uint64), None, "codes lie between"),
        (G, 0, "with 0 levels"),
        (G, -1, "levels"),
        (G, "twelve", "levels is 'twelve'"),
        (G, float("nan"), "levels is nan"),
        (G, 12.5, "levels is 12.5"),
    ],
)
def test_codes_and_levels_that_count_nothing_are_errors(codes, levels, message):
    with pytest.raises(DataError, match=message):
        RandomTerm(codes, levels=levels)


# ------------------------------------------------------------------------------------------------------ degenerate data


@pytest.mark.parametrize(
    "y", [np.ones(N), np.full(N, 0.1), 2 + 3 * XX, 0.1 * XX + 0.3, G.astype(float), 1e6 + 1e-3 * G], ids=str
)
def test_a_response_that_the_model_fits_exactly_is_refused(y):
    with pytest.raises(DataError, match=r"exactly.*fewer terms"):
        arrays(y=y)
    with pytest.raises(DataError, match="exactly"):
        arrays().refit(y)
    many = arrays().refit_many(np.column_stack([Y, y]))
    assert many.converged.tolist() == [True, False]


@pytest.mark.parametrize("columns", [3, 5])
def test_as_many_columns_as_rows_are_refused(columns):
    with pytest.raises(DataError, match="3 rows cannot determine 3 fixed effects"):
        fit_arrays([1.0, 2.0, 4.0], np.random.default_rng(1).normal(size=(3, columns)), terms=[RandomTerm([0, 0, 1])])


@pytest.mark.parametrize("extra", [np.zeros(N), np.full(N, 5.0), 3 * XX - 2, XX + 1e-9 * RNG.normal(size=N)], ids=str)
def test_a_fixed_column_that_adds_nothing_is_aliased(extra):
    fit = arrays(X=np.column_stack([X, extra]))
    assert fit.kept == [0, 1]
    assert fit.criterion == pytest.approx(GOOD, abs=1e-8)
    assert np.isnan(fit.beta[2])


@pytest.mark.parametrize("offset", [0.0, 5.0, 1e6])
def test_a_random_effect_column_that_adds_nothing_changes_nothing(offset):
    """[1 z] with z constant: the covariance matrix is not unique, the fit is."""
    for Z in (np.column_stack([np.ones(N), np.full(N, offset)]), np.column_stack([np.ones(N), np.ones(N)])):
        fit = arrays(terms=[RandomTerm(G, Z)])
        assert fit.converged
        assert fit.criterion == pytest.approx(GOOD, abs=1e-7)


@pytest.mark.parametrize("extra", [XX, 2 * XX + 1], ids=["twice", "combination"])
def test_collinear_random_effect_columns_change_nothing(extra):
    fit = arrays(terms=[RandomTerm(G, np.column_stack([SLOPE, extra]))])
    assert fit.converged
    assert fit.criterion == pytest.approx(arrays(terms=[RandomTerm(G, SLOPE)]).criterion, abs=1e-6)


def test_a_dummy_variable_that_others_determine_changes_no_random_effects():
    data = TABLE.assign(a=np.tile(list("uvw"), N // 3))
    data["b"] = np.where(data["a"] == "w", "z", "p")
    fit = lmer("y ~ x + (a + b | g)", data)
    assert fit.converged
    assert fit.criterion == pytest.approx(lmer("y ~ x + (a | g)", data).criterion, abs=1e-6)


def test_a_random_effect_column_of_zeros_has_no_variance():
    fit = arrays(terms=[RandomTerm(G, np.zeros(N))])
    assert fit.converged
    plain = table()
    assert fit.criterion == pytest.approx(plain.criterion_at([0.0]), abs=1e-7)


def test_every_level_once_is_refused_and_a_single_level_too():
    for codes, message in ((np.arange(N), "120 levels for 120 rows"), (np.zeros(N, dtype=int), "only one level")):
        with pytest.raises(DataError, match=message):
            arrays(terms=[RandomTerm(codes)])


# ------------------------------------------------------------------------------------------------------- absurd numbers


def fitted_or_refused(make, expected, word):
    """The right criterion, or an error about the column and its size; never a wrong fit."""
    fit, message = outcome(make)
    if fit is None:
        assert word in message
        assert any(size in message for size in ("scale", "large", "small", "overflow", "finite")), message
    else:
        assert fit.converged
        assert fit.criterion == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("factor", [1e-300, 1e-200, 1e-100, 1e100, 1e155, 1e200, 1e300])
def test_absurd_units_of_a_fixed_column_are_fitted_or_refused(factor):
    fitted_or_refused(lambda: table(x=factor * XX), GOOD + 2 * np.log(factor), "x")


@pytest.mark.parametrize("factor", [1e-300, 1e-200, 1e-100, 1e100, 1e155, 1e200, 1e300])
def test_absurd_units_of_a_random_column_are_fitted_or_refused(factor):
    plain = table("y ~ 1 + (z | g)", z=XX)
    fitted_or_refused(lambda: table("y ~ 1 + (z | g)", z=factor * XX), plain.criterion, "z")


@pytest.mark.parametrize("factor", [1e-300, 1e-200, 1e-100, 1e100, 1e154, 1e200, 1e300])
def test_absurd_units_of_the_response_are_fitted_or_refused(factor):
    fitted_or_refused(lambda: table(y=factor * Y), GOOD + 2 * (N - 2) * np.log(factor), "y")


@pytest.mark.parametrize("factor", [1e-300, 1e-100, 1e100, 1e300])
def test_absurd_units_of_the_weights_change_nothing(factor):
    fitted_or_refused(lambda: table(weights=np.full(N, factor)), GOOD, "weights")


@pytest.mark.parametrize("value", [1.7e308, -1.7e308])
def test_values_at_the_end_of_the_range_of_doubles_are_fitted_or_refused(value):
    step = np.where(XX > 0, value, -value)
    expected = table(x=np.where(XX > 0, 1.0, -1.0)).criterion + 2 * np.log(abs(value))
    fitted_or_refused(lambda: table(x=step), expected, "x")


# -------------------------------------------------------------------------------------------------- formulas and tables


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: table(reml="ML"), DataError, "reml is 'ML'.*True or False"),
        (lambda: table(context=3), DataError, "context is 3.*dict"),
        (lambda: table("y ~ 1 + (1 | y)"), DataError, "Grouping factor 'y' has 120 levels for 120 rows"),
        (lambda: table("y ~ y + (1 | g)"), DataError, "exactly.*computed from the other columns"),
        (lambda: table(subset="g == 1"), DataError, r"'g' has only one level \(1\)"),
        (lambda: table(y=np.round(Y) + 1e17), DataError, "1e.17 in every row"),
        (lambda: lmer("y ~ x + (1 | g)", X), DataError, "ndarray.*pandas DataFrame"),
        (lambda: lmer("y ~ x + (1 | g)", "data.csv"), DataError, "str.*pandas DataFrame"),
        (lambda: table(None), FormulaError, "text such as"),
        (lambda: table("y ~ x" + " + x" * 20000 + " + (1 | g)"), FormulaError, "too deep|too long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_meant_is_explained(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_empty_and_strange_labels_are_levels_like_others():
    labels = np.array(["", " ", "a:b", "ä\n", "1", "nan"])
    by_label, by_code = table("y ~ x + (1 | e)", e=labels[G % 6]), table("y ~ x + (1 | e)", e=G % 6)
    assert by_label.criterion == pytest.approx(by_code.criterion, rel=1e-13)
    assert sorted(by_label.ranef["e"].index) == sorted(labels)
    assert list(table("y ~ e + (1 | g)", e=np.where(XX > 0, "", "a")).fixef.index) == ["(Intercept)", "ea"]


def test_a_group_that_is_also_a_fixed_effect_has_no_variance_left():
    fit = table("y ~ e + (1 | e)", e=G.astype(str))
    assert fit.converged
    assert fit.criterion == pytest.approx(fit.criterion_at([0.0]), abs=1e-7)


@settings(LAWS, max_examples=300)
@given(
    st.lists(st.floats(width=64), min_size=6, max_size=6),
    st.lists(st.one_of(st.floats(), st.integers(-3, 3).map(float)), min_size=6, max_size=6),
    st.lists(st.integers(0, 2), min_size=6, max_size=6),
    st.booleans(),
)
def test_any_numbers_give_a_fit_or_a_henderson_error(y, x, codes, random_slope):
    columns = np.column_stack([np.ones(6), x])
    terms = [RandomTerm(codes, columns if random_slope else None, levels=3)]
    fit, message = outcome(lambda: fit_arrays(y, columns, terms=terms))
    if fit is None:
        assert message.endswith((".", "?"))
    else:
        assert np.isfinite(fit.criterion)
        assert np.isfinite(fit.sigma)
