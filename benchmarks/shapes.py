"""The shapes of designs that henderson is to be fast on, their targets, and one measurement of one shape.

    python benchmarks/shapes.py [--only NAME ...] [--reduced] [--peers] [--budget 60]     (make bench-shapes)

A shape is measured in a process of its own, which loads the data from a file, so that its peak memory is that of the
table and the fit. Writes shapes.json, the tables of docs/performance.md and, with matplotlib, two plots.
"""

import argparse
import json
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import generators
import measuring
from measuring import FIGURES, RESULTS


@dataclass(frozen=True)
class Shape:
    """A kind of design, with data in full and in reduced size.

    Attributes
    ----------
    name, title
        A word, and what the tables show.
    size
        Rows and levels, as text.
    full, reduced
        Make the data: a table for `formula`, or what `measuring` knows under the name of `kind`.
    target
        Seconds a call may take; for `kind` "refit" and "small" seconds a fit. None: faster than lme4.
    published
        Seconds of the peers where the target was set, as text.
    kind
        "formula": a call of `lmer`. "refit": many responses to one design. "small": many fits from arrays.
    groups, slope
        For peers without formulas.
    factors
        Columns that lme4 must be told are factors, in a CSV file.
    core_target
        Seconds the compiled core may take, where there is such a target.
    """

    name: str
    title: str
    size: str
    full: Callable[[], Any]
    reduced: Callable[[], Any]
    target: float | None
    published: str = ""
    formula: str = ""
    kind: str = "formula"
    groups: tuple[str, ...] = ()
    slope: str | None = None
    factors: tuple[str, ...] = ()
    core_target: float | None = None


def insteval(rows: int | None = None) -> Any:
    """The InstEval data, or the ratings of the first students of them."""
    import cases

    table = cases.read_table("InstEval", ("s", "d", "dept", "service"))
    if rows is None:
        return table.copy()
    part = table.iloc[:rows].copy()
    for name in ("s", "d", "dept", "service"):
        part[name] = part[name].cat.remove_unused_categories()
    return part


CROSSED = "y ~ 1 + (1 | u) + (1 | v)"
RATINGS: dict[str, Any] = {"formula": CROSSED, "groups": ("u", "v"), "factors": ("u", "v")}
INSTEVAL: dict[str, Any] = {
    "full": insteval,
    "reduced": lambda: insteval(6000),
    "factors": ("s", "d", "dept", "service"),
}

