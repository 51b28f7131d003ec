"""Tables with the log formats INDEXED and COMPACTED on a real server; pyfluss does not know them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import vectors_loader as vectors
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.log_batch import build_batch, iter_batches
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.row_log import decode_row_batch, encode_row_payload
from fluss_server.formats.value_batch import encode_value
from fluss_server.model.table import KvFormat
from fluss_server.model.types import DataType
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster
from table_rpc import add_columns, create_from, fetch, produce, put, rpc_client

COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "data_type": {"type": "INTEGER", "nullable": False}, "id": 0},
    {"name": "name", "data_type": {"type": "STRING"}, "id": 1},
    {
        "name": "tags",
        "data_type": {
            "type": "MAP",
            "key_type": {"type": "STRING", "nullable": False},
            "value_type": {"type": "ARRAY", "element_type": {"type": "INTEGER"}},
        },
        "id": 2,
    },
]
TYPES = tuple(DataType.from_json(column["data_type"]) for column in COLUMNS)
ROWS: list[tuple[Any, ...]] = [(1, "a", [("x", [1, None])]), (2, None, None), (-3, "ü", [])]
FORMATS = ["INDEXED", "COMPACTED"]


def descriptor(primary_key: list[str] | None = None, **properties: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"version": 1, "columns": COLUMNS, "highest_field_id": 2}
    if primary_key:
        schema["primary_key"] = primary_key
    options = {f"table.{key.replace('_', '.')}": value for key, value in properties.items()}
    return {"version": 1, "schema": schema, "bucket_key": primary_key or [], "bucket_count": 1, "properties": options}


def encode(row_format: str, rows: list[tuple[Any, ...]]) -> list[bytes]:
    codec = row_codec(TYPES, KvFormat(row_format))
    return [codec.encode(row) for row in rows]


def append_batch(row_format: str, rows: list[tuple[Any, ...]], schema_id: int = 1) -> bytes:
    payload = encode_row_payload(encode(row_format, rows))
    return bytes(build_batch(schema_id, change_types=None, payload=payload, record_count=len(rows)))


def records(data: bytes, row_format: str, types: tuple[DataType, ...] = TYPES) -> list[tuple[int, Any]]:
    """Change type and values of every record of some batches."""
    codec = row_codec(types, KvFormat(row_format))
    found = []
    for position, header in iter_batches(data):
        kinds, rows = decode_row_batch(data[position : position + header.size], header)
        found += [(kind, codec.decode(row)) for kind, row in zip(kinds, rows, strict=True)]
    return found


@pytest.mark.parametrize("row_format", FORMATS)
def test_a_log_table(fluss_cluster: LocalCluster, row_format: str) -> None:
    async def run() -> None:
        async with rpc_client(fluss_cluster.bootstrap_servers) as client:
            name = f"log_{row_format.lower()}"
            table_id = await create_from(client, name, descriptor(log_format=row_format))
            response = await produce(client, table_id, append_batch(row_format, ROWS))
            assert (response.HasField("error_code"), response.base_offset) == (False, 0)
            damaged = append_batch(row_format, ROWS)[:-1] + b"\xff\xff"
            assert (await produce(client, table_id, damaged)).error_code != 0
            other = FORMATS[1 - FORMATS.index(row_format)]
            refused = await produce(client, table_id, append_batch(other, [(300, "some text", [])]))
            assert refused.error_code == ErrorCode.INVALID_TABLE_EXCEPTION

            await add_columns(fluss_cluster.bootstrap_servers, name, {"more": {"type": "DOUBLE"}})
            assert (await produce(client, table_id, append_batch(row_format, ROWS[:1]))).base_offset == 3
            unknown = await produce(client, table_id, append_batch(row_format, ROWS[:1], schema_id=3))
            assert unknown.error_code == ErrorCode.SCHEMA_NOT_EXIST
            found = await fetch(client, table_id)
            assert (found.HasField("error_code"), found.high_watermark) == (False, 4)
            expected = [(0, row) for row in [*ROWS, ROWS[0]]]
            assert records(found.records, row_format) == expected
            projected = await fetch(client, table_id, fields=[0])
            assert projected.error_code == ErrorCode.INVALID_COLUMN_PROJECTION
            newest = await client.call(ApiKey.LIMIT_SCAN, pb.LimitScanRequest(table_id=table_id, bucket_id=0, limit=1))
            assert newest.is_log_table
            assert records(newest.records, row_format) == expected[3:]

    asyncio.run(run())


def test_official_batches(fluss_cluster: LocalCluster) -> None:
    """What a Java client appends comes back as it was, stamped."""
    cases = [
        case
        for case in vectors.load("log_rows_0_9_1")["cases"]
        if case["change_types"] is None and "0.9.1 layout" not in case["name"]
    ]
    assert len(cases) > 1

    async def run(client: RpcClient, number: int, case: dict[str, Any]) -> None:
        columns = [
            {"name": field["name"], "data_type": field["json"], "id": index}
            for index, field in enumerate(case["schema"])
        ]
        document = descriptor(log_format=case["log_format"])
        document["schema"] = {"version": 1, "columns": columns}
        data = bytes.fromhex(case["bytes"])
        ((_, header),) = iter_batches(data)
        table_id = await create_from(client, f"official_{number}", document)
        response = await produce(client, table_id, data)
        if header.schema_id != 1 or header.batch_sequence > 0:
            assert response.error_code in (ErrorCode.SCHEMA_NOT_EXIST, ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION)
            return
        assert not response.HasField("error_code"), response.error_message
        assert bytes((await fetch(client, table_id)).records)[header.header_size :] == data[header.header_size :]

    async def all_of_them() -> None:
        async with rpc_client(fluss_cluster.bootstrap_servers) as client:
            for number, case in enumerate(cases):
                await run(client, number, case)

    asyncio.run(all_of_them())


@pytest.mark.parametrize(
    ("kv_format", "log_format"),
    [("COMPACTED", "COMPACTED"), ("INDEXED", "INDEXED"), ("INDEXED", "COMPACTED")],
)
def test_the_changelog_of_a_primary_key_table(kv_format: str, log_format: str) -> None:
    keys = key_encoder(TYPES[:1])
    encoded = encode(kv_format, ROWS)

    async def write(client: RpcClient) -> int:
        table_id = await create_from(client, "pk", descriptor(["id"], kv_format=kv_format, log_format=log_format))
        upserts = [(keys.encode(row[:1]), data) for row, data in zip(ROWS, encoded, strict=True)]
        response = await put(client, table_id, build_kv_batch(1, upserts))
        assert not response.HasField("error_code"), response.error_message
        await put(client, table_id, build_kv_batch(1, [(keys.encode((1,)), encode(kv_format, [(1, "b", None)])[0])]))
        await put(client, table_id, build_kv_batch(1, [(keys.encode((2,)), None)]))
        bad = await put(client, table_id, build_kv_batch(1, [(keys.encode((7,)), encoded[0])]))
        assert bad.error_code == ErrorCode.INVALID_TABLE_EXCEPTION
        return table_id

    async def read(client: RpcClient, table_id: int) -> None:
        found = await fetch(client, table_id)
        assert records(found.records, log_format) == [
            *((1, row) for row in ROWS),
            (2, ROWS[0]),
            (3, (1, "b", None)),
            (4, ROWS[1]),
        ]
        request = pb.LookupRequest(table_id=table_id)
        request.buckets_req.add(bucket_id=0, keys=[keys.encode((key,)) for key in (1, 2, -3)])
        ((response,),) = [(await client.call(ApiKey.LOOKUP, request)).buckets_resp]
        values = [value.values if value.HasField("values") else None for value in response.values]
        assert values == [encode_value(1, encode(kv_format, [(1, "b", None)])[0]), None, encode_value(1, encoded[2])]

    async def once(cluster: LocalCluster, table_id: int | None) -> int:
        async with rpc_client(cluster.bootstrap_servers) as client:
            if table_id is None:
                table_id = await write(client)
            await read(client, table_id)
            return table_id

    with LocalCluster() as cluster:
        table_id = asyncio.run(once(cluster, None))
        cluster.kill()
        cluster.start()  # the store is built again from the changelog
        asyncio.run(once(cluster, table_id))
