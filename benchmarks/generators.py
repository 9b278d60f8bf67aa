"""Simulated data sets of the benchmarks, each from its own fixed seed."""

import numpy as np
import pandas as pd


def grouped_slopes(rows: int, groups: int, seed: int = 1) -> pd.DataFrame:
    """`y ~ x + (x | g)`: string-labelled groups of random sizes, correlated intercepts and slopes."""
    rng = np.random.default_rng(seed)
    g = rng.integers(groups, size=rows)
    x = rng.normal(size=rows)
    effects = rng.normal(size=(groups, 2)) @ np.array([[0.8, 0.2], [0.0, 0.4]])
    y = 1.0 + 0.5 * x + effects[g, 0] + effects[g, 1] * x + rng.normal(size=rows)
    labels = np.array([f"g{i:07d}" for i in range(groups)], dtype=object)
    return pd.DataFrame({"y": y, "x": x, "g": labels[g]})


def nested(rows: int = 50_000, sizes: tuple[int, int, int] = (50, 1000, 5000), seed: int = 2) -> pd.DataFrame:
    """`y ~ x + (1 | a) + (1 | b) + (1 | c)`: c within b within a, with labels that do not repeat."""
    rng = np.random.default_rng(seed)
    c = rng.integers(sizes[2], size=rows)
    b = rng.integers(sizes[1], size=sizes[2])[c]
    a = rng.integers(sizes[0], size=sizes[1])[b]
    x = rng.normal(size=rows)
    y = 2.0 + 0.3 * x + rng.normal(size=rows)
    for codes, size, sd in ((a, sizes[0], 1.0), (b, sizes[1], 0.7), (c, sizes[2], 0.5)):
        y += sd * rng.normal(size=size)[codes]
    return pd.DataFrame({"y": y, "x": x, "a": a, "b": b, "c": c}).astype(dict.fromkeys("abc", "category"))


def crossed(rows: int, levels: tuple[int, int], seed: int = 3) -> pd.DataFrame:
    """`y ~ 1 + (1 | u) + (1 | v)`: every row an independent draw of one level of each."""
    rng = np.random.default_rng(seed)
    u, v = (rng.integers(size, size=rows) for size in levels)
    y = 3.5 + 0.5 * rng.normal(size=levels[0])[u] + 0.4 * rng.normal(size=levels[1])[v] + rng.normal(size=rows)
    return pd.DataFrame({"y": y, "u": u, "v": v}).astype({"u": "category", "v": "category"})
