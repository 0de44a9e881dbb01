# What a newcomer types. Needs Python >= 3.11 and make, and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.PHONY: install
install: $(VENV)/installed ## set everything up in .venv, pinned by constraints.txt

.PHONY: report
report: install ## train the standard grid (minutes; continues where it stopped) and render its report
	$(BIN)/python -m study +experiment=standard_start
	$(BIN)/python -m study +experiment=standard_training
	$(BIN)/python -m study +experiment=standard_linear
	$(BIN)/python -m analysis outputs/standard_grid

.PHONY: test
test: install ## run the tests
	$(BIN)/python -m pytest -n 2

.PHONY: bench
bench: install ## the product against a one-network loop and bare products; writes benchmarks/results
	$(BIN)/python -m benchmarks.engine

.PHONY: docs
docs: install ## write docs/schema.md from the schema
	$(BIN)/python -m study.schema > docs/schema.md

.PHONY: check
check: install ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
