# `make figures` and `make test` work on a fresh machine: they set up .venv themselves.
# PYTHON     interpreter to build .venv with (>= 3.11)
# PIP_FLAGS  extra flags for pip, for example the index of a CPU or CUDA build of torch (README)
PYTHON ?= python3
PIP_FLAGS ?=
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := convex,fast,rigorous,proofs,figures,deep,docs,dev
READY := $(VENV)/.ready
# For records made where there is no git: make gpu UFM_COMMIT=...
COMMIT = $(shell git rev-parse HEAD >/dev/null 2>&1 && \
  echo "$$(git rev-parse HEAD)$$(git diff --quiet HEAD || echo -dirty)")

export OMP_NUM_THREADS ?= 1

.PHONY: help setup figures docs test test-slow lint format claims bench gpu wheel clean

help:
	@echo "make figures    solve, certify and draw everything; the page is figures/out/index.html"
	@echo "make docs       the documentation; its first page is docs/_build/html/index.html"
	@echo "make test       the default tests (under 5 minutes on two cores)"
	@echo "make test-slow  the tests that take minutes"
	@echo "make lint       ruff, pyright, import-linter"
	@echo "make claims     run every proof and check; rewrite ufm/evidence.json, CLAIMS.md and pages of docs/"
	@echo "make bench      measure against what a user would use instead; writes benchmarks/results/"
	@echo "make gpu        CUDA tests, speed and tables with PYTHON (installs nothing); ARGS=--list"
	@echo "make wheel      build the wheel and the source archive into dist/"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "PYTHON must be Python 3.11 or newer, got $$($(PYTHON) --version)" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) \
	  -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

figures: $(READY)
	$(BIN)/python -m figures build

docs: $(READY)
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs docs/_build/html

test: $(READY)
	$(BIN)/python -m pytest -n 2

test-slow: $(READY)
	$(BIN)/python -m pytest -n 2 -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

claims: $(READY)
	$(BIN)/python -m proofs_check
	PYTHONHASHSEED=0 $(BIN)/python -m proofs_check pages
	$(BIN)/python -m deep.geometry_table docs/networks.md

bench: $(READY)
	$(BIN)/python -m benchmarks

# DATA   folder of the data sets (default $UFM_DATA or ./data)
# ARGS   for example --list, --total 500, --only cifar10
gpu:
	@UFM_COMMIT="$${UFM_COMMIT:-$(COMMIT)}" $(PYTHON) -m deep gpu \
	  $(if $(DATA),--folder '$(DATA)') $(ARGS)

wheel: $(READY)
	$(BIN)/python -m build --no-isolation --outdir dist

clean:
	rm -rf $(VENV) dist build .pytest_cache .ruff_cache .hypothesis figures/out docs/_build docs/generated
