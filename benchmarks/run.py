"""Measures every shape: henderson and the installed peers in turn, to results.json, the README and docs/performance.md.

    python benchmarks/run.py [--only SHAPE,...] [--resume] [--budget 45] [--turns 5]     (make bench)
    python benchmarks/run.py --packages henderson [--only SHAPE,...]                      (make bench-shapes)
    python benchmarks/run.py --plan | --report | --reduced

Results are saved after each shape. --only measures some shapes and keeps the others, --resume goes on where the last
run was interrupted. With --packages or --reduced nothing is saved unless --json names a file.
"""

import argparse
import json
import os
import pickle
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import limits
import packages
import report
import turns
from shapes import BY_NAME, Shape

RESULTS = Path(__file__).with_name("results.json")
ANATOMY = 0.25  # of the budget: rounds in which henderson is taken apart
QUIET = 0.5  # load of the machine above which the plan warns


def measure(shape: Shape, names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is recorded of a shape."""
    begun, load = time.perf_counter(), os.getloadavg()[0]
    data = shape.reduced() if options.reduced else shape.full()
    rows = len(data) if shape.kind == "formula" else None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.pickle"
        file.write_bytes(pickle.dumps(data, protocol=5))
        del data
        workers = {name: turns.Worker(name, shape.name, file) for name in names}
        try:
            found = turns.take_turns(workers, options.turns, options.budget)
            thetas = {name: each.pop("theta") for name, each in found.items() if "theta" in each}
            request = {"do": "anatomy", "budget": ANATOMY * options.budget, "thetas": thetas}
            own = workers["henderson"]
            apart = own.ask(request, 10 * options.budget) if own.is_running else {}
        finally:
            for worker in workers.values():
                worker.close()
    compare_criteria(found, apart.get("likelihood", {}))
    return shape.described() | {
        "rows": rows,
        "packages": found,
        "anatomy": apart,
        "measured": time.strftime("%Y-%m-%d %H:%M"),
        "load": load,
        "wall_s": time.perf_counter() - begun,
    }


def compare_criteria(found: dict[str, dict[str, Any]], likelihood: dict[str, float]) -> None:
    """How far each package ended above the best: REML criteria, or deviances of those that maximise the likelihood."""
    known = {name: each["criterion"] for name, each in found.items() if each.get("criterion") is not None}
    best = {"REML": min(known.values(), default=0.0), "ML": min(likelihood.values(), default=0.0)}
    for name, each in found.items():
        if name in known:
            each |= {"criterion_is": "REML", "above_best": known[name] - best["REML"]}
        elif name in likelihood:
            each |= {"criterion": likelihood[name], "criterion_is": "ML", "above_best": likelihood[name] - best["ML"]}


def machine(versions: dict[str, str]) -> dict[str, Any]:
    """What the times depend on."""
    from importlib.metadata import version

    from henderson import _core

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "simd": _core.SIMD,
        "python": platform.python_version(),
        "versions": versions | {name: version(name) for name in ("numpy", "pandas")},
        "r": packages.r_build() if "lme4" in versions else "",
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def plan(todo: list[Shape], known: dict[str, Any], names: list[str], options: argparse.Namespace) -> str:
    """What will be measured and about how long it takes, from what the last run knew."""
    lines, total, is_known = [], 0.0, True
    for shape in todo:
        last = known.get(shape.name, {"packages": {}, "wall_s": 0.0})
        cells, own = [], last["wall_s"]
        for name in names:
            record = last["packages"].get(name, {})
            text, expected = expectation(name, record, options)
            own += expected - sum(record.get("all_seconds", ())) * record.get("fits", 1) - record.get("stopped", 0.0)
            is_known &= not text.startswith("at most")
            cells.append(f"{name} {text}")
        total += own
        lines.append(f"{shape.name:21} {own:4.0f} s   {', '.join(cells)}")
    busy = os.getloadavg()[0]
    if busy > QUIET:
        lines.append(f"The machine is busy (load {busy:.1f}): times will be too long.")
    about = "about" if is_known else "at most"
    return "\n".join([*lines, f"{len(todo)} shapes, {about} {max(1, round(total / 60))} minutes"])


def expectation(name: str, record: dict[str, Any], options: argparse.Namespace) -> tuple[str, float]:
    """How often a package will take a turn and how long that takes, as text and as seconds of all turns."""
    if "cannot" in record or "failed" in record:
        return "-", 0.0
    if "seconds" not in record:
        was_slower = record.get("stopped", 0.0) >= options.budget
        return f"{'over' if was_slower else 'at most'} {options.budget:g} s", options.budget
    a_turn = record["seconds"] * record["fits"]
    if a_turn > options.budget:
        return f"over {options.budget:g} s", options.budget
    quick = options.turns if name == "henderson" else 1 + int(turns.SHARE * options.budget / a_turn)
    count = min(options.turns, quick)
    return f"{count} x {report.seconds(a_turn)}", count * a_turn


def names_in(text: str) -> list[str]:
    """Names of shapes, separated by commas."""
    names = text.split(",")
    if unknown := set(names) - set(BY_NAME):
        raise argparse.ArgumentTypeError(f"no shape {', '.join(sorted(unknown))}; there are {', '.join(BY_NAME)}")
    return names


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=names_in, default=list(BY_NAME), metavar="SHAPE,...", help="keep the others")
    parser.add_argument("--resume", action="store_true", help="leave out what the interrupted run has measured")
    parser.add_argument("--packages", nargs="+", choices=packages.BY_NAME, help="henderson and these")
    parser.add_argument("--budget", type=float, default=45.0, help="seconds a call may take; all times scale with it")
    parser.add_argument("--turns", type=int, default=5, help="of each package that is not slow")
    parser.add_argument("--reduced", action="store_true", help="small data")
    parser.add_argument("--json", type=Path, help="save here, and leave README and docs alone")
    parser.add_argument("--plan", action="store_true", help="print the plan and stop")
    parser.add_argument("--report", action="store_true", help="measure nothing, write tables and plots again")
    return parser.parse_args()


def merged(results: dict[str, Any], here: dict[str, Any], todo: list[Shape]) -> dict[str, Any]:
    """Results to add to; those of other shapes can stay if they are of this machine and these versions."""
    kept = {name: each for name, each in results["shapes"].items() if name not in {shape.name for shape in todo}}
    if kept and results["machine"] != here:
        raise SystemExit("The results are of another machine or other versions: measure all shapes, or use --json.")
    return results | {"machine": here}


def main() -> None:
    options = arguments()
    file = options.json or RESULTS
    is_kept = options.json is not None or not (options.packages or options.reduced)
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() and is_kept else {"shapes": {}}
    if options.report:
        results["shapes"] = described(results["shapes"])
        save(results, file)
        report.write(results)
        return
    versions = packages.installed()
    names = [name for name in versions if name in ("henderson", *(options.packages or versions))]
    run = results.get("run", "") if options.resume else time.strftime("%Y-%m-%d %H:%M")
    known = results["shapes"]
    todo = [BY_NAME[name] for name in options.only if not options.resume or known.get(name, {}).get("run") != run]
    print(plan(todo, known or stored_shapes(), names, options), flush=True)
    if options.plan:
        return
    if is_kept:
        results = merged(results, machine(versions), todo)
    results |= {"run": run, "budget_s": options.budget, "turns": options.turns, "rates": limits.measure()}
    for shape in todo:
        found = measure(shape, names, options) | {"run": run}
        known[shape.name] = found
        print(report.line(shape.name, found), flush=True)
        if is_kept:
            results["shapes"] = described(known)
            save(results, file)
    if is_kept and not options.json:
        report.write(results)


def described(known: dict[str, Any]) -> dict[str, Any]:
    """Shapes in their order, with the words they have now."""
    return {name: known[name] | shape.described() for name, shape in BY_NAME.items() if name in known}


def stored_shapes() -> dict[str, Any]:
    """Those of the results in the repository, to plan with."""
    stored: dict[str, Any] = json.loads(RESULTS.read_text())["shapes"] if RESULTS.exists() else {}
    return stored


def save(results: dict[str, Any], file: Path) -> None:
    """Write the results; an interruption leaves the old ones."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(results, indent=1) + "\n")
    new.replace(file)


if __name__ == "__main__":
    main()
