"""Estimation by moments: batches of rows, formula and arrays, print, and errors."""

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from cases import read_table
from henderson.moments.crosstabs import CrossTabs

# ---------------------------------------- rows


def large(n=20_000):
    generator = np.random.default_rng(21)
    codes = [generator.integers(0, 300, n), generator.integers(0, 200, n)]
    x = generator.normal(size=(n, 2))
    x[:, 0] += 50.0
    effects = generator.normal(size=300)[codes[0]] + generator.normal(size=200)[codes[1]]
    return 1e3 + x @ [1.0, -2.0] + effects + generator.normal(size=n), x, codes


def same_fit(found, expected, tolerance=1e-12):
    np.testing.assert_allclose(found.variance_components.raw, expected.variance_components.raw, rtol=tolerance)
    np.testing.assert_allclose(found.beta, expected.beta, rtol=tolerance)
    np.testing.assert_allclose(found.vcov().to_numpy(), expected.vcov().to_numpy(), rtol=1e-10)


@pytest.mark.parametrize("step", [137, 4096, 19_999])
def test_batches_give_the_fit_of_all_rows(step):
    y, x, codes = large()
    whole = hd.fit_moments(y, x, codes)
    parts = [slice(start, start + step) for start in range(0, len(y), step)]
    batches = [(y[part], x[part], [each[part] for each in codes]) for part in parts]
    found = hd.fit_moments_batches(batches)
    same_fit(found, whole)
    np.testing.assert_allclose(found.vcov("cluster").to_numpy(), whole.vcov("cluster").to_numpy(), rtol=1e-9)
    np.testing.assert_allclose(found.variance_components.std_error, whole.variance_components.std_error, rtol=1e-9)
    again = hd.fit_moments_batches(lambda: iter(batches))
    assert np.array_equal(again.beta, found.beta)
    np.testing.assert_array_equal(again.vcov("cluster").to_numpy(), found.vcov("cluster").to_numpy())


def test_an_iterator_is_read_once_and_says_what_is_missing():
    y, x, codes = large()
    once = hd.fit_moments_batches(
        iter([(y[:9000], x[:9000], [c[:9000] for c in codes]), (y[9000:], x[9000:], [c[9000:] for c in codes])])
    )
    same_fit(once, hd.fit_moments(y, x, codes))
    assert "could be read once only" in str(once)
    assert "assume normal" in str(once)
    assert "Cluster SE" not in str(once)
    with pytest.raises(hd.DataError, match="a second time"):
        once.vcov("cluster")


def test_batches_of_one_factor_with_weights_give_the_fit_of_all_rows():
    y, x, codes = large(5000)
    weights = np.random.default_rng(2).uniform(0.5, 2.0, 5000)
    whole = hd.fit_moments(y, x, codes[0], weights=weights)
    parts = [slice(start, start + 999) for start in range(0, 5000, 999)]
    same_fit(hd.fit_moments_batches([(y[p], x[p], codes[0][p], weights[p]) for p in parts]), whole)


def test_32_bit_numbers_and_codes_give_the_same_fit():
    y, x, codes = large()
    single = y.astype(np.float32)
    narrow = hd.fit_moments(single, x, [each.astype(np.int32) for each in codes])
    assert np.array_equal(narrow.beta, hd.fit_moments(single.astype(float), x, np.column_stack(codes)).beta)


def test_the_formula_and_the_arrays_give_the_same_fit_and_missing_rows_are_dropped():
    y, x, codes = large(3000)
    data = pd.DataFrame({"y": y, "x": x[:, 0], "z": x[:, 1], "user": codes[0], "item": [f"i{c}" for c in codes[1]]})
    data.loc[[5, 77], ["y", "item"]] = [[np.nan, "i1"], [1.0, None]]
    fit = hd.lmer("y ~ x + z + (1 | user) + (1 | item)", data, method="moments")
    kept = np.delete(np.arange(3000), [5, 77])
    same_fit(fit, hd.fit_moments(y[kept], x[kept], [each[kept] for each in codes]), 1e-9)
    assert fit.n_dropped == 2
    assert "(2 rows with missing values dropped)" in str(fit)
    assert "Formula: y ~ x + z" in str(fit)


def test_shifting_and_scaling_the_response_does_what_it_should():
    y, x, codes = large(3000)
    fit, moved = hd.fit_moments(y, x, codes), hd.fit_moments(10.0 * y + 1e7, x - 3e5, codes)
    np.testing.assert_allclose(moved.variance_components.raw, 100 * fit.variance_components.raw, rtol=1e-6)
    np.testing.assert_allclose(moved.beta[1:], 10 * fit.beta[1:], rtol=1e-6)


