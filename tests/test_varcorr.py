"""Variances and correlations of the random effects."""

import numpy as np
import pytest

import henderson
from cases import BY_NAME


@pytest.fixture(scope="module")
def quadratic():
    data = BY_NAME["sleepstudy"].data()
    return henderson.lmer("Reaction ~ Days + (Days + I(Days^2) | Subject)", data)


@pytest.fixture(scope="module")
def uncorrelated():
    case = BY_NAME["sleepstudy_uncorrelated"]
    return henderson.lmer(case.formula, case.data())


def test_table_has_variances_first_then_covariances_then_the_residual(quadratic):
    table = quadratic.varcorr.to_frame()
    assert list(table.columns) == ["grp", "var1", "var2", "vcov", "sdcor"]
    assert table[["grp", "var1", "var2"]].to_numpy().tolist() == [
        ["Subject", "(Intercept)", None],
        ["Subject", "Days", None],
        ["Subject", "I(Days^2)", None],
        ["Subject", "(Intercept)", "Days"],
        ["Subject", "(Intercept)", "I(Days^2)"],
        ["Subject", "Days", "I(Days^2)"],
        ["Residual", None, None],
    ]


def test_standard_deviations_and_correlations_follow_from_the_covariances(quadratic):
    table = quadratic.varcorr.to_frame()
    np.testing.assert_allclose(table["sdcor"][:3] ** 2, table["vcov"][:3])
    sd = table["sdcor"]
    assert table["sdcor"][5] == pytest.approx(table["vcov"][5] / (sd[1] * sd[2]))
    assert table["sdcor"][6] == quadratic.sigma


def test_terms_are_found_by_label(quadratic, uncorrelated):
    covariance = quadratic.varcorr["Subject"]
    assert list(covariance.index) == list(covariance.columns) == ["(Intercept)", "Days", "I(Days^2)"]
    assert list(uncorrelated.varcorr) == ["Subject", "Subject.1"]
    assert len(uncorrelated.varcorr) == 2
    assert uncorrelated.varcorr["Subject.1"].shape == (1, 1)
    with pytest.raises(henderson.DataError, match=r"'Subjects'.*Did you mean 'Subject'"):
        uncorrelated.varcorr["Subjects"]


def test_covariances_are_sigma_squared_lam_lam(quadratic):
    lam = np.zeros((3, 3))
    lam[np.triu_indices(3)[::-1]] = quadratic.theta
    np.testing.assert_allclose(quadratic.varcorr["Subject"], quadratic.sigma**2 * lam @ lam.T)


def test_correlation_with_a_zero_variance_is_not_a_number():
    from henderson.varcorr import TermCovariance, VarCorr

    term = TermCovariance("g", ("(Intercept)", "x"), np.diag([4.0, 0.0]))
    assert np.isnan(term.correlation[1, 0])
    assert " NaN" in str(VarCorr((term,), 1.0))


def test_digits_widen_the_printed_table(quadratic):
    assert "-0.40" in "\n".join(quadratic.varcorr.lines(4))
    assert "Variance" in quadratic.varcorr.lines(4, variance=True)[0]


def test_principal_components_rebuild_the_covariance(quadratic):
    components = quadratic.rePCA()["Subject"]
    rotation = components.rotation.to_numpy()
    relative = rotation @ np.diag(components.std_dev**2) @ rotation.T
    np.testing.assert_allclose(quadratic.sigma**2 * relative, quadratic.varcorr["Subject"], rtol=1e-8)
    assert components.importance.loc["cumulative"].iloc[-1] == pytest.approx(1)
    assert (np.diff(components.std_dev) <= 0).all()
    assert str(components).splitlines()[0].split() == ["PC1", "PC2", "PC3"]


def test_principal_components_join_the_terms_of_a_factor(uncorrelated):
    components = uncorrelated.rePCA()["Subject"]
    assert list(components.rotation.index) == ["(Intercept)", "Days"]
    np.testing.assert_allclose(sorted(components.std_dev), sorted(uncorrelated.theta))


def test_components_of_a_zero_variance_have_no_share():
    case = BY_NAME["dyestuff2_singular"]
    components = henderson.lmer(case.formula, case.data()).rePCA()["Batch"]
    assert components.importance.to_numpy().tolist() == [[0], [0], [0]]
