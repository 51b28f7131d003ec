"""The ``fluss`` command on a cluster of real processes: rows reach their leaders, replicas move between servers."""

from __future__ import annotations

import io
import json
import re
import shutil
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster_support import ClusterServer, ProcessCluster
from fluss_server.cli.main import main
from waiting import wait_until

Command = Callable[..., Any]
ROWS = 40
Metrics = dict[tuple[str, str], float]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessCluster]:
    options = {"metrics.reporters": "prometheus", "metrics.reporter.prometheus.port": "0"}
    directory = tmp_path_factory.mktemp("cluster")
    with ProcessCluster(directory, tablet_servers=2, grpc=True, options=options) as running:
        yield running


def commands(server: str) -> Command:
    """Runs a command on a server; returns its exit code, the rows that it prints, and its remarks."""

    def run(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        printed, remarks = io.StringIO(), io.StringIO()
        with redirect_stdout(printed), redirect_stderr(remarks):
            code = main([*arguments, "--server", server, "--output", "json"])
        return code, [json.loads(line) for line in printed.getvalue().splitlines()], remarks.getvalue()

    return run


def metrics(server: ClusterServer) -> Metrics:
    """Values by name and by the value of their own label, if they have one."""
    address = re.search(r"Metrics for Prometheus: (http://\S+)", server.process.log)
    assert address is not None, server.process.log
    with urllib.request.urlopen(address[1], timeout=10) as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    found: Metrics = {}
    for sample in (sample for family in families for sample in family.samples):
        own = [value for name, value in sample.labels.items() if name not in ("host", "server_id")]
        if len(own) <= 1:
            found[sample.name.removeprefix("fluss_"), own[0] if own else ""] = sample.value
    return found


@pytest.fixture
def fluss(cluster: ProcessCluster) -> Command:
    return commands(cluster.coordinators[0].grpc_address)


def test_rows_are_written_to_and_read_from_the_leaders(cluster: ProcessCluster, fluss: Command, tmp_path: Path) -> None:
    keyed = "CREATE TABLE keyed (id INT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('bucket.num' = '4')"
    assert fluss("create-table", keyed)[0] == 0
    assert fluss("create-table", "CREATE TABLE log (id INT, name STRING) WITH ('bucket.num' = '4')")[0] == 0
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(f'{{"id": {number}, "name": "name {number}"}}\n' for number in range(ROWS)))
    for table in ("keyed", "log"):
        assert fluss("put", table, str(file))[0] == 0
    for server in (cluster.coordinators[0], *cluster.servers):  # whichever is asked
        run = commands(server.grpc_address)
        assert run("get", "keyed", "id=7")[1] == [{"id": 7, "name": "name 7"}]
        assert run("count", "keyed")[1][0]["rows"] == ROWS
        assert len(run("head", "keyed", "-n", "100")[1]) == ROWS
        assert len(run("tail", "log", "--from", "earliest", "-n", "100")[1]) == ROWS
        assert sum(row["latest"] - row["earliest"] for row in run("offsets", "log")[1]) == ROWS
    exported = tmp_path / "exported.jsonl"
    assert fluss("export", "keyed", str(exported))[0] == 0
    assert len(exported.read_text().splitlines()) == ROWS
    assert fluss("delete", "keyed", "id=7")[0] == 0
    assert fluss("get", "keyed", "id=7")[0] == 1


def test_the_servers_say_how_full_their_disks_are(cluster: ProcessCluster, fluss: Command, tmp_path: Path) -> None:
    assert fluss("create-table", "CREATE TABLE filling (id INT, name STRING) WITH ('bucket.num' = '2')")[0] == 0
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(f'{{"id": {number}, "name": "name {number}"}}\n' for number in range(ROWS)))

    def servers() -> list[dict[str, Any]]:
        return [row for row in fluss("cluster")[1] if row["role"] == "tablet server"]

    wait_until(lambda: all(row["data_bytes"] is not None for row in servers()), "reports of the disks", 20)
    before = sum(row["data_bytes"] for row in servers())
    assert fluss("put", "filling", str(file))[0] == 0
    wait_until(lambda: sum(row["data_bytes"] for row in servers()) >= before + ROWS, "the rows count", 20)
    disk = shutil.disk_usage(tmp_path)
    for row in servers():
        assert row["disk_total_bytes"] == disk.total
        assert 0 < row["disk_free_bytes"] <= disk.total


