# Every target sets itself up: a fresh clone needs Python 3.11 or newer, make, and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: setup demo check test test-slow golden bench clean

setup: $(INSTALLED)

# The stamp is touched only after a whole install, so an interrupted one is repeated.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/pcvos segment examples/bigbuckbunny.mp4 --mask examples/bigbuckbunny_first.png \
		--out out/demo --overwrite

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(INSTALLED)
	$(BIN)/python -m pytest

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

# The published implementation's numbers (needs ../shared/parity; skipped with a reason without it).
golden: $(INSTALLED)
	$(BIN)/python -m pytest tests/golden -m "slow or not slow" -rs

# Seconds of every stage with the shipped weights, on this machine.
bench: $(INSTALLED)
	$(BIN)/pcvos segment examples/bigbuckbunny.mp4 --mask examples/bigbuckbunny_first.png \
		--out out/bench --overwrite --verbose

clean:
	rm -rf out dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
