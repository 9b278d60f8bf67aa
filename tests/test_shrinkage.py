"""Shrinkage: closed forms in balanced designs, the identity that defines it in all others, its limits, its table."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

import dense_inference
import henderson as hd
from cases import BY_NAME, read_table
from oracle import relative_factors

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@cache
def reference(name):
    case = BY_NAME[name]
    return hd.lmer(case.formula, case.data(), **case.options())


@cache
def crossed(formula, weights=None, n=160):
    """Crossed, unbalanced data; some levels of `h` have one row."""
    rng = np.random.default_rng(5)
    g, h = rng.integers(0, 12, n), np.minimum(rng.integers(0, 30, n), 17)
    h[:3] = [20, 21, 22]
    x = rng.normal(size=n)
    effects = rng.normal(size=(12, 2)) @ np.array([[1.0, 0.4], [0.0, 0.6]])
    y = 3 + 0.5 * x + effects[g, 0] + effects[g, 1] * x + rng.normal(size=23)[h] + rng.normal(size=n)
    data = pd.DataFrame({"y": y, "x": x, "g": g, "h": h, "w": rng.uniform(0.2, 4.0, n), "o": rng.normal(size=n)})
    return hd.lmer(formula, data, weights=weights, offset="o")


MODELS = {
    "slopes": ("y ~ x + (x | g)", None),
    "crossed": ("y ~ x + (1 | g) + (1 | h)", None),
    "weighted": ("y ~ x + (x | g) + (1 | h)", "w"),
    "two terms": ("y ~ x + (x || g) + (1 | h)", "w"),
    "no fixed slope": ("y ~ 1 + (x | g)", None),
    "no fixed effects": ("y ~ 0 + (x | g) + (1 | h)", None),
    "maximum likelihood": ("y ~ poly(x, 2) + (1 | g) + (1 | h)", None),
}


@pytest.fixture(params=MODELS, scope="module")
def fit(request):
    return crossed(*MODELS[request.param])


# ------------------------------------------------------------------------------------------------------- closed forms


def test_the_factor_of_a_balanced_random_intercept_is_the_closed_form():
    fit = reference("dyestuff")
    variance, residual = fit.varcorr["Batch"].to_numpy()[0, 0], fit.sigma**2
    table = fit.shrinkage().to_frame()
    closed = variance / (variance + residual / 5)
    np.testing.assert_allclose(table["shrinkage"], closed, **TIGHT)
    np.testing.assert_allclose(table["reliability"], closed, **TIGHT)
    means = read_table("Dyestuff").groupby("Batch")["Yield"].mean()
    np.testing.assert_allclose(table["no_pooling"], means, **TIGHT)
    np.testing.assert_allclose(table["complete_pooling"], means.mean(), **TIGHT)
    np.testing.assert_allclose(table["partial_pooling"], means.mean() + closed * (means - means.mean()), rtol=1e-8)


def test_reliability_in_a_balanced_crossed_design_is_the_closed_form():
    """Plates (a = 24) by samples (b = 6), once each: the mean of all plates is confounded with that of the samples."""
    fit = reference("penicillin")
    a, b = 24, 6
    plate, sample, residual = fit.varcorr["plate"].iloc[0, 0], fit.varcorr["sample"].iloc[0, 0], fit.sigma**2
    table = fit.shrinkage("plate").to_frame()
    among, overall = residual + b * plate, residual + b * plate + a * sample
    np.testing.assert_allclose(table["shrinkage"], b * plate / among, **TIGHT)
    np.testing.assert_allclose(table["reliability"], b * plate * ((1 - 1 / a) / among + 1 / a / overall), **TIGHT)


def test_reliability_in_a_balanced_nested_design_is_the_closed_form():
    """Casks (3 in a batch, 2 rows each): what a cask has in common with its batch cannot be told from the batch's."""
    fit = reference("pastes_nested")
    cask, batch, residual = fit.varcorr["cask:batch"].iloc[0, 0], fit.varcorr["batch"].iloc[0, 0], fit.sigma**2
    found = fit.shrinkage()
    within, between = residual + 2 * cask, residual + 2 * cask + 6 * batch
    np.testing.assert_allclose(found["cask:batch"].factors, 2 * cask / within, **TIGHT)
    np.testing.assert_allclose(
        found["cask:batch"].reliability, 2 * cask * ((2 / 3) / within + (1 / 3) / between), **TIGHT
    )
    np.testing.assert_allclose(found["batch"].factors, batch / (batch + residual / 6), **TIGHT)
    np.testing.assert_allclose(found["batch"].reliability, 6 * batch / between, **TIGHT)


