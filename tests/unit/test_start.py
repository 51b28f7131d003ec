"""What an idle server has not loaded: it would cost every start time and memory, and most servers never use it."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

NOT_LOADED = {
    "calendar",
    "datetime",
    "decimal",
    "difflib",
    "google.protobuf",
    "grpc",
    "hashlib",
    "numpy",
    "pkgutil",
    "platform",
    "prometheus_client",
    "pyarrow",
    "rocksdict",
    "shutil",
    "zoneinfo",
}

ONLY_FOR_CLUSTERS = {
    "fluss_server.cli.local_servers",
    "fluss_server.cluster.control_codecs",
    "fluss_server.cluster.peer",
    "fluss_server.cluster.remote_coordinator",
    "fluss_server.cluster.remote_tablet_server",
    "fluss_server.cluster.server_codecs",
    "fluss_server.cluster.settings_update",
    "fluss_server.cluster.update_parts",
    "fluss_server.coordinator.process_watch",
    "fluss_server.coordinator.reassignments",
    "fluss_server.coordinator.rebalance_plan",
    "fluss_server.coordinator.rebalance_watch",
    "fluss_server.coordinator.server_monitor",
    "fluss_server.coordinator.settings_distribution",
    "fluss_server.coordinator.tenure",
    "fluss_server.metadata.zookeeper",
    "fluss_server.processes.coordinator",
    "fluss_server.processes.coordinator_term",
    "fluss_server.processes.takeover",
    "fluss_server.processes.tablet_server",
    "fluss_server.replica.follower_replica",
    "fluss_server.replica.follower_rows",
    "fluss_server.replica.followers",
    "fluss_server.replica.replay_queue",
    "fluss_server.rpc.client",
    "fluss_server.security.internal_calls",
    "fluss_server.tablet.catch_up_limit",
    "fluss_server.tablet.replica_fetcher",
    "fluss_server.tablet.replication_protocol",
    "fluss_server.tablet.replication_service",
    "fluss_server.tablet.stop_marker",
}
ONLY_WITH_AUTHENTICATION_OR_PERMISSIONS = {
    "fluss_server.security.acl_decisions",
    "fluss_server.security.acl_evaluator",
    "fluss_server.security.acl_replica",
    "fluss_server.security.authorization_interceptor",
    "fluss_server.security.authorizer",
    "fluss_server.security.credentials",
    "fluss_server.security.jaas",
    "fluss_server.security.rules",
    "fluss_server.security.sasl",
    "fluss_server.security.throttle",
}
ONLY_FOR_SOME_REQUESTS = {
    "fluss_server.coordinator.inspection_service",
    "fluss_server.coordinator.partition_time",
    "fluss_server.coordinator.producer_service",
    "fluss_server.coordinator.rebalance_service",
    "fluss_server.security.acl_service",
}
ONLY_FOR_OTHER_COMMANDS = {"fluss_server.cli.completion", "fluss_server.cli.csv_records", "fluss_server.cli.output"}

PROGRAM = """
import sys
before = set(sys.modules)
import asyncio
from pathlib import Path
from fluss_server.cli.main import build_parser
build_parser("local").parse_args(["local"])
import fluss_server.cli.local
from fluss_server.processes.local import LocalServer
from fluss_server.runtime import event_loop

async def run():
    server = LocalServer(Path(sys.argv[1]))
    await server.start()
    print(*sorted(set(sys.modules) - before))
    await server.close()

event_loop.run(run())
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Modules that a server on an empty directory has loaded when it is ready."""
    data_dir = tmp_path_factory.mktemp("data") / "fluss"
    command = [sys.executable, "-c", PROGRAM, str(data_dir)]
    return set(subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout.split())


def test_an_idle_server_has_loaded_nothing_that_few_servers_need(loaded: set[str]) -> None:
    assert "fluss_server.coordinator.auto_partition" in loaded
    assert sorted(loaded & NOT_LOADED) == []


@pytest.mark.parametrize(
    "unneeded",
    [
        ONLY_FOR_CLUSTERS,
        ONLY_WITH_AUTHENTICATION_OR_PERMISSIONS,
        ONLY_FOR_SOME_REQUESTS,
        ONLY_FOR_OTHER_COMMANDS,
    ],
    ids=["clusters", "security", "requests", "commands"],
)
def test_a_server_alone_has_loaded_nothing_of_others(loaded: set[str], unneeded: set[str]) -> None:
    missing = {name for name in unneeded if find_spec(name) is None}
    assert not missing, "these modules have other names now"
    assert sorted(loaded & unneeded) == []
