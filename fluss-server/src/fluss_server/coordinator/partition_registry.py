"""Which partitions every table has: in memory, and as nodes of the metadata store."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.records import (
    PartitionAssignmentRecord,
    PartitionRecord,
    partition_assignment_path,
    partition_path,
    partitions_path,
)
from fluss_server.metadata.store import Create, MetadataStore, StoreOperation, deletions_below
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import TableInfo


class PartitionRegistry:
    """Partitions of all tables. The ``MetadataManager`` owns it, and commits the operations that it makes."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self._by_name: dict[int, dict[str, PartitionInfo]] = {}
        self._by_id: dict[int, PartitionInfo] = {}

    async def load_table(self, table: TableInfo) -> None:
        """Read the partitions of a table; ``UNKNOWN_SERVER_ERROR`` for a node that cannot be read."""
        parent = partitions_path(table.path)
        if await self._store.get(parent) is None:
            return
        names = await self._store.children(parent)
        paths = [partition_path(table.path, name) for name in names]
        for name, path, node in zip(names, paths, await self._store.get_all(paths), strict=True):
            assert node is not None, "nothing else changes the tree while it is loaded"
            record = PartitionRecord.decode(path, node.value)
            if record.table_id != table.table_id:
                raise FlussError(
                    ErrorCode.UNKNOWN_SERVER_ERROR,
                    f"metadata node {path} belongs to table {record.table_id}, not to {table.table_id}",
                )
            partition = PartitionInfo(table.table_id, record.partition_id, name)
            if len(partition.values) != len(table.descriptor.partition_key):
                raise FlussError(
                    ErrorCode.UNKNOWN_SERVER_ERROR,
                    f"metadata node {path}: table {table.path} has {len(table.descriptor.partition_key)} partition"
                    " columns",
                )
            self.remember(partition)

    # Reading

    def of_table(self, table_id: int) -> list[PartitionInfo]:
        """Partitions of a table, by id."""
        return sorted(self._by_name.get(table_id, {}).values(), key=lambda partition: partition.partition_id)

    def count(self, table_id: int) -> int:
        """Number of partitions of a table."""
        return len(self._by_name.get(table_id, {}))

    def find(self, table_id: int, name: str) -> PartitionInfo | None:
        """The partition with a name, or None."""
        return self._by_name.get(table_id, {}).get(name)

    def ids(self) -> Collection[int]:
        """Ids of all partitions."""
        return self._by_id.keys()

    def by_id(self, partition_id: int) -> PartitionInfo | None:
        """The partition with an id, or None."""
        return self._by_id.get(partition_id)

    # Operations for a commit

    def assignment(self, partition: PartitionInfo, assignment: Sequence[Sequence[int]]) -> StoreOperation:
        """What stores where the replicas of a partition are."""
        buckets = {bucket: tuple(servers) for bucket, servers in enumerate(assignment)}
        assigned = PartitionAssignmentRecord(partition.table_id, buckets).encode()
        return Create(partition_assignment_path(partition.partition_id), assigned)

    async def registration(self, table: TableInfo, partition: PartitionInfo) -> list[StoreOperation]:
        """What makes a partition exist."""
        operations: list[StoreOperation] = []
        parent = partitions_path(table.path)
        if await self._store.get(parent) is None:
            operations.append(Create(parent))
        registered = PartitionRecord(partition.table_id, partition.partition_id).encode()
        operations.append(Create(partition_path(table.path, partition.name), registered))
        return operations

    async def assignment_deletions(self, table: TableInfo) -> list[StoreOperation]:
        """What is left of the partitions of a table when everything below the node of the table is gone."""
        operations: list[StoreOperation] = []
        for partition in self.of_table(table.table_id):
            operations += await self.assignment_deletion(partition)
        return operations

    async def assignment_deletion(self, partition: PartitionInfo) -> list[StoreOperation]:
        """What is left of a partition without its registration."""
        path = partition_assignment_path(partition.partition_id)
        return [] if await self._store.get(path) is None else await deletions_below(self._store, path)

    # After a commit

    def remember(self, partition: PartitionInfo) -> None:
        """The partition exists."""
        self._by_name.setdefault(partition.table_id, {})[partition.name] = partition
        self._by_id[partition.partition_id] = partition

    def forget(self, partition: PartitionInfo) -> None:
        """The partition is gone."""
        del self._by_name[partition.table_id][partition.name]
        del self._by_id[partition.partition_id]

    def forget_table(self, table_id: int) -> None:
        """All partitions of a table are gone."""
        for partition in self._by_name.pop(table_id, {}).values():
            del self._by_id[partition.partition_id]
