"""What one core of this machine can do, and what an evaluation of the criterion with its derivatives needs of it.

    python benchmarks/limits.py          prints the rates of one core as JSON

Work is counted from the layout the core describes (`fit.blocks`); conventions are in docs/performance.md.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

BYTES = 8  # of a double
BUFFERS = (1 << 18, 1 << 22, 1 << 28)  # bytes: fits the second-level cache, the third-level cache, only memory
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL", "VECLIB", "BLIS")}


class Work(NamedTuple):
    """Floating-point operations and bytes of one evaluation, and the numbers stored.

    Attributes
    ----------
    value_flops
        To form and factor M, and to solve for the fixed effects: the criterion alone.
    flops
        With the gradient and the average information matrix.
    bytes
        Moved by one evaluation with derivatives if each stored number is read or written as rarely as possible.
    cross_bytes, stored_bytes
        Of the cross-products A and of the Cholesky factor L.
    storage
        "block diagonal", or that of the Schur complement: "dense" or "sparse".
    """

    value_flops: float
    flops: float
    bytes: float
    cross_bytes: float
    stored_bytes: float
    storage: str


def work(description: Sequence[dict[str, Any]], columns: int, thetas: int) -> Work:
    """Count the work for a layout, `columns` of X and y together, and a number of thetas.

    The inverse's blocks cost twice the factorisation, or as much as the update they mirror: three times the value
    in all. Each theta costs one more forward solve with L and one product with A (average information).
    """
    factors = [each for each in description if "factor" in each]
    schur = next((each for each in description if "factor" not in each), None)
    leading = next(each for each in factors if each["role"] == "leading")
    levels, s = leading["levels"], leading["effects"]
    effects = sum(each["levels"] * each["effects"] for each in factors)

    factor_flops = levels * s**3 / 3
    l_entries = a_entries = levels * s * (s + 1) / 2
    stored = float(levels * s * s)
    storage = "block diagonal"
    if schur is not None:
        coupling = schur["coupling_entries"]
        factor_flops += coupling * s + schur["update_flops"] + schur["factor_flops"]
        dense = schur["storage"] == "dense"
        l_entries += coupling + (schur["size"] * (schur["size"] + 1) / 2 if dense else schur["entries"])
        a_entries += coupling + schur["entries_before"]
        stored += coupling + schur["entries"]
        storage = schur["storage"]
    border = float(effects * columns)
    solves = 2 * columns * l_entries + border * columns
    return Work(
        value_flops=factor_flops + solves,
        flops=3 * factor_flops + 2 * solves + 2 * thetas * (l_entries + a_entries),
        bytes=BYTES * (a_entries + 2 * l_entries + 3 * border),
        cross_bytes=BYTES * (a_entries + border),
        stored_bytes=BYTES * (stored + border),
        storage=storage,
    )


def floor_seconds(needed: Work, rates: dict[str, Any]) -> tuple[float, str]:
    """Least time of one evaluation on one core, and what sets it: "flops" or "bytes"."""
    arithmetic = needed.flops / rates["gemm_flops"]
    moving = needed.bytes / stream_rate(needed.bytes, rates)
    return max((arithmetic, "flops"), (moving, "bytes"))


def stream_rate(size: float, rates: dict[str, Any]) -> float:
    """Bytes a second, over a buffer that lies in the same level of the memory as `size` bytes."""
    by_size: dict[str, float] = rates["stream_bytes"]
    fitting = [rate for buffer, rate in by_size.items() if size <= 2 * int(buffer)]
    return fitting[0] if fitting else by_size[str(BUFFERS[-1])]


def measure() -> dict[str, Any]:
    """Rates of one core, measured in a process of their own in which numpy's BLAS has one thread."""
    command = [sys.executable, str(Path(__file__)), "--here"]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, check=True, capture_output=True, text=True)
    rates: dict[str, Any] = json.loads(done.stdout)
    return rates


def _measure_here() -> dict[str, Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    n = 1536
    a, b = rng.normal(size=(n, n)), rng.normal(size=(n, n))
    product = np.empty((n, n))
    gemm = 2 * n**3 / _best(lambda: np.matmul(a, b, out=product), 8)
    streams = {}
    for size in BUFFERS:
        x, y = np.ones(size // BYTES // 2), np.ones(size // BYTES // 2)
        times = max(1, (1 << 27) // size)
        calls: tuple[Callable[[], object], ...] = (partial(x.dot, y), partial(np.copyto, x, y))
        streams[str(size)] = max(times * size / _best(partial(_repeat, call, times), 5) for call in calls)
    return {"gemm_flops": gemm, "stream_bytes": streams}


def _repeat(call: Callable[[], object], times: int) -> None:
    for _ in range(times):
        call()


def _best(call: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


if __name__ == "__main__":
    print(json.dumps(_measure_here() if "--here" in sys.argv else measure(), indent=1))
