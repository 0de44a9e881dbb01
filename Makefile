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

.PHONY: figures
figures: install ## render the published study's report and the README's table from its records
	$(BIN)/python -m analysis outputs/reference --against outputs/reference_alone
	$(BIN)/python -m analysis.readme README.md outputs/reference
	$(BIN)/python -m analysis ledger --redraw outputs/reference/ledger
	$(BIN)/python -m analysis.ledger.readme README.md outputs/reference/ledger

.PHONY: reference
reference: install ## train the published study anew (a quarter of an hour on two cores) and publish its records
	$(BIN)/python -m study +experiment=reference_start
	$(BIN)/python -m study +experiment=reference_training
	$(BIN)/python -m study +experiment=reference_linear
	$(BIN)/python -m study +experiment=reference_alone
	rm -rf outputs/reference outputs/reference_alone
	$(BIN)/python -m study.publish outputs/reference_records outputs/reference
	$(BIN)/python -m study.publish outputs/reference_alone_records outputs/reference_alone
	$(MAKE) figures

# all claims, or those named: make ledger CLAIMS=G1 or CLAIMS=I; SETTINGS go to every sweep
CLAIMS ?=
SETTINGS ?=
EVIDENCE = $(BIN)/python -m analysis ledger --commands --only "$(CLAIMS)"

.PHONY: ledger
ledger: install ## what lecture notes claim, tested: trains the evidence (half an hour on two cores) and weighs it
	$(EVIDENCE) $(SETTINGS) | PATH="$(CURDIR)/$(BIN):$$PATH" sh -e
	$(BIN)/python -m analysis ledger outputs/ledger --only "$(CLAIMS)"

.PHONY: ledger-full
ledger-full: ## the same with thirty seeds a condition, for a GPU
	$(MAKE) ledger SETTINGS="seeds=30 tuning_seeds=10"

.PHONY: replicate
replicate: install ## the ledger again on other seeds and on a second data set (an hour), and which verdicts stand
	$(EVIDENCE) name=ledger_again seed=100 | PATH="$(CURDIR)/$(BIN):$$PATH" sh -e
	$(EVIDENCE) name=ledger_spirals data=spirals | PATH="$(CURDIR)/$(BIN):$$PATH" sh -e
	$(BIN)/python -m analysis ledger outputs/ledger --only "$(CLAIMS)" \
		--again outputs/ledger_again --again outputs/ledger_spirals:spirals

.PHONY: publish-ledger
publish-ledger: install ## keep the ledger in outputs/reference, without its records
	rm -rf outputs/reference/ledger
	cp -r outputs/ledger/ledger outputs/reference/ledger
	$(BIN)/python -m analysis.ledger.readme README.md outputs/reference/ledger

.PHONY: test
test: install ## run the tests, but for those that take minutes each
	$(BIN)/python -m pytest -n 2 -m "not long and not slurm"

.PHONY: test-slow
test-slow: install ## run all tests, but for those that need a SLURM
	$(BIN)/python -m pytest -n 2 -m "not slurm"

.PHONY: test-slurm
test-slurm: install ## run the tests on a small real SLURM, installed and started for them (needs root on Debian)
	$(BIN)/python -m pytest tests/slurm -m slurm

.PHONY: test-page
test-page: install ## look at a page in a Chromium without a network, and check its accessibility
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,browser]'
	$(BIN)/python -m pytest tests/test_browser.py

.PHONY: bench
bench: install ## the product against its peers and bare products (half an hour); writes benchmarks/results and README
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bench]'
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.gpu
	$(BIN)/python -m benchmarks.readme README.md

.PHONY: bench-scale
bench-scale: install ## time and memory of a report of 100,000 simulated networks; writes benchmarks/results
	$(BIN)/python -m benchmarks.report_scale

.PHONY: bench-sweep
bench-sweep: install ## what a sweep of a million networks costs beside its training; writes benchmarks/results and docs/cluster.md
	$(BIN)/python -m benchmarks.sweep_scale
	$(BIN)/python -m benchmarks.readme docs/cluster.md

.PHONY: bench-diagnosis
bench-diagnosis: install ## how often the labels of the diagnosis are right (minutes); writes benchmarks/results and README
	$(BIN)/python -m benchmarks.diagnosis
	$(BIN)/python -m benchmarks.readme README.md

.PHONY: docs
docs: install ## write docs/schema.md from the schema
	$(BIN)/python -m study.schema > docs/schema.md

.PHONY: check
check: install ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
