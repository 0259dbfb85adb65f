# Every target first brings the machine to where it can do its job; the second time that takes a moment.
#   ARGS=...      goes to the command behind the target: make run ARGS="--port 3000", make test ARGS="-k upload"
#   PHOTOS=...    the folder that `make demo` imports; without it a small set is generated
#   PYTHON=...    the interpreter of a new .venv (3.11 or newer)

# Real photos and specifications for tests and benchmarks; what needs them skips where there are none.
HELIOSTAT_SHARED ?= $(abspath $(wildcard ../shared))
export HELIOSTAT_SHARED PYTHON

PHOTOS ?=
ARGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run demo test test-long lint format bench lock clean distclean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

run: ## serve: the API, its jobs and the Ray dashboard, on this machine
	@cluster/setup.sh run
	@exec $(BIN)/heliostat up $(ARGS)

demo: ## import PHOTOS=folder and watch: progress, a table per queue, a contact sheet
	@cluster/setup.sh run
	@exec $(BIN)/heliostat demo $(if $(PHOTOS),"$(PHOTOS)") $(ARGS)

test: ## formatting, lint, types and every test but the long ones
	@cluster/setup.sh test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -n 2 $(ARGS)

test-long: ## the loops and soaks
	@cluster/setup.sh test
	$(BIN)/python -m pytest -m long $(ARGS)

lint: ## formatting, lint and types alone
	@cluster/setup.sh test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy

format: ## write the code the way `make lint` wants it
	@cluster/setup.sh test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: ## measure; prints a table and writes bench/out/results.json
	@cluster/setup.sh bench
	$(BIN)/python -m bench $(ARGS)

lock: ## write requirements*.txt anew from pyproject.toml (ARGS=--upgrade for newer versions)
	@cluster/setup.sh lock $(ARGS)

clean: ## delete caches and build leftovers
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info bench/out
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## and the virtual environment
	rm -rf .venv
