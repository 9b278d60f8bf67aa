"""Parametric bootstrap tests: the variants against pbkrtest's, the reference distribution against theory."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f, kstest

import cases
import henderson as hd
from henderson.errors import DataError
from henderson.inference import pbtest as pbtests
from henderson.inference.pbtest import BootstrapTest

REFERENCE = json.loads((Path(__file__).parent / "reference" / "pbtest" / "pbtest.json").read_text())


@pytest.fixture(scope="module")
def data():
    return cases.BY_NAME["sleepstudy"].data()


@pytest.fixture(scope="module")
def models(data):
    return [hd.lmer(f"Reaction ~ {fixed} + (Days | Subject)", data) for fixed in ("1", "Days")]


@pytest.fixture(scope="module")
def test(models):
    return hd.pbtest(*models, 400, seed=2)


@pytest.mark.parametrize("reference", REFERENCE, ids=lambda reference: str(reference["df"]))
def test_all_variants_are_those_of_pbkrtest(reference):
    found = BootstrapTest(
        reference["stat"][0],
        reference["df"],
        np.array(reference["reference"]),
        (reference["large"], reference["small"]),
        1,
    ).to_frame()
    assert list(found.index) == reference["rows"]
    np.testing.assert_allclose(found["statistic"], reference["stat"], rtol=1e-10)
    np.testing.assert_allclose(found["p_value"].iloc[:4], reference["p_value"][:4], rtol=1e-9)
    ddf, p_value = found.loc["F", ["den_df", "p_value"]]
    assert f.mean(reference["df"], ddf) == pytest.approx(np.mean(reference["reference"]) / reference["df"])
    if reference["df"] == 1:  # otherwise pbkrtest matches the mean of T, and not that of T / df, which it refers to F
        assert (ddf, p_value) == pytest.approx((reference["ddf"][4], reference["p_value"][4]))


@pytest.mark.parametrize("reference", REFERENCE, ids=lambda reference: str(reference["df"]))
def test_the_statistic_is_the_likelihood_ratio(reference, data):
    large, small = (hd.lmer(reference[which].replace("Days^2", "Days**2"), data) for which in ("large", "small"))
    found = hd.pbtest(small, large, 5, seed=1)
    assert found.statistic == pytest.approx(reference["stat"][0], rel=1e-5)
    assert found.df == reference["df"]


def test_the_order_of_the_models_and_their_criterion_do_not_matter(data, models, test):
    m0, m1 = models
    np.testing.assert_array_equal(hd.pbtest(m1, m0, 400, seed=2).reference, test.reference)
    by_ml = hd.lmer("Reaction ~ 1 + (Days | Subject)", data, reml=False)
    assert hd.pbtest(by_ml, m1, 20, seed=2).statistic == pytest.approx(test.statistic, abs=1e-6)
    assert m0.is_reml


def test_the_reference_is_the_same_for_any_number_of_threads(models, test):
    for threads in (1, 3):
        np.testing.assert_array_equal(hd.pbtest(*models, 400, seed=2, threads=threads).reference, test.reference)
    np.testing.assert_array_equal(hd.pbtest(*models, 50, seed=2).reference, test.reference[:50])
    assert hd.pbtest(*models, 2).seed != hd.pbtest(*models, 2).seed


def test_the_reference_is_that_of_refits(models, test):
    m0, m1 = (hd.lmer(model.formula, cases.BY_NAME["sleepstudy"].data(), reml=False) for model in models)
    drawn = next(iter(pbtests.chunks(pbtests.draws.parametric_draws(m0), 2, 180, 5)))[1]
    by_hand = [m0.refit(y).criterion - m1.refit(y).criterion for y in drawn]
    np.testing.assert_allclose(test.reference[:5], by_hand, atol=1e-6)


def test_a_known_distribution_is_found():
    """One fixed effect within balanced groups: the likelihood ratio is a function of an F statistic."""
    g = np.repeat(np.arange(6), 4)
    x = np.tile([-1.0, 1.0, -1.0, 1.0], 6)
    y = np.random.default_rng(4).normal(size=24) + 3.0 * np.random.default_rng(5).normal(size=6)[g]
    data = pd.DataFrame({"y": y, "x": x, "g": g})
    m0, m1 = (hd.lmer(f"y ~ {fixed} + (1 | g)", data, reml=False) for fixed in ("1", "x"))
    found = hd.pbtest(m0, m1, 2000, seed=1)
    within = y - np.bincount(g, y)[g] / 4
    slope = within @ x / 24
    rest = np.sum((within - slope * x) ** 2)
    exact_f = slope**2 * 24 / (rest / 17)
    assert found.p_value == pytest.approx(f.sf(exact_f, 1, 17), abs=0.04)
    assert found.to_frame().loc["F", "p_value"] == pytest.approx(f.sf(exact_f, 1, 17), abs=0.04)


def test_p_values_are_uniform_where_nothing_is_to_be_found():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(7), 4)
    x = np.linspace(-1, 1, 7)[g]  # varies between the groups only: chi-square is far off
    p_values, naive = [], []
    for seed in range(60):
        y = rng.normal(size=7)[g] + rng.normal(size=28)
        data = pd.DataFrame({"y": y, "x": x, "g": g})
        m0, m1 = (hd.lmer(f"y ~ {fixed} + (1 | g)", data, reml=False) for fixed in ("1", "x"))
        found = hd.pbtest(m0, m1, 99, seed)
        p_values.append(found.p_value)
        naive.append(found.to_frame().loc["LRT", "p_value"])
    assert kstest(p_values, "uniform").pvalue > 0.05
    assert np.mean(naive) < np.mean(p_values)


def test_a_variance_is_tested_at_the_boundary(data):
    m0 = hd.lmer("Reaction ~ Days + (1 | Subject)", data)
    m1 = hd.lmer("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", data)
    found = hd.pbtest(m0, m1, 400, seed=1)
    assert 0.4 < np.mean(found.reference < 1e-6) < 0.75
    assert found.reference.min() >= 0.0
    assert found.p_value == pytest.approx(1 / 401)
    assert "A variance is tested" in str(found)
    assert np.isinf(found.to_frame().loc["F", "den_df"])


def test_weights_and_offsets_go_with_the_models():
    table = cases.BY_NAME["weighted"].data()
    m0, m1 = (
        hd.lmer(f"Reaction ~ {fixed} + (1 | Subject)", table, weights="w", offset="off", reml=False)
        for fixed in ("1", "Days")
    )
    found = hd.pbtest(m0, m1, 200, seed=1)
    assert found.statistic == pytest.approx(m0.criterion - m1.criterion)
    assert found.reference.mean() == pytest.approx(1.0, abs=0.4)
    assert found.n_failed == 0


def test_a_larger_model_that_ends_above_is_fitted_again(models, test, monkeypatch):
    plain = pbtests._deviances

    def wrong(model, responses, start, threads):
        return plain(model, responses, start, threads) + (100.0 if start is not None and len(model.fixef) == 2 else 0.0)

    monkeypatch.setattr(pbtests, "_deviances", wrong)
    np.testing.assert_allclose(hd.pbtest(*models, 400, seed=2).reference, test.reference, atol=1e-5)


def test_it_prints_in_the_layout_of_pbkrtest(test):
    lines = str(test).splitlines()
    assert lines[0] == f"Bootstrap test; samples: 400; extremes: {test.n_extreme}; seed: 2"
    assert lines[1:3] == ["large : Reaction ~ Days + (Days | Subject)", "small : Reaction ~ 1 + (Days | Subject)"]
    assert lines[3].split() == ["stat", "df", "ddf", "p.value"]
    assert [line.split()[0] for line in lines[4:9]] == ["LRT", "PBtest", "Gamma", "Bartlett", "F"]
    assert len(test) == 400
    assert "<table" in test._repr_html_()


def test_progress_is_a_line_on_stderr(models, capsys):
    hd.pbtest(*models, 5, seed=1, progress=True)
    assert "bootstrap test 5/5" in capsys.readouterr().err


def test_what_cannot_be_compared_is_refused(data, models):
    with pytest.raises(DataError, match="both have 5 parameters"):
        hd.pbtest(models[0], hd.lmer("Reaction ~ 1 + (Days | Subject)", data), 5)
    with pytest.raises(DataError, match="n is 0"):
        hd.pbtest(*models, 0)
    with pytest.raises(DataError, match=r"seed is 1\.5"):
        hd.pbtest(*models, 5, seed=1.5)
    with pytest.raises(DataError, match="rows"):
        hd.pbtest(hd.lmer("Reaction ~ 1 + (Days | Subject)", data[data["Days"] < 5]), models[1], 5)
    with pytest.raises(DataError, match="fitted models"):
        hd.pbtest(models[0], "m1", 5)


def test_models_that_are_not_nested_are_noted(data):
    m0 = hd.lmer("Reaction ~ Days + (1 | Subject)", data)
    m1 = hd.lmer("Reaction ~ 1 + I(Days**2) + I(Days**3) + (1 | Subject)", data)
    assert "not visibly a special case" in str(hd.pbtest(m0, m1, 20, seed=1))


def test_few_samples_leave_moments_unknown(models):
    table = hd.pbtest(*models, 1, seed=1).to_frame()
    assert table.loc["PBtest", "p_value"] == 0.5
    assert table.loc[["Gamma", "Bartlett"], "p_value"].isna().all()
