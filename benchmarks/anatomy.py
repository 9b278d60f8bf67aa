"""henderson taken apart on one shape: compiled parts on one thread and on all, derivatives, work, memory needed."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import limits
import packages
from shapes import Shape

ROUNDS = 5
AROUND = 1.0  # seconds for calls of the criterion and its gradient in a round


def measure(shape: Shape, data: Any, found: Any, budget: float, thetas: dict[str, list[float]]) -> dict[str, Any]:
    """Everything of one shape; `found` is what a call returned.

    One thread and all take turns until the `budget` of seconds is used, five times at most. Each of `thetas`, a
    package's estimates by maximum likelihood, is judged by henderson's criterion there.
    """
    model = a_model(found)
    parts = PARTS[shape.kind](data, model, shape.formula)
    rounds: dict[int, list[dict[str, float]]] = {0: [], 1: []}
    begun = time.perf_counter()
    while len(rounds[1]) < ROUNDS and (not rounds[1] or time.perf_counter() - begun < budget):
        for threads, done in rounds.items():
            done.append(parts(threads))
    return needs(shape, data, found) | {
        "rounds": len(rounds[1]),
        "all_threads": _medians(rounds[0]),
        "one_thread": _medians(rounds[1]),
        "likelihood": _likelihoods(shape, data, thetas) if thetas else {},
    }


def needs(shape: Shape, data: Any, found: Any) -> dict[str, Any]:
    """The work of an evaluation and the bytes of the table."""
    return counters(a_model(found)) | {"table_bytes": table_bytes(shape, data)}


def a_model(found: Any) -> Any:
    """One of the fitted models that a call of henderson returned."""
    return found[0]


def counters(model: Any) -> dict[str, Any]:
    """What does not depend on the machine: layout, predicted work, the bytes that a fit needs."""
    description = model._problem.block_description
    columns, thetas = len(model.kept) + 1, len(model.optimum.theta)
    needed = limits.work(description, columns, thetas)
    return {
        "status": model.optimum.status,
        "singular": bool(model.is_singular),
        "thetas": thetas,
        "columns": columns,
        "layout": description,
        "work": needed._asdict(),
    }


def table_bytes(shape: Shape, data: Any) -> int:
    """Of the columns that the formula uses, or of the arrays."""
    if shape.kind == "formula":
        return int(data[packages.used_columns(shape.formula, data)].memory_usage(deep=True, index=False).sum())
    arrays = data if shape.kind == "refit" else [array for table in data for array in table]
    return sum(array.nbytes for array in arrays)


def around(problem: Any, theta: Any, seconds: float) -> dict[str, float]:
    """Seconds of the criterion, and of criterion and gradient, at points next to theta, in turn."""
    calls: tuple[Callable[[Any, bool], Any], ...] = (problem.criterion, problem.gradient)
    taken: tuple[list[float], list[float]] = ([], [])
    begun = time.perf_counter()
    step = 0
    while step < 200 and (step == 0 or time.perf_counter() - begun < seconds):
        step += 1
        for call, done in zip(calls, taken, strict=True):
            at = theta * (1 + 1e-9 * step) + 1e-6
            started = time.perf_counter()
            call(at, True)
            done.append(time.perf_counter() - started)
    return {"value_s": statistics.median(taken[0]), "gradient_s": statistics.median(taken[1])}


Parts = Callable[[int], dict[str, float]]


def _formula(data: Any, model: Any, formula: str) -> Parts:  # noqa: ARG001
    """Cross-products, optimum and evaluations of a design, with so many threads."""
    from henderson import fitting
    from henderson.design import build_design

    design = build_design(formula, data)

    def parts(threads: int) -> dict[str, float]:
        begun = time.perf_counter()
        problem = fitting.compile_design(design, design.y, threads)
        compiled = time.perf_counter()
        theta = problem.fit(design.y, True).theta
        fitted = time.perf_counter()
        taken = {"products_s": compiled - begun, "optimum_s": fitted - compiled}
        return taken | around(problem._problem, theta, AROUND)

    return parts


def _refit(data: Any, model: Any, formula: str) -> Parts:  # noqa: ARG001
    Y = data[2]

    def parts(threads: int) -> dict[str, float]:
        begun = time.perf_counter()
        model.refit_many(Y, threads=threads)
        taken = {"products_s": 0.0, "optimum_s": (time.perf_counter() - begun) / Y.shape[1]}
        return taken | around(model._problem._problem, model.optimum.theta, AROUND / 10)

    return parts


def _small(data: Any, model: Any, formula: str) -> Parts:  # noqa: ARG001
    import henderson as hd
    from henderson.array_inputs import gather, share_factors
    from henderson.compiled import CompiledProblem

    def parts(threads: int) -> dict[str, float]:
        products = optimum = 0.0
        for y, X, g in data:
            inputs = gather(X, hd.RandomTerm(g, X), None, None)
            codes, levels, layout = share_factors(inputs.terms)
            begun = time.perf_counter()
            problem = CompiledProblem(y, inputs.x, codes, levels, layout, None, threads)
            compiled = time.perf_counter()
            problem.fit(y, True)
            products, optimum = products + compiled - begun, optimum + time.perf_counter() - compiled
        taken = {"products_s": products / len(data), "optimum_s": optimum / len(data)}
        return taken | around(model._problem._problem, model.optimum.theta, AROUND / 10)

    return parts


PARTS: dict[str, Callable[[Any, Any, str], Parts]] = {"formula": _formula, "refit": _refit, "small": _small}


def _medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


def _likelihoods(shape: Shape, data: Any, thetas: dict[str, list[float]]) -> dict[str, float]:
    """Deviances: at henderson's own optimum ("henderson") and at each package's theta."""
    import numpy as np

    import henderson as hd

    model = hd.lmer(shape.formula, data, reml=False)
    core = model._problem._problem
    return {"henderson": model.criterion} | {
        name: core.criterion(np.array(theta), False) for name, theta in thetas.items()
    }
