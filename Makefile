# The project's commands: `make` lists them.
PYTHON ?= python3
BIN := .venv/bin
PINNED := envs/requirements.txt envs/requirements-dev.txt
# Installs in a fifth of the CPU time of the pip that comes with Python 3.11; without it the setup is only slower. Modules
# are compiled on first import, since most of them are never imported.
PIP := pip==26.3
# options of `apptainer build`, such as another base image or package folders (see docs/workstation.md)
BUILD_OPTIONS ?=
ROLES ?= cpu gpu
# arguments for snakemake or pytest:  make study ARGS="--cores 4"
ARGS ?=

.PHONY: help setup study test test-long bench lint lock containers test-containers test-slurm clean

help:
	@echo "make study            set up and run the default study; prints the path of its report"
	@echo "make setup            create .venv from the pinned requirements, with the command bias-inheritance"
	@echo "make test             all tests that need no container, SLURM or GPU"
	@echo "make test-long        long-running tests"
	@echo "make test-containers  a small study in Apptainer"
	@echo "make test-slurm       a small study on SLURM, with a job killed during training, and once in Apptainer"
	@echo "make bench            speed compared with other tools (ARGS=--quick: smoke test of the benchmarks)"
	@echo "make lint             formatting and style of Python and Snakemake files"
	@echo "make containers       the images containers/cpu.sif and gpu.sif (ROLES=cpu for one of them)"
	@echo "make lock             pin envs/*.in in envs/*.txt (UPGRADE=1: newest versions)"
	@echo "make clean            remove .venv, caches and logs, but not results, models and .work"

setup:
	@cat $(PINNED) | cmp -s - .venv/pinned.txt || $(MAKE) --no-print-directory .venv
	@test -x $(BIN)/bias-inheritance || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation --editable .

# The public index offers PyTorch's CUDA build; a CPU build is a fifth of the size.
.PHONY: .venv
.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@echo "Setting up .venv from the pinned requirements: 2 GB with PyTorch's CPU build, 7 GB with its CUDA build; a few minutes."
	@$(PYTHON) -m venv .venv
	@-$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile $(PINNED:%=-r %)
	@cat $(PINNED) >.venv/pinned.txt
	@echo "PyTorch $$($(BIN)/python -c 'import importlib.metadata as m; print(m.version("torch"))') is installed."

study: setup
	@echo "The default study (config.yaml): real generation, training and scoring with SmolLM2-135M on this machine's CPU."
	@$(BIN)/snakemake $(ARGS)

# In the order of their folders, whole studies before unit tests, so that the workers end together.
test: setup
	@echo "All tests except those marked long, containers or slurm; tests that need a GPU are skipped without one."
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m "not long and not containers and not slurm" $(ARGS)

test-long: setup
	@echo "Tests marked long."
	@$(BIN)/pytest -m "long and not containers and not slurm" $(ARGS)

bench: setup
	@echo "Benchmarks of the pipeline's steps and their peers, each in its own environment under .work/bench: 15 to 30 minutes."
	@$(BIN)/python bench/bench.py $(ARGS)

lint: setup
	@echo "ruff, snakefmt and Snakemake's own linter."
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/snakefmt --check Snakefile rules
	@$(BIN)/snakemake --lint --quiet all

lock: setup
	@echo "Resolving envs/*.in."
	@$(BIN)/python envs/lock.py $(if $(UPGRADE),--upgrade)

containers:
	@for role in $(ROLES); do containers/build $$role $(BUILD_OPTIONS) || exit 1; done

test-containers: setup
	@$(MAKE) --no-print-directory containers ROLES=cpu
	@echo "A small study in containers/cpu.sif, isolated from the host's packages."
	@$(BIN)/pytest -m "containers and not slurm" $(ARGS)

# Snakemake imports every installed executor plugin, and this one contacts the controller at every start, so it is installed
# in a separate folder instead of .venv.
test-slurm: setup
	@sinfo -h >/dev/null 2>&1 || { echo "No SLURM controller answers (sinfo); see docs/slurm.md."; exit 1; }
	@$(MAKE) --no-print-directory containers ROLES=cpu
	@grep -vxFf envs/requirements.txt envs/requirements-slurm.txt >.venv/slurm.txt
	@cmp -s .venv/slurm.txt .venv/slurm/pinned.txt || { rm -rf .venv/slurm; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .venv/slurm -r .venv/slurm.txt; \
	  cp .venv/slurm.txt .venv/slurm/pinned.txt; }
	@echo "A small study on SLURM: undisturbed, with a job cancelled during training, and in Apptainer."
	@PYTHONPATH=.venv/slurm $(BIN)/pytest -m "slurm and not long" $(ARGS)

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
