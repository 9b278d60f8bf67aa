"""Progress lines on stderr: a fit by its distance from the optimum, longer work by its steps."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TextIO

from henderson.compiled import Callback, Vector

_BAR = 24


class ProgressLine:
    """A callback that rewrites one line per evaluation, then calls the user's callback.

    The bar fills as the expected further drop of the criterion falls, on a log scale, from 1 to the tolerance.
    """

    def __init__(self, tolerance: float, then: Callback | None = None, stream: TextIO | None = None) -> None:
        self._span = -math.log10(min(tolerance, 0.1))
        self._then = then
        self._stream = sys.stderr if stream is None else stream
        self._done = 0.0

    def __call__(self, theta: Vector, criterion: float, evaluation: int, decrement: float) -> object:
        """Draw the line."""
        if decrement > 0:
            self._done = max(self._done, min(1.0, max(0.0, -math.log10(decrement) / self._span)))
        filled = round(_BAR * self._done)
        bar = "#" * filled + "-" * (_BAR - filled)
        text = f"\r[{bar}] evaluation {evaluation:3d}  criterion {criterion:.6f}  expected drop {decrement:8.1e}"
        self._stream.write(text)
        self._stream.flush()
        return self._then(theta, criterion, evaluation, decrement) if self._then else None

    def close(self) -> None:
        """End the line."""
        self._stream.write("\n")
        self._stream.flush()


Report = Callable[[int, str], None]
"""Called with the number of steps done and a word about the current one."""


class StepLine:
    """A line on stderr for work of a known number of steps: a bar, the count, and what is being done."""

    def __init__(self, what: str, total: int, stream: TextIO | None = None) -> None:
        self._what, self._total = what, total
        self._stream = sys.stderr if stream is None else stream
        self._width = 0

    def __call__(self, done: int, text: str = "") -> None:
        """Draw the line."""
        filled = _BAR * done // max(self._total, 1)
        bar = "#" * filled + "-" * (_BAR - filled)
        line = f"[{bar}] {self._what} {done}/{self._total}  {text}"
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def close(self) -> None:
        """End the line."""
        self._stream.write("\n")
        self._stream.flush()
