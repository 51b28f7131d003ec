"""What a server knows of its cluster after updates, in every order that a coordinator sends them in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fluss_server.cluster.messages import (
    BucketMetadata,
    IdBounds,
    PartitionMetadata,
    ServerNode,
    TableMetadata,
    UpdateMetadata,
)
from fluss_server.cluster.metadata_cache import MetadataCache
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import TableDescriptor, TableInfo

PATH = TablePath("d", "t")
LOG = TableDescriptor.from_json(
    {"schema": {"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]}, "bucket_count": 1}
)
PARTITIONED = TableDescriptor.from_json(
    {
        "schema": {"columns": [{"name": name, "data_type": {"type": "STRING"}} for name in "ap"]},
        "partition_key": ["p"],
        "bucket_count": 1,
    }
)
T = TableInfo(PATH, 4, 1, LOG, 0, 0)
P = TableInfo(TablePath("d", "p"), 5, 1, PARTITIONED, 0, 0)
PART = PartitionInfo(5, 8, "x")
BUCKETS = (BucketMetadata(0, 1, (1,), 0),)


def cache(*updates: UpdateMetadata) -> MetadataCache:
    found = MetadataCache()
    for update in updates:
        found.apply(update)
    return found


def test_a_table_is_seen_when_it_has_buckets() -> None:
    known = cache(UpdateMetadata(0, tables=(TableMetadata(T),)))
    assert known.table(4) is T
    assert known.table_path(4) == PATH
    assert known.schema(4, 1) == T.schema
    assert known.find_table(PATH) is None
    known.apply(UpdateMetadata(0, tables=(TableMetadata(T, BUCKETS),)))
    assert known.find_table(PATH) is T
    assert known.buckets(4, None) == BUCKETS


def test_partitions() -> None:
    known = cache(
        UpdateMetadata(0, tables=(TableMetadata(P),)), UpdateMetadata(0, partitions=(PartitionMetadata(PART),))
    )
    assert known.find_table(P.path) is P
    assert known.partition(8) == PART
    assert known.find_partition(5, "x") is None
    known.apply(UpdateMetadata(0, partitions=(PartitionMetadata(PART, BUCKETS),)))
    assert known.find_partition(5, "x") == PART
    assert known.buckets(5, 8) == BUCKETS
    known.apply(UpdateMetadata(0, dropped_partitions=(8, 99)))
    assert (known.partition(8), known.find_partition(5, "x")) == (None, None)
    assert known.buckets(5, 8) == ()


def test_a_dropped_table_goes_with_everything() -> None:
    known = cache(
        UpdateMetadata(
            0, tables=(TableMetadata(T, BUCKETS), TableMetadata(P)), partitions=(PartitionMetadata(PART, BUCKETS),)
        ),
        UpdateMetadata(0, dropped_tables=(4, 5, 6)),
    )
    assert known.tables() == []
    assert (known.find_table(PATH), known.find_table(P.path), known.partition(8)) == (None, None, None)
    with pytest.raises(FlussError) as caught:
        known.schema(4, 1)
    assert caught.value.code is ErrorCode.SCHEMA_NOT_EXIST


def test_a_name_that_is_used_again_is_not_lost_with_its_first_table() -> None:
    second = replace(T, table_id=7)
    known = cache(
        UpdateMetadata(0, tables=(TableMetadata(T, BUCKETS),)),
        UpdateMetadata(0, tables=(TableMetadata(second, BUCKETS),)),
        UpdateMetadata(0, dropped_tables=(4,)),
    )
    assert known.find_table(PATH) == second


def test_a_snapshot_is_everything() -> None:
    known = cache(
        UpdateMetadata(
            0,
            tablet_servers=(ServerNode(1), ServerNode(2)),
            tables=(TableMetadata(T, BUCKETS), TableMetadata(P)),
            partitions=(PartitionMetadata(PART, BUCKETS),),
        ),
        UpdateMetadata(1, ServerNode(9), (ServerNode(2),), (TableMetadata(P),), snapshot=IdBounds(9, 9)),
    )
    assert known.tables() == [P]
    assert known.partition(8) is None
    assert list(known.servers) == [2]
    assert known.coordinator == ServerNode(9)


def test_servers_stay_when_an_update_says_nothing_of_them() -> None:
    known = cache(UpdateMetadata(0, ServerNode(9), (ServerNode(1),)), UpdateMetadata(0))
    assert (list(known.servers), known.coordinator) == ([1], ServerNode(9))


def test_an_older_coordinator_changes_nothing() -> None:
    known = cache(UpdateMetadata(3, tables=(TableMetadata(T, BUCKETS),)))
    with pytest.raises(FlussError) as caught:
        known.apply(UpdateMetadata(2, dropped_tables=(4,)))
    assert caught.value.code is ErrorCode.INVALID_COORDINATOR_EXCEPTION
    assert known.find_table(PATH) is T
    known.apply(UpdateMetadata(3, dropped_tables=(4,)))
    assert known.find_table(PATH) is None


def test_schemas_may_come_ahead_of_the_definition() -> None:
    known = cache(UpdateMetadata(0, tables=(TableMetadata(T, BUCKETS),)))
    update = UpdateMetadata(
        0, tables=(TableMetadata(replace(T, schema_id=3), BUCKETS, ((1, LOG.schema), (2, LOG.schema))),)
    )
    known.learn_schemas(update)
    assert [known.schema(4, number) for number in (1, 2, 3)] == [LOG.schema] * 3
    assert known.find_table(PATH) is T
    known.learn_schemas(UpdateMetadata(0, tables=(TableMetadata(P),)))
    assert known.table(5) is None
