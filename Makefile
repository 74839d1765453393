# `make demo` ships a real app to a local Google Cloud; `make test` passes the tests. Both need Python >= 3.11, git, make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

# A machine that is set to keep no bytecode would compile all tests in each of their processes, and all that they start.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-faults bench lint format docs docs-reference clean

demo: $(READY)
	$(BIN)/slipway up --demo $(if $(ONCE),--once)

test: $(READY)
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# What takes too long for every change: every fault at every call, variations of failures of which `make test` has one,
# clean-up's rules over 10 000 worlds and clusters each, manifests of 1000 repositories, notices of 60 incidents, and the
# law of going back over 50 histories of releases.
test-faults: $(READY)
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 -m faults
	SLIPWAY_WORLDS=10000 $(BIN)/pytest --timeout 3600 tests/tasks/cleanup/engine/test_worlds.py \
		tests/tasks/cleanup/kinds/kubernetes/test_worlds.py tests/tasks/cleanup/kinds/test_estate_worlds.py
	SLIPWAY_WORLDS=1000 $(BIN)/pytest --timeout 3600 tests/tasks/describe/test_describe.py
	SLIPWAY_INCIDENTS=60 $(BIN)/pytest tests/deployments/test_notices.py
	SLIPWAY_RELEASES=50 $(BIN)/pytest tests/e2e/test_law_of_going_back.py

# Everything that docs/reference/benchmarks.md shows, two hours, where nothing else runs; race needs gcloud, scale the
# servers of docs/how-to/several-machines.md.
BENCHMARKS := race overhead rollback cleanup explain false_verdicts soak scale
bench: $(READY)
	for each in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$each || exit 1; done
	$(BIN)/python -m docs.generators

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q tests/test_architecture.py tests/docs

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Strict: a link that leads nowhere fails it.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

docs-reference: $(READY)
	$(BIN)/python -m docs.generators
	$(BIN)/python -m tasks.failures.reference > docs/reference/errors.md

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Slipway needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf .venv .slipway site .import_linter_cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
