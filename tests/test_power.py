"""Power by simulation: the level under the null, closed forms in balanced designs, sizes, determinism."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import cases
import henderson as hd
from henderson.inference import power_designs
from henderson.inference.power_designs import representative


def blocks(groups=12, rows=6, sd=2.0, effect=0.0, sigma=1.0, formula="y ~ x + (1 | g)", **more):
    """A randomised block design: x is 0 and 1 equally often within each group; t has groups alternate, c has three."""
    data = pd.DataFrame(list(itertools.product(range(groups), range(rows))), columns=["g", "i"])
    data["x"], data["t"], data["c"] = data["i"] % 2, data["g"] % 2, np.array(list("abc"))[data["i"] % 3]
    names = {"y ~ x + (1 | g)": ["x"], "y ~ t + (1 | g)": ["t"], "y ~ c + (1 | g)": ["cb", "cc"]}[formula]
    fixef = {"(Intercept)": 0.0} | dict.fromkeys(names, 0.0) | {names[0]: effect}
    return hd.model_from_parameters(formula, data, fixef=fixef, varcorr={"sd_(Intercept)|g": sd}, sigma=sigma, **more)


@pytest.fixture(scope="module")
def sleepstudy():
    case = cases.BY_NAME["sleepstudy"]
    return hd.lmer(case.formula, case.data())


def assert_share(found, expected, z=4.0):
    """A simulated share is within Monte Carlo error of a probability."""
    count = len(found.results[0].p_values)
    assert abs(float(found) - expected) < z * math.sqrt(expected * (1 - expected) / count)


# ------------------------------------------------------------------------------------------- level and closed forms


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_under_the_null_the_level_is_kept(ddf):
    found = blocks(groups=8).power("x", n=600, ddf=ddf, seed=1)
    low, high = stats.binom.interval(0.9999, 600, 0.05)
    assert low <= found.results[0].significant(0.05) <= high


def test_too_liberal_tests_are_found_out():
    """Eight groups, a between-group effect: z tests reject far too often, t tests with 6 degrees of freedom do not."""
    model = blocks(groups=8, formula="y ~ t + (1 | g)")
    z, t = (model.power("t", n=600, ddf=ddf, seed=2) for ddf in ("normal", "satterthwaite"))
    high = stats.binom.interval(0.9999, 600, 0.05)[1]
    assert z.results[0].significant(0.05) > high
    assert t.results[0].significant(0.05) <= high
    assert_share(z, 2 * stats.t.sf(stats.norm.isf(0.025), 6))


def t_power(effect, std_error, df, level=0.05):
    limit, ncp = stats.t.isf(level / 2, df), effect / std_error
    return stats.nct.sf(limit, df, ncp) + stats.nct.cdf(-limit, df, ncp)


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_power_within_groups_is_that_of_the_t_test(level):
    """Balanced blocks: the estimate has variance 4 sigma²/n and n - groups - 1 degrees of freedom."""
    expected = t_power(0.7, math.sqrt(4 / 72), 72 - 12 - 1, level)
    assert_share(blocks(effect=0.7).power("x", n=600, level=level, seed=3), expected)


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_power_between_groups_is_that_of_the_t_test_of_means(ddf):
    std_error = math.sqrt(4 / 12 * (2.0**2 + 1 / 6))
    assert_share(
        blocks(effect=3.5, formula="y ~ t + (1 | g)").power("t", n=600, ddf=ddf, seed=4), t_power(3.5, std_error, 10)
    )


def test_power_of_a_term_is_that_of_the_f_test():
    """Three conditions within groups, one of them higher by d: lambda = n d² (1/3)(2/3) / sigma²."""
    df, ncp = 72 - 12 - 2, 72 * 0.8**2 * 2 / 9
    expected = stats.ncf.sf(stats.f.isf(0.05, 2, df), 2, df, ncp)
    model = blocks(effect=0.8, formula="y ~ c + (1 | g)")
    found = model.power("c", n=600, seed=5)
    assert_share(found, expected)
    joint = model.power(["cb", "cc"], n=50, seed=5)
    np.testing.assert_allclose(joint.results[0].p_values, found.results[0].p_values[:50], rtol=1e-10)


def test_z_and_chi_square_tests_have_their_power():
    z = blocks(effect=0.5, groups=60).power("x", n=1000, ddf="normal", seed=6)
    ncp = 0.5 / math.sqrt(4 / 360)
    limit = stats.norm.isf(0.025)
    assert_share(z, stats.norm.sf(limit - ncp) + stats.norm.cdf(-limit - ncp))
    model = blocks(effect=0.4, groups=60, formula="y ~ c + (1 | g)")
    expected = stats.ncx2.sf(stats.chi2.isf(0.05, 2), 2, 360 * 0.4**2 * 2 / 9)
    for ddf in ("normal", "lrt"):
        assert_share(model.power("c", n=600, ddf=ddf, seed=7), expected)


# ------------------------------------------------------------------------------- each p-value is that of its response

METHODS = ["satterthwaite", "kenward-roger", "residual", "normal"]
DESIGNS = {
    "slopes": ("sleepstudy", "Days"),
    "weighted": ("weighted", "Days"),
    "offset": ("offset", "Days"),
    "term": ("cake", "recipe"),
    "contrast": ("cake", "recipeB - recipeC = 1"),
    "ml": ("sleepstudy_ml", "Days"),
    "nested": ("pastes_nested", "(Intercept)"),
    "singular": ("dyestuff2_singular", "(Intercept)"),
}


@pytest.mark.parametrize("ddf", METHODS)
@pytest.mark.parametrize("name", DESIGNS)
def test_p_values_are_those_of_refits_to_simulated_responses(name, ddf):
    case, test = cases.BY_NAME[DESIGNS[name][0]], DESIGNS[name][1]
    model = hd.lmer(case.formula, case.data(), **case.options())
    found = model.power(test, n=4, ddf=ddf, seed=8).results[0].p_values
    drawn = model.simulate(4, seed=8)
    for place, column in enumerate(drawn):
        fit = model.refit(drawn[column])
        if test == "recipe":
            expected = fit.anova(ddf=ddf).to_frame().loc["recipe", "p_value"]
        else:
            expected = fit.contrast(test, ddf=ddf).to_frame()["p_value"].iloc[0]
        assert found[place] == pytest.approx(expected, rel=2e-5, abs=1e-12)


@pytest.mark.parametrize("test, smaller", [("recipe:temp", "recipe + temp"), ("temp", None)])
def test_likelihood_ratio_tests_are_those_of_two_fits(test, smaller):
    data = cases.BY_NAME["cake"].data()
    formula = "angle ~ recipe * temp" if smaller else "angle ~ recipe + temp"
    large = hd.lmer(f"{formula} + (1 | recipe:replicate)", data, reml=False)
    found = large.power(test, n=3, ddf="lrt", seed=9).results[0].p_values
    small = large.update(f". ~ . - {test}")
    drawn = large.simulate(3, seed=9)
    for place, column in enumerate(drawn):
        y = drawn[column]
        statistic = small.refit(y).criterion - large.refit(y).criterion
        df = large.n_parameters - small.n_parameters
        assert found[place] == pytest.approx(stats.chi2.sf(statistic, df), rel=1e-5)


def test_likelihood_ratio_tests_of_contrasts_are_those_of_reparametrised_fits():
    data = cases.BY_NAME["cake"].data()
    model = hd.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", data, reml=False)
    found = model.power("recipeB - recipeC = 2", n=2, ddf="lrt", seed=9).results[0].p_values
    merged = data.assign(bc=(data["recipe"] != "A").astype(float), shift=2.0 * (data["recipe"] == "B"))
    drawn = model.simulate(2, seed=9)
    for place, column in enumerate(drawn):
        small = hd.lmer(
            "y ~ bc + temp + offset(shift) + (1 | recipe:replicate)", merged.assign(y=drawn[column]), reml=False
        )
        statistic = small.criterion - model.refit(drawn[column]).criterion
        assert found[place] == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-5)


def test_parameters_can_be_replaced(sleepstudy):
    """Responses are those of the parameters asked for, and nothing else of the fit."""
    changed = {"sd_Days|Subject": 9.0, "cor_Days.(Intercept)|Subject": 0.0}
    found = sleepstudy.power("Days", n=5, effect={"Days": 4.0}, sigma=20.0, varcorr=changed, seed=3, ddf="normal")
    sd = [math.sqrt(sleepstudy.varcorr["Subject"].iloc[0, 0]), 9.0]
    fixef = {"(Intercept)": sleepstudy.fixef["(Intercept)"], "Days": 4.0}
    given = hd.model_from_parameters(
        sleepstudy.formula, cases.BY_NAME["sleepstudy"].data(), fixef=fixef,
        varcorr={"Subject": np.diag(np.square(sd))}, sigma=20.0,
    )  # fmt: skip
    expected = given.power("Days", n=5, seed=3, ddf="normal")
    np.testing.assert_allclose(found.results[0].p_values, expected.results[0].p_values, rtol=1e-5, atol=1e-14)
    number = sleepstudy.power("Days", n=5, effect=4.0, sigma=20.0, varcorr=changed, seed=3, ddf="normal")
    np.testing.assert_array_equal(number.results[0].p_values, found.results[0].p_values)


# ----------------------------------------------------------------------------------------------------------- sizes


def test_levels_are_copied_or_left_out_as_in_a_table_of_that_size(sleepstudy):
    data = cases.BY_NAME["sleepstudy"].data().astype({"Subject": int})
    ranks = data["Subject"].rank(method="dense").astype(int) - 1
    for size in (5, 18, 25):
        copies = [data.assign(s=ranks + 18 * copy) for copy in range(2)]
        whole = pd.concat(copies).query(f"s < {size}")
        fit = hd.lmer("Reaction ~ Days + (Days | s)", whole)
        ((_, design),) = power_designs.designs(
            power_designs.base_design(sleepstudy, None, None),
            power_designs.variations(sleepstudy.design, {"Subject": size}, None),
        )
        assert design.n == len(whole)
        assert design.factors[0].n_levels == size
        at = fit._problem.criterion(design.y, sleepstudy.optimum.theta, True)
        fresh = hd.fit_arrays(
            design.y, design.x_matrix(), terms=[hd.RandomTerm(design.factors[0].codes, design.z_matrix(0))]
        )
        own = fresh._problem.criterion(design.y, sleepstudy.optimum.theta, True)
        assert own == pytest.approx(at, rel=1e-9)


def test_nested_levels_are_copied_with_what_contains_them_and_crossed_ones_are_not():
    pastes = hd.lmer("strength ~ 1 + (1 | batch/cask)", hd.datasets.load_pastes())
    ((_, design),) = power_designs.designs(pastes.design, power_designs.variations(pastes.design, {"batch": 25}, None))
    assert {factor.name: factor.n_levels for factor in design.factors} == {"cask:batch": 75, "batch": 25}
    penicillin = hd.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", hd.datasets.load_penicillin())
    ((_, design),) = power_designs.designs(
        penicillin.design, power_designs.variations(penicillin.design, {"plate": 48}, None)
    )
    assert {factor.name: factor.n_levels for factor in design.factors} == {"plate": 48, "sample": 6}
    table = pd.crosstab(*(factor.codes for factor in design.factors))
    assert (table == 1).all(axis=None)


@pytest.mark.parametrize("size", [1, 4, 10, 13, 30])
def test_rows_within_levels_are_repeated_or_left_out(sleepstudy, size):
    ((_, design),) = (
        power_designs.designs(sleepstudy.design, power_designs.variations(sleepstudy.design, None, {"Subject": size}))
        if size > 1
        else (((1,), power_designs._with_rows_per_level(sleepstudy.design, "Subject", 1)),)
    )
    codes = design.factors[0].codes
    assert (np.bincount(codes) == size).all()
    days = design.x[1]
    counts = [np.bincount(days[codes == level].astype(int), minlength=10) for level in range(18)]
    assert np.ptp(counts, axis=1).max() <= 1


def test_smaller_designs_have_the_conditions_in_proportion():
    """Twelve groups sorted by treatment, then alternating: four of them have two of each."""
    for treatment in (np.repeat([0, 1], 6), np.tile([0, 1], 6), np.repeat([0, 1, 0], 4)):
        order = representative(treatment.astype(np.intp))
        assert sorted(order.tolist()) == list(range(12))
        for count in (3, 4, 6, 9):
            assert treatment[order[:count]].mean() == pytest.approx(treatment.mean(), abs=0.5 / count + 1e-9)


def test_power_rises_with_the_size(sleepstudy):
    found = sleepstudy.power("Days", n=300, effect=4, along={"Subject": [6, 18, 54]}, ddf="normal", seed=1)
    assert (np.diff(found.power) > 0.1).all()
    assert found.smallest_size(0.9) == {"Subject": 54}
    assert sleepstudy.power("Days", n=50, effect=1, seed=1, ddf="normal").smallest_size() is None
    within = sleepstudy.power("Days", n=300, effect=4, within={"Subject": [3, 40]}, ddf="normal", seed=1)
    assert within.power[1] > within.power[0]


def test_new_data_are_a_design_of_their_own(sleepstudy):
    data = cases.BY_NAME["sleepstudy"].data().drop(columns="Reaction")
    same = sleepstudy.power("Days", n=20, newdata=data, seed=2, effect=4)
    own = sleepstudy.power("Days", n=20, seed=2, effect=4)
    np.testing.assert_allclose(same.results[0].p_values, own.results[0].p_values, rtol=1e-6)
    new = pd.DataFrame({"Days": np.tile([0.0, 3.0, 9.0], 30), "Subject": np.repeat(np.arange(30), 3)})
    found = sleepstudy.power("Days", n=20, newdata=new, along={"Subject": [10, 30]}, seed=2, effect=4, ddf="normal")
    assert found.to_frame()["n_rows"].tolist() == [30, 90]


def test_the_test_is_the_same_for_other_codings_and_offsets():
    data = cases.BY_NAME["cake"].data()
    parts = []
    for contrasts in ("treatment", "sum"):
        model = hd.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", data, contrasts={"recipe": contrasts})
        parts.append(model.power("recipe:temp", n=10, seed=1).results[0].p_values)
    np.testing.assert_allclose(parts[0], parts[1], rtol=1e-4)


# ----------------------------------------------------------------------------------------------------- determinism


def test_the_same_seed_gives_the_same_result_for_any_threads_and_sizes(sleepstudy):
    options = {"n": 300, "effect": 4, "seed": 5}
    one = sleepstudy.power("Days", along={"Subject": [9, 18]}, threads=1, **options)
    two = sleepstudy.power("Days", along={"Subject": [9, 18]}, threads=2, **options)
    alone = sleepstudy.power("Days", along={"Subject": 18}, **options)
    for left, right in zip(one.results, two.results, strict=True):
        np.testing.assert_array_equal(left.p_values, right.p_values)
    np.testing.assert_array_equal(one.results[1].p_values, alone.results[0].p_values)
    fewer = sleepstudy.power("Days", **(options | {"n": 10}))
    np.testing.assert_array_equal(fewer.results[0].p_values, alone.results[0].p_values[:10])


def test_a_fresh_seed_is_named(sleepstudy):
    first = sleepstudy.power("Days", n=5, ddf="normal")
    again = sleepstudy.power("Days", n=5, ddf="normal", seed=first.seed)
    np.testing.assert_array_equal(first.results[0].p_values, again.results[0].p_values)


def test_progress_and_callback(sleepstudy, capsys):
    seen = []
    options = {"n": 40, "ddf": "satterthwaite", "seed": 1, "along": {"Subject": [6, 9]}}
    sleepstudy.power("Days", progress=True, callback=lambda *at: seen.append(at), **options)
    assert seen == [(32, 80), (40, 80), (72, 80), (80, 80)]
    assert "power 80/80  9 levels of Subject" in capsys.readouterr().err
    stopped = sleepstudy.power("Days", callback=lambda done, _: done >= 32, **options)
    assert stopped.to_frame()["n"].tolist() == [32]


def test_an_interrupt_goes_through(sleepstudy):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sleepstudy.power("Days", n=10, callback=interrupt)
