"""A coordinator over ZooKeeper: the tree is the official one, tables of any size, starts, and who was deposed."""

from __future__ import annotations

import asyncio
import json

import pytest

from coordinator_support import running_over
from fluss_server.cluster.messages import NO_LEADER
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.catalog_reader import create_frame
from fluss_server.coordinator.events import ServerLeft
from fluss_server.coordinator.validation import TableSettings
from fluss_server.metadata.records import (
    PARTITION_ID_COUNTER,
    TABLE_ID_COUNTER,
    LeaderAndIsrRecord,
    encode_counter,
    leader_and_isr_path,
)
from fluss_server.metadata.store import Create, Set, StoreOperation, parent_of
from fluss_server.metadata.zookeeper.store import ZooKeeperMetadataStore
from fluss_server.model.identifiers import TablePath
from fluss_server.model.schema import Schema
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor
from fluss_server.runtime import system_runtime
from fluss_server.runtime.clock import ManualClock
from metadata_contract import everything
from official_tree import Tree, raw_tree, vector
from zookeeper_support import ZooKeeperServer

pytestmark = pytest.mark.java

T1 = TablePath("mydb", "t1")


async def connect(zookeeper: ZooKeeperServer, root: str) -> ZooKeeperMetadataStore:
    return await ZooKeeperMetadataStore.connect(zookeeper.settings(root, 20.0), system_runtime())


async def manager_with_ids(
    zookeeper: ZooKeeperServer, root: str, clock: ManualClock, table_id: int, partition_id: int = 0
) -> tuple[ZooKeeperMetadataStore, MetadataManager]:
    """A manager over an empty tree whose next ids are given."""
    store = await connect(zookeeper, root)
    await create_frame(store)
    await store.commit([Set(TABLE_ID_COUNTER, encode_counter(table_id))])
    await store.commit([Set(PARTITION_ID_COUNTER, encode_counter(partition_id))])
    manager = MetadataManager(store, clock)
    await manager.load()
    return store, manager


def table_of(kind: str, schema: Schema) -> TableDescriptor:
    """The descriptor in the node of a table."""
    document = json.loads(vector(kind)[1])
    return TableDescriptor(
        schema,
        document.get("comment"),
        tuple(document.get("partition_key", ())),
        tuple(document.get("bucket_key", ())),
        document["bucket_count"],
        document["properties"],
        document["custom_properties"],
    )


def records(*entries: tuple[str, LeaderAndIsrRecord]) -> list[StoreOperation]:
    """Leaders of buckets, as the coordinator creates them."""
    operations: list[StoreOperation] = []
    for path, record in entries:
        operations += [Create(parent_of(parent_of(path))), Create(parent_of(path)), Create(path, record.encode())]
    return operations


SCHEMA = Schema.from_json(json.loads(vector("SchemaZNode")[1]))


