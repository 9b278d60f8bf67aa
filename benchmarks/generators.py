"""Simulated data sets of the benchmarks, each from its own fixed seed."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]

FACTORIAL_TERMS = (
    *("a", "ab", "c", "d", "e"),
    *("a:c", "a:d", "a:e", "ab:c", "ab:d", "ab:e", "c:d", "c:e", "d:e"),
    *("a:c:d", "a:c:e", "a:d:e", "c:d:e", "ab:c:d"),
)
"""Main effects, all interactions of two factors and five of three: the 19 random terms of `factorial`."""


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


def ratings(rows: int, levels: tuple[int, int], seed: int = 11) -> pd.DataFrame:
    """`y ~ 1 + (1 | u) + (1 | v)`: distinct pairs of users of log-normal activity and items of Zipf-like popularity.

    Every user and every item occurs. The item of rank r is drawn with weight 1 / (r + 0.02 items), about the margins of
    the MovieLens data, where the most popular item is rated by half of the users.
    """
    rng = np.random.default_rng(seed)
    users, items = levels
    activity = np.cumsum(rng.lognormal(sigma=1.0, size=users))
    popularity = np.cumsum(1.0 / (np.arange(items) + 0.02 * items))
    shuffled = rng.permutation(items)
    base = np.arange(users) * items + shuffled[_draw(rng, popularity, users)]
    base = np.unique(np.concatenate([base, rng.integers(users, size=items) * items + np.arange(items)]))
    pairs = base
    while len(pairs) < rows:
        count = 2 * (rows - len(pairs)) + 1000
        more = _draw(rng, activity, count) * items + shuffled[_draw(rng, popularity, count)]
        pairs = np.union1d(pairs, more)
    surplus = np.setdiff1d(pairs, base, assume_unique=True)
    pairs = rng.permutation(np.concatenate([base, rng.choice(surplus, rows - len(base), replace=False)]))
    u, v = pairs // items, pairs % items
    y = 3.5 + 0.42 * rng.normal(size=users)[u] + 0.5 * rng.normal(size=items)[v] + 0.9 * rng.normal(size=rows)
    return _table({"y": y}, {"u": u, "v": v})


def long_tailed(
    rows: int = 300_000, levels: tuple[int, int] = (20_000, 12_000), departments: int = 0, seed: int = 20
) -> pd.DataFrame:
    """`y ~ 1 + (1 | u) + (1 | v)`: ratings in which half of the items are seen once, by users of any activity.

    Activity is log-normal, so the items seen once belong to users who have seen much else. The other half of the items
    are drawn with weight 1 / (rank + 30). With `departments` there is a third factor `d`, drawn for each rating.
    """
    rng = np.random.default_rng(seed)
    users, items = levels
    once = items // 2
    activity = np.cumsum(rng.lognormal(sigma=1.5, size=users))
    popularity = np.cumsum(1.0 / (np.arange(items - once) + 30.0))
    v = np.concatenate([np.arange(items), _draw(rng, popularity, rows - items) + once])
    u = np.concatenate([_draw(rng, activity, rows - users), np.arange(users)])
    order = rng.permutation(rows)
    u, v = u[order], v[order]
    y = 3.5 + 0.42 * rng.normal(size=users)[u] + 0.5 * rng.normal(size=items)[v] + 0.9 * rng.normal(size=rows)
    codes = {"u": u, "v": v}
    if departments:
        codes["d"] = rng.integers(departments, size=rows)
        y += 0.3 * rng.normal(size=departments)[codes["d"]]
    return _table({"y": y}, codes)


def maximal(subjects: int = 56, items: int = 32, lost: int = 2, seed: int = 12) -> pd.DataFrame:
    """`y ~ a * b * c + (a * b * c | s) + (a * b * c | i)`: each subject sees each item once, in one of 2 x 2 x 2 cells.

    The covariance matrices of the eight effects have rank 3 (subjects) and 2 (items): the optimum is singular.
    """
    rng = np.random.default_rng(seed)
    s, i = (grid.ravel() for grid in np.meshgrid(np.arange(subjects), np.arange(items), indexing="ij"))
    cell = (s + i) % 8
    a, b, c = (1.0 - 2.0 * ((cell >> bit) & 1) for bit in range(3))
    Z = np.column_stack([np.ones(len(s)), a, b, c, a * b, a * c, b * c, a * b * c])
    of_subjects, of_items = rng.normal(size=(subjects, 3)), rng.normal(size=(items, 2))
    effects = 0.4 * (of_subjects @ rng.normal(size=(3, 8)))[s] + 0.3 * (of_items @ rng.normal(size=(2, 8)))[i]
    y = Z @ np.array([20.0, -0.6, 1.0, 0.5, 0.0, 0.2, 0.0, 0.0]) + np.sum(Z * effects, axis=1)
    y += rng.normal(size=len(y))
    kept = np.sort(rng.choice(len(y), len(y) - lost, replace=False))
    return _table({"y": y[kept], "a": a[kept], "b": b[kept], "c": c[kept]}, {"s": s[kept], "i": i[kept]})


def many_slopes(rows: int = 1_000_000, groups: int = 10_000, slopes: int = 9, seed: int = 13) -> pd.DataFrame:
    """`y ~ x1 + ... + x9 + (x1 + ... + x9 | g)`: ten correlated effects for each group."""
    rng = np.random.default_rng(seed)
    g = rng.integers(groups, size=rows)
    X = rng.normal(size=(rows, slopes + 1))
    X[:, 0] = 1.0
    root = 0.4 * np.eye(slopes + 1) + 0.05 * np.tril(rng.normal(size=(slopes + 1, slopes + 1)))
    effects = rng.normal(size=(groups, slopes + 1)) @ root.T
    y = X @ rng.normal(size=slopes + 1) + np.einsum("ij,ij->i", X, effects[g]) + rng.normal(size=rows)
    return _table({"y": y} | {f"x{k}": X[:, k] for k in range(1, slopes + 1)}, {"g": g})


def crossed_slopes(rows: int = 130_000, levels: tuple[int, int, int] = (4726, 172, 34), seed: int = 14) -> pd.DataFrame:
    """`y ~ u + (u | g) + (u | h) + (u | i)`: intercepts and slopes of three crossed factors, independent rows."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=rows)
    codes = {name: _covering(rng, size, rows) for name, size in zip("ghi", levels, strict=True)}
    y = 1.0 + 0.3 * u + rng.normal(size=rows)
    for (_, each), size, sd in zip(codes.items(), levels, (0.6, 0.4, 0.3), strict=True):
        effects = sd * rng.normal(size=(size, 2)) @ np.array([[1.0, 0.3], [0.0, 0.5]])
        y += effects[each, 0] + effects[each, 1] * u
    return _table({"y": y, "u": u}, codes)


