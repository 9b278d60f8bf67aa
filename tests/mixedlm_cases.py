"""Models for `mixedlm` and for statsmodels itself, which the tests compare; statsmodels has to be installed."""

import warnings
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import henderson as hd

statsmodels = pytest.importorskip("statsmodels")
WHEEL = Path(statsmodels.__file__).parent
SLEEPSTUDY = ("Reaction ~ Days", {"groups": "Subject", "re_formula": "~ Days"})


@dataclass(frozen=True, eq=False)
class Case:
    """``mixedlm(formula, table(), **options)``; statsmodels does not always reach the optimum."""

    table: str
    formula: str
    options: dict[str, Any]
    reml: bool = True
    found_by_statsmodels: bool = True
    method: Any = None
    data: pd.DataFrame = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "data", table(self.table))


@cache
def table(name: str) -> pd.DataFrame:
    """Data of statsmodels' own tests, of its datasets, or of this package. Do not modify."""
    own = WHEEL / "regression" / "tests" / "results" / f"{name}.csv"
    if own.exists():
        return pd.read_csv(own).assign(one=1)
    shipped = WHEEL / "datasets" / name / f"{name}.csv"
    if shipped.exists():
        return pd.read_csv(shipped)
    return getattr(hd.datasets, f"load_{name}")().assign(one=1)


def fit(case, **options):
    return hd.mixedlm(case.formula, case.data, reml=case.reml, **case.options, **options)


def quietly(function, *arguments, **options):
    """Call statsmodels: it warns about boundaries, gradients and its own arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def their_model(formula, data, **options):
    from statsmodels.formula.api import mixedlm

    return quietly(mixedlm, formula, data, **options)


@cache
def theirs(name):
    case = CASES[name]
    return quietly(their_model(case.formula, case.data, **case.options).fit, reml=case.reml, method=case.method)


CASES = {
    "dietox": Case("dietox", "Weight ~ Time", {"groups": "Pig"}),
    "dietox_ml": Case("dietox", "Weight ~ Time", {"groups": "Pig"}, reml=False),
    "dietox_slopes": Case(
        "dietox", "Weight ~ Time", {"groups": "Pig", "re_formula": "1 + Time"}, found_by_statsmodels=False
    ),
    "dietox_slopes_cg": Case("dietox", "Weight ~ Time", {"groups": "Pig", "re_formula": "1 + Time"}, method="cg"),
    "dietox_litters": Case(
        "dietox",
        "Weight ~ Time + C(Cu, Treatment(2))",
        {"groups": "Litter", "re_formula": "1", "vc_formula": {"pig": "0 + C(Pig)"}},
    ),
    "pastes": Case(
        "pastes", "strength ~ 1", {"groups": "batch", "re_formula": "1", "vc_formula": {"cask": "0 + cask"}}
    ),
    "pastes_ml": Case(
        "pastes",
        "strength ~ 1",
        {"groups": "batch", "re_formula": "1", "vc_formula": {"cask": "0 + cask"}},
        reml=False,
    ),
    "lme_slopes": Case(
        "lme11",
        "endog ~ exog_fe_0 + exog_fe_1 + exog_fe_2 - 1",
        {"groups": "groups", "re_formula": "0 + exog_re_0 + exog_re_1"},
    ),
    "lme_slopes_ml": Case(
        "lme09",
        "endog ~ 0 + exog_fe_0 + exog_fe_1",
        {"groups": "groups", "re_formula": "0 + exog_re_0 + exog_re_1"},
        reml=False,
    ),
    "sleepstudy": Case("sleepstudy", *SLEEPSTUDY),
    "sleepstudy_independent": Case(
        "sleepstudy", "Reaction ~ Days", {"groups": "Subject", "vc_formula": {"1": "1", "slope": "0 + Days"}}
    ),
    "sleepstudy_without_intercept": Case(
        "sleepstudy", "Reaction ~ bs(Days, df=4)", {"groups": "Subject", "re_formula": "Days - 1"}
    ),
    "penicillin_crossed": Case(
        "penicillin",
        "diameter ~ 1",
        {"groups": "one", "vc_formula": {"plate": "0 + C(plate)", "sample": "0 + C(sample)"}},
    ),
    "cake_nested": Case(
        "cake", "angle ~ recipe * C(temp)", {"groups": "recipe", "vc_formula": {"replicate": "0 + C(replicate)"}}
    ),
    "pastes_in_one_group_ml": Case(
        "pastes",
        "strength ~ 1",
        {"groups": "one", "vc_formula": {"b": "0 + C(batch):C(cask)", "a": "0 + C(batch)"}},
        reml=False,
    ),
    "grunfeld": Case(
        "grunfeld", "invest ~ value + capital", {"groups": "firm", "vc_formula": {"value": "0 + value", "a": "1"}}
    ),
    "grunfeld_ml": Case(
        "grunfeld",
        "invest ~ value + capital",
        {"groups": "firm", "vc_formula": {"value": "0 + value", "a": "1"}},
        reml=False,
        found_by_statsmodels=False,
    ),
    "ratpup": Case("ratpup", "weight ~ Lsize + sex + Treatment", {"groups": "Litter"}),
}


def wide_table():
    rng = np.random.default_rng(3)
    n = 120
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "my z": rng.uniform(1, 2, size=n),
            "f": rng.choice(["low", "mid", "high"], size=n),
            "k": rng.integers(1, 5, size=n),
            "flag": rng.random(n) < 0.5,
            "o": pd.Categorical(rng.choice(["s", "m", "l"], size=n), ["s", "m", "l"], ordered=True),
            "g": np.repeat(np.arange(20), 6),
        }
    )
