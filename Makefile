# What there is to type: `make help`.

PYTHON ?= python3
BIN = .venv/bin
READY = .venv/ready
MACHINERY = stages/desk stages/harness stages/teacher stages/upkeep

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

run: ## start the server on port 6379; its log is in this folder
	$(PYTHON) -m final

test: $(READY) ## run every test: stages, chain, final, notebooks
	$(BIN)/python -m pytest -n 2 --dist worksteal --target=reference

check: $(READY) ## lint, check the format and the types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --explicit-package-bases conftest.py stages/*.py $(MACHINERY) final tests notebooks
	@for stage in stages/[0-9]*; do \
		echo "mypy $$stage"; \
		(cd $$stage && MYPYPATH=../.. ../../$(BIN)/mypy --config-file ../../pyproject.toml \
			--cache-dir ../../.mypy_cache/$$(basename $$stage) .) || exit; \
	done

bench: $(READY) ## measure how fast final/ is beside redis-server, fakeredis and others; some 20 minutes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check fakeredis uvloop
	$(BIN)/python -m tests.tools.bench

$(READY): requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.PHONY: help run test check bench
