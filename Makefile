# `make demo` and `make test` set up everything they need; a second call does no work twice.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# A PYTHON that the caller names runs gpu-check as it is: a GPU machine may have no network to make .venv with.
ifeq ($(origin PYTHON),file)
GPU_PYTHON := $(BIN)/python
GPU_NEEDS  := $(STAMP)
else
GPU_PYTHON := $(PYTHON)
endif

# JUNIT=DIR keeps the tests' results there, a file for each run of pytest.
junit = $(if $(JUNIT),--junitxml=$(JUNIT)/$(1).xml)

# Every target is a name of work, none a file.
.PHONY: $(patsubst %:,%,$(shell grep -hoE '^[a-z-]+:' $(MAKEFILE_LIST)))

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

demo-xla: $(STAMP)  ## GPT, BERT and ResNet by XLA beside torch, on the CPU, and their report
	$(BIN)/joulemark run +experiment=demo_xla
	$(BIN)/joulemark report demo_xla --format html,pdf,md -o reports/demo_xla

# Bytecode that a caller has turned off would cost every process of ours its compilation anew.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(STAMP)  ## all tests that need no GPU, at most 12 minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit --ignore tests/unit/pytest_plugin -n 2 --dist worksteal -m "not slow and not gpu and not xla" $(PYTEST_ARGS) $(call junit,unit)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit/devices tests/unit/workloads/jax -n 2 -m "xla and not slow" $(PYTEST_ARGS) $(call junit,xla)
	$(BIN)/python -m pytest tests/unit/pytest_plugin tests/integration tests/gpu -n 2 --dist worksteal -m "not slow and not gpu" $(PYTEST_ARGS) $(call junit,whole)

test-slow: $(STAMP)  ## what `make test` leaves out: every cell that covers a pair of the matrix, a real gate
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit -n 2 -m "slow and not gpu and not xla" --timeout 600 $(PYTEST_ARGS) $(call junit,slow-unit)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit/workloads/jax -n 2 -m "slow and xla" --timeout 600 $(PYTEST_ARGS) $(call junit,slow-xla)
	$(BIN)/python -m pytest tests/integration -m "slow and not gpu" --timeout 3600 $(PYTEST_ARGS) $(call junit,slow-whole)

test-clusters: $(STAMP)  ## the contract on real schedulers: Slurm where it is installed and you are root, Ray where it is
	$(BIN)/python -m pytest tests/integration/test_slurm.py tests/integration/test_clusters.py -m "not gpu" --timeout 900 $(PYTEST_ARGS) $(call junit,clusters)

bench-loop: $(STAMP)  ## what the measured loop costs the host, beside a bare loop
	$(BIN)/python benchmarks/loop_cost.py

bench-ab: $(STAMP)  ## real A/A series and a planted slowdown of 10 %, about half an hour
	$(BIN)/python benchmarks/ab_series.py

gpu-check: $(GPU_NEEDS)  ## all that needs a GPU, at most 8 minutes: tests, qualify, a short sweep; one archive
	$(GPU_PYTHON) tools/gpu_check.py $(GPU_CHECK_ARGS)

images: $(STAMP)  ## the shim's release images for every architecture, with a manifest of their hashes
	$(BIN)/python tools/build_images.py

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff rewrite the layout
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP)  ## the documentation site in build/site; a warning is an error
	PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/pip install --quiet -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Both ends of the ranges in pyproject.toml, each in an environment of its own. uv resolves, from a third one, and
# reads UV_* variables: UV_TORCH_BACKEND=cpu takes CPU builds of torch where their index can be reached.
STACKS := build/stacks
STACK_TESTS := $(addprefix tests/unit/,bundles config energy/sensors exporters profile records report workloads/compress \
	workloads/hf workloads/jax)

$(STACKS)/uv/bin/uv:
	$(PYTHON) -m venv $(STACKS)/uv
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(STACKS)/uv/bin/pip install --quiet 'uv>=0.13'

$(STACKS)/%/.installed: pyproject.toml $(STACKS)/uv/bin/uv
	$(STACKS)/uv/bin/uv venv --quiet --clear --python $(PYTHON) $(STACKS)/$*
	$(STACKS)/uv/bin/uv pip install --quiet --system-certs --python $(STACKS)/$*/bin/python --resolution $* -e '.[test]'
	@touch $@

# $(1): the resolution. The versions first: what was tested is in the log.
stack_test = $(STACKS)/uv/bin/uv pip freeze --python $(STACKS)/$(1)/bin/python; \
	OMP_NUM_THREADS=1 $(STACKS)/$(1)/bin/python -m pytest $(STACK_TESTS) -n 2 -m "not slow and not gpu and not xla" $(PYTEST_ARGS) $(call junit,$(1)) && \
	OMP_NUM_THREADS=1 $(STACKS)/$(1)/bin/python -m pytest tests/unit/workloads/jax -n 2 -m "xla and not slow" $(PYTEST_ARGS) $(call junit,$(1)-xla)

test-oldest: $(STACKS)/lowest-direct/.installed  ## the unit tests of third parties on the oldest versions promised
	$(call stack_test,lowest-direct)

