# make demo, make test: both begin with nothing but Python 3.11 or newer (another one: make PYTHON=python3.12 test)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements-lock.txt
CELL ?= lstm

.PHONY: demo test test-slow fix lock clean
.NOTPARALLEL:
.DEFAULT_GOAL := test

# From the equations to a character model that writes text; result in out/
demo: $(VENV)/demo
	$(BIN)/symrnn demo --cell $(CELL)

# Everything that must hold: style, types, the generated tree, tests
test: $(VENV)/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/symrnn generate --check
	$(BIN)/pytest -n auto --dist loadgroup -m "not slow"

# All that takes long: every cell on every backend, every page by numbers, through TeX and in a browser
test-slow: $(VENV)/test
	$(BIN)/pytest -n auto --dist loadgroup -m slow

# What a machine can repair by itself
fix: $(VENV)/test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/symrnn generate

# The versions that `make demo` and `make test` install, taken from a fresh environment
lock:
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet '.[demo,test]'
	$(VENV)-lock/bin/python -m pip freeze --all | grep -v -e '^pip==' -e '^symrnn' > requirements-lock.txt
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) build dist out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/demo $(VENV)/test: $(VENV)/%: $(VENV)/bin/python pyproject.toml setup.py requirements-lock.txt
	$(INSTALL) --editable '.[$*]'
	touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("symrnn needs Python 3.11 or newer; name one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
