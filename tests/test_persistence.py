"""A fit survives its file: the same bits, the same words; and says so when it lacks its rows."""

import datetime
import decimal
import io
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from cases import BY_NAME, CASES
from persistence_cases import equal, fitted, round_trip, study

ANSWERS = {
    "summary": lambda fit, _: str(fit.summary()),
    "html": lambda fit, _: fit._repr_html_(),
    "anova of type 1": lambda fit, _: fit.anova(type=1),
    "anova of type 2": lambda fit, _: fit.anova(type=2),
    "anova of type 3": lambda fit, _: fit.anova(type=3),
    "confint": lambda fit, _: fit.confint(ddf="satterthwaite"),
    "ranef": lambda fit, _: fit.ranef_table()[["grpvar", "term", "grp", "condval"]],
    "varcorr": lambda fit, _: fit.varcorr,
    "variance parameters": lambda fit, _: fit.variance_parameters(),
    "icc": lambda fit, _: fit.icc(),
    "design effect": lambda fit, _: fit.design_effect(),
    "trace": lambda fit, _: fit.optimum.trace,
    "theta": lambda fit, _: fit.theta,
    "tidy": lambda fit, _: fit.tidy(),
    "glance": lambda fit, _: fit.glance(),
    "predict": lambda fit, new: fit.predict(new),
    "population": lambda fit, new: fit.predict(new, re=None),
    "simulate": lambda fit, new: fit.simulate(2, newdata=new, seed=1),
    "simulate conditionally": lambda fit, new: fit.simulate(2, newdata=new, seed=1, conditional=True),
    "json": lambda fit, _: fit.to_json(),
}
"""What a loaded fit answers to the last bit."""
BY_CROSS_PRODUCTS = {
    "conditional variances": lambda fit, _: fit.conditional_variances,
    "criterion": lambda fit, _: fit.criterion_at(np.asarray(fit.theta) + 0.1),
    "deviance": lambda fit, _: fit.deviance,
    "population interval": lambda fit, new: fit.predict(new, re=None, interval="confidence"),
    "prediction interval": lambda fit, new: fit.predict(new, interval="prediction"),
    "kenward-roger": lambda fit, _: fit.anova(ddf="kenward-roger"),
    "profile": lambda fit, _: fit.confint(method="profile", parameters="sigma"),
}
"""What is computed again of rows that stand for those of the fit."""
OF_ROWS = {
    "residuals": lambda fit: fit.resid,
    "fitted": lambda fit: fit.fitted,
    "index": lambda fit: fit.index,
    "leverage": lambda fit: fit.leverage,
    "random_leverages": lambda fit: fit.random_leverages,
    "influence": lambda fit: fit.influence(),
    "augment": lambda fit: fit.augment(),
    "refit": lambda fit: fit.refit(np.arange(fit.nobs) ** 2.0),
    "bootstrap": lambda fit: fit.bootstrap(2),
    "model_matrix": lambda fit: fit.model_matrix(),
    "Z": lambda fit: fit.Z,
    "predict": lambda fit: fit.predict(),
    "simulate": lambda fit: fit.simulate(),
    "vcov": lambda fit: fit.vcov(kind="CR2"),
    "ranova": lambda fit: fit.ranova(),
    "check": lambda fit: fit.check(),
    "quantile_residuals": lambda fit: fit.quantile_residuals(n=20),
    "marginaleffects": lambda fit: fit.to_marginaleffects(),
}
SMALL = [case for case in CASES if case.name not in ("insteval_interaction", "insteval_vector", "chem97")]


# ------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_a_fit_without_rows_answers_to_the_same_bits(case, tmp_path):
    fit = fitted(case.name)
    again = round_trip(fit, tmp_path)
    new = case.data().iloc[[0, 1, -1]]
    for name, answer in ANSWERS.items():
        if not (name.startswith("simulate") and case.name == "insteval"):
            equal(answer(again, new), answer(fit, new))
    assert (again.nobs, again.ngroups, again.formula) == (fit.nobs, fit.ngroups, fit.formula)
    assert again.optimum.certificate == fit.optimum.certificate or fit.is_singular is False


