"""What follows from bootstrap replicates: intervals by four methods, tables, files."""

import pickle
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import cases
import henderson as hd
from henderson import Bootstrap
from henderson.errors import DataError
from henderson.inference import acceleration
from henderson.inference.bootstrap_intervals import METHODS, skewness


@pytest.fixture(scope="module")
def sleepstudy():
    case = cases.BY_NAME["sleepstudy"]
    return hd.lmer(case.formula, case.data())


@pytest.fixture(scope="module")
def replicates(sleepstudy):
    return sleepstudy.bootstrap(4000, 1)


# ------------------------------------------------------------------------------------------------------ intervals


def test_percentile_and_basic_intervals_are_quantiles():
    values = np.arange(1.0, 100.0)  # (n + 1) p is a whole number
    assert METHODS["percentile"](values, 40.0, 0.9, 0.0) == pytest.approx((5.0, 95.0))
    assert METHODS["basic"](values, 40.0, 0.9, 0.0) == pytest.approx((2 * 40.0 - 95.0, 2 * 40.0 - 5.0))


def test_the_shortest_interval_is_the_shortest_of_all():
    values = np.random.default_rng(2).gamma(2.0, size=101)
    low, high = METHODS["shortest"](values, 0.0, 0.8, 0.0)
    ordered = np.sort(values)
    widths = {(a, b): b - a for a in ordered for b in ordered if np.sum((values >= a) & (values <= b)) >= 0.8 * 101}
    assert (low, high) == min(widths, key=widths.get)


def test_bca_without_bias_and_acceleration_is_the_percentile_interval():
    values = np.random.default_rng(2).permutation(np.arange(1.0, 100.0))
    assert METHODS["bca"](values, 50.0, 0.9, 0.0) == pytest.approx(METHODS["percentile"](values, 50.0, 0.9, 0.0))
    shifted = METHODS["bca"](values, 60.0, 0.9, 0.0)
    assert shifted > METHODS["percentile"](values, 60.0, 0.9, 0.0)
    assert METHODS["bca"](values, 50.0, 0.9, 0.1) > METHODS["bca"](values, 50.0, 0.9, 0.0)
    assert np.isnan(METHODS["bca"](values, 100.0, 0.9, 0.0)).all()
    assert np.isnan(METHODS["bca"](values, 50.0, 0.9, np.nan)).all()


def test_bca_follows_its_formula():
    from scipy.stats import norm

    values = np.random.default_rng(2).gamma(3.0, size=999)
    z0, a = norm.ppf(np.mean(values < 2.5)), 0.05
    shares = [norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in norm.ppf([0.025, 0.975])]
    assert METHODS["bca"](values, 2.5, 0.95, a) == pytest.approx(np.quantile(values, shares, method="weibull"))


def test_the_acceleration_of_a_standard_deviation_is_known():
    """The influence of a variance with f degrees of freedom is chi-square: skewness sqrt(8 / f), a sixth of it."""
    fit = hd.lmer("Yield ~ 1 + (1 | Batch)", cases.read_table("Dyestuff"))
    found = fit.bootstrap(2000, 3)
    found.confint(method="bca")
    sd, sigma, mean = found.accelerations
    assert sigma == pytest.approx(np.sqrt(8 / 24) / 6, abs=0.03)
    assert sd == pytest.approx(np.sqrt(8 / 5) / 6, abs=0.06)
    assert mean == pytest.approx(0.0, abs=0.03)


def test_the_acceleration_of_a_mean_of_clusters_is_the_skewness_of_their_means():
    rng = np.random.default_rng(4)
    values = rng.gamma(1.0, size=15)
    counts = np.array([np.bincount(rng.integers(15, size=15), minlength=15) for _ in range(400)], dtype=float)
    found = acceleration.of_counts(counts, counts @ values[:, None] / 15)
    assert found[0] == pytest.approx(skewness(values[:, None])[0] / (6 * np.sqrt(15)), rel=1e-6)
    assert np.isnan(acceleration.of_counts(counts[:20], np.ones((20, 1)))).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_intervals_for_every_parameter(replicates, method):
    wide, narrow = replicates.confint(0.95, method=method), replicates.confint(0.5, method=method)
    assert list(wide.columns) == ["2.5 %", "97.5 %"]
    assert (wide.iloc[:, 0] < narrow.iloc[:, 0]).all()
    assert (wide.iloc[:, 1] > narrow.iloc[:, 1]).all()
    assert list(replicates.confint(method=method, parameters="beta_").index) == ["(Intercept)", "Days"]
    assert len(replicates.confint(method=method, parameters=["theta_", "Days"])) == 5