SHAPES = (
    Shape(
        "insteval",
        "InstEval, three scalar terms",
        "73,421; 2972, 1128, 14",
        target=0.15,
        published="mixedlm 1.5, GPBoost 2.2, lme4 3.0, MixedModels.jl 1.2 (4 cores)",
        formula="y ~ service + (1 | s) + (1 | d) + (1 | dept)",
        groups=("s", "d", "dept"),
        **INSTEVAL,
    ),
    Shape(
        "insteval_fixed",
        "InstEval, `service*dept`, two scalar terms",
        "73,421; 2972, 1128; p = 28",
        target=0.20,
        published="lme4 2.8",
        formula="y ~ service * dept + (1 | s) + (1 | d)",
        **INSTEVAL,
    ),
    Shape(
        "insteval_vector",
        "InstEval, two vector-valued terms",
        "73,421; 2972, 1128, 14; 7 thetas",
        target=0.8,
        formula="y ~ 1 + service + (1 | s) + (1 + service | d) + (1 + service | dept)",
        **INSTEVAL,
    ),
    Shape(
        "ratings_480k",
        "ratings, Zipf-like, 480,000 rows",
        "479,453; 6040, 3704",
        lambda: generators.ratings(479_453, (6040, 3704)),
        lambda: generators.ratings(20_000, (604, 370)),
        2.5,
        "lme4 90-127, GPBoost 3.7 (stochastic)",
        **RATINGS,
    ),
    Shape(
        "ratings_300k",
        "ratings, Zipf-like, 300,000 rows",
        "300,000; 10,000, 2500",
        lambda: generators.ratings(300_000, (10_000, 2500)),
        lambda: generators.ratings(12_000, (1000, 250)),
        1.2,
        "mixedlm 64",
        **RATINGS,
    ),
    Shape(
        "movielens_1m",
        "MovieLens-1M shape",
        "1,000,000; 6040, 3706",
        lambda: generators.ratings(1_000_000, (6040, 3706)),
        lambda: generators.ratings(40_000, (604, 370)),
        4.0,
        "MixedModels.jl 36 (4 cores)",
        **RATINGS,
    ),
    Shape(
        "maximal",
        "maximal 2 x (8 x 8), singular",
        "1790; 56, 32; 72 thetas",
        generators.maximal,
        lambda: generators.maximal(20, 12),
        0.15,
        "mixedlm 60, lme4 23 (153 with derivatives)",
        formula="y ~ a * b * c + (a * b * c | s) + (a * b * c | i)",
        factors=("s", "i"),
    ),
    Shape(
        "maximal_variances",
        "the same, variances only",
        "1790; 56, 32; 16 thetas",
        generators.maximal,
        lambda: generators.maximal(20, 12),
        0.05,
        "mixedlm 3.0, lme4 9.4",
        formula="y ~ a * b * c + (a * b * c || s) + (a * b * c || i)",
        factors=("s", "i"),
    ),
    Shape(
        "longitudinal",
        "longitudinal `(x \\| g)`",
        "1,000,000; 100,000",
        lambda: generators.grouped_slopes(1_000_000, 100_000),
        lambda: generators.grouped_slopes(20_000, 2000),
        0.25,
        "mixedlm 1.5, lme4 9",
        formula="y ~ x + (x | g)",
        groups=("g",),
        slope="x",
        core_target=0.030,
    ),
    Shape(
        "ten_effects",
        "longitudinal `(x1 + ... + x9 \\| g)`",
        "1,000,000; 10,000; 55 thetas",
        generators.many_slopes,
        lambda: generators.many_slopes(20_000, 200),
        2.0,
        formula="y ~ {0} + ({0} | g)".format(" + ".join(f"x{k}" for k in range(1, 10))),
        factors=("g",),
    ),
    Shape(
        "nested",
        "nested `(1 \\| a/b/c)`",
        "50,000; 50, 1000, 5000",
        generators.nested,
        lambda: generators.nested(5000, (10, 100, 500)),
        0.020,
        "mixedlm 0.076, lme4 0.48",
        formula="y ~ x + (1 | a/b/c)",
        groups=("a", "b", "c"),
        factors=("a", "b", "c"),
    ),
    Shape(
        "crossed_vector",
        "crossed `(1 + u \\| g) + (1 + u \\| h) + (1 + u \\| i)`",
        "130,000; 4726, 172, 34",
        generators.crossed_slopes,
        lambda: generators.crossed_slopes(13_000, (472, 34, 11)),
        0.25,
        "MixedModels.jl 1.9",
        formula="y ~ u + (1 + u | g) + (1 + u | h) + (1 + u | i)",
        factors=("g", "h", "i"),
    ),
    Shape(
        "factorial",
        "five-way factorial, 19 terms",
        "20,000; 3 to 4000",
        generators.factorial,
        lambda: generators.factorial((3, 4, 4, 3, 3)),
        None,
        "slower in MixedModels.jl than in lme4",
        formula=generators.factorial_formula(),
        factors=("a", "ab", "c", "d", "e"),
    ),
    Shape(
        "worker_firm",
        "worker-firm, moves to neighbouring markets",
        "1,000,000; 200,000, 20,000",
        generators.worker_firm,
        lambda: generators.worker_firm(5, 4000, 400),
        10.0,
        formula="y ~ x + (1 | worker) + (1 | firm)",
        groups=("worker", "firm"),
        factors=("worker", "firm"),
    ),
    Shape(
        "worker_firm_wide",
        "worker-firm, moves to any market",
        "1,000,000; 200,000, 20,000",
        lambda: generators.worker_firm(neighbours_only=False),
        lambda: generators.worker_firm(5, 4000, 400, market=20, neighbours_only=False),
        10.0,
        formula="y ~ x + (1 | worker) + (1 | firm)",
        groups=("worker", "firm"),
        factors=("worker", "firm"),
    ),
    Shape(
        "refit",
        "`refit_many`, 1000 responses, a fit on one thread",
        "180; 18",
        generators.responses,
        lambda: generators.responses(20),
        30e-6,
        "lme4 6.4e-3, MixedModels.jl 0.7e-3",
        kind="refit",
    ),
    Shape(
        "small",
        "`fit_arrays`, 10,000 tables, a fit",
        "180; 18",
        lambda: list(generators.small_tables()),
        lambda: list(generators.small_tables(20)),
        60e-6,
        kind="small",
    ),
)
BY_NAME = {shape.name: shape for shape in SHAPES}


def run(shape: Shape, *, reduced: bool = False, repeats: int = 5, budget: float = 60.0, peers: bool = False) -> Any:
    """Measure one shape in fresh processes; the peers, if asked for, each in its own and with `budget` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.pickle"
        measuring.in_fresh_process("make", shape.name, file, ["--reduced"] if reduced else [])
        limits = ["--repeats", str(repeats), "--budget", str(budget)]
        found = measuring.in_fresh_process("fit", shape.name, file, limits)
        if peers and shape.kind == "formula":
            found["peers"] = {
                name: measuring.in_fresh_process(f"peer:{name}", shape.name, file, limits, timeout=3 * budget)
                for name in measuring.peers_for(shape)
            }
    return described(shape) | found


def described(shape: Shape) -> dict[str, Any]:
    """What is known of a shape without measuring."""
    static = {"title": shape.title, "size": shape.size, "formula": shape.formula, "target_s": shape.target}
    return static | {"core_target_s": shape.core_target, "published": shape.published}


def make(shape: Shape, file: Path, reduced: bool) -> dict[str, Any]:
    """Write the data of a shape to a file."""
    with file.open("wb") as out:
        pickle.dump(shape.reduced() if reduced else shape.full(), out, protocol=5)
    return {}


def main() -> None:
    import limits
    import report

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BY_NAME, help="measure these, keep what is known of the others")
    parser.add_argument("--reduced", action="store_true", help="reduced data; prints, writes nothing")
    parser.add_argument("--peers", action="store_true", help="also the packages that are installed")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for the calls of one package")
    parser.add_argument("--report", action="store_true", help="measure nothing, write tables and plots again")
    options = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"shapes": {}}
    if not options.report:
        results |= {"machine": measuring.machine(), "rates": limits.measure()}
        for shape in SHAPES:
            if options.only and shape.name not in options.only:
                continue
            found = run(shape, reduced=options.reduced, budget=options.budget, peers=options.peers)
            results["shapes"][shape.name] = found
            print(report.line(shape.name, found), flush=True)
            if not options.reduced:
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    if not options.reduced:
        known = results["shapes"]
        results["shapes"] = {name: known[name] | described(BY_NAME[name]) for name in BY_NAME if name in known}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        report.write(results, FIGURES)


if __name__ == "__main__":
    main()
