"""A leader requests the ISR that it wants, again until the coordinator has responded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from fluss_server.cluster.messages import (
    AdjustedBucket,
    AdjustIsr,
    AdjustIsrResponse,
    Failure,
    ServerNode,
    UpdateMetadata,
)
from fluss_server.cluster.metadata_cache import MetadataCache
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableDescriptor, TableInfo
from fluss_server.replica.followers import Followers
from fluss_server.replica.in_sync_replicas import InSyncReplicas
from fluss_server.replica.replica import Replica
from fluss_server.runtime import InlineWorkers, ManualClock
from fluss_server.tablet import isr_maintenance
from fluss_server.tablet.isr_maintenance import IsrMaintenance
from log_support import make_batch, open_log
from rpc_support import async_test, eventually

SCHEMA = Schema.from_json({"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]})
TABLE = TableInfo(TablePath("d", "t"), 1, 1, TableDescriptor(SCHEMA, bucket_count=1), 0, 0)
BUCKET = TableBucket(1, None, 0)


class Coordinator:
    """Takes in every ISR, unless it is told what to respond."""

    def __init__(self) -> None:
        self.requests: list[AdjustIsr] = []
        self.outcomes: list[FlussError | Failure] = []

    async def adjust_isr(self, request: AdjustIsr) -> AdjustIsrResponse:
        self.requests.append(request)
        (change,) = request.buckets
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, FlussError):
            raise outcome
        if outcome is not None:
            return AdjustIsrResponse((AdjustedBucket(change.bucket, outcome),))
        adjusted = AdjustedBucket(
            change.bucket, None, 1, change.leader_epoch, change.isr, change.bucket_epoch + 1, change.coordinator_epoch
        )
        return AdjustIsrResponse((adjusted,))


@asynccontextmanager
async def maintained(
    directory: Path, isr: tuple[int, ...], max_lag_s: float = 0.1, max_silence_s: float = 3.0
) -> AsyncIterator[tuple[Replica, IsrMaintenance, Coordinator, ManualClock]]:
    workers, clock = InlineWorkers(), ManualClock()
    log = open_log(directory)
    log.append(make_batch(4))
    log.flush()
    followers = Followers(1, 4, (1, 2, 3), InSyncReplicas(isr, 7), epoch_start=4, min_isr=1, now_s=clock.monotonic())
    replica = Replica(
        BUCKET,
        TABLE,
        log,
        None,
        schemas={1: SCHEMA}.__getitem__,
        clock=clock,
        flush_pool=workers.pool("io", 1),
        read_pool=workers.pool("io", 1),
        kv_worker=workers.pool("kv", 1),
        followers=followers,
    )
    metadata, coordinator = MetadataCache(), Coordinator()
    metadata.apply(UpdateMetadata(3, tablet_servers=(ServerNode(1), ServerNode(2), ServerNode(3))))
    maintenance = IsrMaintenance(
        1,
        cast("Any", coordinator),
        lambda: [replica],
        metadata,
        max_lag_s,
        Random(1).random,
        clock.monotonic,
        max_silence_s=max_silence_s,
    )
    maintenance.start()
    try:
        yield replica, maintenance, coordinator, clock
    finally:
        await maintenance.close()
        log.close()


def isr_of(replica: Replica) -> tuple[int, ...]:
    assert replica.followers is not None
    return replica.followers.isr.members


def fetch(
    replica: Replica,
    maintenance: IsrMaintenance,
    server: int,
    offset: int,
    incarnation: str | None = None,
    *,
    disk_full: bool | None = None,
) -> None:
    maintenance.heard(server)
    replica.follower_fetched(server, offset, incarnation, disk_full)
    maintenance.fetched(replica, server)


@async_test
async def test_who_cannot_write_leaves_at_once(tmp_path: Path) -> None:
    async with maintained(tmp_path, (1, 2, 3), max_lag_s=1000.0, max_silence_s=1000.0) as (replica, maintenance, _, _):
        fetch(replica, maintenance, 2, 4)
        fetch(replica, maintenance, 3, 4, disk_full=True)
        await eventually(lambda: isr_of(replica) == (1, 2))
        fetch(replica, maintenance, 3, 4)
        await eventually(lambda: isr_of(replica) == (1, 2, 3))


@async_test
async def test_whose_storage_has_failed_leaves_at_once(tmp_path: Path) -> None:
    async with maintained(tmp_path, (1, 2, 3), max_lag_s=1000.0, max_silence_s=1000.0) as (replica, maintenance, _, _):
        fetch(replica, maintenance, 3, 4)
        assert replica.followers is not None
        replica.followers.storage_failed(3)
        maintenance.fetched(replica, 3)
        await eventually(lambda: isr_of(replica) == (1, 2))


@async_test
async def test_who_has_caught_up_joins_at_once(tmp_path: Path) -> None:
    async with maintained(tmp_path, (1, 2), max_lag_s=1000.0) as (replica, maintenance, coordinator, _):
        fetch(replica, maintenance, 2, 4)
        fetch(replica, maintenance, 3, 3)
        await asyncio.sleep(0)
        assert coordinator.requests == []
        fetch(replica, maintenance, 3, 4)
        await eventually(lambda: isr_of(replica) == (1, 2, 3))
        (request,) = coordinator.requests
        (change,) = request.buckets
        assert request.server_id == 1
        assert (change.leader_epoch, change.bucket_epoch, change.coordinator_epoch) == (4, 7, 3)
        assert (maintenance.expansions, maintenance.shrinks) == (1, 0)


@async_test
async def test_who_lags_leaves_and_writers_go_on(tmp_path: Path) -> None:
    async with maintained(tmp_path, (1, 2, 3)) as (replica, maintenance, _, clock):
        waiting = replica.acknowledged_below(4)
        fetch(replica, maintenance, 2, 4)
        clock.advance(200)
        await waiting
        assert isr_of(replica) == (1, 2)
        assert (maintenance.expansions, maintenance.shrinks) == (0, 1)


@async_test
async def test_who_has_lost_rows_leaves_at_once(tmp_path: Path) -> None:
    async with maintained(tmp_path, (1, 2, 3), max_lag_s=1000.0) as (replica, maintenance, _, _clock):
        fetch(replica, maintenance, 2, 4)
        fetch(replica, maintenance, 3, 4)
        assert replica.high_watermark.value == 4
        fetch(replica, maintenance, 3, 2)
        await eventually(lambda: isr_of(replica) == (1, 2))


@async_test
async def test_a_request_is_repeated_until_there_is_a_response(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isr_maintenance, "RETRY_PAUSE_S", 0.01)
    async with maintained(tmp_path, (1, 2), max_lag_s=1000.0) as (replica, maintenance, coordinator, _):
        coordinator.outcomes = [
            FlussError(ErrorCode.NETWORK_EXCEPTION, "lost"),
            Failure(ErrorCode.INVALID_COORDINATOR_EXCEPTION, "replaced"),
        ]
        fetch(replica, maintenance, 2, 4)
        fetch(replica, maintenance, 3, 4)
        await eventually(lambda: isr_of(replica) == (1, 2, 3))
        assert [request.buckets[0].isr for request in coordinator.requests] == [(1, 2, 3)] * 3


@async_test
async def test_what_a_process_had_that_has_ended_lets_no_server_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process of the server may have lost it: only its own fetches count."""
    monkeypatch.setattr(isr_maintenance, "RETRY_PAUSE_S", 0.01)
    async with maintained(tmp_path, (1,), max_lag_s=0.05) as (replica, maintenance, coordinator, clock):
        coordinator.outcomes = [Failure(ErrorCode.INELIGIBLE_REPLICA_EXCEPTION, "started again")]
        fetch(replica, maintenance, 3, 4, "old")
        await eventually(lambda: len(coordinator.requests) == 1)
        assert coordinator.requests[0].buckets[0].incarnations == ((3, "old"),)
        clock.advance(1_000)
        await asyncio.sleep(0.2)
        assert len(coordinator.requests) == 1
        fetch(replica, maintenance, 3, 3, "new")
        assert isr_of(replica) == (1,)
        fetch(replica, maintenance, 3, 4, "new")
        await eventually(lambda: isr_of(replica) == (1, 3))
        assert coordinator.requests[-1].buckets[0].incarnations == ((3, "new"),)