def factorial(
    sizes: tuple[int, int, int, int, int] = (5, 10, 10, 8, 5), rows: int | None = None, seed: int = 15
) -> pd.DataFrame:
    """`y ~ 1` and the terms `FACTORIAL_TERMS`: cells of five factors, b nested in a (as `ab`).

    Balanced: one row for each cell. With `rows`: so many rows in cells drawn at random, levels of unequal frequency.
    The kind of design of MixedModels.jl's issue 591. Interactions are in the formula, not in the table.
    """
    rng = np.random.default_rng(seed)
    grids = [grid.ravel() for grid in np.meshgrid(*map(np.arange, sizes), indexing="ij")]
    if rows is not None:
        frequency = np.prod([rng.gamma(2.0, size=size)[grid] for size, grid in zip(sizes, grids, strict=True)], axis=0)
        drawn = _draw(rng, np.cumsum(frequency), rows)
        grids = [grid[drawn] for grid in grids]
    a, b, c, d, e = grids
    codes = {"a": a, "ab": a * sizes[1] + b, "c": c, "d": d, "e": e}
    y = 10.0 + rng.normal(size=len(a))
    for term in FACTORIAL_TERMS:
        joint = np.unique(np.column_stack([codes[name] for name in term.split(":")]), axis=0, return_inverse=True)[1]
        joint = joint.ravel()
        y += rng.uniform(0.2, 0.8) * rng.normal(size=int(joint.max()) + 1)[joint]
    return _table({"y": y}, codes)


