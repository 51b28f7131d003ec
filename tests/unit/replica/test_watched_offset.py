from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.replica.watched_offset import MAX_WOKEN_READERS, MAX_WOKEN_WRITERS, WatchedOffset


def test_writers_wake_exactly_when_their_offset_is_reached() -> None:
    async def run() -> None:
        watermark = WatchedOffset(10)
        assert watermark.reached(10).done()
        first, second, third = watermark.reached(11), watermark.reached(30), watermark.reached(20)
        watermark.advance(20)
        assert first.done()
        assert third.done()
        assert not second.done()
        watermark.advance(15)
        assert watermark.value == 20
        watermark.advance(31)
        assert second.done()

    asyncio.run(run())


def test_of_very_many_writers_some_wake_in_each_iteration() -> None:
    async def run() -> None:
        busy, quiet = WatchedOffset(0), WatchedOffset(0)
        count = 3 * MAX_WOKEN_WRITERS
        writers = [busy.reached(number + 1) for number in range(count)]
        last = busy.reached(count + 1)
        writer = quiet.reached(1)
        busy.advance(count)
        quiet.advance(1)
        assert writer.done(), "those of other buckets do not wait for them"
        done = [sum(future.done() for future in writers)]
        while done[-1] < count:
            await asyncio.sleep(0)
            done.append(sum(future.done() for future in writers))
            assert all(future.done() for future in writers[: done[-1]]), "in order"
            busy.advance(count + 1)  # changes nothing in the order
        assert done == [MAX_WOKEN_WRITERS, 2 * MAX_WOKEN_WRITERS, 3 * MAX_WOKEN_WRITERS]
        await asyncio.sleep(0)
        assert last.done()
        assert busy.waiting_writers == 0

    asyncio.run(run())


def test_of_very_many_readers_some_wake_in_each_iteration() -> None:
    async def run() -> None:
        watermark = WatchedOffset(0)
        woken: list[int] = []

        def reader(number: int) -> Callable[[], None]:
            return lambda: woken.append(number)

        readers = [reader(number) for number in range(2 * MAX_WOKEN_READERS + 1)]
        for wake in readers:
            watermark.add_reader(wake)
        watermark.advance(1)
        assert woken == list(range(MAX_WOKEN_READERS)), "in order"
        watermark.remove_reader(readers[-1])
        watermark.advance(2)
        assert len(woken) == MAX_WOKEN_READERS
        await asyncio.sleep(0)
        assert woken == list(range(2 * MAX_WOKEN_READERS))
        for _ in range(3):
            await asyncio.sleep(0)
        assert woken == 2 * list(range(2 * MAX_WOKEN_READERS)), (
            "once more, for the second movement, without the removed"
        )
        watermark.advance(3)
        assert len(woken) == 5 * MAX_WOKEN_READERS

    asyncio.run(run())


def test_readers_wake_on_every_movement_until_removed() -> None:
    async def run() -> None:
        watermark = WatchedOffset(0)
        moved = asyncio.Event()
        watermark.add_reader(moved.set)
        watermark.advance(1)
        assert moved.is_set()
        moved.clear()
        watermark.advance(1)
        assert not moved.is_set()
        watermark.remove_reader(moved.set)
        watermark.advance(2)
        assert not moved.is_set()

    asyncio.run(run())


def test_failure_reaches_all_waiting_writers_and_wakes_readers() -> None:
    async def run() -> None:
        watermark = WatchedOffset(0)
        moved = asyncio.Event()
        watermark.add_reader(moved.set)
        waiting, cancelled = watermark.reached(5), watermark.reached(6)
        cancelled.cancel()
        watermark.fail(FlussError(ErrorCode.STORAGE_EXCEPTION, "broken"))
        with pytest.raises(FlussError, match="broken"):
            await waiting
        assert moved.is_set()

    asyncio.run(run())
