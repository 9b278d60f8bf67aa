"""Times what people do with a fit: predictions, rows added, files, draws, power, gradients.

    python benchmarks/after_the_fit.py [--repeat 5]

Prints the least of the repetitions, in milliseconds; what is computed once for a fit is timed once, as "first". The
pages of the documentation quote these.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

import henderson as hd
from henderson.streaming.rows import read_rows

ROOT = Path(__file__).parents[1]
MILLION = 1_000_000


def least(task: Callable[[], object], repeat: int) -> float:
    """Milliseconds of the fastest of several calls."""
    times = []
    for _ in range(repeat):
        begun = time.perf_counter()
        task()
        times.append(time.perf_counter() - begun)
    return 1000 * min(times)


def show(what: str, milliseconds: float) -> None:
    print(f"{what:80s} {milliseconds:10.3f} ms", flush=True)


def slopes(rows: int, groups: int, seed: int = 1) -> pd.DataFrame:
    """Rows of groups with an intercept and a slope of their own."""
    rng = np.random.default_rng(seed)
    g, x = rng.integers(0, groups, rows), rng.normal(size=rows)
    effects = rng.normal(size=(2, groups))
    return pd.DataFrame({"y": effects[0, g] + x * (1 + effects[1, g]) + rng.normal(size=rows), "x": x, "g": g})


def time_predictions(repeat: int) -> None:
    sleepstudy = hd.datasets.load_sleepstudy()
    intervals(hd.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy), sleepstudy)  # imports scipy
    table = pd.read_csv(ROOT / "tests" / "data" / "InstEval.csv.gz")
    for name in ("s", "d", "dept", "service"):
        table[name] = table[name].astype("category")
    fit = hd.lmer("y ~ service + (1 | s) + (1 | d) + (1 | dept)", table)
    ten = table.head(10)
    show("InstEval: information of the variance parameters, first", least(lambda: fit.information, 1))
    show("InstEval: 10 rows with standard errors and df, first after that", least(lambda: intervals(fit, ten), 1))
    show("InstEval: 10 rows with standard errors and df", least(lambda: intervals(fit, ten), repeat))
    show(
        "InstEval: the rows of the fit with prediction intervals", least(lambda: fit.predict(interval="prediction"), 1)
    )
    many = table.iloc[np.resize(np.arange(len(table)), MILLION)].reset_index(drop=True)
    texts = many.assign(s=many["s"].astype(str), d=many["d"].astype(str))
    show("InstEval: 10^6 new rows with prediction intervals", least(lambda: intervals(fit, many), 1))
    show("InstEval: 10^6 new rows, means only", least(lambda: fit.predict(many), repeat))
    as_text = hd.lmer(fit.formula, table.assign(s=table["s"].astype(str), d=table["d"].astype(str)))
    show("InstEval: 10^6 new rows, means only, levels of text", least(lambda: as_text.predict(texts), repeat))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit.henderson"
        show("InstEval: save", least(lambda: fit.save(path), repeat))
        show("InstEval: load", least(lambda: hd.load(path), repeat))


def intervals(fit: hd.LinearMixedModel, table: pd.DataFrame) -> object:
    return fit.predict(table, interval="prediction")


def time_streaming(repeat: int) -> None:
    table, rows = slopes(MILLION, 1000), slopes(100, 1000, seed=2)
    time_updates("numbers", "y ~ x + (x | g)", table, rows, repeat)
    named = [
        data.assign(g="group " + data["g"].astype(str), f=np.where(data["x"] > 0, "a", "b")) for data in (table, rows)
    ]
    time_updates("text and a factor", "y ~ x + f + (x | g)", *named, repeat)
    second = [data.assign(h=np.arange(len(data)) % 50) for data in (table, rows)]
    time_updates("crossed with 50 levels", "y ~ x + (x | g) + (1 | h)", *second, repeat)
    fit = hd.lmer("y ~ x + (x | g)", table)
    show("10^6 rows in 1000 groups: simulate(10)", least(lambda: fit.simulate(10, seed=1), repeat))
    full, (y, x), term = arrays(table), arrays(rows)[:2], arrays(rows)[2]
    known = hd.fit_arrays(*full[:2], terms=full[2])
    show("the same from arrays: fit", least(lambda: hd.fit_arrays(*full[:2], terms=full[2]), repeat))
    show("the same from arrays: update", least(lambda: known.update(y, x, terms=term), 40 * repeat))


def time_updates(what: str, formula: str, table: pd.DataFrame, rows: pd.DataFrame, repeat: int) -> None:
    """A fit to 10^6 rows and 100 more; a chain of updates; rows of new groups; and what reading rows takes of it."""
    fit, grown = hd.lmer(formula, table), pd.concat([table, rows], ignore_index=True)
    labels = rows["g"].to_list()
    new = [f"{label}0000" if isinstance(label, str) else label + 10_000 for label in labels[:5]]
    unseen = rows.assign(g=[*new, *labels[5:]])
    start = f"10^6 rows in 1000 groups and 100 more, {what}: "
    show(start + "fit to all", least(lambda: hd.lmer(formula, grown), repeat))
    show(start + "update", least(lambda: fit.update(rows), 40 * repeat))
    show(start + "update, read", least(lambda: read_rows(fit.design, rows), 40 * repeat))
    show(start + "five new groups", least(lambda: fit.update(unseen), 40 * repeat))
    for _ in range(1000):
        fit = fit.update(rows)
    show(start + "update after 1000", least(lambda: fit.update(rows), 40 * repeat))


def arrays(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, hd.RandomTerm]:
    x = np.column_stack([np.ones(len(table)), table["x"].to_numpy()])
    return table["y"].to_numpy(), x, hd.RandomTerm(table["g"].to_numpy(), x)


def time_gradient(repeat: int) -> None:
    table = slopes(MILLION, 20_000)
    term = hd.RandomTerm(table["g"].to_numpy())
    from henderson.differentiable import RemlObjective

    objective, y = RemlObjective(np.ones((MILLION, 1)), term), table["y"].to_numpy()
    start = "10^6 rows in 20,000 groups: "
    show(start + "criterion and gradient", least(lambda: objective.value_and_gradient(y, [1.0]), repeat))
    X = np.random.default_rng(3).normal(size=(MILLION, 8))
    show(start + "another X of 8 columns, compiled", least(lambda: objective.with_fixed(X), repeat))
    own = objective.with_fixed(X)
    show(start + "its gradient in X too", least(lambda: own.value_and_gradient(y, [1.0], with_X=True), repeat))


def time_power(repeat: int) -> None:
    fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    for ddf in ("normal", "satterthwaite"):
        show(
            f"sleepstudy: power, 1000 replicates, {ddf}",
            least(lambda d=ddf: fit.power("Days", n=1000, ddf=d, seed=1), repeat),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    for part in (time_predictions, time_streaming, time_gradient, time_power):
        part(repeat)


if __name__ == "__main__":
    sys.exit(main())
