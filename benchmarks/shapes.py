"""The shapes of designs that henderson is to be fast on, and their targets. What is measured of them: see run.py."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parent)]

import cases  # noqa: E402
import generators  # noqa: E402


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
        Make the data: a table for `formula`, or what `packages` expects for `kind`.
    target
        Seconds a call may take; for `kind` "refit" and "small" seconds a fit. None: faster than lme4.
    published
        Seconds of others where the target was set, as text.
    formula
        In lme4's language. For `kind` "refit" and "small": of a table with columns y, x, g.
    kind
        "formula": a call of `lmer`. "refit": many responses to one design. "small": many fits from arrays.
    core_target
        Seconds the compiled core may take, where there is such a target.
    is_large
        Whether the targets for peak memory and for the second thread apply.
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
    core_target: float | None = None
    is_large: bool = False

    def described(self) -> dict[str, Any]:
        """What is known without measuring."""
        known = ("title", "size", "formula", "kind", "published", "is_large")
        return {key: getattr(self, key) for key in known} | {
            "target_s": self.target,
            "core_target_s": self.core_target,
        }


def insteval(rows: int | None = None) -> Any:
    """The InstEval data, or the ratings of the first students of them."""
    table = cases.read_table("InstEval", ("s", "d", "dept", "service"))
    if rows is None:
        return table.copy()
    part = table.iloc[:rows].copy()
    for name in ("s", "d", "dept", "service"):
        part[name] = part[name].cat.remove_unused_categories()
    return part


def example(name: str) -> dict[str, Any]:
    """Formula and data of a reference case, as they are in any size."""
    case = cases.BY_NAME[name]
    return {"formula": case.formula, "full": lambda: case.data().copy(), "reduced": lambda: case.data().copy()}


RATINGS: dict[str, Any] = {"formula": "y ~ 1 + (1 | u) + (1 | v)", "is_large": True}
INSTEVAL: dict[str, Any] = {"full": insteval, "reduced": lambda: insteval(6000)}

SHAPES = (
    Shape("sleepstudy", "sleepstudy, `(Days \\| Subject)`", "180; 18", target=1e-3, **example("sleepstudy")),
    Shape("penicillin", "Penicillin, two crossed terms", "144; 24, 6", target=1e-3, **example("penicillin")),
    Shape(
        "insteval",
        "InstEval, three scalar terms",
        "73,421; 2972, 1128, 14",
        target=0.15,
        published="mixedlm 1.5, GPBoost 2.2, lme4 3.0, MixedModels.jl 1.2 (4 cores)",
        formula="y ~ service + (1 | s) + (1 | d) + (1 | dept)",
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
        is_large=True,
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
        "long_tailed",
        "ratings, half of the items seen once",
        "300,000; 20,000, 12,000",
        generators.long_tailed,
        lambda: generators.long_tailed(15_000, (1000, 600)),
        None,
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
    ),
    Shape(
        "maximal_variances",
        "maximal, variances only",
        "1790; 56, 32; 16 thetas",
        generators.maximal,
        lambda: generators.maximal(20, 12),
        0.05,
        "mixedlm 3.0, lme4 9.4",
        formula="y ~ a * b * c + (a * b * c || s) + (a * b * c || i)",
    ),
    Shape(
        "longitudinal_10k",
        "longitudinal `(x \\| g)`, 10^4 rows",
        "10,000; 1000",
        lambda: generators.grouped_slopes(10_000, 1000),
        lambda: generators.grouped_slopes(2000, 200),
        0.005,
        formula="y ~ x + (x | g)",
    ),
    Shape(
        "longitudinal_100k",
        "longitudinal `(x \\| g)`, 10^5 rows",
        "100,000; 10,000",
        lambda: generators.grouped_slopes(100_000, 10_000),
        lambda: generators.grouped_slopes(10_000, 1000),
        0.030,
        formula="y ~ x + (x | g)",
    ),
    Shape(
        "longitudinal",
        "longitudinal `(x \\| g)`, 10^6 rows",
        "1,000,000; 100,000",
        lambda: generators.grouped_slopes(1_000_000, 100_000),
        lambda: generators.grouped_slopes(20_000, 2000),
        0.25,
        "mixedlm 1.5, lme4 9",
        formula="y ~ x + (x | g)",
        core_target=0.030,
        is_large=True,
    ),
    Shape(
        "ten_effects",
        "longitudinal `(x1 + ... + x9 \\| g)`",
        "1,000,000; 10,000; 55 thetas",
        generators.many_slopes,
        lambda: generators.many_slopes(20_000, 200),
        2.0,
        formula="y ~ {0} + ({0} | g)".format(" + ".join(f"x{k}" for k in range(1, 10))),
        is_large=True,
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
        is_large=True,
    ),
    Shape(
        "factorial",
        "five-way factorial, 19 terms, balanced",
        "20,000; 5 to 4000",
        generators.factorial,
        lambda: generators.factorial((3, 4, 4, 3, 3)),
        None,
        "slower in MixedModels.jl than in lme4",
        formula=generators.factorial_formula(),
        is_large=True,
    ),
    Shape(
        "factorial_unbalanced",
        "the same factorial, unbalanced",
        "20,000; 5 to 4000",
        lambda: generators.factorial(rows=20_000),
        lambda: generators.factorial((3, 4, 4, 3, 3), rows=400),
        None,
        "slower in MixedModels.jl than in lme4",
        formula=generators.factorial_formula(),
        is_large=True,
    ),
    Shape(
        "worker_firm",
        "worker-firm, moves to neighbouring markets",
        "1,000,000; 200,000, 20,000",
        generators.worker_firm,
        lambda: generators.worker_firm(5, 4000, 400),
        10.0,
        formula="y ~ x + (1 | worker) + (1 | firm)",
        is_large=True,
    ),
    Shape(
        "worker_firm_wide",
        "worker-firm, moves to any market",
        "1,000,000; 200,000, 20,000",
        lambda: generators.worker_firm(neighbours_only=False),
        lambda: generators.worker_firm(5, 4000, 400, market=20, neighbours_only=False),
        10.0,
        formula="y ~ x + (1 | worker) + (1 | firm)",
        is_large=True,
    ),
    Shape(
        "refit",
        "`refit_many`, 1000 responses, a fit on one thread",
        "180; 18",
        generators.responses,
        lambda: generators.responses(20),
        30e-6,
        "lme4 6.4e-3, MixedModels.jl 0.7e-3",
        formula="y ~ x + (x | g)",
        kind="refit",
    ),
    Shape(
        "small",
        "`fit_arrays`, 10,000 tables, a fit",
        "180; 18",
        lambda: list(generators.small_tables()),
        lambda: list(generators.small_tables(20)),
        60e-6,
        formula="y ~ x + (x | g)",
        kind="small",
    ),
)
BY_NAME = {shape.name: shape for shape in SHAPES}
