# Everything is relative to this directory, so a path with spaces works. `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help install demo up down status logs test test-long record-legacy lint bench lock clean

PYTHON ?= python3
ARGS ?=
UV_VERSION := 0.13.9

bin := .venv/bin
stamp := .venv/.installed
members := shared services/users services/payments services/stats services/bookings-gateway deploy/local

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(stamp) ## Install everything into .venv (done by the others when needed)
	@echo "Everything is installed in .venv."

demo: $(stamp) ## Start the stack and watch a booking and its payment travel through it
	@$(bin)/local-stack demo

up: $(stamp) ## Start PostgreSQL, RabbitMQ and the four services in the background
	@$(bin)/local-stack up $(ARGS)

down: ## Stop all of it and leave no process
	@if [ -x $(bin)/local-stack ]; then $(bin)/local-stack down; else echo "Nothing is installed, so nothing runs."; fi

status: $(stamp) ## Show what runs where, and what is wrong with it
	@$(bin)/local-stack status

logs: $(stamp) ## Follow what the services print
	@$(bin)/local-stack logs

test: $(stamp) ## Run all tests, two at a time, each on a PostgreSQL and a RabbitMQ of its own (ARGS="-k name" for some)
	@$(bin)/pytest --numprocesses 2 --dist loadfile $(ARGS)

test-long: $(stamp) ## Hold the parts to many histories, kills and faults, the listing to the old server, APIs to their contracts (needs Node.js)
	@RESUME_SECONDS=15 HISTORY_EXAMPLES=200 KILL_SEEDS=8 HISTORY_KILLS=50 LEGACY_ROWS=10000 CONTRACT_EXAMPLES=30 $(bin)/pytest --timeout 1200 \
		tests/faults/test_faults.py tests/history/test_killed.py tests/stats/test_history.py tests/stats/test_killed.py \
		tests/bookings_gateway/test_parity_live.py tests/bookings_gateway/test_contract.py \
		tests/bookings_gateway/test_admin_contract.py tests/users/test_contract.py tests/payments/test_contract.py $(ARGS)

record-legacy: $(stamp) ## Ask the old server's own stack anew what it answers (needs Node.js and npm)
	@PYTHONPATH=tests $(bin)/python -m support.legacy_recordings

lint: $(stamp) ## Check style, types and the direction of imports
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/lint-imports

bench: $(stamp) ## Measure, beside the bare floor of this machine
	@PYTHONPATH=tests $(bin)/python -m benchmarks $(ARGS)

lock: $(stamp) ## Resolve the dependencies anew into requirements.lock
	$(bin)/uv lock
	$(bin)/uv export --quiet --all-packages --all-groups --no-emit-workspace --no-annotate --no-header \
		--output-file requirements.lock

clean: down ## Stop everything and remove what was made here: .venv, .local with its data, caches
	rm -rf .venv .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The lock carries hashes and no addresses: it works behind any mirror. Our own packages are installed in place.
# Compiled once here, because where Python may not write byte code every process would compile its imports anew.
$(stamp): requirements.lock pyproject.toml $(members:%=%/pyproject.toml)
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed, and there is no $(PYTHON)."; exit 1; }
	@$(PYTHON) deploy/local/check_python.py
	@$(bin)/python -m pip --version >/dev/null 2>&1 || { rm -rf .venv; $(PYTHON) -m venv .venv; }
	@echo "Installing into .venv (a minute the first time) ..."
	@$(bin)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(bin)/uv pip sync --quiet --compile-bytecode --python $(bin)/python --require-hashes requirements.lock
	@$(bin)/uv pip install --quiet --python $(bin)/python --no-deps $(members:%=-e ./%)
	@touch $@