def test_codes_may_skip_levels():
    y, x, codes = large(3000)
    same_fit(hd.fit_moments(y, x, [3 * each + 2 for each in codes]), hd.fit_moments(y, x, codes), 1e-10)


def test_insteval_is_close_to_reml():
    data = read_table("InstEval", ("s", "d", "dept", "service"))
    fit = hd.lmer("y ~ service + (1 | s) + (1 | d) + (1 | dept:service)", data, method="moments")
    theta = fit.variance_components.std_dev[:-1] / fit.sigma
    np.testing.assert_allclose(theta, [0.264, 0.443, 0.088], atol=0.02)


# ---------------------------------------- print and errors


def test_it_prints_as_a_summary_and_has_tables():
    fit = hd.lmer("Reaction ~ Days + (1 | Subject)", hd.datasets.load_sleepstudy(), method="moments")
    assert isinstance(fit, hd.MomentFit)
    assert str(fit) == repr(fit)
    for part in ("Henderson's method of moments", "pair estimator", "Cluster SE", "z value", "groups:  Subject, 18"):
        assert part in str(fit)
    table = fit.to_frame("cluster")
    assert list(table["term"]) == ["(Intercept)", "Days", "var__(Intercept)", "var__Observation"]
    np.testing.assert_allclose(table["std_error"][:2], fit.std_errors("cluster"))
    np.testing.assert_allclose(table["statistic"][:2], fit.fixef.to_numpy() / fit.std_errors("cluster").to_numpy())
    assert fit.sigma**2 == pytest.approx(fit.variance_components["Residual"])
    assert "<table" in fit._repr_html_()
    assert "Reaction ~ Days" in fit._repr_html_()
    assert "<table" in fit.variance_components._repr_html_()


SLEEP = hd.datasets.load_sleepstudy()


@pytest.mark.parametrize(
    "formula, options, error, message",
    [
        ("Reaction ~ Days + (Days | Subject)", {}, hd.FormulaError, r"random intercepts only.*Days \| Subject"),
        ("Reaction ~ 1 + (0 + Days | Subject)", {}, hd.FormulaError, "random intercepts only"),
        ("Reaction ~ Days + (1 | Subject) + (1 | Subject)", {}, hd.DataError, "cannot be told apart"),
        ("Reaction ~ Days + Subject + (1 | Subject)", {}, hd.DataError, "cannot be told apart"),
        (
            "Reaction ~ Days + (1 | Subject)",
            {"reml": False, "start": [1.0]},
            hd.DataError,
            "reml, start have no meaning",
        ),
        ("Reaction ~ Days + (1 | Subject)", {"group_size_effect": "Days"}, hd.DataError, "grouping factor"),
        ("Reaction ~ Days + (1 | Subject)", {"group_size_effect": 3}, hd.DataError, "grouping factor"),
    ],
)
def test_what_moments_cannot_do_is_said(formula, options, error, message):
    data = SLEEP.assign(Subject=SLEEP["Subject"].astype(str))
    with pytest.raises(error, match=message):
        hd.lmer(formula, data, method="moments", **options)


def test_group_sizes_need_moments():
    with pytest.raises(hd.DataError, match="method='moments'"):
        hd.lmer("Reaction ~ Days + (1 | Subject)", SLEEP, group_size_effect=True)


