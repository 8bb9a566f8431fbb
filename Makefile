# `make` alone lists what there is. Needs Python 3.11 or newer with pip, make and git; setup brings the rest.
PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv || echo .tools/bin/uv)
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout=600 --nbval-sanitize-with tests/nbval_sanitize.cfg
RUN := runs/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-large newest check lab notebooks data weights media bench mutants lock

help:  ## list these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

setup: .venv/ready  ## install everything into .venv, exactly as requirements.lock says

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another one: make setup PYTHON=python3.12")'
	@command -v $(UV) >/dev/null || $(PYTHON) -m pip install --quiet --target .tools uv
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	@echo "installing into .venv (on Linux torch alone is several GB: the first time takes minutes)"
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.venv/browser: .venv/ready tests/browser/install
	@tests/browser/install && touch $@ || true

demo: setup  ## train on data/cells, evaluate, predict; writes runs/demo (about 4 minutes)
	$(BIN)/pointlib train config.json --set train.output=$(RUN)/model
	$(BIN)/pointlib evaluate $(RUN)/model data/cells --list test --output $(RUN)
	$(BIN)/pointlib predict config.json --set infer.model=$(RUN)/model --set infer.output=$(RUN)

test: setup check .venv/browser  ## lint, unit tests, training and browser tests, notebooks
	$(ONE_THREAD) $(BIN)/pytest -q -n 2 --dist worksteal tests
	$(ONE_THREAD) $(BIN)/pytest -q -n 2 --dist loadfile $(NBVAL) notebooks

test-all: test  ## and every lesson in JupyterLab, Run All; what a reader sees goes to runs/lessons
	$(BIN)/pytest -q tests/browser/read_lessons.py

test-large: setup  ## peak memory and CPU time of predicting pictures of 4,096 to 100,352 px (half an hour)
	$(BIN)/python benchmarks/large.py

# What a user gets who installs the wheel today: not the lock, and numbers may differ in the last digit
newest: setup  ## the lessons with the newest versions of everything, from a wheel, compared laxly (once a week)
	$(UV) venv --quiet --clear --python $(PYTHON) .venv-newest
	$(UV) pip install --quiet --upgrade --python .venv-newest/bin/python --group dev .
	$(ONE_THREAD) .venv-newest/bin/pytest -q -n 2 --dist loadfile $(subst --nbval ,--nbval-lax ,$(NBVAL)) notebooks

check: setup  ## lint and format check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lab: setup  ## open JupyterLab on notebooks/
	$(BIN)/jupyter lab notebooks

notebooks: setup  ## run every notebook in place and clean it; git stays clean where nothing changed
	$(BIN)/python tests/run_notebooks.py

data: setup  ## draw data/ anew, the same to the byte
	$(BIN)/python -m pointlib.synthetic data

weights: setup  ## train the small models that lessons open, data/NAME/model (minutes)
	$(ONE_THREAD) $(BIN)/python data/weights.py

media: setup .venv/browser  ## draw the pictures of the README, record its films (a minute or two)
	$(BIN)/python media/draw.py
	$(BIN)/python media/record.py

# Spotiflow brings a torch of its own choice, so it gets an environment of its own
.venv-peers/ready: .venv/ready
	@test -x .venv-peers/bin/python || $(UV) venv --quiet --python $(PYTHON) .venv-peers
	@$(UV) pip install --quiet --python .venv-peers/bin/python spotiflow && touch $@ || true

bench: setup .venv/browser .venv-peers/ready  ## time the small operations beside named peers, the check of a folder, and both widgets
	$(BIN)/python benchmarks/operations.py
	$(BIN)/python benchmarks/check.py
	$(BIN)/python benchmarks/annotator.py
	$(BIN)/python benchmarks/tuner.py

mutants: setup  ## change constants in pointlib one by one: a test must fail for each
	$(BIN)/python tests/mutants.py

lock: setup  ## resolve requirements.lock anew from pyproject.toml
	$(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade --quiet -o requirements.lock
