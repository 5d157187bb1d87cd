# Every target sets itself up: a fresh machine needs Python 3.11 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= auto

.PHONY: setup run test check lint types contracts lock bench clean

setup: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3'; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

run: setup
	$(BIN)/codegrex-gateway dev

test: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

check: lint types contracts test

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint Dockerfile; else echo 'hadolint is not made for this platform: the Dockerfile was not linted'; fi

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

# Resolves anew and writes the hashes; no index address is written.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -o requirements/runtime.txt pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --extra sdk --extra stripe --extra mask --extra dev -c requirements/runtime.txt -o requirements/dev.txt pyproject.toml
	echo hatchling | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements/dev.txt -o requirements/build.txt -

bench: setup
	$(BIN)/python -m benchmarks all

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
