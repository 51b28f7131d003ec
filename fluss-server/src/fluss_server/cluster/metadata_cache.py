"""What a server knows of the cluster: tables, schemas, partitions, leaders and servers, as the coordinator told it."""

from __future__ import annotations

from collections.abc import Sequence

from fluss_server.cluster.messages import BucketMetadata, ServerNode, TableMetadata, UpdateMetadata
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo


class MetadataCache:
    """Changed by UPDATE_METADATA only, read without waiting.

    A table or partition that is being created is known by its id, so that its replicas can be made, but not by its
    name: clients see it when its buckets have leaders.

    Attributes:
        coordinator_epoch: the newest that was seen; -1 before the first update.
        coordinator: the active coordinator, None when it is not known yet.
        servers: the live tablet servers by id.
    """

    def __init__(self) -> None:
        self.coordinator_epoch = -1
        self.coordinator: ServerNode | None = None
        self.servers: dict[int, ServerNode] = {}
        self._tables: dict[int, TableInfo] = {}
        self._visible: dict[TablePath, int] = {}
        self._schemas: dict[int, dict[int, Schema]] = {}
        self._partitions: dict[int, PartitionInfo] = {}
        self._partition_ids: dict[int, dict[str, int]] = {}  # visible ones, by table id and name
        self._table_buckets: dict[int, Sequence[BucketMetadata]] = {}
        self._partition_buckets: dict[int, Sequence[BucketMetadata]] = {}

    def check_epoch(self, coordinator_epoch: int) -> None:
        """Take in the epoch of a control request.

        Raises:
            FlussError: ``INVALID_COORDINATOR_EXCEPTION`` when a newer coordinator was heard of.
        """
        if coordinator_epoch < self.coordinator_epoch:
            raise FlussError(
                ErrorCode.INVALID_COORDINATOR_EXCEPTION,
                f"coordinator epoch {coordinator_epoch} is older than {self.coordinator_epoch}",
            )
        self.coordinator_epoch = coordinator_epoch

    def learn_schemas(self, update: UpdateMetadata) -> None:
        """Take in only the schemas of tables that are known, ahead of :meth:`apply`.

        Replicas work with a new definition before clients see it: clients write with the newest schema they can see.
        """
        for entry in update.tables:
            if entry.table.table_id in self._tables:
                self._put_schemas(entry)

    def apply(self, update: UpdateMetadata) -> None:
        """Take in an update; ``INVALID_COORDINATOR_EXCEPTION`` for one of an older coordinator, without any effect."""
        self.check_epoch(update.coordinator_epoch)
        if update.snapshot is not None:
            self._forget_all_but(update)
        if update.coordinator is not None:
            self.coordinator = update.coordinator
        if update.tablet_servers is not None:
            self.servers = {server.server_id: server for server in update.tablet_servers}
        for table_id in update.dropped_tables:
            self._drop_table(table_id)
        for partition_id in update.dropped_partitions:
            self._drop_partition(partition_id)
        for entry in update.tables:
            self._put_table(entry)
        for partition_entry in update.partitions:
            partition = partition_entry.partition
            self._partitions[partition.partition_id] = partition
            if partition_entry.buckets:
                self._partition_buckets[partition.partition_id] = partition_entry.buckets
                names = self._partition_ids.setdefault(partition.table_id, {})
                names[partition.name] = partition.partition_id

    def _put_table(self, entry: TableMetadata) -> None:
        table = entry.table
        self._tables[table.table_id] = table
        self._schemas.setdefault(table.table_id, {}).update(
            {**dict(entry.older_schemas), table.schema_id: table.schema}
        )
        if entry.buckets or table.is_partitioned:
            self._table_buckets[table.table_id] = entry.buckets
            self._visible[table.path] = table.table_id

    def _put_schemas(self, entry: TableMetadata) -> None:
        schemas = self._schemas.setdefault(entry.table.table_id, {})
        schemas.update(entry.older_schemas)
        schemas[entry.table.schema_id] = entry.table.schema

    def _forget_all_but(self, update: UpdateMetadata) -> None:
        tables = {entry.table.table_id for entry in update.tables}
        for table_id in self._tables.keys() - tables:
            self._drop_table(table_id)
        partitions = {entry.partition.partition_id for entry in update.partitions}
        for partition_id in self._partitions.keys() - partitions:
            self._drop_partition(partition_id)

    def _drop_table(self, table_id: int) -> None:
        table = self._tables.pop(table_id, None)
        if table is None:
            return
        if self._visible.get(table.path) == table_id:
            del self._visible[table.path]
        self._schemas.pop(table_id, None)
        self._table_buckets.pop(table_id, None)
        if table.is_partitioned:
            for partition in [entry for entry in self._partitions.values() if entry.table_id == table_id]:
                self._drop_partition(partition.partition_id)
            self._partition_ids.pop(table_id, None)

    def _drop_partition(self, partition_id: int) -> None:
        partition = self._partitions.pop(partition_id, None)
        self._partition_buckets.pop(partition_id, None)
        if partition is not None:
            names = self._partition_ids.get(partition.table_id, {})
            if names.get(partition.name) == partition_id:
                del names[partition.name]

    # Reading by id: what exists or is being created

    def table(self, table_id: int) -> TableInfo | None:
        """The table with an id, or None."""
        return self._tables.get(table_id)

    def tables(self) -> list[TableInfo]:
        """Every table."""
        return list(self._tables.values())

    def table_path(self, table_id: int) -> TablePath | None:
        """Path of the table with an id, or None."""
        table = self._tables.get(table_id)
        return None if table is None else table.path

    def schema(self, table_id: int, schema_id: int) -> Schema:
        """A version of the schema of a table; ``SCHEMA_NOT_EXIST``, also when the table is gone."""
        schema = self._schemas.get(table_id, {}).get(schema_id)
        if schema is None:
            raise FlussError(ErrorCode.SCHEMA_NOT_EXIST, f"table {table_id} has no schema {schema_id}")
        return schema

    def partition(self, partition_id: int) -> PartitionInfo | None:
        """The partition with an id, or None."""
        return self._partitions.get(partition_id)

    # Reading by name: what clients see

    def find_table(self, path: TablePath) -> TableInfo | None:
        """The table with a name, or None."""
        table_id = self._visible.get(path)
        return None if table_id is None else self._tables[table_id]

    def find_partition(self, table_id: int, name: str) -> PartitionInfo | None:
        """The partition of a table with a name, or None."""
        partition_id = self._partition_ids.get(table_id, {}).get(name)
        return None if partition_id is None else self._partitions[partition_id]

    def buckets(self, table_id: int, partition_id: int | None) -> Sequence[BucketMetadata]:
        """Where the buckets of a table or partition are; empty when clients do not see it."""
        if partition_id is not None:
            return self._partition_buckets.get(partition_id, ())
        return self._table_buckets.get(table_id, ())

    def has_buckets_without(self, server_id: int) -> bool:
        """Whether some bucket has no replica on a server."""
        all_buckets = (*self._table_buckets.values(), *self._partition_buckets.values())
        return any(server_id not in entry.replicas for entries in all_buckets for entry in entries)
