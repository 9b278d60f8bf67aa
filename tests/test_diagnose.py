"""Neighbouring residuals, and the diagnosis in words: what they find, and that they leave sound models alone."""

import numpy as np
import pandas as pd
import pytest

import henderson
from diagnostic_cases import NAMES, Dense, fitted
from henderson import DataError


def series(rng, rho, groups=40, rows=12):
    errors = np.empty((groups, rows))
    errors[:, 0] = rng.normal(size=groups)
    for t in range(1, rows):
        errors[:, t] = rho * errors[:, t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=groups)
    data = pd.DataFrame({"g": np.repeat(np.arange(groups), rows), "t": np.tile(np.arange(rows), groups)})
    return data.assign(y=np.repeat(rng.normal(size=groups), rows) + errors.ravel())


def test_neighbours_are_compared_with_what_the_model_leads_to_expect():
    fit = fitted("sleepstudy")
    found = fit.autocorrelation("Days", seed=1, n=2000)
    values = fit.residuals("standardized").to_numpy().reshape(18, 10)
    first, second = values[:, :-1].ravel(), values[:, 1:].ravel()
    assert found.pairs == 162
    assert found.correlation == pytest.approx(2 * (first @ second) / (first @ first + second @ second))
    assert found.durbin_watson == pytest.approx(np.sum((first - second) ** 2) / np.sum(values**2))
    dense = Dense(fit)
    covariance = dense.conditional @ dense.V @ dense.conditional.T
    scale = np.sqrt(np.diag(covariance))
    correlations = covariance / np.outer(scale, scale)
    rows = np.arange(180).reshape(18, 10)
    expected = correlations[rows[:, :-1].ravel(), rows[:, 1:].ravel()].mean()
    assert found.expected == pytest.approx(expected, abs=0.02)
    np.testing.assert_array_equal(found.previous, first)
    assert "under the model" in str(found)
    assert found.to_frame().loc[0, "pairs"] == 162
    assert "<p>" in found._repr_html_()


def test_serial_correlation_is_found_in_any_order_of_the_rows_and_not_where_there_is_none():
    rng = np.random.default_rng(9)
    data = series(rng, 0.5).sample(frac=1.0, random_state=3)
    fit = henderson.lmer("y ~ 1 + (1 | g)", data)
    by_time = fit.autocorrelation(data["t"], seed=1)
    assert by_time.p_value == pytest.approx(2 / 251)
    assert by_time.correlation > 0.25
    assert by_time.time == "t"
    days = pd.to_datetime("2020-01-01") + pd.to_timedelta(data["t"], unit="D")
    assert fit.autocorrelation(days.to_numpy(), seed=1).correlation == by_time.correlation
    assert fit.autocorrelation(seed=1).p_value > 0.01
    independent = [henderson.lmer("y ~ 1 + (1 | g)", series(rng, 0.0)).autocorrelation(seed=i, n=99) for i in range(20)]
    assert np.mean([found.p_value < 0.1 for found in independent]) < 0.35
    ties = fit.autocorrelation(data["t"].to_numpy() // 2, seed=1, n=20)
    assert "240 pairs of rows of one group at the same time" in str(ties)
    assert fit.autocorrelation(data["t"], by=data["g"].to_numpy() // 2, seed=1, n=20).pairs == 460


def levels(data, formula="y ~ x + (1 | g)"):
    found = henderson.lmer(formula, data).diagnose(seed=1)
    return {finding.check: finding.level for finding in found.findings}, found


def sound(rng, groups=40, rows=10):
    x, g = np.tile(np.linspace(-1, 1, rows), groups), np.repeat(np.arange(groups), rows)
    return pd.DataFrame({"x": x, "g": g, "y": rng.normal(size=groups)[g] + x}), rng.normal(size=groups * rows)


def test_a_diagnosis_finds_nothing_in_a_sound_model_and_names_what_is_wrong_in_others():
    rng = np.random.default_rng(21)
    data, errors = sound(rng)
    x = data["x"]
    checks, found = levels(data.assign(y=data["y"] + errors))
    assert set(checks.values()) == {"ok"}
    assert str(found).endswith("Nothing needs attention.")
    assert found.ok
    checks, found = levels(data.assign(y=data["y"] + errors * np.exp(1.2 * x)))
    assert checks["Variance"] == "problem"
    assert "Rises with x: standard deviations" in " ".join(str(found).split())
    checks, found = levels(data.assign(y=data["y"] + errors + 1.5 * x**2))
    assert checks["Mean"] == "problem"
    assert "along x" in str(found)
    assert "To be looked at: " in str(found)
    checks, _ = levels(data.assign(y=data["y"] + np.sign(errors) * np.exp(1.5 * np.abs(errors))))
    assert checks["Errors"] == "problem"
    checks, found = levels(data.assign(y=data["y"] + errors + 8 * np.cumsum(errors) / np.sqrt(400)))
    assert checks["Independence"] == "problem"
    effects = rng.exponential(3, 40) ** 1.5
    checks, found = levels(data.assign(y=data["y"] + errors + effects[data["g"]]))
    assert checks["Random effects"] == "problem"
    assert "(Intercept) | g: skewed to the right" in str(found)
    assert found.to_frame().columns.tolist() == ["check", "level", "item", "value"]
    assert "Diagnosis of y ~ x + (1 | g) (250 simulated responses, seed 1)" in found._repr_html_()


@pytest.mark.parametrize("name", NAMES)
def test_a_diagnosis_is_possible_for_every_design(name):
    found = fitted(name).diagnose(30, seed=2)
    assert [finding.check for finding in found.findings] == [
        "Responses",
        "Errors",
        "Outliers",
        "Mean",
        "Variance",
        "Independence",
        "Random effects",
    ]
    assert all(finding.texts for finding in found.findings)
    assert found.to_frame().equals(fitted(name).diagnose(30, seed=2).to_frame())


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda fit: fit.autocorrelation("day"), "time is 'day'"),
        (lambda fit: fit.autocorrelation(by=np.arange(180)), "No level of by has two rows"),
        (lambda fit: fit.autocorrelation(n=0), "n is 0"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(call, message):
    with pytest.raises(DataError, match=message):
        call(fitted("sleepstudy"))
