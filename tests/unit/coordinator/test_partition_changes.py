"""Partitions in the metadata store, and in which order data and metadata of a partition come and go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from coordinator_support import RecordingTabletServer, opened, running
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.partitions import PartitionExecutor
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.records import partition_assignment_path, partition_path, partitions_path
from fluss_server.metadata.store import Create
from fluss_server.model.identifiers import DEFAULT_DATABASE, TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import TableDescriptor
from fluss_server.runtime import system_runtime
from fluss_server.runtime.clock import ManualClock

DESCRIPTOR = TableDescriptor.from_json(
    {
        "schema": {"columns": [{"name": name, "data_type": {"type": "STRING"}} for name in ("a", "p", "q")]},
        "partition_key": ["p", "q"],
        "bucket_count": 2,
    }
)
T = TablePath(DEFAULT_DATABASE, "t")
SPEC = {"p": "1", "q": "2"}


Scenario = Callable[[PartitionExecutor, MetadataManager, RecordingTabletServer], Awaitable[None]]


def run(path: Path, scenario: Scenario) -> None:
    async def all_of_it() -> None:
        async with running(path) as parts:
            if parts.manager.find_table(T) is None:
                await parts.ddl.create_table(T, DESCRIPTOR, ignore_if_exists=False)
            await scenario(parts.partitions, parts.manager, parts.server)

    asyncio.run(all_of_it())


def test_a_partition_has_leaders_before_it_is_visible_and_no_data_after_it_is_gone(tmp_path: Path) -> None:
    async def scenario(executor: PartitionExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        server.gate = asyncio.Event()
        creations = [
            asyncio.ensure_future(executor.create(T, {"p": str(n), "q": "2"}, ignore_if_exists=False)) for n in range(5)
        ]
        await server.entered.wait()
        table = manager.table(T)
        assert manager.find_partition(table, "0$2") is None
        assert server.metadata.find_partition(table.table_id, "0$2") is None
        server.gate.set()
        await asyncio.gather(*creations)
        assert server.metadata.find_partition(table.table_id, "0$2") == PartitionInfo(table.table_id, 0, "0$2")
        assert server.partitions == [0, 1, 2, 3, 4]
        await executor.drop(T, SPEC, ignore_if_not_exists=False)
        assert server.partitions == [0, 2, 3, 4]

    run(tmp_path / "m", scenario)


def test_nodes_are_the_official_ones(tmp_path: Path) -> None:
    async def scenario(executor: PartitionExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        await executor.create(T, SPEC, ignore_if_exists=False)

    run(tmp_path / "m", scenario)

    async def read() -> None:
        store = EmbeddedMetadataStore.open(tmp_path / "m", system_runtime())
        registration = await store.get("/metadata/databases/fluss/tables/t/partitions/1$2")
        assignment = await store.get("/tabletservers/partitions/0")
        table_assignment = await store.get("/tabletservers/tables/0")
        assert registration is not None
        assert registration.value == b'{"version":1,"table_id":0,"partition_id":0}'
        assert assignment is not None
        assert assignment.value == b'{"version":1,"table_id":0,"buckets":{"0":[3],"1":[3]}}'
        assert table_assignment is None, "only partitions have assignments"
        await store.close()

    asyncio.run(read())


def test_a_failed_creation_leaves_nothing(tmp_path: Path) -> None:
    async def scenario(executor: PartitionExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        server.fail_lead = FlussError(ErrorCode.STORAGE_EXCEPTION, "no space")
        with pytest.raises(FlussError, match="no space"):
            await executor.create(T, SPEC, ignore_if_exists=True)
        assert server.partitions == []
        assert manager.partitions(manager.table(T)) == []
        server.fail_lead = None
        await executor.create(T, SPEC, ignore_if_exists=True)
        assert manager.partitions(manager.table(T)) == [PartitionInfo(0, 1, "1$2")]

    run(tmp_path / "m", scenario)


def test_a_partition_that_exists_is_not_discarded_with_a_creation_that_came_too_late(tmp_path: Path) -> None:
    async def all_of_it() -> None:
        async with running(tmp_path / "m") as parts:
            await parts.ddl.create_table(T, DESCRIPTOR, ignore_if_exists=False)
            table = parts.manager.table(T)
            late = await parts.manager.prepare_partition(table, "1$2")
            await parts.partitions.create(T, SPEC, ignore_if_exists=False)
            with pytest.raises(FlussError) as caught:
                await parts.controller.tables.create_partition(table, late, ((3,), (3,)))
            assert caught.value.code is ErrorCode.PARTITION_ALREADY_EXISTS
            assert await parts.store.get(partition_path(T, "1$2")) is not None
            assert parts.server.partitions == [1]

    asyncio.run(all_of_it())


def test_a_partition_is_dropped_even_if_its_data_cannot_be_removed(tmp_path: Path) -> None:
    async def scenario(executor: PartitionExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        await executor.create(T, SPEC, ignore_if_exists=False)
        server.fail_stop = FlussError(ErrorCode.STORAGE_EXCEPTION, "busy")
        await executor.drop(T, SPEC, ignore_if_not_exists=False)
        assert manager.partitions(manager.table(T)) == []

    run(tmp_path / "m", scenario)


def test_a_cancelled_caller_does_not_stop_a_creation_halfway(tmp_path: Path) -> None:
    async def scenario(executor: PartitionExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        creation = asyncio.ensure_future(executor.create(T, SPEC, ignore_if_exists=False))
        await asyncio.sleep(0)
        creation.cancel()

    async def check(executor: PartitionExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        assert manager.partitions(manager.table(T)) == [PartitionInfo(0, 0, "1$2")]

    run(tmp_path / "m", scenario)
    run(tmp_path / "m", check)


def test_a_crash_anywhere_leaves_a_partition_fully_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # a crash is made by cutting the file
    path = tmp_path / "m"
    checkpoint = tmp_path / "m.checkpoint"
    reached: list[tuple[int, bytes, Any]] = []

    async def state(manager: MetadataManager, store: EmbeddedMetadataStore) -> Any:
        table = manager.find_table(T)
        partitions = [] if table is None else manager.partitions(table)
        assigned = await store.children("/tabletservers/partitions")
        assert [int(name) for name in assigned] == [partition.partition_id for partition in partitions]
        return table, partitions, await manager.next_ids()

    async def changes() -> None:
        store, manager = await opened(path)

        async def note() -> None:
            reached.append((path.stat().st_size, checkpoint.read_bytes(), await state(manager, store)))

        table = await manager.prepare_table(T, DESCRIPTOR)
        await manager.add_table(table, [])
        manager.show_table(table)
        await note()
        for name in ("1$1", "1$2"):
            partition = await manager.prepare_partition(table, name)
            await note()
            await manager.add_partition(table, partition, [(0,), (0,)])
            manager.show_partition(partition)
            await note()
        await manager.drop_partition(table, PartitionInfo(0, 0, "1$1"))
        await note()
        await manager.drop_table(T)
        await note()

    async def all_of_it() -> None:
        await changes()
        data = path.read_bytes()
        for position in range(reached[0][0], len(data) + 1, 7):
            path.write_bytes(data[:position])
            _, covered, expected = next(entry for entry in reversed(reached) if entry[0] <= position)
            checkpoint.write_bytes(covered)
            store, manager = await opened(path)
            assert await state(manager, store) == expected
            await store.close()

    asyncio.run(all_of_it())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("1$2", b"x"),
        ("1$2", b'{"version":1,"table_id":0}'),
        ("1$2", b'{"version":1,"table_id":5,"partition_id":0}'),
        ("1", b'{"version":1,"table_id":0,"partition_id":0}'),
    ],
)
def test_nodes_that_cannot_be_read_stop_the_start_and_are_named(tmp_path: Path, name: str, value: bytes) -> None:
    async def all_of_it() -> None:
        store, manager = await opened(tmp_path / "m")
        await manager.add_table(await manager.prepare_table(T, DESCRIPTOR), [])
        await store.commit([Create(partitions_path(T)), Create(partition_path(T, name), value)])
        with pytest.raises(FlussError) as caught:
            await MetadataManager(store, ManualClock()).load()
        assert caught.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
        assert partition_path(T, name) in caught.value.message
        await store.close()

    asyncio.run(all_of_it())


def test_partitions_without_an_assignment_can_be_dropped(tmp_path: Path) -> None:
    async def all_of_it() -> None:
        store, manager = await opened(tmp_path / "m")
        table = await manager.prepare_table(T, DESCRIPTOR)
        await manager.add_table(table, [])
        record = b'{"version":1,"table_id":0,"partition_id":9,"remote_data_dir":"s3://b"}'
        await store.commit([Create(partitions_path(T)), Create(partition_path(T, "1$2"), record)])
        manager = MetadataManager(store, ManualClock())
        await manager.load()
        partition = manager.find_partition(table, "1$2")
        assert partition == PartitionInfo(0, 9, "1$2")
        await manager.drop_partition(manager.table(T), partition)
        assert await store.get(partition_path(T, "1$2")) is None
        assert await store.get(partition_assignment_path(9)) is None
        await store.close()

    asyncio.run(all_of_it())
