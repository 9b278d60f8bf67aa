"""Adjustments for several tests at once, families of contrasts, and what can be estimated at all."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import henderson
from henderson.errors import DataError
from henderson.inference.contrast_families import contrast_family
from henderson.inference.estimability import estimability
from henderson.inference.multiplicity import Family, LargestT, adjusted, critical_values, description, resolved


def pairwise_correlation(k):
    """Of all differences of k independent estimates with equal variances: rank k - 1."""
    rows = contrast_family("pairwise", [str(i) for i in range(k)]).coefficients
    return rows @ rows.T / 2


def equicorrelated(k, rho=0.5):
    return np.full((k, k), rho) + (1 - rho) * np.eye(k)


def dunnett_tail(x, k, df):
    """P(max |t| > x) of k comparisons with a control, groups of equal size, by two integrals."""
    z, weights = np.polynomial.hermite_e.hermegauss(160)
    weights = weights / np.sqrt(2 * np.pi)

    def given(s):
        inside = stats.norm.cdf(z + np.sqrt(2) * x * s) - stats.norm.cdf(z - np.sqrt(2) * x * s)
        return np.sum(weights * inside**k) * stats.chi.pdf(s * np.sqrt(df), df) * np.sqrt(df)

    return 1 - integrate.quad(given, 0, 6, epsabs=1e-12, limit=400)[0]


# ------------------------------------------------------------------------------------------- the largest of several |t|


@pytest.mark.parametrize("k, tolerance", [(2, 1e-9), (3, 1e-6), (4, 1e-5), (5, 3e-4), (8, 2e-3)])
@pytest.mark.parametrize("df", [4.5, 30.0])
def test_of_all_pairs_is_the_studentized_range(k, tolerance, df):
    largest = LargestT(pairwise_correlation(k))
    assert largest.rank == k - 1
    for x in (1.0, 2.5, 4.0):
        want = stats.studentized_range.sf(np.sqrt(2) * x, k, df)
        assert largest.upper_tail(x, df) == pytest.approx(want, rel=tolerance)


@pytest.mark.parametrize("k, tolerance", [(2, 1e-6), (3, 2e-6), (5, 5e-4)])
def test_of_comparisons_with_a_control_is_dunnetts(k, tolerance):
    largest = LargestT(equicorrelated(k))
    for x in (1.5, 2.5, 3.5):
        assert largest.upper_tail(x, 17.3) == pytest.approx(dunnett_tail(x, k, 17.3), rel=tolerance)


def test_of_uncorrelated_normals_is_a_product():
    largest = LargestT(np.eye(3))
    want = 1 - (1 - 2 * stats.norm.sf(2.0)) ** 3
    assert largest.upper_tail(2.0, np.inf) == pytest.approx(want, rel=1e-5)


def test_of_one_is_a_t_test_whatever_is_repeated():
    for correlation in (np.ones((1, 1)), np.ones((3, 3)), np.array([[1, -1], [-1, 1]])):
        assert LargestT(correlation).upper_tail(2.0, 11.0) == pytest.approx(2 * stats.t.sf(2.0, 11.0), rel=1e-12)


def test_it_is_the_same_every_time():
    one, other = LargestT(equicorrelated(6)), LargestT(equicorrelated(6))
    assert one.upper_tail(2.0, 20.0) == other.upper_tail(2.0, 20.0)


# -------------------------------------------------------------------------------------------------------- adjustments

STATISTICS = np.array([3.2, -2.6, 2.1, 0.4, -1.2, 2.9])
DF = np.array([18.0, 21.5, 19.2, 30.0, 25.0, 18.7])
P_VALUES = 2 * stats.t.sf(np.abs(STATISTICS), DF)
PAIRS = Family(6, 4, True, pairwise_correlation(4))
SINGLE_STEP = ("tukey", "dunnettx", "mvt", "sidak", "bonferroni", "scheffe")


@pytest.mark.parametrize("method", ["none", *SINGLE_STEP, "holm", "hochberg", "fdr"])
def test_adjusted_p_values_are_larger_and_keep_their_order(method):
    df = np.full(6, 20.0)
    p_values = 2 * stats.t.sf(np.abs(STATISTICS), df)
    found = adjusted(method, PAIRS, STATISTICS, df, p_values)
    assert (found >= p_values - 1e-12).all()
    assert (found <= 1).all()
    order = np.argsort(p_values)
    assert (np.diff(found[order]) >= -1e-12).all()


def test_stepwise_adjustments_are_rs():
    p_values = np.array([0.01, 0.02, 0.03, 0.04, 0.05])
    family = Family(5, 5, False, np.eye(5))
    unused = np.ones(5), np.full(5, 10.0)
    np.testing.assert_allclose(adjusted("holm", family, *unused, p_values), [0.05, 0.08, 0.09, 0.09, 0.09])
    np.testing.assert_allclose(adjusted("hochberg", family, *unused, p_values), [0.05, 0.05, 0.05, 0.05, 0.05])
    np.testing.assert_allclose(adjusted("fdr", family, *unused, p_values), [0.05, 0.05, 0.05, 0.05, 0.05])
    np.testing.assert_allclose(adjusted("bonferroni", family, *unused, p_values), 5 * p_values)


def test_what_cannot_be_estimated_stays_nan():
    p_values = np.where([True, False, True, True, True, False], P_VALUES, np.nan)
    family = Family(6, 4, True, pairwise_correlation(4)[np.ix_([0, 2, 3, 4], [0, 2, 3, 4])])
    for method in (*SINGLE_STEP, "holm", "fdr"):
        found = adjusted(method, family, STATISTICS, DF, p_values)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(p_values))


@pytest.mark.parametrize("method", SINGLE_STEP)
def test_critical_values_are_where_the_adjusted_p_value_is_one_minus_the_level(method):
    reach = critical_values(method, PAIRS, 0.9, DF)
    found = adjusted(method, PAIRS, reach, DF, 2 * stats.t.sf(reach, DF))
    np.testing.assert_allclose(found, 0.1, rtol=1e-6)


def test_critical_values_at_many_degrees_of_freedom_are_interpolated():
    df = np.linspace(8.0, 60.0, 25)
    family = Family(25, 4, True, np.eye(25))
    reach = critical_values("tukey", family, 0.95, df)
    np.testing.assert_allclose(stats.studentized_range.sf(np.sqrt(2) * reach, 4, df), 0.05, rtol=1e-5)


def test_one_test_needs_no_adjustment_and_tukey_needs_pairs():
    assert resolved("tukey", Family(1, 2, True, np.ones((1, 1)))) == ("none", None)
    method, note = resolved("tukey", Family(3, 3, False, np.eye(3)))
    assert method == "sidak"
    assert "pairwise" in note
    assert resolved("dunnett", PAIRS) == ("mvt", None)
    assert description("none", PAIRS) is None


# ------------------------------------------------------------------------------------------------ families of contrasts


@pytest.mark.parametrize("k", range(2, 12))
def test_polynomial_contrasts_are_orthogonal_whole_numbers(k):
    rows = contrast_family("poly", [str(i) for i in range(k)]).coefficients
    np.testing.assert_array_equal(rows, np.round(rows))
    np.testing.assert_array_equal(rows @ rows.T, np.diag(np.diag(rows @ rows.T)))
    np.testing.assert_array_equal(rows.sum(axis=1), 0)
    scores = np.arange(1.0, k + 1)
    for degree, row in enumerate(rows, start=1):
        assert row[-1] > 0
        np.testing.assert_allclose([row @ scores**power for power in range(degree)], 0, atol=1e-6)
        assert abs(row @ scores**degree) > 0.5


def test_names_and_coefficients_of_the_families():
    labels = ["a", "b", "c"]
    assert contrast_family("revpairwise", labels).names == ("b - a", "c - a", "c - b")
    assert contrast_family("consec", labels).names == ("b - a", "c - b")
    assert contrast_family("trt.vs.ctrl", labels, "b").names == ("a - b", "c - b")
    assert contrast_family("trt.vs.ctrl", labels, -1).names == ("a - c", "b - c")
    assert contrast_family("eff", labels).names == ("a effect", "b effect", "c effect")
    assert contrast_family("pairwise", ["a-1", "b"]).names == ("(a-1) - b",)
    for method in ("pairwise", "revpairwise", "trt.vs.ctrl", "eff", "consec", "poly"):
        np.testing.assert_allclose(contrast_family(method, labels).coefficients.sum(axis=1), 0, atol=1e-15)


def test_contrasts_of_ones_own():
    found = contrast_family({"ab": [1, -1, 0], "last": {"c": 1, "a": -0.5, "b": -0.5}}, ["a", "b", "c"])
    assert found.names == ("ab", "last")
    np.testing.assert_array_equal(found.coefficients, [[1, -1, 0], [-0.5, -0.5, 1]])
    assert found.adjust == "none"


@pytest.mark.parametrize(
    "method, words",
    [
        ({"x": [1, -1]}, "'x' has 2 coefficients; there are 3 estimates: a, b, c"),
        ({"x": [1, "b", 0]}, "'x' is"),
        ({"x": [1, np.nan, 0]}, "finite numbers"),
        ({"x": {"d": 1}}, "names 'd', which is not one of the levels"),
        ({"x": {"a": "one"}}, "must be a list of finite numbers"),
        ({}, "method"),
        ("tukey", "choose one of 'pairwise'"),
        (3, "choose one of 'pairwise'"),
    ],
)
def test_contrasts_that_make_no_sense_are_refused(method, words):
    with pytest.raises(DataError, match=words):
        contrast_family(method, ["a", "b", "c"])


def test_a_control_that_is_no_level_is_refused():
    with pytest.raises(DataError, match="ref is 'd'"):
        contrast_family("trt.vs.ctrl", ["a", "b", "c"], "d")
    with pytest.raises(DataError, match="ref is 3"):
        contrast_family("trt.vs.ctrl", ["a", "b", "c"], 3)
    with pytest.raises(DataError, match="at least two"):
        contrast_family("pairwise", ["a"])


# --------------------------------------------------------------------------------------------------------- estimability


def crossed(cells, additive=False):
    """A fit to a two-way table in which only some cells occur."""
    rng = np.random.default_rng(3)
    rows = [(a, b) for a, b in cells for _ in range(6)]
    data = pd.DataFrame(rows, columns=["a", "b"])
    data["g"] = rng.integers(0, 8, len(data))
    data["y"] = rng.normal(size=len(data)) + rng.normal(size=8)[data["g"]]
    return henderson.lmer(f"y ~ a {'+' if additive else '*'} b + (1 | g)", data)


ALL_BUT_ONE = [cell for cell in itertools.product("pqr", "uv") if cell != ("r", "v")]


def test_a_function_is_estimable_if_it_is_a_combination_of_rows_of_x():
    model = crossed(ALL_BUT_ONE)
    rule = estimability(model)
    x = model.model_matrix().to_numpy()
    rng = np.random.default_rng(4)
    inside = rng.normal(size=(5, len(x))) @ x
    assert rule.is_estimable(inside).all()
    outside = inside + rng.normal(size=(5, 1)) * np.eye(x.shape[1])[rule.aliased[0]]
    assert not rule.is_estimable(outside).any()
    np.testing.assert_allclose(rule.on_kept(x[:, :]) @ model.fixef, x[:, list(rule.kept)] @ model.fixef)


def test_cells_that_do_not_occur_are_not_estimable_unless_effects_add_up():
    interacting = crossed(ALL_BUT_ONE).emmeans(["a", "b"]).to_frame().set_index(["a", "b"])
    assert interacting.index[interacting["estimate"].isna()].tolist() == [("r", "v")]
    assert crossed(ALL_BUT_ONE, additive=True).emmeans(["a", "b"]).to_frame()["estimate"].notna().all()


def test_contrasts_can_be_estimable_where_means_are_not():
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"a": np.repeat(["p", "q", "r"], 20), "g": np.tile(np.arange(10), 6)})
    data["twice"] = np.where(data["a"] == "p", "u", "v")  # aliased with a
    data["y"] = rng.normal(size=60)
    model = henderson.lmer("y ~ a + twice + (1 | g)", data)
    means = model.emmeans("a")
    assert means.to_frame()["estimate"].isna().all()
    pairs = means.pairs().to_frame().set_index("contrast")
    assert pairs.index[pairs["estimate"].notna()].tolist() == ["q - r"]
    assert pairs.loc["q - r", "estimate"] == pytest.approx(model.fixef["aq"] - model.fixef["ar"])
    assert "nonEst" in str(means)


def test_estimability_does_not_depend_on_units():
    data = henderson.datasets.load_ratpup()
    data = data.assign(tiny=1e-9 * data["Lsize"], huge=1e9 * data["Lsize"])
    model = henderson.lmer("weight ~ tiny + huge + Treatment + (1 | Litter)", data)
    rule = estimability(model)
    assert [model.design.x_names[i] for i in rule.aliased] == ["huge"]
    assert rule.is_estimable(model.model_matrix().to_numpy()[:40]).all()
    assert not rule.is_estimable(np.eye(5)[[1, 2]]).any()
