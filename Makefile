# Targets are listed by a bare `make`. Environments and the jar are refreshed by every target that uses them, and only
# when the content of their inputs has changed (tools/fingerprint.py).
#
#   make PYTHON=/path/to/python3.12 ...    chooses the interpreter of new environments
#   make test-sql-client FLINK_VERSION=2.2.1   chooses a version of Flink
#   make test-fast WORKERS=8               chooses how many processes run the tests
#   make demo OUTPUT=/somewhere            chooses where the demo puts its data, logs and chart

.DEFAULT_GOAL := help
.PHONY: help setup setup-all setup-server setup-flink setup-docs java-tools demo test test-fast test-server test-java test-flink test-sql-client test-cluster-clients compose-test simulate mutation lint format jar reference compatibility docs bench bench-compare bench-scale bench-fairness bench-failover bench-cluster-scale bench-local-servers torture attack chaos clean clean-all
.NOTPARALLEL:

ifdef PYTHON
export PYTHON
endif
OUTPUT ?= demo-output
WORKERS ?= 2
FLINK_VERSION ?= 2.3.0

# Bytecode is kept even where the environment says otherwise: without it every process that a test starts compiles the
# server, and every run of pytest rewrites the assertions again.
export PYTHONDONTWRITEBYTECODE :=

# One process more than the machine has processors, because tests wait, too. The tests of a file of the server tier have
# servers in common, and the long files come first.
FAST := -n $(shell expr $(WORKERS) + 1) --dist worksteal
WAITING := -n $(shell expr $(WORKERS) + 1) --dist loadfile --no-loadscope-reorder
# Tests that start JVMs; each process of the Flink tests has a Flink of its own, three JVMs with 2 GB.
JVMS := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

SERVER := .venv/bin/python
FLINK := .venv-flink/bin/python
MAVEN := mvn --quiet --batch-mode -Dstyle.color=never -f flink-sql/pom.xml
STEP := tools/step
ON_CLUSTER := FLUSS_TABLET_SERVERS=3 FLUSS_REPLICATION_FACTOR=3

# What is formatted, linted and type-checked, and where mypy finds the modules that programs import from their own directory.
SOURCES := fluss-server pyflink-connector tests benchmarks tools examples
TYPED := fluss-server/src pyflink-connector/src pyflink-connector/setup.py tests benchmarks tools examples/demo
TYPE_PATH := tests:benchmarks:tools:examples/demo

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: setup-server setup-flink ## Install both environments and build the connector jar

# At the same time, because much of it waits for the network.
setup-all:
	@tools/python tools/environments.py server docs flink

setup-server:
	@tools/python tools/environments.py server

setup-flink:
	@tools/python tools/environments.py flink

setup-docs:
	@tools/python tools/environments.py docs

java-tools:
	@tools/python tools/prerequisites.py

demo: setup-flink ## Run the main job: New York's flights through Fluss and Flink SQL, every result checked
	@PYTHONPATH=examples/demo $(FLINK) -m flights_demo --output "$(OUTPUT)"

test: setup-all lint docs test-server test-java test-flink ## Run everything that CI runs: format, lint, types, documentation, all tests

test-fast: setup-server ## Run the unit and property tests of the server: under a minute
	@env FLUSS_EXAMPLES=0.25 $(SERVER) -m pytest $(FAST) tests/property tests/unit -m "not slow and not flink"

test-server: setup-server ## Run all tests that need no Flink, with current pyarrow, numpy and protobuf; property tests try more
	@$(STEP) "Server tests" env FLUSS_EXAMPLES=4 $(SERVER) -m pytest $(WAITING) tests --ignore=tests/flink --ignore=tests/official -m "not flink and not java"

test-java: setup-server ## Run the connector's Java tests, the official Java clients against the server, and ZooKeeper
	@$(STEP) "Java tests" $(SERVER) tools/java_tests.py
	@$(STEP) "ZooKeeper and official Java clients" $(SERVER) -m pytest $(JVMS) tests/chaos tests/cluster tests/zookeeper tests/clients -m java

