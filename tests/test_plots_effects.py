"""Plots of effects, by what they consist of: labels, artists, the numbers behind the lines; whose Axes; no traces."""

import numpy as np
import pytest

import henderson as hd
from cases import read_table
from plot_models import fitted, horizontal_ends, label_texts, many, replicates, sleep_profile, vertical_ends

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


PLOTS = {
    "caterpillar": lambda ax: hd.plots.caterpillar(fitted("dyestuff"), ax=ax),
    "shrinkage": lambda ax: hd.plots.shrinkage(fitted("sleepstudy"), ax=ax),
    "shrinkage of one effect": lambda ax: hd.plots.shrinkage(fitted("dyestuff"), ax=ax),
    "shrinkage of many levels": lambda ax: hd.plots.shrinkage(many(), effects="x", ax=ax),
    "fitted_lines": lambda ax: hd.plots.fitted_lines(fitted("sleepstudy"), levels=1, ax=ax),
    "fitted_lines, overlay": lambda ax: hd.plots.fitted_lines(fitted("sleepstudy"), overlay=True, ax=ax),
    "coefficients": lambda ax: hd.plots.coefficients(fitted("ratpup_intercept"), ax=ax),
    "profile": lambda ax: hd.plots.profile(sleep_profile(), parameters="sigma", ax=ax),
    "profile_density": lambda ax: hd.plots.profile_density(sleep_profile(), parameters="sigma", ax=ax),
    "bootstrap": lambda ax: hd.plots.bootstrap(replicates(), parameters="sigma", ax=ax),
    "marginal_effects": lambda ax: hd.plots.marginal_effects(fitted("cake"), "temp", by="recipe", ax=ax),
    "marginal_effects of a factor": lambda ax: hd.plots.marginal_effects(fitted("cake"), "recipe", ax=ax),
}

# -------------------------------------------------------------------------------------------------------- of every plot


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS)
def test_the_axes_passed_are_used_and_returned(draw):
    figure, ax = plt.subplots()
    assert draw(ax) is ax
    assert plt.get_fignums() == [figure.number]
    assert ax.has_data()
    assert ax.get_title() == ""


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS)
def test_without_axes_there_is_one_new_figure_that_can_be_drawn(draw):
    ax = draw(None)
    assert len(plt.get_fignums()) == 1
    assert ax.get_xlabel()
    ax.figure.canvas.draw()


@pytest.mark.parametrize("name", sorted({name.partition(" ")[0].strip(",") for name in PLOTS}))
def test_what_is_no_fit_is_refused_before_there_is_a_figure(name):
    with pytest.raises(hd.DataError, match="needs a fitted model"):
        getattr(hd.plots, name)(3.0)
    assert plt.get_fignums() == []


# --------------------------------------------------------------------------------------------------------- coefficients


@pytest.mark.parametrize("options", [{}, {"ddf": "kenward-roger"}, {"vcov": "CR2"}, {"level": 0.8, "ddf": "normal"}])
def test_coefficients_have_the_intervals_of_confint(options):
    fit = fitted("ratpup_intercept")
    ax = hd.plots.coefficients(fit, **options)
    wanted = fit.confint(options.pop("level", 0.95), **({"ddf": "satterthwaite"} | options)).iloc[1:]
    np.testing.assert_allclose(horizontal_ends(ax.collections[0]), wanted.to_numpy())
    np.testing.assert_allclose(ax.lines[0].get_xdata(), fit.fixef.iloc[1:])
    assert label_texts(ax.get_yticklabels()) == list(fit.fixef.index[1:])
    assert (np.diff(ax.lines[0].get_ydata()) < 0).all()


def test_profile_intervals_are_drawn_when_asked():
    fit = fitted("sleepstudy_intercept")
    ax = hd.plots.coefficients(fit, method="profile")
    wanted = sleep_profile().confint(parameters="Days").to_numpy()
    np.testing.assert_allclose(horizontal_ends(ax.collections[0]), wanted, rtol=1e-4)
    assert ax.get_xlabel() == "Estimate and 95 % interval (profile)"


