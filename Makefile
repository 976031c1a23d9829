# Works with make, git and Python 3.11 or newer; everything else is installed into .venv by the first target that needs it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test dev lint bench clean
demo: $(VENV)/installed
	$(BIN)/wallet-pipeline demo

# Four at a time, however many cores there are: the tests wait for other processes more than they compute.
test: lint
	$(BIN)/python -m pytest -n 4 --dist worksteal

dev: $(VENV)/installed
	$(BIN)/wallet-pipeline dev

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed
	$(BIN)/python -m bench.snapshot
	$(BIN)/python -m bench.receiver
	$(BIN)/python -m bench.crm_sync
	$(BIN)/python -m bench.kills
	$(BIN)/python -m bench.explain
	$(BIN)/python -m bench.backfill

clean:
	rm -rf $(VENV) data/demo sandbox-state

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "wallet_pipeline needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[sandbox,dev]'
	@touch $@
