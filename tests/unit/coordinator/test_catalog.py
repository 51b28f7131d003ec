"""Databases and tables over the embedded store: rules, ids, restarts, crashes at every write."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator_support import opened
from error_support import refused
from fluss_server.cluster.messages import ReservedIds, ReserveWriterIds
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.journal_file import JournalFile
from fluss_server.metadata.records import TABLE_ID_COUNTER, encode_counter, table_path
from fluss_server.metadata.store import Create, Delete, Set, StoreOperation
from fluss_server.model.identifiers import DEFAULT_DATABASE, TablePath
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor, TableInfo
from fluss_server.runtime import system_runtime
from fluss_server.runtime.clock import ManualClock
from fluss_server.tablet.writer_ids import WRITER_ID_BLOCK, WriterIds

DESCRIPTOR = TableDescriptor.from_json(
    {
        "schema": {"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}], "primary_key": ["a"]},
        "bucket_count": 2,
        "comment": "für alle",
        "properties": {"table.kv.format-version": "2"},
        "custom_properties": {"x": "y"},
    }
)
T = TablePath(DEFAULT_DATABASE, "t")


async def create(manager: MetadataManager, path: TablePath, descriptor: TableDescriptor = DESCRIPTOR) -> TableInfo:
    table = await manager.prepare_table(path, descriptor)
    await manager.add_table(table, [(0,)] * table.bucket_count)
    manager.show_table(table)
    return table


def run(path: Path, scenario: Callable[[MetadataManager], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        store, manager = await opened(path)
        await scenario(manager)
        await store.close()

    asyncio.run(all_of_it())


def state(manager: MetadataManager) -> Any:
    return (
        {name: manager.database(name) for name in manager.databases()},
        {table.path: table for table in manager.tables()},
    )


def test_the_default_database_is_there(tmp_path: Path) -> None:
    async def scenario(manager: MetadataManager) -> None:
        assert manager.databases() == [DEFAULT_DATABASE]
        assert manager.database_exists(DEFAULT_DATABASE)
        code = await refused(manager.drop_database(DEFAULT_DATABASE, cascade=True))
        assert code is ErrorCode.INVALID_DATABASE_EXCEPTION

    run(tmp_path / "m", scenario)
    run(tmp_path / "m", scenario)


def test_tables_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A coordinator waits for some requests to its store after another, and not for some of each table."""
    count = 50

    async def create_many(manager: MetadataManager) -> None:
        for number in range(count):
            await create(manager, TablePath(DEFAULT_DATABASE, f"t{number}"))

    run(tmp_path / "m", create_many)
    reading, most = 0, 0
    children = EmbeddedMetadataStore.children

    async def slow_children(store: EmbeddedMetadataStore, path: str) -> list[str]:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await asyncio.sleep(0)
        reading -= 1
        return await children(store, path)

    monkeypatch.setattr(EmbeddedMetadataStore, "children", slow_children)

    async def look(manager: MetadataManager) -> None:
        assert len(manager.tables()) == count

    run(tmp_path / "m", look)
    assert most == count


def test_databases(tmp_path: Path) -> None:
    async def scenario(manager: MetadataManager) -> None:
        await manager.create_database("b", DatabaseDescriptor("text", {"k": "v"}))
        assert await refused(manager.create_database("b", DatabaseDescriptor())) is ErrorCode.DATABASE_ALREADY_EXIST
        assert manager.databases() == ["b", DEFAULT_DATABASE]
        assert manager.database("b").descriptor == DatabaseDescriptor("text", {"k": "v"})
        assert manager.table_names("b") == []
        await create(manager, TablePath("b", "t"))
        assert await refused(manager.drop_database("b", cascade=False)) is ErrorCode.DATABASE_NOT_EMPTY
        dropped = await manager.drop_database("b", cascade=True)
        assert [table.path for table in dropped] == [TablePath("b", "t")]
        assert manager.tables() == []
        assert await refused(manager.drop_database("b", cascade=True)) is ErrorCode.DATABASE_NOT_EXIST
        with pytest.raises(FlussError) as caught:
            manager.table_names("b")
        assert caught.value.code is ErrorCode.DATABASE_NOT_EXIST

    run(tmp_path / "m", scenario)


