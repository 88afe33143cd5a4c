# Two commands do everything: `make dev` and `make test`. Each sets up first what it needs.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The first of these Pythons that is new enough; PYTHON=... names another.
PYTHON ?= $(shell for python in python3.12 python3.13 python3.11 python3; do \
	if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then echo $$python; break; fi; done)
UNREACHED := The packages could not be installed. Is there a network, and a disk with room (1 GB)? What was fetched is kept: run it again.
# More than there are cores: four of them wait most of the time, for daemons or a browser.
WORKERS ?= 6

.PHONY: help install dev up sandbox test test-ui lint types bench docs screenshots constraints clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(READY)  ## make .venv with everything in it

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed, and none was found. Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || { echo "$(PYTHON) is no Python 3.11, 3.12 or 3.13."; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --quiet --retries 2 --disable-pip-version-check --constraint constraints.txt uv || { echo "$(UNREACHED)"; exit 2; }
	@echo "Installing packages into $(VENV) ..."
	@$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --constraint constraints.txt --editable '.[dev]' || { echo "$(UNREACHED)"; exit 2; }
	@touch $@

dev: $(READY)  ## try everything on this machine: database, sandbox, Dagster, demo contacts
	@exec $(BIN)/crm-pipeline dev $(ARGS)

up: $(READY)  ## run Dagster on your own database and key (see .env.example)
	@exec $(BIN)/crm-pipeline up $(ARGS)

sandbox: $(READY)  ## run the sandbox alone
	@exec $(BIN)/crm-pipeline sandbox $(ARGS)

test: lint types $(READY)  ## run all checks and tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder $(ARGS)

test-ui: $(READY)  ## click through Dagster's pages in Chromium
	$(BIN)/python -m pytest -p no:xdist -m ui $(ARGS)

docs: $(READY)  ## build the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/site

screenshots: $(READY)  ## take the pictures of Dagster's pages in docs/images anew
	CRM_TESTS_PICTURES=docs/images $(BIN)/python -m pytest -q -p no:xdist -m ui

lint: $(READY)  ## check style and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(READY)  ## check types
	$(BIN)/mypy

bench: $(READY)  ## measure speed and memory
	$(BIN)/python -m benchmarks $(ARGS)

constraints: $(READY)  ## pin today's newest versions that fit pyproject.toml
	$(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --all-extras --upgrade --no-header --no-annotate --no-emit-index-url \
		--output-file constraints.txt pyproject.toml

clean:  ## remove .venv and caches; the data in .data stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build dist
