"""Times a fit by moments of crossed ratings, by default 32 million rows with 200,948 users and 84,432 items.

    python benchmarks/moments.py [--rows 32000000] [--repeat 3] [--margins counts.npz] [--once] [--repeated]

`--margins` takes the numbers of rows of each user and item from a file with the arrays user_counts and movie_counts;
otherwise they are long-tailed. Users and items are paired at random, without pairs that occur twice, and so a bit
more evenly than the margins say; with `--repeated` as they come. Prints the seconds of one process, user and system,
and on the clock; the smallest of the repetitions is the least disturbed.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import henderson as hd

LEVELS = (200_948, 84_432)
TRUTH = {"user": 0.42, "item": 0.50, "Residual": 0.85}
"""Standard deviations."""
MEAN = 3.5
SPARE = 1.16
"""So many times more pairs are drawn: about an eighth of them occur twice and are dropped."""


def margins(rows: int, levels: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Long-tailed numbers of rows of each level, at least one, that add up to `rows`."""
    shares = generator.lognormal(0.0, 1.5, levels)
    counts = 1 + np.floor(shares / shares.sum() * (rows - levels)).astype(np.int64)
    counts[: rows - int(counts.sum())] += 1
    return counts


def ratings(
    users: NDArray[Any], items: NDArray[Any], seed: int = 1, *, repeated: bool = False
) -> tuple[NDArray[Any], list[NDArray[np.int32]]]:
    """Responses and codes: users and items paired at random, rows in the order of the users."""
    generator = np.random.default_rng(seed)
    if not repeated:
        users, items = (np.ceil(SPARE * counts).astype(np.int64) for counts in (users, items))
    i = np.repeat(np.arange(len(users), dtype=np.int32), users)
    j = generator.permutation(np.repeat(np.arange(len(items), dtype=np.int32), items))
    i, j = i[: min(len(i), len(j))], j[: min(len(i), len(j))]
    if not repeated:
        keys = np.unique(i.astype(np.int64) * len(items) + j)
        i, j = (keys // len(items)).astype(np.int32), (keys % len(items)).astype(np.int32)
    y = TRUTH["Residual"] * generator.standard_normal(len(i), dtype=np.float32)
    y += MEAN
    for codes, levels, name in ((i, len(users), "user"), (j, len(items), "item")):
        y += (TRUTH[name] * generator.standard_normal(levels)).astype(np.float32)[codes]
    return y, [i, j]


def timed(y: NDArray[Any], codes: list[NDArray[np.int32]], once: bool) -> tuple[Any, float, float]:
    """The fit, seconds of this process, seconds on the clock."""
    before, clock = time.process_time(), time.perf_counter()
    if once:
        fit = hd.fit_moments_batches(iter([(y, None, codes)]), groups=["user", "item"])
    else:
        fit = hd.fit_moments(y, codes=codes, groups=["user", "item"])
    return fit, time.process_time() - before, time.perf_counter() - clock


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--margins", help="an .npz file with user_counts and movie_counts")
    parser.add_argument("--once", action="store_true", help="one pass: no fourth moments, no cluster-robust covariance")
    parser.add_argument("--repeated", action="store_true", help="keep pairs that occur several times")
    options = parser.parse_args(arguments)
    generator = np.random.default_rng(0)
    if options.margins:
        file = np.load(options.margins)
        counts = file["user_counts"], file["movie_counts"]
    else:
        counts = tuple(margins(options.rows, levels, generator) for levels in LEVELS)
    y, codes = ratings(*counts, repeated=options.repeated)
    start = _peak()
    print(f"{len(y):,} rows, {len(counts[0]):,} users, {len(counts[1]):,} items; true sd {TRUTH}")
    fit = None
    for _ in range(options.repeat):
        fit, seconds, clock = timed(y, codes, options.once)
        print(f"{seconds:7.2f} s of processor time, {clock:7.2f} s on the clock")
    print(f"largest memory {_peak():.2f} GiB, {start:.2f} before the fits")
    print(fit)


if __name__ == "__main__":
    main(sys.argv[1:])