def test_partitions_with_different_numbers_of_buckets(cluster: ProcessCluster, tmp_path: Path) -> None:
    def fluss(*arguments: str) -> Any:
        return commands(cluster.coordinators[0].grpc_address)(*arguments)  # another port after each start

    ddl = "CREATE TABLE parted (id INT, day STRING, PRIMARY KEY (id, day) NOT ENFORCED) PARTITIONED BY (day) WITH"
    assert fluss("create-table", f"{ddl} ('bucket.num' = '2', 'table.replication.factor' = '2')")[0] == 0

    def put(day: str) -> None:
        file = tmp_path / f"{day}.jsonl"
        file.write_text("".join(f'{{"id": {number}, "day": "{day}"}}\n' for number in range(ROWS)))
        assert fluss("put", "parted", str(file))[0] == 0

    def check() -> None:
        counts = {row["partition"]: row["buckets"] for row in fluss("partitions", "parted")[1]}
        assert counts == {"old": 2, "new": 4}
        for run in (fluss, commands(cluster.servers[1].grpc_address)):
            for day in counts:
                assert run("get", "parted", "id=7", f"day={day}")[1] == [{"id": 7, "day": day}]
            assert run("count", "parted")[1][0]["rows"] == 2 * ROWS
        buckets = Counter(row["partition"] for row in fluss("buckets", "parted")[1])
        assert buckets == counts

    put("old")
    assert fluss("alter-table", "parted", "--set", "bucket.num=4")[0] == 0
    put("new")
    check()
    cluster.coordinators[0].kill()
    cluster.coordinators[0].start()
    for server in cluster.servers:
        server.kill()
        server.start()
    check()
    put("old")
    put("new")
    check()


def test_the_leaders_are_measured(cluster: ProcessCluster, fluss: Command) -> None:
    for _ in range(2):  # the first bucket of new tables is on one server after the other
        code, rows, remarks = fluss("bench", "--rows", "20000")
        assert code == 0, remarks
        assert [row["work"] for row in rows] == ["append", "scan", "upsert", "lookup"]
        assert all(row["rate"] > 0 for row in rows)


def test_a_server_comes_and_goes(cluster: ProcessCluster, fluss: Command, tmp_path: Path) -> None:
    ddl = "CREATE TABLE moving (id INT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('bucket.num' = '6'"
    assert fluss("create-table", f"{ddl}, 'table.replication.factor' = '2')")[0] == 0
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(f'{{"id": {number}, "name": "name {number}"}}\n' for number in range(ROWS)))
    assert fluss("put", "moving", str(file))[0] == 0
    cluster.add_server()
    servers = {row["server"]: row for row in fluss("cluster")[1]}
    assert servers[2]["replicas"] == 0
    assert {row["state"] for number, row in servers.items() if number is not None} == {"live"}
    assert fluss("rebalance", "plan")[1], "something would move"

    code, _, remarks = fluss("rebalance", "run")
    assert (code, "completed" in remarks) == (0, True), remarks
    moved = len(fluss("rebalance", "progress")[1])
    counted = metrics(cluster.coordinators[0])
    assert counted["coordinator_rebalanceBucketCount", "completed"] == moved > 0
    assert counted["coordinator_rebalanceBucketCount", "rebalancing"] == 0
    fetches = metrics(cluster.servers[0])
    assert fetches["tabletserver_request_requests_total", "fetchLogFollower"] > 0
    assert fetches.get(("tabletserver_request_requests_total", "fetchLogClient"), 0) < ROWS, "only the command fetches"
    buckets = fluss("buckets", "moving")[1]
    assert {server for row in buckets for server in row["replicas"]} == {0, 1, 2}
    assert all(len(row["replicas"]) == 2 and sorted(row["isr"]) == sorted(row["replicas"]) for row in buckets)
    assert sum(row["latest"] for row in buckets) == ROWS
    assert fluss("count", "moving")[1][0]["rows"] == ROWS

    code, _, remarks = fluss("drain", "2")
    assert code == 0, remarks
    assert {server for row in fluss("buckets", "moving")[1] for server in row["replicas"]} == {0, 1}
    assert {row["server"]: row["tag"] for row in fluss("cluster")[1]}[2] == "PERMANENT_OFFLINE"
    assert len(fluss("head", "moving", "-n", "100")[1]) == ROWS
    assert not list(Path(tmp_path).glob("moving-*"))
    assert fluss("drain", "2", "--undo")[0] == 0
    assert fluss("rebalance", "cancel")[0] == 0
    assert "completed" in fluss("rebalance", "progress")[2]
