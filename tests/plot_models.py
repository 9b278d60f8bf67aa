"""Fitted models for the tests of plots, and what these look at."""

from functools import cache

import numpy as np
import pandas as pd

import henderson as hd
from cases import BY_NAME


@cache
def fitted(name):
    """A reference case."""
    case = BY_NAME[name]
    return hd.lmer(case.formula, case.data(), **case.options())


@cache
def sleep_profile():
    return fitted("sleepstudy_intercept").profile()


@cache
def replicates():
    return fitted("sleepstudy_intercept").bootstrap(200, 1)


@cache
def many(levels=300):
    """More levels than have room for their names, some of them with a single row; a numeric and a factor predictor."""
    rng = np.random.default_rng(2)
    g = np.concatenate([np.arange(levels), rng.integers(0, levels, 4 * levels)])
    x = rng.normal(size=len(g))
    effects = rng.normal(size=(levels, 2)) * [1.0, 0.5]
    y = 2 + x + effects[g, 0] + effects[g, 1] * x + rng.normal(size=len(g))
    data = pd.DataFrame({"y": y, "x": x, "g": g, "f": np.array(["lo", "hi"])[g % 2]})
    return hd.lmer("y ~ x * f + (x | g)", data)


def label_texts(labels):
    return [label.get_text() for label in labels]


def horizontal_ends(collection):
    """Where horizontal segments begin and end, shape (segments, 2)."""
    return np.array([segment[:, 0] for segment in collection.get_segments()])


def vertical_ends(collection):
    """Where vertical segments begin and end, shape (segments, 2)."""
    return np.array([segment[:, 1] for segment in collection.get_segments()])