def test_the_matrix_of_random_slopes_is_the_textbook_formula():
    fit = reference("sleepstudy")
    days = np.column_stack([np.ones(10), np.arange(10.0)])
    sigma = fit.varcorr["Subject"].to_numpy()
    wanted = sigma @ np.linalg.inv(sigma + fit.sigma**2 * np.linalg.inv(days.T @ days))
    found = fit.shrinkage()["Subject"]
    np.testing.assert_allclose(found.matrices, np.broadcast_to(wanted, (18, 2, 2)), **TIGHT)
    np.testing.assert_allclose(found.eigenvalues, np.tile(np.sort(np.linalg.eigvals(wanted).real), (18, 1)), **TIGHT)
    np.testing.assert_allclose(found.factors, np.trace(wanted) / 2, **TIGHT)
    np.testing.assert_allclose(found.matrix("308").to_numpy(), wanted, **TIGHT)
    lines = (
        read_table("sleepstudy")
        .groupby("Subject")
        .apply(lambda rows: np.polyfit(rows["Days"], rows["Reaction"], 1)[::-1], include_groups=False)
    )
    np.testing.assert_allclose(found.no_pooling, np.stack(lines), rtol=1e-8)


# -------------------------------------------------------------------------------------------------------- any design


def test_predictions_are_the_shrunken_deviations(fit):
    """partial - complete = S (none - complete), exactly, crossed and weighted designs included."""
    for group in fit.shrinkage().groups.values():
        known = np.isfinite(group.no_pooling).all(axis=1)
        assert known.any()
        deviations = (group.no_pooling - group.complete_pooling)[known]
        wanted = np.einsum("jab,jb->ja", group.matrices[known], deviations)
        np.testing.assert_allclose((group.partial_pooling - group.complete_pooling)[known], wanted, atol=1e-8)


def test_matrices_and_reliability_are_those_of_dense_algebra(fit):
    _, _, terms, inverse = dense_inference.parts(fit)
    factors = relative_factors(fit.optimum.theta, [term.size for term in terms])
    v_inverse = np.linalg.inv(dense_inference.covariance(fit, fit.optimum.theta, fit.sigma))
    for index, factor in enumerate(fit.design.factors):
        own = [t for t, term in enumerate(fit.design.terms) if term.factor == index]
        columns = np.hstack([terms[t].columns for t in own])
        size = columns.shape[1]
        lam = np.zeros((size, size))
        start = 0
        for t in own:
            lam[start : start + terms[t].size, start : start + terms[t].size] = factors[t]
            start += terms[t].size
        sigma = fit.sigma**2 * lam @ lam.T
        found = fit.shrinkage()[factor.name]
        for place, code in enumerate(factor.order):
            rows = factor.codes == code
            z, w = columns[rows], 1 / inverse[rows]
            precision = z.T @ (w[:, None] * z) / fit.sigma**2
            alone = np.linalg.inv(np.linalg.inv(sigma @ sigma.T) @ sigma + precision) @ precision
            np.testing.assert_allclose(found.matrices[place], alone, atol=1e-9)
            explained = sigma @ z.T @ v_inverse[np.ix_(rows, rows)] @ z @ sigma
            np.testing.assert_allclose(found.reliability[place], np.diag(explained) / np.diag(sigma), atol=1e-9)
            assert found.n_rows[place] == rows.sum()


