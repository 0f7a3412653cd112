# The few commands a developer or an operator types in a checkout. A fresh machine needs Python 3.11+, git and make.

PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
PY := $(BIN)/python
WORKERS ?= 2
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help test lint format bench bench-drift demo demo-headless faults lock clean tools

help:
	@echo "make test           install what is missing, lint, type-check, run all tests"
	@echo "make lint           ruff and mypy only"
	@echo "make format         let ruff rewrite the layout"
	@echo "make demo           watch a simulated LiveRC being ingested, in the console"
	@echo "make demo-headless  the same without a terminal, in under a minute"
	@echo "make bench          measure, as ratios against the bare libraries"
	@echo "make bench-drift    every kind of changed markup: is it noticed, is the right repair proposed"
	@echo "make faults         the exhaustive crash, network and fuzz runs"
	@echo "make lock           resolve the dependencies again into requirements.lock"
	@echo "make clean          remove what these commands made"

# ---- set-up: each step leaves a stamp, so a second run installs nothing

# Only runs where there is no environment yet.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not one. Name it: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "'$(PYTHON)' cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.locked: requirements.lock | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

tools:
	@bash tests/tools.sh

# ---- what people type

test: $(VENV)/.installed tools lint
	$(PY) -m pytest -n $(WORKERS) --dist loadgroup

lint: $(VENV)/.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(VENV)/.installed
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(VENV)/.installed
	$(PY) -m benchmarks

bench-drift: $(VENV)/.installed
	$(PY) -m benchmarks.drift

demo: $(VENV)/.installed
	@$(BIN)/mre demo

demo-headless: $(VENV)/.installed
	@$(BIN)/mre demo --headless

faults: $(VENV)/.installed tools
	MRE_FAULTS=1 $(PY) -m pytest -n $(WORKERS) --dist loadgroup tests/faults tests/program/test_generated_events.py \
	  tests/program/test_api.py tests/pipeline/liverc/test_browser.py

# The resolver runs outside the project's environment; the file it writes names no registry.
lock: | $(PY)
	test -x $(VENV)-lock/bin/uv || { $(PY) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv==$(UV_VERSION); }
	$(VENV)-lock/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade --quiet \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -o requirements.lock

clean:
	rm -rf $(VENV) $(VENV)-lock .demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis snapshot_report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