test-flink: setup-flink ## Run the Flink tests, and the server's fast ones with the versions that apache-flink pins
	@$(STEP) "Server tests with apache-flink's pins" $(FLINK) -m pytest $(FAST) tests/property tests/unit -m "not slow and not flink"
	@$(STEP) "Flink tests" $(FLINK) -m pytest $(JVMS) tests/unit/demo tests/unit/pyflink_connector tests/flink tests/docs/test_examples.py tests/official -m flink --ignore=tests/flink/test_cluster.py

test-sql-client: setup-flink ## Run the documents' SQL in sql-client.sh of a plain Flink: FLINK_VERSION=2.2.1, else 2.3.0
	@$(STEP) "SQL client" env FLUSS_FLINK_VERSION=$(FLINK_VERSION) $(FLINK) -m pytest tests/flink/test_sql_client.py

test-cluster-clients: setup ## Run the tests of all clients on 3 tablet servers with replication factor 3, and a rolling restart: 40 minutes
	@$(STEP) "pyfluss and Java clients on a cluster" env $(ON_CLUSTER) $(SERVER) -m pytest tests/clients
	@$(STEP) "The connector's Java tests on a cluster" env $(ON_CLUSTER) $(SERVER) tools/java_tests.py
	@$(STEP) "Flink on a cluster" env $(ON_CLUSTER) $(FLINK) -m pytest tests/flink tests/official -m flink

compose-test: setup-flink ## Build docker/ and run its compose file with podman, kill two servers of it; needs root, podman, debootstrap
	@$(FLINK) tools/compose_test.py --output compose-output

simulate: setup-server ## Simulate a cluster with faults, each seed twice: SEEDS=100, FIRST=1, or one with SEED=7; DURATION=8, JOBS=2, PLANTED=10, RECORD=FILE (to continue), PUBLISH=docs/fault-report.md; SCENARIO=replication, rebalance, control-requests or server: a part of it
	@PYTHONPATH=tests $(SERVER) -m simulation.simulate $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(JOBS),--jobs $(JOBS)) $(if $(DURATION),--seconds $(DURATION)) $(if $(PLANTED),--planted $(PLANTED)) $(if $(RECORD),--record $(RECORD)) $(if $(PUBLISH),--publish $(PUBLISH)) $(if $(SEED),--first $(SEED) --count 1,--first $(or $(FIRST),1) --count $(or $(SEEDS),100))

torture: setup-server ## Torture the disk of real servers: kills, losses of power, damage, full disks; ROUNDS=20, SEED=1, FIRST=0, BUG=...
	@PYTHONPATH=tests $(SERVER) -m torture.run --rounds $(or $(ROUNDS),20) --first $(or $(FIRST),0) $(if $(SEED),--seed $(SEED)) $(if $(BUG),--bug "$(BUG)")

chaos: setup-server java-tools ## Chaos in a cluster of real processes, every acknowledged row checked: MINUTES=30, SEED=1, OFFICIAL=1, MOVES=1 (servers come and go), WITHOUT="full disk", BUG=..., PUBLISH=docs/fault-report.md
	@PYTHONPATH=tests $(SERVER) -m chaos.run --minutes $(or $(MINUTES),30) --seed $(or $(SEED),1) --output "$(or $(CHAOS_OUTPUT),chaos-output)" $(if $(OFFICIAL),--official) $(if $(MOVES),--moves) $(if $(WITHOUT),--without "$(WITHOUT)") $(if $(BUG),--bug "$(BUG)") $(if $(PUBLISH),--publish $(PUBLISH))

attack: setup-server ## Attack real servers beside an honest client: malformed requests, floods, silent clients; SECONDS=60, SEED=1
	@PYTHONPATH=tests $(SERVER) -m attack.run --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

mutation: setup-server ## Measure which small faults in log, kv, replica, formats the tests notice: SAMPLE=200, PACKAGE=log, SEED=0, MINUTES=30
	@$(STEP) "Mutation testing" $(SERVER) tools/mutation.py $(if $(PACKAGE),--package $(PACKAGE)) --sample $(or $(SAMPLE),200) --seed $(or $(SEED),0) --minutes $(or $(MINUTES),30)

