"""One core, built for several instruction sets: the best is picked, another can be asked for, results agree."""

import importlib.util
import os
import subprocess
import sys

import pytest

from henderson import _core, _cpu

AVAILABLE = [f"v{i}" for i in (1, 3, 4) if i <= _cpu.LEVEL and importlib.util.find_spec(f"henderson._core_v{i}")]
FIT = """
import henderson
fit = henderson.lmer("Reaction ~ Days + (Days | Subject)", henderson.datasets.load_sleepstudy())
from henderson import _core
print(_core.SIMD, fit.criterion.hex(), *(value.hex() for value in fit.theta))
"""


def run(code, variant):
    environment = os.environ | {"HENDERSON_SIMD": variant}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_the_best_build_is_picked_unless_another_is_asked_for():
    assert os.environ.get("HENDERSON_SIMD", AVAILABLE[-1]).lower() == _core.SIMD
    assert _cpu.LEVEL in (1, 3, 4)


@pytest.mark.parametrize("variant", AVAILABLE)
def test_every_build_finds_the_same_optimum(variant):
    name, criterion, *theta = run(FIT, variant).stdout.split()
    assert name == variant
    assert float.fromhex(criterion) == pytest.approx(1743.62827195849, rel=1e-12)
    assert [float.fromhex(value) for value in theta] == pytest.approx([0.96673, 0.01517, 0.23091], abs=1e-5)


def test_asking_for_a_build_that_is_not_there_says_which_are():
    result = run("from henderson import _core", "v2")
    assert result.returncode != 0
    assert "HENDERSON_SIMD" in result.stderr
    assert all(repr(variant) in result.stderr for variant in AVAILABLE)


def test_classes_of_the_core_are_named_alike_in_every_build():
    assert _core.Problem.__module__ == _core.Optimum.__module__ == "henderson._core"
