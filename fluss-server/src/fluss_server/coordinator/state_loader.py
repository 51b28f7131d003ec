"""Reads the state of the cluster from the metadata store when a coordinator starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from fluss_server.cluster.messages import NO_LEADER, ServerNode
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.cluster_state import (
    BucketState,
    Changes,
    ClusterState,
    MoveState,
    PhysicalTable,
    PhysicalTableState,
    Rebalance,
    TableState,
)
from fluss_server.metadata.rebalance_records import (
    REBALANCE,
    SERVER_TAGS,
    BucketMove,
    RebalanceRecord,
    RebalanceStatus,
    decode_server_tags,
)
from fluss_server.metadata.records import (
    AssignmentRecord,
    LeaderAndIsrRecord,
    PartitionAssignmentRecord,
    leader_and_isr_path,
    partition_assignment_path,
    table_assignment_path,
)
from fluss_server.metadata.store import MetadataStore, Node
from fluss_server.model.partition import PartitionInfo

logger = logging.getLogger(__name__)


async def load_state(
    store: MetadataStore,
    manager: MetadataManager,
    epoch: int,
    coordinator: ServerNode,
    *,
    standby_replicas: int = 1,
    moves_per_server: int = 2,
    has_leases: bool = False,
) -> ClusterState:
    """The state without any server.

    Buckets without a record, as a version that stored none has made them, are NEW: they get leaders when their servers
    join.

    Args:
        store: holds assignments, leaders and ISRs.
        manager: loaded.
        epoch: of this coordinator.
        coordinator: this coordinator.
        moves_per_server: see ``ClusterState``.
        standby_replicas: see ``ClusterState``.
        has_leases: whether servers may hold leases of an earlier coordinator.

    Raises:
        FlussError: ``UNKNOWN_SERVER_ERROR`` when a node cannot be read, with its path.
    """
    changes = Changes()
    physical_tables: list[tuple[PhysicalTable, PartitionInfo | None]] = []
    for table in manager.tables():
        changes.tables[table.table_id] = TableState(table, manager.older_schemas(table))
        if table.is_partitioned:
            physical_tables += [
                (PhysicalTable(table.table_id, partition.partition_id), partition)
                for partition in manager.partitions(table)
            ]
        else:
            physical_tables.append((PhysicalTable(table.table_id), None))
    nodes = await store.get_all([_assignment_path(physical) for physical, _ in physical_tables])
    assigned = [_assignment(physical, node) for (physical, _), node in zip(physical_tables, nodes, strict=True)]
    await _load_buckets(store, changes, physical_tables, assigned)
    has_tags_node = await _load_rebalance(store, changes)
    if has_leases:
        inherit(changes)
    state = ClusterState(epoch, coordinator, standby_replicas=standby_replicas, moves_per_server=moves_per_server)
    state.apply(changes)
    state.has_tags_node = has_tags_node
    return state


def _assignment_path(physical: PhysicalTable) -> str:
    if physical.partition_id is None:
        return table_assignment_path(physical.table_id)
    return partition_assignment_path(physical.partition_id)


def _assignment(physical: PhysicalTable, node: Node | None) -> Mapping[int, tuple[int, ...]]:
    """The replicas of each bucket."""
    if node is None:
        logger.warning("table %d, partition %s has no assignment: it cannot be used", *physical)
        return {}
    record = AssignmentRecord if physical.partition_id is None else PartitionAssignmentRecord
    return record.decode(_assignment_path(physical), node.value).buckets


async def _load_buckets(
    store: MetadataStore,
    changes: Changes,
    physical_tables: Sequence[tuple[PhysicalTable, PartitionInfo | None]],
    assigned: Sequence[Mapping[int, tuple[int, ...]]],
) -> None:
    paths = [
        leader_and_isr_path(physical.table_id, number, physical.partition_id)
        for (physical, _), buckets in zip(physical_tables, assigned, strict=True)
        for number in buckets
    ]
    found = iter(zip(paths, await store.get_all(paths), strict=True))
    for (physical, partition), buckets in zip(physical_tables, assigned, strict=True):
        complete = True
        for number, replicas in buckets.items():
            path, node = next(found)
            record = None if node is None else LeaderAndIsrRecord.decode(path, node.value)
            complete = complete and record is not None
            changes.buckets[physical.bucket(number)] = BucketState(replicas, record)
        changes.physical_tables[physical] = PhysicalTableState(partition, len(buckets), visible=complete)


async def _load_rebalance(store: MetadataStore, changes: Changes) -> bool:
    """Read server tags and the rebalance; returns whether there is a node for server tags."""
    tags, rebalance = await store.get_all([SERVER_TAGS, REBALANCE])
    if tags is not None and tags.value:
        changes.tags.update(decode_server_tags(tags.value))
    if rebalance is not None and not rebalance.value:
        changes.rebalance = Rebalance("", RebalanceStatus.COMPLETED)
    elif rebalance is not None:
        take_in_rebalance(RebalanceRecord.decode(rebalance.value), changes)
    return tags is not None


def take_in_rebalance(record: RebalanceRecord, changes: Changes) -> None:
    """Add a stored rebalance to the changes that hold all buckets."""
    changes.rebalance = Rebalance(record.rebalance_id, record.status)
    for move in record.moves:
        status = _move_status(move, changes.buckets.get(move.bucket), record.status)
        changes.moves[move.bucket] = MoveState(move, status)


def inherit(changes: Changes) -> None:
    """Note the buckets whose leader may not have heard of its leadership: the one before may serve clients until its
    lease is over.

    The coordinator before has changed leaders, or nobody has led the bucket before. A bucket with one replica had
    another leader only while it moved.
    """
    moved = set() if _is_completed(changes.rebalance) else changes.moves.keys()
    for bucket, state in changes.buckets.items():
        if state is None or state.record is None or (len(state.replicas) == 1 and bucket not in moved):
            continue
        record = state.record
        # An epoch without a leader follows one whose leader is gone, or does not serve clients.
        newest = record.leader_epoch - (record.leader == NO_LEADER)
        if newest > 0:
            changes.buckets[bucket] = state._replace(inherited=newest)


def _is_completed(rebalance: Rebalance | None) -> bool:
    return rebalance is None or rebalance.status is RebalanceStatus.COMPLETED


def _move_status(move: BucketMove, state: BucketState | None, status: RebalanceStatus) -> RebalanceStatus:
    """How far a bucket has come, which only its assignment and its leader tell."""
    if state is None:
        return RebalanceStatus.COMPLETED  # its table was dropped
    if len(state.replicas) > len(move.origin_replicas) and set(move.new_replicas) < set(state.replicas):
        return RebalanceStatus.REBALANCING
    if set(state.replicas) == set(move.new_replicas) and (state.leader == move.new_leader or status.is_final):
        only_leader = set(move.origin_replicas) == set(move.new_replicas) and not status.is_final
        return RebalanceStatus.REBALANCING if only_leader else RebalanceStatus.COMPLETED
    if not status.is_final:
        return RebalanceStatus.NOT_STARTED
    return RebalanceStatus.CANCELED if status is RebalanceStatus.CANCELED else RebalanceStatus.FAILED
