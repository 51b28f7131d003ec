"""Too many waiting fetches: the oldest are answered."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from fluss_server.tablet.parked_fetches import MAX_WOKEN, ParkedFetches
from rpc_support import async_test


def test_the_oldest_gives_way() -> None:
    parked = ParkedFetches(3)
    answered: list[int] = []
    wakes = [lambda number=number: answered.append(number) for number in range(6)]
    for wake in wakes[:3]:
        parked.enter(1, wake)
    parked.leave(wakes[1])
    parked.leave(wakes[1])
    parked.enter(16, wakes[3])
    assert (answered, parked.places, len(parked)) == ([], 3, 3)
    parked.enter(17, wakes[4])
    assert (answered, parked.places, parked.shed) == ([0, 2], 3, 2)
    parked.enter(1000, wakes[5])
    assert (answered, parked.places) == ([0, 2, 3, 4], 63), "one may always wait"
    parked.leave(wakes[5])
    assert (parked.places, len(parked)) == (0, 0)


@async_test
async def test_a_write_that_wakes_many_wakes_some_in_each_iteration() -> None:
    parked = ParkedFetches(10_000)
    woken: list[int] = []
    for number in range(3 * MAX_WOKEN + 1):
        parked.wake(lambda number=number: woken.append(number), "bucket")  # type: ignore[misc]
    counts = [len(woken)]
    while len(woken) < 3 * MAX_WOKEN + 1:
        await asyncio.sleep(0)
        counts.append(len(woken))
        assert len(counts) < 20
    assert counts[0] == MAX_WOKEN
    assert max(after - before for before, after in pairwise(counts)) <= MAX_WOKEN
    assert woken == list(range(3 * MAX_WOKEN + 1))


@async_test
async def test_fetches_of_other_buckets_do_not_wait_for_all_of_one() -> None:
    parked = ParkedFetches(10_000)
    woken: list[str] = []
    for _ in range(10 * MAX_WOKEN):
        parked.wake(lambda: woken.append("busy"), "busy")
    for name in ("first", "second"):
        parked.wake(lambda name=name: woken.append(name), "quiet")  # type: ignore[misc]
    assert woken == ["busy"] * MAX_WOKEN
    await asyncio.sleep(0)
    assert woken[MAX_WOKEN:][:4] == ["busy", "first", "busy", "second"]
    assert len(woken) == 2 * MAX_WOKEN
    for _ in range(9):
        await asyncio.sleep(0)
    assert len(woken) == 10 * MAX_WOKEN + 2
