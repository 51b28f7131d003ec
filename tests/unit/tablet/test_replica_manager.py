"""A server opens, changes and stops replicas as it is told, and refuses what is out of date. Real files, no network."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from error_support import refused
from fluss_server.cluster.messages import (
    AWAITS_LEASES,
    NotifyLeaderAndIsr,
    ReplicaStop,
    StopReplicas,
    TableMetadata,
    UpdateMetadata,
)
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.table import TableDescriptor
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.runtime import system_runtime
from rpc_support import async_test
from tablet_support import B0, BUCKETS, DOCUMENT, SNAPSHOT, Coordinator, T, lead, leads, names, notify, tablet_server

LEASE_MS = 2_000


@async_test
async def test_nothing_is_open_before_it_is_told_so(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        with pytest.raises(FlussError) as caught:
            server.replicas.replica(B0)
        assert caught.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER, "the metadata knows the bucket"
        with pytest.raises(FlussError) as caught:
            server.replicas.replica(TableBucket(7, None, 0))
        assert caught.value.code is ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION
        assert names(tmp_path) == []
        assert await notify(server, lead(0), lead(1)) == [None, None]
        assert server.replicas.replica(B0).is_online
        assert sorted(path.name for path in (tmp_path / "d" / "t-0").iterdir()) == ["log-0", "log-1"]


@async_test
async def test_a_repetition_changes_nothing(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        first, second = await asyncio.gather(notify(server, lead()), notify(server, lead()))
        assert first == second == [None]
        replica = server.replicas.replica(B0)
        assert await notify(server, lead()) == [None]
        assert await notify(server, lead(bucket_epoch=3)) == [None]
        assert server.replicas.replica(B0) is replica


@async_test
async def test_a_bucket_may_be_named_twice(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        assert await notify(server, lead(), lead(leader=2, epoch=1)) == [None, None]
        assert server.replicas.find(B0) is None, "the later one counts"


@async_test
async def test_a_request_that_is_given_up_goes_on(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        first = asyncio.ensure_future(notify(server, lead()))
        await asyncio.sleep(0)
        first.cancel()
        assert await notify(server, lead()) == [None]
        assert server.replicas.replica(B0).is_online


@async_test
async def test_what_is_out_of_date_is_refused(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        await notify(server, lead(epoch=5, bucket_epoch=8))
        stale = [lead(epoch=4, bucket_epoch=9), lead(epoch=5, bucket_epoch=7)]
        assert await notify(server, stale[0]) == [ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION]
        assert await notify(server, stale[1]) == [ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION]
        strange = lead(1)._replace(replicas=(2, 3))
        assert await notify(server, strange) == [ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION]
        unknown = lead()._replace(bucket=TableBucket(5, None, 0))
        assert await notify(server, unknown) == [ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION]
        stop = ReplicaStop(B0, 4, delete=True)
        response = await server.stop_replicas(StopReplicas(0, (stop,)))
        failure = response.replicas[0].failure
        assert failure is not None
        assert failure.code is ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION
        assert server.replicas.replica(B0).is_online
        await notify(server, lead(1), epoch=3)
        requests = (
            server.notify_leader_and_isr(NotifyLeaderAndIsr(2, (lead(1, epoch=9),))),
            server.update_metadata(UpdateMetadata(2, dropped_tables=(0,))),
            server.stop_replicas(StopReplicas(2, (ReplicaStop(B0, 9, delete=True),))),
        )
        for request in requests:
            assert await refused(request) is ErrorCode.INVALID_COORDINATOR_EXCEPTION
        assert server.metadata.table(0) == T


@async_test
async def test_a_replica_that_another_server_leads_serves_nothing(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        await notify(server, lead())
        replica = server.replicas.replica(B0)
        assert await notify(server, lead(leader=2, epoch=1)) == [None]
        with pytest.raises(FlussError) as caught:
            server.replicas.replica(B0)
        assert caught.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert server.replicas.find(B0) is None
        assert await notify(server, lead(epoch=2)) == [None]
        assert replica.is_closed, "it was of an earlier leader epoch"
        assert server.replicas.replica(B0).log is replica.log


@async_test
async def test_replicas_meet_a_new_definition_before_clients_do(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        await notify(server, lead())
        columns = [*DOCUMENT["schema"]["columns"], {"name": "b", "data_type": {"type": "INTEGER"}}]  # type: ignore[index]
        wider = TableDescriptor.from_json({**DOCUMENT, "schema": {"columns": columns}})
        altered = replace(T, schema_id=2, descriptor=wider)
        await server.update_metadata(UpdateMetadata(0, tables=(TableMetadata(altered, BUCKETS, ((1, T.schema),)),)))
        assert server.replicas.replica(B0).table == altered
        assert server.metadata.find_table(T.path) == altered
        assert [server.metadata.schema(0, number).names for number in (1, 2)] == [("a",), ("a", "b")]


@async_test
async def test_a_server_leaves_when_it_is_asked_to(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        await server.leave()
        coordinator = server._coordinator
        assert isinstance(coordinator, Coordinator)
        assert coordinator.shutdowns == [1]


@async_test
async def test_after_a_lapse_of_the_lease_a_leadership_counts_when_it_is_repeated(tmp_path: Path) -> None:
    """The new lease may come before the news that another server has been elected meanwhile."""
    clock = ManualClock()
    async with tablet_server(tmp_path, runtime=system_runtime(clock=clock), lease_ms=LEASE_MS) as server:
        assert await notify(server, lead()) == [None]
        assert leads(server)
        clock.advance(LEASE_MS)
        server.replicas.begin_rejoining()
        server.membership.lease.grant(clock.monotonic(), LEASE_MS)
        assert not leads(server)
        assert await notify(server, lead()) == [None]
        assert not leads(server), "a notification from before the new membership"
        await server.update_metadata(SNAPSHOT)
        assert not leads(server)
        assert await notify(server, lead()) == [None]
        assert leads(server)


@async_test
async def test_a_leader_that_changes_the_isr_while_it_joins_again_is_confirmed(tmp_path: Path) -> None:
    """Else nobody serves the bucket: the coordinator does not repeat that it leads."""
    clock = ManualClock()
    async with tablet_server(tmp_path, runtime=system_runtime(clock=clock), lease_ms=LEASE_MS) as server:
        assert await notify(server, lead(bucket_epoch=5)) == [None]
        clock.advance(LEASE_MS)
        server.replicas.begin_rejoining()
        server.membership.lease.grant(clock.monotonic(), LEASE_MS)
        assert await notify(server, lead(bucket_epoch=4)) == [ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION]
        assert not leads(server), "a notification from before the new membership"
        await server.update_metadata(SNAPSHOT)
        assert await notify(server, lead(bucket_epoch=4)) == [None]
        assert leads(server)
        followers = server.replicas.leader(B0).followers
        assert followers is not None
        assert followers.isr.bucket_epoch == 5


@async_test
async def test_a_server_that_leaves_leads_only_what_nobody_else_can(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        assert await notify(server, lead(0), lead(1)) == [None, None]
        server.replicas.pause_reads()
        with pytest.raises(FlussError) as caught:
            server.replicas.replica(B0)
        assert caught.value.code is ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION, "another may acknowledge more by now"
        assert server.replicas.leader(B0).is_online, "writes and followers go on"
        await server.replicas.hand_over((TableBucket(0, None, 1),))
        assert not leads(server)
        assert server.replicas.replica(TableBucket(0, None, 1)).is_serving
        assert await notify(server, lead(epoch=1)) == [None]
        assert leads(server), "it did not stop after all"


@async_test
async def test_a_server_that_leaves_serves_nothing_that_others_may_lead_by_now(tmp_path: Path) -> None:
    """The coordinator may have moved the leadership, and its response was lost."""
    async with tablet_server(tmp_path) as server:
        assert await notify(server, lead()) == [None]
        server.replicas.pause_reads()
        await server.replicas.hand_over(None)
        with pytest.raises(FlussError) as caught:
            server.replicas.replica(B0)
        assert caught.value.code is ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION
        assert server.replicas.leader(B0).is_online, "writes that nobody else can acknowledge go on"


@async_test
async def test_a_lease_that_was_held_counts_until_it_is_over(tmp_path: Path) -> None:
    """The leases of another coordinator count when it has repeated who leads the bucket."""
    clock = ManualClock()
    async with tablet_server(tmp_path, runtime=system_runtime(clock=clock), lease_ms=LEASE_MS) as server:
        assert await notify(server, lead()) == [None]
        clock.advance(LEASE_MS // 2)
        for _ in range(2):  # the response to the first registration was lost
            server.replicas.begin_rejoining()
            assert leads(server)
        server.membership.lease.grant(clock.monotonic(), LEASE_MS)
        await server.update_metadata(SNAPSHOT)
        clock.advance(LEASE_MS // 2 - 1)
        assert leads(server)
        clock.advance(1)
        assert not leads(server), "the coordinator before may have let another server lead"
        server.replicas.begin_rejoining()
        server.membership.lease.grant(clock.monotonic(), LEASE_MS)
        assert not leads(server), "and so may the one before the last"
        await server.update_metadata(SNAPSHOT)
        assert await notify(server, lead()) == [None]
        assert leads(server)


@async_test
async def test_a_leader_that_an_earlier_coordinator_has_elected_leads_when_its_log_shows_that_it_was_told(
    tmp_path: Path,
) -> None:
    async with tablet_server(tmp_path) as server:
        assert await notify(server, lead(leader=2, epoch=3)) == [None]
        untold = lead(epoch=4)._replace(begun_epoch=4)
        assert await notify(server, untold) == [AWAITS_LEASES]
        assert not leads(server)
        assert await notify(server, untold._replace(begun_epoch=None)) == [None]
        assert leads(server)
        assert await notify(server, untold) == [None], "it leads already"
        assert await notify(server, lead(epoch=5)._replace(begun_epoch=4)) == [None]
        assert await notify(server, lead(epoch=7)._replace(begun_epoch=6)) == [AWAITS_LEASES]
        assert not leads(server)
    async with tablet_server(tmp_path) as server:
        assert await notify(server, lead(epoch=5)._replace(begun_epoch=5)) == [
            ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION
        ], "it was told, and was started again: it needs another epoch"


@async_test
async def test_a_bucket_without_followers_is_not_opened_by_a_leader_that_was_not_told(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        alone = lead(epoch=4)._replace(replicas=(1,), isr=(1,), begun_epoch=4)
        assert await notify(server, alone) == [AWAITS_LEASES]
        assert not leads(server)
        assert await notify(server, alone._replace(begun_epoch=None)) == [None]
        assert leads(server)


@async_test
async def test_what_another_server_leads_is_refused_before_the_role_has_changed(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        assert await notify(server, lead()) == [None]
        changing = asyncio.ensure_future(notify(server, lead(leader=2, epoch=1)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not leads(server)
        assert await changing == [None]
