# Everything that is done with this checkout starts here. Each target sets up what it needs by itself.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check fix bench soak docs dist deb clean

VENV   := .venv
PYTHON := $(VENV)/bin/python
CODE   := farshore sim bench tests scripts examples
# More arguments for pytest or the benchmark, as in: make test PYTEST_ARGS="-k frame"
PYTEST_ARGS ?=
# Tests run in several workers at once (tests/side_by_side.py); one after the other with WORKERS=0
WORKERS     ?= auto
# The fast tests that `make check` runs; none where all tests are run next
FAST_TESTS  ?= tests/unit
BENCH_ARGS  ?=

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Build .venv, or bring it up to date
	@scripts/setup

demo: setup ## Two sites: write, cut the line, catch up, lose a site, fail over and back, compare
	@$(VENV)/bin/farshore demo

test: setup ## Run all tests but the long ones (as root: installs Debian packages that they need)
	@scripts/install-test-packages
	@$(PYTHON) -m pytest tests --ignore=tests/soak -n $(WORKERS) $(PYTEST_ARGS)

check: setup docs ## Format, lint, types, import contracts, fast tests
	@echo '== format' && $(VENV)/bin/ruff format --check $(CODE)
	@echo '== lint' && $(VENV)/bin/ruff check $(CODE)
	@echo '== types' && $(VENV)/bin/mypy $(CODE)
	@echo '== import contracts' && $(VENV)/bin/lint-imports --no-logo
	@$(if $(FAST_TESTS),echo '== fast tests' && $(PYTHON) -m pytest $(FAST_TESTS) -q -n $(WORKERS) $(PYTEST_ARGS))

fix: setup ## Format the code and mend what the linter can mend
	@$(VENV)/bin/ruff format $(CODE)
	@$(VENV)/bin/ruff check --fix $(CODE)

bench: setup ## Measure beside the programs that do a part of the same job
	@scripts/install-test-packages
	@$(PYTHON) -m bench $(BENCH_ARGS)

soak: setup ## The long tests, and the simulator with many seeds: hours
	@scripts/install-test-packages
	@FARSHORE_SOAK=1 $(PYTHON) -m pytest tests/soak $$(grep -rl --include="test_*.py" "long_form import" tests | grep -v ^tests/soak/) --timeout=14400 $(PYTEST_ARGS)

docs: setup ## Check that links inside the documentation lead somewhere
	@$(PYTHON) scripts/check_docs.py

dist: setup ## Build the wheel and the source archive into dist/
	@rm -rf dist
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || date +%s)} $(PYTHON) -m hatchling build -d dist

deb: dist ## Build the Debian package into dist/ (on Debian or Ubuntu)
	@$(PYTHON) scripts/build_deb.py dist/*.whl dist

clean: ## Remove build products and caches (not .venv)
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find farshore sim bench tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
