"""``henderson bench``: how long fits take on this machine, from table to optimum.

A few shapes of data, bundled or simulated with a fixed seed, small enough for a minute. The project's own benchmark,
with more shapes and all peers in processes of their own, is in the folder benchmarks of the sources.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from henderson import _core, _version, datasets, errors_cli
from henderson.cli.files import emit
from henderson.cli.models import positive
from henderson.formatting import matrix

EXAMPLES = """\
examples:
  henderson bench
  henderson bench --repeats 20 --shape sleepstudy --shape crossed
  henderson bench --peers --json
"""
ROWS = 100_000
HEADER = ("Rows", "Groups", "Evaluations", "Seconds")
PEER = "statsmodels"
MODEST = 1_000
"""Rows that the peer, whose time grows with the square of the rows of a group, is asked to fit at most."""


@dataclass(frozen=True)
class Shape:
    """A model and how to make its data.

    Attributes
    ----------
    formula
        In lme4's language.
    data
        Makes the table.
    peer
        The same model in the peer's arguments: fixed effects, column of the groups, effects of a group; None if the
        peer has no such models.
    """

    formula: str
    data: Callable[[], Any]
    peer: tuple[str, str, str] | None = None


def _grouped(levels: int) -> Any:
    """Rows in groups with an intercept and a slope each."""
    import pandas as pd

    rng = np.random.default_rng(1)
    g, x = rng.integers(levels, size=ROWS), rng.normal(size=ROWS)
    effects = rng.normal(size=(levels, 2)) * [1.0, 0.5]
    y = 1.0 + 0.3 * x + effects[g, 0] + effects[g, 1] * x + rng.normal(size=ROWS)
    return pd.DataFrame({"y": y, "x": x, "g": g})


def _crossed(first: int, second: int) -> Any:
    """Ratings of items by subjects: each row one of each, at random."""
    import pandas as pd

    rng = np.random.default_rng(2)
    s, i, x = rng.integers(first, size=ROWS), rng.integers(second, size=ROWS), rng.normal(size=ROWS)
    y = 0.3 * x + rng.normal(size=first)[s] + 0.7 * rng.normal(size=second)[i] + rng.normal(size=ROWS)
    return pd.DataFrame({"y": y, "x": x, "s": s, "i": i})


SHAPES = {
    "sleepstudy": Shape(
        "Reaction ~ Days + (Days | Subject)", datasets.load_sleepstudy, ("Reaction ~ Days", "Subject", "~ Days")
    ),
    "dyestuff": Shape("Yield ~ 1 + (1 | Batch)", datasets.load_dyestuff, ("Yield ~ 1", "Batch", "~ 1")),
    "penicillin": Shape("diameter ~ 1 + (1 | plate) + (1 | sample)", datasets.load_penicillin),
    "pastes": Shape("strength ~ 1 + (1 | batch/cask)", datasets.load_pastes),
    "slopes": Shape("y ~ x + (x | g)", lambda: _grouped(ROWS // 20)),
    "crossed": Shape("y ~ x + (1 | s) + (1 | i)", lambda: _crossed(ROWS // 20, 100)),
}


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "bench",
        help="time fits on this machine",
        description="Median seconds of a fit, from table to optimum, for a few bundled and simulated shapes of data.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=positive, default=5, metavar="K", help="fits per shape (default: 5)")
    parser.add_argument("--shape", action="append", choices=SHAPES, help="only this one; may be repeated")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads (default: by size of the problem)")
    parser.add_argument(
        "--peers",
        action="store_true",
        help=f"time {PEER} too where it has the model, up to {MODEST} rows; its criterion is shown relative to ours",
    )
    parser.add_argument("--json", action="store_true", help="print the times as JSON")
    parser.add_argument("--output", "-o", metavar="FILE", help="write to a file instead of standard output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Time the shapes, show the table."""
    if options.peers and importlib.util.find_spec(PEER) is None:
        raise errors_cli.no_reference_time([PEER])
    found = [_timed(name, SHAPES[name], options) for name in dict.fromkeys(options.shape or SHAPES)]
    machine = {
        "henderson": _version.__version__,
        "core": _core.SIMD,
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "repeats": options.repeats,
    }
    if options.json:
        emit(options, json.dumps({"machine": machine, "shapes": found}, indent=2))
    else:
        emit(options, _text(machine, found))


def _timed(name: str, shape: Shape, options: argparse.Namespace) -> dict[str, Any]:
    from henderson.fitting import lmer

    data = shape.data()
    fit = lmer(shape.formula, data, threads=options.threads)  # not timed: the first fit loads what it needs
    seconds = _seconds(lambda: lmer(shape.formula, data, threads=options.threads), options.repeats)
    found: dict[str, Any] = {
        "shape": name,
        "formula": shape.formula,
        "rows": fit.nobs,
        "groups": list(fit.ngroups.values()),
        "evaluations": fit.optimum.evaluations,
        "seconds": seconds,
    }
    if options.peers and shape.peer is not None and fit.nobs <= MODEST:
        found |= _peer(shape.peer, data, options.repeats, fit.criterion)
    return found


def _seconds(fit: Callable[[], Any], repeats: int) -> float:
    """Median seconds of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        fit()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _peer(model: tuple[str, str, str], data: Any, repeats: int, criterion: float) -> dict[str, Any]:
    """The peer's time, and by how much its criterion is above ours."""
    import warnings

    mixedlm = importlib.import_module(f"{PEER}.formula.api").mixedlm

    formula, groups, effects = model
    plain = data.assign(**{groups: data[groups].astype(str)})

    def fit() -> Any:
        return mixedlm(formula, plain, groups=groups, re_formula=effects).fit(reml=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        above = -2.0 * fit().llf - criterion
        return {f"{PEER}_seconds": _seconds(fit, repeats), f"{PEER}_above": float(above)}


def _text(machine: dict[str, Any], found: list[dict[str, Any]]) -> str:
    columns = [
        [f"{row['rows']:,}" for row in found],
        [" x ".join(f"{groups:,}" for groups in row["groups"]) for row in found],
        [str(row["evaluations"]) for row in found],
        [f"{row['seconds']:.5f}" for row in found],
    ]
    header = list(HEADER)
    if any(f"{PEER}_seconds" in row for row in found):
        header += [PEER, "criterion"]
        columns.append([f"{row[f'{PEER}_seconds']:.5f}" if f"{PEER}_seconds" in row else "" for row in found])
        columns.append([f"{row[f'{PEER}_above']:+.4f}" if f"{PEER}_above" in row else "" for row in found])
    title = (
        f"henderson {machine['henderson']} ({machine['core']}), Python {machine['python']}, "
        f"{machine['processors']} processors: median of {machine['repeats']} fits, table to optimum"
    )
    return "\n".join([title, *matrix([f" {row['shape']}" for row in found], header, columns)])