Y, G = np.array([1.0, 2.0, 4.0, 3.0, 6.0, 5.0]), np.array([0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((Y, None), {}, "codes"),
        ((Y, None, G[:5]), {}, "codes"),
        ((Y, None, G.astype(float)), {}, "integers"),
        ((Y, None, G - 1), {}, "between -1"),
        ((Y, None, np.zeros(6, dtype=int)), {}, "one level"),
        ((Y, None, np.arange(6)), {}, "cannot be told apart"),
        ((np.where(Y > 4, np.nan, Y), None, G), {}, "y is not finite in row 4"),
        ((Y, np.where(Y > 5, np.inf, Y), G), {}, "column 0 of X is not finite in row 4"),
        ((Y, np.ones((5, 2)), G), {}, "X has shape"),
        ((Y, np.random.default_rng(1).normal(size=(6, 5)), G), {}, "6 fixed effects"),
        ((Y.reshape(2, 3), None, G), {}, "y has shape"),
        ((Y, None, G), {"weights": np.zeros(6)}, "weights"),
        ((Y, None, G), {"weights": np.ones(5)}, "weights has shape"),
        ((Y, None, G), {"intercept": "yes"}, "intercept"),
        ((Y, None, G), {"names": ["a"]}, "names has 1"),
        ((Y, None, G), {"groups": ["a", "b"]}, "groups has 2"),
        ((Y, None, G), {"groups": "a"}, "groups"),
        ((1e160 * Y, None, G), {}, "power of ten"),
        ((Y, 1e200 * Y**2, G), {}, "power of ten"),
        ((Y, None, G), {"estimator": "magic"}, "estimator"),
        ((Y, None, [G, G[::-1] // 2]), {"estimator": "pairs"}, "single grouping factor"),
        ((G.astype(float), None, G), {}, "residual variance"),
    ],
)
def test_bad_arrays_are_explained(arguments, options, message):
    with pytest.raises(hd.DataError, match=message):
        hd.fit_moments(*arguments, **options)


@pytest.mark.parametrize(
    "batches, message",
    [
        ([], "no rows"),
        (5, "batches is a int"),
        ([Y], "Batch 0 is a ndarray"),
        ([(Y, None, G), (Y, Y, G)], "Batch 1 has 2 columns, the first had 1"),
        ([(Y, None, G), (Y, None, [G, G])], "2 grouping factors"),
        ([(Y, None, G), (Y, None, G, np.ones(6))], "weights"),
        ([(Y, None, G), (Y * np.nan, None, G)], "row 6"),
    ],
)
def test_bad_batches_are_explained(batches, message):
    with pytest.raises(hd.DataError, match=message):
        hd.fit_moments_batches(batches)


def test_batches_that_change_between_two_readings_are_refused():
    calls = []

    def batches():
        calls.append(1)
        yield from [(Y, None, G)] * (3 if len(calls) == 1 else 2)

    with pytest.raises(hd.DataError, match="18 rows when they were read first and 12 rows"):
        hd.fit_moments_batches(batches)


def test_combinations_that_no_number_can_name_are_refused():
    codes = [np.array([0, 1], dtype=np.int32)] * 3
    tabs = CrossTabs(codes, [2**31 - 1] * 3, ["a", "b", "c"], None)
    with pytest.raises(hd.DataError, match="a, b, c"):
        tabs.cells((0, 1, 2))


def test_without_fixed_effects_there_are_variances():
    generator = np.random.default_rng(3)
    codes = np.repeat(np.arange(300), 5)
    y = generator.normal(size=300)[codes] + generator.normal(size=1500)
    fit = hd.lmer("y ~ 0 + (1 | g)", {"y": y, "g": codes}, method="moments")
    np.testing.assert_allclose(fit.variance_components.variance, [1.0, 1.0], atol=0.3)
    centred = hd.fit_moments(y - y.mean(), codes=codes, intercept=False)
    assert len(centred.fixef) == 0
    assert "Fixed effects" not in str(fit)
    assert "g" in fit._repr_html_()


def test_intervals_and_tables_have_the_names_of_other_fits():
    fit = hd.lmer("weight ~ sex + (1 | Litter)", hd.datasets.load_ratpup(), method="moments")
    limits = fit.confint(0.9, "cluster")
    assert list(limits.columns) == ["5 %", "95 %"]
    error = fit.std_errors("cluster")
    np.testing.assert_allclose(limits["95 %"], fit.fixef + 1.6448536 * error, rtol=1e-7)
    with pytest.raises(hd.DataError, match="level"):
        fit.confint(95)
    assert fit.tidy().equals(fit.to_frame())
    assert str(fit.summary()) == str(fit)


@pytest.mark.parametrize("name", ["ranef", "predict", "loglik", "anova"])
def test_what_needs_a_likelihood_is_absent_and_says_so(name):
    fit = hd.fit_moments([1.0, 2.0, 4.0, 3.0], codes=[0, 0, 1, 1])
    assert not hasattr(fit, name)
    with pytest.raises(AttributeError, match=f"A fit by moments has no '{name}'.*Fit by likelihood"):
        getattr(fit, name)


def test_columns_of_tables_keep_their_names():
    table = hd.datasets.load_penicillin()
    codes = table[["plate", "sample"]].apply(lambda column: column.astype("category").cat.codes)
    x = pd.DataFrame({"odd": np.arange(144.0) % 7})
    fit = hd.fit_moments(table["diameter"], x, codes)
    assert list(fit.fixef.index) == ["(Intercept)", "odd"]
    assert list(fit.levels) == ["plate", "sample"]
    assert hd.fit_moments(table["diameter"], x, codes, names=["z"]).names[1] == "z"
