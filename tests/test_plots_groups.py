"""Plots of groups: caterpillar, shrinkage, fitted lines; labels, artists and the numbers behind them."""

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from cases import read_table
from plot_models import fitted, horizontal_ends, label_texts, many

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _leave_no_trace():
    """matplotlib's settings are left alone; figures are closed after each test."""
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    plt.close("all")


# ---------------------------------------------------------------------------------------------------------- caterpillar


def test_a_caterpillar_has_modes_in_order_with_their_intervals():
    fit = fitted("dyestuff")
    ax = hd.plots.caterpillar(fit, level=0.9)
    modes = fit.ranef["Batch"].iloc[:, 0].sort_values()
    half = 1.6448536269514722 * fit.ranef_std_error["Batch"].iloc[:, 0][modes.index]
    dots = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xdata(), modes)
    np.testing.assert_allclose(dots.get_ydata(), range(6))
    ends = horizontal_ends(ax.collections[0])
    np.testing.assert_allclose(ends, np.column_stack([modes - half, modes + half]))
    assert label_texts(ax.get_yticklabels()) == list(modes.index)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Deviation in (Intercept)", "Batch")


def test_panels_of_one_factor_are_in_the_order_of_its_first_effect():
    fit = fitted("sleepstudy")
    first, second = hd.plots.caterpillar(fit)
    order = fit.ranef["Subject"].iloc[:, 0].argsort()
    dots = next(line for line in second.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xdata(), fit.ranef["Subject"]["Days"].iloc[order])
    assert label_texts(first.get_yticklabels()) == [str(level) for level in fit.ranef["Subject"].index[order]]
    assert label_texts(second.get_yticklabels()) == [""] * 18


def test_the_order_of_the_levels_can_be_kept():
    ax = hd.plots.caterpillar(fitted("dyestuff"), sort=False)
    assert label_texts(ax.get_yticklabels()) == list("FEDCBA")


def test_many_levels_are_a_ribbon_without_names():
    fit = many()
    axes = hd.plots.caterpillar(fit)
    assert [ax.get_ylabel() for ax in axes] == ["300 levels of g"] * 2
    for k, ax in enumerate(axes):
        assert len(ax.get_yticks()) == 0
        assert len(ax.collections) == 1  # the ribbon
        pairs = np.sort(fit.ranef["g"].iloc[:, k]).reshape(100, 3)  # 300 levels in 200 steps: one, then two
        wanted = np.column_stack([pairs[:, 0], pairs[:, 1:].mean(axis=1)]).ravel()
        np.testing.assert_allclose(ax.lines[-1].get_xdata(), wanted)


def test_thousands_of_levels_are_averaged_in_order():
    fit = many(1300)
    ax = hd.plots.caterpillar(fit, effects="x")
    line = ax.lines[-1].get_xdata()
    assert len(line) == 200
    assert (np.diff(line) > 0).all()
    modes = np.sort(fit.ranef["g"]["x"])
    assert line[0] == pytest.approx(modes[:6].mean())  # 1300 / 200 = 6.5 levels each


def test_several_factors_have_a_panel_each_unless_one_is_chosen():
    fit = fitted("pastes_nested")
    axes = hd.plots.caterpillar(fit)
    assert [ax.get_ylabel() for ax in axes] == ["cask:batch", "batch"]
    plt.close("all")
    assert hd.plots.caterpillar(fit, "batch").get_ylabel() == "batch"


@pytest.mark.filterwarnings("ignore::henderson.SingularFitWarning")
def test_a_variance_of_zero_is_said():
    ax = hd.plots.caterpillar(fitted("dyestuff2_singular"))
    assert label_texts(ax.texts) == ["estimated variance: 0"]
    assert ax.get_xlim() == (-1.0, 1.0)


def test_unknown_names_and_levels_are_refused():
    fit = fitted("sleepstudy")
    with pytest.raises(hd.DataError, match=r"group is 'Subjekt'; choose one of 'Subject'\. Did you mean"):
        hd.plots.caterpillar(fit, "Subjekt")
    with pytest.raises(hd.DataError, match="effects 'Day' is not in this plot"):
        hd.plots.caterpillar(fit, effects="Day")
    with pytest.raises(hd.DataError, match="effects is empty"):
        hd.plots.caterpillar(fit, effects=[])
    with pytest.raises(hd.DataError, match="level"):
        hd.plots.caterpillar(fit, level=95)
    with pytest.raises(hd.DataError, match="ax has 1 Axes, but this plot has 2 panels"):
        hd.plots.caterpillar(fit, ax=plt.figure().add_subplot())