@async_test
async def test_a_leader_that_has_stepped_down_requests_nothing(tmp_path: Path) -> None:
    async with maintained(tmp_path, (1, 2)) as (replica, maintenance, coordinator, _):
        fetch(replica, maintenance, 3, 4)
        await replica.step_down()
        await asyncio.sleep(0.2)
        assert coordinator.requests == []


@async_test
async def test_who_does_not_fetch_leaves_long_before_it_counts_as_lagging(tmp_path: Path) -> None:
    async with maintained(tmp_path, (1, 2, 3), max_lag_s=1000.0, max_silence_s=0.3) as (replica, maintenance, _, clock):
        fetch(replica, maintenance, 3, 3)
        while 3 in isr_of(replica):
            assert clock.monotonic() < 1.0, "a member that is silent holds up writers"
            fetch(replica, maintenance, 2, 4)
            clock.advance(20)
            await asyncio.sleep(0.02)
        assert clock.monotonic() > 0.3
        assert isr_of(replica) == (1, 2)


@async_test
async def test_whose_fetch_waits_for_long_stays_until_it_does_not_fetch_again(tmp_path: Path) -> None:
    async with maintained(tmp_path, (1, 2, 3), max_lag_s=1000.0, max_silence_s=0.3) as (replica, maintenance, _, clock):
        for server in (2, 3):
            maintenance.heard(server)
            replica.follower_fetched(server, 4, waits_s=100.0)

        for _ in range(50):  # 1 second
            maintenance.heard(2)
            maintenance.heard(3)
            clock.advance(20)
            await asyncio.sleep(0.001)
        replica.log.append(make_batch(1))
        await asyncio.sleep(0.2)
        assert isr_of(replica) == (1, 2, 3)
        maintenance.responding(replica, 3)
        begin = clock.monotonic()
        while isr_of(replica) == (1, 2, 3):
            assert clock.monotonic() - begin < 0.6, "a member that does not fetch holds up writers"
            maintenance.heard(2)
            maintenance.heard(3)
            clock.advance(20)
            await asyncio.sleep(0.02)
        assert isr_of(replica) == (1, 2)


@async_test
async def test_silence_that_this_server_may_have_slept_through_does_not_count(tmp_path: Path) -> None:
    async with maintained(tmp_path, (1, 2, 3), max_lag_s=1000.0, max_silence_s=0.3) as (replica, maintenance, _, clock):
        fetch(replica, maintenance, 2, 4)
        fetch(replica, maintenance, 3, 3)
        await asyncio.sleep(0)  # it has begun
        clock.advance(5_000)
        await asyncio.sleep(0.2)
        assert isr_of(replica) == (1, 2, 3)
