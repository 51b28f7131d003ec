"""The store in one file: durability, crashes, full disks, sessions, watches."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

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
    Operation,
    Set,
    deletions_below,
    missing_parents,
)

Scenario = Callable[[EmbeddedMetadataStore], Coroutine[Any, Any, None]]


def run(path: Path, scenario: Scenario, *, close: bool = True) -> EmbeddedMetadataStore:
    """Open the store and run ``scenario`` on it; without closing it, the next opening is like one after a crash."""

    async def all_of_it() -> EmbeddedMetadataStore:
        store = EmbeddedMetadataStore.open(path)
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


def content_of(path: Path) -> dict[str, Node]:
    found: dict[str, Node] = {}

    async def read(store: EmbeddedMetadataStore) -> None:
        found.update(await everything(store))

    run(path, read, close=False)
    return found


def committing(*transactions: list[Operation]) -> Scenario:
    async def scenario(store: EmbeddedMetadataStore) -> None:
        for operations in transactions:
            await store.commit(operations)

    return scenario


TRANSACTIONS: list[list[Operation]] = [
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


def test_a_file_cut_at_every_byte_of_its_last_transaction(tmp_path: Path) -> None:
    path = tmp_path / "metadata"
    run(path, committing(*TRANSACTIONS[:2]), close=False)
    before = path.stat().st_size
    run(path, committing(TRANSACTIONS[2]), close=False)
    data = path.read_bytes()
    for end in range(before, len(data)):
        path.write_bytes(data[:end])
        store = run(path, committing([Create("/new")]), close=False)
        assert store.recovery.cut_bytes == end - before
        assert content_of(path) == AFTER_TWO | {"/new": Node(b"", 0)}
    path.write_bytes(data)
    assert content_of(path) == AFTER_THREE


def test_damage_before_the_tail_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "metadata"
    run(path, committing(*TRANSACTIONS))
    data = path.read_bytes()
    last = data.rindex(b"\xffTX1")  # the mark of the clean close
    for position in range(last):
        damaged = bytearray(data)
        damaged[position] ^= 0x01
        path.write_bytes(damaged)
        with pytest.raises(FlussError, match="damaged") as caught:
            EmbeddedMetadataStore.open(path)
        assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
        assert path.read_bytes() == damaged


def test_transactions_that_do_not_fit_are_damage(tmp_path: Path) -> None:
    from fluss_server.metadata.journal import encode_file, encode_transaction

    path = tmp_path / "metadata"
    data, next_id = encode_file([], 1)
    path.write_bytes(data + encode_transaction(next_id, [("/a/b", Node(b"", 0))]))
    with pytest.raises(FlussError, match="does not fit"):
        EmbeddedMetadataStore.open(path)


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


def test_a_full_disk_rejects_the_write_and_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metadata"

    def write_half(fd: int, data: bytes) -> None:
        os.write(fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def scenario(store: EmbeddedMetadataStore) -> None:
        await store.commit([Create("/a", b"1")])
        size = path.stat().st_size
        with monkeypatch.context() as patch:
            patch.setattr(embedded, "write_all", write_half)
            with pytest.raises(FlussError, match="No space left") as caught:
                await store.commit([Set("/a", b"2"), Create("/b")])
        assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
        assert path.stat().st_size == size
        assert await everything(store) == {"/a": Node(b"1", 0)}
        await store.commit([Create("/c")])  # space again

    run(path, scenario, close=False)
    assert content_of(path) == {"/a": Node(b"1", 0), "/c": Node(b"", 0)}


def test_a_failed_fsync_stops_writing_but_not_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metadata"

    def broken_fsync(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def scenario(store: EmbeddedMetadataStore) -> None:
        await store.commit([Create("/a")])
        waiting = []
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", broken_fsync)
            waiting = [asyncio.ensure_future(store.commit([Create(f"/b{number}")])) for number in range(3)]
            results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, FlussError) for result in results)
        with pytest.raises(FlussError, match="takes no more changes"):
            await store.commit([Create("/c")])
        assert await everything(store) == {"/a": Node(b"", 0)}

    run(path, scenario)
    assert {"/a": Node(b"", 0)}.items() <= content_of(path).items()


def test_readers_see_a_change_only_when_it_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, proceed = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow_fsync(fd: int) -> None:
        entered.set()
        assert proceed.wait(10)
        fsync(fd)

    async def scenario(store: EmbeddedMetadataStore) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", slow_fsync)
            first = asyncio.ensure_future(store.commit([Create("/a")]))
            second = asyncio.ensure_future(store.commit([Create("/a/b")]))  # sees what the first one makes
            await asyncio.to_thread(entered.wait, 10)
            assert await store.get("/a") is None
            first.cancel()  # the caller goes away; the commit does not
            proceed.set()
            assert await second == [0]
        assert first.cancelled()
        assert await store.get("/a") == Node(b"", 0)

    run(tmp_path / "metadata", scenario)
    assert set(content_of(tmp_path / "metadata")) == {"/a", "/a/b"}


def test_concurrent_creations_of_one_node_have_one_winner(tmp_path: Path) -> None:
    async def scenario(store: EmbeddedMetadataStore) -> None:
        results = await asyncio.gather(*(store.commit([Create("/a")]) for _ in range(20)), return_exceptions=True)
        assert results.count([0]) == 1
        assert sum(isinstance(result, MetadataConflict) for result in results) == 19

    run(tmp_path / "metadata", scenario)


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


def test_a_compaction_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MIN_COMPACTION_BYTES", 1000)
    attempts = 0

    def no_space(path: Path, data: bytes) -> None:
        nonlocal attempts
        attempts += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def scenario(store: EmbeddedMetadataStore) -> None:
        await store.commit([Create("/counter")])
        with monkeypatch.context() as patch:
            patch.setattr(embedded, "_write_temporary", no_space)
            for number in range(300):
                await store.commit([Set("/counter", b"%d" % number)])
        assert 1 < attempts < 10

    path = tmp_path / "metadata"
    run(path, scenario, close=False)
    assert content_of(path) == {"/counter": Node(b"299", 300)}
    assert list(tmp_path.iterdir()) == [path]


def test_an_unfinished_compaction_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "metadata"
    run(path, committing([Create("/a")]))
    (tmp_path / "metadata.tmp").write_bytes(b"half")
    assert set(content_of(path)) == {"/a"}
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_state_after_replacing_stops_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MIN_COMPACTION_BYTES", 1000)

    def broken(directory: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def count(store: EmbeddedMetadataStore) -> None:
        for number in range(300):
            await store.commit([Set("/counter", b"%d" % number)])

    async def scenario(store: EmbeddedMetadataStore) -> None:
        await store.commit([Create("/counter")])
        with monkeypatch.context() as patch:
            patch.setattr(embedded, "fsync_directory", broken)
            with pytest.raises(FlussError, match="takes no more changes"):
                await count(store)

    run(tmp_path / "metadata", scenario)
    assert set(content_of(tmp_path / "metadata")) == {"/counter"}


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


def test_after_closing(tmp_path: Path) -> None:
    async def scenario(store: EmbeddedMetadataStore) -> None:
        await store.commit([Create("/a")])
        await store.close()
        await store.close()
        with pytest.raises(FlussError, match="closed"):
            await store.commit([Create("/b")])
        with pytest.raises(FlussError, match="closed"):
            await store.open_session()

    run(tmp_path / "metadata", scenario)


def test_helpers(tmp_path: Path) -> None:
    async def scenario(store: EmbeddedMetadataStore) -> None:
        await store.commit([*await missing_parents(store, "/a/b/c"), Create("/a/b/c")])
        assert await missing_parents(store, "/a/b/d") == []
        await store.commit([Create("/a/b/c/d"), Create("/a/e")])
        await store.commit(await deletions_below(store, "/a"))
        assert await everything(store) == {}

    run(tmp_path / "metadata", scenario)


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FlussError, match="could not be opened") as caught:
        EmbeddedMetadataStore.open(tmp_path / "file" / "metadata")
    assert caught.value.code is ErrorCode.STORAGE_EXCEPTION


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = EmbeddedMetadataStore.open(tmp_path / "metadata")
        await store.commit([Create("/a", b"x")])
        await store.close()

    asyncio.run(scenario())
    assert (tmp_path / "metadata").stat().st_mode & 0o777 == 0o600
