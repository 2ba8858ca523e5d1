# Every target needs only Python 3.11 to 3.13 and make; the first target that is run sets up .venv/.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PYTEST = $(BIN)/python -m pytest -q --dist worksteal

# make setup compiles all modules, because Python cannot store them later in a read-only folder; BYTECODE= skips this.
BYTECODE ?= --compile-bytecode
CORPUS ?= synthetic
CORPORA ?= ravdess,emodb,emovo
SEEDS_dropout := 20
SEEDS_augmentation := 5
SEEDS_bugs := 5
SEEDS_labels := 5
SEEDS_protocols := 1
SEEDS ?= $(or $(SEEDS_$(firstword $(MAKECMDGOALS))),3)
EXPERIMENT ?= corrected
EMOBOX ?=
EPOCHS ?=
SWEEPS ?=
DOCS ?=
KILLS ?= 100
RUNS ?= 200
SECONDS ?= 60
REQUESTS ?= 10000
MODEL ?= src/ser_lightning/default_model/emodb.ckpt
RECORDING ?=

# Without the cache of compiled modules, every process that a test starts compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow coverage fuzz audit pythons lint format parity bench bench-gpu load stream ablation augmentation dropout bugs protocols cross-corpus table unseen recordings calibration robustness fairness default-model model emobox labels torture soak tensorboard dist docs pictures clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.done  ## create .venv/ and install everything, unless that is done already

