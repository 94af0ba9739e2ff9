# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
# PYTHON=... picks an interpreter, PORT=... the port of the demo.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PORT ?= 8501
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
CHECKED := pipelines workbench tests benchmarks data

.PHONY: help demo test check lint types contracts clean
help:
	@echo "make demo    environment, install, the whole flow on a small world, UI on http://127.0.0.1:$(PORT)"
	@echo "make test    environment, everything the tests need, all tests"
	@echo "make check   lint, types, import contracts"
	@echo "make clean   remove the environment (never your projects)"

demo: .venv/.base
	@$(BIN)/workbench demo --port $(PORT)

test: .venv/.dev .venv/.system
	@echo "tests: running (warnings are errors; a few minutes on 2 cores)"
	@OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 8

check: lint types contracts
lint: .venv/.dev
	@echo "lint: ruff"; $(BIN)/ruff check $(CHECKED); $(BIN)/ruff format --check $(CHECKED)
types: .venv/.dev
	@echo "types: mypy --strict"; $(BIN)/mypy
contracts: .venv/.dev
	@echo "contracts: import-linter"; PYTHONPATH=. $(BIN)/lint-imports

.venv/bin/python:
	@found=""; \
	for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	  if command -v $$candidate >/dev/null && $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; \
	  then found=$$candidate; break; fi; \
	done; \
	[ -n "$$found" ] || { echo "make: no Python 3.11, 3.12 or 3.13 found; install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }; \
	echo "environment: .venv with $$($$found --version)"; \
	$$found -m venv .venv || { echo "make: $$found cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

# The lines below are not run again until pyproject.toml or constraints.txt change.
.venv/.base: .venv/bin/python pyproject.toml constraints.txt
	@echo "install: the workbench (about a minute the first time)"
	@$(PIP) -e . || { echo "make: the install failed; is the network up? The lines above say which package was missing" >&2; exit 1; }
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	@echo "install: the workbench with its trainers and test tools (a few minutes the first time)"
	@$(PIP) -e '.[dev,train]' || { echo "make: the install failed; is the network up? The lines above say which package was missing" >&2; exit 1; }
	@touch $@ .venv/.base

.venv/.system: .venv/.dev tests/system_packages.sh
	@bash tests/system_packages.sh
	@touch $@

clean:
	@rm -rf .venv
