# `make help` lists what there is. The work is done in local/, ops/ and rig/ (Python, standard library only).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
PLUGINS ?=
STACK ?= local
FROM ?=
CA ?=
SUITE ?=
# How many processes share the tests: more than there are cores, since tests mostly wait.
JOBS ?= 4
# Folders of tests/ that have higher counts, or more tests, in a soak.
SUITES := edge policy aws loki metrics team engines
LOCAL := $(PYTHON) -m local
RIG := $(PYTHON) -m rig
WITH_PLUGINS := $(if $(PLUGINS),--plugins "$(PLUGINS)")
BIN := .venv/bin

# Write bytecode even if the environment forbids it: every `pulumi` command starts the program again.
export PYTHONDONTWRITEBYTECODE :=

# Run a command with the tools that `make install` has installed.
INSIDE = source .local/env &&

.PHONY: help doctor up preview down verify ports costs prices install venv test test-unit lint bench soak figures reference lock

help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

doctor: ## what this machine lacks and how to get it; changes nothing (STACK=stage: for that stack)
	@$(PYTHON) -m ops.doctor $(STACK)

up: ## bring the local stack up and show that it works (PLUGINS=dir: with those Pulumi plugins)
	@$(LOCAL) up $(WITH_PLUGINS)

preview: ## what `make up` would change
	@$(LOCAL) preview $(WITH_PLUGINS)

down: ## remove the local stack and everything that `make up` made
	@$(LOCAL) down $(WITH_PLUGINS)

verify: ## prove from here that a deployment works (STACK=prod FROM="our addresses" CA=file: docs/verify.md)
	@$(PYTHON) -m ops.verify $(STACK) $(if $(FROM),--from $(FROM)) $(if $(CA),--ca "$(CA)")

ports: $(if $(wildcard $(BIN)/python),,venv) ## the port policy in force, row by row, with packets and bytes (STACK=prod: of that stack)
	@$(BIN)/python -m ops.ports $(STACK)

costs: $(if $(wildcard $(BIN)/python),,venv) ## what the AWS half costs a month (STACK=prod: of that stack)
	@$(BIN)/python -m ops.costs $(STACK)

prices: $(if $(wildcard $(BIN)/python),,venv) ## fetch a region's prices with AWS credentials (REGION=eu-central-1)
	@$(BIN)/python -m ops.prices $(REGION)

test: install lint ## everything that CI runs (needs root: namespaces with a Docker of their own)
	@mkdir -p build && : > build/figures.test.jsonl
	@$(INSIDE) CAMPUS_MONITOR_TARGET=test $(BIN)/pytest tests -m "not soak and not alone" \
		--numprocesses $(JOBS) --no-loadscope-reorder
	@$(INSIDE) CAMPUS_MONITOR_TARGET=test $(BIN)/pytest tests -m "alone and not soak"

test-unit: venv ## the tests that need no Docker, in under 20 seconds
	@$(BIN)/pytest tests/unit -m "not programs and not docker" \
		--numprocesses 2 --no-loadscope-reorder

lint: venv ## ruff, pyright and shellcheck; actionlint and zizmor for the workflows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/shellcheck images/port-guard/port-guard .ci/run rig/plugins/bin/pulumi-resource-aws \
		$$(find components -name '*.sh')
	@$(RIG) actionlint
	@$(BIN)/zizmor --offline --quiet --no-progress .github/workflows docs/examples/*.yml

bench: install ## the benchmarks
	@mkdir -p build && : > build/figures.bench.jsonl
	@$(INSIDE) CAMPUS_MONITOR_TARGET=bench $(BIN)/python -m bench

soak: install ## the tests with their full counts, for hours (SUITE=edge: one of them)
	@$(if $(filter engines,$(or $(SUITE),$(SUITES))),$(RIG) engines)
	@mkdir -p build && : > build/figures.soak.jsonl
	@$(INSIDE) CAMPUS_MONITOR_TARGET=soak $(BIN)/pytest $(addprefix tests/,$(or $(SUITE),$(SUITES)))

figures: venv ## print what was measured against the targets
	@$(BIN)/python -m rig.figures

reference: venv ## make docs/settings.md, docs/settings.schema.json and docs/outputs.md again from the program
	@$(BIN)/python -m components.stack.reference
	@$(BIN)/python -m components.stack.outputs >docs/outputs.md

lock: ## make requirements.txt and requirements-dev.txt again from pyproject.toml
	@$(LOCAL) lock

install: ## get or make everything that `make up` and `make test` need
	@$(RIG) install $(WITH_PLUGINS)

venv: ## the virtualenv
	@$(LOCAL) venv
