"""Old log segments go while clients read and write; rows of primary-key tables stay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import fluss
import pyarrow as pa

from clients.pyfluss_support import connection, end_offsets, new_table, read_changes, replay
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster
from table_rpc import fetch, rpc_client, table_path

OPTIONS = {
    "log.segment.file-size": "4kb",
    "log.retention.check-interval": "50ms",
    "log.retention.roll-active-segment.enabled": "true",
}
SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("v", pa.string())])
SHORT = {"table.log.ttl": "200 ms"}


async def earliest(connected: fluss.FlussConnection, table: fluss.FlussTable) -> int:
    offsets = await connected.get_admin().list_offsets(table.get_table_path(), [0], fluss.OffsetSpec.earliest())
    return int(offsets[0])


async def wait_until(condition: Callable[[], Awaitable[bool]], deadline_s: float = 20.0) -> None:
    deadline = time.monotonic() + deadline_s
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_a_log_table_forgets_and_goes_on(tmp_path: Path) -> None:
    async def run(cluster: LocalCluster) -> None:
        async with connection(cluster.bootstrap_servers) as connected, rpc_client(cluster.bootstrap_servers) as client:
            kept = await new_table(connected, "kept", SCHEMA, bucket_count=1, properties={"table.log.ttl": "0 ms"})
            table = await new_table(connected, "t", SCHEMA, bucket_count=1, properties=SHORT)
            writers = [each.new_append().create_writer() for each in (kept, table)]
            for start in range(0, 1000, 100):
                for writer in writers:
                    for n in range(start, start + 100):
                        writer.append([n, f"value {n}"])
                    await writer.flush()

            async def all_gone() -> bool:
                return await earliest(connected, table) == 1000

            await wait_until(all_gone)
            assert await end_offsets(connected, table) == {0: 1000}
            table_id = table.get_table_info().table_id
            below = await fetch(client, table_id, 999)
            assert below.error_code == ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION
            at_end = await fetch(client, table_id, 1000)
            assert (at_end.error_code, at_end.log_start_offset, at_end.high_watermark) == (0, 1000, 1000)
            assert not at_end.HasField("error_code")
            writers[1].append([1000, "new"])
            await writers[1].flush()
            # It may be gone again before it is read; its offset is not.
            assert (await end_offsets(connected, table)) == {0: 1001}
            assert [row["id"] for *_, row in await read_changes(connected, kept)] == list(range(1000))
            assert await earliest(connected, kept) == 0

    with LocalCluster(tmp_path, options=OPTIONS) as cluster:
        asyncio.run(run(cluster))


def test_an_altered_time_to_live_counts_without_a_restart(tmp_path: Path) -> None:
    async def alter(client: RpcClient, ttl: str) -> None:
        request = pb.AlterTableRequest(table_path=table_path("t"), ignore_if_not_exists=False)
        request.config_changes.add(config_key="table.log.ttl", config_value=ttl, op_type=0)
        await client.call(ApiKey.ALTER_TABLE, request)

    async def run(cluster: LocalCluster) -> None:
        async with connection(cluster.bootstrap_servers) as connected, rpc_client(cluster.bootstrap_servers) as client:
            table = await new_table(connected, "t", SCHEMA, bucket_count=1)
            writer = table.new_append().create_writer()
            writer.append([1, "a"])
            await writer.flush()
            await alter(client, "1 ms")

            async def gone() -> bool:
                return await earliest(connected, table) == 1

            await wait_until(gone)
            await alter(client, "1 d")
            writer.append([2, "b"])
            await writer.flush()
            await asyncio.sleep(0.3)  # some checks
            assert [row["id"] for *_, row in await read_changes(connected, table)] == [2]

    with LocalCluster(tmp_path, options=OPTIONS) as cluster:
        asyncio.run(run(cluster))


def test_rows_of_a_primary_key_table_do_not_expire(tmp_path: Path) -> None:
    """Neither with the changelog, nor at a restart that cannot replay it from its beginning."""

    async def fill(cluster: LocalCluster) -> None:
        async with connection(cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "t", SCHEMA, primary_keys=["id"], bucket_count=1, properties=SHORT)
            writer = table.new_upsert().create_writer()
            for repetition in range(3):
                for n in range(300):
                    writer.upsert([n, f"{repetition}"])
                await writer.flush()
            end = (await end_offsets(connected, table))[0]

            async def all_gone() -> bool:
                return await earliest(connected, table) == end

            await wait_until(all_gone)
            await check(table, 300)
            for n in range(300, 310):
                writer.upsert([n, "2"])
            await writer.flush()

    async def check(table: fluss.FlussTable, count: int) -> None:
        lookuper = table.new_lookup().create_lookuper()
        for n in (0, 1, 150, count - 1):
            assert await lookuper.lookup({"id": n}) == {"id": n, "v": "2"}
        assert await lookuper.lookup({"id": count}) is None

    async def check_again(cluster: LocalCluster) -> None:
        async with connection(cluster.bootstrap_servers) as connected:
            table = await connected.get_table(fluss.TablePath("fluss", "t"))
            await check(table, 310)

    with LocalCluster(tmp_path, options=OPTIONS) as cluster:
        asyncio.run(fill(cluster))
        cluster.kill()
        cluster.start()
        asyncio.run(check_again(cluster))
        cluster.restart()
        asyncio.run(check_again(cluster))


def test_a_changelog_that_is_kept_is_complete(tmp_path: Path) -> None:
    async def run(cluster: LocalCluster) -> None:
        async with connection(cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "t", SCHEMA, primary_keys=["id"], bucket_count=1)
            writer = table.new_upsert().create_writer()
            for n in range(500):
                writer.upsert([n % 100, f"{n}"])
            await writer.flush()
            state = replay(await read_changes(connected, table), "id")
            assert {key: row["v"] for key, row in state.items()} == {n: f"{400 + n}" for n in range(100)}

    with LocalCluster(tmp_path, options=OPTIONS) as cluster:
        asyncio.run(run(cluster))
