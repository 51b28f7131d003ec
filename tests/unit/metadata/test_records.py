"""Paths and values of nodes against what the official servers write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.records import (
    PARTITION_ID_COUNTER,
    TABLE_ID_COUNTER,
    WRITER_ID_COUNTER,
    AssignmentRecord,
    DatabaseRecord,
    LeaderAndIsrRecord,
    PartitionAssignmentRecord,
    PartitionRecord,
    TableRecord,
    database_path,
    decode_counter,
    decode_schema,
    encode_counter,
    leader_and_isr_path,
    partition_assignment_path,
    partition_path,
    schema_path,
    table_assignment_path,
    table_path,
)
from fluss_server.model.identifiers import TablePath

VECTORS = Path(__file__).parents[2] / "vectors"
NODES = json.loads((VECTORS / "zookeeper.json").read_text())["nodes"]
T1 = TablePath("mydb", "t1")

Decoder = Callable[[str, bytes], Any]
RECORDS: dict[str, tuple[str, Decoder]] = {
    "DatabaseZNode": (database_path("mydb"), DatabaseRecord.decode),
    "TableZNode": (table_path(T1), TableRecord.decode),
    "TableZNode (log table without keys or comment)": (table_path(T1), TableRecord.decode),
    "TableIdZNode": (table_assignment_path(7), AssignmentRecord.decode),
    "PartitionZNode": (partition_path(T1, "2024-01-01"), PartitionRecord.decode),
    "PartitionIdZNode": (partition_assignment_path(31), PartitionAssignmentRecord.decode),
    "LeaderAndIsrZNode (partition bucket)": (leader_and_isr_path(8, 0, 31), LeaderAndIsrRecord.decode),
    "LeaderAndIsrZNode": (leader_and_isr_path(7, 2), LeaderAndIsrRecord.decode),
}


def payload(name: str) -> tuple[str, str]:
    (node,) = (node for node in NODES if node["node"] == name)
    return node["path"], node["payload_text"]


@pytest.mark.parametrize("name", RECORDS)
def test_both_ways(name: str) -> None:
    path, text = payload(name)
    expected_path, decode = RECORDS[name]
    assert path == expected_path
    record = decode(path, text.encode())
    assert record.encode().decode() == text
    assert decode(path, record.encode()) == record


def test_schema_node() -> None:
    path, text = payload("SchemaZNode")
    assert path == schema_path(T1, 1)
    assert decode_schema(path, text.encode()).to_json_bytes().decode() == text


def test_counter_paths() -> None:
    assert payload("TableSequenceIdZNode (counter)")[0] == TABLE_ID_COUNTER
    assert payload("PartitionSequenceIdZNode (counter)")[0] == PARTITION_ID_COUNTER
    assert payload("WriterIdZNode (counter)")[0] == WRITER_ID_COUNTER


def test_counter() -> None:
    assert encode_counter(0) == bytes(8)
    assert encode_counter(258) == b"\0\0\0\0\0\0\1\2"
    assert decode_counter("/c", encode_counter(2**63 - 1)) == 2**63 - 1


@pytest.mark.parametrize("value", [b"", b"127.0.0.1", bytes(7), bytes(9), b"\xff" * 8])
def test_bad_counter(value: bytes) -> None:
    with pytest.raises(FlussError, match="/c"):
        decode_counter("/c", value)


def test_a_table_record_is_a_table_info_without_its_schema() -> None:
    path, text = payload("TableZNode")
    record = TableRecord.decode(path, text.encode())
    schema = decode_schema("/s", payload("SchemaZNode")[1].encode())
    table = record.table_info(T1, 4, schema)
    assert (table.table_id, table.schema_id, table.schema) == (7, 4, schema)
    assert table.descriptor.bucket_key == ("id",)
    assert TableRecord.of(table) == record


def test_newer_fields() -> None:
    path, text = payload("TableZNode")
    newer = text[:-1] + ',"remote_data_dir":"s3://b","something":1}'
    record = TableRecord.decode(path, newer.encode())
    assert record.remote_data_dir == "s3://b"
    assert json.loads(record.encode())["remote_data_dir"] == "s3://b"
    partition = PartitionRecord.decode("/p", b'{"version":1,"table_id":7,"partition_id":31,"remote_data_dir":"s3://b"}')
    assert partition == PartitionRecord(7, 31, "s3://b")
    assert json.loads(partition.encode())["remote_data_dir"] == "s3://b"
    leader = LeaderAndIsrRecord(1, 2, (1, 2), 0, 0, standby_replicas=(2,))
    assert json.loads(leader.encode())["version"] == 2
    assert LeaderAndIsrRecord.decode("/l", leader.encode()) == leader


@pytest.mark.parametrize("decode", [*(decode for _, decode in RECORDS.values()), decode_schema])
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"127.0.0.1",
        b"[]",
        b"{}",
        b'{"created_time":true,"modified_time":0}',
        b'{"table_id":"1"}',
        b'{"buckets":{"x":[]}}',
        b'{"buckets":{"0":["1"]}}',
        b'{"leader":0,"leader_epoch":0,"isr":3}',
        b'{"comment":7,"created_time":0,"modified_time":0,"table_id":1}',
        b'{"table_id":1,"partition_key":[1]}',
        b'{"table_id":1,"bucket_count":1,"properties":[]}',
    ],
)
def test_unreadable_nodes_name_their_path(decode: Decoder, value: bytes) -> None:
    with pytest.raises(FlussError, match="/some/node") as caught:
        decode("/some/node", value)
    assert caught.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
