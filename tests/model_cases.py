"""Reference results about several models, or parts of one, by lme4, lmerTest and performance (`reference/models`)."""

import json
from functools import cache
from pathlib import Path

import pandas as pd

import henderson as hd
from cases import read_table

PATH = Path(__file__).parent / "reference" / "models" / "models.json"
FACTORS = {"sleepstudy": ("Subject",), "cake": ("replicate", "temperature"), "ratpup": ("Litter",)}
TABLES = {"cake": "cake", "ratpup": "RatPupWeight", "sleepstudy": "sleepstudy", "pastes": "Pastes"} | {
    "penicillin": "Penicillin",
    "dyestuff2": "Dyestuff2",
}


def table(name: str) -> pd.DataFrame:
    """The data as the R script has them."""
    if name == "ratpup_holes":
        ratpup = table("ratpup")
        return ratpup[~((ratpup["Treatment"] == "High") & (ratpup["sex"] == "Male"))]
    data = read_table(TABLES[name], FACTORS.get(name, ()))
    return data.assign(x=[0.3, -1.2, 0.8, 2.1, -0.5] * 6) if name == "dyestuff2" else data


@cache
def references(kind: str) -> list[dict]:
    """The cases of "comparisons", "deletions", "eliminations" or "shares", each with R's result."""
    return json.loads(PATH.read_text())[kind]


def options(case: dict) -> dict:
    """Keyword arguments of `lmer`."""
    given = {name: case[name] for name in ("reml", "weights") if name in case}
    contrasts = {name: kind.removeprefix("contr.") for name, kind in case.get("contrasts", {}).items()}
    return given | ({"contrasts": contrasts} if contrasts else {})


@cache
def _fitted(data: str, formula: str, keywords: str) -> hd.LinearMixedModel:
    return hd.lmer(formula, table(data), **json.loads(keywords))


def fitted(case: dict, formula: str | None = None) -> hd.LinearMixedModel:
    """Our fit of a case; fitted once."""
    return _fitted(case["data"], formula or case["formula"], json.dumps(options(case)))


def name(case: dict) -> str:
    """What the tests are called."""
    rest = [str(case[key]) for key in ("formula", "weights", "contrasts", "reml", "refit", "keep") if key in case]
    return " ".join([case["data"], *rest])


def column(result: dict, label: str) -> list[float]:
    """A column of a table of R, with NaN for missing values."""
    values = result[label] if isinstance(result[label], list) else [result[label]]
    return [float("nan") if value in (None, "NA") else value for value in values]
