# Two commands for a newcomer: `make demo` and `make test`. Python >= 3.11 and make are all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One thread per process: tests and benches run several, which share the cores. A command that runs by
# itself chooses by its backbone's size (inspector/threads.py).
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test check client house serve exam bench-detect bench-baselines bench-repair bench-speed bench-threads fuzz fuzz-api witness screenshots chaos acceptance clean
help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/runtime: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/development: requirements-test.txt $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-test.txt
	touch $@

demo: $(VENV)/runtime  ## inspect a clean and a backdoored checkpoint over REST, repair, webhook
	$(BIN)/python -m app.demo

TESTERS ?= auto
test: $(VENV)/development  ## the default test suite, with the real servers that it needs (TESTERS=0: one process)
	$(BIN)/python -m pytest -n $(TESTERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder tests

check: $(VENV)/development  ## lint, docstrings, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

client: $(VENV)/runtime  ## the wheel of clipvet-client, in dist
	rm -rf var/client && mkdir -p var dist && cp -r app/client var/client
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist ./var/client
	ls dist/clipvet_client-*.whl

house: $(VENV)/development  ## rooms, floors and arrows between packages (PACKAGES="inspector app")
	$(BIN)/python -m tests.house $(PACKAGES)

serve: $(VENV)/runtime  ## the embedded service on this machine
	$(BIN)/clipvet serve --data-dir var

ZOO ?= var/zoo
PLAN ?= --split set-aside --seed 3001 --task sizes2 counts3 things6 \
	--kind clean blended wanet siba text noisy scrambled scrambled_blended
PICTURES ?= var/pictures
$(PICTURES)/drawn: $(VENV)/development
	$(BIN)/python -m tests.zoo.pictures $(PICTURES)
	touch $@

bench-detect: $(PICTURES)/drawn  ## build part of the exam, inspect it with pictures of the task and with built-in probes (PLAN="...", resumable)
	$(BIN)/python -m tests.zoo.make $(ZOO) $(PLAN)
	$(BIN)/python -m tests.bench.detect $(ZOO) --own $(PICTURES) --out var/detect
	$(BIN)/python -m tests.bench.detect $(ZOO) --out var/detect
	set -e; for table in standard-own standard; do \
		$(BIN)/python -m tests.bench.metrics var/detect/$$table.csv; \
		$(BIN)/python -m tests.bench.plots var/detect/$$table.csv --out var/detect/$$table-plots; \
	done

exam: $(VENV)/development  ## examine what is built of a set by a frozen rule, a row a model, resumable (TAG=lead-16 ZOO=... EXAM="--part bank")
	$(BIN)/python -m tests.exam look $(TAG) $(ZOO) $(EXAM)

METHODS ?= paper nc pixel karm mmbd
bench-baselines: $(VENV)/development  ## published detectors on the same models (ZOO="folder ..." METHODS="paper nc")
	$(BIN)/python -m tests.bench.baselines $(ZOO) --method $(METHODS)

REPAIR ?= var/zoo/places5-20001-blended var/zoo/places5-20001-clean
bench-repair: $(VENV)/development  ## repair models as a buyer does, judged by attackers' own triggers (REPAIR="folder ..." of a zoo; else two are built)
	$(BIN)/python -m tests.bench.whole_repair $(REPAIR)

bench-speed: $(VENV)/development  ## encoder work and seconds of our profiles and of every baseline
	$(BIN)/python -m tests.bench.speed $(SPEED)

bench-threads: $(VENV)/runtime  ## inspect with the default threads and with one, in turns; fails over a ratio of 1.3
	$(BIN)/python -m tests.bench.threads --limit 1.3

$(VENV)/fuzz: requirements-fuzz.txt $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-fuzz.txt
	touch $@

FUZZ ?= pickle zip safetensors tar reader
fuzz: RUNS ?= 1000000
fuzz: $(VENV)/fuzz  ## coverage-guided fuzzing of the reader, Linux only (FUZZ="pickle zip" RUNS=1000000)
	set -e; for target in $(FUZZ); do $(BIN)/python -m tests.fuzz $$target --runs $(RUNS); done

CASES ?= 10000
SEED ?= 1
DATABASE ?= both
fuzz-api: $(VENV)/development  ## requests drawn from the OpenAPI document, sent to the API on SQLite and PostgreSQL (CASES=10000 SEED=1)
	$(BIN)/python -m tests.apifuzz --cases $(CASES) --seed $(SEED) --database $(DATABASE)

witness: RUNS ?= 100000
witness: $(VENV)/development  ## files by chance, opened by torch, timm and open_clip and by us, resumable (RUNS=100000)
	$(BIN)/python -m tests.witness --runs $(RUNS)

$(VENV)/pages: requirements-pages.txt $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-pages.txt
	touch $@

SHOTS ?= var/screenshots
screenshots: $(VENV)/pages  ## the report's page of every kind, wide, narrow, dark and printed; needs Debian's chromium (SHOTS=folder)
	$(BIN)/python -m tests.page.screenshots $(SHOTS)

SEED ?= 1
INSPECTIONS ?= 500
FAULTS ?= 100
chaos: $(VENV)/development  ## faults of all kinds under load, then what must hold; about half an hour (SEED=1 INSPECTIONS=500 FAULTS=100)
	$(BIN)/python -m tests.chaos --seed $(SEED) --inspections $(INSPECTIONS) --faults $(FAULTS)

acceptance: $(VENV)/development  ## all that is too long for `make test`, resumable, a table at its end (STEPS="chaos races")
	$(BIN)/python -m tests.acceptance $(if $(STEPS),--only $(STEPS))

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
