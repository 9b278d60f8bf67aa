"""Time of a mixed-effects forest outside its learner: `merf` 1.0 against `henderson.learn.MixedEffectsRegressor`.

    pip install merf && python benchmarks/mixed_forest.py --rows 100000 --groups 2000

Both run the same number of iterations on the same rows with the same learner, whose own time is subtracted. Prints a
table; without merf, our own times only.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression


class Timed(RegressorMixin, BaseEstimator):
    """A linear regression that adds up the time spent in it; copies share the sum."""

    spent = 0.0

    def fit(self, X, y):
        start = time.perf_counter()
        self.model_ = LinearRegression().fit(X, y)
        Timed.spent += time.perf_counter() - start
        return self

    def predict(self, X):
        start = time.perf_counter()
        values = self.model_.predict(X)
        Timed.spent += time.perf_counter() - start
        return values


def rows(n: int, groups: int, seed: int = 1):
    """A nonlinear mean of three features, a random intercept and slope for each group."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    g = np.concatenate([np.arange(groups), rng.integers(0, groups, n - groups)])
    Z = np.column_stack([np.ones(n), X[:, 0]])
    b = rng.normal(size=(groups, 2)) * [1.0, 0.5]
    y = 2 * X[:, 0] + X[:, 1] ** 2 + np.einsum("nk,nk->n", Z, b[g]) + rng.normal(size=n)
    return X, Z, g, y


def outside(call) -> float:
    """Seconds of a call, less those in the learner."""
    Timed.spent = 0.0
    start = time.perf_counter()
    call()
    return time.perf_counter() - start - Timed.spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--groups", type=int, default=2000)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    from henderson.learn import MixedEffectsRegressor

    X, Z, g, y = rows(arguments.rows, arguments.groups)
    times, fits = {}, {}
    for method in ("em", "reml"):
        model = MixedEffectsRegressor(Timed(), method=method, max_iter=arguments.iterations, tol=0.0, threads=1)
        model.callback = lambda iteration, _: iteration == arguments.iterations
        runs = [outside(lambda model=model: model.fit(X, y, groups=g, Z=Z)) for _ in range(arguments.repeats)]
        times[f"henderson, {method}"], fits[f"henderson, {method}"] = min(runs), model.sigma_**2
    try:
        from merf import MERF
    except ImportError:
        print("merf is not installed: pip install merf")
    else:
        theirs = MERF(Timed(), max_iterations=arguments.iterations)
        times["merf"] = outside(lambda: theirs.fit(X, Z, pd.Series(g), y))
        fits["merf"] = theirs.sigma2_hat_history[-1]
    print(f"{len(y)} rows, {arguments.groups} groups, {arguments.iterations} iterations: seconds outside the learner")
    for name, seconds in times.items():
        ratio = f"{times['merf'] / seconds:8.1f} x" if "merf" in times else ""
        print(f"{name:16s} {seconds:9.4f} {ratio}   residual variance {fits[name]:.4f}")


if __name__ == "__main__":
    main()
