"""A former leader that does not confirm keeps its bucket from having another one for a limited time only."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator_support import RecordingTabletServer, running
from error_support import refused
from fluss_server.cluster.messages import (
    Heartbeat,
    RegisterServer,
    ResignedLeadership,
    ResignLeaderships,
    ServerNode,
)
from fluss_server.coordinator.events import LeadershipsResigned, ServerLeft
from fluss_server.coordinator.handover_limit import LIMIT_S, HandoverLimit
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TablePath
from fluss_server.runtime.clock import ManualClock
from rpc_support import async_test
from state_machine_support import B0, DESCRIPTOR, FULL, Cluster, leaderships

LIMIT_MS = round(LIMIT_S * 1000)
HEARTBEAT_MS = 500


def resigned() -> Cluster:
    """Server 0 resigns as the leader of a bucket, and does not respond to who leads it now."""
    cluster = Cluster(0, 1, 2)
    cluster.create(0, ((0, 1, 2),))
    resignation = ResignedLeadership(B0, 0, FULL, serves_reads=True)
    cluster.handle(LeadershipsResigned(ResignLeaderships(0, (resignation,))))
    return cluster


def heartbeats(limit: HandoverLimit, clock: ManualClock, cluster: Cluster, milliseconds: int) -> None:
    for _ in range(milliseconds // HEARTBEAT_MS):
        clock.advance(HEARTBEAT_MS)
        for server in (0, 1, 2):
            limit.check(server, cluster.state)


def test_a_former_leader_that_does_not_confirm_loses_its_lease() -> None:
    cluster, clock = resigned(), ManualClock()
    limit = HandoverLimit(clock)
    heartbeats(limit, clock, cluster, LIMIT_MS)
    clock.advance(HEARTBEAT_MS * 2)
    for server in (1, 2):
        limit.check(server, cluster.state)
    with pytest.raises(FlussError) as caught:
        limit.check(0, cluster.state)
    assert caught.value.code is ErrorCode.REQUEST_TIME_OUT
    left = cluster.handle(ServerLeft(0))  # when its lease is over
    assert (1, 1) in [(leadership.leader, server) for leadership, server in leaderships(left)]
    limit.check(0, cluster.state)


def test_every_wait_has_its_own_time() -> None:
    cluster, clock = resigned(), ManualClock()
    limit = HandoverLimit(clock)
    heartbeats(limit, clock, cluster, LIMIT_MS)
    cluster.handle(ServerLeft(0))
    heartbeats(limit, clock, cluster, HEARTBEAT_MS)
    again = resigned()
    heartbeats(limit, clock, again, LIMIT_MS)


def test_a_coordinator_that_was_held_gives_servers_their_time_again() -> None:
    cluster, clock = resigned(), ManualClock()
    limit = HandoverLimit(clock)
    heartbeats(limit, clock, cluster, LIMIT_MS - HEARTBEAT_MS)
    clock.advance(LIMIT_MS)
    limit.check(0, cluster.state)
    heartbeats(limit, clock, cluster, LIMIT_MS)


@async_test
async def test_heartbeats_of_a_former_leader_that_hangs_are_refused(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running(tmp_path / "m", clock) as parts:
        controller = parts.controller
        for server in (4, 5):
            await controller.register(RegisterServer(ServerNode(server), "first"), RecordingTabletServer())
        replicated = DESCRIPTOR.with_properties({"table.replication.factor": "3"})
        descriptor = replace(replicated, bucket_count=3)
        await parts.ddl.create_table(TablePath("fluss", "t"), descriptor, ignore_if_exists=False)
        parts.server.gate = asyncio.Event()
        state = controller.queue.state
        led = [bucket for bucket, found in state.buckets.items() if found.leader == 3]
        assert led
        resigned = tuple(ResignedLeadership(bucket, 0, FULL, serves_reads=True) for bucket in led)
        await controller.resign_leaderships(ResignLeaderships(3, resigned))
        assert state.handovers.keys() == set(led)
        for _ in range(LIMIT_MS // HEARTBEAT_MS + 1):
            await controller.heartbeat(Heartbeat(3, "first"))
            clock.advance(HEARTBEAT_MS)
        assert await refused(controller.heartbeat(Heartbeat(3, "first"))) is ErrorCode.REQUEST_TIME_OUT
        await controller.heartbeat(Heartbeat(4, "first"))
        parts.server.gate.set()
        await controller.settled()
        assert not state.handovers
        await controller.heartbeat(Heartbeat(3, "first"))
