"""Offsets of producers on a running server: across restarts, and until they expire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.processes.local import LocalServer
from fluss_server.rpc.client import RpcClient
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.runtime import system_runtime
from fluss_server.testing import LocalCluster
from table_rpc import with_client

HOUR_MS = 3_600_000
TABLES = [
    pb.PbProducerTableOffsets(
        table_id=4, bucket_offsets=[pb.PbBucketOffset(bucket_id=bucket, log_end_offset=9) for bucket in (0, 1)]
    ),
    pb.PbProducerTableOffsets(
        table_id=6, bucket_offsets=[pb.PbBucketOffset(partition_id=2, bucket_id=0, log_end_offset=2**40)]
    ),
]


async def register(client: RpcClient, tables: list[pb.PbProducerTableOffsets], **fields: int) -> int:
    request = pb.RegisterProducerOffsetsRequest(producer_id="job-1", table_offsets=tables, **fields)
    return int((await client.call(ApiKey.REGISTER_PRODUCER_OFFSETS, request)).result)


async def registered(client: RpcClient) -> pb.GetProducerOffsetsResponse:
    request = pb.GetProducerOffsetsRequest(producer_id="job-1")
    response: pb.GetProducerOffsetsResponse = await client.call(ApiKey.GET_PRODUCER_OFFSETS, request)
    return response


def test_a_server_that_is_killed_keeps_them(tmp_path: Path) -> None:
    async def before(client: RpcClient) -> None:
        assert await register(client, TABLES) == 0

    async def after(client: RpcClient) -> None:
        found = await registered(client)
        assert found.producer_id == "job-1"
        assert list(found.table_offsets) == TABLES
        assert await register(client, []) == 1
        assert list((await registered(client)).table_offsets) == TABLES
        for _ in range(2):
            await client.call(ApiKey.DELETE_PRODUCER_OFFSETS, pb.DeleteProducerOffsetsRequest(producer_id="job-1"))
            assert await registered(client) == pb.GetProducerOffsetsResponse()
        assert await register(client, []) == 0

    with LocalCluster(tmp_path) as cluster:
        with_client(cluster.port, before)
        cluster.kill()
        cluster.start()
        with_client(cluster.port, after)


@asynccontextmanager
async def served(path: Path, clock: ManualClock, **options: str) -> AsyncIterator[RpcClient]:
    server = LocalServer(
        path,
        runtime=system_runtime(clock=clock),
        options={f"coordinator.producer-offsets.{key}": options[key] for key in options},
    )
    await server.start()
    try:
        async with await RpcClient.connect("127.0.0.1", server.port) as client:
            yield client
    finally:
        await server.close()


def test_they_expire(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with served(tmp_path, clock) as client:
            assert await register(client, TABLES) == 0
            assert (await registered(client)).expiration_time == clock.now_ms() + 24 * HOUR_MS
        clock.advance(24 * HOUR_MS)
        async with served(tmp_path, clock, ttl="2 h") as client:
            assert list((await registered(client)).table_offsets) == TABLES
            clock.advance(1)
            assert await registered(client) == pb.GetProducerOffsetsResponse()
            assert await register(client, TABLES[:1]) == 0
            found = await registered(client)
            assert found.expiration_time == clock.now_ms() + 2 * HOUR_MS
            assert list(found.table_offsets) == TABLES[:1]
            clock.advance(2 * HOUR_MS + 1)
            assert await register(client, TABLES[1:], ttl_ms=5) == 0
            assert (await registered(client)).expiration_time == clock.now_ms() + 5

    asyncio.run(run())
