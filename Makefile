PYTHON ?= python3
IMAGE  ?= tokenauthority
ARGS   ?=
# More than the cores: tests wait for servers, disks and clocks longer than they compute.
WORKERS ?= $(shell echo $$((2 * $$(nproc 2>/dev/null || echo 2))))

VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/tokenauthority/__init__.py)
BIN    := .venv/bin
PIP    := $(BIN)/pip --disable-pip-version-check --quiet install
LOCK   := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --exclude-newer "1 week"
STUBS  := src/tokenauthority/v1/__init__.py
CLIENT := src/tokenauthority/client/blocking/__init__.py
AIO    := src/tokenauthority/client/aio
GENERATED := $(STUBS) $(CLIENT)
# Directories too: their times tell of a file that was removed.
PROTOS := $(shell find protos/*)

# Two pips in one environment spoil it.
.NOTPARALLEL:
.PHONY: help run test coverage check lint types arch breaking docs docs-serve format protos bench fuzz lock build image clean

help:  ## say what each target does
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 12

run: .venv/server .venv/project $(GENERATED)  ## serve on this machine for development; ARGS="--dev-api-key tak_..." sets the API key (tak_ and 43 characters)
	@exec $(BIN)/tokenauthority serve --dev $(ARGS)

test: .venv/dev .venv/project $(GENERATED)  ## run the tests: make test ARGS="tests/domain -k ttl"
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest --numprocesses $(WORKERS) $(ARGS)

coverage: .venv/dev .venv/project $(GENERATED)  ## run the tests and say which lines they miss
	@$(BIN)/coverage erase
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/coverage run -m pytest --numprocesses $(WORKERS) $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

check: lint types arch breaking docs coverage  ## everything that a change must pass

lint: .venv/dev  ## check format and style of Python and protos
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

types: .venv/dev .venv/project $(GENERATED)  ## check the types
	$(BIN)/mypy

arch: .venv/dev .venv/project $(GENERATED)  ## check that imports run downward only
	$(BIN)/lint-imports --no-logo

breaking: .venv/dev  ## check that the contract still serves its present clients
	BUF=$(BIN)/buf scripts/buf_breaking.sh

docs: .venv/dev .venv/project $(GENERATED)  ## build the site into site/; a dead link, an undefined setting or an orphan page fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html is the first page; make docs-serve shows the site while you write"

docs-serve: .venv/dev .venv/project $(GENERATED)  ## show the site on http://127.0.0.1:8000 and build it again when a page changes
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve $(ARGS)

format: .venv/dev  ## rewrite Python and protos in the one format
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format
	$(BIN)/buf format --write

protos: $(GENERATED)  ## generate the gRPC stubs and the blocking client

bench: .venv/dev .venv/project $(GENERATED)  ## measure
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: .venv/dev .venv/project $(GENERATED)  ## ask VerifyToken about made-up tokens for 10 minutes: make fuzz ARGS="--seconds 60"
	$(BIN)/python -m benchmarks.fuzz $(ARGS)

lock: .venv/dev  ## renew requirements/ from pyproject.toml: make lock ARGS=--upgrade
	$(LOCK) $(ARGS) --extra server --group dev --output-file requirements/dev.txt
	$(LOCK) --extra server --constraint requirements/dev.txt --output-file requirements/server.txt
	$(LOCK:pyproject.toml=) --group build --constraint requirements/dev.txt --output-file requirements/build.txt

build: .venv/build $(GENERATED)  ## build the wheel and the source distribution into dist/
	$(BIN)/hatchling build --clean --directory dist

image:  ## build the container image with docker, buildah or podman
	@if docker info >/dev/null 2>&1; then set -- docker build; \
	elif command -v buildah >/dev/null; then set -- buildah build --format docker; \
	elif command -v podman >/dev/null; then set -- podman build --format docker; \
	else echo "make image needs a running docker, or buildah or podman (Debian: apt-get install buildah)" >&2; exit 1; \
	fi; set -x; "$$@" $(ARGS) --build-arg VERSION=$(VERSION) --tag $(IMAGE) .

clean:  ## remove all that make has made, but not .tokenauthority, which holds the data of `make run`
	rm -rf .venv dist site $(dir $(GENERATED)) tests/conformance/sdk/node/node_modules .coverage .coverage.* .hypothesis \
		.mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -d .tokenauthority ]; then echo "kept: .tokenauthority, the keys and data of make run"; fi

# Stamps live inside .venv: who removes it makes make forget what was in it.
.venv/made:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$$($(PYTHON) --version) is too old: 3.11 is needed; name another with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "$(PYTHON) has no venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/build .venv/server .venv/dev: .venv/%: requirements/%.txt | .venv/made
	@echo "installing requirements/$*.txt into .venv: only the first time, one to three minutes for all"
	$(PIP) --require-hashes --requirement $<
	@touch $@

.venv/project: pyproject.toml hatch_build.py | .venv/build
	$(PIP) --no-build-isolation --no-deps --editable .
	@touch $@

$(STUBS): $(PROTOS) scripts/protos.py requirements/build.txt | .venv/build
	$(BIN)/python scripts/protos.py

$(CLIENT): $(AIO) $(wildcard $(AIO)/*.py) scripts/blocking.py requirements/build.txt | .venv/build
	$(BIN)/python scripts/blocking.py