# ------------------------------------------------------------------------------------------------------------ shrinkage


def test_the_plane_has_an_arrow_from_no_pooling_to_partial_pooling():
    fit = fitted("sleepstudy")
    ax = hd.plots.shrinkage(fit)
    found = fit.shrinkage()["Subject"]
    raw, partial, complete = ax.lines[:3]
    np.testing.assert_allclose(raw.get_xydata(), found.no_pooling)
    np.testing.assert_allclose(partial.get_xydata(), found.partial_pooling)
    np.testing.assert_allclose(complete.get_xydata(), found.complete_pooling[None, :])
    arrows = [text for text in ax.texts if text.arrow_patch is not None]
    np.testing.assert_allclose([arrow.xy for arrow in arrows], found.partial_pooling)
    assert label_texts(ax.get_legend().get_texts()) == ["none", "partial", "complete"]
    assert ax.get_legend().get_title().get_text() == f"Pooling (shrinkage factor {found.factors[0]:.2f})"


def test_the_plane_names_the_levels_that_move_most_where_they_come_from():
    fit = fitted("sleepstudy")
    ax = hd.plots.shrinkage(fit, label=3)
    named = {text.get_text(): text.xy for text in ax.texts if text.get_text()}
    assert len(named) == 3
    found = fit.shrinkage()["Subject"]
    moved = np.abs(found.no_pooling - found.partial_pooling) / np.diff([ax.get_xlim(), ax.get_ylim()])[:, 0]
    length = pd.Series(np.hypot(*moved.T), index=[str(level) for level in found.levels])
    assert set(named) == set(length.nlargest(3).index)
    for name, xy in named.items():
        np.testing.assert_allclose(xy, found.no_pooling[[str(level) for level in found.levels].index(name)])


def test_of_thousands_of_levels_a_plane_shows_a_sample():
    fit = many(2100)
    ax = hd.plots.shrinkage(fit)
    assert len(ax.lines[2].get_xdata()) == 2000
    assert any(text.startswith("2000 of 2100 levels") for text in label_texts(ax.texts))


def test_coefficients_that_are_hardly_determined_are_beyond_the_frame():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(10), 6)
    x = rng.normal(size=60)
    x[-6:] = 1e-4 * x[-6:]  # the last group is at one value of x, nearly
    data = pd.DataFrame({"g": g, "x": x, "y": x * (1 + rng.normal(size=10)[g]) + rng.normal(size=60)})
    fit = hd.lmer("y ~ x + (x | g)", data)
    for effects in (None, "x"):
        ax = hd.plots.shrinkage(fit, effects=effects)
        assert "1 beyond the frame" in label_texts(ax.texts)
        limits = np.array([ax.get_ylim() if effects is None else ax.get_xlim()])
        own = fit.shrinkage()["g"].no_pooling[:, 1]
        assert np.sum((own < limits[0, 0]) | (own > limits[0, 1])) == 1


def test_one_effect_has_a_segment_per_level_and_its_factor():
    fit = fitted("ratpup_intercept")
    ax = hd.plots.shrinkage(fit)
    found = fit.shrinkage()["Litter"]
    order = np.argsort(found.partial_pooling[:, 0], kind="stable")
    ends = horizontal_ends(ax.collections[0])
    np.testing.assert_allclose(ends, np.column_stack([found.no_pooling, found.partial_pooling])[order])
    assert label_texts(ax.get_yticklabels()) == [str(level) for level in found.levels[order]]
    assert label_texts(ax.texts) == ["factor", *(f"{factor:.2f}" for factor in found.factors[order])]


def test_equal_factors_are_said_once():
    ax = hd.plots.shrinkage(fitted("dyestuff"))
    assert not ax.texts
    assert ax.get_legend().get_title().get_text() == "Pooling (shrinkage factor 0.78)"