def test_tables(tmp_path: Path) -> None:
    async def scenario(manager: MetadataManager) -> None:
        assert manager.find_table(T) is None
        assert manager.find_table(TablePath("missing", "t")) is None
        with pytest.raises(FlussError) as caught:
            manager.table(T)
        assert caught.value.code is ErrorCode.TABLE_NOT_EXIST
        assert await refused(create(manager, TablePath("missing", "t"))) is ErrorCode.DATABASE_NOT_EXIST

        table = await create(manager, T)
        assert (table.table_id, table.schema_id, table.bucket_count) == (0, 1, 2)
        assert manager.table(T) is manager.table_by_id(0) is table
        assert manager.tables() == [table]
        assert manager.table_names(DEFAULT_DATABASE) == ["t"]
        assert manager.schema(0, 1) == table.schema
        assert json.loads(table.descriptor_json) == DESCRIPTOR.to_json()
        assert await refused(create(manager, T)) is ErrorCode.TABLE_ALREADY_EXIST
        with pytest.raises(FlussError) as caught:
            manager.schema(0, 2)
        assert caught.value.code is ErrorCode.SCHEMA_NOT_EXIST

        assert await manager.drop_table(T) is table
        assert await refused(manager.drop_table(T)) is ErrorCode.TABLE_NOT_EXIST
        assert manager.table_by_id(0) is None
        with pytest.raises(FlussError) as caught:
            manager.schema(0, 1)
        assert caught.value.code is ErrorCode.SCHEMA_NOT_EXIST
        assert json.loads(table.descriptor_json) == DESCRIPTOR.to_json()

    run(tmp_path / "m", scenario)


def test_a_prepared_table_is_invisible_but_has_a_schema(tmp_path: Path) -> None:
    async def scenario(manager: MetadataManager) -> None:
        table = await manager.prepare_table(T, DESCRIPTOR)
        assert manager.find_table(T) is None
        assert manager.tables() == []
        assert manager.schema(table.table_id, table.schema_id) == table.schema
        await manager.discard_table(table)
        await manager.discard_table(table)
        with pytest.raises(FlussError):
            manager.schema(table.table_id, table.schema_id)
        assert (await create(manager, T)).table_id == table.table_id + 1

    run(tmp_path / "m", scenario)


def test_ids_are_never_used_again(tmp_path: Path) -> None:
    ids: list[int] = []

    async def scenario(manager: MetadataManager) -> None:
        for _ in range(3):
            ids.append((await create(manager, T)).table_id)
            await manager.drop_table(T)
        await manager.create_database("d", DatabaseDescriptor())
        ids.append((await create(manager, TablePath("d", "t"))).table_id)
        await manager.drop_database("d", cascade=True)

    run(tmp_path / "m", scenario)
    run(tmp_path / "m", scenario)
    assert ids == list(range(8))


def test_one_of_many_creations_of_a_name_wins(tmp_path: Path) -> None:
    async def scenario(manager: MetadataManager) -> None:
        results = await asyncio.gather(*(create(manager, T) for _ in range(10)), return_exceptions=True)
        winners = [result for result in results if isinstance(result, TableInfo)]
        assert winners == [manager.table(T)]
        assert all(r.code is ErrorCode.TABLE_ALREADY_EXIST for r in results if isinstance(r, FlussError))

    run(tmp_path / "m", scenario)


def test_everything_is_the_same_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "m"

    async def all_of_it() -> None:
        clock = ManualClock()
        store, manager = await opened(path, clock)
        clock.advance(5)
        await manager.create_database("d", DatabaseDescriptor("c", {"k": "v"}))
        clock.advance(5)
        table = await create(manager, TablePath("d", "t"))
        assert table.created_time == clock.now_ms()
        await create(manager, T)
        before = state(manager)
        await store.close()
        again, manager = await opened(path)
        assert state(manager) == before
        assert manager.schema(0, 1) == DESCRIPTOR.schema
        await again.close()

    asyncio.run(all_of_it())


class ReservingCoordinator:
    """Reserves writer ids, and nothing else."""

    def __init__(self, manager: MetadataManager) -> None:
        self._manager = manager

    async def reserve_writer_ids(self, request: ReserveWriterIds) -> ReservedIds:
        return ReservedIds(await self._manager.reserve_writer_ids(request.size, request.above), request.size)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def test_writer_ids_that_a_log_has_seen_are_not_handed_out_again(tmp_path: Path) -> None:
    async def start_with(manager: MetadataManager, largest: int) -> int:
        return await WriterIds(ReservingCoordinator(manager), lambda: largest).take()

    async def scenario(manager: MetadataManager) -> None:
        assert await start_with(manager, -1) == 0
        assert await start_with(manager, 5) == WRITER_ID_BLOCK  # reserved already
        assert await start_with(manager, 2**62) == 2 * WRITER_ID_BLOCK  # no counter comes so far
        assert await start_with(manager, 7 * WRITER_ID_BLOCK) == 7 * WRITER_ID_BLOCK + 1

    async def after(manager: MetadataManager) -> None:
        assert await start_with(manager, -1) == 8 * WRITER_ID_BLOCK + 1

    run(tmp_path / "m", scenario)
    run(tmp_path / "m", after)


