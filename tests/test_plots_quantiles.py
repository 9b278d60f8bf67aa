"""Quantile plots of residuals and random effects, their bands, and simulated residuals."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import henderson as hd
from diagnostic_plots import awkward, draw, points, singular, sleepstudy, texts
from henderson.plots import style
from henderson.plots.quantile_bands import coverage, local_level, uniform_band
from henderson.plots.quantile_panels import QQ
from henderson.plots.simulated_plots import envelope


@pytest.fixture(autouse=True)
def _no_figure_left():
    before = set(plt.get_fignums())
    yield
    for number in set(plt.get_fignums()) - before:
        plt.close(number)


def test_the_quantile_plot_sorts_standardized_residuals_against_normal_quantiles():
    fit = sleepstudy()
    ax = draw("qq_residuals", fit, label=2)
    assert texts(ax) == ["56", "59"]
    shown = points(ax)
    np.testing.assert_allclose(shown[:, 1], np.sort(fit.residuals("standardized")))
    np.testing.assert_allclose(shown[:, 0], stats.norm.ppf((np.arange(1, 181) - 0.375) / 180.25))
    line = ax.lines[0].get_xydata()
    np.testing.assert_allclose(line[:, 0], line[:, 1])
    assert len(ax.collections) == 1
    assert not draw("qq_residuals", fit, band=None).collections


def test_residuals_with_a_unit_are_compared_with_their_own_mean_square():
    fit = sleepstudy()
    line = draw("qq_residuals", fit, kind="response").lines[0].get_xydata()
    np.testing.assert_allclose(line[:, 1] / line[:, 0], np.sqrt(np.mean(fit.resid**2)))


@pytest.mark.parametrize("n", [1, 4, 60])
def test_the_simultaneous_band_holds_all_values_with_its_probability(n):
    low, high = uniform_band(n, np.arange(1, n + 1), 0.9, simultaneous=True)
    assert coverage(low, high) == pytest.approx(0.9, abs=1e-5)
    samples = np.sort(np.random.default_rng(n).random((20_000, n)), axis=1)
    assert np.mean(np.all((samples >= low) & (samples <= high), axis=1)) == pytest.approx(0.9, abs=0.01)


def test_the_pointwise_band_has_quantiles_of_order_statistics_and_is_narrower():
    ranks = np.arange(1, 31)
    low, high = uniform_band(30, ranks, 0.95, simultaneous=False)
    np.testing.assert_allclose(low, stats.beta.ppf(0.025, ranks, 31 - ranks))
    np.testing.assert_allclose(high, stats.beta.ppf(0.975, ranks, 31 - ranks))
    wide = uniform_band(30, ranks, 0.95, simultaneous=True)
    assert np.all(wide[0] < low)
    assert np.all(wide[1] > high)


def test_the_band_of_a_large_sample_follows_from_a_smaller_one():
    low, high = uniform_band(3000, np.arange(1, 3001), 0.95, simultaneous=True)
    assert coverage(low, high) == pytest.approx(0.95, abs=0.01)
    assert local_level(10**6, 0.95) < local_level(3000, 0.95)


def test_a_large_sample_is_thinned_but_keeps_its_tails():
    sample = QQ.of(np.random.default_rng(3).normal(size=200_000), 1.0)
    shown = sample.shown()
    assert len(shown) < 10_000
    assert {0, 1, 1999, 198_001, 199_999} <= set(shown.tolist())


def test_random_effects_are_standardized_as_the_test_of_normality_has_them():
    fit = sleepstudy()
    axes = draw("qq_random_effects", fit, label=1)
    assert [ax.get_ylabel().replace("\n", " ") for ax in axes] == [
        "(Intercept) | Subject, standardized",
        "Days | Subject, standardized",
    ]
    assert [texts(ax) for ax in axes] == [["309"], ["335"]]
    modes = fit.ranef["Subject"]["Days"]
    shown = points(axes[1])[:, 1]
    marginal = np.sqrt(fit.varcorr["Subject"].loc["Days", "Days"] - fit.ranef_std_error["Subject"]["Days"] ** 2)
    ratio = shown / np.sort(modes / marginal)
    assert np.all((ratio > 1) & (ratio < 1.06))  # the fixed effects take a degree of freedom of 18


def test_random_effects_in_their_units_have_bars_of_conditional_standard_deviations():
    fit = awkward()
    ax = draw("qq_random_effects", fit, group="_group", effects="x", standardized=False, intervals=True, band=None)
    (bars,) = ax.collections
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    modes = fit.ranef["_group"]["x"].sort_values()
    np.testing.assert_allclose(ends.mean(axis=1), modes)
    np.testing.assert_allclose(np.ptp(ends, axis=1) / 2, fit.ranef_std_error["_group"]["x"][modes.index])


def test_an_effect_without_variance_is_at_zero_and_says_so():
    ax = draw("qq_random_effects", singular(), label=3)
    np.testing.assert_array_equal(points(ax)[:, 1], 0.0)
    assert texts(ax) == ["estimated variance is zero"]
    assert not ax.collections


def test_unknown_effects_and_bands_are_refused():
    for options in ({"group": "Subjects"}, {"effects": "days"}, {"band": "all"}, {"level": 95}):
        with pytest.raises(hd.DataError):
            hd.plots.qq_random_effects(sleepstudy(), **options)
    assert not plt.get_fignums()


def test_terms_on_one_factor_are_chosen_by_factor_or_by_label():
    fit = hd.lmer("Reaction ~ Days + (Days || Subject)", hd.datasets.load_sleepstudy())
    assert len(draw("qq_random_effects", fit, group="Subject")) == 2
    assert draw("qq_random_effects", fit, group="Subject.1").get_ylabel().startswith("Days | Subject.1")


def test_quantile_residuals_are_shown_sorted_and_against_a_predictor():
    fit = sleepstudy()
    found = fit.quantile_residuals(60, seed=2)
    axes = draw("quantile_residuals", found, "Days", bins=10)
    np.testing.assert_allclose(points(axes[0])[:, 1], np.sort(found.values))
    quartiles = [line.get_ydata() for line in axes[1].lines if line.get_color() == style.VERMILLION]
    np.testing.assert_allclose(np.array(quartiles).T, found.against("Days").to_frame()[["q25", "median", "q75"]])
    by_level = draw("quantile_residuals", found, "Subject")[1]
    assert by_level.get_xticklabels()[0].get_text() == "308"


def test_the_envelope_holds_its_share_of_simulated_responses():
    found = sleepstudy().quantile_residuals(200, seed=3)
    place, low, high = envelope(found, 0.9)
    values = (np.sort(found.ranks[1:], axis=1)[:, (place * 180).astype(int)] + 0.5) / 201
    slack = 1e-12
    inside = np.all((values >= low - slack) & (values <= high + slack), axis=1)
    assert inside.mean() == pytest.approx(0.9, abs=0.02)