def test_reliability_is_at_most_the_diagonal_of_the_matrix_for_scalar_effects(fit):
    for group in fit.shrinkage().groups.values():
        assert (group.eigenvalues >= 0).all()
        assert (group.eigenvalues < 1).all()
        assert (group.reliability >= 0).all()
        if len(group.names) == 1:
            assert (group.reliability[:, 0] <= group.factors + 1e-12).all()


def test_partial_and_complete_pooling_are_those_of_coef(fit):
    for name, group in fit.shrinkage().groups.items():
        coef = fit.coef[name][list(group.names)]
        np.testing.assert_allclose(group.partial_pooling, coef, **TIGHT)
        assert group.levels.tolist() == coef.index.tolist()


def test_without_conditioning_the_group_is_as_it_is_in_the_data():
    fit = crossed("y ~ x + (1 | g) + (1 | h)")
    marginal = fit.residuals("marginal").groupby(fit.design.factors[1].codes).mean()
    name = fit.design.factors[1].name
    found = fit.shrinkage(name, conditional=False)[name]
    order = fit.design.factors[1].order
    np.testing.assert_allclose(found.no_pooling[:, 0] - fit.fixef["(Intercept)"], marginal.to_numpy()[order], **TIGHT)
    assert np.abs(found.no_pooling - fit.shrinkage(name)[name].no_pooling).max() > 0.01


def test_conditioning_changes_nothing_with_one_factor():
    fit = reference("sleepstudy_uncorrelated")
    one, other = fit.shrinkage(), fit.shrinkage(conditional=False)
    np.testing.assert_allclose(one["Subject"].no_pooling, other["Subject"].no_pooling, rtol=1e-9)


# ------------------------------------------------------------------------------------------------------------- limits


def test_coefficients_that_a_level_does_not_determine_are_missing():
    data = pd.DataFrame(
        {
            "y": [1.0, 2.0, 4.0, 3.0, 5.0, 9.0, 7.0, 2.5, 3.5, 6.0, 1.5],
            "x": [0.0, 1.0, 2.0, 0.0, 1.0, 3.0, 2.0, 0.0, 0.0, 5.0, 1.0],
            "g": list("aaabbbbccda"),
        }
    )
    found = hd.lmer("y ~ x + (x | g)", data).shrinkage()["g"]
    missing = pd.DataFrame(np.isnan(found.no_pooling), index=found.levels, columns=found.names)
    assert missing.loc["c"].tolist() == [False, True]  # x is 0 in all its rows
    assert missing.loc["d"].tolist() == [True, True]  # one row
    assert not missing.loc[["a", "b"]].to_numpy().any()
    assert np.isfinite(found.partial_pooling).all()
    at_zero = data[data["g"] == "c"]["y"].mean()
    assert found.no_pooling[2, 0] == pytest.approx(at_zero)


@pytest.mark.filterwarnings("ignore::henderson.SingularFitWarning")
def test_a_variance_of_zero_means_complete_pooling():
    group = reference("dyestuff2_singular").shrinkage()["Batch"]
    assert (group.factors == 0).all()
    assert (group.reliability == 0).all()
    np.testing.assert_array_equal(group.partial_pooling, np.full((6, 1), group.complete_pooling[0]))
    assert np.ptp(group.no_pooling) > 1


@pytest.mark.filterwarnings("ignore::henderson.SingularFitWarning")
def test_a_singular_covariance_matrix_has_a_shrinkage_matrix_of_its_rank():
    group = hd.lmer("angle ~ recipe * temp + (temp | recipe:replicate)", read_table("cake")).shrinkage()
    found = group["recipe:replicate"]
    assert np.linalg.matrix_rank(found.matrices[0], tol=1e-8) == 1
    np.testing.assert_allclose(found.eigenvalues[:, 0], 0, atol=1e-8)
    deviations = found.no_pooling - found.complete_pooling
    wanted = np.einsum("jab,jb->ja", found.matrices, deviations)
    np.testing.assert_allclose(found.partial_pooling - found.complete_pooling, wanted, atol=1e-7)


