"""What servers and clients may know of the cluster, read from the coordinator's own state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fluss_server.cluster.messages import NO_LEADER, BucketMetadata, PartitionMetadata, ServerNode, TableMetadata
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.cluster_state import ClusterState, Draft, PhysicalTable
from fluss_server.coordinator.events import MetadataChange
from fluss_server.model.identifiers import TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import TableInfo


def bucket_metadata(state: Draft, physical: PhysicalTable) -> tuple[BucketMetadata, ...]:
    """Leaders of the buckets of a physical table; nothing while clients must not see them."""
    found = state.physical_table(physical)
    if found is None or not found.visible:
        return ()
    return tuple(
        BucketMetadata(
            bucket.bucket,
            None if entry.leader == NO_LEADER else entry.leader,
            entry.replicas,
            None if entry.record is None else entry.record.leader_epoch,
            None if entry.record is None else entry.record.bucket_epoch,
            () if entry.record is None else entry.record.isr,
        )
        for bucket, entry in state.buckets_of(physical)
    )


def table_metadata(draft: Draft, table_id: int) -> TableMetadata:
    """A table that exists, for servers."""
    entry = draft.table(table_id)
    assert entry is not None, f"table {table_id} exists"
    return TableMetadata(entry.table, bucket_metadata(draft, PhysicalTable(table_id)), entry.older_schemas)


def change_of(draft: Draft, physical: PhysicalTable) -> MetadataChange:
    """What servers hear when a table or partition, or its leaders, changed."""
    state = draft.physical_table(physical)
    assert state is not None, f"{physical} exists"
    if state.partition is None:
        return MetadataChange(tables=(table_metadata(draft, physical.table_id),))
    return MetadataChange(partitions=(PartitionMetadata(state.partition, bucket_metadata(draft, physical)),))


def everything(draft: Draft) -> MetadataChange:
    """All metadata, for a server that has none."""
    partitions = [
        PartitionMetadata(state.partition, bucket_metadata(draft, physical))
        for physical, state in draft.physical_tables().items()
        if state.partition is not None
    ]
    return MetadataChange(
        tuple(server.node for server in draft.servers()),
        tuple(table_metadata(draft, entry.table.table_id) for entry in draft.tables()),
        tuple(partitions),
        snapshot=True,
    )


class CoordinatorMetadata:
    """Reads as ``MetadataCache`` does, always the newest state.

    Args:
        manager: databases, tables and partitions.
        state: servers and leaders, confirmed.
    """

    def __init__(self, manager: MetadataManager, state: ClusterState) -> None:
        self._manager = manager
        self._state = state

    @property
    def coordinator(self) -> ServerNode | None:
        """This coordinator."""
        return self._state.coordinator

    @property
    def servers(self) -> Mapping[int, ServerNode]:
        """The live tablet servers by id."""
        return {server_id: server.node for server_id, server in self._state.servers.items()}

    def find_table(self, path: TablePath) -> TableInfo | None:
        """The table with a name, or None."""
        return self._manager.find_table(path)

    def find_partition(self, table_id: int, name: str) -> PartitionInfo | None:
        """The partition of a table with a name, or None."""
        table = self._manager.table_by_id(table_id)
        return None if table is None else self._manager.find_partition(table, name)

    def partition(self, partition_id: int) -> PartitionInfo | None:
        """The partition with an id, or None."""
        return self._manager.partition_by_id(partition_id)

    def buckets(self, table_id: int, partition_id: int | None) -> Sequence[BucketMetadata]:
        """Where the buckets of a table or partition are; empty when clients do not see it."""
        return bucket_metadata(Draft(self._state), PhysicalTable(table_id, partition_id))
