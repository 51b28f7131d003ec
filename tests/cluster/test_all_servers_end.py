"""All servers and the coordinator end at once, and only one server comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection
from cluster_support import ProcessCluster
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from rpc_support import async_test
from table_rpc import create_from, descriptor, rpc_client

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("v", pa.string())])
ROWS = 100


async def leader_of(address: str, name: str) -> int | None:
    path = pb.PbTablePath(database_name="fluss", table_name=name)
    async with rpc_client(address) as client:
        seen = await client.call(ApiKey.GET_METADATA, pb.MetadataRequest(table_path=[path]))
    [bucket] = seen.table_metadata[0].bucket_metadata
    return bucket.leader_id if bucket.HasField("leader_id") else None


@pytest.mark.parametrize("survivor", [0, 2])
@async_test
async def test_any_member_of_the_isr_goes_on_alone(survivor: int, tmp_path: Path) -> None:
    cluster = ProcessCluster(tmp_path, tablet_servers=3)
    cluster.start()
    try:
        document = descriptor(properties={"table.replication.factor": "3"})
        async with rpc_client(cluster.servers[0].address) as client:
            await create_from(client, "t", document)
        async with connection(cluster.bootstrap_servers) as connected:
            writer = (await connected.get_table(fluss.TablePath("fluss", "t"))).new_append().create_writer()
            ids = pa.array(range(ROWS), pa.int64())
            writer.write_arrow_batch(pa.record_batch([ids, pa.array(["x"] * ROWS)], schema=SCHEMA))
            await writer.flush()
        cluster.coordinators[0].kill()
        for server in cluster.servers:
            server.kill()
        cluster.coordinators[0].start()
        server = cluster.servers[survivor]
        server.start()
        for _ in range(400):
            if await leader_of(server.address, "t") == survivor:
                break
            await asyncio.sleep(0.05)
        assert await leader_of(server.address, "t") == survivor
        async with connection(server.address) as connected:
            table = await connected.get_table(fluss.TablePath("fluss", "t"))
            scanner = await table.new_scan().create_record_batch_log_scanner()
            scanner.subscribe(0, fluss.EARLIEST_OFFSET)
            found: list[int] = []
            while len(found) < ROWS:
                for batch in await scanner.poll_record_batch(5_000):
                    found += batch.batch.column("id").to_pylist()
        assert found == list(range(ROWS))
    finally:
        cluster.stop()
