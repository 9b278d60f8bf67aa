"""Counters of every shape in reduced size against those stored: no regression in work, whatever the machine.

    python benchmarks/check.py [--update] [--only NAME ...]     (make bench-check)

Counters are evaluations, predicted flops of an evaluation and bytes of the Cholesky factor, of which less is better,
and how the factor is stored. More of one, or another storage, is a regression; --update accepts what is found.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

STORED = Path(__file__).with_name("counters.json")
sys.path[:0] = [str(STORED.parents[1] / "tests"), str(STORED.parent)]

import measuring  # noqa: E402
import shapes  # noqa: E402

LESS_IS_BETTER = ("evaluations", "value_flops", "stored_bytes")
KEPT = (*LESS_IS_BETTER, "storage", "status")
ROUNDING = 1e-9  # of a predicted number of flops
STORED_FOR = "v4"  # instructions of the baseline; with others, rounding can cost the last step once more
LAST_STEP = 1.0  # evaluations

Counters = dict[str, dict[str, Any]]


def count(names: Iterable[str]) -> Counters:
    """Fit each shape in reduced size, in this process."""
    found = {}
    for name in names:
        shape = shapes.BY_NAME[name]
        last = measuring.CALLS[shape.kind](shape, shape.reduced())[3]
        counters = measuring.counters(*last())
        found[name] = {key: counters[key] for key in KEPT}
    return found


def regressions(found: Counters, stored: Counters, slack: float = 0.0) -> list[tuple[str, str, Any, Any]]:
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
    parser.add_argument("--only", nargs="+", choices=shapes.BY_NAME)
    options = parser.parse_args()
    stored: Counters = json.loads(STORED.read_text()) if STORED.exists() else {}
    found = count(options.only or shapes.BY_NAME)
    worse = regressions(found, stored, slack_here())
    improved = [
        (name, key, stored[name][key], value)
        for name, counters in found.items()
        for key, value in counters.items()
        if key in LESS_IS_BETTER and key in stored.get(name, {}) and value < stored[name][key] * (1 - ROUNDING)
    ]
    for title, rows in (("regressions", worse), ("improvements", improved)):
        if rows:
            print(f"{title}:\n{table(rows)}\n")
    if options.update:
        kept = {name: (stored | found)[name] for name in shapes.BY_NAME if name in stored | found}
        STORED.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"stored {len(found)} shapes")
        return 0
    print(f"{len(found)} shapes, {len(worse)} regressions")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