def test_many_levels_are_predictions_against_their_own_coefficients():
    fit = many()
    ax = hd.plots.shrinkage(fit, effects="(Intercept)")
    found = fit.shrinkage()["g"]
    known = np.isfinite(found.no_pooling[:, 0])
    assert not known.all()
    points = ax.collections[0]
    np.testing.assert_allclose(
        points.get_offsets(), np.column_stack([found.no_pooling[known, 0], found.partial_pooling[known, 0]])
    )
    np.testing.assert_allclose(points.get_array(), found.factors[known])
    assert label_texts(ax.get_legend().get_texts()) == ["no pooling", "complete pooling"]


def test_levels_without_coefficients_of_their_own_have_no_arrow():
    fit = many()
    ax = hd.plots.shrinkage(fit)
    known = np.isfinite(fit.shrinkage()["g"].no_pooling).all(axis=1)
    assert len(ax.lines[0].get_xdata()) == known.sum()


@pytest.mark.filterwarnings("ignore::henderson.SingularFitWarning")
def test_complete_shrinkage_is_a_picture_too():
    fit = fitted("dyestuff2_singular")
    ax = hd.plots.shrinkage(fit)
    ends = horizontal_ends(ax.collections[0])
    np.testing.assert_allclose(ends[:, 1], fit.fixef.iloc[0])
    assert ax.get_legend().get_title().get_text() == "Pooling (shrinkage factor 0.00)"


def test_no_more_than_two_effects_make_a_plane():
    rng = np.random.default_rng(3)
    g = np.arange(60) % 10
    data = pd.DataFrame(rng.normal(size=(60, 2)), columns=["x", "z"]).assign(g=g)
    data["y"] = rng.normal(size=10)[g] + data["x"] * rng.normal(size=10)[g] + rng.normal(size=60)
    fit = hd.lmer("y ~ x + z + (x + z | g)", data, reml=False)
    assert hd.plots.shrinkage(fit).get_ylabel() == "x"
    assert hd.plots.shrinkage(fit, effects=["z", "x"]).get_xlabel() == "z"
    with pytest.raises(hd.DataError, match="this plot shows one effect, or a plane of two"):
        hd.plots.shrinkage(fit, effects=["x", "z", "(Intercept)"])


# --------------------------------------------------------------------------------------------------------- fitted lines


def test_each_panel_has_the_data_and_both_lines_of_its_group():
    fit = fitted("sleepstudy")
    axes = hd.plots.fitted_lines(fit)
    data = read_table("sleepstudy")
    assert len(axes) == 18
    for ax, (subject, rows) in zip(axes, data.groupby("Subject"), strict=True):
        points, population, own = ax.lines
        np.testing.assert_allclose(points.get_xydata(), rows[["Days", "Reaction"]])
        days = own.get_xdata()
        np.testing.assert_allclose(population.get_ydata(), fit.fixef.iloc[0] + fit.fixef.iloc[1] * days)
        a, b = fit.coef["Subject"].loc[subject]
        np.testing.assert_allclose(own.get_ydata(), a + b * days)
        assert ax.get_title(loc="left") == str(subject)
    assert len({ax.get_ylim() for ax in axes}) == 1
    assert axes[0].figure.get_supxlabel() == "Days"
    assert axes[0].figure.get_supylabel() == "Reaction"


