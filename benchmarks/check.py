"""The work and the memory of every shape against those stored: no regression, whatever the machine.

    python benchmarks/check.py [--update] [--only SHAPE,...] [--work]     (make bench-check)

Work, of each shape in reduced size: evaluations, predicted flops of an evaluation and bytes of the Cholesky factor, of
which less is better, and how the factor is stored. Memory, of the large shapes in full size, each in a process of its
own: what the fit adds at its peak, see `report.memory_ratio`. It may be 1.3, or what is stored where that is more.
--work leaves memory out, which takes a minute. More work, another storage or more memory is a regression; --update
accepts what is found.
"""

import argparse
import json
import pickle
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anatomy
import packages
import report
import run
import turns
from shapes import BY_NAME

STORED = Path(__file__).with_name("counters.json")
LESS_IS_BETTER = ("evaluations", "value_flops", "stored_bytes")
ROUNDING = 1e-9  # of a predicted number of flops
STORED_FOR = "v4"  # instructions of the baseline; with others, rounding can cost the last step once more
LAST_STEP = 1.0  # evaluations
ALLOCATOR = 0.05  # of a memory ratio
LIMIT = 600.0  # seconds for one fit

Counters = dict[str, dict[str, Any]]
Rows = list[tuple[str, str, Any, Any]]


def count(names: Iterable[str]) -> Counters:
    """Fit each shape in reduced size, in this process."""
    found = {}
    for name in names:
        fit = packages.Henderson().prepare(BY_NAME[name], BY_NAME[name].reduced())
        result = fit.call()
        counters = anatomy.counters(anatomy.a_model(result))
        found[name] = {
            "evaluations": fit.read(result)["evaluations"],
            "value_flops": counters["work"]["value_flops"],
            "stored_bytes": counters["work"]["stored_bytes"],
            "storage": counters["work"]["storage"],
            "status": counters["status"],
        }
    return found


def memory(names: Iterable[str]) -> dict[str, float]:
    """Fit each of the large shapes once in full size, in a process of its own."""
    found = {}
    for name in names:
        if not BY_NAME[name].is_large:
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "data.pickle"
            file.write_bytes(pickle.dumps(BY_NAME[name].full(), protocol=5))
            with turns.Worker("henderson", name, file) as worker:
                own = worker.answer(LIMIT) | worker.ask({"do": "turn"}, LIMIT)
                needs = worker.ask({"do": "needs"}, LIMIT)
        found[name] = report.memory_ratio({"packages": {"henderson": own}, "anatomy": needs})
    return found


def regressions(found: Counters, stored: Counters, slack: float = 0.0) -> Rows:
    """(shape, counter, stored, found) of what got worse, by more than `slack` evaluations, or has no baseline."""
    worse = []
    for name, counters in found.items():
        for key, value in counters.items():
            before = stored.get(name, {}).get(key)
            is_no_worse = value == before
            if key in LESS_IS_BETTER and before is not None:
                is_no_worse = value <= before * (1 + ROUNDING) + (slack if key == "evaluations" else 0)
            if not is_no_worse:
                worse.append((name, key, before, value))
    return worse


def excesses(found: dict[str, float], stored: dict[str, float]) -> Rows:
    """(shape, "memory", stored, found) of the shapes over the target for memory and over what is stored."""
    allowed = {name: max(report.MEMORY, stored.get(name, 0.0) * (1 + ALLOCATOR)) for name in found}
    return [(name, "memory", stored.get(name), ratio) for name, ratio in found.items() if ratio > allowed[name]]


def slack_here() -> float:
    """Evaluations that another set of instructions than the baseline's may cost."""
    from henderson import _core

    return 0.0 if _core.SIMD == STORED_FOR else LAST_STEP


def table(rows: Iterable[tuple[str, str, Any, Any]]) -> str:
    """Columns: shape, counter, stored, found, ratio."""
    text = [("shape", "counter", "stored", "found", "ratio")]
    for name, key, before, value in rows:
        is_ratio = isinstance(before, int | float) and isinstance(value, int | float) and before
        text.append((name, key, _word(before), _word(value), f"{value / before:.3f}" if is_ratio else ""))
    widths = [max(map(len, column)) for column in zip(*text, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in text)


def _word(value: Any) -> str:
    return "none" if value is None else f"{value:,.6g}" if isinstance(value, int | float) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="store what is found")
    parser.add_argument("--only", type=run.names_in, default=list(BY_NAME), metavar="SHAPE,...")
    parser.add_argument("--work", action="store_true", help="leave memory out")
    options = parser.parse_args()
    stored = json.loads(STORED.read_text()) if STORED.exists() else {"work": {}, "memory": {}}
    found = count(options.only)
    used = {} if options.work else memory(options.only)
    worse = regressions(found, stored["work"], slack_here()) + excesses(used, stored["memory"])
    improved = [
        (name, key, stored["work"][name][key], value)
        for name, counters in found.items()
        for key, value in counters.items()
        if key in LESS_IS_BETTER
        and key in stored["work"].get(name, {})
        and value < stored["work"][name][key] * (1 - ROUNDING)
    ]
    over = [(name, f"memory, target {report.MEMORY}", stored["memory"].get(name), used[name]) for name in used]
    for title, rows in (("regressions", worse), ("improvements", improved), ("memory", over)):
        if rows:
            print(f"{title}:\n{table(rows)}\n")
    if options.update:
        for key, new in (("work", found), ("memory", used)):
            both = stored[key] | new
            stored[key] = {name: both[name] for name in BY_NAME if name in both}
        STORED.write_text(json.dumps(stored, indent=1) + "\n")
        print(f"stored {len(found)} shapes")
        return 0
    print(f"{len(found)} shapes, {len(worse)} regressions")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