def worker_firm(
    rows_per_worker: int = 5,
    workers: int = 200_000,
    firms: int = 20_000,
    market: int = 50,
    neighbours_only: bool = True,
    seed: int = 16,
) -> pd.DataFrame:
    """`y ~ x + (1 | worker) + (1 | firm)`: yearly wages of workers who have had up to three employers.

    A worker's years are spent in spells of two or less, each at a firm of the worker's local market of 50 firms; one
    spell in fifty is in a neighbouring market (the markets form a ring), or else in any. The factor of the first kind
    is nearly banded; moves to any market join all firms at random and fill much more of it.
    """
    rng = np.random.default_rng(seed)
    markets = firms // market
    spells = -(-rows_per_worker // 2)
    home = rng.integers(markets, size=workers)[:, None]
    moves = np.array([-1, 1]) if neighbours_only else np.arange(1, markets)
    away = np.where(rng.random((workers, spells)) < 0.02, rng.choice(moves, (workers, spells)), 0)
    employer = (home + away) % markets * market + rng.integers(market, size=(workers, spells))
    firm = np.repeat(employer, 2, axis=1)[:, :rows_per_worker].ravel()
    worker = np.repeat(np.arange(workers), rows_per_worker)
    x = np.tile(np.arange(rows_per_worker, dtype=float), workers) + 0.1 * rng.normal(size=len(firm))
    y = 10.0 + 0.02 * x + 0.4 * rng.normal(size=workers)[worker] + 0.2 * rng.normal(size=firms)[firm]
    y += 0.3 * rng.normal(size=len(firm))
    return _table({"y": y, "x": x}, {"worker": worker, "firm": firm})


def balanced_slopes(groups: int = 18, each: int = 10, seed: int = 17) -> tuple[Floats, Codes]:
    """X = [1, day] and the groups of a design of sleepstudy's size: (n, 2) and (n,)."""
    del seed  # nothing is random in it
    day = np.tile(np.arange(each, dtype=float), groups)
    return np.asfortranarray(np.column_stack([np.ones(len(day)), day])), np.repeat(np.arange(groups), each)


def responses(count: int = 1000, seed: int = 18) -> tuple[Floats, Codes, Floats]:
    """One design and `count` responses to it: X (n, 2), groups (n,), Y (n, count)."""
    rng = np.random.default_rng(seed)
    X, g = balanced_slopes()
    effects = rng.normal(size=(int(g.max()) + 1, count, 2)) @ np.array([[25.0, 0.4], [0.0, 6.0]])
    Y = X @ np.array([[251.0], [10.5]]) + effects[g, :, 0] + effects[g, :, 1] * X[:, 1:]
    Y += rng.normal(scale=25.6, size=Y.shape)
    return X, g, np.asfortranarray(Y)


def small_tables(
    count: int = 10_000, rows: int = 180, groups: int = 18, seed: int = 19
) -> Iterable[tuple[Floats, Floats, NDArray[np.int32]]]:
    """`count` data sets of `rows` rows, each with its own groups and predictor: (y, X, g) of each."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        g = rng.permutation(np.arange(rows) % groups).astype(np.int32)
        X = np.asfortranarray(np.column_stack([np.ones(rows), rng.normal(size=rows)]))
        effects = rng.normal(size=(groups, 2)) @ np.array([[0.8, 0.2], [0.0, 0.4]])
        yield X @ np.array([1.0, 0.5]) + np.sum(X * effects[g], axis=1) + rng.normal(size=rows), X, g


def factorial_formula() -> str:
    return "y ~ 1 + " + " + ".join(f"(1 | {term})" for term in FACTORIAL_TERMS)


def _draw(rng: np.random.Generator, cumulated: Floats, count: int) -> Codes:
    drawn: Codes = np.searchsorted(cumulated, rng.random(count) * cumulated[-1], side="right").astype(np.int64)
    return drawn.clip(max=len(cumulated) - 1)


def _covering(rng: np.random.Generator, levels: int, rows: int) -> Codes:
    """Random codes in which every level occurs."""
    return rng.permutation(np.concatenate([np.arange(levels), rng.integers(levels, size=rows - levels)]))


def _table(columns: Mapping[str, Floats], codes: Mapping[str, Codes]) -> pd.DataFrame:
    factors = {
        name: pd.Categorical.from_codes(each, dtype=pd.CategoricalDtype(pd.RangeIndex(int(each.max()) + 1)))
        for name, each in codes.items()
    }
    return pd.DataFrame({**columns, **factors})
