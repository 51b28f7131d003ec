"""Connections that use much of the event loop wait for those that use little."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc import connection
from fluss_server.rpc.loop_budget import (
    BUDGET_S,
    DELAY_PER_USE,
    MAX_LIGHT_S,
    MIN_SLICE_S,
    SLICE_S,
    LoopBudget,
    LoopUse,
)
from fluss_server.rpc.request_runner import ChargedSteps
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from rpc_support import RawClient, async_test, eventually, serving


def used(seconds: float, at: float = 0.0) -> LoopUse:
    """Of a connection that used the loop so long, until ``at``."""
    use = LoopUse(at - seconds)
    use.add(at - seconds, at)
    return use


@async_test
async def test_those_that_use_little_come_first_and_all_come() -> None:
    budget = LoopBudget()
    order: list[str] = []
    budget.charge(MAX_LIGHT_S)
    assert not budget.allows(light=False)
    assert not budget.allows(light=True)
    uses = {"heavy 1": 0.3, "heavy 2": 0.2, "light 1": 0.01, "light 2": 0.0, "heavy 3": 0.2}
    for name, seconds in uses.items():

        def resume(name: str = name) -> None:
            order.append(name)
            budget.charge(BUDGET_S)

        budget.wait(resume, used(seconds), now=0.0)
    counts = []
    while len(order) < len(uses):
        await asyncio.sleep(0)
        counts.append(len(order))
        assert len(counts) < 20
    assert order == ["light 2", "light 1", "heavy 2", "heavy 3", "heavy 1"]
    assert max(after - before for before, after in pairwise([0, *counts])) <= 2


@async_test
async def test_slices_are_short_while_many_wait() -> None:
    budget = LoopBudget()
    assert budget.slice_s == SLICE_S
    budget.charge(BUDGET_S)
    for _ in range(9):
        budget.wait(lambda: None, used(0.1), now=0.0)
    assert budget.slice_s == pytest.approx(0.001)
    for _ in range(1000):
        budget.wait(lambda: None, used(0.1), now=0.0)
    assert budget.slice_s == MIN_SLICE_S


@async_test
async def test_nobody_waits_for_all_who_come_later() -> None:
    budget = LoopBudget()
    order: list[str] = []
    uses = used(0.01)
    budget.charge(MAX_LIGHT_S)
    budget.wait(lambda: order.append("first"), uses, now=0.0)
    for milliseconds in range(1, 30):
        now = milliseconds / 1000
        name = f"{milliseconds} ms later"
        budget.wait(lambda name=name: order.append(name), LoopUse(now), now=now)  # type: ignore[misc]
    await asyncio.sleep(0)
    assert order.index("first") == pytest.approx(10 * DELAY_PER_USE, abs=1)
    assert len(order) == 30


@async_test
async def test_use_that_nobody_notices_costs_no_callback() -> None:
    """A callback in every iteration makes the loop poll twice for a single request."""
    budget = LoopBudget()
    scheduled = []
    loop = asyncio.get_running_loop()
    call_soon = loop.call_soon
    loop.call_soon = lambda *args, **options: (scheduled.append(args), call_soon(*args, **options))[1]  # type: ignore
    try:
        for _ in range(9):
            budget.charge(0.00003)
        assert not scheduled
        budget.charge(0.0001)
        assert len(scheduled) == 1
    finally:
        del loop.call_soon


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


class Waiting:
    """Works on the loop before and after a wait, in a time that only its clock shows."""

    def __init__(self) -> None:
        self.now = 0.0
        self.go_on = asyncio.Event()
        self.failed = False

    def work(self, seconds: float) -> None:
        self.now += seconds

    @rpc(ApiKey.LOOKUP, raw=True)
    async def method(self, request: memoryview, context: RequestContext) -> ResponseBody:
        self.work(0.5)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.failed = True
            raise
        self.work(0.25)
        return [b"done"]


@async_test
async def test_later_steps_of_a_request_are_charged_to_its_connection() -> None:
    service = Waiting()
    charged: list[tuple[float, float]] = []

    async def run() -> ResponseBody:
        return await ChargedSteps(
            service.method(memoryview(b""), RequestContext(ApiKey.LOOKUP)),
            lambda: service.now,
            lambda begin, end: charged.append((begin, end)),
        )

    task = asyncio.ensure_future(run())
    await asyncio.sleep(0)
    service.work(100)  # of others
    service.go_on.set()
    assert await task == [b"done"]
    assert charged == [(0.0, 0.5), (100.5, 100.75)]

    service.go_on.clear()
    task = asyncio.ensure_future(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert service.failed
    assert len(charged) == 4


class StartsAtOnce:
    """Tells which parts of its method run in a task."""

    def __init__(self) -> None:
        self.in_task: list[bool] = []
        self.go_on = asyncio.Event()
        self.cancelled = 0

    @rpc(ApiKey.LOOKUP, raw=True, cancel_on_disconnect=True, starts_at_once=True)
    async def method(self, request: memoryview, context: RequestContext) -> ResponseBody:
        self.in_task.append(asyncio.current_task() is not None)
        if bytes(request) == b"fail":
            raise FlussError(ErrorCode.CORRUPT_MESSAGE, "no")
        if bytes(request) == b"wait":
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            self.in_task.append(asyncio.current_task() is not None)
        return [b"done"]


@async_test
async def test_a_method_may_start_with_its_request() -> None:
    """So that its first step counts in the time for which requests may be started."""
    service = StartsAtOnce()
    async with serving(service) as server, RawClient.connected(server.port) as client:
        client.send(ApiKey.LOOKUP, b"at once", 1)
        assert bytes((await client.receive()).body) == b"done"
        client.send(ApiKey.LOOKUP, b"fail", 2)
        assert (await client.receive_error())[0] == ErrorCode.CORRUPT_MESSAGE
        client.send(ApiKey.LOOKUP, b"wait", 3)
        await eventually(lambda: len(service.in_task) == 3)
        service.go_on.set()
        assert bytes((await client.receive()).body) == b"done"
        assert service.in_task == [False, False, False, True]
        service.go_on.clear()
        client.send(ApiKey.LOOKUP, b"wait", 4)
        await eventually(lambda: len(service.in_task) == 5)
        client.reset()
        await eventually(lambda: service.cancelled == 1)
        await eventually(lambda: server.connection_count == 0)
        assert server.request_memory.held == 0


@async_test
async def test_receiving_long_requests_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the loop's time before anybody can measure it."""
    monkeypatch.setattr(connection, "RECEIVE_S_PER_BYTE", 1.0)
    charged = 0.0

    def charge(budget: LoopBudget, seconds: float) -> None:
        nonlocal charged
        charged += seconds

    monkeypatch.setattr(LoopBudget, "charge", charge)
    async with serving(Slow()) as server, RawClient.connected(server.port) as client:
        client.send(ApiKey.SCAN_KV, bytes(1000), 1)
        assert bytes((await client.receive()).body) == b"quick"
        assert charged < 1
        client.send(ApiKey.SCAN_KV, bytes(1 << 20), 2)
        assert bytes((await client.receive()).body) == b"quick"
        assert 1 << 19 < charged < 2 << 20
