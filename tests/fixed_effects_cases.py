"""Models with lmerTest's tables of F tests: `reference/fixed_effects/fixed_effects.R` has the same cases by name."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import henderson
from henderson import datasets

REFERENCE = Path(__file__).parent / "reference" / "fixed_effects" / "fixed_effects.json"
METHODS = {"satterthwaite": "Satterthwaite", "kenward-roger": "Kenward-Roger"}


@dataclass(frozen=True)
class FixedCase:
    """A model by name: `lmer(formula, table(), contrasts=contrasts)`."""

    name: str
    table: str
    contrasts: dict[str, Any] = field(default_factory=dict)


CASES = (
    FixedCase("cake", "cake"),
    FixedCase("ratpup", "ratpup"),
    FixedCase("ratpup_covariate", "ratpup"),
    FixedCase("sleepstudy", "sleepstudy"),
    FixedCase("sleepstudy_short", "short"),
    FixedCase("three_way", "uneven"),
    FixedCase("three_way_sum", "uneven", {"half": "sum", "recipe": "sum", "temperature": "sum"}),
    FixedCase("two_way_helmert", "uneven", {"half": "helmert", "recipe": "helmert"}),
    FixedCase("ordered", "ordered"),
    FixedCase("empty_cells", "holes"),
    FixedCase("no_intercept", "uneven"),
    FixedCase("slopes", "uneven"),
    FixedCase("nested", "uneven"),
)


@cache
def table(name: str) -> pd.DataFrame:
    """A data set of the package, or the part of one that the R script makes. Do not modify."""
    if name in ("cake", "uneven", "holes", "ordered"):
        cake = datasets.load_cake().copy()
        cake["temperature"] = pd.Categorical(cake["temperature"].astype(str))
        cake["half"] = np.where(cake["replicate"].astype(str).astype(int) <= 7, "early", "late")
        row = np.arange(1, len(cake) + 1)
        uneven = cake[(row * 7 % 11 > 2) & (row * 5 % 13 != 0)]
        hole = (uneven["recipe"] == "B") & uneven["temperature"].isin(["185", "225"])
        ordered = uneven.assign(temperature=pd.Categorical(uneven["temperature"].astype(str), ordered=True))
        return {"cake": cake, "uneven": uneven, "holes": uneven[~hole], "ordered": ordered}[name]
    if name == "short":
        sleepstudy = datasets.load_sleepstudy()
        return sleepstudy[np.arange(1, len(sleepstudy) + 1) * 7 % 10 > 1]
    data = datasets.load(name).copy()
    for column in data.select_dtypes("category"):
        data[column] = data[column].astype(str)  # R sorts the levels of strings
    return data


@cache
def references() -> dict[str, Any]:
    """lmerTest's results by case."""
    found: dict[str, Any] = json.loads(REFERENCE.read_text())
    return found


@cache
def fitted(name: str) -> Any:
    """The fit of a case."""
    case = next(case for case in CASES if case.name == name)
    return henderson.lmer(references()[name]["formula"], table(case.table), contrasts=case.contrasts)