def test_several_models_stand_side_by_side_and_lack_what_they_lack():
    small = fitted("ratpup_intercept")
    large = hd.lmer("weight ~ Lsize + Treatment * sex + (1 | Litter)", read_table("RatPupWeight"))
    ax = hd.plots.coefficients({"additive": small, "interaction": large})
    assert label_texts(ax.get_legend().get_texts()) == ["additive", "interaction"]
    one, other = ax.lines[:2]
    assert (len(one.get_xdata()), len(other.get_xdata())) == (4, 6)
    assert one.get_color() != other.get_color()
    gaps = one.get_ydata() - other.get_ydata()[:4]
    assert (gaps > 0).all()
    assert (gaps < 0.5).all()
    plt.close("all")
    assert label_texts(hd.plots.coefficients([small, large]).get_legend().get_texts()) == ["model 1", "model 2"]


def test_the_intercept_is_shown_when_asked_or_alone():
    assert label_texts(hd.plots.coefficients(fitted("dyestuff")).get_yticklabels()) == ["(Intercept)"]
    shown = hd.plots.coefficients(fitted("sleepstudy"), intercept=True)
    assert label_texts(shown.get_yticklabels()) == ["(Intercept)", "Days"]
    shown = hd.plots.coefficients(fitted("sleepstudy"), parameters=["Days", "(Intercept)"])
    assert label_texts(shown.get_yticklabels()) == ["Days", "(Intercept)"]


def test_coefficients_that_are_not_there_are_refused():
    with pytest.raises(hd.DataError, match="parameters 'Day' is not in this plot; there are"):
        hd.plots.coefficients(fitted("sleepstudy"), parameters="Day")
    with pytest.raises(hd.DataError, match="needs a fitted model"):
        hd.plots.coefficients([fitted("sleepstudy"), 3])
    with pytest.raises(hd.DataError, match="no fixed effects"):
        hd.plots.coefficients(hd.lmer("Reaction ~ 0 + (Days | Subject)", read_table("sleepstudy")))
    with pytest.raises(hd.DataError, match="list of models is empty"):
        hd.plots.coefficients([])


# ----------------------------------------------------------------------------------------------------- marginal effects


def test_lines_and_bands_are_those_of_emmeans():
    fit = fitted("cake")
    ax = hd.plots.marginal_effects(fit, "temp", by="recipe", ddf="kenward-roger")
    assert label_texts(ax.get_legend().get_texts()) == ["A", "B", "C"]
    assert ax.get_legend().get_title().get_text() == "recipe"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("temp", "angle")
    table = fit.emmeans("temp", by="recipe", at={"temp": [175, 225]}, ddf="kenward-roger").to_frame()
    for line, band, recipe in zip(ax.lines, ax.collections, "ABC", strict=True):
        wanted = table[table["recipe"] == recipe]
        np.testing.assert_allclose(line.get_xdata()[[0, -1]], [175, 225])
        np.testing.assert_allclose(line.get_ydata()[[0, -1]], wanted["estimate"])
        edge = band.get_paths()[0].vertices
        at_start = edge[edge[:, 0] == 175, 1]
        np.testing.assert_allclose([at_start.min(), at_start.max()], wanted[["conf_low", "conf_high"]].iloc[0])


def test_a_factor_has_points_with_intervals():
    fit = fitted("ratpup_intercept")
    ax = hd.plots.marginal_effects(fit, "Treatment")
    table = fit.emmeans("Treatment").to_frame()
    assert label_texts(ax.get_xticklabels()) == ["Control", "High", "Low"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), table["estimate"])
    ends = vertical_ends(ax.collections[0])
    np.testing.assert_allclose(ends, table[["conf_low", "conf_high"]])
    assert ax.get_legend() is None


def test_the_first_numeric_variable_is_the_default():
    assert hd.plots.marginal_effects(fitted("ratpup_intercept")).get_xlabel() == "Lsize"
    fit = hd.lmer("weight ~ sex + Treatment + (1 | Litter)", read_table("RatPupWeight"))
    assert hd.plots.marginal_effects(fit).get_xlabel() == "sex"


