"""Changes that are too large for one commit: cut, interrupted at every commit, and cleaned up by the next start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from coordinator_support import Coordinator, running_over
from error_support import refused
from fluss_server.coordinator.change_steps import creation_steps, deletion_steps
from fluss_server.coordinator.fencing import fence
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.embedded import LIMITS, EmbeddedMetadataStore
from fluss_server.metadata.records import table_path
from fluss_server.metadata.store import (
    CommitLimits,
    Create,
    Delete,
    MetadataStore,
    Set,
    StoreOperation,
    UnknownOutcome,
    in_batches,
    operation_bytes,
)
from fluss_server.model.identifiers import TablePath
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor
from fluss_server.runtime import system_runtime
from metadata_contract import everything

T = TablePath("d", "t")
BUCKETS = 20
SMALL = LIMITS._replace(operations=9)  # one of them is the check of the epoch


def descriptor(partitioned: bool = False, buckets: int = BUCKETS) -> TableDescriptor:
    columns = [{"name": "a", "data_type": {"type": "INTEGER"}}, {"name": "p", "data_type": {"type": "STRING"}}]
    document: dict[str, Any] = {"schema": {"columns": columns}, "bucket_count": buckets}
    return TableDescriptor.from_json(document | ({"partition_key": ["p"]} if partitioned else {}))


class Crash(Exception):
    """The process is gone."""


class SmallStore:
    """A store that takes few operations at a time, and of which only the first ``commits`` commits happen."""

    def __init__(self, store: EmbeddedMetadataStore, commits: int = 10**9, failure: type[Exception] = Crash) -> None:
        self._store = store
        self._failure = failure
        self.remaining = commits
        self.largest = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @property
    def limits(self) -> CommitLimits:
        return SMALL

    async def commit(self, operations: Sequence[StoreOperation]) -> list[int]:
        assert SMALL.allow(operations)
        if self.remaining == 0:
            raise self._failure("the end")
        self.remaining -= 1
        self.largest = max(self.largest, len(operations))
        return await self._store.commit(operations)


def over(path: Path, scenario: Callable[[Coordinator, SmallStore], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        small = SmallStore(EmbeddedMetadataStore.open(path, system_runtime()))
        async with running_over(small) as parts:
            await scenario(parts, small)

    asyncio.run(all_of_it())


async def frame(store: MetadataStore) -> set[str]:
    """Paths of what is not of a table or of the coordinator's start."""
    return {path for path in await everything(store) if path != "/coordinators/epoch"}


Change = Callable[[Coordinator], Awaitable[None]]


async def create_table(parts: Coordinator) -> None:
    await parts.ddl.create_table(T, descriptor(), ignore_if_exists=False)


async def drop_table(parts: Coordinator) -> None:
    await parts.ddl.drop_table(T, ignore_if_not_exists=False)


async def create_partitioned(parts: Coordinator) -> None:
    await parts.ddl.create_table(T, descriptor(partitioned=True), ignore_if_exists=False)


async def create_partition(parts: Coordinator) -> None:
    await parts.partitions.create(T, {"p": "x"}, ignore_if_exists=False)


async def drop_partition(parts: Coordinator) -> None:
    await parts.partitions.drop(T, {"p": "x"}, ignore_if_not_exists=False)


async def many_partitions(parts: Coordinator) -> None:
    await parts.ddl.create_table(T, descriptor(partitioned=True, buckets=1), ignore_if_exists=False)
    for name in "abcdefgh":
        await parts.partitions.create(T, {"p": name}, ignore_if_exists=False)


async def drop_database(parts: Coordinator) -> None:
    await parts.ddl.drop_database("d", ignore_if_not_exists=False, cascade=True)


CHANGES: dict[str, tuple[list[Change], Change]] = {
    "create a table": ([], create_table),
    "drop a table": ([create_table], drop_table),
    "create a partition": ([create_partitioned], create_partition),
    "drop a partition": ([create_partitioned, create_partition], drop_partition),
    "drop a table with many partitions": ([many_partitions], drop_table),
    "drop a database": ([many_partitions], drop_database),
}


@pytest.mark.parametrize("name", list(CHANGES))
def test_a_large_change_may_end_after_any_commit(tmp_path: Path, name: str) -> None:
    """After a crash there is everything or nothing of what was changed, it can be done again, and nothing is left."""
    before, change = CHANGES[name]
    outcomes: set[bool] = set()
    for commits in range(1000):
        path = tmp_path / str(commits)

        finished: list[int] = []

        async def prepare(
            parts: Coordinator, small: SmallStore, commits: int = commits, finished: list[int] = finished
        ) -> None:
            await parts.ddl.create_database("d", DatabaseDescriptor(), ignore_if_exists=False)
            for step in before:
                await step(parts)
            small.remaining = commits
            try:
                await change(parts)
            except Crash:
                outcomes.add(False)
            else:
                outcomes.add(True)
            if commits > small.remaining > 0:
                finished.append(commits)

        over(path, prepare)

        async def after(parts: Coordinator, small: SmallStore) -> None:
            table = parts.manager.find_table(T)
            if table is not None:
                for bucket_state in parts.controller.queue.state.buckets.values():
                    assert bucket_state.record is not None
                if not table.is_partitioned:
                    assert len(parts.controller.queue.state.buckets) == BUCKETS
            if not parts.manager.database_exists("d"):
                await parts.ddl.create_database("d", DatabaseDescriptor(), ignore_if_exists=False)
            if table is not None:
                await drop_table(parts)
            clean = await frame(small)
            await create_table(parts)
            assert len(parts.server.hosted) == BUCKETS
            await drop_table(parts)
            assert await frame(small) == clean
            assert not any(each.startswith("/tabletservers/") and each.count("/") > 2 for each in clean)
            assert not any(each.startswith("/metadata/databases/d/tables/") for each in clean)
            assert small.largest <= SMALL.operations

        over(path, after)
        if finished:
            break
    else:
        pytest.fail("the change did not end")
    assert outcomes == {True, False}


