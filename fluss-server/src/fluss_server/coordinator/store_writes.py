"""What makes the changes of a plan durable: leaders and ISRs, assignments, rebalances, server tags. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from fluss_server.coordinator.cluster_state import ClusterState, Draft, PhysicalTable, physical_table_of
from fluss_server.metadata.rebalance_records import REBALANCE, SERVER_TAGS, RebalanceRecord, encode_server_tags
from fluss_server.metadata.records import (
    AssignmentRecord,
    PartitionAssignmentRecord,
    leader_and_isr_path,
    partition_assignment_path,
    table_assignment_path,
)
from fluss_server.metadata.store import Create, Delete, Set, StoreOperation, parent_of
from fluss_server.model.identifiers import TableBucket


def store_writes(
    state: ClusterState, draft: Draft, written: Iterable[TableBucket], assigned: Iterable[PhysicalTable]
) -> list[StoreOperation]:
    """The writes of a plan, in their order.

    A rebalance is stored before its first step, and its end after the last one. A record comes before the
    assignment that belongs to it: a coordinator that reads one without the other then finds an ISR within it.

    Args:
        state: as it is stored.
        draft: as it is to be.
        written: buckets with another record.
        assigned: tables and partitions with another assignment.
    """
    begin, end = _rebalance_writes(state, draft)
    assignments = [write for physical in assigned if (write := _assignment_write(draft, physical))]
    return [*begin, *_record_writes(state, draft, written), *assignments, *end]


def _record_writes(state: ClusterState, draft: Draft, written: Iterable[TableBucket]) -> list[StoreOperation]:
    """One write per bucket; the first record of a bucket needs its nodes."""
    operations: list[StoreOperation] = []
    with_nodes: set[PhysicalTable] = set()
    for bucket in written:
        found = draft.bucket(bucket)
        if found is None or found.record is None:
            continue  # dropped by the same event
        path = leader_and_isr_path(bucket.table_id, bucket.bucket, bucket.partition_id)
        stored = state.buckets.get(bucket)
        if stored is not None and stored.record is not None:
            operations.append(Set(path, found.record.encode()))
            continue
        physical = physical_table_of(bucket)
        if physical not in with_nodes:
            with_nodes.add(physical)
            if not _has_records(state, physical):
                operations.append(Create(parent_of(parent_of(path))))
        operations.append(Create(parent_of(path)))
        operations.append(Create(path, found.record.encode()))
    return operations


def _has_records(state: ClusterState, physical: PhysicalTable) -> bool:
    found = state.physical_tables.get(physical)
    buckets = range(0 if found is None else found.bucket_count)
    stored = (state.buckets.get(physical.bucket(number)) for number in buckets)
    return any(each is not None and each.record is not None for each in stored)


def _assignment_write(draft: Draft, physical: PhysicalTable) -> StoreOperation | None:
    """The present assignment of a physical table; None when it is gone."""
    buckets = {bucket.bucket: state.replicas for bucket, state in draft.buckets_of(physical)}
    if not buckets:
        return None
    if physical.partition_id is None:
        return Set(table_assignment_path(physical.table_id), AssignmentRecord(buckets).encode())
    record = PartitionAssignmentRecord(physical.table_id, buckets)
    return Set(partition_assignment_path(physical.partition_id), record.encode())


def _rebalance_writes(state: ClusterState, draft: Draft) -> tuple[list[StoreOperation], list[StoreOperation]]:
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
            begin.append((Set if state.has_tags_node else Create)(SERVER_TAGS, encode_server_tags(tags)))
    rebalance = draft.changes.rebalance
    if rebalance is not None:
        moves = tuple(move.move for move in draft.moves().values())
        value = RebalanceRecord(rebalance.rebalance_id, rebalance.status, moves).encode()
        write = Create(REBALANCE, value) if state.rebalance is None else Set(REBALANCE, value)
        is_new = state.rebalance is None or state.rebalance.rebalance_id != rebalance.rebalance_id
        (begin if is_new else end).append(write)
    return begin, end
