"""A coordinator and tablet servers in processes of their own, used through pyfluss, without ZooKeeper."""

from __future__ import annotations

import asyncio
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
from fluss_server.errors import ErrorCode, FlussError
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


async def wait_for_leaders(server: ClusterServer, table: str) -> None:
    """Wait until every bucket of a table has a leader, as a server sees it, and that leader serves it."""
    path = pb.PbTablePath(database_name="fluss", table_name=table)
    async with rpc_client(server.address) as client:
        while True:
            seen = await client.call(ApiKey.GET_METADATA, pb.MetadataRequest(table_path=[path]))
            [entry] = seen.table_metadata
            addresses = {node.node_id: f"{node.host}:{node.port}" for node in seen.tablet_servers}
            if all([await serves(addresses, entry.table_id, bucket) for bucket in entry.bucket_metadata]):
                return
            await asyncio.sleep(0.05)


async def serves(addresses: dict[int, str], table_id: int, bucket: pb.PbBucketMetadata) -> bool:
    """Whether the leader of a bucket knows that it leads it."""
    if not bucket.HasField("leader_id") or bucket.leader_id not in addresses:
        return False
    request = pb.ListOffsetsRequest(
        follower_server_id=-1, offset_type=1, table_id=table_id, bucket_id=[bucket.bucket_id]
    )
    try:
        async with rpc_client(addresses[bucket.leader_id]) as client:
            [found] = (await client.call(ApiKey.LIST_OFFSETS, request)).buckets_resp
    except FlussError:
        return False
    return not found.HasField("error_code") or found.error_code == ErrorCode.NONE


@pytest.mark.parametrize("new_port", [False, True])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@async_test
async def test_a_tablet_server_comes_back(how: signal.Signals, new_port: bool, cluster: ProcessCluster) -> None:
    name = f"back_{how.name}_{new_port}"
    async with connection(cluster.bootstrap_servers) as connected:
        table = await new_table(connected, name, SCHEMA, bucket_count=4)
        await append(table, rows(0, 100))
    cluster.servers[1].process.end(how, 30.0)
    cluster.servers[1].start(new_port=new_port)
    # A pyfluss that loses the leader of a bucket may wait and send nothing any more, so this is another one.
    await wait_for_leaders(cluster.servers[0], name)
    async with connection(cluster.servers[0].address) as connected:
        table = await connected.get_table(fluss.TablePath("fluss", name))
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
