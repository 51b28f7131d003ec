"""Order of creation and removal, failures in between, and exclusion."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from coordinator_support import RecordingTabletServer, running
from error_support import refused
from fluss_server.coordinator import cluster_controller
from fluss_server.coordinator.alterations import AddedColumn, add_columns
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.ddl import DdlExecutor
from fluss_server.coordinator.validation import TableSettings
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.journal_file import JournalFile
from fluss_server.metadata.records import table_assignment_path, table_path
from fluss_server.model.identifiers import DEFAULT_DATABASE, TablePath
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor, TableInfo
from fluss_server.model.types import DataType, TypeRoot
from fluss_server.runtime import system_runtime
from fluss_server.runtime.clock import ManualClock

DESCRIPTOR = TableDescriptor.from_json(
    {"schema": {"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]}, "bucket_count": 2}
)
T = TablePath(DEFAULT_DATABASE, "t")


Scenario = Callable[[DdlExecutor, MetadataManager, RecordingTabletServer], Awaitable[None]]


def run(path: Path, scenario: Scenario) -> None:
    run_with_clock(path, lambda ddl, manager, server, clock: scenario(ddl, manager, server))


def run_with_clock(
    path: Path, scenario: Callable[[DdlExecutor, MetadataManager, RecordingTabletServer, ManualClock], Awaitable[None]]
) -> None:
    async def all_of_it() -> None:
        clock = ManualClock()
        async with running(path, clock) as parts:
            await scenario(parts.ddl, parts.manager, parts.server, clock)

    asyncio.run(all_of_it())


def create(ddl: DdlExecutor, path: TablePath = T, *, ignore: bool = False) -> Awaitable[None]:
    return ddl.create_table(path, DESCRIPTOR, ignore_if_exists=ignore)


def test_a_table_has_leaders_before_it_is_visible_and_no_data_after_it_is_gone(tmp_path: Path) -> None:
    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        server.gate = asyncio.Event()
        creation = asyncio.ensure_future(create(ddl))
        await server.entered.wait()
        assert manager.find_table(T) is None
        assert server.metadata.find_table(T) is None
        server.gate.set()
        await creation
        table = manager.table(T)
        assert server.metadata.find_table(T) == table
        assert [entry.leader for entry in server.metadata.buckets(table.table_id, None)] == [3, 3]
        assert server.tables == [table.table_id]
        assert table.descriptor.properties == {"table.replication.factor": "1"}
        await ddl.drop_table(T, ignore_if_not_exists=False)
        assert manager.find_table(T) is None
        assert server.metadata.find_table(T) is None
        assert server.tables == []
        await create(ddl)
        assert manager.table(T).table_id == table.table_id + 1

    run(tmp_path / "m", scenario)


def with_ttl(table: TableInfo, settings: TableSettings) -> TableDescriptor:
    return table.descriptor.with_properties({**table.descriptor.properties, "table.log.ttl": "1 d"})


def with_column(table: TableInfo, settings: TableSettings) -> TableDescriptor:
    return add_columns(table, [AddedColumn(f"c{table.schema_id}", DataType(TypeRoot.STRING))])


def alter(
    ddl: DdlExecutor,
    change: Callable[[TableInfo, TableSettings], TableDescriptor],
    path: TablePath = T,
    *,
    ignore: bool = False,
) -> Awaitable[None]:
    return ddl.alter_table(path, change, ignore_if_not_exists=ignore)


def test_an_altered_table(tmp_path: Path) -> None:
    async def scenario(
        ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer, clock: ManualClock
    ) -> None:
        await create(ddl)
        first = manager.table(T)
        assert (first.schema_id, first.descriptor_json) == (1, first.descriptor.to_json_bytes())
        clock.advance(5)
        await alter(ddl, with_ttl)
        second = manager.table(T)
        assert (second.table_id, second.schema_id, second.schema) == (first.table_id, 1, first.schema)
        assert second.descriptor.properties["table.log.ttl"] == "1 d"
        assert (second.created_time, second.modified_time) == (first.created_time, first.modified_time + 5)
        assert manager.table_by_id(first.table_id) is second
        assert b'"table.log.ttl":"1 d"' in second.descriptor_json
        await alter(ddl, with_column)
        await alter(ddl, with_column)
        third = manager.table(T)
        assert (third.schema_id, third.schema.names) == (3, ("a", "c1", "c2"))
        for schema_id, names in ((1, ("a",)), (2, ("a", "c1")), (3, ("a", "c1", "c2"))):
            assert manager.schema(first.table_id, schema_id).names == names
        await alter(ddl, lambda table, _: table.descriptor)
        assert server.calls == [("created", 0), ("altered", 0), ("altered", 0), ("altered", 0)]

    run_with_clock(tmp_path / "m", scenario)

    async def again() -> None:
        manager = MetadataManager(EmbeddedMetadataStore.open(tmp_path / "m", system_runtime()), ManualClock())
        await manager.load()
        table = manager.table(T)
        assert (table.schema_id, table.schema.names) == (3, ("a", "c1", "c2"))
        assert table.descriptor.properties["table.log.ttl"] == "1 d"
        assert manager.schema(table.table_id, 2).names == ("a", "c1")

    asyncio.run(again())


def test_altering_what_is_not_there(tmp_path: Path) -> None:
    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        for path in (T, TablePath("x", "t")):
            assert await refused(alter(ddl, with_ttl, path)) is ErrorCode.TABLE_NOT_EXIST
            await alter(ddl, with_ttl, path, ignore=True)
        alter_x = ddl.alter_database("x", lambda before: DatabaseDescriptor("y"), ignore_if_not_exists=False)
        assert await refused(alter_x) is ErrorCode.DATABASE_NOT_EXIST
        await ddl.alter_database("x", lambda before: DatabaseDescriptor("y"), ignore_if_not_exists=True)
        assert server.calls == []

    run(tmp_path / "m", scenario)


def test_an_altered_database(tmp_path: Path) -> None:
    async def scenario(
        ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer, clock: ManualClock
    ) -> None:
        await ddl.create_database("d", DatabaseDescriptor("old", {"a": "1"}), ignore_if_exists=False)
        before = manager.database("d")
        clock.advance(7)
        new = DatabaseDescriptor("new", {"b": "2"})
        await ddl.alter_database("d", lambda present: new, ignore_if_not_exists=False)
        after = manager.database("d")
        assert (after.descriptor, after.created_time) == (new, before.created_time)
        assert after.modified_time == before.modified_time + 7
        large = ddl.alter_database("d", lambda present: DatabaseDescriptor("x" * (1 << 20)), ignore_if_not_exists=False)
        assert await refused(large) is ErrorCode.INVALID_DATABASE_EXCEPTION

    run_with_clock(tmp_path / "m", scenario)

    async def again() -> None:
        manager = MetadataManager(EmbeddedMetadataStore.open(tmp_path / "m", system_runtime()), ManualClock())
        await manager.load()
        assert manager.database("d").descriptor == DatabaseDescriptor("new", {"b": "2"})

    asyncio.run(again())


def test_an_alteration_that_cannot_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        await create(ddl)
        before = manager.table(T)
        with monkeypatch.context() as patch:
            patch.setattr(JournalFile, "append", full)
            assert await refused(alter(ddl, with_column)) is ErrorCode.STORAGE_EXCEPTION
        assert manager.table(T) is before
        with pytest.raises(FlussError):
            manager.schema(before.table_id, 2)
        assert server.calls == [("created", 0)]
        await alter(ddl, with_column)
        assert manager.table(T).schema_id == 2

    run(tmp_path / "m", scenario)


def test_an_alteration_that_a_server_missed_is_seen_and_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_controller, "DELIVERY_DEADLINE_S", 0.05)

    async def all_of_it() -> None:
        async with running(tmp_path / "m") as parts:
            await create(parts.ddl)
            parts.server.fail_update = FlussError(ErrorCode.KV_STORAGE_EXCEPTION, "broken")
            assert await refused(alter(parts.ddl, with_column)) is ErrorCode.REQUEST_TIME_OUT
            assert parts.manager.table(T).schema_id == 2
            parts.server.fail_update = None
            await parts.controller.settled()
            known = parts.server.metadata.find_table(T)
            assert known is not None
            assert known.schema_id == 2

    asyncio.run(all_of_it())


def test_assignment_leader_and_isr_are_stored(tmp_path: Path) -> None:
    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        await create(ddl)

    run(tmp_path / "m", scenario)

    async def read() -> None:
        store = EmbeddedMetadataStore.open(tmp_path / "m", system_runtime())
        node = await store.get("/tabletservers/tables/0")
        assert node is not None
        assert node.value == b'{"version":1,"buckets":{"0":[3],"1":[3]}}'
        leader = await store.get("/tabletservers/tables/0/buckets/1/leader_isr")
        assert leader is not None
        assert leader.value == (
            b'{"version":1,"leader":3,"leader_epoch":0,"isr":[3],"coordinator_epoch":0,"bucket_epoch":0}'
        )

    asyncio.run(read())


def test_ignore_flags(tmp_path: Path) -> None:
    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        none = DatabaseDescriptor()
        assert await refused(ddl.create_database(DEFAULT_DATABASE, none, ignore_if_exists=False)) == 6
        await ddl.create_database(DEFAULT_DATABASE, none, ignore_if_exists=True)
        assert await refused(ddl.drop_database("x", ignore_if_not_exists=False, cascade=False)) == 4
        await ddl.drop_database("x", ignore_if_not_exists=True, cascade=False)
        assert await refused(ddl.drop_table(T, ignore_if_not_exists=False)) == 7
        await ddl.drop_table(T, ignore_if_not_exists=True)
        await ddl.drop_table(TablePath("x", "t"), ignore_if_not_exists=True)
        await create(ddl)
        assert await refused(create(ddl)) == 8
        await create(ddl, ignore=True)
        assert len(server.calls) == 1
        assert await refused(create(ddl, TablePath("x", "t"), ignore=True)) == 4

    run(tmp_path / "m", scenario)


def test_names_and_descriptors_are_checked_first(tmp_path: Path) -> None:
    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        assert await refused(ddl.create_database("__x", DatabaseDescriptor(), ignore_if_exists=False)) == 16
        large = DatabaseDescriptor("x" * (1 << 20))
        assert await refused(ddl.create_database("x", large, ignore_if_exists=False)) == 16
        assert await refused(create(ddl, TablePath("a/b", "t"))) == 16
        assert await refused(create(ddl, TablePath("x", "a b"))) == 15
        bad = DESCRIPTOR.with_properties({"table.replication.factor": "9"})
        with pytest.raises(FlussError, match="more than the 1 tablet servers that can take replicas") as caught:
            await ddl.create_table(TablePath("x", "t"), bad, ignore_if_exists=False)
        assert (caught.value.code, caught.value.hint) == (ErrorCode.INVALID_REPLICATION_FACTOR, "use at most 1")
        assert server.calls == []

    run(tmp_path / "m", scenario)


def test_a_failed_creation_leaves_nothing(tmp_path: Path) -> None:
    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        server.fail_lead = FlussError(ErrorCode.STORAGE_EXCEPTION, "no space")
        assert await refused(create(ddl)) is ErrorCode.STORAGE_EXCEPTION
        assert server.calls == [("created", 0), ("dropped", 0)]
        assert manager.find_table(T) is None
        server.fail_stop = FlussError(ErrorCode.STORAGE_EXCEPTION, "stuck")
        assert await refused(create(ddl)) is ErrorCode.STORAGE_EXCEPTION
        server.fail_lead = server.fail_stop = None
        await create(ddl)
        assert manager.table(T).table_id == 2
        assert server.tables == [2]

    run(tmp_path / "m", scenario)


def test_a_failed_creation_leaves_nothing_in_the_store(tmp_path: Path) -> None:
    async def all_of_it() -> None:
        async with running(tmp_path / "m") as parts:
            parts.server.fail_lead = FlussError(ErrorCode.STORAGE_EXCEPTION, "no space")
            assert await refused(create(parts.ddl)) is ErrorCode.STORAGE_EXCEPTION
            assert await parts.store.get(table_path(T)) is None
            assert await parts.store.get(table_assignment_path(0)) is None
            with pytest.raises(FlussError):
                parts.manager.schema(0, 1)

    asyncio.run(all_of_it())


def test_a_full_metadata_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(journal: JournalFile, *arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(JournalFile, "append", full)
            assert await refused(create(ddl)) is ErrorCode.STORAGE_EXCEPTION
        assert server.calls == []  # no server hears of what is not durable
        assert manager.find_table(T) is None
        await create(ddl)
        assert manager.table(T).table_id == 1

    run(tmp_path / "m", scenario)


def test_a_drop_succeeds_even_when_data_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        await create(ddl)
        server.fail_stop = FlussError(ErrorCode.STORAGE_EXCEPTION, "stuck")
        await ddl.drop_table(T, ignore_if_not_exists=False)
        assert manager.find_table(T) is None
        assert "could not remove bucket" in caplog.text

    run(tmp_path / "m", scenario)


def test_cascade(tmp_path: Path) -> None:
    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        await ddl.create_database("d", DatabaseDescriptor(), ignore_if_exists=False)
        for name in ("x", "y"):
            await create(ddl, TablePath("d", name))
        await create(ddl)
        assert await refused(ddl.drop_database("d", ignore_if_not_exists=True, cascade=False)) == 5
        await ddl.drop_database("d", ignore_if_not_exists=False, cascade=True)
        assert manager.databases() == [DEFAULT_DATABASE]
        assert server.tables == [manager.table(T).table_id]

    run(tmp_path / "m", scenario)


def test_of_many_creations_one_wins(tmp_path: Path) -> None:
    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        results = await asyncio.gather(*(create(ddl) for _ in range(10)), return_exceptions=True)
        assert results.count(None) == 1
        assert all(result.code == 8 for result in results if isinstance(result, FlussError))
        assert server.calls == [("created", 0)]

    run(tmp_path / "m", scenario)


def test_interleaved_changes_of_one_database_end_consistently(tmp_path: Path) -> None:
    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        paths = [TablePath("d", name) for name in "abc"]
        changes: list[Awaitable[None]] = []
        for _ in range(4):
            changes.append(ddl.create_database("d", DatabaseDescriptor(), ignore_if_exists=True))
            changes += [create(ddl, path) for path in paths]
            changes += [ddl.drop_table(path, ignore_if_not_exists=True) for path in paths[:2]]
            changes.append(ddl.drop_database("d", ignore_if_not_exists=True, cascade=True))
            changes += [create(ddl, path) for path in paths]
        await asyncio.gather(*changes, return_exceptions=True)
        assert sorted(server.tables) == [table.table_id for table in manager.tables()]

    run(tmp_path / "m", scenario)


def test_databases_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        await ddl.create_database("d", DatabaseDescriptor(), ignore_if_exists=False)
        server.gate = asyncio.Event()
        blocked = asyncio.ensure_future(create(ddl))
        await server.entered.wait()
        await ddl.create_database("e", DatabaseDescriptor(), ignore_if_exists=False)
        queued = asyncio.ensure_future(create(ddl, TablePath(DEFAULT_DATABASE, "u")))
        assert not blocked.done()
        assert len(server.calls) == 1
        server.gate.set()
        await asyncio.gather(blocked, queued)
        assert manager.table_names(DEFAULT_DATABASE) == ["t", "u"]

    run(tmp_path / "m", scenario)


def test_a_client_that_goes_away_does_not_stop_a_change(tmp_path: Path) -> None:
    async def scenario(ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer) -> None:
        server.gate = asyncio.Event()
        creation = asyncio.ensure_future(create(ddl))
        await server.entered.wait()
        creation.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creation
        server.gate.set()
        await ddl.close()
        assert server.tables == [manager.table(T).table_id]

    run(tmp_path / "m", scenario)


def test_times_of_modification_never_go_backwards_and_survive_a_restart(tmp_path: Path) -> None:
    times: list[tuple[int, int]] = []

    def times_of(manager: MetadataManager) -> tuple[int, int]:
        return manager.table(T).modified_time, manager.database("d").modified_time

    async def scenario(
        ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer, clock: ManualClock
    ) -> None:
        await create(ddl)
        await ddl.create_database("d", DatabaseDescriptor(), ignore_if_exists=False)
        created = times_of(manager)
        clock.advance(-1000)  # the machine's clock was set back
        await alter(ddl, with_ttl)
        await ddl.alter_database("d", lambda present: DatabaseDescriptor("new"), ignore_if_not_exists=False)
        assert times_of(manager) == created
        clock.advance(2000)
        await alter(ddl, with_column)
        await ddl.alter_database("d", lambda present: DatabaseDescriptor("newer"), ignore_if_not_exists=False)
        assert times_of(manager) == (created[0] + 1000, created[1] + 1000)
        times.append(times_of(manager))

    async def after(
        ddl: DdlExecutor, manager: MetadataManager, server: RecordingTabletServer, clock: ManualClock
    ) -> None:
        assert times_of(manager) == times[0]

    run_with_clock(tmp_path / "m", scenario)
    run_with_clock(tmp_path / "m", after)
