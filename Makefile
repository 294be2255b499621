# Every target sets itself up: a fresh clone needs Python 3.11 or newer, make, and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: setup demo check test test-slow golden bench bench-speed bench-accuracy clean

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

# A worker a core of a small machine; torch in one thread each, or they fight for the cores.
WORKERS ?= 2

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

# The published implementation's numbers (needs ../shared/parity; skipped with a reason without it).
golden: $(INSTALLED)
	$(BIN)/python -m pytest tests/golden -m "slow or not slow" -rs

# All figures of docs/benchmarks, on this machine: speed (some 20 minutes on two cores) and, with
# DAVIS=FOLDER, accuracy (some 35 minutes for six sequences). REPEATS, R50=WEIGHTS (else random
# ones: speed does not depend on them), ROWS="--row NAME=WEIGHTS ...", DATASET, SCORE, SCORED and
# MASKS (a folder that keeps what is finished, and may hold masks of pcvos evaluate) can be set.
BENCH := docs/benchmarks
REPEATS ?= 2
DATASET ?= davis2016
SCORE ?= j
SCORED ?= all
MASKS ?= out/bench/masks

bench: bench-speed $(if $(DAVIS),bench-accuracy)

bench-speed: $(INSTALLED)
	mkdir -p out/bench
	$(BIN)/pcvos benchmark --variants full,no-refinement,no-progressive,stcn-like \
		--repeats $(REPEATS) --plot out/bench/speed.png --overwrite --json > out/bench/speed.json
	$(BIN)/pcvos benchmark --intervals 5 --objects 1,2,5,10 --frames 21 --scaling \
		--repeats $(REPEATS) --json > out/bench/objects.json
	$(BIN)/pcvos benchmark $(if $(R50),--weights $(R50),--model pcvos-r50 --untrained) \
		--intervals 5,25 --frames 26 --repeats 1 --json > out/bench/speed-r50.json
	cd out/bench && mv speed.png speed.json objects.json speed-r50.json $(CURDIR)/$(BENCH)/
	$(BIN)/python -m pcvos_cli.benchmarking.documents $(BENCH)

bench-accuracy: $(INSTALLED)
	test -d "$(DAVIS)" || { echo 'make bench-accuracy DAVIS=FOLDER'; exit 2; }
	mkdir -p out/bench
	$(BIN)/pcvos benchmark --ablation $(ROWS) --dataset $(DATASET) --root $(DAVIS) \
		--scored-frames $(SCORED) --score $(SCORE) --repeats $(REPEATS) --output $(MASKS) \
		--plot out/bench/accuracy.png --overwrite --json > out/bench/accuracy.json
	mv out/bench/accuracy.png out/bench/accuracy.json $(BENCH)/
	$(BIN)/python -m pcvos_cli.benchmarking.documents $(BENCH)

clean:
	rm -rf out dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
