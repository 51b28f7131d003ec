"""Connections that use much of the event loop wait for those that use little."""

from __future__ import annotations

import asyncio

import pytest

from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc import connection
from fluss_server.rpc.loop_budget import (
    BUDGET_S,
    CREDIT_S,
    MAX_LIGHT_S,
    MIN_SLICE_S,
    SLICE_S,
    SMALL_REQUEST_S,
    LoopBudget,
    LoopUse,
)
from fluss_server.rpc.request_runner import ChargedSteps
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from rpc_support import RawClient, async_test, eventually, serving


async def order_of(budget: LoopBudget, waiting: dict[str, tuple[LoopUse, bool]], seconds: float) -> list[list[str]]:
    """Who comes in which iteration of the loop; each uses ``seconds``."""
    iterations: list[list[str]] = [[]]
    for name, (use, single) in waiting.items():

        def resume(name: str = name, use: LoopUse = use) -> None:
            iterations[-1].append(name)
            budget.charge(use, seconds)

        budget.wait(resume, use, single)
    for _ in range(20):
        await asyncio.sleep(0)
        iterations.append([])
    return [names for names in iterations if names]


def used(budget: LoopBudget, seconds: float) -> LoopUse:
    """Of a connection that has just used the loop so long."""
    use = LoopUse()
    budget.charge(use, seconds)
    return use


@async_test
async def test_those_that_use_little_come_first_and_all_come() -> None:
    budget = LoopBudget()
    names = {"heavy 1": 0.003, "heavy 2": 0.002, "light 1": 0.0001, "heavy 3": 0.002, "light 2": 0.0}
    uses = {name: used(budget, seconds) for name, seconds in names.items()}
    assert budget.used_s >= BUDGET_S
    waiting = {name: (use, name.startswith("light")) for name, use in uses.items()}
    assert not budget.has_time_for(uses["heavy 1"], single=False)
    assert await order_of(budget, waiting, BUDGET_S) == [
        ["light 2", "light 1", "heavy 1"],
        ["heavy 2"],
        ["heavy 3"],
    ]


@async_test
async def test_light_connections_may_exceed_the_budget() -> None:
    budget = LoopBudget()
    light, heavy = LoopUse(), used(budget, BUDGET_S)
    assert budget.used_s >= BUDGET_S
    assert budget.has_time_for(light, single=False)
    assert not budget.has_time_for(heavy, single=True)
    used(budget, MAX_LIGHT_S - BUDGET_S)
    assert not budget.has_time_for(light, single=True)


@async_test
async def test_one_request_at_a_time_comes_before_many() -> None:
    budget = LoopBudget()
    used(budget, MAX_LIGHT_S)
    uses = {name: used(budget, CREDIT_S / 2) for name in ("many 1", "many 2", "one")}
    iterations = await order_of(budget, {name: (use, name == "one") for name, use in uses.items()}, 0.0)
    assert iterations == [["one", "many 1", "many 2"]]
    many = {f"{number}": (used(budget, CREDIT_S * 1.5), number == 7) for number in range(8)}
    assert next(iter(await order_of(budget, many, BUDGET_S))) == ["0"], "an expensive one is not light"


@async_test
async def test_equal_connections_take_turns() -> None:
    budget = LoopBudget()
    use = {name: LoopUse() for name in ("a", "b", "c")}
    order: list[str] = []

    def wait(name: str) -> None:
        def resume() -> None:
            order.append(name)
            budget.charge(use[name], 0.0004 if name == "c" else 0.0002)
            if len(order) < 100:
                wait(name)

        budget.wait(resume, use[name], False)

    for name in use:
        wait(name)
    for _ in range(30):
        await asyncio.sleep(0)
    assert order.count("a") / order.count("c") == pytest.approx(2, rel=0.2), order
    assert abs(order.count("a") - order.count("b")) <= 1


@async_test
async def test_slices_are_short_while_many_wait() -> None:
    budget = LoopBudget()
    assert budget.slice_s == SLICE_S
    used(budget, BUDGET_S)
    for _ in range(9):
        budget.wait(lambda: None, LoopUse(), False)
    assert budget.slice_s == pytest.approx(0.001)
    for _ in range(1000):
        budget.wait(lambda: None, LoopUse(), False)
    assert budget.slice_s == MIN_SLICE_S


