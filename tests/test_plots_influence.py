"""Influence, leverage, covariance ellipses and convergence: the numbers that are drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import henderson as hd
from diagnostic_plots import draw, points, singular, sleepstudy, texts
from henderson.plots.covariance_plots import ellipse
from henderson.plots.influence_plots import STEMS, _shown


@pytest.fixture(autouse=True)
def _no_figure_left():
    before = set(plt.get_fignums())
    yield
    for number in set(plt.get_fignums()) - before:
        plt.close(number)


def test_the_influence_plot_has_a_stem_for_each_group_and_names_the_largest():
    fit = sleepstudy()
    found = fit.influence("Subject")
    ax = draw("influence", found, label=3)
    np.testing.assert_allclose(points(ax)[:, 1], found.cooks_distance)
    stems = np.array(ax.collections[0].get_segments())
    np.testing.assert_allclose(stems[:, 1, 1], found.cooks_distance)
    np.testing.assert_array_equal(stems[:, 0, 1], 0.0)
    assert texts(ax) == found.cooks_distance.nlargest(3).index.astype(str).tolist()
    assert [label.get_text() for label in ax.get_xticklabels()] == [str(level) for level in found.labels]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Subject", "Cook's distance")


def test_covratio_has_its_stems_at_one_and_a_cutoff_is_a_line():
    found = sleepstudy().influence("Subject")
    ax = draw("influence", found, measure="covratio", cutoff=1.2, label=0)
    stems = np.array(ax.collections[0].get_segments())
    np.testing.assert_array_equal(stems[:, 0, 1], 1.0)
    assert any(line.get_linestyle() == "--" and set(line.get_ydata()) == {1.2} for line in ax.lines)


def test_of_many_rows_the_largest_of_each_stretch_is_drawn():
    sizes = np.random.default_rng(4).exponential(size=10 * STEMS)
    sizes[[5, 17_000]] = np.nan
    shown = _shown(sizes)
    assert len(shown) == STEMS
    np.testing.assert_array_equal(sizes[shown], np.nanmax(sizes.reshape(STEMS, 10), axis=1))


def test_what_cannot_be_left_out_has_a_cross():
    table = hd.datasets.load_sleepstudy()
    table["only"] = (table["Subject"].astype(str) == "308").astype(float)
    ax = draw("influence", hd.lmer("Reaction ~ Days + only + (1 | Subject)", table), group="Subject")
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert [line.get_xdata().tolist() for line in crosses] == [[0]]


def test_without_fixed_effects_there_is_no_cooks_distance():
    fit = hd.lmer("Reaction ~ 0 + (1 | Subject)", hd.datasets.load_sleepstudy())
    with pytest.raises(hd.DataError, match="no value here"):
        hd.plots.influence(fit)
    draw("influence", fit, measure="leverage")
    draw("diagnostics", fit)


def test_bad_options_of_the_influence_plot_are_refused():
    for options in ({"measure": "cook"}, {"cutoff": "1"}, {"cutoff": np.nan}, {"group": "Nobody"}):
        with pytest.raises(hd.DataError):
            hd.plots.influence(sleepstudy(), **options)


def test_contours_of_leverage_are_where_cooks_distance_has_their_value():
    fit = sleepstudy()
    ax = draw("leverage", fit, contours=[0.2, 1], label=2)
    h, t = fit.leverage.to_numpy(), fit.residuals("standardized").to_numpy()
    np.testing.assert_allclose(points(ax), np.column_stack([h, t]))
    curves = [line.get_xydata() for line in ax.lines if line.get_linestyle() == "--"]
    values = [np.unique((c[:, 1] ** 2 * c[:, 0] / (2 * (1 - c[:, 0]))).round(9)) for c in curves]
    assert [value.tolist() for value in values] == [[0.2], [0.2], [1.0], [1.0]]
    cook = fit.augment()[".cooksd"].to_numpy()
    assert texts(ax)[-2:] == [str(i) for i in np.argsort(-cook)[:2]]
    for wrong in (0, [-1], "1", [np.nan]):
        with pytest.raises(hd.DataError):
            hd.plots.leverage(fit, contours=wrong)


def test_an_ellipse_holds_its_probability():
    covariance = np.array([[4.0, -1.5], [-1.5, 1.0]])
    edge = ellipse(covariance, 0.8)
    distances = np.einsum("ia,ab,ib->i", edge, np.linalg.inv(covariance), edge)
    np.testing.assert_allclose(distances, stats.chi2.ppf(0.8, 2))
    flat = ellipse(np.array([[1.0, 2.0], [2.0, 4.0]]), 0.5)
    np.testing.assert_allclose(flat[:, 1], 2 * flat[:, 0], atol=1e-7)


def test_ellipses_are_drawn_over_the_conditional_modes():
    fit = sleepstudy()
    ax = draw("covariance_ellipses", fit, levels=0.9, label=1)
    shown = points(ax)
    modes = fit.ranef["Subject"].to_numpy()
    np.testing.assert_allclose(shown[np.lexsort(shown.T)], modes[np.lexsort(modes.T)])
    assert texts(ax)[0] == "90%"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("(Intercept) | Subject", "Days | Subject")


def test_pairs_of_one_term_are_a_triangle():
    fit = hd.lmer("Reaction ~ poly(Days, 2) + (poly(Days, 2) | Subject)", hd.datasets.load_sleepstudy())
    axes = draw("covariance_ellipses", fit)
    cells = [(ax.get_subplotspec().rowspan.start, ax.get_subplotspec().colspan.start) for ax in axes]
    assert cells == [(0, 0), (1, 0), (1, 1)]
    assert [bool(ax.get_ylabel()) for ax in axes] == [True, True, False]


def test_there_is_no_ellipse_of_a_single_effect():
    with pytest.raises(hd.DataError, match="no covariance to draw"):
        hd.plots.covariance_ellipses(singular())
    with pytest.raises(hd.DataError, match="level"):
        hd.plots.covariance_ellipses(sleepstudy(), levels=(0.5, 1.5))
    assert not plt.get_fignums()


def test_the_trace_falls_to_the_optimum_and_the_paths_end_at_theta():
    fit = sleepstudy()
    axes = draw("convergence", fit)
    above = axes[0].lines[0].get_ydata()
    assert len(above) == fit.optimum.evaluations
    assert np.all(above > 0)
    np.testing.assert_allclose(above[0], fit.optimum.trace["criterion"].iloc[0] - fit.criterion, rtol=1e-6)
    ends = [line.get_ydata()[-1] for line in axes[1].lines if line.get_marker() == "o"]
    np.testing.assert_allclose(ends, fit.theta, rtol=1e-6)
    names = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert names == fit.theta.sort_values(ascending=False).index.tolist()
    ml = hd.lmer("Reaction ~ Days + (1 | Subject)", hd.datasets.load_sleepstudy(), reml=False)
    assert draw("convergence", ml)[0].get_ylabel() == "Deviance − optimum"
