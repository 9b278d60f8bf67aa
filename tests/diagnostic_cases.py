"""Designs for residuals and diagnostics, with the n x n matrices that say what is right for them."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

import dense_inference
import henderson
from cases import BY_NAME

REFERENCE = Path(__file__).parent / "reference" / "diagnostics" / "diagnostics.json"
REFERENCES = ("sleepstudy", "sleepstudy_ml", "weighted", "penicillin", "pastes_nested", "ratpup_intercept")
ROWS = 60
CROSSED = {
    "crossed, vector-valued, weighted, offset": ("y ~ x + (x | g) + (1 | h)", {"weights": "w", "offset": "off"}),
    "chain with a crossed factor, ML": ("y ~ x + f + (x | g/s) + (1 | h)", {"reml": False}),
    "three crossed, two terms on one factor": ("y ~ x + (1 | g) + (0 + x | g) + (1 | h) + (1 | k)", {}),
    "aliased columns, no intercept": ("y ~ 0 + f + x + x2 + (1 | g)", {"weights": "w"}),
    "no fixed effects": ("y ~ 0 + (1 | g) + (1 | h)", {}),
    "missing values and a subset": ("y ~ poly(x, 2) + (1 | g)", {"subset": "k < 2", "weights": "w"}),
}
OWN = ("sleepstudy", "sleepstudy_ml", "weighted", "offset", "pastes_nested", "penicillin", "ratpup_slope", "cake")
NAMES = (*OWN, "ratpup_uncorrelated", "dyestuff2_singular", *CROSSED)


def table():
    """Rows with crossed and nested factors, weights, an offset, dependent columns and a few holes."""
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"x": rng.normal(size=ROWS), "g": rng.integers(0, 7, ROWS), "h": rng.integers(0, 5, ROWS)})
    data["s"], data["k"] = rng.integers(0, 2, ROWS), rng.integers(0, 3, ROWS)
    data["f"] = np.array(["a", "b", "c"])[rng.integers(0, 3, ROWS)]
    data["x2"], data["w"], data["off"] = 2 * data["x"], rng.uniform(0.3, 3.0, ROWS), rng.normal(size=ROWS)
    effects = rng.normal(size=(7, 2))
    data["y"] = data["off"] + effects[data["g"], 0] + (1 + effects[data["g"], 1]) * data["x"] + rng.normal(size=ROWS)
    data["y"] += rng.normal(size=5)[data["h"]] + 0.7 * rng.normal(size=(7, 2))[data["g"], data["s"]]
    data.loc[[3, 17], "x"] = np.nan
    return data.set_index(np.arange(ROWS) * 3 + 100)


@cache
def fitted(name):
    """The fit of a reference case or of one of the designs above."""
    if name in CROSSED:
        formula, options = CROSSED[name]
        return henderson.lmer(formula, table(), **options)
    case = BY_NAME[name]
    return henderson.lmer(case.formula, case.data(), **case.options())


@cache
def references():
    """What R says about residuals, by case."""
    return {case["name"]: case for case in json.loads(REFERENCE.read_text())["fits"]}


class Dense:
    """V = Cov(y) / sigma², P, and what makes residuals of responses (offset subtracted), at the theta of a fit."""

    def __init__(self, fit):
        self.y, self.X, _, self.variances = dense_inference.parts(fit)
        self.V = dense_inference.covariance(fit, fit.optimum.theta, 1.0)
        inverse = np.linalg.inv(self.V)
        information = self.X.T @ inverse @ self.X
        self.P = inverse - inverse @ self.X @ np.linalg.solve(information, self.X.T @ inverse)
        self.marginal = self.V @ self.P  # I - X (X'V⁻¹X)⁻¹ X'V⁻¹
        self.conditional = self.variances[:, None] * self.P