def test_databases_tables_and_partitions_are_the_official_nodes(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario(tree: Tree) -> None:
        clock = ManualClock(1_700_000_000_000)
        store, manager = await manager_with_ids(zookeeper, root, clock, 7, 31)
        empty = tree.paths()
        await manager.create_database("mydb", DatabaseDescriptor("c", {"k": "another"}))
        table = await manager.prepare_table(T1, table_of("TableZNode", SCHEMA))
        await manager.add_table(table, [])
        manager.show_table(table)
        assert "/tabletservers/tables/7" not in tree.paths(), "only its partitions have assignments"
        partition = await manager.prepare_partition(table, "2024-01-01")
        await manager.add_partition(table, partition, [(2, 1), (0, 1)])
        manager.show_partition(partition)
        clock.advance(1)
        await manager.alter_database("mydb", DatabaseDescriptor("c", {"k": "v"}))
        for kind in ("DatabaseZNode", "TableZNode", "SchemaZNode", "PartitionZNode"):
            tree.expect(kind)
        assert tree.value("/metadata/table_seqid") == bytes([0, 0, 0, 0, 0, 0, 0, 8])
        assert tree.value("/metadata/partition_seqid") == bytes([0, 0, 0, 0, 0, 0, 0, 32])
        assert await manager.reserve_writer_ids(300) == 0
        assert tree.value("/metadata/writer_id") == bytes([0, 0, 0, 0, 0, 0, 1, 44])
        await manager.drop_partition(table, partition)
        await manager.drop_table(T1)
        await manager.drop_database("mydb", cascade=False)
        assert tree.paths() == empty
        await store.close()

    with raw_tree(zookeeper, root) as tree:
        asyncio.run(scenario(tree))


def test_assignments_and_leaders_are_the_official_nodes(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario(tree: Tree) -> None:
        clock = ManualClock(1_700_000_000_000)
        store, manager = await manager_with_ids(zookeeper, root, clock, 7, 31)
        await manager.create_database("mydb", DatabaseDescriptor())
        plain = TableDescriptor(SCHEMA, None, (), ("id",), 2, {}, {})
        seven = await manager.prepare_table(TablePath("mydb", "plain"), plain)
        leader = records((leader_and_isr_path(7, 2), LeaderAndIsrRecord(1, 5, (1, 2), 3, 9)))
        await manager.add_table(seven, [(0, 1, 2), (1, 2, 0)], leader)
        manager.show_table(seven)
        eight = await manager.prepare_table(TablePath("mydb", "parts"), table_of("TableZNode", SCHEMA))
        await manager.add_table(eight, [])
        manager.show_table(eight)
        partition = await manager.prepare_partition(eight, "2024-01-01")
        leader = records((leader_and_isr_path(8, 0, 31), LeaderAndIsrRecord(-1, 6, (1,), 3, 10)))
        await manager.add_partition(eight, partition, [(2, 1), (0, 1)], leader)
        manager.show_partition(partition)
        log_schema = Schema.from_json(
            {"version": 1, "columns": [{"name": "a", "data_type": {"type": "INTEGER"}, "id": 0}], "highest_field_id": 0}
        )
        kind = "TableZNode (log table without keys or comment)"
        nine = await manager.prepare_table(T1, table_of(kind, log_schema))
        await manager.add_table(nine, [(0,)])
        for each in (
            "TableIdZNode",
            "LeaderAndIsrZNode",
            "PartitionIdZNode",
            "LeaderAndIsrZNode (partition bucket)",
            kind,
        ):
            tree.expect(each)
        await store.close()

    with raw_tree(zookeeper, root) as tree:
        asyncio.run(scenario(tree))


def descriptor(buckets: int) -> TableDescriptor:
    columns = [{"name": "a", "data_type": {"type": "INTEGER"}}]
    return TableDescriptor.from_json({"schema": {"columns": columns}, "bucket_count": buckets})


def test_a_table_of_4096_buckets_is_created_read_and_dropped(zookeeper: ZooKeeperServer, root: str) -> None:
    """Thousands of operations: eight commits and more."""
    buckets = 4096
    large, small = TablePath("fluss", "large"), TablePath("fluss", "small")

    async def create(empty: list[set[str]]) -> None:
        async with running_over(await connect(zookeeper, root), settings=TableSettings()) as parts:
            empty.append(set(await everything(parts.store)))
            await parts.ddl.create_table(large, descriptor(buckets), ignore_if_exists=False)
            await parts.ddl.create_table(small, descriptor(2), ignore_if_exists=False)
            assert len(parts.server.hosted) == buckets + 2

    async def read_and_drop(empty: set[str]) -> None:
        async with running_over(await connect(zookeeper, root)) as parts:
            table = parts.manager.table(large)
            assert table.bucket_count == buckets
            states = parts.controller.queue.state.buckets
            assert len(states) == buckets + 2
            assert all(state.record is not None and state.record.leader == 3 for state in states.values())
            await parts.controller.queue.submit(ServerLeft(3))  # 4,098 records change: more than one commit, too
            for bucket, state in parts.controller.queue.state.buckets.items():
                node = await parts.store.get(leader_and_isr_path(bucket.table_id, bucket.bucket))
                assert node is not None
                assert node.version == 1
                assert state.record is not None
                assert state.record.leader == NO_LEADER
                assert node.value == state.record.encode()
            await parts.ddl.drop_table(large, ignore_if_not_exists=False)
            await parts.ddl.drop_table(small, ignore_if_not_exists=False)
            assert set(await everything(parts.store)) == empty

    empty: list[set[str]] = []
    asyncio.run(create(empty))
    asyncio.run(read_and_drop(empty[0]))
