"""Requests that come while a new leader gets ready go on in their order, whenever the bucket is served."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from error_support import refused
from fluss_server.errors import ErrorCode
from fluss_server.tablet import replica_manager
from fluss_server.tablet.serving_waits import ServingWaits
from fluss_server.tablet.tablet_server import TabletServer
from rpc_support import async_test
from tablet_support import B0, lead, notify, tablet_server
from unit.replica.test_commit import TWO_ROWS

LONG_S = 60.0


async def begin_epoch(server: TabletServer) -> None:
    """Lead a bucket whose newest rows the follower does not have yet."""
    assert await notify(server, lead()) == [None]
    server.replicas.leader(B0).append(TWO_ROWS)
    assert await notify(server, lead(epoch=1)) == [None]


@async_test
async def test_a_request_that_comes_when_the_bucket_has_just_been_served_overtakes_nobody(tmp_path: Path) -> None:
    """Those who waited have not run yet then: an older value would win."""
    order: list[str] = []

    async def ask(name: str) -> None:
        await server.replicas.served_replica(B0)
        order.append(name)

    async with tablet_server(tmp_path) as server:
        await begin_epoch(server)
        asking = [asyncio.ensure_future(ask(name)) for name in ("first", "second")]
        await asyncio.sleep(0)
        opening = server.replicas._hosted[B0].opening
        assert opening is not None
        server.replicas.leader(B0).follower_fetched(2, 2)
        await opening
        assert server.replicas.replica(B0).is_online
        assert order == [], "they have been woken, at most"
        await ask("third")
        assert order == ["first", "second", "third"]
        await asyncio.wait(asking)
        assert not server.replicas._waits
        assert (await server.replicas.served_replica(B0)) is server.replicas.replica(B0)


@async_test
async def test_nobody_waits_for_a_new_leader_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_manager, "SERVING_WAIT_S", 0.01)
    async with tablet_server(tmp_path) as server:
        await begin_epoch(server)
        asking = [refused(server.replicas.served_replica(B0)) for _ in range(3)]
        assert await asyncio.gather(*asking) == [ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION] * 3
        assert not server.replicas._waits


@async_test
async def test_those_who_give_up_are_not_waited_for() -> None:
    waits, order = ServingWaits(), list[int]()
    ready = asyncio.Event()
    opening: asyncio.Task[None] = asyncio.ensure_future(ready.wait())  # type: ignore[arg-type]

    async def ask(number: int, timeout_s: float = LONG_S) -> None:
        await waits.wait(opening, timeout_s)
        order.append(number)

    asking = [asyncio.ensure_future(ask(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert opening in waits
    asking[1].cancel()
    await asyncio.wait([asking[1]])
    ready.set()
    await opening
    asking[2].cancel()  # it has been woken
    await asyncio.wait(asking)
    await ask(4)
    assert order == [0, 3, 4]
    assert opening not in waits


@async_test
async def test_who_came_before_one_whose_time_is_up_goes_on_before_it() -> None:
    """Timers that end at the same time fire in any order."""
    waits, order = ServingWaits(), list[int]()
    opening: asyncio.Task[None] = asyncio.ensure_future(asyncio.sleep(LONG_S))

    async def ask(number: int, timeout_s: float) -> None:
        await waits.wait(opening, timeout_s)
        order.append(number)

    asking = [asyncio.ensure_future(ask(number, timeout_s)) for number, timeout_s in enumerate((LONG_S, 0.0, LONG_S))]
    await asyncio.wait(asking[:2])
    assert order == [0, 1]
    assert not asking[2].done()
    opening.cancel()
    await asyncio.wait(asking)
    assert order == [0, 1, 2]