def test_a_name_that_an_official_server_left_can_be_created(tmp_path: Path) -> None:
    """It stores the schema first; a crash then leaves a table node without a value."""

    async def left(parts: Coordinator, small: SmallStore) -> None:
        await parts.ddl.create_database("d", DatabaseDescriptor(), ignore_if_exists=False)
        schema = f"{table_path(T)}/schemas"
        await small.commit([Create(table_path(T)), Create(schema), Create(f"{schema}/1", b"{}")])
        assert parts.manager.find_table(T) is None
        await create_table(parts)  # without a start in between
        await drop_table(parts)
        await small.commit([Create(table_path(T)), Create(schema), Create(f"{schema}/1", b"{}")])

    async def after(parts: Coordinator, small: SmallStore) -> None:
        assert parts.manager.find_table(T) is None
        assert await small.get(table_path(T)) is None
        await create_table(parts)

    over(tmp_path / "m", left)
    over(tmp_path / "m", after)


def test_a_coordinator_that_wrote_a_part_only_writes_nothing_any_more(tmp_path: Path) -> None:
    async def scenario(parts: Coordinator, small: SmallStore) -> None:
        await parts.ddl.create_database("d", DatabaseDescriptor(), ignore_if_exists=False)
        small.remaining = 2
        with pytest.raises(Crash):
            await create_table(parts)
        small.remaining = 100
        await asyncio.wait_for(parts.controller._store.stopped(), 10)
        code = await refused(parts.ddl.create_database("e", DatabaseDescriptor(), ignore_if_exists=False))
        assert code is ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION

    over(tmp_path / "m", scenario)


def test_a_coordinator_with_an_unknown_outcome_writes_nothing_any_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        small = SmallStore(EmbeddedMetadataStore.open(tmp_path / "m", system_runtime()), failure=UnknownOutcome)
        fenced = await fence(small)
        assert fenced.limits.operations == SMALL.operations - 1
        small.remaining = 0
        with pytest.raises(UnknownOutcome) as caught:
            await fenced.commit([Create("/a")])
        assert caught.value.retriable
        small.remaining = 10
        await asyncio.wait_for(fenced.stopped(), 10)
        with pytest.raises(FlussError) as stopped:
            await fenced.commit([Create("/a")])
        assert stopped.value.code is ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION
        assert (await fence(small)).epoch == fenced.epoch + 1
        await small.close()

    asyncio.run(scenario())


# ---------------------------------------------------------------- cutting


def creates(count: int) -> list[StoreOperation]:
    return [Create(f"/a/{number}") for number in range(count)]


def test_batches_keep_the_order_and_the_limits() -> None:
    operations = creates(25)
    batches = in_batches(operations, SMALL)
    assert [len(batch) for batch in batches] == [9, 9, 7]
    assert [operation for batch in batches for operation in batch] == operations
    assert in_batches([], SMALL) == []
    size = operation_bytes(Set("/a", bytes(100)))
    by_size = CommitLimits(operations=100, size_bytes=3 * size, value_bytes=100)
    assert [len(batch) for batch in in_batches([Set("/a", bytes(100))] * 7, by_size)] == [3, 3, 1]
    assert [len(batch) for batch in in_batches([Set("/a", bytes(1000)), Delete("/a")], by_size)] == [1, 1]
    assert by_size.allow([Set("/a", bytes(100))] * 3)
    assert not by_size.allow([Set("/a", bytes(100))] * 4)
    assert not by_size.allow([Set("/a", bytes(101))])


def test_a_small_change_is_one_commit() -> None:
    parts, registration = creates(4), creates(3)
    assert creation_steps(parts, registration, SMALL) == [[*parts, *registration]]
    assert deletion_steps("/t", registration, parts, SMALL) == [[*registration, *parts]]
    assert deletion_steps("/t", [], [], SMALL) == []


def test_the_registration_is_created_last_and_goes_first() -> None:
    parts, registration = creates(20), creates(3)
    assert creation_steps(parts, registration, SMALL) == [parts[:9], parts[9:18], parts[18:], registration]
    assert deletion_steps("/t", registration, parts, SMALL) == [registration, parts[:9], parts[9:18], parts[18:]]
    steps = deletion_steps("/t", creates(20), parts, SMALL)
    assert steps[0][0] == Set("/t", b"")
    assert [operation for step in steps for operation in step] == [Set("/t", b""), *creates(20), *parts]
