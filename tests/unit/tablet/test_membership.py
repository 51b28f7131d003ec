"""How a tablet server stays a member of its cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fluss_server.api.keys import ApiKey
from fluss_server.cluster import server_codecs
from fluss_server.cluster.messages import Heartbeat, Registered, RegisterServer, ServerNode
from fluss_server.cluster.peer import PeerConnection
from fluss_server.cluster.remote_coordinator import RemoteCoordinator
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import RequestContext, ServiceRegistry, rpc
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.runtime import system_runtime
from fluss_server.tablet import membership
from fluss_server.tablet.membership import Membership
from rpc_support import async_test, eventually


class Coordinator:
    """Responds to heartbeats with what comes next; then everything is well.

    Attributes:
        epoch: of the coordinator.
    """

    def __init__(self, *outcomes: Exception) -> None:
        self.epoch = 3
        self.outcomes = list(outcomes)
        self.registrations: list[RegisterServer] = []
        self.beats = 0
        self.went_well = asyncio.Event()

    async def register(self, request: RegisterServer, server: object) -> Registered:
        self.registrations.append(request)
        return Registered(self.epoch, 2_000)

    async def heartbeat(self, request: Heartbeat) -> Registered:
        self.beats += 1
        if self.outcomes:
            raise self.outcomes.pop(0)
        self.went_well.set()
        return Registered(self.epoch, 2_000)


async def with_member(
    coordinator: Coordinator, body: Callable[[Membership, list[FlussError]], Awaitable[None]]
) -> None:
    refusals: list[FlussError] = []
    member = Membership(
        RegisterServer(ServerNode(1), "first"),
        coordinator,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        ManualClock(),
        interval_s=0.001,
        replaced=refusals.append,
    )
    await member.join(clean=False, durable=True)
    try:
        await body(member, refusals)
    finally:
        await member.close()


@async_test
async def test_heartbeats_go_on_after_errors_of_any_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MAX_BACKOFF_S", 0.01)
    away = FlussError(ErrorCode.NETWORK_EXCEPTION, "away")
    coordinator = Coordinator(ValueError("what is that"), away, KeyError("and that"))

    async def body(member: Membership, refusals: list[FlussError]) -> None:
        await asyncio.wait_for(coordinator.went_well.wait(), 10)
        assert coordinator.beats >= 4
        assert refusals == []

    await with_member(coordinator, body)


@async_test
async def test_a_server_that_is_not_known_any_more_registers_again_and_lost_nothing() -> None:
    coordinator = Coordinator(FlussError(ErrorCode.SERVER_NOT_EXIST_EXCEPTION, "who is that"))

    async def body(member: Membership, refusals: list[FlussError]) -> None:
        await asyncio.wait_for(coordinator.went_well.wait(), 10)
        assert [(each.clean, each.durable, each.is_new) for each in coordinator.registrations] == [
            (False, True, True),
            (True, True, False),
        ]
        assert refusals == []

    await with_member(coordinator, body)


@async_test
async def test_a_server_whose_id_another_process_has_taken_is_told() -> None:
    coordinator = Coordinator(FlussError(ErrorCode.INVALID_CONFIG_EXCEPTION, "another process"))

    async def body(member: Membership, refusals: list[FlussError]) -> None:
        for _ in range(1_000):
            if refusals:
                break
            await asyncio.sleep(0.005)
        assert [refusal.message for refusal in refusals] == ["another process"]
        assert coordinator.beats == 1

    await with_member(coordinator, body)


class SilentCoordinator:
    """Takes servers in, hears their heartbeats, and is not heard."""

    def __init__(self) -> None:
        self.clients: list[str] = []
        self.ends = asyncio.Event()

    @rpc(ApiKey.REGISTER_SERVER)
    async def register_server(self, request: Any, context: RequestContext) -> Any:
        return server_codecs.encode_registered(Registered(3, 2_000))

    @rpc(ApiKey.SERVER_HEARTBEAT)
    async def heartbeat(self, request: Any, context: RequestContext) -> Any:
        self.clients.append(context.peer)
        await self.ends.wait()
        return server_codecs.encode_heartbeat_response(Registered(3, 2_000))


@async_test
async def test_a_coordinator_that_was_replaced_grants_nothing() -> None:
    """Its successor may have others lead although this one has not heard of them."""
    coordinator, clock = Coordinator(), ManualClock()
    refusals: list[FlussError] = []
    member = Membership(
        RegisterServer(ServerNode(1), "first"),
        coordinator,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        clock,
        interval_s=0.001,
        replaced=refusals.append,
    )
    await member.join(clean=False, durable=True)
    try:
        until = member.lease.until
        coordinator.epoch = 2
        clock.advance(500)
        beats = coordinator.beats
        await eventually(lambda: coordinator.beats > beats + 2)
        assert member.lease.until == until
        coordinator.epoch = 3
        await eventually(lambda: member.lease.until == until + 0.5)
        assert not refusals
    finally:
        await member.close()


@async_test
async def test_a_coordinator_that_is_not_heard_hears_no_more_over_the_same_connection() -> None:
    """In a cut of one direction no other connection can be opened: there the coordinator notices the silence."""
    runtime, coordinator, interval_s = system_runtime(), SilentCoordinator(), 0.2
    registry = ServiceRegistry(coordinator, internal_listener="INTERNAL")
    server = RpcServer(registry, "127.0.0.1", 0, runtime=runtime, listener="INTERNAL")
    await server.start()
    endpoint = Endpoint("INTERNAL", "127.0.0.1", server.port)
    connection = PeerConnection("the coordinator", lambda: endpoint, network=runtime.network)
    member = Membership(
        RegisterServer(ServerNode(1, (endpoint,)), "first"),
        RemoteCoordinator(connection, heartbeat_interval_s=interval_s),
        None,  # type: ignore[arg-type]
        runtime.clock,
        interval_s=interval_s,
        replaced=lambda refusal: None,
    )
    try:
        await member.join()
        await eventually(lambda: len(set(coordinator.clients)) >= 2)
        assert coordinator.clients.count(coordinator.clients[0]) == 2, "one alone may have been slow"
    finally:
        coordinator.ends.set()
        await member.close()
        await connection.close()
        await server.close(0)


@pytest.mark.parametrize("steps", range(6))
@async_test
async def test_it_ends_also_when_another_coordinator_becomes_active_at_that_moment(steps: int) -> None:
    refusals: list[FlussError] = []
    member = Membership(
        RegisterServer(ServerNode(1), "first"),
        Coordinator(),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        ManualClock(),
        interval_s=60.0,
        replaced=refusals.append,
    )
    await member.join(clean=False, durable=True)
    await asyncio.sleep(0.01)  # it waits for the next heartbeat; a test that comes too early passes
    member.coordinator_changed()
    for _ in range(steps):
        await asyncio.sleep(0)
    closing = asyncio.ensure_future(member.close())
    done, _ = await asyncio.wait([closing], timeout=5)
    assert done
    assert not refusals
