"""Tasks end when they are cancelled, also when what they wait for ends at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fluss_server.cluster.messages import IdBounds, RegisterServer, ServerNode
from fluss_server.coordinator.control_channel import ControlChannel
from fluss_server.coordinator.events import MetadataChange
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.server_records import CoordinatorRecord
from fluss_server.model.identifiers import TableBucket
from fluss_server.processes.takeover import Takeover
from fluss_server.runtime.clock import SystemClock
from fluss_server.tablet.membership import Membership
from fluss_server.tablet.replica_config import FetcherConfig
from fluss_server.tablet.replica_fetcher import ReplicaFetchers
from fluss_server.tablet.resignations import Resignations
from rpc_support import async_test

LIMIT_S = 5.0
ITERATIONS = range(5)
"""Of the event loop, between the end of a call and the cancellation of who made it."""

REFUSAL = FlussError(ErrorCode.NETWORK_EXCEPTION, "refused")


async def fails_when_cancelled(waiting: asyncio.Event) -> Any:
    """What a connection is that is refused in the moment in which nobody wants it any more."""
    waiting.set()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise REFUSAL from None


class Follower:
    leader = 1
    bucket = TableBucket(1, None, 0)
    is_online = True
    is_aligned = False


@async_test
async def test_fetching_ends() -> None:
    waiting = asyncio.Event()
    fetchers = ReplicaFetchers(
        0, FetcherConfig(backoff_s=0.01), lambda leader: fails_when_cancelled(waiting), SystemClock(), lambda: 0.5
    )
    fetchers.add(cast(Any, Follower()))
    await asyncio.wait_for(waiting.wait(), LIMIT_S)
    await asyncio.wait_for(fetchers.close(), LIMIT_S)


class Refusing:
    """Refuses every call, the first one when it is told to."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def call(self, *arguments: object) -> Any:
        self.called.set()
        await self._answer

    async def refuse(self, iterations: int) -> None:
        """Refuse the call that has come; returns so many iterations of the loop later."""
        await asyncio.wait_for(self.called.wait(), LIMIT_S)
        self._answer.set_exception(REFUSAL)
        for _ in range(iterations):
            await asyncio.sleep(0)


async def ends(closing: Coroutine[Any, Any, None]) -> None:
    """Close something that waits for the end of its task, or fail."""
    task = asyncio.ensure_future(closing)
    done, _ = await asyncio.wait([task], timeout=LIMIT_S)
    assert done, "the task goes on"
    await task


def every_iteration(test: Callable[[Refusing, int], Awaitable[None]]) -> Callable[[int], None]:
    @async_test
    async def run(iterations: int) -> None:
        await test(Refusing(), iterations)

    run.__name__ = test.__name__
    return pytest.mark.parametrize("iterations", ITERATIONS)(run)


class Leader:
    bucket = TableBucket(1, None, 0)
    followers = SimpleNamespace(leader_epoch=3)
    is_closed = False
    is_serving = True


@every_iteration
async def test_reports_of_what_cannot_be_led_end(coordinator: Refusing, iterations: int) -> None:
    reports = Resignations(0, cast(Any, SimpleNamespace(resign_leaderships=coordinator.call)), lambda: 0.0)
    reports.failed(cast(Any, Leader()), FlussError(ErrorCode.STORAGE_EXCEPTION, "bad disk"))
    await coordinator.refuse(iterations)
    await ends(reports.close())


@every_iteration
async def test_a_server_that_waits_for_a_coordinator_can_be_stopped(coordinator: Refusing, iterations: int) -> None:
    member = Membership(
        RegisterServer(ServerNode(1), "first"),
        cast(Any, SimpleNamespace(register=coordinator.call)),
        cast(Any, None),
        SystemClock(),
        interval_s=0.01,
        replaced=lambda refusal: None,
    )
    joining = asyncio.ensure_future(member.join())
    await coordinator.refuse(iterations)
    joining.cancel()
    done, _ = await asyncio.wait([joining], timeout=LIMIT_S)
    assert done, "it goes on to wait"
    assert joining.cancelled()


@every_iteration
async def test_control_requests_end(server: Refusing, iterations: int) -> None:
    async def id_bounds() -> IdBounds:
        return IdBounds(0, 0)

    channel = ControlChannel(
        1,
        cast(Any, SimpleNamespace(update_metadata=server.call)),
        incarnation="first",
        next_sequence=lambda: 1,
        epoch=0,
        coordinator=ServerNode(9),
        id_bounds=id_bounds,
        confirmed=lambda confirmed: None,
        deposed=lambda: None,
        overrun=lambda: None,
        first_backoff_s=0.001,
    )
    channel.send(MetadataChange(dropped_tables=(1,)))
    await server.refuse(iterations)
    await ends(channel.close())


@pytest.mark.parametrize("iterations", ITERATIONS)
@async_test
async def test_watching_the_active_coordinator_ends(iterations: int) -> None:
    looked = asyncio.Event()

    async def nodes() -> list[Any]:
        looked.set()
        return []

    latch = cast(Any, SimpleNamespace(nodes=nodes))
    own = CoordinatorRecord("own", "INTERNAL://localhost:1")
    watch = Takeover(cast(Any, None), latch, own, "INTERNAL", cast(Any, None), SystemClock())
    await watch.start()
    looked.clear()
    await looked.wait()
    await asyncio.sleep(0.01)  # it waits for the next time
    watch._wake.set()
    for _ in range(iterations):
        await asyncio.sleep(0)
    await ends(watch.close())