@pytest.mark.parametrize("name", ["sleepstudy", "weighted", "offset", "dyestuff2_singular", "pastes_nested", "cake"])
def test_cross_products_give_the_rest_without_rows(name, tmp_path):
    fit, new = fitted(name), BY_NAME[name].data().iloc[[0, 1, -1]]
    again = round_trip(fit, tmp_path)
    for answer in BY_CROSS_PRODUCTS.values():
        equal(answer(again, new), answer(fit, new), rtol=1e-6)


@pytest.mark.parametrize("name", ["sleepstudy", "weighted", "offset", "ratpup_slope", "pastes_nested"])
def test_a_fit_with_its_rows_does_everything(name, tmp_path):
    fit = fitted(name)
    again = round_trip(fit, tmp_path, rows=True)
    for answer in (lambda f: f.resid, lambda f: f.fitted, lambda f: f.augment(), lambda f: f.model_matrix()):
        equal(answer(again), answer(fit))
    equal(again.refit(fit.design.y[::-1]).fixef, fit.refit(fit.design.y[::-1]).fixef, rtol=1e-9)
    equal(again.bootstrap(3, seed=1).to_frame(), fit.bootstrap(3, seed=1).to_frame(), rtol=1e-7)
    equal(again.influence().to_frame(), fit.influence().to_frame(), rtol=1e-7)
    assert (again.Z != fit.Z).nnz == 0
    equal(again.vcov(kind="CR2"), fit.vcov(kind="CR2"), rtol=1e-9)


@pytest.mark.parametrize("rows", [False, True])
def test_a_loaded_fit_can_be_saved_again_and_pickled(tmp_path, rows):
    once = round_trip(fitted("ratpup_intercept"), tmp_path, rows=rows)
    first = (tmp_path / "fit.henderson").read_bytes()
    twice = round_trip(once, tmp_path, rows=rows)
    assert (tmp_path / "fit.henderson").read_bytes() == first
    unpickled = pickle.loads(pickle.dumps(twice))
    assert str(unpickled.summary()) == str(once.summary())
    equal(unpickled.conditional_variances, once.conditional_variances, rtol=1e-9)


