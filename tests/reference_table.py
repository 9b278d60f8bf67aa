"""The table and the model matrices that R wrote to reference/model_matrix.json."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from henderson.design import build_design

REFERENCE = json.loads((Path(__file__).parent / "reference" / "model_matrix.json").read_text(encoding="utf-8"))


def reference_table():
    """The table R used, where `o` is ordered, with a response and a grouping factor."""
    data = pd.DataFrame(REFERENCE["table"])
    rng = np.random.default_rng(1)
    data["o"] = pd.Categorical(data["o"], ["lo", "mid", "hi", "top"], ordered=True)
    data["y"] = rng.normal(size=len(data))
    data["g"] = rng.integers(0, 5, len(data))
    return data


DATA = reference_table()
N = len(DATA)


def design(fixed="1", random="(1 | g)", data=DATA, **options):
    return build_design(f"y ~ {fixed} + {random}", data, **options)


def span(matrix):
    """Projection onto the column space."""
    if matrix.shape[1] == 0:
        return np.zeros((len(matrix), len(matrix)))
    u, s, _ = np.linalg.svd(matrix, full_matrices=False)
    u = u[:, s > 1e-9 * s[0]]
    return u @ u.T
