"""One measurement in one process: `python benchmarks/measuring.py make|fit|peer:NAME SHAPE FILE [options]`, to JSON."""

import argparse
import importlib.util
import json
import os
import pickle
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapes import Shape

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "shapes.json"
FIGURES = ROOT / "docs"
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]


def in_fresh_process(
    what: str, name: str, file: Path, options: Sequence[str] = (), timeout: float | None = None
) -> dict[str, Any]:
    """Run this module in a new process group; a failure, or the end of the time, is a result with the key "failed"."""
    command = [sys.executable, "-W", "ignore", str(Path(__file__)), what, name, str(file), *options]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return {"failed": f"over {timeout:.0f} s"}
    if child.returncode != 0:
        lines = err.strip().splitlines() or [f"ended with {child.returncode}"]
        return {"failed": lines[-1][:200]}
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


def peak_bytes() -> int:
    """Peak resident memory of this process. Linux hands `ru_maxrss` down from parent to child; /proc does not."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def seconds_of(call: Callable[[], Any], repeats: int, budget: float = float("inf")) -> list[float]:
    """Seconds of each call; fewer calls than `repeats` when the budget is used."""
    seconds: list[float] = []
    while len(seconds) < repeats and sum(seconds) < budget:
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return seconds


def fit(shape: "Shape", data: Any, repeats: int, budget: float) -> dict[str, Any]:
    """Seconds, memory and counters of one shape."""
    import henderson as hd

    before = peak_bytes()
    calls, count, problem, last = CALLS[shape.kind](shape, data)
    hd.fit_arrays([0.0, 1, 3, 2], None, terms=hd.RandomTerm([0, 0, 1, 1]))  # loads what a first call loads
    first = seconds_of(calls, 1)
    peak = peak_bytes()
    whole = first + seconds_of(calls, repeats - 1, budget - first[0])
    parts = [problem(0) for _ in range(min(repeats, max(1, int(budget / max(whole)))))]
    alone = problem(1)
    model, evaluations = last()
    value, slope = at_the_optimum(model, repeats, budget)
    table = int(data.memory_usage(deep=True).sum()) if shape.kind == "formula" else 0
    return {
        "rows": len(data) if shape.kind == "formula" else None,
        "seconds": statistics.median(whole) / count,
        "best_s": min(whole) / count,
        "first_s": first[0] / count,
        "runs": len(whole),
        "products_s": statistics.median(each[0] for each in parts),
        "optimum_s": statistics.median(each[1] for each in parts),
        "one_thread_products_s": alone[0],
        "one_thread_optimum_s": alone[1],
        "value_s": value,
        "gradient_s": slope,
        "peak_bytes": peak,
        "before_bytes": before,
        "table_bytes": table,
    } | counters(model, evaluations)


def at_the_optimum(model: Any, repeats: int, budget: float) -> tuple[float, float]:
    """Seconds of the criterion alone, and with its gradient, at points next to the optimum."""
    problem, theta = model._problem._problem, model.optimum.theta
    steps = iter(range(1, 4 * repeats + 1))

    def near() -> Any:
        return theta * (1 + 1e-9 * next(steps)) + 1e-6

    value = seconds_of(lambda: problem.criterion(near(), model.is_reml), 2 * repeats, budget / 2)
    slope = seconds_of(lambda: problem.gradient(near(), model.is_reml), 2 * repeats, budget / 2)
    return statistics.median(value), statistics.median(slope)


def counters(model: Any, evaluations: float) -> dict[str, Any]:
    """What does not depend on the machine: evaluations (a mean, for many fits), layout, predicted work."""
    import limits

    description = model._problem.block_description
    columns, thetas = len(model.kept) + 1, len(model.optimum.theta)
    needed = limits.work(description, columns, thetas)
    return {
        "evaluations": evaluations,
        "status": model.optimum.status,
        "singular": bool(model.is_singular),
        "criterion": model.criterion,
        "thetas": thetas,
        "columns": columns,
        "layout": description,
        "value_flops": needed.value_flops,
        "flops": needed.flops,
        "bytes": needed.bytes,
        "stored_bytes": needed.stored_bytes,
        "storage": needed.storage,
    }


Parts = tuple[Callable[[], Any], int, Callable[[int], tuple[float, float]], Callable[[], tuple[Any, float]]]


def _formula(shape: "Shape", data: Any) -> Parts:
    """Whole calls; fits in a call; seconds of cross-products and optimum with so many threads; a fit, evaluations."""
    import henderson as hd
    from henderson import fitting
    from henderson.design import build_design

    def parts(threads: int) -> tuple[float, float]:
        design = build_design(shape.formula, data)
        begun = time.perf_counter()
        problem = fitting.compile_design(design, design.y, threads)
        compiled = time.perf_counter()
        problem.fit(design.y, True, None, 1e-10, 200, None)
        return compiled - begun, time.perf_counter() - compiled

    def last() -> tuple[Any, float]:
        model = hd.lmer(shape.formula, data)
        return model, model.optimum.evaluations

    return lambda: hd.lmer(shape.formula, data), 1, parts, last


def _refit(shape: "Shape", data: Any) -> Parts:  # noqa: ARG001
    import henderson as hd

    X, g, Y = data
    model = hd.fit_arrays(Y[:, 0], X, terms=hd.RandomTerm(g, X))

    def parts(threads: int) -> tuple[float, float]:
        return 0.0, seconds_of(lambda: model.refit_many(Y, threads=threads), 1)[0] / Y.shape[1]

    def last() -> tuple[Any, float]:
        return model, float(model.refit_many(Y).evaluations.mean())

    return lambda: model.refit_many(Y, threads=1), Y.shape[1], parts, last


def _small(shape: "Shape", data: Any) -> Parts:  # noqa: ARG001
    import henderson as hd

    def one(y: Any, X: Any, g: Any) -> Any:
        return hd.fit_arrays(y, X, terms=hd.RandomTerm(g, X))

    def parts(threads: int) -> tuple[float, float]:
        from henderson.array_inputs import gather, share_factors
        from henderson.compiled import CompiledProblem

        products = optimum = 0.0
        for y, X, g in data:
            inputs = gather(X, hd.RandomTerm(g, X), None, None)
            codes, levels, layout = share_factors(inputs.terms)
            begun = time.perf_counter()
            problem = CompiledProblem(y, inputs.x, codes, levels, layout, None, threads)
            compiled = time.perf_counter()
            problem.fit(y, True, None, 1e-10, 200, None)
            products, optimum = products + compiled - begun, optimum + time.perf_counter() - compiled
        return products / len(data), optimum / len(data)

    def last() -> tuple[Any, float]:
        return one(*data[0]), statistics.mean(one(*table).optimum.evaluations for table in data)

    return lambda: [one(*table) for table in data], len(data), parts, last


CALLS: dict[str, Callable[["Shape", Any], Parts]] = {"formula": _formula, "refit": _refit, "small": _small}


def peers_for(shape: "Shape") -> list[str]:
    """The installed packages that can be given a shape. GPBoost has neither formulas nor correlated effects."""
    found = [name for name in ("mixedlm", "gpboost") if importlib.util.find_spec(name)]
    if shutil.which("Rscript"):
        found.append("lme4")
    return [name for name in found if name != "gpboost" or shape.groups]


def peer(shape: "Shape", name: str, data: Any, repeats: int, budget: float) -> dict[str, Any]:
    """Seconds and criterion of a peer: as many calls as the budget holds, at least one."""
    import peers
    from run import timed

    case = peers.Timed(
        shape.name, shape.title, shape.formula, lambda: data, shape.groups, shape.slope, shape.factors or shape.groups
    )
    package: Any = {"mixedlm": peers.Mixedlm, "gpboost": peers.GPBoost, "lme4": peers.Lme4}[name]()
    call = package.call(case, data)
    taken: list[tuple[float, float]] = []
    while len(taken) < repeats and sum(seconds for seconds, _ in taken) < budget:
        taken.append(timed(call))
    if name == "lme4":
        package.close()
    criterion = taken[-1][1]
    return {
        "seconds": statistics.median(seconds for seconds, _ in taken),
        "runs": len(taken),
        "criterion": criterion if criterion == criterion else None,
        "peak_bytes": None if name == "lme4" else peak_bytes(),
    }


def machine() -> dict[str, Any]:
    """What `make bench` records, and the version of henderson where it is not installed but on the path."""
    import henderson
    import run

    found: dict[str, Any] = run.machine()
    found["versions"].setdefault("henderson", henderson.__version__)
    return found


def main() -> None:
    import shapes

    parser = argparse.ArgumentParser()
    parser.add_argument("what")
    parser.add_argument("shape", choices=shapes.BY_NAME)
    parser.add_argument("file", type=Path)
    parser.add_argument("--reduced", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--budget", type=float, default=60.0)
    options = parser.parse_args()
    shape = shapes.BY_NAME[options.shape]
    if options.what == "make":
        answer = shapes.make(shape, options.file, options.reduced)
    else:
        with options.file.open("rb") as stored:
            data = pickle.load(stored)
        if options.what == "fit":
            answer = fit(shape, data, options.repeats, options.budget)
        else:
            answer = peer(shape, options.what.removeprefix("peer:"), data, options.repeats, options.budget)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
