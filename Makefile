# The two commands are `make run` and `make test`; `make check` is for developers.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
TESTS ?= tests

.PHONY: run test check format screenshots clean help

help: ## show this help
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: $(VENV)/.hive ## start a hive with its state in ./.hive; more flags in ARGS="…"
	@sh scripts/run.sh $(ARGS)

test: $(VENV)/.test ## set up what the tests need and run them; TESTS=tests.web for a part
	@sh scripts/test.sh $(TESTS)

check: $(VENV)/.dev ## format, lint, types, imports, news fragments
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg
	$(BIN)/towncrier build --draft --version next >/dev/null

format: $(VENV)/.dev ## format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

screenshots: $(VENV)/.test ## take pictures of every page into docs/screenshots
	@$(BIN)/python -m tests.web.pictures docs/screenshots

clean: ## remove what was built; .hive and .cache stay
	rm -rf $(VENV) build dist *.egg-info _trial_temp* .coverage*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("hyperhive needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.hive: $(BIN)/python setup.cfg pyproject.toml
	@echo "Installing hyperhive into $(VENV) (once; about a minute)…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: $(BIN)/python setup.cfg pyproject.toml
	@echo "Installing hyperhive and its test tools into $(VENV)…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.hive

$(VENV)/.dev: $(BIN)/python setup.cfg pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.test $(VENV)/.hive