def test_a_numeric_by_is_held_at_its_mean_and_a_standard_deviation_around_it():
    fit = fitted("cake")
    ax = hd.plots.marginal_effects(fit, "recipe", by="temp")
    temp = read_table("cake")["temp"]
    wanted = [f"{value:.4g}" for value in (temp.mean() - temp.std(), temp.mean(), temp.mean() + temp.std())]
    assert label_texts(ax.get_legend().get_texts()) == wanted
    plt.close("all")
    ax = hd.plots.marginal_effects(fit, "recipe", by="temp", at={"temp": [180, 220]})
    assert label_texts(ax.get_legend().get_texts()) == ["180", "220"]


def test_points_are_the_data_or_partial_residuals():
    fit = fitted("sleepstudy")
    data = read_table("sleepstudy")
    ax = hd.plots.marginal_effects(fit, points="data")
    np.testing.assert_allclose(ax.lines[0].get_xydata(), data[["Days", "Reaction"]])
    plt.close("all")
    ax = hd.plots.marginal_effects(fit, points="residuals")
    wanted = fit.fixef.iloc[0] + fit.fixef.iloc[1] * data["Days"] + fit.resid
    np.testing.assert_allclose(ax.lines[0].get_ydata(), wanted)


def test_partial_residuals_of_a_group_belong_to_its_line():
    fit = fitted("cake")
    data = read_table("cake")
    ax = hd.plots.marginal_effects(fit, "temp", by="recipe", points="residuals")
    means = fit.emmeans("temp", by="recipe", at={"temp": sorted(data["temp"].unique())}).to_frame()
    for points, recipe in zip(ax.lines[:3], "ABC", strict=True):
        rows = data["recipe"] == recipe
        along = means[means["recipe"] == recipe].set_index("temp")["estimate"]
        np.testing.assert_allclose(points.get_ydata(), data["temp"][rows].map(along) + fit.resid[rows])


def test_curves_of_a_transformed_variable_are_drawn_over_the_variable():
    fit = hd.lmer("Reaction ~ poly(Days, 2) + (1 | Subject)", read_table("sleepstudy"))
    line = hd.plots.marginal_effects(fit).lines[0]
    at = fit.emmeans("Days", at={"Days": [0, 9]}).to_frame()["estimate"]
    np.testing.assert_allclose(line.get_ydata()[[0, -1]], at)
    assert np.ptp(np.diff(line.get_ydata())) > 0.01  # a curve


def test_effects_that_cannot_be_shown_are_refused():
    fit = fitted("cake")
    with pytest.raises(
        hd.DataError, match=r"x names 'tmp', which is not a variable of the fixed effects\. Did you mean"
    ):
        hd.plots.marginal_effects(fit, "tmp")
    with pytest.raises(hd.DataError, match="by names 'temp', which is not"):
        hd.plots.marginal_effects(fit, "temp", by="temp")
    with pytest.raises(hd.DataError, match="points is 'raw'; choose one of 'data', 'residuals'"):
        hd.plots.marginal_effects(fit, "temp", points="raw")
    with pytest.raises(hd.DataError, match="needs a categorical `by`"):
        hd.plots.marginal_effects(fit, "recipe", by="temp", points="residuals")
    with pytest.raises(hd.DataError, match="fixed effects of the model use no variable"):
        hd.plots.marginal_effects(fitted("dyestuff"))
    with pytest.raises(hd.DataError, match="at has the value"):
        hd.plots.marginal_effects(fit, "temp", at={"temp": "hot"})
    assert plt.get_fignums() == []


# ---------------------------------------------------------------------------------------------------------------- names


def test_names_are_taken_literally():
    data = read_table("sleepstudy")
    data = data.assign(Subject=[f"clinic $a_{subject}$ of the northern district" for subject in data["Subject"]])
    fit = hd.lmer("Reaction ~ `Days $x$` + (1 | Subject)", data.rename(columns={"Days": "Days $x$"}))
    for ax in (
        hd.plots.caterpillar(fit),
        hd.plots.shrinkage(fit),
        hd.plots.coefficients(fit),
        hd.plots.marginal_effects(fit),
        *hd.plots.fitted_lines(fit, levels=2),
    ):
        ax.figure.canvas.draw()  # no mathematics is set
        assert max(map(len, label_texts(ax.get_yticklabels()) or [""])) <= 28
