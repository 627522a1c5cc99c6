# Each target makes .venv if needed, installs with the constraints, and runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --durations 10

.PHONY: demo docs test test-all lint benchmark install clean
.DEFAULT_GOAL := test

install: $(STAMP)

# torch first, alone and at its exact version: a plain `torch` may bring gigabytes of CUDA.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt setuptools "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e ".[dev,docs]"
	touch $@

demo: $(STAMP)
	$(BIN)/sim2real study studies/demo.yaml

test: $(STAMP)
	$(PYTEST)

test-all: $(STAMP)
	$(PYTEST) -m "slow or not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 0 tests/test_dead_code.py

docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q docs build/docs

benchmark: $(STAMP)
	$(BIN)/python scripts/benchmark.py --json

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage
