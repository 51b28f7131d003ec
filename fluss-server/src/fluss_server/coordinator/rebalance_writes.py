"""What is written about assignments, rebalances and server tags. Pure."""

from __future__ import annotations

from fluss_server.coordinator.cluster_state import ClusterState, Draft, PhysicalTable
from fluss_server.metadata.rebalance_records import REBALANCE, SERVER_TAGS, RebalanceRecord, encode_server_tags
from fluss_server.metadata.records import (
    AssignmentRecord,
    PartitionAssignmentRecord,
    partition_assignment_path,
    table_assignment_path,
)
from fluss_server.metadata.store import Create, Delete, Set, StoreOperation


def assignment_write(draft: Draft, physical: PhysicalTable) -> StoreOperation | None:
    """The present assignment of a physical table; None when it is gone."""
    buckets = {bucket.bucket: state.replicas for bucket, state in draft.buckets_of(physical)}
    if not buckets:
        return None
    if physical.partition_id is None:
        return Set(table_assignment_path(physical.table_id), AssignmentRecord(buckets).encode())
    record = PartitionAssignmentRecord(physical.table_id, buckets)
    return Set(partition_assignment_path(physical.partition_id), record.encode())


def rebalance_writes(state: ClusterState, draft: Draft) -> tuple[list[StoreOperation], list[StoreOperation]]:
    """What goes before the records and assignments of an event, and what after them.

    The parents of the nodes exist.
    """
    begin: list[StoreOperation] = []
    end: list[StoreOperation] = []
    if draft.changes.tags:
        tags = draft.tags()
        if not tags:
            begin.append(Delete(SERVER_TAGS))
        else:
            begin.append((Set if state.tags else Create)(SERVER_TAGS, encode_server_tags(tags)))
    rebalance = draft.changes.rebalance
    if rebalance is not None:
        moves = tuple(move.move for move in draft.moves().values())
        value = RebalanceRecord(rebalance.rebalance_id, rebalance.status, moves).encode()
        write = Create(REBALANCE, value) if state.rebalance is None else Set(REBALANCE, value)
        is_new = state.rebalance is None or state.rebalance.rebalance_id != rebalance.rebalance_id
        (begin if is_new else end).append(write)
    return begin, end
