"""Resident memory of a process and its peak.

On Linux /proc has both, of any process, and the peak can be reset to what is resident now. `ru_maxrss` is the same
peak, but a process inherits it from the one that started it, and it cannot be reset; it serves where there is no /proc.
"""

import contextlib
import os
import resource
import sys
from pathlib import Path


def resident(pid: int) -> int:
    """Bytes in memory now; the peak where that is not known."""
    return _status(pid, "VmRSS:") or _maximum()


def peak(pid: int) -> int:
    """Most bytes in memory since the start or the last `reset_peak`."""
    return _status(pid, "VmHWM:") or _maximum()


def reset_peak(pid: int) -> None:
    """Let the peak start from what is resident now, where the system can."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def limit(part: float) -> None:
    """Refuse this process and its children more than a part of the machine's memory, so that nothing else suffers."""
    if sys.platform == "linux":
        most = int(part * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _status(pid: int, key: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(key):
                return 1024 * int(line.split()[1])
    return 0


def _maximum() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
