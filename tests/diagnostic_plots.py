"""Fitted models for the tests of diagnostic plots, and what these look at."""

from functools import cache

import numpy as np
import pandas as pd

import henderson as hd


@cache
def sleepstudy() -> hd.LinearMixedModel:
    return hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())


@cache
def singular() -> hd.LinearMixedModel:
    return hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff2())


@cache
def awkward() -> hd.LinearMixedModel:
    """Weights, missing values, an aliased column, an index of text, names with underscores, dollars and blanks."""
    rng = np.random.default_rng(5)
    level = [f"Saint-Barthélemy School of Agriculture, No {i} ($)" for i in range(30)]
    table = pd.DataFrame(
        {"x": rng.normal(size=240), "_group": np.repeat(level, 8), "w": rng.uniform(0.5, 2, 240)},
        index=[f"pupil {i}" for i in range(240)],
    )
    effects = rng.normal(size=(30, 2)).repeat(8, axis=0)
    table["cost_in_$"] = 3 + effects[:, 0] + (1 + effects[:, 1]) * table["x"] + rng.normal(size=240)
    table["twice"] = 2 * table["x"]
    table.loc[["pupil 3", "pupil 77"], "x"] = np.nan
    return hd.lmer("`cost_in_$` ~ x + twice + (x | `_group`)", table, weights="w")


def draw(name, fit, *given, **options):
    """A plot by name, drawn by the backend, too, so that every artist is asked for what it shows."""
    result = getattr(hd.plots, name)(fit, *given, **options)
    np.ravel(result)[0].figure.draw_without_rendering()
    return result


def points(ax) -> np.ndarray:
    """The data of the first markers of a panel."""
    return next(line for line in ax.lines if line.get_marker() == "o").get_xydata()


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]
