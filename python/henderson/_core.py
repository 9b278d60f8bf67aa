"""The compiled core: of the builds for several instruction sets, the best one this processor runs.

``HENDERSON_SIMD=v1|v3|v4`` in the environment forces one of them: v1 is baseline x86-64 (the only one on other
processors), v3 adds AVX2 and FMA, v4 AVX-512.
"""

import os
from importlib import import_module
from importlib.util import find_spec

from henderson import _cpu, errors


def _variant() -> str:
    """The build to load: the one asked for, or the best of those installed that this processor runs."""
    levels = [level for level in (4, 3, 1) if level <= _cpu.LEVEL and find_spec(f"henderson._core_v{level}")]
    available = [f"v{level}" for level in levels]
    wanted = os.environ.get("HENDERSON_SIMD", "").strip().lower()
    if wanted and wanted not in available:
        raise errors.choice("On this machine the environment variable HENDERSON_SIMD", wanted, available)
    return wanted or next(iter(available), "v1")


SIMD = _variant()
_module = import_module(f"henderson._core_{SIMD}")
__all__ = ["SIMD", *(name for name in vars(_module) if not name.startswith("_"))]
for _name in __all__[1:]:
    _value = globals()[_name] = getattr(_module, _name)
    if isinstance(_value, type):
        _value.__module__ = __name__  # pickles name this module: they load on machines that pick another build
