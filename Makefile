# Needs Python >= 3.11 and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test ui chaos distributed matrix docs check lint types

demo: .venv/ready  ## run the example DAGs under a real Airflow against the emulator
	$(BIN)/python -m dev.demo

test: .venv/ready  ## run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

ui: .venv/ready  ## leave an Airflow with the connection and the example DAGs up
	$(BIN)/python -m dev.demo --ui

chaos: .venv/ready  ## 300 faulted task runs and 200 waiting ones under a real Airflow: about half an hour
	$(BIN)/python -m dev.experiments.chaos

distributed: .venv/ready  ## 500 deferred runs on two Celery workers, schedulers and triggerers, some of them killed
	dev/install-services
	$(BIN)/python -m dev.experiments.distributed

matrix: .venv/ready  ## every supported version of Airflow with the oldest and newest Python it takes: about an hour
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nox

docs: .venv/ready  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

check: lint types

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/ready
	$(BIN)/mypy

.venv/ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv sync --frozen --inexact --quiet --python $(BIN)/python
	touch $@
