"""LIST_OFFSETS and GET_TABLE_STATS: what clients start from, and what COUNT(*) is made of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from fluss_server.errors import ErrorCode
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.log_batch import iter_batches
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster
from kv_support import INT, STRING, encode_key, make_schema, make_table
from table_rpc import arrow_log_batch, create_table, fetch, list_offsets, produce, put, row_counts, with_client

KEYED = make_schema({"id": INT, "v": STRING}, ["id"])
PLAIN = Schema(KEYED.columns, (), highest_field_id=1)
EARLIEST, LATEST, TIMESTAMP, LEADER_END = range(4)


def kv_batch(upserts: list[tuple[int, str]], deletes: Sequence[int] = ()) -> bytes:
    codec, table = row_codec(KEYED.types, KvFormat.COMPACTED), make_table(KEYED)
    records: list[tuple[bytes, bytes | None]] = [(encode_key(table, row[:1]), codec.encode(row)) for row in upserts]
    return bytes(build_kv_batch(1, records + [(encode_key(table, [key]), None) for key in deletes]))


def test_offsets_of_a_log_table(fluss_cluster: LocalCluster) -> None:
    async def body(client: RpcClient) -> None:
        table_id = await create_table(client, "offsets", PLAIN, buckets=2)
        assert [entry.offset for entry in await list_offsets(client, table_id, [0, 1], LATEST)] == [0, 0]
        before = int(time.time() * 1000)
        for count in (3, 2):
            await produce(client, table_id, arrow_log_batch(PLAIN, [range(count), ["x"] * count]))
            await asyncio.sleep(0.002)  # so that the batches differ in their timestamps
        found = await list_offsets(client, table_id, [0, 1], EARLIEST)
        assert [(entry.bucket_id, entry.offset) for entry in found] == [(0, 0), (1, 0)]
        for kind in (LATEST, LEADER_END):
            assert [entry.offset for entry in await list_offsets(client, table_id, [0, 1], kind)] == [5, 0]

        async def at(timestamp: int) -> int:
            entry = (await list_offsets(client, table_id, [0], TIMESTAMP, timestamp))[0]
            assert not entry.HasField("error_code"), entry
            return entry.offset

        _, second = [header for _, header in iter_batches((await fetch(client, table_id)).records)]
        assert await at(0) == await at(before) == 0
        assert await at(second.commit_timestamp) == 3  # the start of the batch
        assert await at(second.commit_timestamp + 1) == 5  # newer than everything: the end
        future = (await list_offsets(client, table_id, [0], TIMESTAMP, before + 3_600_000))[0]
        assert future.error_code == ErrorCode.INVALID_TIMESTAMP_EXCEPTION
        without = (await list_offsets(client, table_id, [0], TIMESTAMP))[0]
        assert without.error_code == ErrorCode.INVALID_TIMESTAMP_EXCEPTION
        one, other = await list_offsets(client, table_id, [0, 7], LATEST)
        assert (one.offset, other.error_code) == (5, ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION)

    with_client(fluss_cluster.port, body)


def test_rows_of_a_log_table_are_counted_per_bucket(fluss_cluster: LocalCluster) -> None:
    async def body(client: RpcClient) -> None:
        table_id = await create_table(client, "counted", PLAIN, buckets=2)
        await produce(client, table_id, arrow_log_batch(PLAIN, [range(3), ["x"] * 3]))
        await produce(client, table_id, arrow_log_batch(PLAIN, [range(4), ["x"] * 4]), bucket=1)
        await produce(client, table_id, arrow_log_batch(PLAIN, [range(2), ["x"] * 2]))
        found = await row_counts(client, table_id, [0, 1])
        assert [(entry.bucket_id, entry.row_count) for entry in found] == [(0, 5), (1, 4)]
        assert (await row_counts(client, table_id, [2]))[0].error_code == ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION

    with_client(fluss_cluster.port, body)


def test_rows_of_a_primary_key_table_are_those_that_are_there(fluss_cluster: LocalCluster) -> None:
    async def body(client: RpcClient) -> None:
        table_id = await create_table(client, "keyed", KEYED)
        await put(client, table_id, kv_batch([(1, "a"), (2, "b"), (3, "c"), (1, "d")]))
        assert (await row_counts(client, table_id, [0]))[0].row_count == 3
        await put(client, table_id, kv_batch([(2, "e")], deletes=[3, 9]))
        assert (await row_counts(client, table_id, [0]))[0].row_count == 2

    with_client(fluss_cluster.port, body)


def test_a_changelog_of_new_images_does_not_tell_the_number_of_rows(fluss_cluster: LocalCluster) -> None:
    async def body(client: RpcClient) -> None:
        table_id = await create_table(client, "wal", KEYED, properties={"table.changelog.image": "WAL"})
        await put(client, table_id, kv_batch([(1, "a")]))
        assert (await row_counts(client, table_id, [0]))[0].error_code == ErrorCode.INVALID_TABLE_EXCEPTION

    with_client(fluss_cluster.port, body)
