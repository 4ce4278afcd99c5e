PYTHON ?= python3
IMAGE  ?= tokenauthority
ARGS   ?=
DIST   ?= dist
# More than the cores: tests wait for servers, disks and clocks longer than they compute.
WORKERS ?= $(shell echo $$((2 * $$(nproc 2>/dev/null || echo 2))))

REVISION := $(shell git rev-parse HEAD 2>/dev/null)
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/tokenauthority/__init__.py)
BIN    := .venv/bin
PIP    := $(BIN)/pip --disable-pip-version-check --quiet install
LOCK   := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--exclude-newer "1 week" --no-build-isolation --no-emit-package tokenauthority-client
STUBS  := src/tokenauthority/v1/__init__.py
CLIENT := src/tokenauthority/client/blocking/__init__.py
AIO    := src/tokenauthority/client/aio
GENERATED := $(STUBS) $(CLIENT)
# The copies of the clients: each is fetched without the others.
CONFIGS := $(addsuffix /service-config.json, clients/go/tokenauthority clients/ruby/lib/tokenauthority \
	clients/java/src/main/resources/io/github/tokenauthority/client)
# The client's part of the package is a distribution of its own.
PROJECTS := $(foreach folder,. clients/python,$(folder)/pyproject.toml $(folder)/hatch_build.py)
# Directories too: their times tell of a file that was removed.
PROTOS := $(shell find protos/*)

# Bytecode stays in .venv, also where the environment asks Python to write none: without it each process compiles anew.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/pycache

# Two pips in one environment spoil it.
.NOTPARALLEL:
.PHONY: help run test coverage check lint types arch breaking clients interop media docs docs-serve format protos bench fuzz chaos soak lock build sbom deploy-check manifests image clean

help:  ## say what each target does
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 14

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

interop: .venv/dev .venv/project $(GENERATED)  ## run the client of each language against one authority: make interop ARGS="-k go"
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest clients/interop $(ARGS)

media: .venv/dev .venv/project .venv/media $(GENERATED)  ## let people join real servers with tokens of an authority: make media ARGS="-k janus"
	$(BIN)/python -m media
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest media $(ARGS)

deploy-check: .venv/deploy .venv/dev .venv/project $(GENERATED)  ## check the Helm chart and its manifests; builds Helm once, some minutes; needs Go
	$(BIN)/python -m deploy
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest deploy $(ARGS)

manifests: .venv/dev .venv/project $(GENERATED)  ## render the Helm chart into deploy/kubernetes/; builds Helm once, some minutes; needs Go
	$(BIN)/python -m deploy manifests

docs: .venv/dev .venv/project $(GENERATED)  ## build the site into site/; a dead link, an undefined setting or an orphan page fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "site/index.html is the first page; make docs-serve shows the site while you write"

docs-serve: .venv/dev .venv/project $(GENERATED)  ## show the site on http://127.0.0.1:8000 and build it again when a page changes
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve $(ARGS)

clients: .venv/dev .venv/project $(GENERATED)  ## generate what is committed below clients/: the stubs of Go and the service config; needs Go
	cd tests/conformance/sdk/go && GOBIN="$(CURDIR)/.venv/go" go install tool
	PATH="$(CURDIR)/.venv/go:$$PATH" $(BIN)/buf generate --template clients/go/buf.gen.yaml
	$(BIN)/python -c "from scripts.docs.pages import FILES; print(FILES['service-config.json'](), end='')" | tee $(CONFIGS) >/dev/null

format: .venv/dev  ## rewrite Python and protos in the one format
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format
	$(BIN)/buf format --write

protos: $(GENERATED)  ## generate the gRPC stubs and the blocking client

bench: .venv/dev .venv/project $(GENERATED)  ## measure what calls cost; ARGS=--peers measures other programs too
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: .venv/dev .venv/project $(GENERATED)  ## ask VerifyToken about made-up tokens for 10 minutes: make fuzz ARGS="--seconds 60"
	$(BIN)/python -m benchmarks.fuzz $(ARGS)

chaos: .venv/dev .venv/project $(GENERATED)  ## let everything around three servers under load fail: make chaos ARGS="--short"
	$(BIN)/python -m benchmarks.chaos $(ARGS)

soak: .venv/dev .venv/project $(GENERATED)  ## see whether a server under load for 30 minutes is flat: make soak ARGS="--seconds 120"
	$(BIN)/python -m benchmarks.soak $(ARGS)

lock: .venv/dev .venv/project  ## renew requirements/ from pyproject.toml: make lock ARGS=--upgrade
	$(LOCK) $(ARGS) pyproject.toml --extra server --group dev --output-file requirements/dev.txt
	$(LOCK) pyproject.toml --extra server --constraint requirements/dev.txt --output-file requirements/server.txt
	$(LOCK) pyproject.toml --extra cli --constraint requirements/dev.txt --output-file requirements/cli.txt
	$(LOCK) --group build --constraint requirements/dev.txt --output-file requirements/build.txt
	$(LOCK) --group media --constraint requirements/dev.txt --output-file requirements/media.txt
	$(LOCK) $(ARGS) --group deploy --constraint requirements/dev.txt --output-file requirements/deploy.txt
	$(LOCK) --upgrade clients/python/pyproject.toml --resolution lowest --output-file requirements/client-lowest.txt
	$(LOCK) $(ARGS) clients/python/pyproject.toml --output-file requirements/client-highest.txt

build: .venv/dev .venv/project $(GENERATED)  ## build wheels and source distributions of server and client, and the files of the contract, into dist/
	$(BIN)/hatchling build --clean --directory dist
	cd clients/python && $(CURDIR)/$(BIN)/hatchling build --directory $(CURDIR)/dist
	$(BIN)/python -m scripts.docs.release dist
	$(MAKE) --no-print-directory sbom

sbom: .venv/deploy  ## list what a server consists of, by the locked requirements, in dist/, as CycloneDX
	@mkdir -p $(DIST)
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible --output-file $(DIST)/tokenauthority-$(VERSION)-sbom.cdx.json \
		requirements/server.txt

image:  ## build the container image with docker, buildah or podman
	@if docker info >/dev/null 2>&1; then set -- docker build; \
	elif command -v buildah >/dev/null; then set -- buildah build --format docker; \
	elif command -v podman >/dev/null; then set -- podman build --format docker; \
	else echo "make image needs a running docker, or buildah or podman (Debian: apt-get install buildah)" >&2; exit 1; \
	fi; set -x; "$$@" $(ARGS) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --tag $(IMAGE) .

clean:  ## remove all that make has made, but not .tokenauthority, which holds the data of `make run`
	rm -rf .venv dist gen site $(dir $(GENERATED)) tests/conformance/sdk/node/node_modules \
		clients/typescript/dist clients/typescript/node_modules clients/typescript/src/gen clients/ruby/lib/tokenauthority/v1 .coverage .coverage.* .hypothesis \
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

.venv/build .venv/server .venv/deploy .venv/dev .venv/media: .venv/%: requirements/%.txt | .venv/made
	@echo "installing requirements/$*.txt into .venv: only the first time, one to three minutes for all"
	$(PIP) --require-hashes --requirement $<
	@touch $@

.venv/project: $(PROJECTS) | .venv/build
	$(PIP) --no-build-isolation --no-deps --editable clients/python --editable .
	@touch $@

$(STUBS): $(PROTOS) scripts/protos.py requirements/build.txt | .venv/build
	$(BIN)/python scripts/protos.py

$(CLIENT): $(AIO) $(wildcard $(AIO)/*.py) scripts/blocking.py requirements/build.txt | .venv/build
	$(BIN)/python scripts/blocking.py
