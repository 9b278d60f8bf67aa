"""What users install. Sdist and wheel from a clean tree, the wheel into an empty environment."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from henderson import _cpu

pytestmark = pytest.mark.packaging
ROOT = Path(__file__).parents[1]
VARIANT = "v3" if _cpu.LEVEL > 3 else "v1"
"""The instruction set below the best of this machine, which is what `make` compiles for."""

SMOKE_FIT = """
import sys
import henderson
assert not {"formulaic", "matplotlib", "polars", "pyarrow"} & set(sys.modules)
from henderson.datasets import load_sleepstudy
fit = henderson.lmer("Reaction ~ Days + (Days | Subject)", load_sleepstudy())
assert abs(fit.criterion - 1743.62827195849) < 1e-7, fit.criterion
print(henderson.__file__, henderson.__version__)
"""


def run(*command, **options):
    result = subprocess.run(
        [str(c) for c in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}"
    return result.stdout


def clean_environment(**extra):
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "HENDERSON_SIMD")
    kept = {k: v for k, v in os.environ.items() if k not in dropped and not k.startswith(("COV_", "COVERAGE_"))}
    return kept | extra


@pytest.fixture(scope="module")
def clean_tree(tmp_path_factory):
    """The files git knows, and new ones it does not ignore, without any build output."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    tree = tmp_path_factory.mktemp("tree")
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    return tree


@pytest.fixture(scope="module")
def distributions(clean_tree, tmp_path_factory):
    """`python -m build`: the sdist from the tree, the wheel from the sdist, each in an isolated environment."""
    out = tmp_path_factory.mktemp("dist")
    builds = f"--config-setting=cmake.define.HENDERSON_VARIANTS={VARIANT}"
    run(sys.executable, "-m", "build", "--outdir", out, builds, clean_tree, env=clean_environment())
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return sdist, wheel


def test_sdist_holds_the_sources_and_no_build_output(distributions):
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "CMakeLists.txt",
        "LICENSE",
        "README.md",
        "cpp/bindings/module.cpp",
        "python/henderson/__init__.py",
    } <= names
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc")) or name.startswith(("build/", ".venv"))]


def test_wheel_holds_the_package_and_nothing_else(distributions):
    with zipfile.ZipFile(distributions[1]) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"henderson", "henderson-0.1.0.dist-info"}
    assert {"henderson/py.typed", "henderson/_core.pyi", "henderson/datasets/sleepstudy.csv"} <= set(names)
    assert not [name for name in names if name.endswith((".cpp", ".hpp", ".c", ".h"))]
    assert re.findall(r"henderson/_core_(v\d)\.", "\n".join(names)) == [VARIANT]


def test_without_a_choice_every_build_is_installed(clean_tree, tmp_path):
    """Configured only: compiling all of them is what `VARIANT` saves here."""
    found = run(sys.executable, "-m", "pybind11", "--cmakedir").strip()
    options = ("-G", "Ninja", "-DSKBUILD=ON", f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={found}")
    run("cmake", "-S", clean_tree, "-B", tmp_path, *options)
    installed = set(re.findall(r"/_core_(v\d)\.", (tmp_path / "cmake_install.cmake").read_text()))
    assert installed == ({"v1", "v3", "v4"} if platform.machine() in ("x86_64", "AMD64") else {"v1"})


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel is for Linux")
def test_wheel_needs_no_library_outside_the_manylinux_set(distributions, tmp_path):
    environment = clean_environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    shown = run(sys.executable, "-m", "auditwheel", "show", distributions[1], env=environment)
    assert "manylinux" in shown, shown
    run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", tmp_path, distributions[1], env=environment)
    (repaired,) = tmp_path.glob("*manylinux*.whl")
    with zipfile.ZipFile(repaired) as archive:
        assert not [name for name in archive.namelist() if name.startswith("henderson.libs/") and ".so" in name]


def test_wheel_fits_in_an_empty_environment(distributions, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    environment = clean_environment()
    run(python, "-m", "pip", "install", "--quiet", distributions[1], env=environment, cwd=tmp_path)
    where = run(python, "-W", "error", "-c", SMOKE_FIT, env=environment, cwd=tmp_path)
    assert str(tmp_path) in where
    shown = run(
        python,
        "-m",
        "henderson",
        "fit",
        "Reaction ~ Days + (Days | Subject)",
        "sleepstudy",
        env=environment,
        cwd=tmp_path,
    )
    assert "1743.6" in shown
