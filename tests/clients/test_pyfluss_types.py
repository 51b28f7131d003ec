"""Values of all types between ``pyfluss`` and our own encoders, through a real server: random schemas, both ways."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import fluss
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import format_strategies as strategies
from clients.pyfluss_support import connection
from example_support import examples
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.formats.arrow_batch import decode_batch, encode_payload
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.arrow_values import from_arrow, to_arrow
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.log_batch import build_batch, iter_batches
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.value_batch import SCHEMA_ID_SIZE
from fluss_server.model.schema import Column, Schema
from fluss_server.model.table import ArrowCompression, KvFormat
from fluss_server.model.types import MAX_COMPACT_DECIMAL_PRECISION, DataType, TypeRoot
from fluss_server.rpc.client import RpcClient
from table_rpc import create_table, fetch, leader_client, produce, put, rpc_client

Rows = list[tuple[Any, ...]]
LIMIT_S = 20.0
NUMBERS = itertools.count()
LIVE = settings(max_examples=examples(8), suppress_health_check=list(HealthCheck))


def record_batch(schema: Schema, rows: Rows) -> pa.RecordBatch:
    columns = [to_arrow([row[index] for row in rows], kind) for index, kind in enumerate(schema.types)]
    return pa.RecordBatch.from_arrays(columns, schema=arrow_schema(schema))


def values(schema: Schema, batch: pa.RecordBatch) -> Rows:
    columns = [from_arrow(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
    return list(zip(*columns, strict=True))


async def log_table(servers: str, schema: Schema, rows: Rows) -> None:
    """We append, pyfluss reads; pyfluss appends what it read, we read."""
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(rpc_client(servers))
        connected = await opened.enter_async_context(connection(servers))
        name = f"types_{next(NUMBERS)}"
        table_id = await create_table(client, name, schema)
        leader = await opened.enter_async_context(leader_client(servers, name))
        payload = encode_payload(record_batch(schema, rows), ArrowCompression.ZSTD)
        data = bytes(build_batch(1, change_types=None, payload=payload, record_count=len(rows)))
        response = await produce(leader, table_id, data)
        assert not response.HasField("error_code"), response.error_message

        table = await connected.get_table(fluss.TablePath("fluss", name))
        scanner = await table.new_scan().create_record_batch_log_scanner()
        scanner.subscribe_buckets({0: fluss.EARLIEST_OFFSET})
        (seen,) = (await scanner.to_arrow()).to_batches()
        assert values(schema, seen) == rows
        writer = table.new_append().create_writer()
        writer.write_arrow_batch(seen)
        await writer.flush()

        written = (await fetch(leader, table_id, offset=len(rows))).records
        ((_, header),) = iter_batches(written)
        assert values(schema, decode_batch(written, header, arrow_schema(schema))[1]) == rows


def test_log_tables(fluss_cluster: Any) -> None:
    @LIVE
    @given(strategies.tables())
    def check(case: tuple[Schema, Rows]) -> None:
        asyncio.run(asyncio.wait_for(log_table(fluss_cluster.bootstrap_servers, *case), LIMIT_S))

    check()


def friendly(data_type: DataType, *, in_map: bool = False) -> DataType:
    """The type without what Python's times cannot hold, and without what pyfluss 1.0.0 does wrong in rows.

    It fails on times before 1970 with microseconds and on maps of wide decimals as Java writes them, and panics on
    dates outside of Python's years.
    """
    root = TypeRoot.INTEGER if data_type.root is TypeRoot.DATE else data_type.root
    precision, scale = data_type.precision, data_type.scale
    if root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ):
        precision = min(precision, 3)
    elif root is TypeRoot.TIME:
        precision = min(precision, 6)
    elif root is TypeRoot.DECIMAL and in_map:
        precision = min(precision, MAX_COMPACT_DECIMAL_PRECISION)
        scale = min(scale, precision)
    in_map = in_map or root is TypeRoot.MAP
    return replace(
        data_type,
        root=root,
        precision=precision,
        scale=scale,
        element=None if data_type.element is None else friendly(data_type.element, in_map=in_map),
        key=None if data_type.key is None else friendly(data_type.key, in_map=in_map),
        fields=tuple(replace(field, type=friendly(field.type, in_map=in_map)) for field in data_type.fields),
    )


@st.composite
def keyed_tables(draw: st.DrawFn) -> tuple[Schema, Rows]:
    """A schema with an INT key, and rows with different keys."""
    types = draw(st.lists(strategies.data_types().map(friendly), min_size=1, max_size=6))
    key = Column("id", DataType(TypeRoot.INTEGER, nullable=False), 0)
    columns = [replace(column, column_id=column.column_id + 1) for column in strategies.schema_of_types(types).columns]
    rows = draw(st.lists(st.tuples(*map(strategies.values, types)), min_size=1, max_size=5))
    return Schema((key, *columns), ("id",)), [(number, *row) for number, row in enumerate(rows)]


async def our_rows(client: RpcClient, table_id: int, schema: Schema, keys: list[bytes]) -> Rows:
    """Rows with these keys, looked up and decoded by us."""
    request = pb.LookupRequest(table_id=table_id)
    request.buckets_req.add(bucket_id=0, keys=keys)
    (bucket,) = (await client.call(ApiKey.LOOKUP, request)).buckets_resp
    codec = row_codec(schema.types, KvFormat.COMPACTED)
    return [codec.decode(value.values[SCHEMA_ID_SIZE:]) for value in bucket.values]


async def primary_key_table(servers: str, schema: Schema, rows: Rows) -> None:
    """We put, pyfluss looks up; pyfluss upserts what it saw, we look up."""
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(rpc_client(servers))
        connected = await opened.enter_async_context(connection(servers))
        name = f"keyed_{next(NUMBERS)}"
        table_id = await create_table(client, name, schema)
        leader = await opened.enter_async_context(leader_client(servers, name))
        codec = row_codec(schema.types, KvFormat.COMPACTED)
        keys = [key_encoder(schema.types[:1]).encode(row[:1]) for row in rows]
        response = await put(
            leader, table_id, build_kv_batch(1, [(k, codec.encode(row)) for k, row in zip(keys, rows, strict=True)])
        )
        assert not response.HasField("error_code"), response.error_message

        table = await connected.get_table(fluss.TablePath("fluss", name))
        lookuper = table.new_lookup().create_lookuper()
        seen = [await lookuper.lookup({"id": row[0]}) for row in rows]
        await put(leader, table_id, build_kv_batch(1, [(key, None) for key in keys]))
        writer = table.new_upsert().create_writer()
        for row in seen:
            assert row is not None
            writer.upsert(row)
        await writer.flush()
        assert await our_rows(leader, table_id, schema, keys) == rows


def test_primary_key_tables(fluss_cluster: Any) -> None:
    @LIVE
    @given(keyed_tables())
    def check(case: tuple[Schema, Rows]) -> None:
        asyncio.run(asyncio.wait_for(primary_key_table(fluss_cluster.bootstrap_servers, *case), LIMIT_S))

    check()
