"""Progress of work that fits one model after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from henderson.progress import StepLine


@contextmanager
def steps(what: str, total: int, *, progress: bool) -> Iterator[Callable[[], None]]:
    """Give what is to be called after each of `total` steps: it draws a line on stderr, or does nothing."""
    line = StepLine(what, total) if progress else None
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if line is not None:
            line(done)

    try:
        yield step
    finally:
        if line is not None:
            line.close()
