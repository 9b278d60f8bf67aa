"""Diagnostic plots: what is drawn and where, by the data of the artists; never by pixels."""

import pkgutil
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import henderson as hd
from diagnostic_plots import awkward, draw, points, singular, sleepstudy, texts
from henderson.plots import style
from henderson.plots.smoothing import smooth

SINGLE = ("residuals", "scale_location", "qq_residuals", "influence", "leverage")
SEVERAL = {"qq_random_effects": 2, "convergence": 2, "quantile_residuals": 2, "diagnostics": 4}
ALL = (*SINGLE, *SEVERAL, "covariance_ellipses")


@pytest.fixture(autouse=True)
def _no_figure_left():
    before = set(plt.get_fignums())
    yield
    for number in set(plt.get_fignums()) - before:
        plt.close(number)


@pytest.mark.parametrize("name", ALL)
def test_a_plot_makes_one_figure_and_leaves_the_settings_alone(name):
    settings = dict(mpl.rcParams)
    result = draw(name, sleepstudy())
    assert len(plt.get_fignums()) == 1
    axes = np.ravel(result)
    assert len(axes) == SEVERAL.get(name, 1)
    assert isinstance(result, np.ndarray) == (name in SEVERAL)
    assert dict(mpl.rcParams) == settings
    for ax in axes:
        assert ax.get_ylabel()
        assert not ax.get_title()


@pytest.mark.parametrize("name", ALL)
def test_a_plot_draws_into_the_axes_it_is_given_and_keeps_their_frame(name):
    count = SEVERAL.get(name, 1)
    figure, given = plt.subplots(1, count)
    before = [ax.spines["top"].get_visible() for ax in np.ravel(given)]
    result = draw(name, sleepstudy(), ax=given)
    assert list(np.ravel(result)) == list(np.ravel(given))
    assert len(plt.get_fignums()) == 1
    assert [ax.spines["top"].get_visible() for ax in np.ravel(given)] == before
    assert all(ax.has_data() for ax in np.ravel(given))
    assert set(figure.axes) == set(np.ravel(given))


@pytest.mark.parametrize("name", ALL)
def test_a_plot_refuses_what_is_no_axes_and_leaves_no_figure(name):
    figure = plt.figure()
    for wrong in (figure, "ax", 3):
        with pytest.raises(hd.DataError, match=r"matplotlib Axes|panels"):
            getattr(hd.plots, name)(sleepstudy(), ax=wrong)
    plt.close(figure)
    with pytest.raises(hd.DataError, match="fitted model"):
        getattr(hd.plots, name)({"not": "a fit"})
    assert not plt.get_fignums()


@pytest.mark.parametrize("name", SEVERAL)
def test_several_panels_need_as_many_different_axes(name):
    figure, given = plt.subplots(1, 5)
    with pytest.raises(hd.DataError, match=f"has 5 Axes, but this plot has {SEVERAL[name]} panels"):
        getattr(hd.plots, name)(sleepstudy(), ax=given)
    with pytest.raises(hd.DataError, match="twice"):
        getattr(hd.plots, name)(sleepstudy(), ax=[given[0]] * SEVERAL[name])
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("name", [name for name in ALL if name != "covariance_ellipses"])
def test_a_singular_fit_is_drawn(name):
    draw(name, singular())


@pytest.mark.parametrize("name", ALL)
def test_awkward_names_weights_missing_values_and_aliased_columns_are_drawn(name):
    draw(name, awkward())


def test_an_error_in_a_panel_closes_the_figure():
    with pytest.raises(hd.DataError, match="panel 'qq'"):
        sleepstudy().plot(("residuals", "qq"))
    with pytest.raises(hd.DataError, match="panels is empty"):
        sleepstudy().plot(())
    assert not plt.get_fignums()


def test_no_module_has_the_name_of_a_plot():
    modules = {module.name for module in pkgutil.iter_modules(hd.plots.__path__)}
    assert not modules & set(hd.plots.__all__)
    for name in hd.plots.__all__:
        assert callable(getattr(hd.plots, name))


def test_the_error_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'henderson\[plots\]'"):
        hd.plots.residuals(sleepstudy())


# ----------------------------------------------------------------------------------------------------------- residuals


def test_residuals_are_shown_against_fitted_values():
    fit = sleepstudy()
    ax = draw("residuals", fit)
    np.testing.assert_allclose(points(ax), np.column_stack([fit.fitted, fit.resid]))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Fitted Reaction", "Residual of Reaction")
    curve = next(line for line in ax.lines if line.get_color() == style.VERMILLION).get_xydata()
    x, y = smooth(fit.fitted.to_numpy(), fit.resid.to_numpy())
    np.testing.assert_array_equal(curve, np.column_stack([x, y]))


def test_marginal_residuals_are_shown_against_the_mean_without_random_effects():
    fit = sleepstudy()
    for options in ({"kind": "marginal"}, {"kind": "response", "conditional": False}):
        ax = draw("residuals", fit, **options)
        mean = fit.fixef["(Intercept)"] + fit.fixef["Days"] * hd.datasets.load_sleepstudy()["Days"]
        np.testing.assert_allclose(points(ax)[:, 0], mean)
        np.testing.assert_allclose(points(ax).sum(axis=1), hd.datasets.load_sleepstudy()["Reaction"])
        assert "fixed effects only" in ax.get_xlabel()


def test_the_largest_residuals_are_labelled_by_their_row():
    fit = awkward()
    ax = draw("residuals", fit, kind="standardized", label=4)
    assert texts(ax) == fit.residuals("standardized").abs().nlargest(4).index.tolist()
    assert ax.get_ylabel() == "Standardized residual"


def test_scale_location_shows_the_root_of_absolute_standardized_residuals():
    fit = awkward()
    ax = draw("scale_location", fit, smooth=False)
    expected = np.sqrt(np.abs(fit.residuals("standardized")))
    np.testing.assert_allclose(points(ax), np.column_stack([fit.fitted, expected]))
    line = ax.lines[-1].get_ydata()
    rng = np.random.default_rng(1)
    assert line[0] == pytest.approx(np.sqrt(np.abs(rng.normal(size=10**6))).mean(), abs=2e-3)


def test_bad_options_are_refused():
    for options in ({"kind": "deviance"}, {"label": -1}, {"label": 1.5}, {"label": True}):
        with pytest.raises(hd.DataError):
            hd.plots.residuals(sleepstudy(), **options)
    assert not plt.get_fignums()