def test_ids_that_clients_write_with_later_do_not_count(tmp_path: Path) -> None:
    async def scenario(manager: MetadataManager) -> None:
        largest = -1
        writer_ids = WriterIds(ReservingCoordinator(manager), lambda: largest)
        assert await writer_ids.take() == 0
        largest = 2**40
        taken = [await writer_ids.take() for _ in range(WRITER_ID_BLOCK)]
        assert taken[-1] == WRITER_ID_BLOCK

    run(tmp_path / "m", scenario)


def test_writer_ids_are_unique_across_restarts_and_crashes(tmp_path: Path) -> None:
    path = tmp_path / "m"
    ids: list[int] = []

    async def use(count: int, close: bool) -> None:
        store, manager = await opened(path)
        before = path.stat().st_size
        writer_ids = WriterIds(ReservingCoordinator(manager))
        ids.extend(await asyncio.gather(*(writer_ids.take() for _ in range(count))))
        assert path.stat().st_size - before < 100 * (1 + count / WRITER_ID_BLOCK)
        if close:
            await store.close()

    asyncio.run(use(3, close=False))
    asyncio.run(use(2 * WRITER_ID_BLOCK + 1, close=True))
    asyncio.run(use(1, close=False))
    assert ids[:3] == [0, 1, 2]
    assert len(set(ids)) == len(ids)


def test_a_writer_id_needs_a_durable_reservation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def scenario(manager: MetadataManager) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(JournalFile, "append", no_space)
            assert await refused(manager.reserve_writer_ids(1)) is ErrorCode.STORAGE_EXCEPTION
            assert await refused(create(manager, T)) is ErrorCode.STORAGE_EXCEPTION
            code = await refused(manager.create_database("d", DatabaseDescriptor()))
            assert code is ErrorCode.STORAGE_EXCEPTION
        assert manager.databases() == [DEFAULT_DATABASE]
        assert manager.tables() == []
        assert await manager.reserve_writer_ids(1) == 0
        assert (await create(manager, T)).table_id == 1

    run(tmp_path / "m", scenario)


def test_a_crash_anywhere_leaves_a_state_between_two_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        os, "fsync", lambda fd: None
    )  # a crash is made by cutting the file; waiting for disks adds nothing
    path = tmp_path / "m"

    checkpoint = tmp_path / "m.checkpoint"
    reached: list[tuple[int, bytes, Any]] = []

    async def changes() -> None:
        """Note file size, checkpoint and state after each change."""
        _, manager = await opened(path)

        def note() -> None:
            reached.append((path.stat().st_size, checkpoint.read_bytes(), state(manager)))

        note()
        await manager.create_database("d", DatabaseDescriptor())
        note()
        table = await manager.prepare_table(TablePath("d", "t"), DESCRIPTOR)
        note()
        await manager.add_table(table, [(0,), (0,)])
        manager.show_table(table)
        note()
        await manager.drop_database("d", cascade=True)
        note()

    async def all_of_it() -> None:
        await changes()
        data = path.read_bytes()
        for position in range(reached[0][0], len(data) + 1, 3):
            path.write_bytes(data[:position])
            _, covered, expected = next(entry for entry in reversed(reached) if entry[0] <= position)
            checkpoint.write_bytes(covered)
            store, manager = await opened(path)
            assert state(manager) == expected
            await store.close()

    asyncio.run(all_of_it())


def test_a_cancelled_caller_does_not_split_file_and_memory(tmp_path: Path) -> None:
    path = tmp_path / "m"

    async def all_of_it() -> None:
        store, manager = await opened(path)
        for name in ("a", "b", "c"):
            creation = asyncio.ensure_future(manager.create_database(name, DatabaseDescriptor()))
            await asyncio.sleep(0)
            creation.cancel()
        await manager.create_database("last", DatabaseDescriptor())
        before = state(manager)
        assert {"a", "b", "c"} <= set(manager.databases())
        await store.close()
        _, manager = await opened(path)
        assert state(manager) == before

    asyncio.run(all_of_it())


