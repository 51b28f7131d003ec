"""Tables through single calls of our RpcClient, for tests that look at fields which other clients hide."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pyarrow as pa

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.formats.arrow_batch import encode_payload
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.log_batch import build_batch
from fluss_server.model.schema import Schema
from fluss_server.model.table import ArrowCompression
from fluss_server.rpc.client import RpcClient

MAX_BYTES = 16 << 20
COLUMNS = [
    {"name": "id", "data_type": {"type": "BIGINT", "nullable": False}, "id": 0},
    {"name": "v", "data_type": {"type": "STRING"}, "id": 1},
]


def table_path(table: str, database: str = "fluss") -> pb.PbTablePath:
    return pb.PbTablePath(database_name=database, table_name=table)


@asynccontextmanager
async def rpc_client(bootstrap_servers: str) -> AsyncIterator[RpcClient]:
    """A connection of our client."""
    host, port = bootstrap_servers.rsplit(":", 1)
    async with await RpcClient.connect(host, int(port)) as client:
        yield client


@asynccontextmanager
async def leader_client(bootstrap_servers: str, table: str, database: str = "fluss") -> AsyncIterator[RpcClient]:
    """A connection of our client to the server that leads the first bucket of a table; in one process it leads all."""
    request = pb.MetadataRequest(table_path=[table_path(table, database)])
    async with rpc_client(bootstrap_servers) as client:
        seen = await client.call(ApiKey.GET_METADATA, request)
    leader = seen.table_metadata[0].bucket_metadata[0].leader_id
    [node] = [node for node in seen.tablet_servers if node.node_id == leader]
    async with await RpcClient.connect(node.host, node.port) as client:
        yield client


def with_client(port: int, body: Callable[[RpcClient], Awaitable[None]]) -> None:
    """Run ``body`` with a connected client."""

    async def run() -> None:
        async with await RpcClient.connect("127.0.0.1", port) as client:
            await body(client)

    asyncio.run(run())


def descriptor(primary_key: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    """Document of a table with :data:`COLUMNS`."""
    schema = {"version": 1, "columns": COLUMNS, "highest_field_id": 1}
    if primary_key:
        schema["primary_key"] = primary_key
    return {
        "version": 1,
        "schema": schema,
        "partition_key": [],
        "bucket_key": primary_key or [],
        "bucket_count": 1,
        "properties": {},
        "custom_properties": {},
    } | changes


async def create_from(client: RpcClient, name: str, document: dict[str, Any] | bytes) -> int:
    """Create ``fluss.name`` from a table document and return its id."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    request = pb.CreateTableRequest(table_path=table_path(name), table_json=data, ignore_if_exists=False)
    await client.call(ApiKey.CREATE_TABLE, request)
    info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=table_path(name)))
    return int(info.table_id)


async def create_table(
    client: RpcClient,
    name: str,
    schema: Schema,
    *,
    buckets: int = 1,
    properties: dict[str, str] | None = None,
) -> int:
    """Create ``fluss.name`` and return its id."""
    key = list(schema.primary_key)
    document = descriptor(key, schema=schema.to_json(), bucket_count=buckets, properties=properties or {})
    return await create_from(client, name, document)


async def add_columns(bootstrap_servers: str, table: str, columns: dict[str, Any]) -> None:
    """ALTER TABLE fluss.``table`` ADD columns, given as data type documents by name."""
    added = [
        pb.PbAddColumn(column_name=name, data_type_json=json.dumps(kind).encode(), column_position_type=0)
        for name, kind in columns.items()
    ]
    request = pb.AlterTableRequest(table_path=table_path(table), ignore_if_not_exists=False, add_columns=added)
    async with rpc_client(bootstrap_servers) as client:
        await client.call(ApiKey.ALTER_TABLE, request)


def arrow_log_batch(schema: Schema, columns: Sequence[Sequence[Any]], **header: Any) -> bytes:
    """A log batch of whole columns."""
    target = arrow_schema(schema)
    rows = pa.RecordBatch.from_arrays(
        [pa.array(values, field.type) for values, field in zip(columns, target, strict=True)], schema=target
    )
    payload = encode_payload(rows, ArrowCompression.NONE)
    return bytes(
        build_batch(
            header.pop("schema_id", 1), change_types=None, payload=payload, record_count=rows.num_rows, **header
        )
    )


