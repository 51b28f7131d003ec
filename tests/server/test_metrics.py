"""Metrics of a real server after real traffic, its health page, its log, and the dashboard."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time
import urllib.request
from pathlib import Path
from typing import Any

import fluss
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from clients.pyfluss_support import connection, new_table, read_changes
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import FlussError
from fluss_server.grpc_server.client import GrpcClient
from fluss_server.metrics.catalogue import CATALOGUE
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster

DASHBOARD = Path(__file__).resolve().parents[2] / "docker" / "grafana" / "fluss.json"
OPTIONS = {"metrics.reporters": "prometheus", "metrics.reporter.prometheus.port": "0"}
SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("v", pa.string())])
_ADDRESS = re.compile(r"Metrics for Prometheus: (http://\S+)/metrics")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def page(cluster: LocalCluster, path: str) -> str:
    found = _ADDRESS.findall(cluster.log)
    assert found, cluster.log
    with urllib.request.urlopen(f"{found[-1]}/{path}", timeout=10) as response:
        text: str = response.read().decode()
    return text


def scrape(cluster: LocalCluster) -> Samples:
    """Values by name and labels, without the labels that all have."""
    found: Samples = {}
    for family in text_string_to_metric_families(page(cluster, "metrics")):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name not in ("host", "server_id")}
            if sample.name.startswith("fluss_"):
                assert sample.labels["server_id"] == "0"
            found[sample.name, frozenset(labels.items())] = sample.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"fluss_{name}", frozenset(labels.items())]


def test_values_after_traffic(tmp_path: Path) -> None:
    async def run(cluster: LocalCluster) -> None:
        before = await asyncio.to_thread(scrape, cluster)
        assert value(before, "coordinator_tableCount") == 0
        assert value(before, "tabletserver_messagesIn_total") == 0
        async with connection(cluster.bootstrap_servers) as connected:
            log = await new_table(connected, "clicks", SCHEMA, bucket_count=2)
            keyed = await new_table(connected, "users", SCHEMA, primary_keys=["n"], bucket_count=1)
            gone = await new_table(connected, "gone", SCHEMA, bucket_count=1)
            for table in (log, gone):
                append = table.new_append().create_writer()
                for number in range(100):
                    append.append([number, "x"])
                await append.flush()
            upsert = keyed.new_upsert().create_writer()
            for number in range(30):
                upsert.upsert([number, "x"])
            await upsert.flush()
            lookuper = keyed.new_lookup().create_lookuper()
            for number in range(5):
                assert await lookuper.lookup([number]) == {"n": number, "v": "x"}
            assert len(await read_changes(connected, log)) == 100
            await connected.get_admin().drop_table(fluss.TablePath("fluss", "gone"), False)
            async with await RpcClient.connect("127.0.0.1", cluster.port) as client:
                request = pb.GetTableInfoRequest()
                request.table_path.database_name, request.table_path.table_name = "fluss", "missing"
                with pytest.raises(FlussError, match="does not exist"):
                    await client.call(ApiKey.GET_TABLE_INFO, request)
            after = await asyncio.to_thread(scrape, cluster)
            assert value(after, "server_connectionCount") >= 1
        clicks, users = {"database": "fluss", "table": "clicks"}, {"database": "fluss", "table": "users"}
        assert value(after, "coordinator_tableCount") == 2
        assert value(after, "coordinator_bucketCount") == value(after, "tabletserver_leaderCount") == 3
        assert value(after, "coordinator_offlineBucketCount") == 0
        assert value(after, "tabletserver_table_messagesIn_total", **clicks) == 100
        assert value(after, "tabletserver_table_messagesIn_total", **users) == 30
        assert value(after, "tabletserver_messagesIn_total") == 230, "what was dropped stays counted"
        assert value(after, "tabletserver_messagesInPerSecond") > 0
        written = [value(after, "tabletserver_table_bytesIn_total", **table) for table in (clicks, users)]
        assert min(written) > 30 * 8, "each row brings more than its number"
        assert value(after, "tabletserver_bytesIn_total") >= sum(written)
        assert value(after, "tabletserver_table_bytesOut_total", **clicks) > 100 * 8
        assert 1 <= value(after, "tabletserver_table_totalLookupRequests_total", **users) <= 5
        assert value(after, "tabletserver_table_failedProduceLogRequests_total", **clicks) == 0
        assert value(after, "tabletserver_table_kvBackpressureMaxPressure", **users) == 0
        ends = [value(after, "tabletserver_table_bucket_log_endOffset", **clicks, partition="", bucket=b) for b in "01"]
        assert sum(ends) == 100
        assert value(after, "tabletserver_table_bucket_log_numSegments", **users, partition="", bucket="0") == 1
        assert value(after, "tabletserver_logicalStorage_logSize") > 1_000
        assert value(after, "tabletserver_request_requests_total", request="getTableInfo") >= 1
        assert value(after, "tabletserver_request_errors_total", request="getTableInfo") == 1
        produced = value(after, "tabletserver_request_requests_total", request="produceLog")
        assert produced >= 2
        assert value(after, "tabletserver_request_totalTimeMs_count", request="produceLog") == produced
        assert value(after, "tabletserver_request_totalTimeMs_bucket", request="produceLog", le="+Inf") == produced
        assert value(after, "tabletserver_request_requestBytes_total", request="produceLog") > 1_000
        assert value(after, "tabletserver_logFlushLatencyMs_count") >= 3
        assert 0 < value(after, "tabletserver_diskUsageRatio") < 1
        assert value(after, "tabletserver_rocksdbMemoryUsageTotal") > 0
        health = json.loads(await asyncio.to_thread(page, cluster, "health"))
        assert health == {
            "ready": True,
            "disk_write_locked": False,
            "offline_buckets": 0,
            "damaged_buckets": 0,
            "problems": [],
        }

    with LocalCluster(tmp_path, options=OPTIONS) as cluster:
        asyncio.run(run(cluster))
        exported = {name for name, _ in scrape(cluster)}
        check_dashboard(exported)


def test_calls_of_the_grpc_server_are_requests(tmp_path: Path) -> None:
    def count(name: str, request: str) -> float:
        return value(scrape(cluster), f"tabletserver_request_{name}", request=request)

    with LocalCluster(tmp_path, options=OPTIONS, grpc=True) as cluster:
        exists = pb.DatabaseExistsRequest(database_name="fluss")
        with GrpcClient(f"127.0.0.1:{cluster.grpc_port}") as client:
            for _ in range(3):
                client.call(ApiKey.DATABASE_EXISTS, exists)
            with pytest.raises(FlussError, match="does not exist"):
                client.call(ApiKey.GET_DATABASE_INFO, pb.GetDatabaseInfoRequest(database_name="missing"))
        assert count("requests_total", "databaseExists") == 3
        assert count("errors_total", "databaseExists") == 0
        assert count("requestBytes_total", "databaseExists") == 3 * exists.ByteSize()
        assert count("totalTimeMs_count", "databaseExists") == 3
        assert count("requests_total", "getDatabaseInfo") == count("errors_total", "getDatabaseInfo") == 1


def check_dashboard(exported: set[str]) -> None:
    """Every expression of the dashboard uses metrics that the server shows, and every row has panels."""
    document = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in document["panels"] for target in panel.get("targets", ())]
    expressions += [entry["definition"] for entry in document["templating"]["list"] if "definition" in entry]
    assert len(expressions) > 25
    used = {name for text in expressions for name in re.findall(r"\b(?:fluss|process)_\w+", text)}
    assert used <= exported
    for text in expressions:
        assert text.count("(") == text.count(")") and text.count("{") == text.count("}"), text  # noqa: PT018
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in document["panels"]}
    assert len(places) == len(ids), "panels do not cover each other"


def test_buckets_without_metrics_of_their_own(tmp_path: Path) -> None:
    async def run(cluster: LocalCluster) -> Samples:
        async with connection(cluster.bootstrap_servers) as connected:
            await new_table(connected, "wide", SCHEMA, bucket_count=10)
        return await asyncio.to_thread(scrape, cluster)

    with LocalCluster(tmp_path, options={**OPTIONS, "metrics.max-buckets": "3"}) as cluster:
        samples = asyncio.run(run(cluster))
    assert value(samples, "server_bucketsNotShown") == 7
    assert value(samples, "tabletserver_leaderCount") == 10
    shown = [labels for name, labels in samples if name == "fluss_tabletserver_table_bucket_log_endOffset"]
    assert len(shown) == 3


def test_without_a_reporter_nothing_listens(tmp_path: Path) -> None:
    with LocalCluster(tmp_path) as cluster:
        assert "Metrics" not in cluster.log
    with pytest.raises(RuntimeError, match="there is no jmx"):
        LocalCluster(tmp_path, options={"metrics.reporters": "jmx"}).start()


def test_the_log_tells_who_misbehaves(tmp_path: Path) -> None:
    options = {"server.request.receive-timeout": "100 ms", "server.request.slow-log-threshold": "1 ms"}
    with LocalCluster(tmp_path, options=options, arguments=["--log-format", "json"]) as cluster:

        async def slow_request() -> None:
            async with connection(cluster.bootstrap_servers) as connected:
                await new_table(connected, "slow", SCHEMA, bucket_count=4)

        asyncio.run(slow_request())
        with socket.create_connection(("127.0.0.1", cluster.port)) as sock:
            sock.sendall(struct.pack(">i", 100))
            peer = "{}:{}".format(*sock.getsockname())
            assert sock.recv(1) == b""
        deadline = time.monotonic() + 10
        while peer not in cluster.log:
            assert time.monotonic() < deadline, cluster.log
            time.sleep(0.01)
        lines: list[dict[str, Any]] = [json.loads(line) for line in cluster.log.splitlines() if line.startswith("{")]
    slow = next(line for line in lines if line.get("event") == "slow_request" and line["api"] == "CREATE_TABLE")
    assert (slow["level"], slow["principal"], slow["listener"]) == ("warning", "User:ANONYMOUS", "FLUSS")
    assert slow["elapsed_ms"] >= 1
    assert isinstance(slow["request_id"], int)
    dropped = next(line for line in lines if line.get("peer") == peer)
    assert (dropped["event"], dropped["level"]) == ("client_dropped", "warning")
    assert "did not arrive" in dropped["message"]


def test_the_reference_describes_every_metric() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "reference.md").read_text()
    for metric in CATALOGUE.values():
        for name in metric.exported_names:
            assert f"`{name}`" in text