def test_more_rows_mean_less_shrinkage():
    table = crossed("y ~ x + (1 | g) + (1 | h)").shrinkage("h").to_frame()
    by_size = table.groupby("n")["shrinkage"].agg(["min", "max"])
    np.testing.assert_allclose(by_size["min"], by_size["max"], rtol=1e-12)
    assert by_size["min"].is_monotonic_increasing


# -------------------------------------------------------------------------------------------------------------- table


def test_the_table_has_a_row_per_factor_level_and_effect():
    table = crossed("y ~ x + (x | g) + (1 | h)", "w").shrinkage().to_frame()
    assert list(table.columns) == [
        *("group", "level", "n", "term", "no_pooling", "partial_pooling", "complete_pooling"),
        *("shrinkage", "shrinkage_min", "shrinkage_max", "reliability"),
    ]
    assert table.groupby("group", sort=False).size().to_dict() == {"h": 21, "g": 24}
    assert table.loc[table["group"] == "g", "term"].tolist() == ["(Intercept)", "x"] * 12
    assert (table["shrinkage_min"] <= table["shrinkage"]).all()
    assert (table["shrinkage"] <= table["shrinkage_max"]).all()


def test_terms_of_one_factor_are_taken_together_under_either_label():
    fit = reference("sleepstudy_uncorrelated")
    for term in (None, "Subject", "Subject.1"):
        found = fit.shrinkage(term)
        assert list(found) == ["Subject"]
        assert found["Subject"].names == ("(Intercept)", "Days")
    assert fit.shrinkage()["Subject"].matrices[0][0, 1] != 0  # Z_j'Z_j is not diagonal


def test_levels_are_in_the_order_of_ranef_whatever_their_type():
    data = read_table("Dyestuff")
    for levels in (data["Batch"].map({b: i for i, b in enumerate("FEDCBA")}), data["Batch"] > "C"):
        fit = hd.lmer("Yield ~ 1 + (1 | g)", data.assign(g=levels))
        found = fit.shrinkage()["g"]
        assert found.levels.tolist() == fit.ranef["g"].index.tolist()
        assert found.matrix(found.levels[0]).shape == (1, 1)


def test_it_prints_a_line_per_level_and_says_what_it_leaves_out():
    lines = str(reference("pastes_nested").shrinkage()).splitlines()
    assert lines[0] == "Shrinkage of the effects of cask:batch (30 levels)"
    assert lines[1].split() == ["Rows", "No", "pooling", "Partial", "Complete", "Shrinkage", "Reliability"]
    assert lines[2].split() == ["a:A", "2", "61.899", "61.828", "60.053", "0.961", "0.845"]
    assert lines[22] == " ... and 10 more levels; .to_frame() has all"
    assert lines[23] == "Shrinkage factors: 0.961 (smallest), 0.961 (median), 0.961 (largest)"
    assert lines[25] == "Shrinkage of the effects of batch (10 levels)"


def test_several_effects_print_a_line_each():
    lines = str(reference("sleepstudy").shrinkage()["Subject"]).splitlines()
    assert lines[1].split() == [
        *("Rows", "Effect", "No", "pooling", "Partial", "Complete", "Shrinkage", "From", "To", "Reliability")
    ]
    assert lines[2].split()[:3] == ["308", "10", "(Intercept)"]
    assert lines[3].split()[0] == "Days"
    assert max(map(len, lines)) < 100


def test_it_shows_itself_in_a_notebook():
    assert reference("sleepstudy").shrinkage()._repr_html_().count("<table") == 1
    assert reference("pastes_nested").shrinkage()._repr_html_().count("<table") == 2


def test_unknown_names_are_refused():
    fit = reference("sleepstudy")
    with pytest.raises(hd.DataError, match=r"term is 'Subjects'; choose one of 'Subject'.* Did you mean 'Subject'"):
        fit.shrinkage("Subjects")
    with pytest.raises(hd.DataError, match="The grouping factor is 'x'; choose one of 'Subject'"):
        fit.shrinkage()["x"]
    with pytest.raises(hd.DataError, match="level is 'x'; choose one of '308'"):
        fit.shrinkage()["Subject"].matrix("x")