async def damaged(path: Path, change: Callable[[EmbeddedMetadataStore], Awaitable[Any]]) -> str:
    store, manager = await opened(path)
    await create(manager, T)
    await change(store)
    with pytest.raises(FlussError) as caught:
        await MetadataManager(store, ManualClock()).load()
    assert caught.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
    await store.close()
    return str(caught.value)


def test_nodes_that_cannot_be_read_stop_the_start_and_are_named(tmp_path: Path) -> None:
    schema = f"{table_path(T)}/schemas/1"
    cases: list[Callable[[EmbeddedMetadataStore], Awaitable[Any]]] = [
        lambda store: store.commit([Set(table_path(T), b"x")]),
        lambda store: store.commit([Set(schema, b"{}")]),
        lambda store: store.commit([Delete(schema)]),
        lambda store: store.commit([Create(f"{table_path(T)}/schemas/x")]),
    ]
    for number, case in enumerate(cases):
        assert table_path(T) in asyncio.run(damaged(tmp_path / str(number), case))


def test_the_newest_schema_is_the_tables(tmp_path: Path) -> None:
    async def all_of_it() -> None:
        store, manager = await opened(tmp_path / "m")
        await create(manager, T)
        columns = [{"name": name, "data_type": {"type": "INTEGER"}} for name in ("a", "b")]
        newer = json.dumps({"columns": columns, "primary_key": ["a"]}).encode()
        await store.commit([Create(f"{table_path(T)}/schemas/{number}", newer) for number in (2, 10)])
        manager = MetadataManager(store, ManualClock())
        await manager.load()
        assert manager.table(T).schema_id == 10
        assert manager.table(T).schema.names == ("a", "b")
        assert manager.schema(0, 1).names == ("a",)
        await store.close()

    asyncio.run(all_of_it())


def test_a_tree_that_official_servers_left_is_read(tmp_path: Path) -> None:
    """Container nodes hold an address text there, the counter has moved on, and there are nodes nobody asked for."""
    nodes = json.loads((Path(__file__).parents[2] / "vectors" / "zookeeper.json").read_text())["nodes"]
    wanted = ("DatabaseZNode", "TableZNode", "SchemaZNode", "TableIdZNode", "LeaderAndIsrZNode")

    async def all_of_it() -> None:
        store = EmbeddedMetadataStore.open(tmp_path / "m", system_runtime())
        for node in (node for node in nodes if node["node"] in wanted):
            parents = node["path"].split("/")[1:-1]
            for depth in range(1, len(parents) + 1):
                parent = "/" + "/".join(parents[:depth])
                if await store.get(parent) is None:
                    await store.commit([Create(parent, b"127.0.0.1")])
            await store.commit([Create(node["path"], node["payload_text"].encode())])
        await store.commit([Create(TABLE_ID_COUNTER, encode_counter(8))])
        manager = MetadataManager(store, ManualClock())
        await manager.load()
        table = manager.table(TablePath("mydb", "t1"))
        assert (table.table_id, table.bucket_count, table.is_partitioned) == (7, 3, True)
        assert (await create(manager, T)).table_id == 8
        await manager.drop_table(table.path)
        assert await store.get("/tabletservers/tables/7") is None
        await store.close()

    asyncio.run(all_of_it())


NUMBERED = TableDescriptor.from_json(
    {
        "schema": {
            "columns": [
                {"name": "a", "data_type": {"type": "INTEGER"}},
                {"name": "n", "data_type": {"type": "BIGINT"}},
            ],
            "primary_key": ["a"],
            "auto_increment_column": ["n"],
        },
        "bucket_count": 1,
    }
)


def test_ids_of_auto_increment_columns_are_reserved_once(tmp_path: Path) -> None:
    async def first(manager: MetadataManager) -> None:
        table = await create(manager, T, NUMBERED)
        ranges = await asyncio.gather(*(manager.reserve_ids(table.table_id, 10) for _ in range(5)))
        assert sorted(ranges) == [1, 11, 21, 31, 41]

    async def second(manager: MetadataManager) -> None:
        table = manager.table(T)
        assert await manager.reserve_ids(table.table_id, 1) == 51
        assert await manager.reserve_ids(table.table_id, 100_000) == 52
        assert (
            await refused(manager.reserve_ids(table.table_id, 2**63 - 1)) is ErrorCode.OPERATION_NOT_ATTEMPTED_EXCEPTION
        )
        await manager.drop_table(T)
        assert await refused(manager.reserve_ids(table.table_id, 1)) is ErrorCode.TABLE_NOT_EXIST
        again = await create(manager, T, NUMBERED)
        assert await manager.reserve_ids(again.table_id, 5) == 1

    run(tmp_path / "m", first)
    run(tmp_path / "m", second)


