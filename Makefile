# Two commands a newcomer needs: `make quickstart` and `make test`. Everything else is for builders.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

ROUNDS ?= 30
SEED   ?= 1

.PHONY: quickstart test slow nightly chaos browser adapterhub lint types imports docs docs-serve audit check install lock clean help

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "adapterlab needs Python >= 3.11, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (first time only; a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

install: $(STAMP)  ## make the virtual environment and install everything, pinned

quickstart: $(STAMP)  ## run the main job: a real sweep on a real backbone
	@$(BIN)/platform submit specs/quickstart.toml

test: $(STAMP)  ## run the default tests
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile

slow: $(STAMP)  ## run the slow tests
	@$(BIN)/python -m pytest -q -m "slow and not nightly" -n 2 --dist worksteal

nightly: $(STAMP)  ## run the slow tests that CI leaves out
	@$(BIN)/python -m pytest -q -m nightly

chaos: $(STAMP)  ## run rounds of random faults: make chaos ROUNDS=1000 SEED=7
	@$(BIN)/python -m pytest -q -m chaos tests/chaos --rounds $(ROUNDS) --seed $(SEED)

browser: $(STAMP)  ## run the tests that drive a real browser
	@$(BIN)/python -m pytest -q -m browser

adapterhub: $(STAMP)  ## read and write folders with real adapters and PEFT, in an environment of their own
	@$(BIN)/python -m pytest -q -m adapterhub -n 2 --dist worksteal

lint: $(STAMP)  ## check style and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(STAMP)  ## check types
	@$(BIN)/mypy

imports: $(STAMP)  ## check that floors go one way
	@$(BIN)/lint-imports

docs: $(STAMP)  ## build the documentation into site/; a warning is an error; needs no network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(STAMP)  ## show the documentation at http://127.0.0.1:8000, rebuilt at every change
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

audit: $(STAMP)  ## look the pinned dependencies up in the published advisories
	@$(BIN)/python .ci/audit.py

check: lint types imports test  ## what to run before a commit

lock: $(STAMP)  ## write constraints.txt from what is installed
	@$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//' | grep -v '^-e' > constraints.txt

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist site
