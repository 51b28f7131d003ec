"""Ids of auto-increment columns are reserved on the event loop, ahead of need and in the order of the calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv import id_supply
from fluss_server.kv.auto_increment import IdPool
from fluss_server.kv.id_supply import IdSupply

GREATEST = 2**63 - 1


class Counter:
    """The coordinator: answers when it is told to."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.reserved = 0
        self.open = asyncio.Event()
        self.open.set()
        self.failure: FlussError | None = None

    async def __call__(self, count: int) -> int:
        self.calls.append(count)
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        self.reserved += count
        return self.reserved - count + 1


def run(scenario: Callable[[IdSupply, IdPool, Counter], Awaitable[None]], range_size: int = 10) -> None:
    async def all_of_it() -> None:
        pool, counter = IdPool(threading.Lock()), Counter()
        supply = IdSupply(pool, counter, range_size)
        await scenario(supply, pool, counter)
        await supply.close()

    asyncio.run(all_of_it())


def is_immediate(call: Awaitable[None]) -> bool:
    """Whether a coroutine ends without giving the event loop up."""
    iterator = call.__await__()
    try:
        next(iterator)
    except StopIteration:
        return True
    iterator.close()
    return False


def test_ids_come_in_ranges_and_a_claim_that_is_covered_does_not_wait() -> None:
    async def scenario(supply: IdSupply, pool: IdPool, counter: Counter) -> None:
        await supply.claim(3)
        assert [pool.take(GREATEST) for _ in range(3)] == [1, 2, 3]
        supply.release(3)
        assert is_immediate(supply.claim(5))
        supply.release(5)
        assert counter.calls == [10]
        await supply.claim(25)  # 7 are there
        assert counter.calls == [10, 20]
        assert [pool.take(GREATEST) for _ in range(25)] == list(range(4, 29))

    run(scenario)


def test_claims_of_writes_that_run_do_not_count_twice() -> None:
    async def scenario(supply: IdSupply, pool: IdPool, counter: Counter) -> None:
        await supply.claim(6)
        await supply.claim(6)
        assert pool.available == 20
        assert [pool.take(GREATEST) for _ in range(12)] == list(range(1, 13))
        supply.release(6)
        supply.release(6)
        assert is_immediate(supply.claim(8))

    run(scenario)


def test_the_next_range_is_reserved_before_it_is_needed() -> None:
    async def scenario(supply: IdSupply, pool: IdPool, counter: Counter) -> None:
        await supply.claim(9)
        for _ in range(9):
            pool.take(GREATEST)
        supply.release(9)
        assert counter.calls == [10]
        for _ in range(10):
            await asyncio.sleep(0)
        assert pool.available == 11
        assert counter.calls == [10, 10]
        assert is_immediate(supply.claim(5))

    run(scenario)


def test_claims_are_served_in_the_order_of_the_calls() -> None:
    """Of a writer's batches the second must not reach the worker first, also when its ids are there."""

    async def scenario(supply: IdSupply, pool: IdPool, counter: Counter) -> None:
        await supply.claim(1)
        served: list[int] = []

        async def claim(number: int, count: int) -> None:
            await supply.claim(count)
            served.append(number)

        counter.open.clear()
        tasks = [asyncio.ensure_future(claim(number, count)) for number, count in enumerate([100, 1, 1, 200, 1])]
        for _ in range(10):
            await asyncio.sleep(0)
        assert served == []
        counter.open.set()
        await asyncio.gather(*tasks)
        assert served == [0, 1, 2, 3, 4]

    run(scenario)


def test_a_reservation_that_fails_is_the_error_of_the_claim_and_the_next_one_tries_again() -> None:
    async def scenario(supply: IdSupply, pool: IdPool, counter: Counter) -> None:
        counter.failure = FlussError(ErrorCode.STORAGE_EXCEPTION, "full")
        for _ in range(2):
            with pytest.raises(FlussError, match="full"):
                await supply.claim(1)
        counter.failure = None
        await supply.claim(1)
        assert pool.take(GREATEST) == 1

    run(scenario)


def test_a_claim_does_not_wait_without_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_supply, "RESERVE_LIMIT_S", 0.01)

    async def scenario(supply: IdSupply, pool: IdPool, counter: Counter) -> None:
        counter.open.clear()
        with pytest.raises(FlussError) as caught:
            await supply.claim(1)
        assert caught.value.code is ErrorCode.REQUEST_TIME_OUT
        counter.open.set()  # what was asked for comes late, and is used
        await supply.claim(1)
        assert counter.calls == [10]

    run(scenario)


def test_a_claim_whose_caller_is_gone_claims_nothing() -> None:
    async def scenario(supply: IdSupply, pool: IdPool, counter: Counter) -> None:
        counter.open.clear()
        task = asyncio.ensure_future(supply.claim(4))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        counter.open.set()
        await supply.claim(10)
        assert counter.calls == [10]

    run(scenario)
