"""A drop while replicas move: what it lets happen to other buckets is stored with it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coordinator_support import Coordinator, RecordingTabletServer, running
from error_support import refused
from fluss_server.cluster.messages import RegisterServer, ServerNode
from fluss_server.coordinator.cluster_state import BucketState, MoveState, PhysicalTable
from fluss_server.coordinator.event_queue import PlannedWrites
from fluss_server.coordinator.events import RebalanceRequested, ServersTagged, TablesDropped
from fluss_server.coordinator.rebalance_plan import ALL_GOALS
from fluss_server.coordinator.state_loader import load_state
from fluss_server.errors import ErrorCode
from fluss_server.metadata.embedded import LIMITS, EmbeddedMetadataStore
from fluss_server.metadata.rebalance_records import ServerTag
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor
from rpc_support import async_test
from state_machine_support import DESCRIPTOR, PARTITIONED

SERVERS = (3, 4, 5)
BUCKETS = 6
"""Two on each server: as many as may move at a time."""

OTHERS = [TablePath("other", name) for name in "abcd"]


@asynccontextmanager
async def tables(path: Path, descriptor: TableDescriptor, *names: TablePath) -> AsyncIterator[Coordinator]:
    """A coordinator with three servers and some tables."""
    descriptor = dataclasses.replace(descriptor, bucket_count=BUCKETS)
    async with running(path) as parts:
        for server_id in SERVERS[1:]:
            server = RecordingTabletServer()
            await parts.controller.register(RegisterServer(ServerNode(server_id), "first"), server)
        await parts.ddl.create_database("other", DatabaseDescriptor(), ignore_if_exists=False)
        for name in names:
            await parts.ddl.create_table(name, descriptor, ignore_if_exists=False)
        yield parts


async def begin(parts: Coordinator) -> list[TableBucket]:
    """Move everything away from a server; returns the buckets that are under way, for which the others wait."""
    await parts.controller.change_placement(ServersTagged((SERVERS[0],), ServerTag.PERMANENT_OFFLINE))
    await parts.controller.change_placement(RebalanceRequested("r", ALL_GOALS))
    await parts.controller.settled()
    return list(parts.controller.queue.state.moving)


async def stored(parts: Coordinator) -> tuple[dict[TableBucket, BucketState], dict[TableBucket, MoveState], object]:
    """What another coordinator would know."""
    state = await load_state(parts.store, parts.manager, 9, ServerNode(9))
    buckets = {bucket: found._replace(former=()) for bucket, found in state.buckets.items()}
    return buckets, state.moves, state.rebalance


async def is_stored(parts: Coordinator) -> None:
    await parts.controller.settled()
    state = parts.controller.queue.state
    buckets, moves, rebalance = await stored(parts)
    known = {bucket: found._replace(active=False, former=()) for bucket, found in state.buckets.items()}
    assert buckets == known
    assert {bucket: moves[bucket].status for bucket in state.moving} == {
        bucket: move.status for bucket, move in state.moves.items() if move.is_under_way
    }
    assert rebalance == state.rebalance


@pytest.mark.parametrize("operations", [LIMITS.operations, 6])
@async_test
async def test_a_dropped_table_lets_another_one_begin_to_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operations: int
) -> None:
    async with tables(tmp_path / "m", DESCRIPTOR, *OTHERS) as parts:
        before = await begin(parts)
        table = parts.manager.table_by_id(before[0].table_id)
        assert table is not None
        monkeypatch.setattr(EmbeddedMetadataStore, "limits", LIMITS._replace(operations=operations))
        await parts.ddl.drop_table(table.path, ignore_if_not_exists=False)
        after = list(parts.controller.queue.state.moving)
        assert set(after) - set(before), "another bucket has begun"
        await is_stored(parts)


@async_test
async def test_a_dropped_database_lets_another_one_begin_to_move(tmp_path: Path) -> None:
    async with tables(tmp_path / "m", DESCRIPTOR, *OTHERS[:2], TablePath("fluss", "a")) as parts:
        before = await begin(parts)
        await parts.ddl.drop_database("other", ignore_if_not_exists=False, cascade=True)
        after = list(parts.controller.queue.state.moving)
        assert set(after) - set(before), "another bucket has begun"
        await is_stored(parts)


@async_test
async def test_a_dropped_partition_ends_the_rebalance(tmp_path: Path) -> None:
    async with tables(tmp_path / "m", PARTITIONED, TablePath("fluss", "p")) as parts:
        table = parts.manager.table(TablePath("fluss", "p"))
        await parts.partitions.create(table.path, {"p": "1"}, ignore_if_exists=False)
        assert await begin(parts)
        await parts.partitions.drop(table.path, {"p": "1"}, ignore_if_not_exists=False)
        state = parts.controller.queue.state
        assert PhysicalTable(table.table_id, 0) not in state.physical_tables
        assert state.rebalance is not None
        assert state.rebalance.status.is_final
        await is_stored(parts)


@async_test
async def test_an_event_that_leaves_writes_over_ends_the_term(tmp_path: Path) -> None:
    async with tables(tmp_path / "m", DESCRIPTOR, *OTHERS) as parts:
        [bucket, *_] = await begin(parts)
        queue = parts.controller.queue

        async def commit(writes: PlannedWrites) -> None:
            return

        known = dict(queue.state.buckets)
        dropped = queue.submit(TablesDropped((bucket.table_id,)), commit)
        assert await refused(dropped) is ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION
        assert queue.state.buckets == known, "nothing that is not stored counts"
        again = parts.ddl.create_database("d", DatabaseDescriptor(), ignore_if_exists=False)
        assert await refused(again) is ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION
