PYTHON ?= python3
VENV   ?= .venv
WORKSPACE ?= .recap
RECAP   = $(VENV)/bin/recap
BIN     = $(VENV)/bin
READY   = $(VENV)/.ready
TOOLS   = .venv-tools

.PHONY: run test test-long month lint bench images e2e-containers audit lock compile clean

run: $(READY)             ## the whole pipeline on a sample log; again for the next day
	$(RECAP) sample --out $(WORKSPACE)/log --extend
	$(RECAP) run --config sample --data $(WORKSPACE)/log --workspace $(WORKSPACE)

# In the order of tests/conftest.py, slow files first: by default those with few tests go last.
test: $(READY)            ## every check that a change must pass, but the benchmarks and the sweeps
	$(BIN)/python -m pytest -m "not long" --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-long: $(READY)       ## the sweeps: faults of every kind in every step, kills at random moments, fuzzing, a month
	$(BIN)/python -m pytest -m long
	$(BIN)/python -m tests.chaos --rounds 1
	$(BIN)/python -m tests.chaos --steps register,promote,rollback --faults SIGKILL --rounds 20 --races 10
	$(BIN)/python -m tests.chaos --steps train --faults SIGTERM,SIGKILL --rounds 5
	$(BIN)/python -m tests.fuzz --minutes 20
	$(MAKE) month

month: $(READY)           ## thirty days of retraining with faults: .recap-month/month.html
	rm -rf .recap-month
	$(BIN)/python -m tests.integration.month --out .recap-month

lint: $(READY)            ## format, lint, types, who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)           ## quality on real data; tests/benchmarks has more
	$(BIN)/python -m tests.benchmarks.quality

audit: $(TOOLS)           ## known vulnerabilities of the images' packages, and their bills of materials
	$(TOOLS)/bin/python containers/audit.py

lock: $(TOOLS)            ## containers/locks, from pyproject.toml and containers/constraints.txt
	PATH=$(abspath $(TOOLS))/bin:$$PATH containers/lock

compile: $(READY)         ## pipeline/compiled/*.yaml, docs/settings.md
	$(RECAP) compile
	$(BIN)/python -m pipeline.settings_page > docs/settings.md

images:                   ## the steps' container images; see containers/README.md
	containers/build $(DOCKER_ARGS)

e2e-containers: $(READY) images  ## the whole pipeline in those images, as an unprivileged user, without a network
	RECAP=$(abspath $(RECAP)) containers/e2e

clean:
	rm -rf $(VENV) $(TOOLS) .recap .recap-month build

# torch goes first and by itself: asked for together with the rest, pip may take another build of it.
$(READY): pyproject.toml containers/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint containers/constraints.txt torch
	$(BIN)/pip install --quiet --constraint containers/constraints.txt --editable '.[dev]'
	touch $@

# Apart from the product's: what looks after its packages shall not choose their versions.
$(TOOLS): containers/locks/tools.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --require-hashes --requirement containers/locks/tools.txt
	touch $@
