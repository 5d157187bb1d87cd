# Every target sets itself up: a fresh machine needs Python 3.11 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCUMENTING := $(VENV)/.documenting
SERVING := $(VENV)/.serving
PIP := $(BIN)/python -m pip install --disable-pip-version-check
PORT ?= 8080
# Two for each core, since tests wait more than they compute; 8 at most, or one for each core.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); m=$$((2 * n)); [ $$m -le 8 ] || m=8; [ $$m -ge $$n ] || m=$$n; echo $$m)
ENGINE := .venv-local
NEWEST := .venv-newest

.PHONY: setup tools run test check lint types contracts lock dist bench crash hostile pairs drift agents local-e2e privacy clean

setup: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3'; exit 1; }
	$(PYTHON) -m venv $(VENV)

# What serving needs, without the tests' tools: a first run is a tenth of the download. dev.txt has the same versions of
# it (tests/test_makefile.py), so that neither target undoes the other.
$(SERVING): requirements/runtime.txt requirements/build.txt pyproject.toml | $(BIN)/python
	@echo 'Installing what serving needs into $(VENV), once: about 100 MB.'
	$(PIP) --no-deps --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	$(PIP) --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(STAMP): requirements/dev.txt $(SERVING)
	@echo 'Installing the tools of the tests into $(VENV), once: about 1 GB.'
	$(PIP) --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

# The system's programs that tests need, through apt-get: strace, chromium, redis-server, nginx, curl,
# haproxy, prometheus, systemd.
tools:
	@$(PYTHON) tests/tools.py

run: $(SERVING)
	@$(BIN)/codegrex-gateway dev --port $(PORT)

# Compiled first, and kept as pytest rewrites it, also where Python may not write it by itself: the tests start some
# hundred processes, and each worker reads every test.
test: setup
	@$(BIN)/python -m compileall -q gateway metering providers benchmarks tests
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS)

check: lint types contracts test

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint Dockerfile; else echo 'hadolint is not made for this platform: the Dockerfile was not linted'; fi

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

.PHONY: docs reference
# The documentation as a site: build/site/index.html. Its generator is 30 MB; the tools of the tests are not needed.
docs: $(DOCUMENTING)
	@$(BIN)/python -m release.site

$(DOCUMENTING): requirements/docs.txt $(SERVING)
	$(PIP) --no-deps --require-hashes -r requirements/docs.txt
	@touch $@

# The pages of docs/reference, from the code; a test compares them with it.
reference: $(SERVING)
	$(BIN)/python -m release.reference

# Resolves anew and writes the hashes; no index address is written.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -o requirements/runtime.txt pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --extra sdk --extra stripe --extra vertex --extra bedrock --extra mask --extra otel --extra dev -c requirements/runtime.txt -o requirements/dev.txt pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.txt -o requirements/otel.txt requirements/otel.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -o requirements/local-e2e.txt requirements/local-e2e.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.txt -o requirements/docs.txt requirements/docs.in
	printf 'hatchling\neditables\n' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements/dev.txt -o requirements/build.txt -

# The canary hunt, its positive controls and every other privacy test, as one report; fails where one of them is skipped.
privacy: setup
	$(BIN)/python -m tests.privacy -n $(WORKERS)

# Wheel, source archive, bill of materials and manifest of the last commit, in dist/ (docs/operations/releasing.md).
dist: $(SERVING)
	$(BIN)/python -m release

bench: setup
	$(BIN)/python -m benchmarks all

# The newest SDKs in a folder of their own: which of their members nobody has decided about (docs/members.md).
drift:
	test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade openai anthropic google-genai
	$(NEWEST)/bin/python -m tests.members.gate

# Real coding agents in .agents, from the registries of npm and PyPI, against a gateway with a simulated provider: some
# twenty minutes, and 2 GB once. Needs node, which the agents themselves need; `AGENTS="claude codex"` runs these only.
agents: setup
	$(BIN)/python -m tests.agents $(if $(AGENTS),$(AGENTS),--write)

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

# The recordings through every pair of dialects, by feature: what passed, and what was refused.
pairs: setup
	$(BIN)/python -m tests.corpus.pairs

# Twenty minutes; `python -m benchmarks hostile --seconds 60` is the short form.
hostile: setup
	$(BIN)/python -m benchmarks hostile

.PHONY: api
# Two hundred requests for each operation of both OpenAPI documents, of which the suite draws two: some minutes.
api: setup
	API_EXAMPLES=200 $(BIN)/python -m pytest -q --timeout 1200 tests/integration/test_openapi_conformance.py

.PHONY: soak chaos
# Thirty minutes; SECONDS=60 is a short form.
soak: setup
	$(BIN)/python -m benchmarks soak $(if $(SECONDS),--seconds $(SECONDS))

# Five minutes.
chaos: setup
	$(BIN)/python -m benchmarks chaos $(if $(SECONDS),--seconds $(SECONDS))

# Five minutes of the search for the slowest input, of which the suite runs five seconds.
slowest: setup
	SLOWEST_SECONDS=300 $(BIN)/python -m pytest -q tests/gateway/inference/test_slowest_input.py

clean:
	rm -rf $(VENV) $(ENGINE) $(NEWEST) .agents .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
