# Every target sets itself up: a fresh machine needs Python 3.11 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= auto
ENGINE := .venv-local
NEWEST := .venv-newest

.PHONY: setup tools run test check lint types contracts lock bench crash hostile drift local-e2e privacy clean

setup: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3'; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# The system's programs that tests need, through apt-get: strace, chromium, redis-server, nginx, curl.
tools:
	@$(PYTHON) tests/tools.py

run: setup
	$(BIN)/codegrex-gateway dev

# Compiled first, also where Python may not write it by itself: the tests start some hundred processes.
test: setup
	@$(BIN)/python -m compileall -q gateway metering providers benchmarks tests
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
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -o requirements/local-e2e.txt requirements/local-e2e.in
	echo hatchling | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements/dev.txt -o requirements/build.txt -

# The canary hunt, its positive controls and every other privacy test, as one report; fails where one of them is skipped.
privacy: setup
	$(BIN)/python -m tests.privacy -n $(WORKERS)

bench: setup
	$(BIN)/python -m benchmarks all

# The newest SDKs in a folder of their own: which of their members nobody has decided about (docs/members.md).
drift:
	test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade openai anthropic google-genai
	$(NEWEST)/bin/python -m tests.members.gate

# A real engine and a real model in a folder of their own: some minutes of compiling and 250 MB, once.
local-e2e: setup $(ENGINE)/.installed
	LOCAL_E2E_PYTHON=$(ENGINE)/bin/python $(BIN)/python -m pytest -v -s tests/local_e2e

# Not compiled for this very processor: a virtual machine may announce instructions that its kernel does not give. Nor
# from the cache, where a build for another one may lie.
$(ENGINE)/.installed: requirements/local-e2e.txt
	test -x $(ENGINE)/bin/python || $(PYTHON) -m venv $(ENGINE)
	CMAKE_ARGS=-DGGML_NATIVE=OFF $(ENGINE)/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/local-e2e.txt
	touch $@

crash: setup
	$(BIN)/python -m benchmarks crash

# Twenty minutes; `python -m benchmarks hostile --seconds 60` is the short form.
hostile: setup
	$(BIN)/python -m benchmarks hostile

# Five minutes of the search for the slowest input, of which the suite runs five seconds.
slowest: setup
	SLOWEST_SECONDS=300 $(BIN)/python -m pytest -q tests/gateway/inference/test_slowest_input.py

clean:
	rm -rf $(VENV) $(ENGINE) $(NEWEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis
