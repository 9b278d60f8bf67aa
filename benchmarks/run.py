"""Times henderson against its peers on the same machine in one run, and writes JSON and the README's table.

    python benchmarks/run.py [--only NAME ...] [--peers NAME ...] [--rounds 20] [--budget 60] [--json FILE] [--readme]
    python benchmarks/run.py --table FILE [--readme]

The packages take turns, round after round, so that a slow moment of the machine hits all of them; the best time of each
counts. A package that has used its budget of seconds for a case, after at least three rounds, takes no more turns.
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import cases  # noqa: E402
import generators  # noqa: E402
import peers  # noqa: E402
from peers import Timed  # noqa: E402

INSTEVAL = cases.BY_NAME["insteval"]
CASES = (
    Timed(
        "sleepstudy",
        "sleepstudy `(Days \\| Subject)`, 180 rows",
        cases.BY_NAME["sleepstudy"].formula,
        cases.BY_NAME["sleepstudy"].data,
        ("Subject",),
        slope="Days",
        factors=("Subject",),
        target_ms=1.0,
        kinds=("formula", "arrays"),
    ),
    Timed(
        "penicillin",
        "Penicillin, two crossed terms, 144 rows",
        cases.BY_NAME["penicillin"].formula,
        cases.BY_NAME["penicillin"].data,
        ("plate", "sample"),
        target_ms=1.0,
    ),
    Timed(
        "slopes_1e5",
        "`(x \\| g)`, 10^5 rows, 10^4 string groups",
        "y ~ x + (x | g)",
        lambda: generators.grouped_slopes(100_000, 10_000),
        ("g",),
        slope="x",
        target_ms=30.0,
    ),
    Timed(
        "slopes_1e6",
        "`(x \\| g)`, 10^6 rows, 10^5 string groups",
        "y ~ x + (x | g)",
        lambda: generators.grouped_slopes(1_000_000, 100_000),
        ("g",),
        slope="x",
        target_ms=300.0,
    ),
    Timed(
        "nested",
        "nested 50 / 1000 / 5000, 50,000 rows",
        "y ~ x + (1 | a) + (1 | b) + (1 | c)",
        generators.nested,
        ("a", "b", "c"),
        factors=("a", "b", "c"),
        target_ms=25.0,
    ),
    Timed(
        "insteval",
        "InstEval, three crossed terms, 73,421 rows",
        INSTEVAL.formula,
        INSTEVAL.data,
        ("s", "d", "dept"),
        factors=INSTEVAL.factors,
        target_ms=400.0,
    ),
)
ARRAY_TARGETS_MS = {"arrays": 0.040, "refit": 0.020}


def timed(fit: Any) -> tuple[float, float]:
    """(seconds, criterion); a peer in another process brings its own seconds."""
    begun = time.perf_counter()
    result = fit()
    elapsed = time.perf_counter() - begun
    return result if isinstance(result, tuple) else (elapsed, float(result))


def take_turns(fits: dict[str, Any], rounds: int, budget: float) -> dict[str, dict[str, Any]]:
    """Best and median seconds of each function, called in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in fits}
    criteria: dict[str, float] = {}
    failures: dict[str, str] = {}
    for _ in range(rounds):
        for name, fit in fits.items():
            done = seconds[name]
            if name in failures or (sum(done) > budget and len(done) >= 3) or sum(done) > 5 * budget:
                continue
            try:
                elapsed, criteria[name] = timed(fit)
                done.append(elapsed)
            except Exception as error:  # a peer's failure is a result
                failures[name] = f"{type(error).__name__}: {error}"[:200]
    return {
        name: {"failed": failures[name]}
        if name in failures
        else {
            "best": min(done),
            "median": sorted(done)[len(done) // 2],
            "runs": len(done),
            "criterion": None if math.isnan(criteria[name]) else criteria[name],
        }
        for name, done in seconds.items()
    }


def run_case(case: Timed, contenders: list[Any], rounds: int, budget: float) -> dict[str, Any]:
    data = case.data()
    fits = {peer.name: peer.call(case, data) for peer in contenders}
    results = take_turns({name: fit for name, fit in fits.items() if fit is not None}, rounds, budget)
    if "arrays" in case.kinds:
        from_arrays, refit = contenders[0].arrays(case, data)
        results |= {f"henderson {name}": r for name, r in _repeated(from_arrays, refit).items()}
    return {
        "title": case.title,
        "formula": case.formula,
        "rows": len(data),
        "target_ms": case.target_ms,
        "peers": results,
    }


def _repeated(from_arrays: Any, refit: Any) -> dict[str, Any]:
    """Microsecond calls: more rounds of them."""
    return take_turns({"arrays": from_arrays, "refit": refit}, rounds=500, budget=5.0)


def machine() -> dict[str, Any]:
    names = ("henderson", "mixedlm", "statsmodels", "gpboost", "numpy", "pandas")
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    from henderson import _core

    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "simd": _core.SIMD,
        "versions": versions,
        "date": time.strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def milliseconds(result: dict[str, Any] | None) -> str:
    if result is None:
        return ""
    if "failed" in result:
        return "fails"
    value = 1000 * result["best"]
    return f"{value:.3f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def table(results: dict[str, Any]) -> str:
    """The README's table: milliseconds, best of all rounds."""
    order = ["henderson", "mixedlm", "gpboost", "statsmodels", "lme4"]
    present = [name for name in order if any(name in case["peers"] for case in results["cases"].values())]
    known = results["machine"]["versions"]
    heads = [f"{name} {known.get(name, '')}".strip() for name in present]
    lines = [
        f"| milliseconds, best of up to {results['rounds']} | " + " | ".join(heads) + " |",
        "|---|" + "---:|" * len(present),
    ]
    for case in results["cases"].values():
        for kind in ("arrays", "refit"):
            if found := case["peers"].get(f"henderson {kind}"):
                label = "the same from arrays" if kind == "arrays" else "the same, `refit` with a new response"
                lines.append(f"| {label} | {milliseconds(found)} |" + " |" * (len(present) - 1))
        row = f"| {case['title']} | " + " | ".join(milliseconds(case["peers"].get(name)) for name in present) + " |"
        lines.insert(len(lines) - 2 if "henderson refit" in case["peers"] else len(lines), row)
    of = results["machine"]
    lines += ["", f"{of['processor']}, {of['cores']} cores, Python {of['python']}, {of['date']}. From `make bench`."]
    return "\n".join(lines)


def write_into_readme(text: str) -> None:
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition("<!-- benchmark: begin -->\n")
    _, _, after = rest.partition("<!-- benchmark: end -->")
    readme.write_text(f"{before}<!-- benchmark: begin -->\n{text}\n<!-- benchmark: end -->{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[case.name for case in CASES])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds per package and case")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, help="print the table of an earlier run's JSON and stop")
    parser.add_argument("--peers", nargs="*", help="only these packages (henderson always)")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    if options.table:
        results = json.loads(options.table.read_text())
    else:
        results = measure(options)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))
    if options.readme:
        write_into_readme(table(results))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    contenders = [
        peer for peer in peers.installed() if options.peers is None or peer.name in ("henderson", *options.peers)
    ]
    results: dict[str, Any] = {"machine": machine(), "rounds": options.rounds, "cases": {}}
    for peer in contenders:
        if isinstance(peer, peers.Lme4):
            results["machine"]["versions"]["lme4"] = peer.version
    for case in CASES:
        if options.only and case.name not in options.only:
            continue
        outcome = results["cases"][case.name] = run_case(case, contenders, options.rounds, options.budget)
        for name, result in outcome["peers"].items():
            shown = result.get("failed") or f"{milliseconds(result):>10} ms   {result['criterion']}"
            print(f"{case.name:12} {name:18} {shown}", flush=True)
    for peer in contenders:
        if isinstance(peer, peers.Lme4):
            peer.close()
    return results


if __name__ == "__main__":
    main()