test-newest: $(STACKS)/highest/.installed  ## the same on the newest versions there are
	$(call stack_test,highest)

lock: $(STACKS)/uv/bin/uv  ## requirements.lock anew: what constraints.txt pins, with the hash of every file
	$(STACKS)/uv/bin/uv pip compile --quiet --system-certs --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --no-emit-index-url -c constraints.txt --extra test pyproject.toml -o requirements.lock

# The tests of half the rooms alone (records to report, without workloads, shim and devices) cover 54 %: all cover more.
coverage: $(STAMP)  ## what the fast unit tests cover, lines and branches; less than the floor fails
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit --ignore tests/unit/pytest_plugin -n 2 --dist worksteal -m "not slow and not gpu and not xla" --cov --cov-report=term --cov-fail-under=50 $(PYTEST_ARGS)

clean:  ## remove the environment and the caches, never results
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

bench-energy: $(STAMP)  ## energy against scripted truth in wall-clock time, and the sampler's cost, about 17 minutes
	$(BIN)/python benchmarks/energy_sampler.py
	$(BIN)/python benchmarks/energy_accuracy.py

bench-stats: $(STAMP)  ## simulated machines against our rules and common ones, about 5 minutes; keeps the tables
	$(BIN)/python -m benchmarks.stats_bench --write docs/statistics.md

bench-goodput: $(STAMP)  ## the search for the highest rate on simulated queues whose truth is known, about 2 minutes
	$(BIN)/python benchmarks/goodput_search.py

bench-gate: $(STAMP)  ## simulated years of nights against the gate, about 4 minutes
	$(BIN)/python -m benchmarks.gate_bench.histories --years 200

bench-gate-real: $(STAMP)  ## twenty A/A gates, planted slowdowns and a bisect on this machine, over an hour; goes on where it stopped
	$(BIN)/python -m benchmarks.gate_bench.real

bench-parts: $(STAMP)  ## parts of the harness by its own pytest plugin
	$(BIN)/python -m pytest benchmarks/test_parts.py --benchmark-columns=min,median,mean,rounds

bench-cpu: $(STAMP)  ## the CPU's measured ceilings against plain C beside them
	$(BIN)/python benchmarks/cpu_ceilings.py

bench-shim: $(STAMP)  ## what loading the shim and launching a kernel cost the host
	$(BIN)/python benchmarks/shim_cost.py

bench-faults: $(STAMP)  ## the injected faults of docs/trust.md, about 25 minutes; goes on where it stopped
	$(BIN)/python -m benchmarks.fault_bench

bench-hostile: $(STAMP)  ## the hostile inputs of docs/trust.md, about 25 minutes; goes on where it stopped
	$(BIN)/python -m benchmarks.hostile_bench

bench-report: $(STAMP)  ## a report of 10,000 trials beside an earlier build's of a third as many, about 8 minutes
	$(BIN)/python -m benchmarks.report_scale

bench-tune: $(STAMP)  ## the search by halving beside the full grid that it searches, 6 minutes, up to 11 where they choose differently
	$(BIN)/python -m benchmarks.tune_bench

bench-predict: $(STAMP)  ## throughput predicted for each of 80 trials from the others, beside what was measured, about 15 minutes
	$(BIN)/python -m benchmarks.predict_bench

bench-fuzz: $(STAMP)  ## every reader of untrusted files, led by the code that inputs reach, ten minutes; keeps its corpus
	PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/pip install --quiet atheris
	$(BIN)/python benchmarks/fuzz.py

bench-verify: $(STAMP)  ## `joulemark verify` of 10,000 records: seconds and memory, about 2 minutes
	$(BIN)/python benchmarks/verify_speed.py

bench-scale: $(STAMP)  ## index, query and no-op trials of an earlier build and this one: bars, about 9 minutes on an idle machine
	$(BIN)/python -m benchmarks.scale_bench.run

bench-overhead: $(STAMP)  ## what the harness itself costs beside what it measures
	$(BIN)/python benchmarks/overhead.py

bench-speed: $(STAMP)  ## our models' steps beside those of transformers, interleaved, about 5 minutes
	$(BIN)/python benchmarks/model_speed.py

bench-busy: $(STAMP)  ## the demo's workloads idle, beside a light load and busy loops, and an earlier build: bars, at most 8 minutes
	$(BIN)/python benchmarks/busy_host.py

bench-wait: $(STAMP)  ## how threads wait at barriers: every policy, idle and busy, about 4 minutes
	$(BIN)/python benchmarks/wait_policy.py

bench-decode: $(STAMP)  ## a decode step in every format beside torch's kernels and the memory's bound, about a minute
	$(BIN)/python benchmarks/decode_speed.py --quality

bench-endpoint: $(STAMP)  ## the endpoint client beside a scripted server at 1, 32 and 200 streams, about two minutes
	$(BIN)/python benchmarks/endpoint_client.py

bench-serve: $(STAMP)  ## continuous batching beside static batching and transformers' own, interleaved, about seven minutes
	$(BIN)/python benchmarks/serve_speed.py
