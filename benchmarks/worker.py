"""One package and one shape in a process of its own: `python benchmarks/worker.py PACKAGE SHAPE FILE`.

FILE has the pickled data. The first answer is {"before_bytes": ...}, or {"cannot": ...}, or {"failed": ...}; then each
line of the input is a request: {"do": "turn"} times the package; of henderson, {"do": "needs"} counts work and memory
and {"do": "anatomy", ...} also takes its time apart. Requests and answers are JSON, one a line.
"""

import argparse
import gc
import json
import os
import pickle
import statistics
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import anatomy
import memory
import packages
import shapes

SHORT = 0.1  # seconds: shorter calls are repeated in a turn, up to so long
MOST_CALLS = 20
MEMORY_PART = 0.6  # of the machine's


class Turns:
    """The calls of one package, and what the last one returned."""

    def __init__(self, package: packages.Package, fit: packages.Fit) -> None:
        self.package, self.fit = package, fit
        self.found: Any = None

    def turn(self) -> dict[str, Any]:
        """Seconds of a fit, the median where calls are short; peak memory; what is read of the fit."""
        seconds: list[float] = []
        known: dict[str, Any] = {}
        while not seconds or (sum(seconds) < SHORT and len(seconds) < MOST_CALLS):
            self.found = None
            begun = time.perf_counter()
            self.found = self.fit.call()
            elapsed = time.perf_counter() - begun
            known = self.fit.read(self.found)
            seconds.append(known.pop("seconds", elapsed))
        a_fit = statistics.median(seconds) / self.fit.fits
        return known | {"seconds": a_fit, "fits": self.fit.fits, "peak_bytes": memory.peak(self.package.pid)}


def warm_up(package: packages.Package) -> None:
    """Load what a first fit loads: a tiny fit, with a factor among the fixed effects."""
    rng = np.random.default_rng(0)
    g, f = np.repeat(np.arange(10), 8), np.tile(["a", "b"], 40)
    y = rng.normal(size=10)[g] + rng.normal(size=80)
    tiny = pd.DataFrame({"y": y, "x": rng.normal(size=80), "f": pd.Categorical(f), "g": pd.Categorical(g)})
    fit = package.one("y ~ x * f + (1 | g)", tiny)
    fit.read(fit.call())


def serve(package: packages.Package, shape: shapes.Shape, file: Path, say: Any) -> None:
    """Answer requests until the input ends."""
    if not isinstance(package, packages.Lme4):  # whose server does it
        warm_up(package)
    with file.open("rb") as stored:
        data = pickle.load(stored)
    turns = Turns(package, package.prepare(shape, data))
    gc.collect()
    before = memory.resident(package.pid)
    memory.reset_peak(package.pid)
    say({"before_bytes": before})
    for line in sys.stdin:
        request = json.loads(line)
        match request.pop("do"):
            case "turn":
                say(turns.turn())
            case "needs":
                say(anatomy.needs(shape, data, turns.found))
            case "anatomy":
                say(anatomy.measure(shape, data, turns.found, **request))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("package", choices=packages.BY_NAME)
    parser.add_argument("shape", choices=shapes.BY_NAME)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # some packages print

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers)

    warnings.simplefilter("ignore")
    memory.limit(MEMORY_PART)
    package = packages.BY_NAME[options.package]()
    try:
        serve(package, shapes.BY_NAME[options.shape], options.file, say)
    except packages.CannotFitError as reason:
        say({"cannot": str(reason)})
    except MemoryError:
        say({"failed": "out of memory"})
    except Exception as error:  # a failure is a result
        traceback.print_exc()
        say({"failed": f"{type(error).__name__}: {error}"[:200]})
    package.close()


if __name__ == "__main__":
    main()
