# What developers and CI do, from a clean clone on Debian or macOS. `make` alone lists it.
#
# uv makes the environment in .venv from uv.lock. A system Python that is "externally managed" (PEP 668)
# is never written to: where uv is missing, one is put into .venv-uv.

.DEFAULT_GOAL := help

UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .venv-uv/bin/uv)
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

# `eco run` has to start etcd in a fraction of a second: it never compiles itself first.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

# The tests that compare what is written with what is so: they need no etcd and are quick.
DOCUMENTS := $(wildcard tests/test_docs*.py tests/*/test_docs*.py tests/*/test_manual*.py tests/*/test_*lifecycle*.py)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/.ready ## make the Python environment in .venv

.venv/.ready: pyproject.toml uv.lock | $(UV)
	$(UV) sync --locked
	@touch $@

.venv-uv/bin/uv:
	@echo "uv is not installed: putting one into .venv-uv"
	@python3 -m venv .venv-uv >/dev/null 2>&1 && .venv-uv/bin/python -m pip install --quiet uv \
	  || { rm -rf .venv-uv && python3 -m pip install --quiet --target .venv-uv uv; } \
	  || { rm -rf .venv-uv; echo "neither venv nor pip works with $$(command -v python3): install uv, or python3-pip" >&2; exit 1; }
	@echo '*' > .venv-uv/.gitignore

.PHONY: etcd
etcd: setup ## have an etcd, installed if none is found (ETCD_VERSIONS="3.5.33 3.7.1" for these)
	@for version in $(or $(ETCD_VERSIONS),any); do \
	  if [ $$version = any ]; then set --; else set -- --version $$version; fi; \
	  $(BIN)/python -m eco.etcd.install "$$@" || exit 1; \
	done

.PHONY: dev
dev: etcd ## a real three-node cluster on this machine (ARGS="--size 5")
	@$(BIN)/eco dev $(ARGS)

.PHONY: test
test: etcd ## every test, on real etcd
	$(PYTEST) -m "not e2e" -n auto
	$(MAKE) e2e

.PHONY: e2e
e2e: etcd ## the end-to-end tests alone (ARGS="-k pauses")
	$(PYTEST) -m e2e -n 2 --dist loadfile $(ARGS)

.PHONY: check
check: setup ## format, lint, types, layers, documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(if $(DOCUMENTS),$(PYTEST) -q $(DOCUMENTS))

.PHONY: bench
bench: etcd ## eco and plain etcd side by side (ARGS="--only birth")
	$(BIN)/python bench/run.py $(ARGS)

.PHONY: clean
clean: ## stop the cluster of `make dev`, and remove what the other targets made here
	@if [ -d .eco-dev ] && [ -x $(BIN)/eco ]; then $(BIN)/eco dev stop || true; fi
	rm -rf .eco-dev .venv .venv-uv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find eco providers snapshot tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
