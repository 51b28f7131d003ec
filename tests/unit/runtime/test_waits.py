"""Waits end with the result, the limit, or the cancellation of whoever waits, which always counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fluss_server.runtime.waits import wait_at_most
from rpc_support import async_test

ITERATIONS = range(5)
"""Of the event loop, between the end of what is waited for and a cancellation; the waiter has ended after so many."""


@async_test
async def test_the_result_and_the_failure_are_those_of_what_is_waited_for() -> None:
    async def result() -> int:
        await asyncio.sleep(0)
        return 7

    async def failure() -> int:
        raise ValueError("no")

    for limit_s in (None, 10.0):
        assert await wait_at_most(result(), limit_s) == 7
        with pytest.raises(ValueError, match="no"):
            await wait_at_most(failure(), limit_s)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    ready.set_result(8)
    assert await wait_at_most(ready, 0.0) == 8


@async_test
async def test_after_the_limit_what_was_waited_for_has_ended() -> None:
    ended = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    with pytest.raises(asyncio.TimeoutError):
        await wait_at_most(slow(), 0.01)
    assert ended == [True]


@async_test
async def test_what_ends_when_the_limit_is_over_counts() -> None:
    async def result() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 7
        return 0

    async def failure() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError("no") from None
        return 0

    assert await wait_at_most(result(), 0.01) == 7
    with pytest.raises(ValueError, match="no"):
        await wait_at_most(failure(), 0.01)


async def outcome_of_cancelling(
    settle: Callable[[asyncio.Future[int]], None], iterations: int
) -> tuple[asyncio.Task[int], list[int]]:
    """A task that waits for a coroutine, and is cancelled so many iterations of the loop after that has ended."""
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    discarded: list[int] = []

    async def call() -> int:
        return await answer

    task = asyncio.ensure_future(wait_at_most(call(), 60, discard=discarded.append))
    while not task.done() and not answer.done():
        await asyncio.sleep(0.001)
        settle(answer)
    for _ in range(iterations):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return task, discarded


@pytest.mark.parametrize("iterations", ITERATIONS)
@async_test
async def test_a_cancellation_counts_that_comes_with_the_result(iterations: int) -> None:
    task, discarded = await outcome_of_cancelling(lambda answer: answer.set_result(7), iterations)
    if iterations == ITERATIONS[-1]:
        assert task.result() == 7, "it has ended before"
        assert discarded == []
    elif iterations < 3:
        assert task.cancelled()
        assert discarded == [7]


@pytest.mark.parametrize("iterations", ITERATIONS)
@async_test
async def test_a_cancellation_counts_that_comes_with_a_failure(iterations: int) -> None:
    task, _ = await outcome_of_cancelling(lambda answer: answer.set_exception(ValueError("no")), iterations)
    if iterations == ITERATIONS[-1]:
        assert isinstance(task.exception(), ValueError)
    elif iterations < 3:
        assert task.cancelled()


@async_test
async def test_a_cancellation_counts_that_turns_into_a_result_or_a_failure() -> None:
    for failure in (None, ValueError("no")):
        discarded: list[int] = []

        async def call(failure: Exception | None = failure) -> int:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if failure is not None:
                    raise failure from None
            return 7

        task = asyncio.ensure_future(wait_at_most(call(), 60, discard=discarded.append))
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert discarded == ([7] if failure is None else [])