lint: setup-server java-tools ## Check format, lint and types of Python, and the format of Java
	@$(STEP) "Python format" .venv/bin/ruff format --check --quiet $(SOURCES)
	@$(STEP) "Python lint" .venv/bin/ruff check --quiet $(SOURCES)
	@$(STEP) "Python types" env MYPYPATH=$(TYPE_PATH) .venv/bin/mypy $(TYPED) & types=$$!; \
	 $(STEP) "Java format" $(MAVEN) spotless:check; java=$$?; wait $$types && exit $$java

format: setup-server java-tools ## Format Python and Java
	@.venv/bin/ruff format --quiet $(SOURCES)
	@.venv/bin/ruff check --quiet --fix $(SOURCES)
	@$(MAVEN) spotless:apply

jar: ## Build the connector jar: flink-sql/target/flink-sql-connector-fluss-*.jar
	@tools/python tools/connector_jar.py

reference: setup-server ## Write docs/reference.md, and the output of commands in docs/cli.md, from the code
	@$(SERVER) tools/reference.py
	@$(SERVER) tools/cli_page.py

compatibility: setup ## Write docs/compatibility.md from what official clients call in the tests
	@FLUSS_WRITE_COMPATIBILITY=1 $(SERVER) -m pytest tests/clients/rpc
	@FLUSS_WRITE_COMPATIBILITY=1 $(FLINK) -m pytest tests/official -m flink

docs: setup-docs ## Build the documentation site into site/ (site/index.html); a warning is an error
	@$(STEP) "Documentation site" env NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --clean --strict

bench: setup ## Measure the server through pyfluss, its start, and Flink's inserts and selects
	@$(STEP) "Start of the server" $(SERVER) benchmarks/startup.py
	@$(STEP) "Server through pyfluss" $(SERVER) benchmarks/ours.py
	@$(STEP) "Flink" $(FLINK) benchmarks/flink.py

bench-compare: setup-server java-tools ## Compare with the official server: 8 minutes (QUICK=1: 3), writes benchmarks/results.md; REPLICATED=1: clusters of 3, writes benchmarks/replicated.md
	@$(STEP) "Comparison with the official server" env PYTHONPATH=tests $(SERVER) benchmarks/$(if $(REPLICATED),replicated,compare).py $(if $(QUICK),--quick)

bench-scale: setup-server ## Measure whether costs grow linearly: rows, tables, connections; 10 minutes (QUICK=1: 1)
	@$(STEP) "Growth" $(SERVER) benchmarks/scale.py $(if $(QUICK),--quick)

bench-fairness: setup-server ## Measure a quiet client beside clients that send as much as they can; 3 minutes
	@$(STEP) "Fairness" $(SERVER) benchmarks/fairness.py

bench-failover: setup-server java-tools ## Measure how long clients wait when a server of a cluster fails: ROUNDS=20, ROWS=200000, PUBLISH=docs/fault-report.md
	@PYTHONPATH=tests $(SERVER) benchmarks/failover.py --rounds $(or $(ROUNDS),20) --rows $(or $(ROWS),200000) $(if $(PUBLISH),--publish $(PUBLISH))

bench-cluster-scale: setup-server java-tools ## Measure many buckets on a cluster of 3 servers: creation, fail-over, memory; TABLES=1000, REPLICAS=3
	@PYTHONPATH=tests $(SERVER) benchmarks/cluster_scale.py $(if $(TABLES),--tables $(TABLES)) --replicas $(or $(REPLICAS),3)

bench-local-servers: setup-server ## Measure fluss local with 2 tablet servers beside 1, and what limits them
	@PYTHONPATH=tests $(SERVER) benchmarks/local_servers.py

clean: ## Remove what was built or written, but keep the environments
	@rm -rf "$(OUTPUT)" compose-output chaos-output build site fluss-data flink-sql/target benchmarks/official/target */build */dist */src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find fluss-server pyflink-connector tests benchmarks tools examples -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean ## Remove the environments as well
	@rm -rf .venv .venv-flink .venv-docs .flink
