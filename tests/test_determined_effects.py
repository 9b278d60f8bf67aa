"""Columns that others determine: of X, wherever they stand in the formula; of Z, where the fixed effects span them."""

import numpy as np
import pandas as pd
import pytest

import henderson as hd


def groups_and_their_covariates(seed):
    """Covariates of a grouping factor, of any scale, and the factor itself with its levels in any order."""
    rng = np.random.default_rng(seed)
    levels = int(rng.integers(5, 60))
    n = levels * int(rng.integers(3, 9))
    g = np.concatenate([np.arange(levels), rng.integers(0, levels, n - levels)])
    columns = {f"x{i}": (rng.normal(size=levels) * 10 ** rng.uniform(-2, 3))[g] for i in range(int(rng.integers(1, 5)))}
    columns["t"] = rng.integers(0, 3, levels)[g].astype(str)
    columns["g"] = pd.Categorical(g.astype(str), categories=[str(level) for level in rng.permutation(levels)])
    columns["w"] = rng.normal(size=n)
    terms = rng.permutation(list(columns))
    data = pd.DataFrame(columns | {"y": rng.normal(size=n), "h": rng.integers(0, 6, n)})
    return f"y ~ {' + '.join(terms)} + (1 | h)", data, levels + 1


@pytest.mark.parametrize("seed", range(40))
def test_as_many_columns_are_kept_as_the_rank_of_x_wherever_the_factor_stands(seed):
    formula, data, rank = groups_and_their_covariates(seed)
    fit = hd.lmer(formula, data)
    assert len(fit.kept) == rank
    x = fit.design.x_matrix()[:, fit.kept]
    fitted = x @ np.linalg.lstsq(x, data["y"], rcond=None)[0]
    mean = x @ fit.fixef.to_numpy()
    assert np.std(mean) < 3 * np.std(fitted)


def test_the_order_of_the_terms_changes_neither_the_criterion_nor_the_fitted_values():
    data = hd.datasets.load_ratpup()
    one = hd.lmer("weight ~ Lsize + Treatment + sex + Litter + (1 | Litter:sex)", data, reml=False)
    other = hd.lmer("weight ~ Litter + sex + Treatment + Lsize + (1 | Litter:sex)", data, reml=False)
    assert len(one.aliased) == len(other.aliased) == 3
    assert one.criterion == pytest.approx(other.criterion, rel=1e-10)
    np.testing.assert_allclose(one.fitted, other.fitted, rtol=1e-7)


SPANNED = (
    ("ratpup", "weight ~ sex + Litter + (1 | Litter)", [True]),
    ("sleepstudy", "Reaction ~ Subject * Days + (Days | Subject)", [True, True, True]),
    ("sleepstudy", "Reaction ~ Subject + Days + (1 | Subject) + (0 + Days | Subject)", [True, False]),
    ("sleepstudy", "Reaction ~ factor(Days) + (1 | Subject) + (1 | Days)", [False, True]),
    ("penicillin", "diameter ~ plate + (1 | plate) + (1 | sample)", [True, False]),
)


@pytest.mark.parametrize("name, formula, is_zero", SPANNED, ids=[formula for _, formula, _ in SPANNED])
def test_effects_that_the_fixed_effects_span_stay_at_zero_under_reml(name, formula, is_zero):
    data = hd.datasets.load(name)
    fit = hd.lmer(formula, data)
    assert fit.converged
    assert fit.is_singular
    assert fit.optimum.evaluations < 15
    assert (fit.theta == 0).tolist() == is_zero
    again = fit.refit(fit.design.y, start=np.full(len(is_zero), 0.7))
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-7)
    assert (again.theta == 0).tolist() == is_zero


def test_the_restricted_likelihood_is_flat_where_the_effects_are_spanned():
    fit = hd.lmer("weight ~ sex + Litter + (1 | Litter)", hd.datasets.load_ratpup())
    for theta in (0.0, 0.3, 2.0):
        assert fit.criterion_at([theta]) == pytest.approx(fit.criterion, abs=1e-6)


def test_an_effect_spanned_in_part_leaves_the_other_to_be_estimated():
    fit = hd.lmer("Reaction ~ Subject + Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    alone = hd.lmer("Reaction ~ Subject + Days + (0 + Days | Subject)", hd.datasets.load_sleepstudy())
    assert fit.converged
    assert fit.criterion == pytest.approx(alone.criterion, abs=1e-7)
    assert fit.varcorr.to_frame()["sdcor"].iloc[1] == pytest.approx(alone.varcorr.to_frame()["sdcor"].iloc[0], rel=1e-5)
