"""Creating and dropping partitions, with their replicas, in the order that survives a crash at any point."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from fluss_server.coordinator.assignment import check_replication_factor
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.catalog_view import check_partitioned, no_partition
from fluss_server.coordinator.ddl import DdlExecutor, TableLifecycle
from fluss_server.coordinator.partition_rules import strategy_of
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TablePath
from fluss_server.model.partition import PartitionInfo, partition_name
from fluss_server.model.table import TableInfo
from fluss_server.runtime.clock import Clock

if TYPE_CHECKING:
    from datetime import tzinfo

logger = logging.getLogger(__name__)


class PartitionExecutor:
    """Changes of partitions; as all changes within one database they are made one at a time, each to its end.

    Args:
        manager: loaded.
        ddl: makes the other changes.
        lifecycle: carries them out.
        max_partitions: most partitions of one table.
        default_zone: finds the time zone of partition names of tables that give none; called when it is needed.
    """

    def __init__(
        self,
        manager: MetadataManager,
        ddl: DdlExecutor,
        lifecycle: TableLifecycle,
        clock: Clock,
        max_partitions: int,
        default_zone: Callable[[], tzinfo],
    ) -> None:
        self._manager = manager
        self._ddl = ddl
        self._lifecycle = lifecycle
        self._clock = clock
        self.max_partitions = max_partitions
        self._default_zone = default_zone

    @cached_property
    def zone(self) -> tzinfo:
        """Time zone of partition names of tables that give none."""
        return self._default_zone()

    async def create(self, path: TablePath, spec: Mapping[str, str], *, ignore_if_exists: bool) -> None:
        """Create a partition; it has leaders when this returns.

        Args:
            spec: value of each partition column.

        Raises:
            FlussError: ``TABLE_NOT_EXIST``, ``TABLE_NOT_PARTITIONED_EXCEPTION``, ``PARTITION_SPEC_INVALID_EXCEPTION``,
                ``PARTITION_ALREADY_EXISTS`` unless ignored, ``PARTITION_MAX_NUM_EXCEPTION``,
                ``BUCKET_MAX_NUM_EXCEPTION``, ``INVALID_REPLICATION_FACTOR``.
        """
        table = self._manager.table(path)
        check_partitioned(table)
        key = table.descriptor.partition_key
        name = partition_name(key, spec, for_creation=True)
        strategy = strategy_of(table, self.zone)
        strategy.check_new(spec[key[strategy.key_index]], self._clock.now_ms())
        if ignore_if_exists and self._manager.find_partition(table, name) is not None:
            return  # writers request every partition they meet; most exist
        await self.create_named(table, name, ignore_if_exists=ignore_if_exists)

    def bucket_count(self, partition: PartitionInfo) -> int:
        """Buckets of a partition, which it keeps when the number of its table changes; 0 when it is gone."""
        return self._lifecycle.bucket_count(partition)

    async def create_named(self, table: TableInfo, name: str, *, ignore_if_exists: bool) -> None:
        """Create a partition with an allowed name; errors as for :meth:`create`."""
        await self._ddl.exclusively(table.path.database, self._create(table, name, ignore_if_exists))

    async def drop(self, path: TablePath, spec: Mapping[str, str], *, ignore_if_not_exists: bool) -> None:
        """Drop a partition and its data.

        Raises:
            FlussError: ``TABLE_NOT_EXIST``, ``TABLE_NOT_PARTITIONED_EXCEPTION``, ``PARTITION_SPEC_INVALID_EXCEPTION``,
                ``PARTITION_NOT_EXISTS`` unless ignored.
        """
        table = self._manager.table(path)
        check_partitioned(table)
        name = partition_name(table.descriptor.partition_key, spec, for_creation=False)
        await self.drop_named(table, name, ignore_if_not_exists=ignore_if_not_exists)

    async def drop_named(self, table: TableInfo, name: str, *, ignore_if_not_exists: bool) -> None:
        """Drop a partition by its name; errors as for :meth:`drop`."""
        await self._ddl.exclusively(table.path.database, self._drop(table, name, ignore_if_not_exists))

    async def _create(self, table: TableInfo, name: str, ignore_if_exists: bool) -> None:
        table = self._current(table)
        if self._manager.find_partition(table, name) is not None and ignore_if_exists:
            return
        await self._lifecycle.servers_present()
        self._check_limits(table, name)
        partition = await self._manager.prepare_partition(table, name)
        assignment = self._lifecycle.assign(table.bucket_count, _replication_factor(table))
        await self._lifecycle.create_partition(table, partition, assignment)
        logger.info("created partition %s of table %s with id %d", name, table.path, partition.partition_id)

    async def _drop(self, table: TableInfo, name: str, ignore_if_not_exists: bool) -> None:
        table = self._current(table)
        partition = self._manager.find_partition(table, name)
        if partition is None:
            if ignore_if_not_exists:
                return
            raise no_partition(table, name)
        await self._lifecycle.drop_partition(table, partition)
        logger.info("dropped partition %s of table %s with id %d", name, table.path, partition.partition_id)

    def _current(self, table: TableInfo) -> TableInfo:
        """The table as it is now that no other change is under way."""
        current = self._manager.table_by_id(table.table_id)
        if current is None:
            raise FlussError(ErrorCode.TABLE_NOT_EXIST, f"table {table.path} does not exist any more")
        return current

    def _check_limits(self, table: TableInfo, name: str) -> None:
        settings = self._ddl.settings
        check_replication_factor(_replication_factor(table), self._lifecycle.usable_servers)
        if self._manager.find_partition(table, name) is not None:
            raise FlussError(
                ErrorCode.PARTITION_ALREADY_EXISTS, f"partition {name!r} of table {table.path} already exists"
            )
        if self._manager.partition_count(table) >= self.max_partitions:
            raise FlussError(
                ErrorCode.PARTITION_MAX_NUM_EXCEPTION,
                f"Exceed the maximum number of partitions for table {table.path}, only allow {self.max_partitions}"
                " partitions.",
                hint="drop old ones, or raise max.partition.num of the server",
            )
        if table.bucket_count > settings.max_bucket_count:
            raise FlussError(
                ErrorCode.BUCKET_MAX_NUM_EXCEPTION,
                f"{table.bucket_count} buckets are more than the limit of {settings.max_bucket_count}",
                hint="raise max.bucket.num of the server",
            )


def _replication_factor(table: TableInfo) -> int:
    return int(table.descriptor.properties.get("table.replication.factor", "1"))
