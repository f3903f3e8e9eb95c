# `make demo` and `make test` set up everything they need; a second call does no work twice.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help setup demo test bench-loop bench-ab bench-stats lint format clean bench-overhead bench-cpu

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(STAMP)  ## make .venv with everything that constraints.txt pins

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/pip install --quiet -e '.[test]'
	@touch $@

demo: $(STAMP)  ## run the demo sweep on this machine and write its report
	$(BIN)/joulemark run +experiment=demo
	$(BIN)/joulemark report demo --format html,pdf,md -o reports/demo

test: $(STAMP)  ## all tests that need no GPU, at most 12 minutes on two cores
	$(BIN)/python -m pytest -m "not slow and not gpu" $(PYTEST_ARGS)

bench-loop: $(STAMP)  ## what the measured loop costs the host, beside a bare loop
	$(BIN)/python benchmarks/loop_cost.py

bench-ab: $(STAMP)  ## real A/A series and a planted slowdown of 10 %, about half an hour
	$(BIN)/python benchmarks/ab_series.py

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff rewrite the layout
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the environment and the caches, never results
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

bench-stats: $(STAMP)  ## simulated machines against our rules and common ones, about 8 minutes; keeps the tables
	$(BIN)/python -m benchmarks.stats_bench --write docs/statistics.md

bench-cpu: $(STAMP)  ## the CPU's measured ceilings against plain C beside them
	$(BIN)/python benchmarks/cpu_ceilings.py

bench-overhead: $(STAMP)  ## what the harness itself costs beside what it measures
	$(BIN)/python benchmarks/overhead.py