def test_the_counter_of_an_auto_increment_column_is_the_official_node(tmp_path: Path) -> None:
    async def scenario() -> None:
        store, manager = await opened(tmp_path / "m")
        table = await create(manager, T, NUMBERED)
        await manager.reserve_ids(table.table_id, 300)
        node = await store.get(f"{table_path(T)}/auto_inc/col_1")
        assert node is not None
        assert node.value == (300).to_bytes(8, "big")
        await store.close()

    asyncio.run(scenario())


class RacingStore:
    """Lets somebody else change the store between the reads and the commit of a reservation."""

    def __init__(self, store: EmbeddedMetadataStore, race: Callable[[], Awaitable[object]]) -> None:
        self._store = store
        self._race: Callable[[], Awaitable[object]] | None = race

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, operations: Sequence[StoreOperation]) -> list[int]:
        race, self._race = self._race, None
        if race is not None:
            await race()
        return await self._store.commit(operations)


def race_for_ids(path: Path, first: int, race: Callable[[MetadataManager], Awaitable[object]]) -> None:
    """Reserve ids while another coordinator does something; nobody gets an id that somebody else has."""

    async def all_of_it() -> None:
        store, other = await opened(path)
        table = await create(other, T, NUMBERED)
        if first:
            assert await other.reserve_ids(table.table_id, first) == 1
        manager = MetadataManager(RacingStore(store, lambda: race(other)), ManualClock())
        await manager.load()
        assert await refused(manager.reserve_ids(table.table_id, 10)) is ErrorCode.STORAGE_EXCEPTION
        await store.close()

    asyncio.run(all_of_it())


@pytest.mark.parametrize("first", [0, 10])
def test_a_reservation_that_raced_with_another_one_is_refused(tmp_path: Path, first: int) -> None:
    given: list[int] = []

    async def reserve(other: MetadataManager) -> None:
        given.append(await other.reserve_ids(other.table(T).table_id, 10))

    race_for_ids(tmp_path / "m", first, reserve)
    assert given == [first + 1]


@pytest.mark.parametrize("first", [0, 10])
@pytest.mark.parametrize("again", [False, True], ids=["dropped", "dropped and created"])
def test_a_reservation_that_raced_with_a_drop_is_refused(tmp_path: Path, first: int, again: bool) -> None:
    async def drop(other: MetadataManager) -> None:
        await other.drop_table(T)
        if again:
            table = await create(other, T, NUMBERED)
            if first:
                await other.reserve_ids(table.table_id, 1)

    race_for_ids(tmp_path / "m", first, drop)


def test_all_definitions_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sized(size: int) -> DatabaseDescriptor:
        return DatabaseDescriptor("c" * size)

    def with_comment(table: TableInfo, size: int) -> TableInfo:
        return replace(table, descriptor=replace(table.descriptor, comment="c" * size))

    async def scenario(manager: MetadataManager) -> None:
        used = manager._sizes.total_bytes
        monkeypatch.setattr("fluss_server.coordinator.definition_sizes.MAX_TOTAL_BYTES", used + 20_000)
        await manager.create_database("a", sized(9_000))
        table = await create(manager, T)
        await manager.write_table(with_comment(table, 8_000))
        unchanged = manager._sizes.total_bytes
        for change in (
            manager.create_database("b", sized(9_000)),
            manager.alter_database("a", sized(12_000)),
            create(manager, TablePath("a", "u"), replace(DESCRIPTOR, comment="c" * 3_000)),
            manager.write_table(with_comment(table, 12_000)),
        ):
            with pytest.raises(FlussError, match="the definitions of all databases and tables would take") as caught:
                await change
            assert caught.value.code is ErrorCode.OPERATION_NOT_ATTEMPTED_EXCEPTION
        assert manager._sizes.total_bytes == unchanged

    async def after_a_restart(manager: MetadataManager) -> None:
        with pytest.raises(FlussError, match="would take"):
            await manager.create_database("b", sized(9_000))
        monkeypatch.setattr("fluss_server.coordinator.definition_sizes.MAX_TOTAL_BYTES", 10_000)
        await manager.alter_database("a", sized(8_000))  # smaller, although still too much
        await manager.drop_table(T)
        await manager.drop_database("a", cascade=True)
        await manager.create_database("b", sized(8_000))
        with pytest.raises(FlussError, match="would take"):
            await manager.create_database("c", sized(8_000))

    run(tmp_path / "m", scenario)
    run(tmp_path / "m", after_a_restart)
