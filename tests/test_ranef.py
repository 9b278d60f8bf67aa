"""Random effects by level: order, labels, several terms on one factor, variances, coefficients."""

import numpy as np
import pandas as pd
import pytest

import henderson
from cases import BY_NAME


@pytest.fixture(scope="module")
def data():
    return BY_NAME["sleepstudy"].data()


@pytest.fixture(scope="module")
def fit(data):
    return henderson.lmer("Reaction ~ Days + (Days | Subject)", data)


@pytest.fixture(scope="module")
def uncorrelated(data):
    return henderson.lmer("Reaction ~ Days + (Days || Subject)", data)


def test_levels_are_sorted_whatever_the_order_of_the_rows(fit, data):
    shuffled = henderson.lmer("Reaction ~ Days + (Days | Subject)", data.sample(frac=1, random_state=3))
    assert list(shuffled.ranef["Subject"].index) == sorted(data["Subject"].unique())
    pd.testing.assert_frame_equal(
        fit.ranef["Subject"], shuffled.ranef["Subject"], rtol=1e-5, atol=1e-6, check_index_type=False
    )
    pd.testing.assert_frame_equal(
        fit.ranef_std_error["Subject"], shuffled.ranef_std_error["Subject"], rtol=1e-5, check_index_type=False
    )


def test_categories_keep_their_order(data):
    order = list(data["Subject"].cat.categories[::-1])
    reversed_levels = data.assign(Subject=data["Subject"].cat.reorder_categories(order))
    assert list(henderson.lmer("Reaction ~ Days + (1 | Subject)", reversed_levels).ranef["Subject"].index) == order


def test_several_terms_on_one_factor_share_a_table(uncorrelated):
    assert list(uncorrelated.ranef) == ["Subject"]
    assert list(uncorrelated.ranef["Subject"].columns) == ["(Intercept)", "Days"]
    assert uncorrelated.ranef["Subject"].index.name == "Subject"


def test_one_table_per_factor_largest_first():
    case = BY_NAME["pastes_nested"]
    pastes = henderson.lmer(case.formula, case.data())
    assert list(pastes.ranef) == ["cask:batch", "batch"]
    assert list(pastes.ranef["cask:batch"].index[:4]) == ["a:A", "a:B", "a:C", "a:D"]


def test_conditional_variances_are_indexed_by_level_and_effect(fit, uncorrelated, data):
    block = fit.conditional_variances["Subject"].loc[data["Subject"].iloc[0]]
    assert list(block.index) == list(block.columns) == ["(Intercept)", "Days"]
    np.testing.assert_allclose(block, block.T)
    assert list(uncorrelated.conditional_variances) == ["Subject", "Subject.1"]
    deviation = fit.ranef_std_error["Subject"].iloc[0]
    np.testing.assert_allclose(deviation**2, np.diag(block))


def test_long_table_has_a_row_per_effect_and_level(fit):
    table = fit.ranef_table()
    assert list(table.columns) == ["grpvar", "term", "grp", "condval", "condsd"]
    assert len(table) == 36
    first = table.iloc[0]
    assert (first["grpvar"], first["term"]) == ("Subject", "(Intercept)")
    assert first["condval"] == pytest.approx(2.258551, abs=2e-4)
    assert first["condsd"] == pytest.approx(12.07086, abs=2e-4)


def test_coefficients_are_fixed_plus_random_effects(fit):
    coef = fit.coef["Subject"]
    np.testing.assert_allclose(coef, fit.ranef["Subject"] + fit.fixef)
    assert list(coef.columns) == ["(Intercept)", "Days"]


def test_effects_without_a_fixed_effect_count_from_zero(data):
    result = henderson.lmer("Reaction ~ 1 + (0 + Days | Subject)", data)
    coef = result.coef["Subject"]
    assert list(coef.columns) == ["(Intercept)", "Days"]
    np.testing.assert_allclose(coef["Days"], result.ranef["Subject"]["Days"])
    assert (coef["(Intercept)"] == result.fixef["(Intercept)"]).all()


def test_modes_are_zero_where_the_variance_is_zero():
    case = BY_NAME["dyestuff2_singular"]
    batch = henderson.lmer(case.formula, case.data())
    assert (batch.ranef["Batch"].to_numpy() == 0).all()
    assert (batch.ranef_std_error["Batch"].to_numpy() == 0).all()


def test_numeric_levels_stay_numbers(data):
    numeric = data.assign(Subject=data["Subject"].astype(int))
    index = henderson.lmer("Reaction ~ Days + (1 | Subject)", numeric).ranef["Subject"].index
    assert index[0] == 308
    assert pd.api.types.is_integer_dtype(index)
