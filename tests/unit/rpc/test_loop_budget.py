"""Connections that use much of the event loop wait for those that use little."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from fluss_server.api.keys import ApiKey
from fluss_server.rpc.loop_budget import BUDGET_S, MAX_LIGHT_S, LoopBudget, LoopUse
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from rpc_support import RawClient, async_test, serving


@async_test
async def test_those_that_use_little_come_first_and_all_come() -> None:
    budget = LoopBudget()
    order: list[str] = []
    budget.charge(MAX_LIGHT_S)
    assert not budget.allows(light=False)
    assert not budget.allows(light=True)
    for name in ("heavy 1", "heavy 2", "light 1", "light 2"):

        def resume(name: str = name) -> None:
            order.append(name)
            budget.charge(BUDGET_S)

        budget.wait(resume, name.startswith("light"))
    counts = []
    while len(order) < 4:
        await asyncio.sleep(0)
        counts.append(len(order))
        assert len(counts) < 10
    assert order == ["light 1", "light 2", "heavy 1", "heavy 2"]
    assert max(after - before for before, after in pairwise([0, *counts])) <= 2


@pytest.mark.parametrize(("seconds", "light"), [(0.01, True), (0.03, False)])
def test_use_is_forgotten(seconds: float, light: bool) -> None:
    use = LoopUse(0.0)
    use.add(0.0, seconds)
    assert use.is_light(seconds) == light
    assert use.is_light(seconds + 10)


class Slow:
    """Responds at once, after some milliseconds of work on the loop."""

    @rpc(ApiKey.LOOKUP, raw=True)
    def work(self, request: memoryview, context: RequestContext) -> ResponseBody:
        end = asyncio.get_running_loop().time() + 0.003
        while asyncio.get_running_loop().time() < end:
            pass
        return [b"slow"]

    @rpc(ApiKey.SCAN_KV, raw=True)
    def quick(self, request: memoryview, context: RequestContext) -> ResponseBody:
        return [b"quick"]


@async_test
async def test_a_quiet_client_does_not_wait_for_a_flood() -> None:
    async with (
        serving(Slow()) as server,
        RawClient.connected(server.port) as quiet,
        RawClient.connected(server.port) as flood,
    ):
        count, received = 100, 0
        first = asyncio.Event()

        async def receive_all() -> None:
            nonlocal received
            for _ in range(count):
                await flood.receive()
                received += 1
                first.set()

        for number in range(count):
            flood.send(ApiKey.LOOKUP, b"", number)
        receiving = asyncio.ensure_future(receive_all())
        await first.wait()
        quiet.send(ApiKey.SCAN_KV, b"", 1)
        assert bytes((await quiet.receive()).body) == b"quick"
        assert received < count // 2, "the quiet client waited for the flood"
        await receiving
