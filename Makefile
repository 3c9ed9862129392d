# Two commands on a fresh machine: `make up` and `make test`. Each sets up .venv by itself.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help up test check fix bench migrate clean bootstrap
MAKEFLAGS += --no-print-directory

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: bootstrap ## run the whole system here and show a demo order (ARGS="--once", "--port 9000", …)
	@$(VENV)/orders up $(ARGS)

test: bootstrap ## run all tests (ARGS="-k name", "tests/unit", …)
	@$(VENV)/pytest $(ARGS)

check: bootstrap ## lint, format check, types, import contracts; never writes
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy .
	@$(VENV)/lint-imports

fix: bootstrap ## format and repair what ruff can repair
	@$(VENV)/ruff check --fix .
	@$(VENV)/ruff format .

bench: bootstrap ## measure against the budgets of the design (ARGS="profile", "accept --rounds 5", …)
	@$(VENV)/orders bench $(or $(ARGS),accept)

migrate: bootstrap ## bring the database of DATABASE_URL up to date
	@$(VENV)/orders migrate

clean: ## remove .venv and caches; .run, with its data, stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

bootstrap:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed and '$(PYTHON)' is not on the PATH." >&2; exit 1; }
	@$(PYTHON) -I ops/bootstrap.py
