"""Plots of profiles, bootstraps and power: labels, artists and the numbers behind them."""

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from cases import read_table
from plot_models import fitted, label_texts, replicates, sleep_profile, vertical_ends

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


def area(x, density):
    return np.sum(0.5 * (density[1:] + density[:-1]) * np.diff(x))


# ------------------------------------------------------------------------------------------------------------- profiles


def test_a_profile_plot_is_zeta_with_the_limits_of_its_intervals():
    found = sleep_profile()
    axes = hd.plots.profile(found, levels=[0.5, 0.95])
    assert [ax.get_xlabel() for ax in axes] == list(found)
    for ax, name in zip(axes, found, strict=True):
        line = ax.lines[1]
        np.testing.assert_allclose(line.get_ydata(), found[name].zeta_at(line.get_xdata()))
        marked = sorted(limit.get_xdata()[0] for limit in ax.lines[2:-1])
        wanted = np.concatenate([found[name].interval(level) for level in (0.5, 0.95)])
        np.testing.assert_allclose(marked, np.sort(wanted))
        tops = [limit.get_ydata()[1] for limit in ax.lines[2:-1]]
        np.testing.assert_allclose(np.abs(tops), [0.67449, 0.67449, 1.95996, 1.95996], atol=1e-4)
        assert ax.lines[-1].get_xydata().tolist() == [[found[name].estimate, 0.0]]


def test_a_fit_is_profiled_first():
    ax = hd.plots.profile(fitted("sleepstudy_intercept"), parameters="sigma")
    assert ax.get_xlabel() == "sigma"
    limits = sorted(line.get_xdata()[0] for line in ax.lines[2:-1])
    np.testing.assert_allclose([limits[1], limits[-2]], sleep_profile()["sigma"].interval(0.95), rtol=1e-5)


def test_a_profile_density_has_the_probability_of_its_interval():
    found = sleep_profile()
    for ax, name in zip(hd.plots.profile_density(found), found, strict=True):
        x, density = ax.lines[0].get_data()
        low, high = found[name].interval(0.95)
        inside = (x >= low) & (x <= high)
        assert area(x[inside], density[inside]) == pytest.approx(0.95, abs=0.01)
        assert len(ax.collections) == 2  # the shaded interval, the estimate
        assert ax.get_ylim()[0] == 0


def test_a_density_ends_at_the_boundary_of_the_parameter():
    ax = hd.plots.profile_density(fitted("dyestuff"), parameters="sd_(Intercept)|Batch")
    x, density = ax.lines[0].get_data()
    assert x[0] == pytest.approx(0, abs=1e-12)
    assert np.isfinite(density).all()
    assert 0.97 < area(x, density) < 1 - 0.005  # the rest belongs to zero


@pytest.mark.filterwarnings("ignore::henderson.SingularFitWarning")
def test_parameters_without_a_profile_are_left_out_or_refused():
    fit = hd.lmer("Yield ~ 1 + (x | Batch)", read_table("Dyestuff2").assign(x=np.tile([0.0, 1, 2, 3, 4], 6)))
    found = fit.profile(["cor_x.(Intercept)|Batch", "sigma"])
    if len(found["cor_x.(Intercept)|Batch"].points) < 2:
        with pytest.raises(hd.DataError, match="no profile to draw of cor_x"):
            hd.plots.profile(found, parameters="cor_x.(Intercept)|Batch")
    assert hd.plots.profile(found, parameters="sigma").get_xlabel() == "sigma"
    with pytest.raises(hd.DataError, match="There is no parameter 'x'"):
        hd.plots.profile_density(found, parameters="x")


# ------------------------------------------------------------------------------------------------------------ bootstrap


