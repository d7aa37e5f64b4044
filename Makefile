# demo    the whole loop on the embedded example, from nothing: .venv, install, run
# test    every test;  test-unit  only the quick ones (TESTS=... adds options of pytest)
#         TEST_BOTH_DATABASES=1 opens every page on SQLite and on PostgreSQL; otherwise half on each
# test-oracle  the losses beside TRL's, where TRL can be installed
# check   lint, types, import order
# base-model, picture, screenshots: see the comments at each

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-unit test-oracle check base-model picture screenshots clean

demo: $(VENV)/.train
	$(BIN)/fairlead quickstart --out demo

test: $(VENV)/.test
	$(PYTEST)

test-unit: $(VENV)/.test
	$(PYTEST) -m "not slow and not browser" $(TESTS)

# TRL is somebody else's and large: where it cannot be had, nothing is compared; that is a failure only where CI is set.
test-oracle: $(VENV)/.test
	@if $(PIP) install -c constraints.txt -e '.[oracle]'; \
	then $(BIN)/python -m pytest tests/losses/test_oracle.py; \
	elif [ -n "$$CI" ]; \
	then echo "pip could not install the extra 'oracle', for the reason above; with CI set the losses must be compared." >&2; exit 1; \
	else echo "pip could not install the extra 'oracle', for the reason above; the comparison with TRL's losses is left out."; fi

check: $(VENV)/.test
	$(BIN)/ruff check --no-cache src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Fairlead needs Python 3.11 or newer; set PYTHON=python3.x") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing Fairlead and what it stands on into $(VENV): a few minutes the first time."
	$(PIP) install -c constraints.txt -e '.[train]'
	touch $@

$(VENV)/.test: $(VENV)/.train
	$(PIP) install -c constraints.txt -e '.[test]'
	$(BIN)/python tests/get_chromium.py
	$(BIN)/python tests/get_postgres.py
	$(BIN)/python tests/get_proxies.py
	touch $@

# Make the embedded base model again, from nothing: about three quarters of an hour on two cores.
base-model: $(VENV)/.train
	sh configs/base_model/make_base_model.sh $(BIN)

# The picture in the README: the top of the report that `make demo` made.
picture: $(VENV)/.test
	$(BIN)/python docs/make_picture.py demo/report.html docs/report.png

# Pictures of every page of the studio, light and dark, wide and phone: two minutes.
screenshots: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python docs/make_screenshots.py build/screenshots

clean:
	rm -rf demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
