"""Quantile residuals: what is simulated, tests that hold their level and find what is wrong, DHARMa's numbers."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import henderson
from diagnostic_cases import REFERENCE, Dense, fitted, table
from henderson import DataError, draws
from henderson.diagnostics import quantiles, rank_tests
from henderson.diagnostics.levene import levene_statistic
from henderson.diagnostics.replicates import ResidualDraws
from henderson.diagnostics.whitening import Whitening

DESIGNS = [
    "sleepstudy",
    "weighted",
    "penicillin",
    "pastes_nested",
    "dyestuff2_singular",
    "crossed, vector-valued, weighted, offset",
    "aliased columns, no intercept",
    "no fixed effects",
]

# ------------------------------------------------------------------------------------------------ what is simulated


@pytest.mark.parametrize("kind", ["marginal", "conditional", "whitened"])
@pytest.mark.parametrize("name", DESIGNS)
def test_a_simulated_response_gets_the_residuals_it_would_have_at_the_same_theta(name, kind):
    fit, dense = fitted(name), Dense(fitted(name))
    roots = np.sqrt(dense.variances)
    linear = {"marginal": dense.marginal, "conditional": dense.conditional, "whitened": dense.marginal}[kind] / roots[
        :, None
    ]
    if kind == "whitened":
        linear = Whitening(fit)(linear.T.copy()).T
    drawn = ResidualDraws(fit, kind)
    responses = np.random.default_rng(1).normal(size=(3, fit.nobs)) * fit.sigma
    drawn._draws = lambda _random, count: responses[:count].copy()  # the residuals are a linear map of the response
    np.testing.assert_allclose(drawn(None, 3), responses @ linear.T, atol=1e-9 * fit.sigma)
    np.testing.assert_allclose(drawn.observed, linear @ dense.y, atol=1e-6 * fit.sigma)
    errors = fit.sigma * np.sqrt(np.diag(linear @ dense.V @ linear.T))
    np.testing.assert_allclose(drawn.standard_errors, errors, rtol=1e-9)


def test_the_value_of_a_row_is_its_jittered_rank_among_the_simulated_residuals():
    fit = fitted("sleepstudy")
    found = fit.quantile_residuals(99, seed=3)
    simulated = ResidualDraws(fit, "marginal")
    below = np.zeros(180)
    for number, _, count in draws.blocks(180, 99):
        below += (simulated(draws.generator(3, number), count) < simulated.observed).sum(axis=0)
    cell = found.values.to_numpy() * 100 - below
    assert cell.min() >= 0
    assert cell.max() <= 1
    assert stats.kstest(cell, "uniform").pvalue > 0.01
    np.testing.assert_array_equal(found.ranks[0], below)
    np.testing.assert_array_equal(np.sort(found.ranks, axis=0), np.tile(np.arange(100)[:, None], 180))
    np.testing.assert_array_equal(found.is_outlier, (below == 0) | (below == 99))
    np.testing.assert_allclose(found.normal_scores, stats.norm.ppf(found.values))
    assert found.values.index.equals(fit.index)


@pytest.mark.parametrize("options", [{}, {"conditional": True}, {"whiten": True}, {"by": "g"}])
def test_a_seed_gives_the_same_bits_for_any_number_of_threads(options, monkeypatch):
    monkeypatch.setattr(draws, "BLOCK_VALUES", 600)
    fit = fitted("crossed, vector-valued, weighted, offset")
    first, again = (fit.quantile_residuals(60, seed=8, threads=threads, **options) for threads in (1, 4))
    np.testing.assert_array_equal(first.values, again.values)
    np.testing.assert_array_equal(first.ranks, again.ranks)
    other = fit.quantile_residuals(60, seed=9, **options)
    assert not np.array_equal(first.values, other.values)
    drawn = fit.quantile_residuals(20)
    np.testing.assert_array_equal(drawn.values, fit.quantile_residuals(20, seed=drawn.seed).values)


def test_residuals_are_added_up_by_group_as_totals_of_weighted_rows():
    fit = fitted("crossed, vector-valued, weighted, offset")
    found = fit.quantile_residuals(80, seed=2, by="h")
    drawn = ResidualDraws(fit, "marginal")
    (number, _, count), *_ = draws.blocks(fit.nobs, 80)
    sets = np.vstack([drawn.observed, drawn(draws.generator(2, number), count)])
    codes = table()["h"].loc[fit.index].to_numpy()
    totals = (sets * np.sqrt(fit.design.weights)) @ (codes[:, None] == np.arange(5))
    np.testing.assert_array_equal(found.ranks, totals.argsort(axis=0).argsort(axis=0))
    assert found.values.index.tolist() == [0, 1, 2, 3, 4]
    assert found.values.index.name == "h"
    by_labels = fit.quantile_residuals(80, seed=2, by=codes)
    np.testing.assert_array_equal(by_labels.values, found.values)
    assert len(fit.quantile_residuals(20, seed=2, by=["g", "h"])) == len(
        set(zip(table()["g"].loc[fit.index], codes, strict=True))
    )


def test_with_many_rows_the_tests_use_a_random_sample_of_them(monkeypatch):
    fit = fitted("sleepstudy")
    whole = fit.quantile_residuals(99, seed=4)
    monkeypatch.setattr(quantiles, "MOST_KEPT", 100 * 50)
    part = fit.quantile_residuals(99, seed=4)
    np.testing.assert_array_equal(part.values, whole.values)
    assert part.ranks.shape == (100, 50)
    np.testing.assert_array_equal(part.ranks, whole.ranks[:, part.tested])
    assert "random sample of 50" in str(part)
    assert part.outliers.statistic == whole.outliers.statistic


def test_rows_that_the_model_fits_exactly_have_no_value():
    data = table().dropna()
    fit = henderson.lmer("y ~ x + only + (1 | g)", data.assign(only=(np.arange(len(data)) == 5).astype(float)))
    for options in ({}, {"conditional": True}, {"whiten": True}):
        found = fit.quantile_residuals(40, seed=1, **options)
        if "whiten" not in options:  # whitening spreads the row over its group
            assert np.flatnonzero(found.values.isna()).tolist() == [5]
            assert 5 not in found.tested
            assert "1 of them have no residual" in str(found)
        assert np.isfinite(found.to_frame()[["statistic", "p_value"]]).all(axis=None)


# --------------------------------------------------------------------------------------------------------- the tests


def test_p_values_are_ranks_of_the_observed_statistics():
    found = fitted("sleepstudy").quantile_residuals(199, seed=5, conditional=True)
    sets = (found.ranks.T + 0.5) / 200  # the distance at the quantiles k / 200
    kolmogorov = [
        np.abs(np.mean(row[:, None] < np.arange(1, 201) / 200, axis=0) - np.arange(1, 201) / 200).max()
        for row in sets.T
    ]
    assert found.uniformity.statistic == pytest.approx(kolmogorov[0])
    assert found.uniformity.p_value == np.mean(np.array(kolmogorov) >= kolmogorov[0] - 1e-12)
    extremes = ((found.ranks == 0) | (found.ranks == 199)).sum(axis=1)
    tail = min(np.mean(extremes >= extremes[0]), np.mean(extremes <= extremes[0]))
    assert found.outliers.p_value == min(1.0, 2 * tail)
    assert found.outliers.statistic == extremes[0]
    assert found.outliers.p_independent == pytest.approx(stats.binomtest(int(extremes[0]), 180, 2 / 200).pvalue)
    assert found.uniformity.p_independent == stats.kstest(found.values, "uniform").pvalue
    assert found.outliers.expected == pytest.approx(1.8)


def test_the_tests_hold_their_level_although_rows_of_a_group_depend_on_each_other():
    rng = np.random.default_rng(12)
    data = pd.DataFrame({"g": np.repeat(np.arange(8), 10), "x": np.tile(np.arange(10.0), 8)})
    design = henderson.lmer("y ~ x + (1 | g)", data.assign(y=rng.normal(size=80) + np.repeat(rng.normal(size=8), 10)))
    p_values, naive = [], []
    for _ in range(150):
        fit = design.refit(np.repeat(rng.normal(size=8), 10) * 1.5 + rng.normal(size=80))
        for conditional in (False, True):
            found = fit.quantile_residuals(39, seed=int(rng.integers(2**31)), conditional=conditional)
            p_values.append([test.p_value for test in found.tests])
            naive.append(found.uniformity.p_independent)
    rates = np.mean(np.array(p_values).reshape(150, 2, 3) <= 0.1, axis=0)
    assert (rates < 0.1 + 3 * np.sqrt(0.09 / 150)).all()
    assert rates[1, 0] > 0.03
    assert np.mean(np.array(naive) <= 0.1) < 0.04  # the usual test does not know that parameters were estimated


def clustered(rng, errors, groups=30, rows=12):
    x = np.tile(np.linspace(-1, 1, rows), groups)
    g = np.repeat(np.arange(groups), rows)
    return pd.DataFrame({"x": x, "g": g, "y": rng.normal(size=groups)[g] + errors(x)})


def test_they_find_heavy_tails_wrong_curves_and_unequal_variances():
    rng = np.random.default_rng(3)
    tails = clustered(rng, lambda x: rng.normal(size=len(x)) * np.where(rng.random(len(x)) < 0.05, 5, 1), groups=120)
    found = henderson.lmer("y ~ x + (1 | g)", tails).quantile_residuals(250, seed=1, conditional=True)
    assert found.outliers.level == "problem"
    assert found.outliers.statistic > 2 * found.outliers.expected
    assert found.uniformity.p_value < 0.02
    assert "Look at uniformity and outliers" in str(found)
    curve = clustered(rng, lambda x: 2 * x**2 + rng.normal(size=len(x)))
    against = henderson.lmer("y ~ x + (1 | g)", curve).quantile_residuals(250, seed=1, conditional=True).against("x")
    assert against.p_value == pytest.approx(1 / 251)
    assert against.p_levene > 0.05
    assert against.p_location == pytest.approx(1 / 251)
    spread = clustered(rng, lambda x: np.exp(x) * rng.normal(size=len(x)))
    against = henderson.lmer("y ~ x + (1 | g)", spread).quantile_residuals(250, seed=1, conditional=True).against("x")
    assert against.p_levene == pytest.approx(1 / 251)
    assert "Unequal spread (Levene), p = 0.00398." in str(against)
    assert "Equal means" in str(against)
    missing = clustered(rng, lambda x: rng.normal(size=len(x)))
    missing["h"] = np.tile(np.arange(6), 60)
    missing["y"] += np.repeat(rng.normal(size=60), 6) * 2  # an effect within g that the model does not have
    fit = henderson.lmer("y ~ x + (1 | g)", missing)
    inner = np.repeat(np.arange(60), 6)
    assert fit.quantile_residuals(250, seed=1, conditional=True, by=inner).dispersion.p_value < 0.01
    assert fit.quantile_residuals(250, seed=1, conditional=True, by=inner).dispersion.statistic > 1.1


def test_bins_are_adjusted_for_their_number_by_the_largest_of_their_distances():
    found = fitted("sleepstudy").quantile_residuals(99, seed=6)
    against = found.against("Days")
    days = fitted("sleepstudy").design.recipe.columns["Days"]
    scaled = np.array([rank_tests.distances(found.ranks[:, days == day]) * np.sqrt(18) for day in range(10)])
    largest = scaled.max(axis=0)
    for b in range(10):
        assert against.p_values[b] == pytest.approx((1 + np.sum(largest[1:] >= scaled[b, 0])) / 100)
        np.testing.assert_allclose(against.quartiles[b], np.quantile(found.values[days == b], [0.25, 0.5, 0.75]))
    scores = stats.norm.ppf((found.ranks + 0.5) / 100)
    levene = [stats.levene(*(row[days == day] for day in range(10)), center="mean").statistic for row in scores]
    assert against.levene == pytest.approx(levene[0])
    assert against.p_levene == np.mean(np.array(levene) >= levene[0] - 1e-12)
    location = [stats.f_oneway(*(row[days == day] for day in range(10))).statistic for row in scores]
    assert against.location == pytest.approx(location[0])
    assert against.p_location == np.mean(np.array(location) >= location[0] - 1e-12)
    frame = against.to_frame()
    assert frame.columns.tolist() == ["n", "q25", "median", "q75", "statistic", "p_value"]
    assert frame.index.name == "Days"


def test_predictors_may_be_names_categories_arrays_or_columns_of_the_whole_table():
    fit = fitted("crossed, vector-valued, weighted, offset")
    found = fit.quantile_residuals(50, seed=1)
    data = table()
    assert found.against("g").bins == ("0", "1", "2", "3", "4", "5", "6")
    whole, used = found.against(data["f"]), found.against(data["f"].loc[fit.index].to_numpy())
    assert whole.bins == used.bins == ("a", "b", "c")
    np.testing.assert_array_equal(whole.statistics, used.statistics)
    by_bins = found.against(data["w"], bins=4)
    assert len(by_bins.bins) == 4
    assert by_bins.sizes.sum() == fit.nobs
    assert by_bins.sizes.min() >= fit.nobs // 4 - 1
    assert by_bins.name == "w"
    np.testing.assert_array_equal(found.against().middles, np.sort(found.against().middles))
    grouped = fit.quantile_residuals(50, seed=1, by="g")
    assert len(grouped.against([3, 1, 4, 1, 5, 9, 2]).bins) == 6


def test_ranks_and_p_values_are_those_of_dharma():
    case = json.loads(REFERENCE.read_text())["dharma"]
    sets = np.column_stack([case["observed"], case["simulated"]]).T
    n = len(sets) - 1
    ranks = rank_tests.ranks_among(sets)
    scaled = np.array(case["scaled"])
    np.testing.assert_allclose(ranks[0] / n, scaled, atol=1e-12)
    assert stats.kstest(scaled, "uniform").statistic == pytest.approx(case["uniformity"]["statistic"])
    outliers = int(np.sum((ranks[0] == 0) | (ranks[0] == n)))
    assert outliers == case["outliers"]["count"]
    assert stats.binomtest(outliers, sets.shape[1], 2 / (n + 1)).pvalue == pytest.approx(case["outliers"]["p_value"])
    variances = np.var(sets - np.array(case["mean"]), axis=1)
    # DHARMa leaves the observed statistic out of the n that it is compared with
    ours, theirs = rank_tests.two_sided(variances), case["dispersion"]["p_value"]
    assert ours == pytest.approx((theirs * n + 2) / (n + 1))
    group = np.array(case["group"]) - 1
    for b, statistic in enumerate(case["categorical"]["statistics"]):
        assert stats.kstest(scaled[group == b], "uniform").statistic == pytest.approx(statistic)
    levene = levene_statistic(scaled, group, np.bincount(group), "median")
    assert levene.statistic == pytest.approx(case["categorical"]["levene"])


# ---------------------------------------------------------------------------------------------------- print, errors


def test_the_report_is_in_words():
    found = fitted("sleepstudy").quantile_residuals(250, seed=1)
    assert str(found).splitlines()[:3] == [
        "Quantile residuals of Reaction ~ Days + (Days | Subject)",
        "180 rows: residuals y - X beta, new random effects in each response",
        "250 simulated responses, seed 1",
    ]
    assert [test.name for test in found.tests] == ["Uniformity", "Dispersion", "Outliers"]
    assert str(found).endswith("Nothing needs attention.")
    assert "<table>" in found._repr_html_()
    assert "<table>" in found.against("Days")._repr_html_()
    assert found.to_frame().columns.tolist() == ["test", "statistic", "expected", "p_value", "p_independent"]
    expected, observed = found.quantile_plot()
    assert np.all(np.diff(observed) >= 0)
    assert np.abs(expected - observed).max() == pytest.approx(
        stats.kstest(found.values, "uniform").statistic, abs=1 / 180
    )


def test_of_many_groups_those_with_the_smallest_p_values_are_shown():
    found = fitted("penicillin").quantile_residuals(30, seed=1).against("plate")
    assert len(found.bins) == 24
    text = str(found)
    assert "The 20 of 24 groups with the smallest p-values are shown." in text
    shown = {line.split()[0] for line in text.splitlines()[2:22]}
    hidden = [p for label, p in zip(found.bins, found.p_values, strict=True) if label not in shown]
    assert len(hidden) == 4
    assert min(hidden) >= np.sort(found.p_values)[19]


def test_progress_is_shown_on_request(capsys):
    fitted("sleepstudy").quantile_residuals(20, seed=1, progress=True)
    assert "simulate 20/20" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n": 0}, "n is 0"),
        ({"n": "many"}, "n is 'many'"),
        ({"seed": -1}, "seed is -1"),
        ({"conditional": 1}, "conditional is 1"),
        ({"conditional": True, "whiten": True}, "leave out conditional"),
        ({"threads": -2}, "threads is -2"),
        ({"by": "day"}, "by is 'day'.*neither a grouping factor.*Did you mean 'Days'"),
        ({"by": [1, 2, 3]}, "by has 3 values"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        fitted("sleepstudy").quantile_residuals(**options)


@pytest.mark.parametrize(
    "x, options, message",
    [
        ("Day", {}, "x is 'Day'.*Did you mean 'Days'"),
        ([1.0, 2.0], {}, "x has 2 values; it must have 180"),
        (np.ones(180), {}, "x has the same value in every row"),
        (np.append(np.arange(179.0), np.nan), {}, "x is nan in row 179"),
        (7, {}, "x is 7"),
        (pd.Series(np.arange(180.0), index=range(5, 185)), {}, "index"),
        ("Days", {"bins": 1}, "bins is 1"),
        ("Days", {"bins": 2.5}, "bins is 2.5"),
    ],
)
def test_predictors_that_do_not_fit_are_refused(x, options, message):
    found = fitted("sleepstudy").quantile_residuals(20, seed=1)
    with pytest.raises(DataError, match=message):
        found.against(x, **options)


def test_predictors_of_groups_have_one_value_each():
    found = fitted("sleepstudy").quantile_residuals(20, seed=1, by="Subject")
    with pytest.raises(DataError, match="x has 3 values; it must have 18, one for each residual"):
        found.against([1, 2, 3])
    with pytest.raises(DataError, match="x is 'Days'"):
        found.against("Days")
