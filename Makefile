# Few verbs; each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRAIN_VENV := .venv-train
MANIFEST ?= ../shared/data/roadwork/manifest.csv
RECORDS ?= ../shared/records

.PHONY: help demo test test-slow test-train check bench train install docs clean

help: ## Say what the verbs do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(TRAIN_VENV)/.train: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TRAIN_VENV)
	$(TRAIN_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,train,crosscheck]'
	@touch $@

install: $(VENV)/.installed ## Install into .venv

demo: $(VENV)/.installed ## Judge a dozen rendered street scenes, explain one, write a report
	$(BIN)/natix-cascade demo --out demo-out

test: $(VENV)/.dev ## Run the tests
	$(BIN)/python -m pytest -m "not slow and not train"

test-slow: $(VENV)/.dev ## Run the long tests too: kill -9, thousands of mutated pictures
	$(BIN)/python -m pytest -m slow

test-train: $(TRAIN_VENV)/.train ## Train, export and ask a tiny model with the real training code (needs torch)
	$(TRAIN_VENV)/bin/python -m pytest -m train

check: $(VENV)/.dev ## Lint, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## Measure every claim; needs labelled pictures (MANIFEST=...) and records (RECORDS=...)
	$(BIN)/python bench/accuracy.py $(MANIFEST)
	$(BIN)/python bench/card_metrics.py
	$(BIN)/python bench/scan_speed.py $(MANIFEST)
	$(BIN)/python bench/latency.py
	$(BIN)/python bench/memory.py
	$(BIN)/python bench/bad_pictures.py
	$(BIN)/python bench/planner.py $(RECORDS)
	$(BIN)/python bench/planner_speed.py
	$(BIN)/natix-cascade record $(MANIFEST) --split test --augment L0..L3 --out runs/test.parquet --fresh
	$(BIN)/python bench/planner_embedded.py runs/test.parquet

train: $(TRAIN_VENV)/.train ## Train and package the shipped models from MANIFEST
	$(TRAIN_VENV)/bin/python -m natix_cascade.learn train $(MANIFEST)
	$(TRAIN_VENV)/bin/python -m natix_cascade.learn package $(MANIFEST)

docs: $(VENV)/.dev ## Write the JSON schemas that editors use
	$(BIN)/natix-cascade spec schema --out docs/reference/schema

clean: ## Remove what the verbs made
	rm -rf $(VENV) $(TRAIN_VENV) demo-out .pytest_cache .mypy_cache .ruff_cache .hypothesis
