# Needs Python >= 3.11 and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
# More arguments for pytest: make test ARGS="-k poller -x".
ARGS ?=
# make test COVERAGE=1 also measures how much of the package the tests run, and fails below this floor, in percent. Only
# pytest's own processes are measured, so the tests with a running Airflow add little. Raise it; never lower it.
COVERAGE_FLOOR := 89
# The part of the public interface whose types are complete, in percent. Raise it; never lower it.
TYPES_FLOOR := 100
# Over ten seconds each, most of them.
SLOW := $(addprefix tests/, \
	test_dag_test.py test_distribution.py test_package.py \
	api/connection/test_credentials.py api/polling/test_machine.py api/polling/test_poller.py \
	api/polling/test_poller_on_the_wire.py \
	api/wire/test_both_transports.py doctor/test_profiles.py emulator/test_printed_connection.py \
	emulator/test_pytest_plugin.py hooks/test_hook.py matrix/test_matrix.py matrix/test_worlds.py operators/test_durable.py \
	operators/test_jobs.py operators/test_one_run.py operators/test_operator.py plugins/test_schedulerx.py run_page/test_with_dag_test.py \
	sensors/test_named_deferred.py sensors/test_service_time.py test_secrets.py triggers/test_event.py triggers/test_trigger.py)
PYTEST := $(BIN)/python -m pytest -p dev.skips -n 3 --dist loadfile
ifdef COVERAGE
PYTEST += --durations 15 --cov --cov-report term --cov-fail-under $(COVERAGE_FLOOR)
endif

.DEFAULT_GOAL := help
.PHONY: help demo ui test test-fast check lint types format mutation profiles worlds machine chaos distributed matrix docs pictures

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/ready  ## run the example DAGs under a real Airflow against the emulator
	$(BIN)/python -m dev.demo

ui: .venv/ready  ## leave an Airflow with the connection and the example DAGs up
	$(BIN)/python -m dev.demo --ui

test: .venv/ready  ## run all tests; says at its end what was skipped, and what to install
	$(PYTEST) $(ARGS)

test-fast: .venv/ready  ## run the tests that need no running Airflow, without the slowest: under 90 seconds
	$(PYTEST) -m "not airflow" $(SLOW:%=--ignore=%) $(ARGS)

check: lint types  ## run all checks that are not tests

lint: .venv/ready  ## check style, spelling, dependencies, the lock file and the workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/deptry .
	$(BIN)/uv lock --check --quiet
	$(BIN)/shellcheck .ci/run dev/install-services
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/actionlint
	$(BIN)/zizmor --offline --quiet .github

types: .venv/ready  ## check types, also as users see them
	$(BIN)/mypy
	$(BIN)/python -m dev.verify_types --at-least $(TYPES_FLOOR)

format: .venv/ready  ## format the code, and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

mutation: .venv/ready  ## change the code that decides about runs, in small ways, and see a test notice each change
	$(BIN)/python -m dev.experiments.mutation $(ARGS)

profiles: .venv/ready  ## every pair of what nobody knows of the service, in every scenario: three minutes
	$(BIN)/python -m dev.experiments.matrix $(ARGS)

worlds: .venv/ready  ## 3,000 random worlds: service, workflow, arguments, and what happens meanwhile: five minutes
	$(BIN)/python -m dev.experiments.worlds $(ARGS)

machine: .venv/ready  ## 1,000 games of an adversary against the poller: ten minutes
	$(BIN)/python -m dev.experiments.polling_machine 1000

chaos: .venv/ready  ## 300 faulted task runs and 200 waiting ones under a real Airflow: about half an hour
	$(BIN)/python -m dev.experiments.chaos $(ARGS)

distributed: .venv/ready  ## 500 deferred runs on two Celery workers, schedulers and triggerers, some of them killed
	dev/install-services
	$(BIN)/python -m dev.experiments.distributed

matrix: .venv/ready  ## every supported version of Airflow with the oldest and newest Python it takes: about an hour
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nox

docs: .venv/ready  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

pictures: .venv/ready  ## make every screenshot of the documentation anew, in a browser: five minutes
	$(BIN)/python -m dev.pictures

.venv/ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv sync --frozen --inexact --quiet --python $(BIN)/python
	touch $@