def test_fitted_lines_pass_through_fitted_values_whatever_the_model():
    """Weights, an offset column, other variables constant within groups, a nested factor, a transformed predictor."""
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(12), 8)
    data = pd.DataFrame({"g": g, "h": g // 3, "x": np.tile(np.arange(8.0), 12), "f": np.array(["a", "b"])[g % 2]})
    data["w"], data["o"] = rng.uniform(0.5, 2.0, 96), (0.1 * g)
    data["y"] = np.exp(0.1 * data["x"]) + rng.normal(size=12)[g] + rng.normal(size=4)[g // 3] + rng.normal(size=96)
    formula = "y ~ poly(x, 2) * f + scale(w2) + (1 + x | h/g)"
    data["w2"] = (g * 7.0) % 5
    fit = hd.lmer(formula, data, weights="w", offset="o")
    axes = hd.plots.fitted_lines(fit, "g:h", x="x", levels=["0:0", "5:1"])
    for ax, level in zip(axes, (0, 5), strict=True):
        own = ax.lines[2]
        at = np.searchsorted(own.get_xdata(), [0.0, 7.0])
        np.testing.assert_allclose(own.get_ydata()[at], fit.fitted[g == level].iloc[[0, 7]])


def test_effects_of_crossed_factors_are_left_out_of_a_line():
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.arange(80) % 8, "h": np.arange(80) // 8, "x": rng.normal(size=80)})
    data["y"] = data["x"] + rng.normal(size=8)[data["g"]] + rng.normal(size=10)[data["h"]] + rng.normal(size=80)
    fit = hd.lmer("y ~ x + (1 | g) + (1 | h)", data)
    ax = hd.plots.fitted_lines(fit, "g", levels=["3"])
    x = ax.lines[2].get_xdata()
    np.testing.assert_allclose(ax.lines[2].get_ydata(), fit.coef["g"].loc[3, "(Intercept)"] + fit.fixef["x"] * x)


def test_a_factor_is_drawn_at_its_levels():
    fit = fitted("ratpup_intercept")
    ax = hd.plots.fitted_lines(fit, x="sex", levels=[4], ax=plt.figure().add_subplot())
    assert label_texts(ax.get_xticklabels()) == ["Female", "Male"]
    rows = read_table("RatPupWeight").query("Litter == 4")
    one = fit.fitted[rows.index].groupby(rows["sex"]).mean()
    np.testing.assert_allclose(ax.lines[2].get_ydata(), one[["Female", "Male"]])
    assert ax.get_xlabel() == "sex"
    assert ax.get_ylabel() == "weight"


def test_numbers_made_into_a_factor_are_drawn_at_their_values():
    data = read_table("cake")
    fit = hd.lmer("angle ~ factor(temp) + (1 | recipe:replicate)", data)
    ax = hd.plots.fitted_lines(fit, levels=1)
    assert label_texts(ax.get_xticklabels()) == ["175", "185", "195", "205", "215", "225"]


def test_of_many_groups_a_sample_of_large_ones_is_shown():
    fit = many()
    axes = hd.plots.fitted_lines(fit, x="x")
    sizes = np.bincount(fit.design.factors[0].codes)
    shown = [int(ax.get_title(loc="left")) for ax in axes]
    assert len(set(shown)) == 16
    rows = pd.Series(fit.design.factors[0].labels[fit.design.factors[0].codes]).value_counts()
    assert rows[shown].min() >= np.median(sizes)


def test_an_overlay_has_a_line_per_group_where_the_group_has_data():
    fit = fitted("sleepstudy")
    ax = hd.plots.fitted_lines(fit, overlay=True)
    groups, population = ax.lines[-2:]
    lines = groups.get_ydata().reshape(18, -1)[:, :-1]
    days = population.get_xdata()
    np.testing.assert_allclose(lines, fit.coef["Subject"].to_numpy() @ np.array([np.ones(len(days)), days]))
    np.testing.assert_allclose(population.get_ydata(), fit.fixef.iloc[0] + fit.fixef.iloc[1] * days)
    short = many()
    shown = hd.plots.fitted_lines(short, overlay=True).lines[-2].get_ydata().reshape(300, -1)
    assert 0.1 < np.isnan(shown[:, :-1]).mean() < 0.9


def test_groups_and_variables_that_cannot_be_shown_are_refused():
    fit = fitted("sleepstudy")
    with pytest.raises(hd.DataError, match="levels '999' is not in this plot"):
        hd.plots.fitted_lines(fit, levels=["999"])
    with pytest.raises(hd.DataError, match="levels is 0; it must be the names of some levels, or how many"):
        hd.plots.fitted_lines(fit, levels=0)
    with pytest.raises(hd.DataError, match="figure of 300 panels"):
        hd.plots.fitted_lines(many(), levels=300)
    with pytest.raises(hd.DataError, match="x 'Day' is not in this plot; there are: Days"):
        hd.plots.fitted_lines(fit, x="Day")
    with pytest.raises(hd.DataError, match="no variable to draw lines over"):
        hd.plots.fitted_lines(fitted("dyestuff"))
    assert plt.get_fignums() == []