def test_the_model_gives_the_same_intervals(sleepstudy):
    found = sleepstudy.bootstrap(200, 4).confint(0.9, method="basic", parameters="theta_")
    direct = sleepstudy.confint(0.9, method="boot", n=200, seed=4, interval="basic", parameters="theta_")
    pd.testing.assert_frame_equal(direct, found)


# ----------------------------------------------------------------------------------------------------- the result


def test_the_summary_and_the_tables(sleepstudy, replicates):
    summary = replicates.summary(0.9)
    assert list(summary.columns) == ["estimate", "bias", "std_error", "conf_low", "conf_high"]
    np.testing.assert_allclose(summary["estimate"], [*replicates.estimates])
    np.testing.assert_allclose(summary["bias"], np.nanmean(replicates.values, axis=0) - replicates.estimates)
    np.testing.assert_allclose(summary[["conf_low", "conf_high"]], replicates.confint(0.9))
    long = replicates.to_frame()
    assert list(long.columns) == ["replicate", "parameter", "value"]
    assert len(long) == 6 * len(replicates) == 24000
    np.testing.assert_array_equal(long.query("parameter == 'Days'")["value"], replicates.replicates["Days"])
    np.testing.assert_allclose(replicates.estimates[-2:], sleepstudy.fixef)


def test_replicates_that_failed_are_counted_and_left_out(replicates):
    broken = replicates.has_converged.copy()
    broken[:10] = False
    other = replace(replicates, has_converged=broken)
    assert other.n_failed == 10
    assert len(other.replicates) == 3990
    assert other.replicates.index[0] == 10
    assert "10 not fitted" in str(other)
    assert other.std_error["sigma"] == pytest.approx(replicates.values[10:, 3].std(ddof=1))


def test_it_prints(replicates):
    lines = str(replicates).splitlines()
    assert lines[0] == "Parametric bootstrap of Reaction ~ Days + (Days | Subject)"
    assert lines[1] == f"4000 replicates, seed 1, {replicates.n_singular} singular"
    assert lines[3].split() == ["Estimate", "Bias", "Std.", "Error", "2.5", "%", "97.5", "%"]
    assert [line.split()[0] for line in lines[4:]] == list(replicates.names)
    assert "<table" in replicates._repr_html_()


def test_save_and_load(sleepstudy, replicates, tmp_path):
    path = tmp_path / "replicates.parquet"
    replicates.save(path)
    again = Bootstrap.load(path)
    np.testing.assert_array_equal(again.values, replicates.values)
    np.testing.assert_array_equal(again.is_singular, replicates.is_singular)
    assert (again.formula, again.kind, again.seed, again.names) == (
        replicates.formula,
        "parametric",
        1,
        replicates.names,
    )
    pd.testing.assert_frame_equal(again.confint(method="bca"), replicates.confint(method="bca"))
    assert list(pd.read_parquet(path).columns) == [*replicates.names, "is_singular", "has_converged"]
    own = sleepstudy.bootstrap(3, 2, statistic=lambda model: model.sigma)
    own.save(path)
    assert Bootstrap.load(path).is_fixed is None
    assert str(pickle.loads(pickle.dumps(replicates))) == str(replicates)


def test_files_that_are_no_bootstrap_are_refused(tmp_path):
    path = tmp_path / "table.parquet"
    pd.DataFrame({"a": [1.0]}).to_parquet(path)
    with pytest.raises(DataError, match=r"not one that Bootstrap.save wrote"):
        Bootstrap.load(path)
    with pytest.raises(DataError, match="cannot be read"):
        Bootstrap.load(tmp_path / "absent.parquet")


def test_without_pyarrow_the_way_out_is_named(replicates, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'henderson\[arrow\]'"):
        replicates.save(tmp_path / "a.parquet")


def test_accelerations_that_are_gone_are_missed(replicates):
    with pytest.raises(DataError, match="method='bca' needs"):
        replace(replicates, accelerations=None).confint(method="bca")


def test_bad_arguments_of_intervals_are_named(replicates):
    with pytest.raises(DataError, match="method is 'BCa'; choose one of"):
        replicates.confint(method="BCa")
    with pytest.raises(DataError, match="between 0 and 1"):
        replicates.confint(95)
    with pytest.raises(DataError, match=r"no parameter 'Day'\. Did you mean 'Days'"):
        replicates.confint(parameters=["Day"])
