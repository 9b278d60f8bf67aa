"""Small experiments of which many have a singular optimum."""

import numpy as np

from henderson import RandomTerm

KINDS = ("slope", "crossed", "three effects", "slope and crossed", "nested", "fewer levels than effects")


def singular_experiment(kind, seed):
    """Response, X, terms: effects of rank one or none, few levels, few rows in each."""
    rng = np.random.default_rng(seed)
    m = int(rng.integers(4, 14))
    n = m * int(rng.integers(3, 8))
    g = np.arange(n) % (3 if kind == "fewer levels than effects" else m)
    h = rng.integers(0, rng.integers(3, 8), n)
    columns = np.column_stack([np.ones(n), rng.normal(size=n) + rng.choice([0, 3]), rng.normal(size=n)])
    size = {"slope": 2, "slope and crossed": 2, "three effects": 3, "fewer levels than effects": 3}.get(kind, 1)
    effects = rng.choice([0.0, 0.2, 0.5, 1.0, 2.0]) * np.outer(rng.normal(size=m), rng.normal(size=size))
    y = (effects[g] * columns[:, :size]).sum(axis=1) + rng.normal(size=n)
    terms = [RandomTerm(g, columns[:, :size])]
    if kind in ("crossed", "slope and crossed"):
        y += rng.choice([0, 0.5]) * rng.normal(size=8)[h]
        terms.append(RandomTerm(h))
    elif kind == "nested":
        cask = np.unique(3 * g + rng.integers(0, 3, n), return_inverse=True)[1]
        y += rng.choice([0, 0.5]) * rng.normal(size=n)[cask]
        terms.append(RandomTerm(cask))
    return y, columns[:, : max(size, 2) if kind != "fewer levels than effects" else 1], terms