def test_the_same_fit_makes_the_same_file(tmp_path):
    for name in ("one", "other"):
        hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy()).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_another_process_predicts_without_the_data(tmp_path):
    fit = fitted("pastes_nested")
    fit.save(tmp_path / "fit.henderson")
    code = (
        "import sys, henderson as hd; fit = hd.load(sys.argv[1]);"
        "new = {'batch': ['A', 'J'], 'cask': ['b', 'a']};"
        "print(fit.summary()); print(fit.predict(new, interval='prediction').to_csv())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "fit.henderson")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    new = pd.DataFrame({"batch": ["A", "J"], "cask": ["b", "a"]})
    assert shown.startswith(str(fit.summary()))
    table = pd.read_csv(io.StringIO(shown[shown.index(",estimate") :]), index_col=0)
    equal(table, fit.predict(new, interval="prediction"), rtol=1e-9)


# --------------------------------------------------------------------------------------------- levels, transformations


def groups_of(kind):
    """Six levels of a type, in an order of their own."""
    days = pd.date_range("2024-03-01", periods=6, freq="D")
    return {
        "text": ["b", "a", "ö", "d e", "0", ""],
        "int": [3, 1, -2, 10**12, 7, 8],
        "float": [0.1, 2.0, -3.5, 1e300, 5e-324, 7.25],
        "time": days,
        "zoned": days.tz_localize("Europe/Berlin"),
        "date": [datetime.date(2024, 1, day) for day in range(1, 7)],
        "duration": pd.to_timedelta(range(6), unit="h"),
        "interval": pd.interval_range(0, 6),
        "period": pd.period_range("2024-01", periods=6, freq="M"),
        "decimal": [decimal.Decimal(f"1.{k}0") for k in range(6)],
        "categories": pd.Categorical(["z", "y", "x", "w", "v", "u"], categories=list("zyxwvu"), ordered=True),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["text", "int", "float", "time", "zoned", "date", "duration", "interval", "period", "decimal", "categories"],
)
@pytest.mark.parametrize("rows", [False, True])
def test_levels_keep_their_types(kind, rows, tmp_path):
    rng = np.random.default_rng(1)
    code = np.repeat(np.arange(6), 5)
    group = pd.Series(groups_of(kind))
    table = pd.DataFrame({"g": group.iloc[code].reset_index(drop=True), "x": rng.normal(size=30)})
    table["y"] = table["x"] + rng.normal(size=6)[code] * 3 + rng.normal(size=30)
    fit = hd.lmer("y ~ x + (1 | g)", table)
    again = round_trip(fit, tmp_path, rows=rows)
    own, levels = fit.ranef["g"].index, again.ranef["g"].index
    assert own.equals(levels)
    assert own.dtype == levels.dtype
    assert [type(level) for level in own] == [type(level) for level in levels]
    new = table.iloc[::7]
    equal(again.predict(new, new_groups="error"), fit.predict(new, new_groups="error"))
    assert str(again.summary()) == str(fit.summary())


FORMULAS = {
    "scale": "y ~ scale(x) + center(z) + (scale(x) | g)",
    "poly": "y ~ poly(x, 2) + (1 | g)",
    "splines": "y ~ bs(x, df = 4) + cr(z, df = 3) + (1 | g)",
    "summaries": "y ~ I(x - mean(x)) + log(x + 2) + (1 | g)",
    "numpy": "y ~ np.exp(x) + (1 | g)",
    "factors": "y ~ a * b + (1 | g)",
    "no intercept": "y ~ 0 + a + x + (x || g)",
    "factor call": "y ~ C(a, contr.sum) + relevel(b, ref = 'v') + factor(k) + (1 | g:a)",
    "offset term": "y ~ x + offset(z) + (1 | g)",
    "dot": "y ~ . - k - g + (1 | g)",
    "transformed response": "log(y + 20) ~ x + (1 | g)",
    "booleans": "y ~ flag * x + (flag | g)",
    "aliased": "y ~ x + I(2 * x) + a + (1 | g)",
    "no fixed effects": "y ~ 0 + (1 | g)",
    "backquotes": "y ~ `my column` + (1 | g)",
}


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
@pytest.mark.parametrize("rows", [False, True])
def test_formulas_keep_their_meaning(formula, rows, tmp_path):
    fit = hd.lmer(formula, study(), contrasts={"a": "helmert"} if " a " in formula else None)
    again = round_trip(fit, tmp_path, rows=rows)
    new = study().iloc[[0, 40, 80, 119]].drop(columns="y")
    equal(again.predict(new), fit.predict(new))
    assert str(again.summary()) == str(fit.summary())
    if fit.design.x:
        for kind in (1, 2, 3):
            equal(again.anova(type=kind), fit.anova(type=kind))
    if rows:
        equal(again.resid, fit.resid)
        assert again.index.equals(fit.index)


@pytest.mark.parametrize("specs", ["a", "b", "a | b", "flag", "k", "1"])
@pytest.mark.parametrize("weights", ["equal", "proportional", "cells"])
def test_marginal_means_need_no_rows(specs, weights, tmp_path):
    fit = hd.lmer("y ~ a * b + flag + factor(k) + z + offset(x) + (1 | g)", study())
    again = round_trip(fit, tmp_path)
    equal(again.emmeans(specs, weights=weights), fit.emmeans(specs, weights=weights))
    equal(again.emmeans("a", at={"z": [-1, 1]}).pairs(), fit.emmeans("a", at={"z": [-1, 1]}).pairs())
    equal(again.emtrends("z", "b"), fit.emtrends("z", "b"))
    with pytest.raises(hd.DataError, match="without its rows"):
        again.emmeans("a", cov_reduce=np.median)


@pytest.mark.parametrize("library", ["polars", "pyarrow", "dict"])
@pytest.mark.parametrize("rows", [False, True])
def test_tables_of_other_libraries(library, rows, tmp_path):
    table = study().reset_index(drop=True).dropna()[["y", "x", "a", "g", "flag"]]
    if library == "polars":
        polars = pytest.importorskip("polars")
        given = polars.from_pandas(table).with_columns(polars.col("g").cast(polars.Categorical))
    elif library == "pyarrow":
        given = pytest.importorskip("pyarrow").Table.from_pandas(table, preserve_index=False)
    else:
        given = table.to_dict("list")
    fit = hd.lmer("y ~ x * a + flag + (x | g)", given)
    again = round_trip(fit, tmp_path, rows=rows)
    assert str(again.summary()) == str(fit.summary())
    equal(again.ranef, fit.ranef)
    equal(again.predict(table.tail(3)), fit.predict(table.tail(3)))
    if rows:
        equal(again.augment(), fit.augment())
        equal(again.refit(fit.design.y[::-1]).fixef, fit.refit(fit.design.y[::-1]).fixef)


def test_a_loaded_fit_with_rows_can_be_updated(tmp_path):
    fit = hd.lmer("y ~ x * a + (x | g)", study(), contrasts={"a": "sum"})
    again = round_trip(fit, tmp_path, rows=True)
    equal(again.update(". ~ . - x:a").fixef, fit.update(". ~ . - x:a").fixef)
    assert str(again.drop1()) == str(fit.drop1())
    assert str(again.check()) == str(fit.check())


@pytest.mark.parametrize("kind", ["named", "several levels", "dates", "range"])
def test_row_labels_come_back(kind, tmp_path):
    table = study()
    n = len(table)
    table.index = {
        "named": pd.Index(range(100, 100 + n), name="id"),
        "several levels": pd.MultiIndex.from_product([range(12), list("abcdefghij")], names=["g", None]),
        "dates": pd.date_range("2024-01-01", periods=n, freq="D"),
        "range": pd.RangeIndex(5, 5 + 2 * n, 2),
    }[kind]
    fit = hd.lmer("y ~ x + (1 | g)", table)
    again = round_trip(fit, tmp_path, rows=True)
    assert again.index.equals(fit.index)
    assert again.index.names == fit.index.names
    assert again.design.table_index.equals(fit.design.table_index)


# ------------------------------------------------------------------------------------------------------- without rows


@pytest.mark.parametrize("ask", OF_ROWS.values(), ids=OF_ROWS)
@pytest.mark.parametrize("name", ["ratpup_slope", "pastes_nested"])
def test_what_needs_rows_says_so(ask, name, tmp_path):
    again = round_trip(fitted(name), tmp_path)
    with pytest.raises(hd.DataError, match=r"loaded without its rows from '.*fit.henderson'.*rows=True"):
        ask(again)


def test_rows_that_are_gone_cannot_be_saved(tmp_path):
    again = round_trip(fitted("sleepstudy"), tmp_path)
    with pytest.raises(hd.DataError, match="rows=True needs the rows"):
        again.save(tmp_path / "more", rows=True)


def test_saved_fits_can_be_compared(tmp_path):
    data = BY_NAME["sleepstudy"].data()
    fits = {f: hd.lmer(f"Reaction ~ {f}", data) for f in ("1 + (1 | Subject)", "Days + (1 | Subject)")}
    fits["slopes"] = fitted("sleepstudy")
    loaded = [round_trip(fit, tmp_path) for fit in fits.values()]
    want = hd.anova(*fits.values()).to_frame()
    pd.testing.assert_frame_equal(hd.anova(*loaded).to_frame(), want, rtol=1e-6)
    pd.testing.assert_frame_equal(hd.anova(loaded[0], *list(fits.values())[1:]).to_frame(), want, rtol=1e-6)
    other = hd.lmer("Reaction ~ 1 + (1 | Subject)", data.assign(Reaction=data["Reaction"] + 1))
    with pytest.raises(hd.DataError, match="responses of 'm1' and 'm2' differ"):
        hd.anova(loaded[1], other)
