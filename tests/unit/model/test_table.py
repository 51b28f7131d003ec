"""Descriptors of tables and databases against the golden vectors, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TablePath
from fluss_server.model.table import (
    ArrowCompression,
    DatabaseDescriptor,
    KvFormat,
    LogFormat,
    TableDescriptor,
    TableInfo,
)

VECTORS = Path(__file__).parents[2] / "vectors"
DOCUMENTS = json.loads((VECTORS / "metadata_json.json").read_text())
TABLES = DOCUMENTS["table_descriptors"]
DATABASES = DOCUMENTS["database_descriptors"]


@pytest.mark.parametrize("case", TABLES, ids=[case["name"] for case in TABLES])
def test_table_json_both_ways(case: dict[str, Any]) -> None:
    descriptor = TableDescriptor.from_json_bytes(case["json_text"].encode())
    assert list(descriptor.bucket_key) == case["bucket_keys"]
    assert descriptor.to_json_bytes().decode() == case["json_text"]
    assert TableDescriptor.from_json_bytes(descriptor.to_json_bytes()) == descriptor


@pytest.mark.parametrize("case", DATABASES, ids=[case["name"] for case in DATABASES])
def test_database_json_both_ways(case: dict[str, Any]) -> None:
    descriptor = DatabaseDescriptor.from_json_bytes(case["json_text"].encode())
    assert descriptor.to_json_bytes().decode() == case["json_text"]


def table(**changes: Any) -> dict[str, Any]:
    columns = [{"name": name, "data_type": {"type": "INTEGER"}} for name in ("a", "b", "c")]
    schema: dict[str, Any] = {"columns": columns}
    if "primary_key" in changes:
        schema["primary_key"] = changes.pop("primary_key")
    return {"schema": schema, "partition_key": [], "properties": {}, "custom_properties": {}, **changes}


def test_default_bucket_key_is_the_primary_key_minus_partition_columns() -> None:
    descriptor = TableDescriptor.from_json(table(primary_key=["a", "b"], partition_key=["b"]))
    assert descriptor.bucket_key == ("a",)


def test_options_of_a_table_info() -> None:
    descriptor = TableDescriptor.from_json(
        table(
            primary_key=["b", "a"],
            bucket_count=3,
            properties={"table.kv.format": "indexed", "table.log.arrow.compression.type": "lz4_frame"},
        )
    )
    info = TableInfo(TablePath("d", "t"), 7, 1, descriptor, 0, 0)
    assert info.physical_primary_key == ("b", "a")
    assert info.bucket_count == 3
    assert info.kv_format is KvFormat.INDEXED
    assert info.log_format is LogFormat.ARROW
    assert info.arrow_compression is ArrowCompression.LZ4_FRAME
    assert info.arrow_compression_level == 3
    assert info.has_primary_key
    assert not info.is_partitioned


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        table(schema=None),
        table(comment=1),
        table(bucket_count=0),
        table(bucket_count=True),
        table(bucket_count="1"),
        table(bucket_count=2**31),
        table(bucket_key="a"),
        table(bucket_key=["x"]),
        table(bucket_key=["a", "a"]),
        table(partition_key=["x"]),
        table(partition_key=[1]),
        table(properties=[]),
        table(properties={"table.log.ttl": 1}),
        table(custom_properties={"x": None}),
        table(bucket_key=["a"], partition_key=["a"]),
        table(primary_key=["a"], partition_key=["b"]),
        table(primary_key=["a"], partition_key=["a"]),
        table(primary_key=["a"], bucket_key=["b"]),
    ],
)
def test_refused(document: Any) -> None:
    with pytest.raises(FlussError) as caught:
        TableDescriptor.from_json(document)
    assert caught.value.code is ErrorCode.INVALID_TABLE_EXCEPTION


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"comment": 1}', b'{"custom_properties": {"a": 1}}'])
def test_bad_database_descriptor(data: bytes) -> None:
    with pytest.raises(FlussError) as caught:
        DatabaseDescriptor.from_json_bytes(data)
    assert caught.value.code is ErrorCode.INVALID_DATABASE_EXCEPTION
