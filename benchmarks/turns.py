"""Packages that take turns on one shape, each in a process of its own, stopped when a turn takes too long."""

import contextlib
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

SETUP = 300.0  # seconds a package may take to load the data and to warm up
PAUSE = 0.2  # seconds between turns, in which the threads of the last one fall asleep
SHARE = 0.25  # of the budget: a peer whose turns have taken so long takes no more
PATIENCE = 4.0  # budgets that a call of henderson may take


class Worker:
    """A process of worker.py, in a group of its own so that all it starts can be stopped."""

    def __init__(self, package: str, shape: str, file: Path) -> None:
        script = Path(__file__).with_name("worker.py")
        command = [sys.executable, "-W", "ignore", str(script), package, shape, str(file)]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True
        )
        self.is_running = True

    def answer(self, limit: float) -> dict[str, Any]:
        """The next line the process writes; {"stopped": limit} and {"failed": ...} end it."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], limit)
        found: dict[str, Any] = {"stopped": limit}
        if ready:
            line = self._process.stdout.readline()
            found = json.loads(line) if line else {"failed": self._last_words()}
        if found.keys() & {"stopped", "failed", "cannot"}:
            self.close()
        return found

    def ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return self.answer(limit)

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        text = self._errors.read()
        if "memory" in text or code == -signal.SIGKILL:
            return "out of memory"
        lines = text.strip().splitlines() or [f"ended with {code}"]
        return lines[-1][:200]

    def close(self) -> None:
        """End the process and what it started."""
        if self.is_running:
            self.is_running = False
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._errors.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def take_turns(workers: dict[str, Worker], turns: int, budget: float) -> dict[str, dict[str, Any]]:
    """What each package did: median seconds of its turns, and what the first turn found; or why there is none.

    A call may take `budget` seconds, one of henderson longer. henderson takes all turns, the others until they have
    taken their share of the budget.
    """
    records = {name: worker.answer(SETUP) for name, worker in workers.items()}
    taken: dict[str, list[float]] = {name: [] for name in workers}
    spent = dict.fromkeys(workers, 0.0)
    for _ in range(turns):
        for name, worker in workers.items():
            if not worker.is_running or (name != "henderson" and spent[name] > SHARE * budget):
                continue
            begun = time.perf_counter()
            found = worker.ask({"do": "turn"}, budget * (PATIENCE if name == "henderson" else 1.0))
            spent[name] += time.perf_counter() - begun
            if not taken[name]:
                records[name] |= found
            if "seconds" in found:
                taken[name].append(found["seconds"])
            if name != "henderson" and spent[name] > SHARE * budget:
                worker.close()
            time.sleep(PAUSE)
    for name, seconds in taken.items():
        if seconds:
            records[name] |= {"seconds": statistics.median(seconds), "turns": len(seconds), "all_seconds": seconds}
    return records
