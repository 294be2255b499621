# Every target sets itself up: a fresh clone needs Python 3.11 or newer, make, and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: setup demo check test test-slow golden bench bench-speed bench-long bench-accuracy \
	bench-memory clean

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

# All figures of docs/benchmarks, on this machine: speed and a long video (some 30 minutes on two
# cores) and, with DAVIS=FOLDER, accuracy (some 45 minutes for six sequences). REPEATS, R50=WEIGHTS
# (else random ones: speed does not depend on them), LONG (frames), OPTIONS (for every run of
# speed, such as --threads 1), ROWS="--row NAME=WEIGHTS ...", DATASET, SCORE, SCORED, LOOPED
# (sequences that are made long), MASKS (a folder that keeps what is finished, and may hold masks
# of pcvos evaluate) and BENCH (where the results go) can be set.
BENCH ?= docs/benchmarks
REPEATS ?= 2
LONG ?= 2000
OPTIONS ?=
DATASET ?= davis2016
SCORE ?= j
SCORED ?= all
LOOPED ?= dog camel
LOOPED_FRAMES ?= 400
MASKS ?= out/bench/masks
DOCUMENTS = $(BIN)/python -m pcvos_cli.benchmarking.documents $(BENCH)

bench: bench-speed bench-long $(if $(DAVIS),bench-accuracy bench-memory)

bench-speed: $(INSTALLED)
	mkdir -p out/bench $(BENCH)
	$(BIN)/pcvos benchmark --variants full,no-refinement,no-progressive,stcn-like \
		--repeats $(REPEATS) --plot out/bench/speed.png --overwrite --json $(OPTIONS) \
		> out/bench/speed.json
	$(BIN)/pcvos benchmark --intervals 5 --objects 1,2,5,10 --frames 21 --scaling \
		--repeats $(REPEATS) --json $(OPTIONS) > out/bench/objects.json
	$(BIN)/pcvos benchmark $(if $(R50),--weights $(R50),--model pcvos-r50 --untrained) \
		--intervals 10 --objects 1,3 --frames 21 --scaling --scaling-frames 2,100 \
		--repeats 1 --json $(OPTIONS) > out/bench/speed-r50.json
	mv out/bench/speed.png out/bench/speed.json out/bench/objects.json out/bench/speed-r50.json \
		$(BENCH)/
	$(DOCUMENTS)

bench-long: $(INSTALLED)
	mkdir -p out/bench $(BENCH)
	$(BIN)/pcvos benchmark --long $(LONG) --intervals 10 --plot out/bench/long.png --overwrite \
		--json $(OPTIONS) > out/bench/long.json
	mv out/bench/long.png out/bench/long.json $(BENCH)/
	$(DOCUMENTS)

bench-accuracy: $(INSTALLED)
	test -d "$(DAVIS)" || { echo 'make bench-accuracy DAVIS=FOLDER'; exit 2; }
	mkdir -p out/bench $(BENCH)
	$(BIN)/pcvos benchmark --ablation $(ROWS) --dataset $(DATASET) --root $(DAVIS) \
		--scored-frames $(SCORED) --score $(SCORE) --repeats $(REPEATS) --output $(MASKS) \
		--plot out/bench/accuracy.png --overwrite --json > out/bench/accuracy.json
	mv out/bench/accuracy.png out/bench/accuracy.json $(BENCH)/
	$(DOCUMENTS)

# What a bounded memory costs in accuracy: sequences of DAVIS 2016, forwards and backwards.
bench-memory: $(INSTALLED)
	test -d "$(DAVIS)" || { echo 'make bench-memory DAVIS=FOLDER'; exit 2; }
	mkdir -p out/bench $(BENCH)
	$(BIN)/python docs/benchmarks/long_video.py $(DAVIS) $(LOOPED) --frames $(LOOPED_FRAMES) \
		--bounds 5,10,all --json out/bench/long-accuracy.json
	mv out/bench/long-accuracy.json $(BENCH)/
	$(DOCUMENTS)

clean:
	rm -rf out dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