@async_test
async def test_light_connections_do_not_keep_the_others_waiting() -> None:
    """New connections have used nothing, however many come."""
    budget = LoopBudget()
    served: list[str] = []
    heavy = used(budget, 0.5)

    def arrive(name: str, use: LoopUse, single: bool) -> None:
        def resume() -> None:
            served.append(name)
            budget.charge(use, 0.001)
            arrive(name, use if name == "heavy" else LoopUse(), single)

        budget.wait(resume, use, single)

    arrive("heavy", heavy, False)
    for _ in range(20):
        arrive("new", LoopUse(), True)
    for _ in range(10):
        await asyncio.sleep(0)
    assert served.count("heavy") == 10
    assert served.count("new") >= 10 * (BUDGET_S / 0.001)


@async_test
async def test_nobody_waits_long_for_what_it_used_before() -> None:
    budget = LoopBudget()
    served: list[str] = []
    heavy = used(budget, 0.5)

    def arrive(name: str, use: LoopUse) -> None:
        def resume() -> None:
            served.append(name)
            budget.charge(use, 0.001)
            arrive(name, use)

        budget.wait(resume, use, False)

    others = {f"{number}": used(budget, 0.001) for number in range(4)}
    for name, use in {**others, "heavy": heavy}.items():
        arrive(name, use)
    for _ in range(len(others)):
        await asyncio.sleep(0)
    assert served.index("heavy") == len(others)


@async_test
async def test_an_expensive_request_makes_nobody_heavy_for_ever() -> None:
    """A client that asks again only after a response pays with one turn for what it was charged."""
    budget = LoopBudget()
    use = used(budget, 0.02)
    other = used(budget, 0.05)
    turns: list[int] = []
    for _ in range(2):
        served: list[str] = []
        budget.wait(lambda: served.append("one"), use, True)  # noqa: B023
        budget.wait(lambda: served.append("other"), other, False)  # noqa: B023
        for _ in range(3):
            await asyncio.sleep(0)
        turns.append(served.index("one"))
    assert turns == [0, 0]


@async_test
async def test_a_small_request_comes_at_once_however_many_wait() -> None:
    """An equal part of very many is less than what a client needs that sends a small request now and then."""
    budget, served = LoopBudget(), []

    def arrive(name: str, use: LoopUse, seconds: float, single: bool) -> None:
        def resume() -> None:
            served.append(name)
            budget.charge(use, seconds)
            arrive(name, use, seconds, single)

        budget.wait(resume, use, single)

    for number in range(200):
        arrive(f"{number}", used(budget, 0.0005), 0.0005, False)
    arrive("small", LoopUse(), SMALL_REQUEST_S, True)
    arrive("large", LoopUse(), 4 * SMALL_REQUEST_S, True)
    for _ in range(100):
        await asyncio.sleep(0)
    assert served.count("small") >= 99
    assert served.count("large") < 50
    assert len(set(served)) == 202, "and everybody comes"


@async_test
async def test_use_that_nobody_notices_costs_no_callback() -> None:
    """A callback in every iteration makes the loop poll twice for a single request."""
    budget, use = LoopBudget(), LoopUse()
    scheduled = []
    loop = asyncio.get_running_loop()
    call_soon = loop.call_soon
    loop.call_soon = lambda *args, **options: (scheduled.append(args), call_soon(*args, **options))[1]  # type: ignore
    try:
        for _ in range(8):
            budget.charge(use, 0.0001)
        assert not scheduled
        budget.charge(use, 0.0002)
        assert len(scheduled) == 1
    finally:
        del loop.call_soon


@async_test
async def test_use_is_forgotten_when_nobody_waits() -> None:
    budget = LoopBudget()
    use = used(budget, 1.0)
    assert not budget.has_time_for(use, single=True)
    await asyncio.sleep(0)
    used(budget, BUDGET_S)
    assert budget.has_time_for(use, single=True)


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

    def charge(budget: LoopBudget, use: LoopUse, seconds: float) -> None:
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
