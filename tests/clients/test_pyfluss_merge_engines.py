"""The unmodified ``pyfluss`` on tables with merge engines.

pyfluss cannot declare aggregation functions and cannot overwrite; the tests do that by RPC, and leave everything else
to pyfluss.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import fluss
import pyarrow as pa
import pytest
from pyroaring import BitMap

from clients.pyfluss_support import connection, end_offsets, new_table, read_changes, replay
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat
from fluss_server.rpc.client import RpcClient
from table_rpc import leader_client

SIMPLE = pa.schema(
    [pa.field("id", pa.int64(), nullable=False), pa.field("name", pa.string()), pa.field("version", pa.int64())]
)


def options(engine: str, **others: str) -> dict[str, str]:
    names = {"column": "table.merge-engine.versioned.ver-column", "deletes": "table.delete.behavior"}
    return {"table.merge-engine": engine} | {names[key]: value for key, value in others.items()}


async def write(table: fluss.FlussTable, *rows: Mapping[str, Any], columns: list[str] | None = None) -> None:
    upsert = table.new_upsert()
    writer = (upsert.partial_update_by_name(columns) if columns else upsert).create_writer()
    handles = [writer.upsert(dict(row)) for row in rows]
    await writer.flush()
    for handle in handles:
        await handle.wait()


async def delete(table: fluss.FlussTable, key: int) -> None:
    writer = table.new_upsert().create_writer()
    handle = writer.delete({"id": key})
    await writer.flush()
    await handle.wait()


async def changelog(connected: fluss.FlussConnection, table: fluss.FlussTable) -> list[tuple[Any, ...]]:
    return [(kind, *row.values()) for _, _, kind, row in await read_changes(connected, table)]


async def code_of(coroutine: Any) -> int:
    with pytest.raises(fluss.FlussError) as caught:
        await coroutine
    return int(caught.value.error_code)


def test_first_row(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(
                connected, "first", SIMPLE, primary_keys=["id"], bucket_count=1, properties=options("first_row")
            )
            assert table.get_table_info().get_properties()["table.delete.behavior"] == "IGNORE"
            await write(table, {"id": 1, "name": "a", "version": 1}, {"id": 1, "name": "b", "version": 2})
            await write(table, {"id": 1, "name": "c", "version": 3})
            await delete(table, 1)
            await write(table, {"id": 2, "name": "d", "version": 4})
            assert await table.new_lookup().create_lookuper().lookup([1]) == {"id": 1, "name": "a", "version": 1}
            assert await changelog(connected, table) == [("+I", 1, "a", 1), ("+I", 2, "d", 4)]
            # Two batches without changes took an offset each, or the writers' sequences would have gaps.
            assert (await end_offsets(connected, table))[0] == 4
            invalid = int(ErrorCode.INVALID_TARGET_COLUMN)
            assert await code_of(write(table, {"id": 1, "name": "x"}, columns=["id", "name"])) == invalid

    asyncio.run(run())


def test_versioned(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(
                connected,
                "versioned",
                SIMPLE,
                primary_keys=["id"],
                bucket_count=1,
                properties=options("versioned", column="version", deletes="DISABLE"),
            )
            for name, version in [("a", 5), ("b", 4), ("c", None), ("d", 5), ("e", 6)]:
                await write(table, {"id": 1, "name": name, "version": version})
            assert await changelog(connected, table) == [
                ("+I", 1, "a", 5),
                ("-U", 1, "a", 5),
                ("+U", 1, "d", 5),
                ("-U", 1, "d", 5),
                ("+U", 1, "e", 6),
            ]
            assert await code_of(delete(table, 1)) == int(ErrorCode.DELETION_DISABLED_EXCEPTION)
            assert await table.new_lookup().create_lookuper().lookup([1]) == {"id": 1, "name": "e", "version": 6}

    asyncio.run(run())


COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "data_type": {"type": "BIGINT", "nullable": False}},
    {"name": "total", "data_type": {"type": "BIGINT"}, "agg_function": {"type": "sum"}},
    {"name": "best", "data_type": {"type": "DOUBLE"}, "agg_function": {"type": "max"}},
    {"name": "price", "data_type": {"type": "DECIMAL", "precision": 10, "scale": 2}, "agg_function": {"type": "min"}},
    {
        "name": "names",
        "data_type": {"type": "STRING"},
        "agg_function": {"type": "string_agg", "parameters": {"delimiter": "|"}},
    },
    {"name": "open", "data_type": {"type": "BOOLEAN"}, "agg_function": {"type": "bool_or"}},
    {"name": "first", "data_type": {"type": "STRING"}, "agg_function": {"type": "first_value"}},
    {"name": "seen", "data_type": {"type": "BYTES"}, "agg_function": {"type": "rbm32"}},
    {"name": "last", "data_type": {"type": "STRING"}},
]
SCHEMA_JSON = {"version": 1, "columns": COLUMNS, "primary_key": ["id"]}
NAMES = [column["name"] for column in COLUMNS]


async def aggregating_table(connected: fluss.FlussConnection, port: int, name: str, **others: str) -> fluss.FlussTable:
    document = {
        "version": 1,
        "schema": SCHEMA_JSON,
        "partition_key": [],
        "bucket_key": ["id"],
        "bucket_count": 1,
        "properties": options("aggregation", **others),
        "custom_properties": {},
    }
    async with await RpcClient.connect("127.0.0.1", port) as client:
        request = pb.CreateTableRequest(table_json=json.dumps(document).encode(), ignore_if_exists=False)
        request.table_path.database_name, request.table_path.table_name = "fluss", name
        await client.call(ApiKey.CREATE_TABLE, request)
    return await connected.get_table(fluss.TablePath("fluss", name))


def test_aggregation(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await aggregating_table(connected, fluss_cluster.port, "aggregated")
            rows: list[tuple[Any, ...]] = [
                (1, 5, 0.5, "10.50", "a", False, "x", [1, 2], "p"),
                (1, 7, None, "9.99", "b", None, "y", [2, 70_000], None),
                (1, None, 2.5, "11.00", None, True, None, [5], "q"),
            ]
            sent = [
                {**dict(zip(NAMES, row, strict=True)), "price": Decimal(row[3]), "seen": BitMap(row[7]).serialize()}
                for row in rows
            ]
            for row in sent:
                await write(table, row)
            found = await table.new_lookup().create_lookuper().lookup([1])
            assert found is not None
            seen = found.pop("seen")
            assert isinstance(seen, bytes)
            assert set(BitMap.deserialize(seen)) == {1, 2, 5, 70_000}
            assert {name: str(value) for name, value in found.items()} == {
                "id": "1",
                "total": "12",
                "best": "2.5",
                "price": "9.99",
                "names": "a|b",
                "open": "True",
                "first": "x",
                "last": "q",
            }
            changes = await read_changes(connected, table)
            assert [kind for _, _, kind, _ in changes] == ["+I", "-U", "+U", "-U", "+U"]
            assert [row["total"] for *_, row in changes] == [5, 5, 12, 12, 12]
            assert replay(changes, "id")[1]["names"] == "a|b"

    asyncio.run(run())


def test_partial_aggregation_and_deletes(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await aggregating_table(connected, fluss_cluster.port, "partly", deletes="ALLOW")
            await write(table, {"id": 1, "total": 5}, columns=["id", "total"])
            await write(table, {"id": 1, "names": "a"}, columns=["id", "names"])
            await write(table, {"id": 1, "total": 6}, {"id": 1, "total": 7}, columns=["id", "total"])
            lookuper = table.new_lookup().create_lookuper()
            found = await lookuper.lookup([1])
            assert found is not None
            assert (found["total"], found["names"], found["last"]) == (18, "a", None)
            await delete(table, 1)
            assert await lookuper.lookup([1]) is None
            await write(table, {"id": 1, "total": 1}, columns=["id", "total"])
            changes = await read_changes(connected, table)
            assert [(kind, row["total"]) for _, _, kind, row in changes][-2:] == [("-D", 18), ("+I", 1)]

    asyncio.run(run())


def test_many_small_sums_of_a_few_writers(fluss_cluster: Any) -> None:
    """Nothing is added twice or lost while batches of several writers are merged."""

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await aggregating_table(connected, fluss_cluster.port, "sums")

            async def add(writer_number: int) -> None:
                writer = table.new_upsert().partial_update_by_name(["id", "total"]).create_writer()
                for n in range(5_000):
                    writer.upsert({"id": n % 10, "total": writer_number})
                await writer.flush()

            await asyncio.gather(*(add(number) for number in (1, 10, 100)))
            state = replay(await read_changes(connected, table), "id")
            assert {key: row["total"] for key, row in state.items()} == dict.fromkeys(range(10), 500 * 111)

    asyncio.run(run())


def test_overwriting_undoes_what_was_aggregated(fluss_cluster: Any) -> None:
    """What the Flink sink does after a failure: it puts rows back as they were, and deletes those that were not."""

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await aggregating_table(connected, fluss_cluster.port, "undone")
            await write(table, {"id": 1, "total": 5}, columns=["id", "total"])
            await write(table, {"id": 1, "total": 9}, {"id": 2, "total": 1}, columns=["id", "total"])
            types = Schema.from_json(SCHEMA_JSON).types
            keys, rows = key_encoder(types[:1]), row_codec(types, KvFormat.COMPACTED)
            batch = build_kv_batch(1, [(keys.encode([1]), rows.encode((1, 5, *[None] * 7))), (keys.encode([2]), None)])
            async with leader_client(fluss_cluster.bootstrap_servers, "undone") as client:
                table_id = table.get_table_info().table_id
                request = pb.PutKvRequest(table_id=table_id, acks=-1, timeout_ms=10_000, agg_mode=1)
                request.buckets_req.add(bucket_id=0, records=batch)
                response = (await client.call(ApiKey.PUT_KV, request)).buckets_resp[0]
                assert not response.HasField("error_code"), response.error_message
                request.agg_mode = 7
                response = (await client.call(ApiKey.PUT_KV, request)).buckets_resp[0]
                assert response.error_code == ErrorCode.UNSUPPORTED_VERSION
            changes = await read_changes(connected, table)
            assert [(kind, row["id"], row["total"]) for _, _, kind, row in changes] == [
                ("+I", 1, 5),
                ("-U", 1, 5),
                ("+U", 1, 14),
                ("+I", 2, 1),
                ("-U", 1, 14),
                ("+U", 1, 5),
                ("-D", 2, 1),
            ]
            await write(table, {"id": 1, "total": 1}, columns=["id", "total"])
            found = await table.new_lookup().create_lookuper().lookup([1])
            assert found is not None
            assert found["total"] == 6

    asyncio.run(run())


def test_tables_that_cannot_be(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:

            async def create(properties: dict[str, str]) -> None:
                await new_table(connected, "refused", SIMPLE, primary_keys=["id"], properties=properties)

            for properties in (
                options("first_row", deletes="ALLOW"),
                options("versioned"),
                options("versioned", column="name"),
                {**options("aggregation"), "table.changelog.image": "WAL"},
                options("upsert"),
            ):
                assert await code_of(create(properties)) == int(ErrorCode.INVALID_CONFIG_EXCEPTION)

    asyncio.run(run())
