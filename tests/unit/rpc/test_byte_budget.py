from __future__ import annotations

import asyncio

from fluss_server.rpc.byte_budget import ByteBudget


def test_what_does_not_fit_waits_in_order_and_nothing_is_held_in_the_end() -> None:
    async def run() -> None:
        budget = ByteBudget(10)
        entered: list[int] = []
        gates = [asyncio.Event() for _ in range(4)]

        async def use(number: int, size: int) -> None:
            async with budget.hold(size):
                entered.append(number)
                await gates[number].wait()

        tasks = [asyncio.create_task(use(number, size)) for number, size in enumerate((6, 6, 2, 100))]
        await asyncio.sleep(0)
        assert entered == [0], "the small one must not overtake the one that waits"
        gates[0].set()
        await tasks[0]
        await asyncio.sleep(0)
        assert entered == [0, 1, 2]
        assert budget.held == 8
        gates[1].set()
        gates[2].set()
        await asyncio.gather(tasks[1], tasks[2])
        await asyncio.sleep(0)
        assert entered == [0, 1, 2, 3], "larger than the limit, but alone"
        gates[3].set()
        await tasks[3]
        assert budget.held == 0

    asyncio.run(run())


def test_nobody_overtakes_one_that_may_begin_and_has_not_run_yet() -> None:
    """Writes are handed to the KV worker in this order."""

    async def run() -> None:
        budget = ByteBudget(10)
        entered: list[int] = []

        async def use(number: int) -> None:
            async with budget.hold(2):
                entered.append(number)

        budget.take(10)
        first = asyncio.create_task(use(1))
        await asyncio.sleep(0)
        budget.release(10)
        assert (budget.held, entered) == (2, [])
        await use(2)
        assert entered == [1, 2]
        await first

        budget.take(10)
        first, given_up = asyncio.create_task(use(3)), asyncio.create_task(use(4))
        await asyncio.sleep(0)
        budget.release(10)
        given_up.cancel()
        await use(5)
        await asyncio.wait([first, given_up])
        assert entered == [1, 2, 3, 5]
        assert budget.held == 0
        async with budget.hold(2):
            assert budget.held == 2, "nothing is left to wait for"

    asyncio.run(run())


def test_a_cancelled_waiter_leaves_no_trace() -> None:
    async def run() -> None:
        budget = ByteBudget(10)

        async def use(size: int, gate: asyncio.Event) -> None:
            async with budget.hold(size):
                await gate.wait()

        gate = asyncio.Event()
        first = asyncio.create_task(use(10, gate))
        waiting = asyncio.create_task(use(10, gate))
        last = asyncio.create_task(use(10, gate))
        await asyncio.sleep(0)
        waiting.cancel()
        gate.set()
        await asyncio.gather(first, last)
        assert waiting.cancelled()
        assert budget.held == 0

    asyncio.run(run())
