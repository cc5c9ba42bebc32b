PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# Tests are run by so many processes, a file's by one; each takes up to 2 GB.
PROCESSES ?= 2

.PHONY: demo picture docs test test-flink soak bench lint bundled-model default-model clean

# Everything below runs in a virtual environment of its own, from the pinned set of constraints.txt.
$(READY): setup.py pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (a few minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,train,export,docs]'
	@touch $(READY)

demo: $(READY)
	@echo "Making three short films from photographs ..."
	@$(BIN)/python demo/films.py build/demo/films
	@echo "Tagging them ..."
	@$(BIN)/movie-tags tag build/demo/films --output build/demo/tags --report
	@echo "The tables are in build/demo/tags: tags.jsonl, key_frames.jsonl, spans.jsonl, errors.jsonl, run.json"
	@echo "Open the page in a browser: $(CURDIR)/build/demo/tags/report/index.html"

# README.md's pictures; need Debian's chromium and chromium-driver.
picture: demo
	@$(BIN)/python demo/picture.py build/demo/tags/report docs/report.png
	@$(BIN)/python demo/learn_picture.py build/demo/tags docs/learn.png

# build/site: the user guide, the references generated from parsers and records, the API.
docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 TF_CPP_MIN_LOG_LEVEL=3 PYTHONPATH=. $(BIN)/mkdocs build --quiet --strict
	@echo "Open build/site/index.html"

test: $(READY)
	@echo "Running the tests (some minutes) ..."
	@$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile

test-flink: $(READY)
	@$(BIN)/python deploy/flink/local_cluster.py fetch
	@MOVIE_TAGS_FLINK=1 $(BIN)/python -m pytest tests/deploy/test_flink.py

soak: $(READY)
	@MOVIE_TAGS_SOAK=$${MOVIE_TAGS_SOAK:-10000} $(BIN)/python -m pytest -s tests/soak
	@MOVIE_TAGS_KILLS=20 $(BIN)/python -m pytest tests/pipeline/test_incremental.py -k killed_at
	@MOVIE_TAGS_INTERRUPTIONS=20 $(BIN)/python -m pytest tests/pipeline/test_interruption.py -k at_random

bench: $(READY)
	@for part in light decoders nights catalogue draft model train retag learn report; do \
		echo "== benchmarks/$$part.py"; $(BIN)/python benchmarks/$$part.py; done

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@cd benchmarks && MYPYPATH=.:.. $(abspath $(BIN))/mypy --config-file ../pyproject.toml $(patsubst benchmarks/%.py,-m %,$(wildcard benchmarks/*.py))

# The compact network is tuned on film with its head (some two hours on two cores), which is then made ready for use.
bundled-model: $(READY)
	@$(BIN)/python -m recipes.tune_compact
	@$(BIN)/python -m recipes.default_model --model compact

default-model: $(READY)
	@$(BIN)/python -m recipes.default_model --model default

clean:
	rm -rf $(VENV) build
