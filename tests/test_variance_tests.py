"""Tests of equal variances: R's and scipy's numbers, and p-values that hold their level."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import henderson
from cases import BY_NAME
from diagnostic_cases import REFERENCES, Dense, fitted, references, table
from henderson import DataError, draws


@pytest.mark.parametrize("name", REFERENCES)
def test_levene_is_that_of_car(name):
    fit, reference = fitted(name), references()[name]
    for case in reference["levene"]:
        for place, center in enumerate(("median", "mean")):
            by = case["by"] if case["by"] != "Treatment" else BY_NAME[name].data()["Treatment"]
            found = fit.levene(by, center=center)
            assert [found.num_df, found.den_df] == case["df"]
            assert found.statistic == pytest.approx(case["statistic"][place], rel=1e-4)
            assert found.p_value == pytest.approx(case["p_value"][place], rel=1e-3)


def test_levene_prints_as_car():
    ours = str(fitted("sleepstudy").levene()).splitlines()
    theirs = [line.replace("group", "Subject").split() for line in references()["sleepstudy"]["printed"]]
    assert [line.split() for line in ours[:4]] == theirs[:4]
    assert "from 0.367 (309) to 2.49 (332)" in " ".join(ours)
    assert "<table>" in fitted("sleepstudy").levene()._repr_html_()


@pytest.mark.parametrize("kind, conditional", [("standardized", True), ("response", False), ("whitened", True)])
@pytest.mark.parametrize("center", ["median", "mean"])
def test_levene_is_that_of_scipy_on_the_same_numbers(kind, conditional, center):
    fit = fitted("crossed, vector-valued, weighted, offset")
    values = fit.residuals(kind, conditional=conditional)
    data = table().loc[fit.index]
    both = data["g"].astype(str) + ":" + data["h"].astype(str)
    for by, groups in (("g", data["g"]), (data["f"], data["f"]), (["g", "h"], both)):
        found = fit.levene(by, center=center, kind=kind, conditional=conditional)
        labels = [label for label in np.unique(groups) if np.sum(groups == label) > 1]
        parts = [values[groups == label] for label in labels]
        expected = stats.levene(*parts, center=center)
        assert found.statistic == pytest.approx(expected.statistic, rel=1e-10)
        assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)
        np.testing.assert_allclose(found.std_devs, [part.std() for part in parts])
        assert found.sizes.tolist() == [len(part) for part in parts]
        assert found.groups.index.tolist() == labels


def test_groups_of_one_row_are_left_out_and_said_to_be():
    fit = fitted("crossed, vector-valued, weighted, offset")
    labels = np.array(["a", "b"])[np.arange(fit.nobs) % 2].astype(object)
    labels[[4, 9]] = ["lone", "lonely"]
    found = fit.levene(labels)
    values = fit.residuals("standardized").to_numpy()
    expected = stats.levene(values[labels == "a"], values[labels == "b"], center="median")
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.labels.tolist() == ["a", "b"]
    assert "2 groups of by with a single row left out" in str(found)
    with pytest.raises(DataError, match="Only one group of by has more than one row"):
        fit.levene(np.append(np.arange(fit.nobs - 2), [99, 99]))
    with pytest.raises(DataError, match="No group of by has more than two rows"):
        fit.levene(np.arange(fit.nobs) // 2)
    combined = fit.levene(["g", "h"])
    assert combined.by == "g:h"
    default = fit.levene()
    assert default.by == "h"  # of the factors, the one with the fewest levels
    assert default.to_frame().columns.tolist() == ["by", "center", "statistic", "num_df", "den_df", "p_value"]


@pytest.mark.parametrize("name", REFERENCES)
def test_breusch_and_pagan_is_n_r_squared(name):
    found = fitted(name).breusch_pagan()
    assert found.statistic == pytest.approx(references()[name]["koenker"], rel=1e-3, abs=1e-4)
    assert found.p_value == pytest.approx(stats.chi2.sf(found.statistic, 1))


def test_breusch_and_pagan_with_several_predictors_is_their_regression():
    data = table().dropna()
    fit = henderson.lmer("y ~ x + k + (1 | g)", data, weights="w")
    squares = fit.residuals("standardized").to_numpy() ** 2
    found = fit.breusch_pagan(["x", "k"])
    matrix = np.column_stack([np.ones(fit.nobs), data["x"], data["k"]])
    coefficients, *_ = np.linalg.lstsq(matrix, squares, rcond=None)
    np.testing.assert_allclose(found.coefficients, coefficients, rtol=1e-9)
    assert found.statistic == pytest.approx(fit.nobs * np.var(matrix @ coefficients) / np.var(squares))
    assert found.p_value == pytest.approx(stats.chi2.sf(found.statistic, 2))
    order = np.argsort(matrix @ coefficients)
    fifth = -(-fit.nobs // 5)
    low, high = (np.sqrt(squares[rows].mean()) for rows in (order[:fifth], order[-fifth:]))
    assert [found.std_dev_low, found.std_dev_high] == pytest.approx([low, high])
    by_array, by_name = fit.breusch_pagan(data["x"]), fit.breusch_pagan("x")
    assert by_array.statistic == by_name.statistic
    assert str(by_array) == str(by_name)
    assert "against x" in str(by_array)
    assert "<p>" in by_array._repr_html_()
    assert by_array.to_frame().loc[0, "df"] == 1


def test_tests_of_variance_find_a_variance_that_grows_and_no_other():
    rng = np.random.default_rng(6)
    x, g = np.tile(np.linspace(0, 1, 10), 40), np.repeat(np.arange(40), 10)
    w = rng.uniform(0.2, 5.0, 400)
    data = pd.DataFrame({"x": x, "g": g, "w": w, "band": np.where(x > 0.5, "late", "early")})
    noise = rng.normal(size=400)
    data["y"] = rng.normal(size=40)[g] + x + noise * (0.3 + x)
    data["known"] = rng.normal(size=40)[g] + x + noise / np.sqrt(w)
    grows = henderson.lmer("y ~ x + (1 | g)", data)
    assert grows.levene(data["band"]).p_value < 1e-6
    assert grows.breusch_pagan("x").p_value < 1e-6
    assert grows.breusch_pagan("x").std_dev_high > 1.5 * grows.breusch_pagan("x").std_dev_low
    weighted = henderson.lmer("known ~ x + (1 | g)", data, weights="w")
    assert weighted.breusch_pagan(data["w"]).p_value > 0.05
    assert weighted.breusch_pagan(data["w"], kind="response").p_value < 0.05


@pytest.mark.parametrize("kind, conditional", [("standardized", True), ("response", False), ("pearson", True)])
def test_simulated_p_values_are_ranks_among_tests_of_simulated_responses(kind, conditional):
    fit = fitted("crossed, vector-valued, weighted, offset")
    by = table()["f"].loc[fit.index].to_numpy()
    dense, parametric = Dense(fit), draws.parametric_draws(fit)
    (number, _, count), *_ = draws.blocks(fit.nobs, 40)
    responses = parametric(draws.generator(6, number), count)
    ours = fit.levene(by, kind=kind, conditional=conditional, simulations=40, seed=6)
    trend = fit.breusch_pagan(kind=kind, conditional=conditional, simulations=40, seed=6)
    linear = dense.conditional if conditional else dense.marginal
    scale = fit.residuals(kind, conditional=conditional) / (linear @ dense.y)  # the same for every response
    statistics, slopes = [ours.statistic], [trend.statistic]
    for response in responses:
        plain = linear @ (response - fit.design.offset)
        values, fitted_values = plain * scale.to_numpy(), response - plain
        statistics.append(stats.levene(*(values[by == label] for label in "abc"), center="median").statistic)
        slopes.append(fit.nobs * np.corrcoef(values**2, fitted_values)[0, 1] ** 2)
    assert ours.p_value == np.mean(np.array(statistics) >= statistics[0])
    assert trend.p_value == np.mean(np.array(slopes) >= slopes[0])
    assert "40 simulated responses, seed 6" in str(ours)
    assert "40 simulated responses, seed 6" in str(trend)


def test_simulated_p_values_hold_their_level_in_small_groups_where_tables_do_not():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(40), 5)
    design = henderson.lmer(
        "y ~ 1 + (1 | g)", pd.DataFrame({"g": g, "y": rng.normal(size=40)[g] + rng.normal(size=200)})
    )
    tables, simulated = [], []
    for seed in range(100):
        fit = design.refit(rng.normal(size=40)[g] + rng.normal(size=200))
        for center in ("median", "mean"):
            tables.append(fit.levene(center=center).p_value < 0.1)
            simulated.append(fit.levene(center=center, simulations=39, seed=seed).p_value < 0.11)
    by_median, by_mean = np.reshape(tables, (100, 2)).mean(axis=0)
    assert by_median < 0.02
    assert by_mean > 0.3
    assert np.reshape(simulated, (100, 2)).mean(axis=0) == pytest.approx([0.1, 0.1], abs=0.09)
    assert "5 rows or fewer: the p-value is too large" in " ".join(str(fit.levene()).split())
    assert "too small" in str(fit.levene(center="mean"))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda fit: fit.levene("subject"), "by is 'subject'.*Did you mean 'Subject'"),
        (lambda fit: fit.levene([1.0, 2.0]), "by has 2 values"),
        (lambda fit: fit.levene(5), "by is 5"),
        (lambda fit: fit.levene(np.ones(180)), "by puts all rows into one group"),
        (lambda fit: fit.levene(center="mode"), "center is 'mode'"),
        (lambda fit: fit.levene(kind="raw"), "kind is 'raw'"),
        (lambda fit: fit.levene(kind="whitened", simulations=9), "not for whitened ones"),
        (lambda fit: fit.levene(simulations=-3), "-3"),
        (lambda fit: fit.breusch_pagan(kind="studentized", simulations=9), "not for studentized ones"),
        (lambda fit: fit.breusch_pagan("Subject"), "Subject is categorical.*levene"),
        (lambda fit: fit.breusch_pagan("day"), "against is 'day'.*Did you mean 'Days'"),
        (lambda fit: fit.breusch_pagan(np.ones(180)), "against has the same value"),
        (lambda fit: fit.breusch_pagan(np.ones((180, 2))), "against"),
        (lambda fit: fit.breusch_pagan(["Days", "Days"]), "linear combinations"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(call, message):
    with pytest.raises(DataError, match=message):
        call(fitted("sleepstudy"))
