# Every target works on a fresh machine with Python 3.11+, git and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help install install-dev demo test check bench soak lock clean

help:
	@echo "make demo      the whole pipeline against the sandbox, in one process"
	@echo "make test      every test (installs RabbitMQ and PostgreSQL if it may)"
	@echo "make check     formatting, lint, types, import rules, generated pages"
	@echo "make bench     figures: throughput, CPU, memory, scaling, latency, fairness, disconnecting"
	@echo "make soak      twenty days in minutes: everything under a clock that leaps, with changes and faults"
	@echo "make install   the locked environment in .venv"

install: .venv/.runtime
install-dev: .venv/.dev

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.runtime: requirements.lock pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: install
	$(BIN)/busyline demo

test: install-dev
	$(BIN)/python -m tests.run

check: install-dev
	$(BIN)/python -m tests.check

bench: install-dev
	$(BIN)/python -m tests.bench

soak: install-dev
	$(BIN)/python -m tests.soak

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet pyproject.toml --group build -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet pyproject.toml --group build --group dev -o requirements-dev.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
