# For developers. Users need only `pip install muscle-xray` and `muscle`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := -m pip install --quiet --disable-pip-version-check
# Only what the lock names, only wheels (nothing of others is run to install it), each by its SHA-256. There is no way round
# by itself: where the lock does not fit, pip's refusal is the message, and CONTRIBUTING.md says how to go on by the ranges.
LOCKED := $(PIP) --require-hashes --no-deps --only-binary :all:
SUPPLY := $(VENV)/supply/bin

.PHONY: demo test test-all real check format bench screenshots lock audit clean
.DEFAULT_GOAL := test

# The stamp is renewed when the requirements change, so that installation is not repeated.
$(READY): pyproject.toml requirements/dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(LOCKED) -r requirements/dev.txt
	$(BIN)/python $(PIP) --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check
	touch $@

demo: $(READY)  ## phantoms, pre-training, baselines and the report at toy size
	$(BIN)/muscle demo

test: $(READY)  ## seconds a test, as many at once as there are cores; no real films
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not real"

test-all: $(READY)  ## everything; tests on real films only where MUSCLE_REAL_DATA is set
	$(BIN)/python -m pytest

real: $(READY)  ## the recipes on real films: MUSCLE_REAL_DATA=DIR make real
	@test -n "$$MUSCLE_REAL_DATA" || { \
	  echo "MUSCLE_REAL_DATA is not set; set it to the folder that holds the real data sets" >&2; exit 2; }
	$(BIN)/python benchmarks/real_films.py

check: $(READY)  ## format, lint with docstrings, strict types, who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict src
	$(BIN)/lint-imports

format: $(READY)  ## what `check` would complain about and a machine can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## the table of docs/speed.md, measured here, with nothing else running
	$(BIN)/python $(LOCKED) --no-binary antlr4-python3-runtime --no-build-isolation -r requirements/bench.txt
	$(BIN)/muscle bench --seconds 1 --to benchmarks/results/bench.json
	$(BIN)/python benchmarks/rivals.py --seconds 1 --films 128
	$(BIN)/python benchmarks/ranks.py --seconds 2 --batch 64 --ways "one message"
	$(BIN)/python benchmarks/scores.py
	$(BIN)/python benchmarks/bars.py

RUN ?= runs/demo
screenshots: $(READY)  ## a report as readers see it, RUN=DIR: pictures, PDF, and what is cut; needs Chromium
	$(BIN)/muscle report $(RUN)
	$(BIN)/python benchmarks/screenshots.py $(RUN)/report.html $(RUN)/screenshots

$(SUPPLY)/uv: requirements/supply.txt
	$(PYTHON) -m venv $(VENV)/supply
	$(SUPPLY)/python $(LOCKED) -r requirements/supply.txt
	touch $@

# 3.11 is the oldest Python that pyproject.toml allows: --universal locks for that and all later ones, on every platform.
COMPILE = $(SUPPLY)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
  --annotation-style line --custom-compile-command "make lock" $(NEWEST)
lock: $(SUPPLY)/uv  ## requirements/ to fit pyproject.toml; NEWEST=--upgrade renews the versions that still fit, too
	$(COMPILE) --only-binary :all: pyproject.toml --extra dev -o requirements/dev.txt
	$(COMPILE) pyproject.toml --extra bench -c requirements/dev.txt -o requirements/bench.txt
	$(COMPILE) --only-binary :all: --group pyproject.toml:supply -o requirements/supply.txt

audit: $(SUPPLY)/uv  ## known vulnerabilities of the locked versions; asks a public service
	$(SUPPLY)/python .ci/audit.py requirements/*.txt

clean:  ## everything that these targets made, except runs and stores
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find .ci src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