@pytest.mark.parametrize("method", ["percentile", "basic"])
def test_bootstrap_panels_mark_estimate_and_interval(method):
    found = replicates()
    axes = hd.plots.bootstrap(found, method=method, level=0.9)
    limits = found.confint(0.9, method=method)
    for ax, name, estimate in zip(axes, found.names, found.estimates, strict=True):
        interval, line = ax.lines
        np.testing.assert_allclose(interval.get_xdata(), limits.loc[name])
        np.testing.assert_allclose(line.get_xdata(), [estimate, estimate])
        steps = ax.patches[0].get_data()
        assert steps.edges[0] == pytest.approx(found.replicates[name].min())
        assert np.sum(steps.values * np.diff(steps.edges)) == pytest.approx(1.0)
        assert ax.get_xlabel() == name


def test_a_fit_is_bootstrapped_first():
    ax = hd.plots.bootstrap(fitted("dyestuff"), parameters="sigma", n=50, seed=4)
    wanted = fitted("dyestuff").bootstrap(50, 4).confint(parameters="sigma").to_numpy()[0]
    np.testing.assert_allclose(ax.lines[0].get_xdata(), wanted)


def test_replicates_that_are_all_alike_are_a_picture_too():
    found = fitted("dyestuff").bootstrap(20, 1, statistic=lambda fit: {"rows": float(fit.nobs)})
    ax = hd.plots.bootstrap(found)
    assert ax.get_xlabel() == "rows"
    assert ax.get_xlim()[0] < 30 < ax.get_xlim()[1]


def test_too_few_replicates_are_refused():
    with pytest.raises(hd.DataError, match="fewer than two replicates"):
        hd.plots.bootstrap(fitted("dyestuff"), n=1, seed=1)
    with pytest.raises(hd.DataError, match="There is no parameter 'tau'"):
        hd.plots.bootstrap(replicates(), parameters="tau")


# ---------------------------------------------------------------------------------------------------------------- power


def simulated(along=None, seed=1):
    return fitted("sleepstudy").power("Days", n=30, effect=5, along=along, ddf="normal", seed=seed)


def test_a_power_curve_has_the_powers_and_their_exact_intervals():
    found = simulated({"Subject": [6, 12, 18]})
    ax = hd.plots.power(found)
    np.testing.assert_allclose(ax.lines[-1].get_xydata(), np.column_stack([[6, 12, 18], found.power]))
    np.testing.assert_allclose(vertical_ends(ax.collections[0]), found.confint())
    assert ax.lines[0].get_ydata() == [0.8, 0.8]
    assert ax.get_xlabel() == "Number of levels in Subject"
    assert label_texts(ax.get_xticklabels()) == ["6", "12", "18"]


def test_a_single_power_is_a_point_at_the_number_of_rows():
    found = simulated()
    ax = hd.plots.power(found, target=None)
    assert ax.lines[0].get_xydata().tolist() == [[180.0, float(found)]]
    assert ax.get_xlabel() == "Rows"


def test_a_second_size_is_a_colour():
    rng = np.random.default_rng(7)
    data = pd.DataFrame({"g": np.arange(96) % 8, "h": np.arange(96) // 16, "x": rng.normal(size=96)})
    data["y"] = 0.3 * data["x"] + rng.normal(size=8)[data["g"]] + rng.normal(size=6)[data["h"]] + rng.normal(size=96)
    fit = hd.lmer("y ~ x + (1 | g) + (1 | h)", data)
    found = fit.power("x", n=10, along={"g": [4, 8], "h": [3, 6]}, ddf="normal", seed=2)
    ax = hd.plots.power(found)
    assert label_texts(ax.get_legend().get_texts()) == ["3", "6"]
    table = found.to_frame()
    for line, h in zip(ax.lines[1:], (3, 6), strict=True):
        np.testing.assert_allclose(line.get_ydata(), table.loc[table["h"] == h, "power"])


def test_what_is_no_power_is_refused():
    with pytest.raises(hd.DataError, match=r"needs a result of fit\.power"):
        hd.plots.power(fitted("sleepstudy"))
    with pytest.raises(hd.DataError, match="level"):
        hd.plots.power(simulated(), target=80)
    assert plt.get_fignums() == []
