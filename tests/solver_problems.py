"""Models that every solver is tried on."""

from functools import cache

import numpy as np
import pandas as pd


@cache
def simulated():
    """Two crossed factors, a slope, weights, an offset."""
    rng = np.random.default_rng(3)
    n = 400
    g, h, x = rng.integers(0, 30, n), rng.integers(0, 18, n), rng.normal(size=n)
    effects = rng.normal(size=(30, 2)) @ np.array([[1.2, 0.5], [0.0, 0.8]])
    y = 1 + 0.5 * x + effects[g, 0] + effects[g, 1] * x + 0.7 * rng.normal(size=18)[h] + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "g": g, "h": h, "w": rng.uniform(0.3, 3, n), "o": rng.normal(size=n)})


PROBLEMS = {
    "vector-valued": ("Reaction ~ Days + (Days | Subject)", "sleepstudy", {"start": [0.3, 0.0, 1.0]}),
    "crossed": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", {"start": [0.4, 0.4]}),
    "nested": ("strength ~ 1 + (1 | batch/cask)", "Pastes", {"start": [1.0, 1.0]}),
    "several terms": ("Reaction ~ Days + (Days || Subject)", "sleepstudy", {"start": [3.0, 1.0]}),
    "weighted": ("y ~ x + (x | g) + (1 | h)", None, {"weights": "w", "offset": "o"}),
    "no fixed effects": ("y ~ 0 + (0 + x | g)", None, {"start": [4.0]}),
    "aliased": ("y ~ x + I(2 * x) + (1 | g)", None, {"start": [0.1]}),
}
