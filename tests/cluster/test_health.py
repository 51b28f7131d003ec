"""Metrics and health over HTTP of coordinators and tablet servers in processes of their own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from clients.pyfluss_support import connection, new_table
from cluster_support import ClusterServer
from fluss_server.testing import LocalCluster
from fluss_server.testing.server_process import ServerProcess
from free_ports import free_ports
from rpc_support import async_test
from waiting import wait_until

REPORTER = {"metrics.reporters": "prometheus"}
QUICK = {
    "tablet-server.heartbeat.interval": "100 ms",
    "tablet-server.lease.duration": "500 ms",
    "coordinator.tablet-server.timeout": "1 s",
}
SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False)])
Values = dict[tuple[str, str], float]


def health(address: str) -> tuple[int, dict[str, Any]]:
    """Status and document of a health page."""
    try:
        with urllib.request.urlopen(f"http://{address}/health", timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def wait_for_health(address: str, state: str | None) -> dict[str, Any]:
    """Wait until the first problem is ``state``, None = until there is none; returns the document."""
    found: list[dict[str, Any]] = []

    def shown() -> bool:
        try:
            status, document = health(address)
        except OSError:
            return False
        if [problem["state"] for problem in document["problems"]] != ([] if state is None else [state]):
            return False
        assert status == (200 if state is None else 503)
        assert document["ready"] == (state is None)
        found.append(document)
        return True

    wait_until(shown, f"the health page shows {state}", 30)
    return found[0]


def values(address: str) -> Values:
    """Values that have no labels of their own, by name and server id."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
        text = response.read().decode()
    return {
        (sample.name, sample.labels.get("server_id", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if set(sample.labels) <= {"host", "server_id"}
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    options = {**REPORTER, "metrics.reporter.prometheus.port": "0"}
    with LocalCluster(tablet_servers=2, options=options) as running:
        yield running


def addresses(cluster: LocalCluster) -> list[str]:
    """Of the metrics of the coordinator and of the tablet servers by id."""
    lines = [line for line in cluster.log.splitlines() if line.startswith("Metrics for Prometheus: ")]
    return [line.split("//")[1].removesuffix("/metrics") for line in lines]


@async_test
async def test_values_after_replication(cluster: LocalCluster) -> None:
    async with connection(cluster.bootstrap_servers) as connected:
        replicated = {"table.replication.factor": "2"}
        table = await new_table(connected, "copied", SCHEMA, bucket_count=4, properties=replicated)
        writer = table.new_append().create_writer()
        for number in range(1000):
            writer.append([number])
        await writer.flush()
    found: Values = {}

    def caught_up() -> bool:
        for address in addresses(cluster):
            found.update(values(address))
        return not any(found["fluss_server_replicationMaxLag", server] for server in ("0", "1"))

    await asyncio.to_thread(wait_until, caught_up, "the followers have everything", 30)
    of_coordinator = {name: value for (name, server), value in found.items() if server == "coordinator"}
    assert of_coordinator["fluss_coordinator_activeCoordinatorCount"] == 1
    assert of_coordinator["fluss_coordinator_activeTabletServerCount"] == 2
    assert of_coordinator["fluss_coordinator_bucketCount"] == 4
    assert of_coordinator["fluss_coordinator_leaderElections_total"] == 4
    assert of_coordinator["fluss_coordinator_lostTabletServers_total"] == 0
    assert of_coordinator["fluss_coordinator_offlineBucketCount"] == 0
    assert of_coordinator["fluss_coordinator_pendingLeaderActivationCount"] == 0
    assert of_coordinator["fluss_coordinator_controlRequestsWaiting"] == 0
    assert of_coordinator["fluss_coordinator_controlRequestRetries_total"] == 0
    assert of_coordinator["fluss_coordinator_event_eventQueueSize"] == 0
    for server in ("0", "1"):
        assert found["fluss_server_registered", server] == 1
        assert found["fluss_server_leaseHeld", server] == 1
        assert found["fluss_tabletserver_leaderCount", server] == 2
        assert found["fluss_tabletserver_replicaCount", server] == 4
        assert found["fluss_tabletserver_underReplicated", server] == 0
    written = sum(found["fluss_tabletserver_bytesIn_total", server] for server in ("0", "1"))
    copied = sum(found["fluss_tabletserver_replicationBytesIn_total", server] for server in ("0", "1"))
    assert written > 1000
    assert copied >= written, "every batch is on the other server, too"


def test_every_process_is_healthy(cluster: LocalCluster) -> None:
    coordinator, *servers = [health(address) for address in addresses(cluster)]
    assert coordinator[0] == 200
    assert (coordinator[1]["role"], coordinator[1]["state"]) == ("coordinator", "active")
    assert coordinator[1]["live_tablet_servers"] == 2
    assert [status for status, _ in servers] == [200, 200]
    assert all(document["registered"] and document["lease_held"] for _, document in servers)


def test_a_tablet_server_without_its_coordinator_is_not_healthy(tmp_path: Path) -> None:
    metrics_port, coordinator_port = free_ports(2)
    options = {
        **REPORTER,
        **QUICK,
        "metrics.reporter.prometheus.port": str(metrics_port),
        "coordinator.address": f"127.0.0.1:{coordinator_port}",
    }
    command = [sys.executable, "-m", "fluss_server", "tablet-server", "--stop-at-end-of-input", "--id", "7"]
    command += ["--data-dir", str(tmp_path / "server")]
    for key, value in options.items():
        command += ["--set", f"{key}={value}"]
    server = ServerProcess(command, lambda line: " is ready: " in line)
    lines = server.launch()
    coordinator = ClusterServer("coordinator", tmp_path / "coordinator", QUICK)
    coordinator.port = coordinator_port
    page = f"127.0.0.1:{metrics_port}"
    try:
        document = wait_for_health(page, "not-registered")
        assert not document["registered"]
        assert "coordinator.address" in document["problems"][0]["remedy"]
        coordinator.start()
        server.wait_until_ready(lines, 30)
        wait_for_health(page, None)
        coordinator.kill()
        document = wait_for_health(page, "lease-lost")
        assert document["registered"] and not document["lease_held"]  # noqa: PT018
        assert values(page)["fluss_server_leaseLosses_total", "7"] == 1
        coordinator.start()
        wait_for_health(page, None)
        assert values(page)["fluss_server_leaseLosses_total", "7"] == 1
    finally:
        server.end(signal.SIGTERM, 30.0)
        coordinator.stop()
