"""A coordinator and tablet servers in processes of their own, used through pyfluss, without ZooKeeper."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, end_offsets, new_table
from cluster_support import ClusterServer, ProcessCluster
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from rpc_support import async_test
from table_rpc import rpc_client

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("v", pa.string())])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessCluster]:
    with ProcessCluster(tmp_path_factory.mktemp("cluster"), tablet_servers=2) as running:
        yield running


def rows(first: int, count: int) -> pa.RecordBatch:
    ids = range(first, first + count)
    return pa.record_batch([pa.array(ids, pa.int64()), pa.array([f"row {id}" for id in ids])], schema=SCHEMA)


async def append(table: fluss.FlussTable, batch: pa.RecordBatch) -> None:
    writer = table.new_append().create_writer()
    writer.write_arrow_batch(batch)
    await writer.flush()


async def read_ids(table: fluss.FlussTable, count: int) -> list[int]:
    """The ids of all buckets, sorted, when there are as many as wanted."""
    scanner = await table.new_scan().create_record_batch_log_scanner()
    scanner.subscribe_buckets(dict.fromkeys(range(table.get_table_info().num_buckets), fluss.EARLIEST_OFFSET))
    found: list[int] = []
    while len(found) < count:
        for batch in await scanner.poll_record_batch(5_000):
            found += batch.batch.column("id").to_pylist()
    return sorted(found)


@async_test
async def test_tables_are_spread_over_the_servers(cluster: ProcessCluster) -> None:
    async with connection(cluster.bootstrap_servers) as connected:
        table = await new_table(connected, "spread", SCHEMA, bucket_count=4)
        await append(table, rows(0, 1_000))
        assert await read_ids(table, 1_000) == list(range(1_000))
        assert sum((await end_offsets(connected, table)).values()) == 1_000
        keyed = await new_table(connected, "keyed", SCHEMA, primary_keys=["id"], bucket_count=4)
        writer = keyed.new_upsert().create_writer()
        for id in range(100):
            writer.upsert({"id": id, "v": f"value {id}"})
        await writer.flush()
        lookuper = keyed.new_lookup().create_lookuper()
        assert await lookuper.lookup({"id": 42}) == {"id": 42, "v": "value 42"}
        assert await connected.get_admin().list_tables("fluss") == ["keyed", "spread"]
    async with rpc_client(cluster.servers[0].address) as client:
        path = pb.PbTablePath(database_name="fluss", table_name="spread")
        seen = await client.call(ApiKey.GET_METADATA, pb.MetadataRequest(table_path=[path]))
    assert {bucket.leader_id for bucket in seen.table_metadata[0].bucket_metadata} == {0, 1}
    assert seen.coordinator_server.port == cluster.coordinators[0].port


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@async_test
async def test_a_tablet_server_comes_back(how: signal.Signals, cluster: ProcessCluster) -> None:
    async with connection(cluster.bootstrap_servers) as connected:
        table = await new_table(connected, f"back_{how.name}", SCHEMA, bucket_count=4)
        await append(table, rows(0, 100))
        cluster.servers[1].process.end(how, 30.0)
        cluster.servers[1].start()
        await append(table, rows(100, 100))
        assert await read_ids(table, 200) == list(range(200))


@async_test
async def test_a_tablet_server_comes_back_on_another_port(cluster: ProcessCluster) -> None:
    async with connection(cluster.bootstrap_servers) as connected:
        table = await new_table(connected, "moved", SCHEMA, bucket_count=4)
        await append(table, rows(0, 100))
    cluster.servers[1].process.end(signal.SIGKILL, 30.0)
    cluster.servers[1].start(new_port=True)
    # An open connection of pyfluss requests metadata of the old port, too, and may never leave it.
    async with connection(cluster.servers[0].address) as connected:
        table = await connected.get_table(fluss.TablePath("fluss", "moved"))
        await append(table, rows(100, 100))
        assert await read_ids(table, 200) == list(range(200))


@async_test
async def test_data_is_served_while_the_coordinator_is_away(cluster: ProcessCluster) -> None:
    async with connection(cluster.bootstrap_servers) as connected:
        table = await new_table(connected, "alone", SCHEMA, bucket_count=4)
        await append(table, rows(0, 100))
        cluster.coordinators[0].kill()
        await append(table, rows(100, 100))
        assert await read_ids(table, 200) == list(range(200))
        cluster.coordinators[0].start()
        await append(table, rows(200, 100))

        await new_table(connected, "after", SCHEMA)
        assert await read_ids(table, 300) == list(range(300))


def test_the_newest_process_has_the_server_id(tmp_path: Path) -> None:
    with ProcessCluster(tmp_path, tablet_servers=1) as cluster:
        [first] = cluster.servers
        options = {"coordinator.address": cluster.coordinators[0].address}
        second = ClusterServer("tablet-server", tmp_path / "second", options, ("--id", "0"))
        second.start()
        try:
            assert first.process.wait(20) == 1
            assert "another process has registered as tablet server 0" in first.process.log
            assert second.process.is_running
        finally:
            second.stop()
