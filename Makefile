# make demo    install into .venv and fit a first model        make test        install, run all tests, check the packages
# make lint    ruff, clang-format                              make typecheck   mypy --strict
# make cpp-test  C++ tests under ASan and UBSan                make bench       every shape against the peers from PyPI, lme4
# make docs    the pages as a site, in build/site             make test-torch  PyTorch's tests (it takes some gigabytes)
# make bench-shapes  time of every shape, henderson alone      make bench-check work and memory against their baseline
# Options of the benchmark: make bench OPTIONS="--only nested,refit"; see benchmarks/run.py.
# Needs python3 >= 3.11 with venv and headers, a C++20 compiler and git; everything else comes from PyPI into .venv.

PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
OPTIONS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CLANG_FORMAT := $(BIN)/clang-format

# The core is compiled for the best instruction set of this machine, as henderson._cpu judges it. Wheels have them all.
flags := $(shell grep -sm1 ^flags /proc/cpuinfo)
level_3 := avx avx2 fma bmi1 bmi2 f16c abm movbe
level_4 := $(level_3) avx512f avx512cd avx512bw avx512dq avx512vl
runs = $(if $(filter-out $(flags),$(1)),,$(2))
best := $(or $(call runs,$(level_4),v4),$(call runs,$(level_3),v3),v1)
builds := --config-settings='cmake.define.HENDERSON_VARIANTS=$(best)'

export PATH := $(abspath $(BIN)):$(PATH)

cpp_files := $(wildcard cpp/core/*.?pp cpp/bindings/*.?pp cpp/tests/*.?pp)
package_files := $(cpp_files) CMakeLists.txt pyproject.toml README.md \
	$(shell find python -type f -not -name '*.pyc' -not -path '*/.*')

.PHONY: demo test quick-test test-torch lint format typecheck cpp-test docs bench bench-shapes bench-check clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/python -m henderson fit "Reaction ~ Days + (Days | Subject)" sleepstudy

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --packaging -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term

quick-test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow" -q

test-torch: $(VENV)/.installed-dev
	$(PIP) install --quiet 'torch>=2.2'
	$(BIN)/python -m pytest -q tests/test_differentiable_torch.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(CLANG_FORMAT) --dry-run --Werror $(cpp_files)

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(CLANG_FORMAT) -i $(cpp_files)

typecheck: $(VENV)/.installed-dev
	$(BIN)/mypy

cpp-test: $(VENV)/.ready
	$(BIN)/cmake --preset sanitize -DPython_EXECUTABLE="$(abspath $(BIN)/python)"
	$(BIN)/cmake --build --preset sanitize
	$(BIN)/ctest --preset sanitize

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/site/figures.py
	$(BIN)/python -m sphinx -q -W --keep-going -a -j auto -c docs/site -d build/doctrees . build/site
	@echo "Open build/site/index.html"

bench: $(BENCH_VENV)/.installed
	$(BENCH_VENV)/bin/python benchmarks/run.py $(OPTIONS)

bench-shapes: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/run.py --packages henderson $(OPTIONS)

bench-check: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/check.py $(OPTIONS)

clean:
	rm -rf build dist $(VENV) $(BENCH_VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

# The build requirements live in .venv and pip builds without isolation, so that compiled objects are reused;
# the packaging test builds in isolation, from a clean tree.
$(VENV)/.ready: pyproject.toml .ci/check_prerequisites
	@.ci/check_prerequisites "$(PYTHON)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' > $(VENV)/build-requirements.txt
	$(PIP) install --quiet -r $(VENV)/build-requirements.txt cmake ninja
	@touch $@

$(VENV)/.installed: $(VENV)/.ready $(package_files)
	@echo "Building and installing henderson into $(VENV) (the first time: a few minutes) ..."
	$(PIP) install --quiet --no-build-isolation $(builds) .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.ready $(package_files)
	@echo "Building and installing henderson[dev] into $(VENV) (the first time: a few minutes) ..."
	$(PIP) install --quiet --no-build-isolation $(builds) ".[dev]"
	@touch $@ $(VENV)/.installed

# The peers live apart from the packages that the tests run with.
$(BENCH_VENV)/.installed: $(VENV)/.ready $(package_files)
	@echo "Building henderson and installing it with its peers into $(BENCH_VENV) (the first time: a few minutes) ..."
	rm -rf $(BENCH_VENV)/wheel
	$(PYTHON) -m venv $(BENCH_VENV)
	$(PIP) wheel --quiet --no-build-isolation --no-deps --wheel-dir $(BENCH_VENV)/wheel .
	$(BENCH_VENV)/bin/python -m pip install --quiet --force-reinstall --no-deps $(BENCH_VENV)/wheel/*.whl
	$(BENCH_VENV)/bin/python -m pip install --quiet "henderson[bench,plots,arrow]"
	@touch $@
