# Every target sets itself up: a fresh clone needs Python 3.11 or newer, make, and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: setup demo check docs test test-slow golden bench bench-speed bench-accuracy clean

setup: $(INSTALLED)

# The stamp is touched only after a whole install, so an interrupted one is repeated.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/pcvos segment examples/bigbuckbunny.mp4 --mask examples/bigbuckbunny_first.png \
		--out out/demo --overwrite

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory docs

# The documentation as a site, in out/site. It fails on a broken link or an unknown name.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# A worker a core of a small machine; torch in one thread each, or they fight for the cores.
WORKERS ?= 2

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

# The published implementation's numbers (needs ../shared/parity; skipped with a reason without it).
golden: $(INSTALLED)
	$(BIN)/python -m pytest tests/golden -m "slow or not slow" -rs

# The figures of docs/benchmarks, on this machine: speed, and with DAVIS=FOLDER the accuracy at
# each clip length. R50=WEIGHTS (else random ones: speed does not depend on them), OPTIONS (such
# as --threads 1), DATASET, MASKS (a folder that keeps
# what is finished, and may hold masks of pcvos evaluate) and BENCH (where the results go) can be
# set. A long video: docs/lab/long_video.py.
BENCH ?= docs/benchmarks
OPTIONS ?=
DATASET ?= davis2016
MASKS ?= out/bench/masks

bench: bench-speed $(if $(DAVIS),bench-accuracy)

bench-speed: $(INSTALLED)
	mkdir -p out/bench $(BENCH)
	$(BIN)/pcvos benchmark --plot out/bench/speed.png --overwrite --json $(OPTIONS) \
		> out/bench/speed.json
	$(BIN)/pcvos benchmark --intervals 5 --objects 1,2,5,10 --frames 21 --json $(OPTIONS) \
		> out/bench/objects.json
	$(BIN)/pcvos benchmark $(if $(R50),--weights $(R50),--model pcvos-r50 --untrained) \
		--intervals 10 --objects 1,3 --frames 21 --repeats 1 --json $(OPTIONS) \
		> out/bench/speed-r50.json
	mv out/bench/speed.png out/bench/speed.json out/bench/objects.json out/bench/speed-r50.json \
		$(BENCH)/
	$(BIN)/python docs/benchmarks/tables.py

bench-accuracy: $(INSTALLED)
	test -d "$(DAVIS)" || { echo 'make bench-accuracy DAVIS=FOLDER'; exit 2; }
	mkdir -p out/bench $(BENCH)
	$(BIN)/pcvos benchmark --dataset $(DATASET) --root $(DAVIS) --output $(MASKS) \
		--plot out/bench/accuracy.png --overwrite --json $(OPTIONS) > out/bench/accuracy.json
	mv out/bench/accuracy.png out/bench/accuracy.json $(BENCH)/

clean:
	rm -rf out dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
