"""The store in one file: durability, crashes, full disks, sessions, watches."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path, PurePath
from typing import Any

import pytest

from breakable_disk import BreakableDisk, failing
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata import embedded
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.store import (
    Check,
    Conflict,
    Create,
    Delete,
    Event,
    EventKind,
    MetadataConflict,
    MetadataStore,
    Node,
    Set,
    StoreOperation,
)
from fluss_server.runtime import Disk, system_runtime
from fluss_server.simulation.disk import SECTOR_BYTES
from metadata_contract import MetadataContract, OpenStore


class TestContract(MetadataContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        @asynccontextmanager
        async def opened() -> AsyncIterator[MetadataStore]:
            store = EmbeddedMetadataStore.open(tmp_path / "metadata", system_runtime())
            yield store
            await store.close()

        return opened


Scenario = Callable[[EmbeddedMetadataStore], Coroutine[Any, Any, None]]


def run(path: PurePath, scenario: Scenario, *, close: bool = True, disk: Disk | None = None) -> EmbeddedMetadataStore:
    """Open the store and run ``scenario`` on it; without closing it, the next opening is like one after a crash."""

    async def all_of_it() -> EmbeddedMetadataStore:
        store = EmbeddedMetadataStore.open(path, system_runtime(disk=disk))
        await scenario(store)
        if close:
            await store.close()
        return store

    return asyncio.run(all_of_it())


async def everything(store: MetadataStore, path: str = "/") -> dict[str, Node]:
    found: dict[str, Node] = {}
    for name in await store.children(path):
        child = path.rstrip("/") + "/" + name
        node = await store.get(child)
        assert node is not None
        found[child] = node
        found |= await everything(store, child)
    return found


def content_of(path: PurePath, disk: Disk | None = None) -> dict[str, Node]:
    found: dict[str, Node] = {}

    async def read(store: EmbeddedMetadataStore) -> None:
        found.update(await everything(store))

    run(path, read, close=False, disk=disk)
    return found


def checkpoint_of(path: Path) -> Path:
    return path.with_name(path.name + ".checkpoint")


def committing(*transactions: list[StoreOperation]) -> Scenario:
    async def scenario(store: EmbeddedMetadataStore) -> None:
        for operations in transactions:
            await store.commit(operations)

    return scenario


TRANSACTIONS: list[list[StoreOperation]] = [
    [Create("/a", b"1"), Create("/a/b", b"2")],
    [Set("/a", b"3"), Create("/c")],
    [Delete("/a/b"), Set("/a", b"x" * 50), Create("/d", b"y" * 50), Set("/c", b"z")],
]
AFTER_TWO = {"/a": Node(b"3", 1), "/a/b": Node(b"2", 0), "/c": Node(b"", 0)}
AFTER_THREE = {"/a": Node(b"x" * 50, 2), "/c": Node(b"z", 1), "/d": Node(b"y" * 50, 0)}


@pytest.mark.parametrize("close", [True, False])
def test_what_was_committed_is_there_after_a_restart(tmp_path: Path, close: bool) -> None:
    path = tmp_path / "deep" / "er" / "metadata"
    store = run(path, committing(*TRANSACTIONS), close=close)
    assert store.recovery.created
    assert content_of(path) == AFTER_THREE
    again = run(path, committing())
    assert not again.recovery.created
    assert again.recovery.nodes == 3
    assert again.recovery.transactions == 3
    assert again.recovery.cut_bytes == 0


def test_a_torn_transaction_that_was_not_acknowledged_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "metadata"
    run(path, committing(*TRANSACTIONS[:2]), close=False)
    before, checkpoint = path.stat().st_size, checkpoint_of(path).read_bytes()
    run(path, committing(TRANSACTIONS[2]), close=False)
    data = path.read_bytes()
    for end in range(before, len(data)):
        path.write_bytes(data[:end])
        checkpoint_of(path).write_bytes(checkpoint)
        store = run(path, committing([Create("/new")]), close=False)
        assert store.recovery.cut_bytes == end - before
        assert store.recovery.proven == (end == before)
        assert content_of(path) == AFTER_TWO | {"/new": Node(b"", 0)}
    path.write_bytes(data)
    checkpoint_of(path).write_bytes(checkpoint)
    store = run(path, committing(), close=False)
    assert not store.recovery.proven
    assert content_of(path) == AFTER_THREE


def refused(path: Path) -> FlussError:
    """Open the store, which must be refused and change nothing."""
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(FlussError, match="is damaged") as caught:
        EmbeddedMetadataStore.open(path, system_runtime())
    assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
    assert caught.value.hint is not None
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    return caught.value


@pytest.mark.parametrize("close", [True, False], ids=["closed", "crashed"])
def test_a_flipped_bit_anywhere_is_refused_and_nothing_is_touched(tmp_path: Path, close: bool) -> None:
    path = tmp_path / "metadata"
    run(path, committing(*TRANSACTIONS), close=close)
    data = path.read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        refused(path)
    path.write_bytes(data)
    assert content_of(path) == AFTER_THREE


def test_a_file_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata"
    run(path, committing(*TRANSACTIONS))
    data = path.read_bytes()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        refused(path)


def test_a_flipped_bit_in_the_checkpoint_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metadata"
    run(path, committing(*TRANSACTIONS))
    data, checkpoint = path.read_bytes(), checkpoint_of(path).read_bytes()
    for position in range(len(checkpoint)):
        path.write_bytes(data)
        damaged = bytearray(checkpoint)
        damaged[position] ^= 1 << position % 8
        checkpoint_of(path).write_bytes(damaged)
        store = run(path, committing())
        assert not store.recovery.proven
        assert content_of(path) == AFTER_THREE
        assert run(path, committing()).recovery.proven  # it has been written again
    path.write_bytes(data[:-1])
    checkpoint_of(path).write_bytes(checkpoint[:-1])
    refused(path)  # no crash damages both


def test_an_older_copy_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "metadata"
    run(path, committing(*TRANSACTIONS[:2]))
    copy = path.read_bytes()
    run(path, committing(TRANSACTIONS[2]))
    path.write_bytes(copy)
    error = refused(path)
    assert "older copy" in error.message
    assert "remove its checkpoint" in (error.hint or "")
    checkpoint_of(path).unlink()
    store = run(path, committing())
    assert not store.recovery.proven
    assert content_of(path) == AFTER_TWO


def test_a_missing_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "metadata"
    run(path, committing(*TRANSACTIONS))
    path.unlink()
    assert "missing" in refused(path).message


def test_a_file_of_an_older_program_has_no_checkpoint(tmp_path: Path) -> None:
    """It is taken as it is; what cannot be read at its end is left out, and kept."""
    path = tmp_path / "metadata"
    run(path, committing(*TRANSACTIONS[:2]))
    before = path.stat().st_size
    run(path, committing(TRANSACTIONS[2]))
    data = path.read_bytes()
    checkpoint_of(path).unlink()
    assert content_of(path) == AFTER_THREE
    assert checkpoint_of(path).exists()
    for end in (before + 1, len(data) - 1):
        checkpoint_of(path).unlink()
        path.write_bytes(data[:end])
        assert run(path, committing()).recovery.cut_bytes == end - before
        assert content_of(path) == AFTER_TWO
        assert (tmp_path / "metadata.cut").read_bytes() == data[:end]


def test_transactions_that_do_not_fit_are_damage(tmp_path: Path) -> None:
    from fluss_server.metadata.journal import encode_file, encode_transaction

    path = tmp_path / "metadata"
    data, next_id = encode_file([], 1)
    path.write_bytes(data + encode_transaction(next_id, [("/a/b", Node(b"", 0))]))
    with pytest.raises(FlussError, match="contradicts"):
        EmbeddedMetadataStore.open(path, system_runtime())


def test_conflicts_write_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metadata"

    async def scenario(store: EmbeddedMetadataStore) -> None:
        await store.commit([Create("/a")])
        size = path.stat().st_size
        with pytest.raises(MetadataConflict) as caught:
            await store.commit([Create("/b"), Create("/a")])
        assert caught.value.reason is Conflict.NODE_EXISTS
        assert await store.commit([]) == []
        assert await store.commit([Check("/a", 0)]) == [0]
        assert path.stat().st_size == size
        assert await everything(store) == {"/a": Node(b"", 0)}

    run(path, scenario)


PATH = PurePath("/db/metadata")
ROW = b"x" * 3 * SECTOR_BYTES


def test_a_full_disk_rejects_the_write_and_leaves_everything_as_it_was() -> None:
    disk = BreakableDisk()

    async def scenario(store: EmbeddedMetadataStore) -> None:
        await store.commit([Create("/a", b"1")])
        size = disk.view().size(PATH)
        disk.fault = failing(errno.ENOSPC, ("write", "metadata"))
        with pytest.raises(FlussError, match="No space left") as caught:
            await store.commit([Set("/a", b"2"), Create("/b")])
        assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
        assert disk.view().size(PATH) == size
        assert await everything(store) == {"/a": Node(b"1", 0)}
        disk.fault = failing(0)  # space again
        await store.commit([Create("/c")])

    run(PATH, scenario, close=False, disk=disk.view())
    assert content_of(PATH, disk.view()) == {"/a": Node(b"1", 0), "/c": Node(b"", 0)}


def test_a_full_disk_does_not_prevent_opening() -> None:
    disk = BreakableDisk()
    run(PATH, committing(*TRANSACTIONS), close=False, disk=disk.view())
    disk.fault = failing(errno.ENOSPC, ("write", ""))
    assert content_of(PATH, disk.view()) == AFTER_THREE


@pytest.mark.parametrize("broken", ["metadata", "metadata.checkpoint"])
@pytest.mark.parametrize("restart", [False, True], ids=["", "restart"])
def test_after_a_failed_sync_the_file_is_written_again(broken: str, restart: bool) -> None:
    """The kernel treats the pages of a failed sync as clean: without a new file they would never be on disk."""
    disk = BreakableDisk()

    async def fail(store: EmbeddedMetadataStore) -> None:
        await store.commit([Create("/a")])
        disk.fault = failing(errno.EIO, ("sync", broken), ("sync", "metadata.tmp"))
        waiting = [store.commit([Create(f"/b{number}", ROW)]) for number in range(3)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, FlussError) for result in results)
        assert await everything(store) == {"/a": Node(b"", 0)}
        disk.fault = failing(0)
        disk.operations.clear()
        if not restart:
            await go_on(store)
            assert disk.operations.count(("rename", PATH)) == 1

    async def go_on(store: EmbeddedMetadataStore) -> None:
        await store.commit([Create("/c", ROW)])
        await store.commit([Create("/d")])

    run(PATH, fail, close=False, disk=disk.view())
    if restart:
        run(PATH, go_on, close=False, disk=disk.view())
    disk.lose_power()
    found = content_of(PATH, disk.view())
    assert {"/a": Node(b"", 0), "/c": Node(ROW, 0), "/d": Node(b"", 0)}.items() <= found.items()
    assert restart or "/b0" not in found


def test_the_checkpoint_is_durable_before_a_change_is_acknowledged() -> None:
    disk = BreakableDisk()

    async def scenario(store: EmbeddedMetadataStore) -> None:
        for number in range(5):
            await store.commit([Create(f"/{number}")])
            assert disk.operations[-1] == ("sync", PATH.with_name("metadata.checkpoint"))

    run(PATH, scenario, close=False, disk=disk.view())
    disk.lose_power()
    assert run(PATH, committing(), disk=disk.view()).recovery.proven
    disk.flip_bit(PATH, disk.view().size(PATH) - 1, 0)
    with pytest.raises(FlussError, match="were durable"):
        EmbeddedMetadataStore.open(PATH, system_runtime(disk=disk.view()))


def test_readers_see_a_change_only_when_it_is_durable() -> None:
    entered, proceed = threading.Event(), threading.Event()
    disk = BreakableDisk()

    def wait_in_sync(operation: str, path: PurePath) -> int | None:
        if operation == "sync":
            entered.set()
            assert proceed.wait(10)
        return None

    async def scenario(store: EmbeddedMetadataStore) -> None:
        disk.fault = wait_in_sync
        first = asyncio.ensure_future(store.commit([Create("/a")]))
        second = asyncio.ensure_future(store.commit([Create("/a/b")]))  # sees what the first one makes
        await asyncio.to_thread(entered.wait, 10)
        assert await store.get("/a") is None
        first.cancel()  # the caller goes away; the commit does not
        proceed.set()
        assert await second == [0]
        assert first.cancelled()
        assert await store.get("/a") == Node(b"", 0)

    run(PATH, scenario, disk=disk.view())
    assert set(content_of(PATH, disk.view())) == {"/a", "/a/b"}


def test_the_number_of_waiting_commits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MAX_PENDING_COMMITS", 3)

    async def scenario(store: EmbeddedMetadataStore) -> None:
        results = await asyncio.gather(*(store.commit([Create(f"/{i}")]) for i in range(5)), return_exceptions=True)
        assert [isinstance(result, FlussError) for result in results] == [False, False, False, True, True]
        await store.commit([Create("/later")])

    run(tmp_path / "metadata", scenario)


def test_compaction_keeps_everything_and_shrinks_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MIN_COMPACTION_BYTES", 4096)
    path = tmp_path / "metadata"
    largest = 0

    async def scenario(store: EmbeddedMetadataStore) -> None:
        nonlocal largest
        session = await store.open_session()
        await store.commit([Create("/keep", b"k"), Create("/counter"), Create("/gone", b"e", session)])
        for number in range(400):
            await store.commit([Set("/counter", b"%d" % number)])
            largest = max(largest, path.stat().st_size)
        assert await store.get("/gone") is not None

    store = run(path, scenario, close=False)
    assert largest < 2 * 4096
    assert content_of(path) == {"/keep": Node(b"k", 0), "/counter": Node(b"399", 400)}
    assert store.recovery.transactions == 0


def test_a_compaction_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MIN_COMPACTION_BYTES", 1000)
    disk = BreakableDisk()
    attempts = 0

    async def scenario(store: EmbeddedMetadataStore) -> None:
        nonlocal attempts
        await store.commit([Create("/counter")])
        disk.fault = failing(errno.ENOSPC, ("write", "metadata.tmp"))
        disk.operations.clear()
        for number in range(300):
            await store.commit([Set("/counter", b"%d" % number)])
        attempts = disk.operations.count(("write", PATH.with_name("metadata.tmp")))

    run(PATH, scenario, close=False, disk=disk.view())
    assert 1 < attempts < 10
    disk.lose_power()
    assert content_of(PATH, disk.view()) == {"/counter": Node(b"299", 300)}
    assert disk.view().list(PATH.parent) == ["metadata", "metadata.checkpoint"]


def test_an_unfinished_compaction_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "metadata"
    run(path, committing([Create("/a")]))
    (tmp_path / "metadata.tmp").write_bytes(b"half")
    assert set(content_of(path)) == {"/a"}
    assert sorted(tmp_path.iterdir()) == [path, checkpoint_of(path)]


@pytest.mark.parametrize(
    "broken",
    [("rename", "metadata"), ("sync", "db"), ("rename", "metadata.checkpoint")],
    ids=lambda pair: "-".join(pair),
)
def test_an_unknown_state_after_replacing_is_replaced_again(
    monkeypatch: pytest.MonkeyPatch, broken: tuple[str, str]
) -> None:
    """Which of two files a loss of power would bring back is unknown, so neither is appended to."""
    monkeypatch.setattr(embedded, "MIN_COMPACTION_BYTES", 1000)
    disk = BreakableDisk()
    acknowledged: list[int] = []

    async def count(store: EmbeddedMetadataStore) -> None:
        for number in range(300):
            await store.commit([Set("/counter", b"%d" % number)])
            acknowledged.append(number)

    async def scenario(store: EmbeddedMetadataStore) -> None:
        await store.commit([Create("/counter")])
        disk.fault = failing(errno.EIO, broken)
        with pytest.raises(FlussError, match="could not be written"):
            await count(store)
        for _ in range(3):
            with pytest.raises(FlussError, match="could not be written"):
                await store.commit([Create("/more")])
        disk.fault = failing(0)
        await store.commit([Create("/last")])

    run(PATH, scenario, close=False, disk=disk.view())
    disk.lose_power()
    found = content_of(PATH, disk.view())
    assert found["/counter"].value == b"%d" % acknowledged[-1]
    assert set(found) == {"/counter", "/last"}


def test_ephemeral_nodes_go_with_their_session_and_are_never_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "metadata"

    async def scenario(store: EmbeddedMetadataStore) -> None:
        one, two = await store.open_session(), await store.open_session()
        assert one.session_id != two.session_id
        await store.commit([Create("/ids"), Create("/ids/1", b"x", one), Create("/ids/2", b"y", two)])
        await store.commit([Set("/ids/1", b"z")])
        await one.close()
        await one.close()
        assert one.closed
        assert await store.children("/ids") == ["2"]
        with pytest.raises(MetadataConflict) as caught:
            await store.commit([Create("/ids/3", b"", one)])
        assert caught.value.reason is Conflict.SESSION_CLOSED
        await store.commit([Delete("/ids/2"), Create("/ids/2", b"persistent")])
        await store.commit([Create("/ids/4"), Delete("/ids/4"), Create("/ids/4", b"", two)])
        await store.commit([Delete("/ids/4"), Create("/ids/5")])
        await store.commit([Delete("/ids/5"), Create("/ids/5", b"", two)])
        await store.close()
        assert two.closed

    run(path, scenario)
    assert content_of(path) == {"/ids": Node(b"", 0), "/ids/2": Node(b"persistent", 0)}


def test_watches_report_commits_in_order(tmp_path: Path) -> None:
    async def scenario(store: EmbeddedMetadataStore) -> None:
        watch = store.watch("/a")
        session = await store.open_session()
        await store.commit([Create("/a"), Create("/a/b", b"", session), Create("/other")])
        await store.commit([Set("/a", b"1")])
        await session.close()
        assert [await anext(watch) for _ in range(4)] == [
            Event(EventKind.CREATED, "/a"),
            Event(EventKind.CREATED, "/a/b"),
            Event(EventKind.CHANGED, "/a"),
            Event(EventKind.DELETED, "/a/b"),
        ]
        await store.close()
        assert await anext(watch, None) is None  # the store's end is the watch's end

    run(tmp_path / "metadata", scenario)


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FlussError, match="could not be opened") as caught:
        EmbeddedMetadataStore.open(tmp_path / "file" / "metadata", system_runtime())
    assert caught.value.code is ErrorCode.STORAGE_EXCEPTION


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = EmbeddedMetadataStore.open(tmp_path / "metadata", system_runtime())
        await store.commit([Create("/a", b"x")])
        await store.close()

    asyncio.run(scenario())
    assert (tmp_path / "metadata").stat().st_mode & 0o777 == 0o600