$(VENV)/.done: pyproject.toml constraints.txt hatch_build.py $(wildcard src/ser_lightning/kernels/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Python 3.11, 3.12 or 3.13 is needed; say make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet $(BYTECODE) --python $(BIN)/python --constraint constraints.txt --build-constraint constraints.txt --editable '.[dev]'
	@# The package holds the file of features=encoder; its dependencies are large and not needed.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --no-deps pipecat-ai
	@# Compile librosa's functions in one process: two at once can leave a cache that crashes its readers (numba issue 10128).
	$(BIN)/python -c 'import librosa.core.audio, librosa.core.pitch, librosa.util.utils, ser_lightning.train'
	@# Report what is slower without a C compiler.
	@$(BIN)/python -m ser_lightning.kernels.backend
	@touch $@

demo: setup  ## run the dropout ablation on embedded synthetic speech, offline, in minutes
	$(BIN)/ser-train --multirun experiment=ablation_dropout name=demo corpus=synthetic seed=0,1 trainer.max_epochs=15
	$(BIN)/ser-report outputs/demo

test: setup  ## run the fast tests; with RAVDESS_ROOT, REFERENCE_ROOT, EMODB_ROOT, EMOVO_ROOT set, also those on real recordings
	$(PYTEST) -n 2 -m 'not slow'

test-slow: setup  ## run the slow tests: sweeps, other launchers, kills and resumes, wheels, intervals, fuzzing
	@# Three at once on two cores, since some tests wait for other processes; one worker runs all tests of a file, which share runs.
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder -m slow

coverage: setup  ## run the fast tests with branch coverage; fails below 93 %
	$(subst -m pytest,-m slipcover --json --out .coverage.json -m pytest,$(PYTEST)) -n 2 -m 'not slow'
	@# In a command of its own, since slipcover 1.1 then prints nothing of what other processes measured.
	$(BIN)/python -m slipcover --merge .coverage.json --out .coverage.json --fail-under 93

fuzz: setup  ## fuzz every reader with random files and texts; SECONDS=300
	$(BIN)/python -m tests.fuzz $(SECONDS)

audit: setup  ## check the packages in constraints.txt for known vulnerabilities; says so if the database cannot be reached
	$(BIN)/python -m tests.supply constraints.txt

pythons: setup  ## test the wheel in fresh environments of Python 3.11 to 3.13; downloads packages; skips versions that it does not find; PYTHONS="/a/python /b/python"
	$(BIN)/python -m tests.pythons $(PYTHONS)

parity: setup  ## compare with what the study released, as a table; needs REFERENCE_ROOT, and RAVDESS_ROOT for the full table
	$(BIN)/python -m tests.parity

dist: setup  ## build the source archive and the wheel without kernels, which runs everywhere, into dist/
	SER_LIGHTNING_PURE=1 $(BIN)/python -m hatchling build --target sdist --target wheel --directory dist

docs: setup  ## build the site into site/html/; fails on a broken link and on an undocumented name, option or key
	$(BIN)/python -m documentation site

pictures: setup  ## draw the picture of the README again
	$(BIN)/python -m documentation.pictures docs/figures

lint: setup  ## check format, lint rules and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup  ## format the code and apply automatic lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup  ## compare the speed with the study's way; QUICK=1 runs a subset in under 2 minutes; RAVDESS_ROOT selects the real corpus
	$(BIN)/python -m benchmarks.bench $(if $(QUICK),--quick)

load: setup  ## send recordings to ser-serve from 50 clients; MODEL=checkpoint RECORDING=talk.wav REQUESTS=10000
	$(BIN)/python -m benchmarks.load $(MODEL) $(RECORDING) --requests $(REQUESTS)

stream: setup  ## measure the latency and real-time factor of a stream; MODEL=checkpoint RECORDING=talk.wav
	$(BIN)/python -m benchmarks.stream $(MODEL) $(RECORDING)

bench-gpu: setup  ## benchmark a CUDA device: stacked sweeps, also compiled, in nine minutes; then clips in host or device memory
	@# The sweeps end after nine minutes.
	$(BIN)/python -m benchmarks.stacked
	$(BIN)/python -m benchmarks.accelerator

ablation: setup  ## does dropout help? one sweep and its report; CORPUS=ravdess SEEDS=3 EXPERIMENT=corrected
	$(BIN)/ser-train --multirun 'experiment=[$(EXPERIMENT),ablation_dropout]' name=ablation_$(EXPERIMENT)_$(CORPUS) corpus=$(CORPUS) 'seed=range($(SEEDS))' $(if $(EPOCHS),trainer.max_epochs=$(EPOCHS))
	$(BIN)/ser-report outputs/ablation_$(EXPERIMENT)_$(CORPUS)

augmentation: setup  ## which augmentation helps, and does balancing emotions help? 5 seeds; CORPUS=ravdess; SWEEPS=speakers uses six folds of speakers; DOCS=docs also writes docs/augmentation.md
	$(BIN)/python -m studies.augmentation outputs/augmentation_$(CORPUS) --seeds $(SEEDS) $(if $(SWEEPS),--sweeps $(SWEEPS)) $(if $(DOCS),--docs $(DOCS)) corpus=$(CORPUS) $(if $(EPOCHS),trainer.max_epochs=$(EPOCHS))

dropout: setup  ## does dropout help? 20 seeds of released, 10 of corrected, 3 over six folds of speakers; CORPUS=ravdess; DOCS=docs also writes docs/dropout.md
	$(BIN)/python -m studies.dropout outputs/dropout_$(CORPUS) --seeds $(SEEDS) $(if $(DOCS),--docs $(DOCS)) corpus=$(CORPUS) $(if $(EPOCHS),trainer.max_epochs=$(EPOCHS))

bugs: setup  ## measure the effect of each bug of the study; CORPUS=ravdess SEEDS=5; DOCS=docs also writes docs/bugs.md
	$(BIN)/python -m studies.bugs outputs/bugs_$(CORPUS) --seeds $(SEEDS) $(if $(DOCS),--docs $(DOCS)) corpus=$(CORPUS) $(if $(EPOCHS),trainer.max_epochs=$(EPOCHS))

protocols: setup  ## evaluate one configuration under every protocol; CORPUS=ravdess SEEDS=1; SWEEPS=loso,kfold selects protocols; DOCS=docs also writes docs/protocols.md
	$(BIN)/python -m studies.protocols outputs/protocols_$(EXPERIMENT)_$(CORPUS) --seeds $(SEEDS) $(if $(SWEEPS),--sweeps $(SWEEPS)) $(if $(DOCS),--docs $(DOCS)) experiment=$(EXPERIMENT) corpus=$(CORPUS) $(if $(EPOCHS),trainer.max_epochs=$(EPOCHS))

cross-corpus: setup  ## train on each corpus and evaluate on every corpus; CORPORA=ravdess,emodb,emovo SEEDS=3; DOCS=docs also writes docs/cross_corpus.md
	$(BIN)/python -m studies.cross_corpus outputs/cross_corpus --seeds $(SEEDS) $(if $(DOCS),--docs $(DOCS)) corpus=$(CORPORA) $(if $(EPOCHS),trainer.max_epochs=$(EPOCHS))

table: setup  ## evaluate every system on the same clips and folds; RAVDESS_ROOT, EMODB_ROOT; SEEDS=3; SWEEPS=svm,gmm selects systems; DOCS=docs also writes docs/systems.md
	$(BIN)/python -m studies.systems outputs/systems --seeds $(SEEDS) $(if $(SWEEPS),--sweeps $(SWEEPS)) $(if $(DOCS),--docs $(DOCS)) $(if $(EPOCHS),trainer.max_epochs=$(EPOCHS))

unseen: setup  ## evaluate systems on speakers who are not in their training set; RAVDESS_ROOT, EMODB_ROOT, EMOVO_ROOT; SEEDS=3; SWEEPS=encoder selects systems; DOCS=docs also writes docs/unseen_speakers.md
	$(BIN)/python -m studies.unseen outputs/unseen --seeds $(SEEDS) $(if $(SWEEPS),--sweeps $(SWEEPS)) $(if $(DOCS),--docs $(DOCS)) $(if $(EPOCHS),trainer.max_epochs=$(EPOCHS))

recordings: setup  ## what do cut pauses and unused validation speakers cost classical systems? RAVDESS_ROOT; SWEEPS=audio_svm selects; DOCS=docs also writes docs/recordings.md
	$(BIN)/python -m studies.recordings outputs/recordings --seeds $(SEEDS) $(if $(SWEEPS),--sweeps $(SWEEPS)) $(if $(DOCS),--docs $(DOCS)) corpus=ravdess $(if $(EPOCHS),trainer.max_epochs=$(EPOCHS))

calibration: setup  ## measure calibration, unsure answers and sets on known and on new speakers; RAVDESS_ROOT; writes docs/calibration_results.md
	$(BIN)/python -m studies.calibration outputs/calibration --docs docs corpus=ravdess

robustness: setup  ## measure systems and augmentations with noise, codecs, rooms and others on unseen speakers; RAVDESS_ROOT; writes docs/robustness.md
	$(BIN)/python -m studies.robustness outputs/robustness --docs docs corpus=ravdess

fairness: setup  ## compare groups of unseen speakers and clips; RAVDESS_ROOT; writes docs/fairness.md
	$(BIN)/python -m studies.fairness outputs/fairness --docs docs corpus=ravdess

default-model: setup  ## train the model that the package ships, on EmoDB; needs EMODB_ROOT, and RAVDESS_ROOT and EMOVO_ROOT to evaluate it on other corpora
	$(BIN)/python -m studies.default_model outputs/default_model --corpora emodb --split loso --folds 10 --test ravdess,emovo --package src/ser_lightning/default_model

model: setup  ## train the same kind of model on your corpora, into outputs/model; CORPORA=ravdess,emodb,emovo
	$(BIN)/python -m studies.default_model outputs/model --corpora $(CORPORA) --split speaker --folds 6

emobox: setup  ## check the partitions of the EmoBox benchmark for leakage; EMOBOX=<EmoBox>/data; RAVDESS_ROOT, EMODB_ROOT and others compare the audio too; DOCS=docs also writes docs/emobox.md
	$(BIN)/python -m studies.emobox $(EMOBOX) outputs/emobox $(if $(DOCS),--docs $(DOCS))

labels: setup  ## plant label errors in EmoDB and count how many ser-audit finds; needs EMODB_ROOT; SEEDS=5; DOCS=docs also writes docs/label_errors.md
	$(BIN)/python -m studies.label_errors outputs/labels --seeds $(SEEDS) $(if $(DOCS),--docs $(DOCS)) corpus=emodb

torture: setup  ## kill runs at random moments, resume them and compare with uninterrupted runs; KILLS=100
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.torture outputs/torture --kills $(KILLS)

soak: setup  ## check a sweep of many short runs for resource leaks; RUNS=200
	$(BIN)/python -m studies.soak outputs/soak --runs $(RUNS)

tensorboard: setup  ## show the runs in outputs/ in TensorBoard
	$(BIN)/tensorboard --logdir outputs

clean:  ## remove .venv/ and caches, never outputs/
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .coverage.json dist site
