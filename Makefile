# For developers. Users need only `pip install muscle-xray` and `muscle`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-all real check format bench screenshots clean
.DEFAULT_GOAL := test

# The stamp is renewed when the requirements change, so that installation is not repeated.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(READY)  ## phantoms, pre-training, baselines and the report at toy size
	$(BIN)/muscle demo

test: $(READY)  ## seconds a test; no real films
	$(BIN)/python -m pytest -m "not slow and not real"

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
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/muscle bench --seconds 1 --to benchmarks/results/bench.json
	$(BIN)/python benchmarks/rivals.py --seconds 1 --films 128
	$(BIN)/python benchmarks/ranks.py --seconds 2 --batch 64 --ways "one message"
	$(BIN)/python benchmarks/scores.py
	$(BIN)/python benchmarks/bars.py

RUN ?= runs/demo
screenshots: $(READY)  ## a report as readers see it, RUN=DIR: pictures, PDF, and what is cut; needs Chromium
	$(BIN)/muscle report $(RUN)
	$(BIN)/python benchmarks/screenshots.py $(RUN)/report.html $(RUN)/screenshots

clean:  ## everything that these targets made, except runs and stores
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
