"""MixedEffectsEncoder against category_encoders.GLMMEncoder and scikit-learn's TargetEncoder: time and accuracy.

    python benchmarks/encoders.py            both tables of docs/machine-learning.md
    python benchmarks/encoders.py --times    the times alone

Needs category_encoders and scikit-learn. All encoders run in one process, one after the other, on the same data.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from category_encoders import GLMMEncoder
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from henderson.learn import MixedEffectsEncoder

DATA = Path(__file__).parents[1] / "tests" / "data"
ROWS, LEVELS = 100_000, 10_000


# --------------------------------------------------------------------------------------------------------------- times


def many_levels(kind: str) -> tuple[pd.DataFrame, np.ndarray]:
    """10^5 rows of a column with 10^4 levels: as integers or as text."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, LEVELS, ROWS)
    y = 0.5 * rng.normal(size=LEVELS)[codes] + rng.normal(size=ROWS)
    labels = codes if kind == "integers" else np.char.add("level ", codes.astype(str))
    return pd.DataFrame({"g": labels}), y


def least_time(work: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def time_table() -> list[str]:
    lines = ["| labels | work | `GLMMEncoder` | `TargetEncoder` | `MixedEffectsEncoder` | ratio to `GLMMEncoder` |"]
    lines.append("|---|---|---:|---:|---:|---:|")
    for kind in ("integers", "text"):
        X, y = many_levels(kind)
        target = TargetEncoder(target_type="continuous")
        works = {
            "`fit`, `transform`": lambda encoder, X=X, y=y: encoder.fit(X, y).transform(X),
            "`fit_transform`, 5 folds": lambda encoder, X=X, y=y: encoder.fit_transform(X, y),
        }
        glmm = least_time(partial(works["`fit`, `transform`"], GLMMEncoder(cols=["g"])), 3)
        for name, work in works.items():
            own = least_time(partial(work, MixedEffectsEncoder(cols=["g"], random_state=0)), 10)
            other = least_time(partial(work, target), 10)
            shown = f"{glmm:.2f} s" if "folds" not in name else "no folds"
            ratio = f"{glmm / own:.0f} x"
            lines.append(f"| {kind} | {name} | {shown} | {1e3 * other:.0f} ms | {1e3 * own:.0f} ms | {ratio} |")
    return lines


# ------------------------------------------------------------------------------------------------------------ accuracy


def lecturers() -> tuple[pd.DataFrame, np.ndarray]:
    """Ratings of lecturers by students: 2972 students, 1128 lecturers."""
    table = pd.read_csv(DATA / "InstEval.csv.gz")
    return table[["s", "d"]].astype(str), table["y"].to_numpy(float)


def schools() -> tuple[pd.DataFrame, np.ndarray]:
    """A-level chemistry scores: 2410 schools in 131 authorities, and each pupil's earlier marks."""
    table = pd.read_csv(DATA / "Chem97.csv.gz")
    X = table[["lea", "school"]].astype(str).assign(gcse=table["gcsecnt"], age=table["age"])
    return X, table["score"].to_numpy(float)


def simulated() -> tuple[pd.DataFrame, np.ndarray]:
    """10 000 rows; two crossed columns of 2000 and 200 levels, most of them rare."""
    rng = np.random.default_rng(1)
    n = 10_000
    a, b = (np.minimum(rng.pareto(0.7, n) * scale, levels - 1).astype(int) for scale, levels in ((30, 2000), (6, 200)))
    y = rng.normal(size=2000)[a] + 0.5 * rng.normal(size=200)[b] + 1.5 * rng.normal(size=n)
    return pd.DataFrame({"a": a, "b": b}).astype(str), y


DATASETS = {"InstEval": lecturers, "Chem97": schools, "simulated": simulated}
MODELS = {
    "linear": LinearRegression(),
    "trees": HistGradientBoostingRegressor(max_iter=50, random_state=0),
}


def encoders(columns: list[str]) -> dict[str, Any]:
    own = {"cols": columns, "random_state": 0}
    return {
        "`TargetEncoder(smooth=0)`": OnlyColumns(columns, smooth=0.0),
        "`TargetEncoder()`": OnlyColumns(columns),
        "`GLMMEncoder()`": GLMMEncoder(cols=columns),
        "`MixedEffectsEncoder(cv=None)`": MixedEffectsEncoder(cv=None, **own),
        "`MixedEffectsEncoder()`": MixedEffectsEncoder(**own),
        "`MixedEffectsEncoder(crossed=True)`": MixedEffectsEncoder(crossed=True, **own),
    }


class OnlyColumns(TargetEncoder):
    """TargetEncoder of some columns, the others behind them as they are."""

    def __init__(self, columns: list[str], smooth: Any = "auto") -> None:
        super().__init__(target_type="continuous", smooth=smooth)
        self.columns = columns

    def fit(self, X: pd.DataFrame, y: Any) -> OnlyColumns:
        super().fit(X[self.columns], y)
        return self

    def fit_transform(self, X: pd.DataFrame, y: Any) -> np.ndarray:
        return np.column_stack([super().fit_transform(X[self.columns], y), X.drop(columns=self.columns)])

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        return np.column_stack([super().transform(X[self.columns]), X.drop(columns=self.columns)])


def accuracy_table() -> list[str]:
    """Mean R² of held-out rows over five folds."""
    names = list(encoders([]))
    rows = {name: [f"| {name} |"] for name in names}
    for load in DATASETS.values():
        X, y = load()
        columns = [name for name in X if not pd.api.types.is_numeric_dtype(X[name])]
        for name, own in zip(names, scores_of(X, y, columns), strict=True):
            rows[name] += [f" {own[model]:.3f} |" for model in MODELS]
    header = "| encoder | " + " | ".join(f"{data}, {model}" for data in DATASETS for model in MODELS) + " |"
    rule = "|---|" + "---:|" * (len(DATASETS) * len(MODELS))
    return [header, rule, *("".join(cells) for cells in rows.values())]


def scores_of(X: pd.DataFrame, y: np.ndarray, columns: list[str]) -> Iterator[dict[str, float]]:
    """R² by model, for each encoder."""
    for encoder in encoders(columns).values():
        found: dict[str, list[float]] = {name: [] for name in MODELS}
        for train, test in KFold(5, shuffle=True, random_state=0).split(X):
            encoded = encoder.fit_transform(X.iloc[train], y[train])
            new = encoder.transform(X.iloc[test])
            for name, model in MODELS.items():
                found[name].append(model.fit(np.asarray(encoded), y[train]).score(np.asarray(new), y[test]))
        yield {name: float(np.mean(own)) for name, own in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", action="store_true", help="only the times")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # GLMMEncoder's fits do not always converge
    tables = [time_table()] if arguments.times else [time_table(), accuracy_table()]
    print("\n\n".join("\n".join(lines) for lines in tables))


if __name__ == "__main__":
    main()
