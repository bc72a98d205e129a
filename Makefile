# Set-up is done once and by itself: every target makes what it needs in .venv. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS ?=
TEST_JOBS ?= 2
TEST_ARGS ?=
DEMO_ARGS ?=
BENCH ?= benchmarks/guard.py

# One thread a test process, TEST_JOBS processes: two that each take every core are slower than one.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt
# Compiled tests are kept for the next run, wherever Python was told to keep nothing: that is 7 seconds a process.
KEEP_COMPILED := PYTHONDONTWRITEBYTECODE=
PINS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup demo check format test bench guide clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo "  Settings: PYTHON=python3.12 (for a new .venv), DEMO_ARGS=..., TEST_ARGS=..., TEST_JOBS=2, BENCH=benchmarks/one.py"

setup: $(VENV)/.dev  ## make .venv with narrows and the development tools

demo: $(VENV)/.core  ## train on the embedded images and put the model to use; writes into demo/
	$(BIN)/narrows demo -o demo $(DEMO_ARGS)

check: $(VENV)/.dev  ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(VENV)/.dev  ## run the tests
	$(ONE_THREAD) $(KEEP_COMPILED) $(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder $(TEST_ARGS)

bench: $(VENV)/.dev  ## see in three minutes whether anything became slower; BENCH=benchmarks/one.py measures a claim and records it
	@set -e; for script in $(BENCH); do echo "$$script"; $(BIN)/python $$script; done

guide: $(VENV)/.docs  ## build the guide into site/, from docs/
	$(BIN)/mkdocs build --strict --clean

clean:  ## remove caches, builds and demo/; .venv stays
	rm -rf demo site build dist src/*.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The core is all that the demo needs; with the development tools, it is there too.
$(VENV)/.core: $(PINS) | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(PINS) | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@touch $(VENV)/.core $@

$(VENV)/.docs: $(PINS) | $(BIN)/python
	$(INSTALL) -e '.[docs]'
	@touch $(VENV)/.core $@

# Some systems ship Python without ensurepip: then the system's pip puts one into the new environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "narrows needs Python 3.11 or newer; $(PYTHON) is %d.%d: give another, make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV) || \
		{ $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install pip; }
