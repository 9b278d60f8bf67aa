"""Bootstrap: what is drawn, and that it is reproducible to the last bit."""

import numpy as np
import pandas as pd
import pytest

import cases
import henderson as hd
from henderson import draws as engines
from henderson.errors import DataError
from henderson.inference import bootstrap as bootstraps
from henderson.inference.bootstrap_clusters import ClusterDesigns
from henderson.inference.clusters import resolve


@pytest.fixture(scope="module")
def sleepstudy():
    case = cases.BY_NAME["sleepstudy"]
    return hd.lmer(case.formula, case.data())


@pytest.fixture(scope="module")
def replicates(sleepstudy):
    return sleepstudy.bootstrap(4000, 1)


def crossed(rows=36, seed=2):
    """Weights, an offset, a vector-valued term and a crossed one, in few rows."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=rows), "g": rng.integers(0, 6, rows), "h": rng.integers(0, 4, rows)})
    data["w"], data["off"] = rng.uniform(0.3, 3.0, rows), rng.normal(size=rows)
    effects = rng.normal(size=(6, 2))
    data["y"] = data["off"] + 1 + effects[data["g"], 0] + effects[data["g"], 1] * data["x"] + rng.normal(size=rows)
    data["y"] += rng.normal(size=4)[data["h"]]
    return hd.lmer("y ~ x + (x | g) + (1 | h)", data, weights="w", offset="off")


def dense_covariance(fit):
    spread = (fit.Z @ fit.Lambda).toarray()
    return fit.sigma**2 * (spread @ spread.T + np.diag(1.0 / fit.design.weights))


# -------------------------------------------------------------------------------------------------- what is drawn


@pytest.mark.parametrize("draws", [engines.parametric_draws, engines.ResidualDraws])
def test_responses_have_the_mean_and_the_covariance_of_the_model(draws):
    fit = crossed()
    count = 40000
    drawn = draws(fit)(np.random.default_rng(3), count)
    covariance = dense_covariance(fit)
    mean = fit.model_matrix().to_numpy() @ fit.fixef.to_numpy() + fit.design.offset
    assert np.abs((drawn.mean(axis=0) - mean) / np.sqrt(np.diag(covariance) / count)).max() < 4.5
    sd = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2)
    if draws is engines.parametric_draws:
        assert np.abs((np.cov(drawn.T) - covariance) / (sd / np.sqrt(count))).max() < 5.5  # 666 entries
    else:  # residuals drawn with replacement: the variances of rows are right on average over the rows only
        white = np.linalg.solve(np.linalg.cholesky(covariance), (drawn - mean).T)
        assert np.mean(white**2) == pytest.approx(1.0, abs=0.02)


def test_reflated_effects_have_the_estimated_covariances():
    rng = np.random.default_rng(1)
    target = np.array([[4.0, 1.0], [1.0, 0.5]])
    values = engines.reflated(rng.normal(size=(20, 2)) * [0.1, 3.0] + 7.0, target)
    np.testing.assert_allclose(values.T @ values / 20, target, atol=1e-12)
    np.testing.assert_allclose(values.mean(axis=0), 0.0, atol=1e-12)
    singular = engines.reflated(rng.normal(size=(20, 2)), np.array([[1.0, 1.0], [1.0, 1.0]]))
    np.testing.assert_allclose(singular.T @ singular / 20, np.ones((2, 2)), atol=1e-9)
    np.testing.assert_array_equal(engines.reflated(np.zeros((20, 1)), np.array([[1.0]])), 0.0)


def test_residual_responses_are_made_of_the_predictions(sleepstudy):
    drawn = engines.ResidualDraws(sleepstudy)(np.random.default_rng(4), 50)
    modes = engines.reflated(sleepstudy.solution.b[0], sleepstudy.varcorr.terms[0].covariance)
    residuals = sleepstudy.resid.to_numpy()
    errors = (residuals - residuals.mean()) / residuals.std() * sleepstudy.sigma
    first = drawn[0, :10] - sleepstudy.fixef["(Intercept)"] - sleepstudy.fixef["Days"] * np.arange(10)
    possible = first - modes[:, :1] - modes[:, 1:] * np.arange(10)  # the subject drawn, one a row
    nearest = np.abs(possible[:, :, None] - errors).min(axis=2).max(axis=1)
    assert nearest.min() < 1e-9


@pytest.mark.parametrize("cluster", ["batch", "sample"])
def test_drawn_clusters_are_the_rows_with_levels_of_their_own(cluster):
    data = cases.read_table("Pastes")
    fit = hd.lmer("strength ~ 1 + (1 | batch) + (1 | sample)", data)
    clusters = resolve(fit.design, cluster, what="cluster")
    draws = np.random.default_rng(6).integers(len(clusters), size=len(clusters))
    design = ClusterDesigns(fit.design, clusters).drawn(draws)
    parts = []
    for place, draw in enumerate(draws):
        part = data[data[cluster] == clusters.labels[draw]].copy()
        part["sample"] = [f"{place}:{sample}" for sample in part["sample"]]
        if cluster == "batch":
            part["batch"] = place
        parts.append(part)
    table = pd.concat(parts)
    by_hand = hd.lmer("strength ~ 1 + (1 | batch) + (1 | sample)", table)
    np.testing.assert_array_equal(design.y, table["strength"])
    theta = [0.7, 1.3]
    own = bootstraps.compile_design(design, design.y, 1).criterion(design.y, np.array(theta), True)
    assert own == pytest.approx(by_hand.criterion_at(theta), rel=1e-12)
    assert design.n == len(design.rows) == len(table)


def test_the_cluster_bootstrap_draws_the_outermost_factor(sleepstudy):
    nested = hd.lmer("strength ~ 1 + (1 | batch/cask)", cases.read_table("Pastes"))
    found = nested.bootstrap(20, 3, type="cluster")
    np.testing.assert_array_equal(found.values, nested.bootstrap(20, 3, type="cluster", cluster="batch").values)
    labels = cases.BY_NAME["sleepstudy"].data()["Subject"].to_numpy()
    by_label = sleepstudy.bootstrap(10, 3, type="cluster", cluster=labels)
    np.testing.assert_allclose(by_label.values, sleepstudy.bootstrap(10, 3, type="cluster").values, rtol=1e-6)
    with pytest.raises(DataError, match=r"g, h are crossed.*cluster="):
        crossed().bootstrap(10, 1, type="cluster")
    assert crossed().bootstrap(10, 1, type="cluster", cluster="g").n_failed == 0


def test_columns_that_a_draw_of_clusters_lacks_are_missing():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(5), 8)
    data = pd.DataFrame({"g": g, "rare": g == 0, "x": rng.normal(size=40), "y": rng.normal(size=40) + (g == 1)})
    found = hd.lmer("y ~ rare + x + (1 | g)", data).bootstrap(60, 2, type="cluster")
    without = found.replicates["rareTRUE"].isna()
    assert 5 < without.sum() < 40
    assert found.replicates["x"].notna().all()
    assert found.confint().notna().all().all()


# ------------------------------------------------------------------------------------------------ reproducibility


@pytest.mark.parametrize("kind", ["parametric", "residual", "cluster"])
def test_replicates_are_the_same_for_any_number_of_threads(sleepstudy, kind):
    one, *others = (sleepstudy.bootstrap(300, 5, type=kind, threads=threads) for threads in (1, 2, 5))
    for other in others:
        np.testing.assert_array_equal(other.values, one.values)
        np.testing.assert_array_equal(other.is_singular, one.is_singular)


@pytest.mark.parametrize("kind", ["parametric", "residual", "cluster"])
def test_the_first_replicates_of_many_are_those_of_few(sleepstudy, kind):
    many = sleepstudy.bootstrap(600, 5, type=kind)
    few = sleepstudy.bootstrap(70, 5, type=kind)
    np.testing.assert_array_equal(many.values[:70], few.values)
    assert not np.array_equal(sleepstudy.bootstrap(70, 6, type=kind).values, few.values)


def test_replicates_do_not_depend_on_how_many_are_fitted_at_once(sleepstudy, monkeypatch):
    whole = sleepstudy.bootstrap(700, 5)
    monkeypatch.setattr(bootstraps, "LARGEST_CHUNK", 1)
    np.testing.assert_array_equal(sleepstudy.bootstrap(700, 5).values, whole.values)


def test_blocks_cover_the_replicates():
    for rows, count in ((180, 1000), (5000, 1000), (2_000_000, 3)):
        parts = list(engines.blocks(rows, count))
        assert sum(wanted for *_, wanted in parts) == count
        assert [block for block, *_ in parts] == list(range(len(parts)))
        assert engines.block_size(rows) * rows <= max(engines.BLOCK_VALUES, rows)


def test_a_seed_that_was_drawn_is_named(sleepstudy):
    one = sleepstudy.bootstrap(5)
    np.testing.assert_array_equal(sleepstudy.bootstrap(5, one.seed).values, one.values)
    assert sleepstudy.bootstrap(5).seed != one.seed


def test_each_replicate_is_the_refit_to_its_response(sleepstudy):
    found = sleepstudy.bootstrap(3, 11)
    ((first, responses),) = bootstraps.chunks(engines.parametric_draws(sleepstudy), 11, 180, 3)
    assert first == 0
    for response, values in zip(responses, found.values, strict=True):
        again = sleepstudy.refit(response)
        np.testing.assert_allclose(values[-3:], [again.sigma, *again.fixef], rtol=1e-7)
        np.testing.assert_allclose(values[[0, 2]], again.varcorr.terms[0].std_dev, rtol=1e-5)


def test_offsets_are_taken_off_and_put_back():
    fit = cases.BY_NAME["offset"]
    plain = hd.lmer(fit.formula, fit.data(), **fit.options())
    found = plain.bootstrap(400, 2)
    assert abs(found.bias["(Intercept)"]) < 5 * found.std_error["(Intercept)"] / 20
    by_model = plain.bootstrap(5, 2, statistic=lambda m: m.fixef)
    np.testing.assert_allclose(by_model.values, found.values[:5, -2:], rtol=1e-8)


# ------------------------------------------------------------------------------------------- against what is known


def test_standard_errors_are_those_of_the_theory(sleepstudy, replicates):
    """In balanced data the fixed effects have exactly the covariance matrix of the model."""
    ratio = replicates.std_error[["(Intercept)", "Days"]] / sleepstudy.stderror
    assert np.abs(ratio - 1.0).max() < 3.5 / np.sqrt(2 * len(replicates))
    assert (np.abs(replicates.bias[["(Intercept)", "Days"]]) < 3.5 * sleepstudy.stderror / np.sqrt(4000)).all()


def test_the_residual_variance_of_balanced_data_is_chi_square():
    fit = hd.lmer("Yield ~ 1 + (1 | Batch)", cases.read_table("Dyestuff"))
    found = fit.bootstrap(4000, 3)
    inside = ~found.is_singular
    variance = found.values[inside, 1] ** 2
    assert found.n_singular > 100
    assert found.n_failed == 0
    # 24 degrees of freedom; replicates at the boundary, which pool the two mean squares, are left out
    assert variance.var() / variance.mean() ** 2 == pytest.approx(2 / 24, rel=0.15)
    assert found.values[found.is_singular, 0].max() == 0.0


def test_the_residual_and_the_cluster_bootstrap_agree_with_the_parametric_one(replicates, sleepstudy):
    for kind in ("residual", "cluster"):
        other = sleepstudy.bootstrap(800, 2, type=kind)
        ratio = other.std_error / replicates.std_error
        assert ratio[["(Intercept)", "Days", "sd_Days|Subject"]].between(0.8, 1.2).all()
        assert ratio["sigma"] > 1.5  # the residuals have long tails: the normal distribution hides it


def test_bias_corrected_intervals_cover():
    """Sixty samples from a known model: 95 % intervals for the fixed effects hold the truth about as often."""
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(12), 5)
    x = np.tile(np.arange(5.0), 12)
    held = 0
    for seed in range(60):
        y = 1 + 2 * x + rng.normal(size=12)[g] + rng.normal(size=60)
        fit = hd.lmer("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g}))
        low, high = fit.confint(method="boot", n=200, seed=seed, interval="percentile").loc["x"]
        held += low < 2 < high
    assert 50 <= held <= 60


# ------------------------------------------------------------------------------------------- statistics of the user's


def test_a_statistic_sees_the_refitted_model(sleepstudy, replicates):
    found = sleepstudy.bootstrap(20, 1, statistic=lambda model: {"sigma": model.sigma, "slope": model.fixef["Days"]})
    assert found.names == ("sigma", "slope")
    np.testing.assert_allclose(found.values, replicates.values[:20][:, [3, 5]], rtol=1e-8)
    np.testing.assert_allclose(found.estimates, [sleepstudy.sigma, sleepstudy.fixef["Days"]])
    assert found.confint(method="bca").notna().all().all()
    with pytest.raises(DataError, match="no parameter 'theta_'"):
        found.confint(parameters="theta_")


def test_statistics_may_return_numbers_arrays_and_series(sleepstudy):
    def icc(model):
        return float(model.varcorr.terms[0].covariance[0, 0] / model.sigma**2)

    assert sleepstudy.bootstrap(2, 1, statistic=icc).names == ("icc",)
    assert sleepstudy.bootstrap(2, 1, statistic=lambda model: model.sigma).names == ("statistic",)
    assert sleepstudy.bootstrap(2, 1, statistic=lambda model: model.fixef).names == ("(Intercept)", "Days")
    several = sleepstudy.bootstrap(2, 1, type="cluster", statistic=lambda model: model.optimum.theta)
    assert several.names == ("statistic[0]", "statistic[1]", "statistic[2]")


def test_a_statistic_of_drawn_clusters_sees_a_whole_model(sleepstudy):
    found = sleepstudy.bootstrap(
        3,
        1,
        type="cluster",
        statistic=lambda model: [len(model.ranef["Subject"]), model.nobs, model.drop1().to_frame().shape[0]],
    )
    np.testing.assert_array_equal(found.values[:, :2], [[18, 180]] * 3)


@pytest.mark.parametrize(
    "statistic, message",
    [
        (lambda _: "wide", "statistic returned 'wide'"),
        (lambda _: [], "must return a number"),
        (3, "statistic"),
    ],
)
def test_statistics_that_are_none_are_refused(sleepstudy, statistic, message):
    with pytest.raises(DataError, match=message):
        sleepstudy.bootstrap(2, 1, statistic=statistic)


def test_errors_in_a_statistic_say_where(sleepstudy):
    calls = []

    def fragile(model):
        calls.append(model)
        if len(calls) == 4:
            raise ZeroDivisionError("no more")
        return np.ones(len(calls)) if len(calls) == 7 else 1.0

    with pytest.raises(ZeroDivisionError) as problem:
        sleepstudy.bootstrap(5, 1, statistic=fragile)
    assert problem.value.__notes__ == ["in replicate 2 of the bootstrap"]
    with pytest.raises(DataError, match="same quantities each time"):
        sleepstudy.bootstrap(5, 1, statistic=fragile)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"n": 0}, "n is 0; the number of replicates"),
        ({"n": 10.0}, "n is 10.0"),
        ({"n": True}, "n is True"),
        ({"n": 10, "seed": -1}, "seed is -1; it must be an integer >= 0"),
        ({"n": 10, "seed": "one"}, "seed is 'one'"),
        ({"n": 10, "type": "cases"}, "type is 'cases'; choose one of 'parametric', 'residual', 'cluster'"),
        ({"n": 10, "threads": -1}, "threads"),
        ({"n": 10, "cluster": "Subject"}, "cluster= goes with type='cluster'"),
        ({"n": 10, "type": "cluster", "cluster": "Sub"}, "neither a grouping factor nor a predictor"),
    ],
)
def test_bad_arguments_are_named(sleepstudy, arguments, message):
    with pytest.raises(DataError, match=message):
        sleepstudy.bootstrap(**arguments)


def test_progress_is_a_line_on_stderr(sleepstudy, capsys):
    for options in ({}, {"type": "cluster"}, {"statistic": lambda model: model.sigma}):
        sleepstudy.bootstrap(5, 1, progress=True, **options)
        assert "bootstrap 5/5" in capsys.readouterr().err
