# Two commands are all that is needed: `make demo` and `make test`. Both install what they need into .venv first.
SHELL := bash
export PYTHONUTF8 := 1
# Some images set it. Each of the hundreds of processes of the tests would then compile the code again.
unexport PYTHONDONTWRITEBYTECODE
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTEST := .venv/bin/python -m pytest
# Tests wait more than they work: three groups run side by side, each on servers of its own.
FIRST := tests/faults tests/unit $(addprefix tests/integration/,warehouse lake streams access)
SECOND := tests/integration/api tests/workflows tests/replay tests/sources
TESTS := .venv/bin/python -m coverage run -m pytest -m "not benchmark"

.PHONY: help demo up down install install-dev test test-unit check bench faults lock clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 14

demo: install ## start the embedded stack, load real workbooks, show what came out
	@.venv/bin/wardflow demo

up: install ## start the embedded stack in the background
	@.venv/bin/wardflow up --detach

down: ## end the embedded stack
	@.venv/bin/wardflow down

test: install-dev check ## run every check and test
	@rm -f .coverage .coverage.*
	@$(TESTS) $(FIRST) > .tests-first.log 2>&1 & first=$$!; \
		$(TESTS) $(SECOND) > .tests-second.log 2>&1 & second=$$!; \
		failed=0; $(TESTS) tests $(addprefix --ignore ,$(FIRST) $(SECOND)) || failed=$$?; \
		wait $$first || failed=$$?; wait $$second || failed=$$?; cat .tests-second.log .tests-first.log; exit $$failed
	@.venv/bin/coverage combine --quiet
	@.venv/bin/coverage report --skip-covered --skip-empty | tail -40

UNIT := $(PYTEST) -q -m "not servers"
test-unit: install-dev ## run the tests that need no server, within 90 seconds
	@$(UNIT) tests/unit/sources & sources=$$!; \
		failed=0; $(UNIT) tests/unit tests/replay tests/sources --ignore tests/unit/sources || failed=$$?; \
		wait $$sources || failed=$$?; exit $$failed

check: install-dev ## formatting, lint, types, import directions, one newest revision of the schema
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python -m library.warehouse.revisions

bench: install-dev ## measure: a table of ratios, each taken side by side in one run
	$(PYTEST) -m benchmark tests/benchmarks -s --timeout 0

ROUNDS ?= 20
SEED ?= 1
faults: install-dev ## kill servers at random moments of a backfill: make faults ROUNDS=20 SEED=1
	$(PYTEST) tests/faults -s --timeout 0 --rounds $(ROUNDS) --seed $(SEED)

install: .venv/.product
install-dev: .venv/.development

.venv/.product: requirements/product.txt requirements/uv.txt pyproject.toml
	@[ -e .venv/.development ] || bash .ci/install product
	@touch $@

.venv/.development: requirements/development.txt requirements/uv.txt pyproject.toml
	@bash .ci/install development
	@touch $@ .venv/.product

LOCK := .venv/bin/uv pip compile --quiet --generate-hashes --universal --python-version 3.12 \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
lock: install-dev ## resolve the dependencies anew: requirement files and Kafka's jars with hashes, and no host in them
	$(LOCK) pyproject.toml --group build -o requirements/product.txt
	$(LOCK) pyproject.toml --group dev --group build -c requirements/product.txt -o requirements/development.txt
	.venv/bin/python -m service.stack.jars --lock

clean: ## remove the environment; data under .wardflow stays
	rm -rf .venv
