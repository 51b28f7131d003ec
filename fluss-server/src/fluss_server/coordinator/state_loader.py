"""Reads the state of the cluster from the metadata store when a coordinator starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fluss_server.cluster.messages import ServerNode
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.cluster_state import (
    BucketState,
    Changes,
    ClusterState,
    PhysicalTable,
    PhysicalTableState,
    TableState,
)
from fluss_server.metadata.records import (
    AssignmentRecord,
    LeaderAndIsrRecord,
    PartitionAssignmentRecord,
    leader_and_isr_path,
    partition_assignment_path,
    table_assignment_path,
)
from fluss_server.metadata.store import MetadataStore
from fluss_server.model.partition import PartitionInfo

logger = logging.getLogger(__name__)


async def load_state(
    store: MetadataStore, manager: MetadataManager, epoch: int, coordinator: ServerNode
) -> ClusterState:
    """The state without any server.

    Buckets without a record, as a version that stored none has made them, are NEW: they get leaders when their servers
    join.

    Args:
        store: holds assignments, leaders and ISRs.
        manager: loaded.
        epoch: of this coordinator.
        coordinator: this coordinator.

    Raises:
        FlussError: ``UNKNOWN_SERVER_ERROR`` when a node cannot be read, with its path.
    """
    state = ClusterState(epoch, coordinator)
    changes = Changes()
    for table in manager.tables():
        changes.tables[table.table_id] = TableState(table, manager.older_schemas(table))
        if not table.is_partitioned:
            path = table_assignment_path(table.table_id)
            node = await store.get(path)
            assigned = {} if node is None else AssignmentRecord.decode(path, node.value).buckets
            await _load_buckets(store, changes, PhysicalTable(table.table_id), None, assigned)
            continue
        for partition in manager.partitions(table):
            path = partition_assignment_path(partition.partition_id)
            node = await store.get(path)
            assigned = {} if node is None else PartitionAssignmentRecord.decode(path, node.value).buckets
            physical = PhysicalTable(table.table_id, partition.partition_id)
            await _load_buckets(store, changes, physical, partition, assigned)
    state.apply(changes)
    return state


async def _load_buckets(
    store: MetadataStore,
    changes: Changes,
    physical: PhysicalTable,
    partition: PartitionInfo | None,
    assigned: Mapping[int, tuple[int, ...]],
) -> None:
    if not assigned:
        logger.warning("table %d, partition %s has no assignment: it cannot be used", *physical)
    complete = True
    for number, replicas in assigned.items():
        path = leader_and_isr_path(physical.table_id, number, physical.partition_id)
        node = await store.get(path)
        record = None if node is None else LeaderAndIsrRecord.decode(path, node.value)
        complete = complete and record is not None
        changes.buckets[physical.bucket(number)] = BucketState(replicas, record)
    changes.physical_tables[physical] = PhysicalTableState(partition, len(assigned), visible=complete)
