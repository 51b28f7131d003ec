"""A standby says so to the active coordinator, and no more once it may become active itself."""

from __future__ import annotations

import asyncio
from typing import Any

from fluss_server.api.keys import ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.coordinator.standby_coordinators import MEMORY_S, SETTLE_S
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.processes.standing_by import StandingBy
from fluss_server.runtime.runtime import system_runtime
from rpc_support import async_test, eventually

CLOCK = system_runtime().clock


class Active:
    """The connection to an active coordinator.

    Attributes:
        epoch: of that coordinator.
        requests: that it has had.
        responds: whether it responds now; calls wait for it.
        failures: what the next calls raise.
    """

    def __init__(self) -> None:
        self.epoch = 3
        self.requests: list[Any] = []
        self.responds = asyncio.Event()
        self.responds.set()
        self.failures: list[Exception] = []

    async def call(self, key: ApiKey, request: Any, *, timeout_s: float) -> Any:
        assert key is ApiKey.STAND_BY
        self.requests.append(request)
        issued = len(self.requests)
        if self.failures:
            raise self.failures.pop()
        await self.responds.wait()
        return message_class("StandByResponse")(coordinator_id="active", coordinator_epoch=self.epoch, issued_us=issued)


async def until_requests(active: Active, more: int) -> Any:
    """The newest request when there are so many more."""
    target = len(active.requests) + more
    await eventually(lambda: len(active.requests) >= target)
    return active.requests[-1]


@async_test
async def test_each_request_returns_the_time_of_the_last_response_in_that_epoch() -> None:
    active = Active()
    standby = StandingBy(active, "standby", CLOCK)  # type: ignore[arg-type]
    standby.start()
    try:
        await until_requests(active, 3)
        first, second, third = active.requests[:3]
        assert not first.HasField("confirmed_us")
        assert (second.coordinator_epoch, second.confirmed_us) == (3, 1)
        assert (third.coordinator_epoch, third.confirmed_us) == (3, 2)
        active.failures = [ValueError("unexpected"), FlussError(ErrorCode.NETWORK_EXCEPTION, "away")]
        await until_requests(active, 4)
        assert active.requests[-1].HasField("confirmed_us"), "it goes on after errors of any kind"
    finally:
        await standby.close()


@async_test
async def test_it_is_silent_for_some_time_before_it_may_begin_an_epoch() -> None:
    active = Active()
    standby = StandingBy(active, "standby", CLOCK)  # type: ignore[arg-type]
    standby.start()
    try:
        assert await StandingBy(active, "unknown", CLOCK).pause() is None  # type: ignore[arg-type]
        await until_requests(active, 3)
        begin, requests = CLOCK.monotonic(), len(active.requests)
        enrollment = await standby.pause()
        assert enrollment is not None
        assert (enrollment.coordinator_id, enrollment.epoch) == ("active", 3)
        assert begin - 1.0 < enrollment.until - MEMORY_S <= CLOCK.monotonic() - SETTLE_S
        await asyncio.sleep(0.3)
        assert len(active.requests) == requests
    finally:
        await standby.close()


@async_test
async def test_it_never_stands_by_for_a_coordinator_that_it_has_replaced() -> None:
    active = Active()
    standby = StandingBy(active, "standby", CLOCK)  # type: ignore[arg-type]
    standby.start()
    try:
        await until_requests(active, 2)
        active.responds.clear()
        await until_requests(active, 1)
        await standby.pause()
        standby.resume(4)
        active.responds.set()  # the response of the time before its epoch
        await until_requests(active, 4)
        assert not any(request.HasField("confirmed_us") for request in active.requests[3:])
        assert standby._enrollment is None
        active.epoch = 5
        await until_requests(active, 2)
        assert (active.requests[-1].coordinator_epoch, active.requests[-1].HasField("confirmed_us")) == (5, True)
    finally:
        await standby.close()
