"""Leverages and deletions: the hat matrix written down, the fit without the rows at fixed theta, and fitted again."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

import henderson
from cases import BY_NAME
from henderson import DataError
from henderson.inference import clusters, effect_blocks, influence
from henderson.theta import relative_factors

TENTHS = np.arange(180) % 10 // 3  # groups that the subjects cross
CASES = [
    ("sleepstudy", "Subject"),
    ("sleepstudy", None),
    ("sleepstudy", TENTHS),
    ("sleepstudy_ml", "Subject"),
    ("sleepstudy_ml", None),
    ("weighted", "Subject"),
    ("weighted", None),
    ("offset", "Subject"),
    ("sleepstudy_uncorrelated", "Subject"),
    ("pastes_nested", "batch"),
    ("pastes_nested", "cask:batch"),
    ("penicillin", "plate"),
    ("penicillin", "sample"),
    ("penicillin", None),
    ("ratpup_slope", "Litter"),
    ("ratpup_uncorrelated", "Litter:sex"),
    ("dyestuff2_singular", "Batch"),
    ("dyestuff2_singular", None),
]


@cache
def fitted(name):
    case = BY_NAME[name]
    return henderson.lmer(case.formula, case.data(), **case.options())


class Dense:
    """A fit with n x n matrices, at any theta and sigma and for any of its rows."""

    def __init__(self, fit):
        design = fit.design
        self.y = design.y if design.offset is None else design.y - design.offset
        self.X, self.Z = design.x_matrix()[:, fit.kept], fit.Z.toarray()
        self.variances = np.ones(design.n) if design.weights is None else 1.0 / design.weights
        self.sizes = [len(term.columns) for term in design.terms]
        self.levels = [design.factors[term.factor].n_levels for term in design.terms]
        self.is_reml = fit.is_reml

    def covariance(self, theta):
        blocks = zip(self.levels, relative_factors(theta, self.sizes), strict=True)
        parts = [np.kron(np.eye(levels), lam @ lam.T) for levels, lam in blocks]
        psi, first = np.zeros((self.Z.shape[1],) * 2), 0
        for part in parts:
            psi[first : first + len(part), first : first + len(part)] = part
            first += len(part)
        return self.Z @ psi @ self.Z.T + np.diag(self.variances)

    def solve(self, theta, sigma, rows):
        """Criterion with sigma not profiled out, beta, (X'V⁻¹X)⁻¹ and residual sum of squares."""
        V, X, y = self.covariance(theta)[np.ix_(rows, rows)], self.X[rows], self.y[rows]
        VX, Vy = np.split(np.linalg.solve(V, np.column_stack([X, y])), [X.shape[1]], axis=1)
        information = X.T @ VX
        beta = np.linalg.solve(information, X.T @ Vy)[:, 0]
        pwrss = (y - X @ beta) @ (Vy[:, 0] - VX @ beta)
        df = len(rows) - (X.shape[1] if self.is_reml else 0)
        criterion = np.linalg.slogdet(V)[1] + df * np.log(2 * np.pi * sigma**2) + pwrss / sigma**2
        if self.is_reml:
            criterion += np.linalg.slogdet(information)[1]
        return criterion, beta, np.linalg.inv(information), pwrss, df


def rows_without(fit, group, label):
    return np.flatnonzero(groups_of(fit, group) != label)


def groups_of(fit, group):
    return np.arange(fit.nobs) if group is None else clusters.resolve(fit.design, group, what="group").codes


# ------------------------------------------------------------------------------------------------------------- leverage


@pytest.mark.parametrize("name", ["sleepstudy", "weighted", "penicillin", "ratpup_slope", "dyestuff2_singular", "cake"])
def test_leverages_are_the_diagonal_of_the_hat_matrix(name):
    fit = fitted(name)
    dense = Dense(fit)
    solve = np.linalg.inv(dense.covariance(fit.optimum.theta))
    P = solve - solve @ dense.X @ np.linalg.solve(dense.X.T @ solve @ dense.X, dense.X.T @ solve)
    hat = np.eye(fit.nobs) - dense.variances[:, None] * P
    np.testing.assert_allclose(fit.leverage, np.diag(hat), rtol=1e-9)


def test_their_sum_is_the_effective_number_of_parameters():
    for name, lme4 in (("sleepstudy", 29.0221), ("pastes_nested", 29.0052), ("penicillin", 27.4724)):
        assert fitted(name).leverage.sum() == pytest.approx(lme4, abs=2e-4)
    without = fitted("dyestuff2_singular")  # no random variance: a mean
    np.testing.assert_allclose(without.leverage, 1 / 30)


# ---------------------------------------------------------------------------------------------- deletion at fixed theta


@pytest.mark.parametrize("name, group", CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_deletions_are_the_fits_without_the_rows(name, group):
    fit = fitted(name)
    found = fit.influence(group)
    dense, theta, p = Dense(fit), fit.optimum.theta, len(fit.kept)
    vcov = fit.solution.unscaled_vcov
    for g in range(0, len(found), max(1, len(found) // 8)):
        rows = rows_without(fit, group, g)
        _, beta, variance, pwrss, df = dense.solve(theta, fit.sigma, rows)
        change, sigma2 = fit.solution.beta - beta, pwrss / df
        scale = fit.stderror.to_numpy()
        np.testing.assert_allclose(found.dfbeta.iloc[g] / scale, change / scale, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(found.fixef.iloc[g], beta, rtol=1e-8)
        spread = np.sqrt(sigma2 * np.diag(variance))
        np.testing.assert_allclose(found.dfbetas.iloc[g], change / spread, rtol=1e-8, atol=1e-10)
        cook = change @ np.linalg.solve(vcov, change) / (p * fit.sigma**2)
        assert found.cooks_distance.iloc[g] == pytest.approx(cook, rel=1e-8, abs=1e-12)
        mdffits = change @ np.linalg.solve(variance, change) / (p * sigma2)
        assert found.mdffits.iloc[g] == pytest.approx(mdffits, rel=1e-8, abs=1e-12)
        ratio = np.linalg.det(sigma2 * variance) / np.linalg.det(fit.sigma**2 * vcov)
        assert found.covratio.iloc[g] == pytest.approx(ratio, rel=1e-8)
        assert found.leverage.iloc[g] == pytest.approx(np.delete(fit.leverage, rows).sum(), rel=1e-12)


@pytest.mark.parametrize("name, group", CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_variances_move_by_one_step_along_the_exact_gradient(name, group):
    fit = fitted(name)
    found = fit.influence(group)
    dense, information = Dense(fit), fit.information
    at = np.append(fit.optimum.theta, fit.sigma)
    free = [*information.kept, len(at) - 1]
    moved = np.column_stack([found.theta.to_numpy()[:, information.kept], found.sigma])
    for g in (0, len(found) // 2):
        rows = rows_without(fit, group, g)
        gradient = []
        for i in free:
            step = 1e-5 * np.eye(len(at))[i]
            up, down = (dense.solve((at + s)[:-1], (at + s)[-1], rows)[0] for s in (step, -step))
            gradient.append((up - down) / 2e-5)
        step = -information.covariance @ gradient / 2.0 / (len(rows) / fit.nobs)
        want = at[free] + step
        is_inside = want > 0  # the others stop at zero
        scale = np.sqrt(np.diag(information.covariance))
        np.testing.assert_allclose((moved[g] / scale)[is_inside], (want / scale)[is_inside], atol=1e-6)


def test_variances_after_the_step_are_close_to_those_of_another_fit():
    data = BY_NAME["sleepstudy"].data()
    fit = fitted("sleepstudy")
    found = fit.influence("Subject")
    fits = [henderson.lmer(fit.formula, data[data["Subject"] != subject]) for subject in found.fixef.index]
    for name, true in (("theta", [again.theta for again in fits]), ("fixef", [again.fixef for again in fits])):
        change = np.array(true) - getattr(fit, name).to_numpy()
        error = getattr(found, name).to_numpy() - np.array(true)
        assert np.all(np.sqrt(np.mean(error**2, axis=0)) < 0.2 * np.sqrt(np.mean(change**2, axis=0)))
    change = np.array([again.sigma for again in fits]) - fit.sigma
    assert np.sqrt(np.mean((found.sigma - fit.sigma - change) ** 2)) < 0.1 * np.sqrt(np.mean(change**2))
    sd = np.array([again.varcorr.to_frame()["sdcor"] for again in fits])  # sd, sd, correlation, sigma
    ours = found.sdcor[["sd_(Intercept)|Subject", "sd_Days|Subject", "cor_Days.(Intercept)|Subject", "sigma"]]
    assert np.all(np.abs(ours.to_numpy() - sd).max(axis=0) < [2.0, 0.2, 0.1, 0.5])


# ----------------------------------------------------------------------------------------------------- other ways, laws


@pytest.mark.parametrize(
    "name, group", [case for case in CASES if case[0] in ("sleepstudy", "pastes_nested", "penicillin")]
)
def test_with_too_many_random_effects_the_fixed_effects_are_the_same(name, group, monkeypatch):
    fit = fitted(name)
    want = fit.influence(group)
    monkeypatch.setattr(influence, "MOST_ELEMENTS", 0)
    monkeypatch.setattr(effect_blocks, "SOLVED_TOGETHER", 3)
    found = fit.influence(group)
    assert "too many random effects" in found.notes[0]
    for column in ("cooks_distance", "mdffits", "covratio", "leverage"):
        np.testing.assert_allclose(getattr(found, column), getattr(want, column), rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(found.dfbetas, want.dfbetas, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found.theta, np.tile(fit.theta, (len(found), 1)))


def test_each_row_is_a_group_of_one():
    for name in ("weighted", "penicillin"):
        fit = fitted(name)
        rows, groups = fit.influence(), fit.influence(np.arange(fit.nobs))
        pd.testing.assert_frame_equal(rows.to_frame(), groups.to_frame().set_axis(fit.index), rtol=1e-8)


def test_shifts_and_scales_of_predictors_change_nothing():
    data = BY_NAME["sleepstudy"].data()
    fit = fitted("sleepstudy")
    shifted = henderson.lmer("Reaction ~ x + (x | Subject)", data.assign(x=1e5 + 10 * data["Days"]))
    np.testing.assert_allclose(shifted.leverage, fit.leverage, rtol=1e-8)
    for group in (None, "Subject"):
        one, other = fit.influence(group), shifted.influence(group)
        np.testing.assert_allclose(other.cooks_distance, one.cooks_distance, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(other.dfbetas["x"], one.dfbetas["Days"], rtol=1e-7, atol=1e-10)


def test_several_factors_are_their_combinations():
    fit = fitted("pastes_nested")
    found = fit.influence(["batch", "cask:batch"])
    single = fit.influence("cask:batch")  # the same casks in another order
    np.testing.assert_allclose(np.sort(found.cooks_distance), np.sort(single.cooks_distance), rtol=1e-10)
    assert found.group == "batch:cask:batch"
    assert len(fitted("penicillin").influence(["plate", "sample"])) == 144


def test_a_coefficient_that_needs_the_rows_is_nan_and_said():
    data = BY_NAME["sleepstudy"].data()
    first = data.assign(first=(data["Subject"].astype(str) == "308") * 1.0, third=np.arange(180) == 2)
    fit = henderson.lmer("Reaction ~ Days + first + third + (Days | Subject)", first)
    groups, rows = fit.influence("Subject"), fit.influence()
    assert np.flatnonzero(groups.cooks_distance.isna()).tolist() == [0]
    assert np.flatnonzero(rows.cooks_distance.isna()).tolist() == [2]
    assert np.flatnonzero(rows.to_frame().drop(columns=["n_rows", "leverage"]).isna().all(axis=1)).tolist() == [2]
    assert groups.notes == ("Without 308 some fixed effect cannot be estimated: NaN.",)
    assert "Without 308 some fixed effect" in str(groups)


def test_no_fixed_effects():
    fit = henderson.lmer("Reaction ~ 0 + (1 | Subject)", BY_NAME["sleepstudy"].data())
    for group, count in ((None, 180), ("Subject", 18)):
        found = fit.influence(group)
        assert found.dfbeta.shape == (count, 0)
        assert found.cooks_distance.isna().all()
        assert (found.sigma > 0).all()
        assert str(count) in str(found)


# ----------------------------------------------------------------------------------------------------------- the result


def test_the_most_influential_are_printed():
    found = fitted("sleepstudy").influence("Subject")
    lines = found.to_text(rows=3).splitlines()
    assert lines[0] == "Influence of each level of Subject (18): largest Cook's distances"
    assert lines[1].split() == ["rows", "leverage", "Cook's", "D", "MDFFITS", "dfb.(Intr)", "dfb.Days", "sigma"]
    assert [line.split()[0] for line in lines[2:5]] == list(found.cooks_distance.nlargest(3).index.astype(str))
    assert lines[5] == "Cook's distance > 4/18 = 0.222: 0 of 18"
    assert str(found) == repr(found) == found.to_text()
    assert "<table>" in found._repr_html_()


def test_everything_in_one_table():
    fit = fitted("sleepstudy")
    table = fit.influence("Subject").to_frame()
    assert list(table.columns[:5]) == ["n_rows", "leverage", "cooks_distance", "mdffits", "covratio"]
    assert list(table.columns[5:7]) == ["dfbetas_(Intercept)", "dfbetas_Days"]
    assert list(table.columns[7:]) == [
        "sd_(Intercept)|Subject",
        "sd_Days|Subject",
        "cor_Days.(Intercept)|Subject",
        "sigma",
    ]
    assert table.index.name == "Subject"
    assert fit.influence().to_frame().index.equals(fit.index)


@pytest.mark.parametrize(
    "group, message",
    [
        ("subject", "group is 'subject'.*neither a grouping factor.*Did you mean 'Subject'"),
        (5, "group is 5"),
        (np.arange(7), "group has 7 values"),
        ([], "group has 0 values"),
        (["Subject", "days"], "'days'.*neither a grouping factor"),
    ],
)
def test_groups_that_do_not_exist(group, message):
    with pytest.raises(DataError, match=message):
        fitted("sleepstudy").influence(group)
