"""Long updates of metadata travel in requests of bounded size, and arrive as they were."""

from __future__ import annotations

import pytest

from error_support import code_of
from fluss_server.cluster import control_codecs
from fluss_server.cluster.messages import (
    BucketMetadata,
    ControlStamp,
    IdBounds,
    PartitionMetadata,
    ServerNode,
    TableMetadata,
    UpdateMetadata,
)
from fluss_server.cluster.update_parts import MAX_PART_BYTES, SnapshotParts, cut
from fluss_server.errors import ErrorCode
from fluss_server.model.identifiers import TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import TableDescriptor, TableInfo

STAMP = ControlStamp("first", 7)


def descriptor(comment: str = "", buckets: int = 1) -> TableDescriptor:
    column = {"name": "a", "data_type": {"type": "INTEGER"}, "comment": comment}
    return TableDescriptor.from_json({"schema": {"columns": [column]}, "bucket_count": buckets})


def table(table_id: int, buckets: int = 1, comment: str = "", older: int = 0) -> TableMetadata:
    schema = descriptor(comment).schema
    return TableMetadata(
        TableInfo(TablePath("fluss", f"t{table_id}"), table_id, 1 + older, descriptor(comment, buckets), 5, 6),
        tuple(BucketMetadata(number, 1, (1, 2, 3), 4, 9, (1, 2, 3)) for number in range(buckets)),
        tuple((number + 1, schema) for number in range(older)),
    )


def snapshot(*tables: TableMetadata, partitions: int = 0) -> UpdateMetadata:
    return UpdateMetadata(
        3,
        ServerNode(0),
        (ServerNode(1), ServerNode(2)),
        tables,
        tuple(
            PartitionMetadata(PartitionInfo(tables[0].table.table_id, number, f"p{number}"), tables[0].buckets)
            for number in range(partitions)
        ),
        (),
        (),
        IdBounds(10_000, 20_000),
        STAMP,
    )


def encoded_size(update: UpdateMetadata) -> int:
    return len(control_codecs.encode_update_metadata(update).SerializeToString())


def sent(update: UpdateMetadata) -> UpdateMetadata:
    """As it arrives."""
    message = control_codecs.encode_update_metadata(update)
    return control_codecs.decode_update_metadata(type(message).FromString(message.SerializeToString()))


def test_a_short_update_is_not_cut() -> None:
    whole = snapshot(table(1), table(2))
    assert cut(whole) == [whole]


def test_a_snapshot_of_10_000_buckets_arrives_in_short_requests() -> None:
    whole = snapshot(
        *(table(number, buckets=4) for number in range(1_500)), table(1_500, buckets=3_000), partitions=250
    )
    buckets = [entry.buckets for entry in whole.tables] + [entry.buckets for entry in whole.partitions]
    assert sum(map(len, buckets)) == 10_000
    parts = cut(whole)
    assert len(parts) > 3
    assert max(map(encoded_size, parts)) <= MAX_PART_BYTES
    assert sum(map(encoded_size, parts)) < 1.1 * encoded_size(whole)
    collected = SnapshotParts()
    results = [collected.add(sent(part)) for part in parts]
    assert results[:-1] == [None] * (len(parts) - 1), "nothing is seen before the last part"
    assert results[-1] == whole


@pytest.mark.parametrize("buckets", [1, 4096])
def test_a_table_is_never_divided(buckets: int) -> None:
    whole = snapshot(*(table(number, buckets) for number in range(3)))
    parts = cut(whole, max_bytes=100)
    assert [[entry.table.table_id for entry in part.tables] for part in parts] == [[0], [1], [2]]
    assert all(len(entry.buckets) == buckets for part in parts for entry in part.tables)
    assert max(map(encoded_size, parts)) < 16 << 20


def test_older_schemas_of_one_table_travel_in_several_requests() -> None:
    long = table(5, comment="c" * 10_000, older=60)
    change = UpdateMetadata(3, tables=(long,), dropped_tables=(2,), stamp=STAMP)
    parts = cut(change)
    assert len(parts) > 2
    assert max(map(encoded_size, parts)) <= MAX_PART_BYTES + 20_000
    assert all(part.part is None and part.snapshot is None for part in parts), "each is a change by itself"
    assert [part.dropped_tables for part in parts] == [(2,), *[()] * (len(parts) - 1)]
    assert all(part.tables[0].table == long.table for part in parts)
    assert tuple(schema for part in parts for schema in part.tables[0].older_schemas) == long.older_schemas
    collected = SnapshotParts()
    whole = snapshot(long)
    [*_, result] = [collected.add(sent(part)) for part in cut(whole)]
    assert result == whole


def test_parts_may_come_again_but_not_out_of_order() -> None:
    whole = snapshot(*(table(number) for number in range(4)))
    parts = cut(whole, max_bytes=100)
    collected = SnapshotParts()
    assert code_of(lambda: collected.add(parts[1])) is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
    for part in parts[:-1]:
        assert collected.add(part) is None
        assert collected.add(part) is None
    assert code_of(lambda: SnapshotParts().add(parts[-1])) is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
    assert collected.add(parts[-1]) == whole
    assert collected.add(parts[-1]) == whole, "it was not applied"
    collected.applied()
    assert [collected.add(part) for part in parts] == [None] * 4, "a repetition changes nothing"


def test_parts_of_another_snapshot_do_not_mix() -> None:
    first, second = snapshot(table(1), table(2)), snapshot(table(1), table(3))._replace(stamp=ControlStamp("first", 8))
    collected = SnapshotParts()
    collected.add(cut(first, 100)[0])
    assert code_of(lambda: collected.add(cut(second, 100)[1])) is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
    assert collected.add(cut(second, 100)[0]) is None
    assert collected.add(cut(second, 100)[1]) == second
