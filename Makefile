# Two commands are enough: `make run` and `make test`. Each sets up .venv first where that is needed.
#
# It takes GNU make, a POSIX shell, and Python 3.11 or newer with ensurepip or pip. `make PYTHON=python3.13 test` makes
# a new .venv with that one.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:
.PHONY: help run test prove check bench soak routers scale docs chart pictures wheel lock clean

SHELL := /bin/sh
#: The configuration that `make run` serves.
ROUTES ?= routes.yaml
#: More arguments for pytest: make test ARGS="-k retry -x"
ARGS ?=

export PYTHON
# A shell's leftovers must not decide what is imported, nor switch the tests' assertions off.
unexport PYTHONHOME PYTHONOPTIMIZE PYTHONPATH

EDITABLE := --no-deps --no-build-isolation --editable .
LOCK := .make/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --upgrade \
	--generate-hashes --no-header --no-emit-index-url --no-build --no-python-downloads --system-certs

help: ## Show this.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: .venv/.run ## Serve routes.yaml (ROUTES=other.yaml) until Ctrl-C.
	exec .venv/bin/aftercall serve -c "$(ROUTES)"

test: .venv/.dev ## Run the tests (ARGS="-k retry -x").
	.venv/bin/python -m pytest $(ARGS)

prove: .venv/.dev ## Show at length that nothing is lost (ARGS="-k kill"; AFTERCALL_SEED=N throws the same dice again).
	AFTERCALL_PROVE=1 .venv/bin/python -m pytest tests/acceptance $(ARGS)

check: .venv/.dev ## Check style, types and who imports whom.
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: .venv/.run .make/bench/.done ## Measure speed, beside a bare server and a script (ARGS="--write docs/performance.md").
	.venv/bin/python bench/throughput.py $(ARGS)

soak: .venv/.run ## Send a million calls, for an hour, and look whether all stays as it is.
	.venv/bin/python bench/soak.py $(ARGS)

routers: .venv/.dev ## Measure one and two routers on PostgreSQL, beside SQLite (ARGS="--write docs/scale.md").
	.venv/bin/python bench/routers.py $(ARGS)

scale: .venv/.dev ## Measure beside ten million stored calls, on PostgreSQL (ARGS="--calls 1000000 --folder /mnt/disk").
	.venv/bin/python bench/scale.py $(ARGS)

docs: .venv/.dev ## Fill in what docs/sinks/ has from the code.
	.venv/bin/python docs/make.py

chart: .venv/.dev .make/deploy/.done ## Render the Helm chart, and hold it and the Compose files against their schemas.
	.venv/bin/python -m pytest tests/test_helm.py tests/test_compose.py $(ARGS)

pictures: .venv/.dev ## Make the pictures of docs/sinks/ anew where what they show has changed (needs Chromium).
	.venv/bin/python docs/pictures.py

wheel: .venv/.dev ## Build dist/aftercall-*.whl.
	rm -rf build dist
	.venv/bin/pyproject-build --quiet --wheel --no-isolation

lock: .make/lock/bin/uv ## Lock the newest versions that pyproject.toml allows.
	$(LOCK) --output-file requirements.lock pyproject.toml
	$(LOCK) --output-file requirements-build.lock --group build
	$(LOCK) --output-file requirements-postgres.lock --group postgres
	$(LOCK) --output-file requirements-dev.lock --group dev pyproject.toml \
		--constraints requirements.lock --constraints requirements-build.lock --constraints requirements-postgres.lock
	$(LOCK) --output-file requirements-api.lock --group api
	$(LOCK) --output-file requirements-bench.lock --group bench
	$(LOCK) --output-file requirements-deploy.lock --group deploy

clean: ## Remove what was built or installed here; data/ stays.
	rm -rf .venv .make build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find router plugins tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# .venv is set up anew when a lock, pyproject.toml or its Python changes. .dev is .run and the tools.
.venv/.run: requirements.lock requirements-build.lock pyproject.toml .venv/bin/python
	@echo "Setting up .venv:"
	@sh .ci/venv .venv requirements.lock requirements-build.lock -- $(EDITABLE)
	@touch .venv/.run

.venv/.dev: requirements.lock requirements-dev.lock pyproject.toml .venv/bin/python
	@echo "Setting up .venv for development:"
	@sh .ci/venv .venv requirements-dev.lock -- $(EDITABLE)
	@touch .venv/.run .venv/.dev

# No recipe: where it is missing, also because its Python was removed, the two rules above run.
.venv/bin/python: ;

.make/bench/.done: requirements-bench.lock
	@sh .ci/venv .make/bench requirements-bench.lock --
	@touch .make/bench/.done

.make/deploy/.done: requirements-deploy.lock
	@sh .ci/venv .make/deploy requirements-deploy.lock --
	@touch .make/deploy/.done

.make/lock/bin/uv:
	@sh .ci/venv .make/lock -- uv