def rows(first: int, count: int) -> pa.RecordBatch:
    """Rows ``first`` and following of such a table."""
    return pa.record_batch(
        {
            "id": pa.array(range(first, first + count), pa.int64()),
            "v": [f"v{value}" for value in range(first, first + count)],
        }
    )


def log_batch(first: int, count: int, *, schema_id: int = 1, record_batch: pa.RecordBatch | None = None) -> bytes:
    """A log batch of :func:`rows`, or of others."""
    payload = encode_payload(rows(first, count) if record_batch is None else record_batch, ArrowCompression.NONE, 0)
    return bytes(build_batch(schema_id, change_types=None, payload=payload, record_count=count))


async def produce(client: RpcClient, table_id: int, records: bytes, *, acks: int = -1, bucket: int = 0) -> Any:
    """Append and wait for the acknowledgement."""
    request = pb.ProduceLogRequest(acks=acks, table_id=table_id, timeout_ms=10_000)
    request.buckets_req.add(bucket_id=bucket, records=records)
    return (await client.call(ApiKey.PRODUCE_LOG, request)).buckets_resp[0]


async def put(
    client: RpcClient, table_id: int, records: bytes, *, bucket: int = 0, target_columns: Sequence[int] = ()
) -> Any:
    """Upsert and wait for the acknowledgement."""
    request = pb.PutKvRequest(acks=-1, table_id=table_id, timeout_ms=10_000, target_columns=target_columns)
    request.buckets_req.add(bucket_id=bucket, records=records)
    response: Any = await client.call(ApiKey.PUT_KV, request)
    return response.buckets_resp[0]


async def fetch(
    client: RpcClient,
    table_id: int,
    offset: int = 0,
    *,
    bucket: int = 0,
    fields: Sequence[int] | None = None,
    predicate: pb.PbPredicate | None = None,
    schema_id: int | None = 1,
    max_bytes: int = MAX_BYTES,
    bucket_bytes: int = MAX_BYTES,
    min_bytes: int | None = None,
    wait_ms: int | None = None,
) -> Any:
    """One fetch of one bucket."""
    request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=max_bytes)
    if min_bytes is not None:
        request.min_bytes = min_bytes
    if wait_ms is not None:
        request.max_wait_ms = wait_ms
    table = request.tables_req.add(table_id=table_id, projection_pushdown_enabled=fields is not None)
    table.projected_fields.extend(fields or ())
    if predicate is not None:
        table.filter_predicate.CopyFrom(predicate)
        if schema_id is not None:
            table.filter_schema_id = schema_id
    table.buckets_req.add(bucket_id=bucket, fetch_offset=offset, max_fetch_bytes=bucket_bytes)
    response: Any = await client.call(ApiKey.FETCH_LOG, request)
    return response.tables_resp[0].buckets_resp[0]


async def read(client: RpcClient, table_id: int, offset: int = 0) -> tuple[int, bytes]:
    """High watermark and records."""
    response = await fetch(client, table_id, offset)
    assert not response.HasField("error_code"), response
    return response.high_watermark, response.records


async def list_offsets(
    client: RpcClient, table_id: int, buckets: Sequence[int], kind: int, timestamp: int | None = None
) -> list[pb.PbListOffsetsRespForBucket]:
    """Offsets of buckets: kind 0 earliest, 1 latest, 2 timestamp, 3 leader end."""
    request = pb.ListOffsetsRequest(follower_server_id=-1, offset_type=kind, table_id=table_id, bucket_id=buckets)
    if timestamp is not None:
        request.startTimestamp = timestamp
    return list((await client.call(ApiKey.LIST_OFFSETS, request)).buckets_resp)


async def row_counts(client: RpcClient, table_id: int, buckets: Sequence[int]) -> list[pb.PbTableStatsRespForBucket]:
    """Row counts of buckets."""
    request = pb.GetTableStatsRequest(table_id=table_id)
    for bucket in buckets:
        request.buckets_req.add(bucket_id=bucket)
    return list((await client.call(ApiKey.GET_TABLE_STATS, request)).buckets_resp)
