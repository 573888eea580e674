# What there is to type: `make help`.

PYTHON ?= python3
BIN = .venv/bin
READY = .venv/ready
FIRST = notebooks/01-echo-server.ipynb
MACHINERY = stages/desk stages/harness stages/teacher stages/upkeep
# Many tests wait, so that there are more of them at once than cores. nbval is loaded where notebooks run.
PYTEST = $(BIN)/python -m pytest -n 4 --dist worksteal -p no:nbval --target=reference

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

# The address that JupyterLab prints leads to the notebook only if that is the default URL. Root is for containers.
learn: $(READY) ## open the first notebook in JupyterLab
	@echo 'JupyterLab opens in your browser. If it does not, open the last of these addresses; Ctrl+C stops it.'
	$(BIN)/jupyter lab -y --allow-root --ip=127.0.0.1 --log-level=ERROR --LabApp.default_url=/lab/tree/$(FIRST)

run: ## start the server on port 6379; its log is in this folder
	$(PYTHON) -m final

test: $(READY) ## run the tests: stages, chain, final, notebooks; about 5 minutes on two cores
	$(PYTEST) -m "not slow"

test-all: $(READY) ## run the slow tests too
	$(PYTEST) $(TESTS)

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
	$(BIN)/python -m pip install --quiet --disable-pip-version-check fakeredis uvloop hiredis==3.5.0
	$(BIN)/python -m tests.tools.bench

$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "this needs Python 3.11: type make PYTHON=python3.11 …")'
	@echo 'Making .venv; this takes a minute or two.'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.PHONY: help learn run test test-all check bench
