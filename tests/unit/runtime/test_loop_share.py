"""However many long requests are under way, one part of one of them runs in an iteration of the event loop."""

from __future__ import annotations

import asyncio

from fluss_server.runtime import ManualClock
from fluss_server.runtime.loop_share import SLICE_S, LoopShare, TimeSlice
from rpc_support import async_test


@async_test
async def test_one_part_runs_in_an_iteration() -> None:
    share = LoopShare()
    iteration = 0
    runs: list[tuple[int, str]] = []

    async def work(name: str) -> None:
        for _ in range(3):
            await share.pause()
            runs.append((iteration, name))

    tasks = [asyncio.ensure_future(work(name)) for name in "abc"]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        iteration += 1
        assert iteration < 100
    assert [name for _, name in runs] == list("abcabcabc")
    iterations = [number for number, _ in runs]
    assert len(set(iterations)) == len(iterations)


@async_test
async def test_a_cancelled_one_holds_nobody_up() -> None:
    share = LoopShare()
    first, second = asyncio.ensure_future(share.pause()), asyncio.ensure_future(share.pause())
    await asyncio.sleep(0)
    first.cancel()
    await second
    await share.pause()


@async_test
async def test_a_slice_pauses_when_it_is_over() -> None:
    clock = ManualClock()
    piece = TimeSlice(LoopShare(), clock)
    steps: list[str] = []
    asyncio.get_running_loop().call_soon(steps.append, "others")
    await piece.pause_if_over()
    assert steps == []
    clock.advance(round(SLICE_S * 1000))
    await piece.pause_if_over()
    assert steps == ["others"]
    await piece.pause_if_over()
