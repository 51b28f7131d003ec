"""RPC methods of this project for tools: what the coordinator knows of servers and buckets, and what it would move."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fluss_server.api.keys import ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.cluster.messages import DiskSpace
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.cluster_controller import ClusterController
from fluss_server.coordinator.cluster_state import Draft, PhysicalTable
from fluss_server.coordinator.rebalance_service import goals_of
from fluss_server.metadata.rebalance_records import BucketMove, RebalanceStatus
from fluss_server.model.identifiers import TablePath
from fluss_server.rpc.endpoints import format_endpoints
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from fluss_server.runtime.clock import Clock


class InspectionService:
    """Servers, buckets and plans.

    Args:
        manager: names of tables and partitions.
        controller: everything else.
        clock: for how long servers are silent.
        disks: of the tablet servers; called for each question.
    """

    def __init__(
        self,
        manager: MetadataManager,
        controller: ClusterController,
        clock: Clock,
        disks: Callable[[], Awaitable[Mapping[int, DiskSpace]]],
    ) -> None:
        self._manager = manager
        self._controller = controller
        self._clock = clock
        self._disks = disks

    @rpc(ApiKey.DESCRIBE_SERVERS)
    async def describe_servers(self, request: Any, context: RequestContext) -> ResponseBody:
        """Members of the cluster, and servers that are assigned replicas and are not there."""
        disks = await self._disks()
        state = self._controller.queue.state
        replicas: Counter[int] = Counter()
        in_sync: Counter[int] = Counter()
        leaders: Counter[int] = Counter()
        for bucket in state.buckets.values():
            replicas.update(bucket.replicas)
            in_sync.update(() if bucket.record is None else bucket.record.isr)
            leaders[bucket.leader] += 1
        response = message_class("DescribeServersResponse")(
            coordinator_epoch=state.coordinator_epoch, coordinator=format_endpoints(state.coordinator.endpoints)
        )
        for server_id in sorted({*state.servers, *state.tags, *replicas}):
            server = state.servers.get(server_id)
            entry = response.servers.add(
                server_id=server_id,
                listeners="" if server is None else format_endpoints(server.node.endpoints),
                state="gone" if server is None else "stopping" if server.shutting_down else "live",
                leaders=leaders[server_id],
                replicas=replicas[server_id],
                in_sync=in_sync[server_id],
            )
            if server is not None:
                if server.node.rack is not None:
                    entry.rack = server.node.rack
                entry.fluss_version = self._controller.versions.get(server_id, "")
                if (disk := disks.get(server_id)) is not None:
                    entry.disk.total_bytes, entry.disk.free_bytes, entry.disk.data_bytes = disk
                heard_at = self._controller.heard_at(server_id)
                if heard_at != -math.inf:
                    entry.silent_ms = max(0, round((self._clock.monotonic() - heard_at) * 1000))
            if (tag := state.tags.get(server_id)) is not None:
                entry.tag = tag.name
        return response  # type: ignore[no-any-return]

    @rpc(ApiKey.DESCRIBE_BUCKETS)
    def describe_buckets(self, request: Any, context: RequestContext) -> ResponseBody:
        """Leader, ISR and epochs of every bucket of a table; ``TABLE_NOT_EXIST``."""
        table = self._manager.table(TablePath(request.database_name, request.table_name))
        draft = Draft(self._controller.queue.state)
        response = message_class("DescribeBucketsResponse")()
        for physical in (PhysicalTable(table.table_id), *draft.partitions_of(table.table_id)):
            found = draft.physical_table(physical)
            for bucket, state in draft.buckets_of(physical):
                entry = response.buckets.add(
                    bucket_id=bucket.bucket, leader=state.leader, replicas=state.replicas, active=state.active
                )
                if found is not None and found.partition is not None:
                    entry.partition = found.partition.name
                if (record := state.record) is not None:
                    entry.leader_epoch, entry.bucket_epoch = record.leader_epoch, record.bucket_epoch
                    entry.isr.extend(record.isr)
                    entry.standby.extend(record.standby_replicas)
        return response  # type: ignore[no-any-return]

    @rpc(ApiKey.PLAN_REBALANCE)
    async def plan_rebalance(self, request: Any, context: RequestContext) -> ResponseBody:
        """What REBALANCE with these goals would move now; or, with ``current``, what the current one moves."""
        state = self._controller.queue.state
        response = message_class("PlanRebalanceResponse")()
        if request.current:
            for move in state.moves.values():
                self._add(response, move.move, move.status)
        else:
            for planned in await self._controller.planned_moves(goals_of(request.goals)):
                self._add(response, planned, None)
        return response  # type: ignore[no-any-return]

    def _add(self, response: Any, move: BucketMove, status: RebalanceStatus | None) -> None:
        path = self._manager.table_path(move.bucket.table_id)
        entry = response.moves.add(
            table=f"table {move.bucket.table_id}, dropped" if path is None else str(path),
            bucket_id=move.bucket.bucket,
            original_leader=move.original_leader,
            new_leader=move.new_leader,
            original_replicas=move.origin_replicas,
            new_replicas=move.new_replicas,
        )
        if move.bucket.partition_id is not None:
            partition = self._manager.partition_by_id(move.bucket.partition_id)
            entry.partition = str(move.bucket.partition_id) if partition is None else partition.name
        if status is not None:
            entry.status = status
