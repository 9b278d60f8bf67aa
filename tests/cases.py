"""The reference cases, declared once: data, formula, options. Shared by the tests and the benchmarks.

The same list made the JSON files in `reference/lme4` (lme4 1.1 with a tight optimiser, three restarts). There,
strings became factors with sorted levels and `factors` names the numeric columns that became factors too.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
BUNDLED = {"Dyestuff": "dyestuff", "Dyestuff2": "dyestuff2", "Penicillin": "penicillin", "Pastes": "pastes"} | {
    "cake": "cake",
    "RatPupWeight": "ratpup",
}


@dataclass(frozen=True)
class Case:
    """One model: `lmer(formula, data(), reml=reml, weights=weights, offset=offset)`."""

    name: str
    table: str
    formula: str
    reml: bool = True
    factors: tuple[str, ...] = ()
    weights: str | None = None
    offset: str | None = None

    def data(self) -> pd.DataFrame:
        return read_table(self.table, self.factors)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `lmer` other than formula and data."""
        given = {"reml": self.reml, "weights": self.weights, "offset": self.offset}
        return {name: value for name, value in given.items() if value is not None}

    def reference(self) -> dict[str, Any]:
        """lme4's results."""
        return read_reference(self.name)


@cache
def read_table(name: str, factors: tuple[str, ...] = ()) -> pd.DataFrame:
    """A data set as R's read.csv gives it, the columns `factors` as categoricals. Do not modify."""
    if name in BUNDLED:
        import henderson.datasets

        path = Path(henderson.datasets.__file__).parent / f"{BUNDLED[name]}.csv"
    else:
        path = next(path for path in (HERE / "data").iterdir() if path.name.split(".")[0] == name)
    table = pd.read_csv(path)
    for column in factors:
        table[column] = table[column].astype("category")
    return table


@cache
def read_reference(name: str) -> dict[str, Any]:
    reference = json.loads((HERE / "reference" / "lme4" / f"{name}.json").read_text())
    return reference | {"theta": np.atleast_1d(np.asarray(reference["theta"], dtype=float))}


RATPUP = "weight ~ Lsize + Treatment + sex + "
INSTEVAL_FACTORS = ("s", "d", "dept", "service")

CASES = (
    Case("sleepstudy", "sleepstudy", "Reaction ~ Days + (Days | Subject)", factors=("Subject",)),
    Case("sleepstudy_ml", "sleepstudy", "Reaction ~ Days + (Days | Subject)", reml=False, factors=("Subject",)),
    Case("sleepstudy_uncorrelated", "sleepstudy", "Reaction ~ Days + (Days || Subject)", factors=("Subject",)),
    Case("sleepstudy_intercept", "sleepstudy", "Reaction ~ Days + (1 | Subject)", factors=("Subject",)),
    Case("dyestuff", "Dyestuff", "Yield ~ 1 + (1 | Batch)"),
    Case("dyestuff_ml", "Dyestuff", "Yield ~ 1 + (1 | Batch)", reml=False),
    Case("dyestuff2_singular", "Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
    Case("penicillin", "Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    Case("pastes_nested", "Pastes", "strength ~ 1 + (1 | batch/cask)"),
    Case("pastes_explicit", "Pastes", "strength ~ 1 + (1 | sample) + (1 | batch)"),
    Case("cake", "cake", "angle ~ recipe * temp + (1 | recipe:replicate)", factors=("replicate",)),
    Case("ratpup_intercept", "RatPupWeight", RATPUP + "(1 | Litter)", factors=("Litter",)),
    Case("ratpup_slope", "RatPupWeight", RATPUP + "(sex | Litter)", factors=("Litter",)),
    Case("ratpup_uncorrelated", "RatPupWeight", RATPUP + "(1 | Litter) + (1 | Litter:sex)", factors=("Litter",)),
    Case("insteval", "InstEval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)", factors=INSTEVAL_FACTORS),
    Case("insteval_interaction", "InstEval", "y ~ service * dept + (1 | s) + (1 | d)", factors=INSTEVAL_FACTORS),
    Case(
        "insteval_vector",
        "InstEval",
        "y ~ 1 + service + (1 | s) + (1 + service | d) + (1 + service | dept)",
        factors=INSTEVAL_FACTORS,
    ),
    Case("chem97", "Chem97", "score ~ gcsecnt + (1 | school) + (1 | lea)", factors=("school", "lea")),
    Case("weighted", "sleepstudy", "Reaction ~ Days + (Days | Subject)", factors=("Subject",), weights="w"),
    Case("offset", "sleepstudy", "Reaction ~ Days + (1 | Subject)", factors=("Subject",), offset="off"),
)

BY_NAME = {case.name: case for case in CASES}
LARGE = frozenset({"insteval", "insteval_interaction", "insteval_vector", "chem97"})
