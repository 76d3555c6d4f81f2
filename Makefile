# `make` prints what each target is for.
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml compose/local/pyproject.toml services/*/pyproject.toml))
PYTEST := $(BIN)/pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-reprocessing up down status env test test-airflow test-alerts test-compose test-data-platform test-flink test-hosts test-secure test-upgrade test-k8s test-kubernetes test-more test-oozie test-spark e2e engines chaos bench check lint types imports generated generate api check-console test-console test-console-oozie fuzz lock release sbom sizes clean

help: ## print this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed ## make the environment in .venv from requirements.lock

# pip brings uv, checked against the lock; uv brings the rest in seconds.
.venv/.installed: requirements.lock $(PACKAGES:%=%/pyproject.toml)
	@echo "setting up .venv (once; about a minute on an ordinary line)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.requirements
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r .venv/uv.requirements
	@$(BIN)/uv pip sync -q --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-build-isolation --no-deps $(PACKAGES:%=-e %)
	@touch $@

demo: setup ## run a pipeline twice on the real stack, kill the executor in its second step, and check the result
	@$(BIN)/signalbox-local up --services
	@cd tests && ../$(BIN)/python -m demo

demo-reprocessing: setup ## send 200 event files to Kafka again, kill two workers, and verify the counts
	@$(BIN)/signalbox-local up --services
	@cd tests && ../$(BIN)/python -m demo.reprocessing

up: setup ## start Kafka, PostgreSQL, Redis and the services under .local/, and leave them running
	@$(BIN)/signalbox-local up --services --console

down: setup ## stop what `make up` started, and nothing else
	@$(BIN)/signalbox-local down

status: setup ## show which parts of the local stack run and are healthy
	@$(BIN)/signalbox-local status

env: setup ## print the addresses of the local stack as shell exports
	@$(BIN)/signalbox-local env

test: setup ## unit, contract and integration tests on real Kafka, PostgreSQL and Redis
	@$(BIN)/signalbox-local fetch
	@$(BIN)/python tests/support/parts.py test

test-more: setup ## the claim protocol's model, outages of minutes, the stack rebuilt, the core of Oozie (with a JDK 17 to 24 and mvn), and a minute of chaos
	@$(BIN)/signalbox-local fetch
	@$(BIN)/python tests/support/parts.py more

e2e: setup ## test the complete stack through its API and command line while services are killed (many minutes)
	@$(BIN)/signalbox-local fetch
	@$(PYTEST) -m e2e tests/e2e

# Rounds of many minutes (kill points, three scheduled minutes, scale) run with LONG=1 only.
REAL = "engine$(if $(LONG),, and not long)"

test-oozie: setup ## the Oozie engine on a real Oozie 5.2.1 (needs a JDK 17 to 24 and mvn; about 4 minutes; LONG=1: all)
	@$(BIN)/signalbox-local fetch
	@$(PYTEST) -m $(REAL) tests/engines/oozie tests/engines/test_engines_conformance.py -k oozie

test-airflow: setup ## the Airflow engine on a real Airflow 3 (installed once into the user's cache; LONG=1: all; AIRFLOW=2: the adapter on a real 2.11)
	@$(BIN)/signalbox-local fetch
	@AIRFLOW=$(AIRFLOW) $(PYTEST) -m $(REAL) tests/engines/airflow$(if $(filter 2,$(AIRFLOW)),/test_engines_airflow_[fr]*.py) \
		tests/engines/test_engines_conformance.py -k airflow

test-kubernetes: setup ## the Kubernetes engine on a real cluster (root; compiled once into the user's cache in 16 CPU minutes; LONG=1: all)
	@$(PYTEST) -m $(REAL) tests/engines/kubernetes tests/engines/test_engines_conformance.py -k kubernetes

test-flink: setup ## the Flink engine on a real session cluster (under 4 minutes; LONG=1: all; FLINK=1.20.3: that version)
	@$(BIN)/signalbox-local fetch
	@FLINK=$(FLINK) $(PYTEST) -m $(REAL) tests/engines/flink tests/engines/test_engines_conformance.py -k flink

test-spark: setup ## the Spark engine on a real master and worker (needs a Java 17 or newer; under 6 minutes; LONG=1: all)
	@$(BIN)/signalbox-local fetch
	@$(PYTEST) -m $(REAL) tests/engines/spark tests/engines/test_engines_conformance.py -k spark

test-compose: setup ## the stack of compose/ on a real Docker engine (root and docker.io, or SIGNALBOX_TEST_DOCKER_HOST; 10 to 25 minutes)
	@$(BIN)/python tests/deployment/needs.py compose
	@$(BIN)/signalbox-local fetch
	@$(PYTEST) -s -m deployment tests/deployment/test_deployment_compose.py tests/deployment/test_deployment_compose_secure.py

test-k8s: setup ## k8s/overlays/dev on a real cluster (root; needs docker.io and what `make test-kubernetes` compiles)
	@$(BIN)/python tests/deployment/needs.py k8s
	@$(BIN)/signalbox-local fetch
	@$(PYTEST) -s -m deployment tests/deployment/test_deployment_k8s.py

test-secure: setup ## Kafka with SASL, TLS and an access list, PostgreSQL and Redis over TLS (needs redis-server, postgresql, openssl; 4 minutes)
	@$(BIN)/python tests/deployment/needs.py secure
	@$(BIN)/signalbox-local fetch
	@$(PYTEST) -s -m deployment tests/deployment/test_deployment_secure.py

test-alerts: setup ## each alert fires once in a real Prometheus on a running stack (needs prometheus, and what test-secure needs; 8 minutes)
	@$(BIN)/python tests/deployment/needs.py alerts
	@$(BIN)/signalbox-local fetch
	@$(PYTEST) -s -m deployment tests/deployment/test_deployment_alerts.py

test-hosts: setup ## deploy/install.sh and upgrade.sh on a real systemd, in a container of a real Docker engine
	@$(BIN)/python tests/deployment/needs.py hosts
	@$(BIN)/signalbox-local fetch
	@$(PYTEST) -s -m deployment tests/deployment/test_deployment_hosts.py tests/deployment/test_deployment_hosts_secure.py

test-upgrade: setup ## from the newest release (or SIGNALBOX_UPGRADE_FROM) to this checkout under load, and back (3 minutes)
	@$(BIN)/python tests/deployment/needs.py upgrade
	@$(BIN)/signalbox-local fetch
	@$(PYTEST) -s -m deployment tests/deployment/test_deployment_upgrade.py

test-data-platform: setup ## the jobs of compose/data-platform on a real Spark (a full Java 17) over four simulated days, and in containers with a real HDFS
	@$(BIN)/python tests/deployment/needs.py data-platform
	@$(BIN)/signalbox-local fetch
	@$(PYTEST) -s -m deployment tests/deployment/test_deployment_data_platform.py tests/deployment/test_deployment_data_platform_hdfs.py

engines: setup ## test the engines that need their own servers, one after the other (KIND=flink for one)
	@$(BIN)/signalbox-local fetch
	@$(PYTEST) -m $(REAL) tests/engines/$(KIND) $(if $(KIND),tests/engines/test_engines_conformance.py -k $(KIND))

chaos: setup ## fault injection on the complete stack under load, then invariants are checked; and three known defects must be found (more than ten minutes)
	@$(BIN)/signalbox-local fetch
	@cd tests && ../$(BIN)/python -m chaos $(ARGS)
	@$(PYTEST) -m chaos -k caught tests/chaos

bench: setup .local/bench/peers/.installed ## measure tasks, starts and plans beside peers and floors; prints times, asserts none
	@$(BIN)/signalbox-local fetch
	@cd tests && PYTHONPATH=example/src ../$(BIN)/python -m bench $(PARTS)

.local/bench/peers/.installed: tests/bench/peers/requirements.txt
	@$(PYTHON) -m venv .local/bench/peers
	@.local/bench/peers/bin/pip install -q --disable-pip-version-check -r tests/bench/peers/requirements.txt
	@touch $@

check: lint types imports generated api test test-more ## everything that CI checks

lint: setup ## style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python tests/support/lint_names.py

types: setup ## pyright, strict
	@$(BIN)/pyright

imports: setup ## the layers: services stand on chassis, chassis on contracts
	@$(BIN)/lint-imports

generated: setup ## fail when a generated file is stale
	@$(BIN)/python tests/support/generate.py --check

generate: setup ## write the generated files: JSON Schemas, asyncapi.json, openapi.json, golden samples, settings, commands
	@$(BIN)/python tests/support/generate.py

api: setup ## lint openapi.json and type-check a TypeScript client generated from it
	@$(BIN)/python tests/support/api_client.py

check-console: setup ## the console's fast part: style, types, unit tests, build (packages once into services/console)
	@$(BIN)/python tests/support/console.py types lint check test build

test-console: setup ## the console in a real Chromium (SIGNALBOX_CHROMIUM, else /usr/bin/chromium) against a stack of its own and a real OpenID provider (E2E=tasks: those files)
	@$(BIN)/signalbox-local fetch
	@$(BIN)/python tests/support/console.py e2e

test-console-oozie: setup ## the console's builder of reruns on a real Oozie 5.2.1 (needs Chromium, a JDK 17 to 24 and mvn; two minutes)
	@$(BIN)/signalbox-local fetch
	@$(BIN)/python tests/support/console.py oozie

fuzz: setup ## generated requests against a real gateway for ten minutes (SECONDS=120: two; SEED=1: always the same; ROLE=viewer)
	@$(BIN)/signalbox-local fetch
	@SIGNALBOX_FUZZ_SECONDS=$(or $(SECONDS),600) SIGNALBOX_FUZZ_SEED=$(SEED) SIGNALBOX_FUZZ_ROLE=$(ROLE) $(PYTEST) -s -m fuzz tests/fuzz

lock: setup ## resolve the workspace into requirements.lock (UPGRADE=1: newest versions)
	@$(BIN)/uv lock -q $(if $(UPGRADE),--upgrade)
	@$(BIN)/uv export -q --all-packages --all-groups --no-emit-workspace --format requirements-txt --no-header --no-annotate -o requirements.lock

release: setup ## record the commit that is checked out in deploy/releases.toml, with its migrations and the samples of its messages
	@$(BIN)/python tests/support/releases.py

sbom: setup ## what each image holds as CycloneDX in build/sbom/; fails on a licence that is not allowed
	@mkdir -p build/sbom
	@for image in $(basename $(notdir $(wildcard compose/images/packages/*.txt))) console; do \
		words="--names compose/images/packages/$$image.txt"; \
		[ $$image != console ] || words="--names /dev/null --console services/console/package-lock.json"; \
		$(BIN)/python compose/images/sbom.py --check $$words && $(BIN)/python compose/images/sbom.py $$words > build/sbom/$$image.json || exit 1; \
	done

sizes: setup ## functions over 50 and modules over 400 lines
	@$(BIN)/python tests/support/sizes.py

clean: ## remove the environment (never .local/, which may hold running servers)
	@rm -rf .venv
