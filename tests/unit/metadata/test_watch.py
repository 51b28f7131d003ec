"""The bounded queue behind a watch."""

from __future__ import annotations

import asyncio

import pytest

from fluss_server.metadata.store import Event, EventKind
from fluss_server.metadata.watch import QueueWatch


def changed(path: str) -> Event:
    return Event(EventKind.CHANGED, path)


def test_only_events_at_and_below_the_path() -> None:
    async def scenario() -> None:
        closed: list[QueueWatch] = []
        watch = QueueWatch("/a", 10, closed.append)
        watch.offer([changed("/a"), changed("/a/b"), changed("/ab"), changed("/"), changed("/b")])
        assert [await anext(watch), await anext(watch)] == [changed("/a"), changed("/a/b")]
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        watch.offer([changed("/b")])
        watch.offer([changed("/a/c")])
        assert await waiting == changed("/a/c")
        watch.close()
        watch.close()
        watch.offer([changed("/a")])
        assert [event async for event in watch] == []
        assert closed == [watch]

    asyncio.run(scenario())


def test_root_watches_everything() -> None:
    async def scenario() -> None:
        watch = QueueWatch("/", 10, lambda _: None)
        watch.offer([changed("/x/y")])
        assert await anext(watch) == changed("/x/y")

    asyncio.run(scenario())


def test_a_slow_reader_is_told_that_it_missed_something() -> None:
    async def scenario() -> None:
        watch = QueueWatch("/a", 2, lambda _: None)
        watch.offer([changed("/a/1"), changed("/a/2"), changed("/a/3"), changed("/a/4")])
        assert await anext(watch) == Event(EventKind.OVERFLOW, "/a")
        assert await anext(watch) == changed("/a/4")

    asyncio.run(scenario())


def test_closing_wakes_the_reader() -> None:
    async def scenario() -> None:
        watch = QueueWatch("/a", 2, lambda _: None)
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        watch.close()
        with pytest.raises(StopAsyncIteration):
            await waiting

    asyncio.run(scenario())


def test_capacity_must_be_positive() -> None:
    with pytest.raises(ValueError, match="capacity"):
        QueueWatch("/a", 0, lambda _: None)
