"""Creating, altering and dropping databases and tables, with everything that belongs to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

from fluss_server.coordinator.assignment import Assignment, check_replication_factor
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.validation import (
    TableSettings,
    check_creation_allowed,
    check_database_descriptor,
    check_descriptor,
    complete_descriptor,
    replication_factor,
)
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.model.identifiers import TablePath, check_database_name, check_table_path
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor, TableInfo

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class TableLifecycle(Protocol):
    """Makes tables and partitions durable and gives them leaders.

    Calls about one database never overlap. Each change is durable before any server hears of it, and clients see a new
    table or partition when every bucket has a leader.
    """

    async def servers_present(self) -> None:
        """Return when the servers that were members under an earlier coordinator are back, or have had time for it;
        ``NOT_COORDINATOR_LEADER_EXCEPTION`` when this coordinator stops before that.
        """

    @property
    def usable_servers(self) -> int:
        """Servers that can get replicas of new tables."""

    def bucket_count(self, partition: PartitionInfo) -> int:
        """Buckets of a partition; 0 when it is gone."""

    def assign(self, bucket_count: int, replication_factor: int) -> Assignment:
        """Servers for the replicas of new buckets; ``INVALID_REPLICATION_FACTOR``."""

    async def create_table(self, table: TableInfo, assignment: Assignment | None) -> None:
        """Make a prepared table exist; clients see it when this returns.

        Args:
            table: from ``MetadataManager.prepare_table``.
            assignment: None for a partitioned table.

        Raises:
            FlussError: why it could not be stored, or why a bucket has no leader; then nothing of it is left.
        """

    async def alter_table(self, table: TableInfo) -> None:
        """Give a definition that is durable to every server: writes that begin afterwards meet it.

        Raises:
            FlussError: ``REQUEST_TIME_OUT`` when some server has not confirmed it.
        """

    async def drop_table(self, table: TableInfo) -> None:
        """Drop a table and its replicas. It is gone when this returns; what a server could not remove of its files it
        removes at its next start.
        """

    async def drop_database(self, name: str, *, cascade: bool) -> list[TableInfo]:
        """Drop a database with its tables, as :meth:`drop_table`; returns them."""

    async def create_partition(self, table: TableInfo, partition: PartitionInfo, assignment: Assignment) -> None:
        """As :meth:`create_table`, for one partition of an existing table."""

    async def drop_partition(self, table: TableInfo, partition: PartitionInfo) -> None:
        """As :meth:`drop_table`, for one partition of a table that stays."""


class DdlExecutor:
    """Changes databases and tables in the order that survives a crash at any point.

    Changes within one database are made one at a time, each to its end even if its client goes away.

    Args:
        manager: loaded.
        lifecycle: carries them out.
        settings: limits and defaults for new tables.
        on_change: called with a table that is new or altered, when others may change it again; the change is complete
            when this returns.
    """

    def __init__(
        self,
        manager: MetadataManager,
        lifecycle: TableLifecycle,
        settings: TableSettings,
        on_change: Callable[[TableInfo], Awaitable[None]] | None = None,
    ) -> None:
        self._manager = manager
        self._lifecycle = lifecycle
        self.settings = settings
        self._on_change = on_change
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks = UninterruptedTasks()

    async def create_database(self, name: str, descriptor: DatabaseDescriptor, *, ignore_if_exists: bool) -> None:
        """Create a database; ``INVALID_DATABASE_EXCEPTION``, ``DATABASE_ALREADY_EXIST`` unless ignored."""
        check_database_name(name)
        check_database_descriptor(descriptor)
        await self.exclusively(name, self._create_database(name, descriptor, ignore_if_exists))

    async def drop_database(self, name: str, *, ignore_if_not_exists: bool, cascade: bool) -> None:
        """Drop a database and, with ``cascade``, its tables.

        Raises:
            FlussError: ``DATABASE_NOT_EXIST`` unless ignored, ``DATABASE_NOT_EMPTY``, ``INVALID_DATABASE_EXCEPTION``
                for the default one.
        """
        await self.exclusively(name, self._drop_database(name, ignore_if_not_exists, cascade))

    async def create_table(self, path: TablePath, descriptor: TableDescriptor, *, ignore_if_exists: bool) -> None:
        """Create a table; it has leaders when this returns.

        Raises:
            FlussError: for the names and the descriptor as ``validation.py`` says; ``DATABASE_NOT_EXIST``,
                ``TABLE_ALREADY_EXIST`` unless ignored.
        """
        check_table_path(path)
        check_creation_allowed(descriptor, self.settings)
        descriptor = complete_descriptor(descriptor, self.settings)
        check_descriptor(descriptor, self.settings)
        await self._lifecycle.servers_present()
        check_replication_factor(replication_factor(descriptor), self._lifecycle.usable_servers)
        await self.exclusively(path.database, self._create_table(path, descriptor, ignore_if_exists))
        await self._tell(path)

    async def alter_database(
        self, name: str, change: Callable[[DatabaseDescriptor], DatabaseDescriptor], *, ignore_if_not_exists: bool
    ) -> None:
        """Give a database the definition that ``change`` makes of the present one.

        Raises:
            FlussError: ``DATABASE_NOT_EXIST`` unless ignored; ``INVALID_DATABASE_EXCEPTION``; what ``change`` raises.
        """
        await self.exclusively(name, self._alter_database(name, change, ignore_if_not_exists))

    async def alter_table(
        self,
        path: TablePath,
        change: Callable[[TableInfo, TableSettings], TableDescriptor],
        *,
        ignore_if_not_exists: bool,
    ) -> None:
        """Give a table the definition that ``change`` makes of the present one; another schema gets the next id.

        When this returns, every replica works with the new definition, and clients see it.

        Raises:
            FlussError: ``TABLE_NOT_EXIST`` unless ignored; what ``change`` raises.
        """
        await self.exclusively(path.database, self._alter_table(path, change, ignore_if_not_exists))
        await self._tell(path)

    def bucket_count(self, partition: PartitionInfo) -> int:
        """Buckets of a partition, which it keeps when the number of its table changes; 0 when it is gone."""
        return self._lifecycle.bucket_count(partition)

    async def drop_table(self, path: TablePath, *, ignore_if_not_exists: bool) -> None:
        """Drop a table and its data; ``TABLE_NOT_EXIST`` unless ignored."""
        await self.exclusively(path.database, self._drop_table(path, ignore_if_not_exists))

    async def close(self) -> None:
        """Wait for the changes that have begun."""
        await self._tasks.wait()

    async def exclusively(self, database: str, change: Coroutine[Any, Any, _T]) -> _T:
        """Run a change of something in a database when no other one is under way, to its end."""
        return await self._tasks.run(self._in_order(database, change))

    async def _tell(self, path: TablePath) -> None:
        table = self._manager.find_table(path)
        if table is not None and self._on_change is not None:
            await self._on_change(table)

    async def _in_order(self, database: str, change: Coroutine[Any, Any, _T]) -> _T:
        lock = self._locks.get(database)
        if lock is None:
            lock = self._locks[database] = asyncio.Lock()
        async with lock:
            return await change

    async def _create_database(self, name: str, descriptor: DatabaseDescriptor, ignore_if_exists: bool) -> None:
        if not (ignore_if_exists and self._manager.database_exists(name)):
            await self._manager.create_database(name, descriptor)
            logger.info("created database %s", name)

    async def _drop_database(self, name: str, ignore_if_not_exists: bool, cascade: bool) -> None:
        if ignore_if_not_exists and not self._manager.database_exists(name):
            return
        tables = await self._lifecycle.drop_database(name, cascade=cascade)
        logger.info("dropped database %s and %d tables", name, len(tables))

    async def _create_table(self, path: TablePath, descriptor: TableDescriptor, ignore_if_exists: bool) -> None:
        if ignore_if_exists and self._manager.find_table(path) is not None:
            return
        table = await self._manager.prepare_table(path, descriptor)
        # The buckets of a partitioned table are assigned with each partition.
        assignment = None
        if not table.is_partitioned:
            assignment = self._lifecycle.assign(table.bucket_count, replication_factor(descriptor))
        await self._lifecycle.create_table(table, assignment)
        logger.info("created table %s with id %d and %d buckets", path, table.table_id, table.bucket_count)

    async def _alter_database(
        self, name: str, change: Callable[[DatabaseDescriptor], DatabaseDescriptor], ignore_if_not_exists: bool
    ) -> None:
        if ignore_if_not_exists and not self._manager.database_exists(name):
            return
        before = self._manager.database(name).descriptor
        after = change(before)
        if after != before:
            check_database_descriptor(after)
            await self._manager.alter_database(name, after)
            logger.info("altered database %s", name)

    async def _alter_table(
        self,
        path: TablePath,
        change: Callable[[TableInfo, TableSettings], TableDescriptor],
        ignore_if_not_exists: bool,
    ) -> None:
        if ignore_if_not_exists and self._manager.find_table(path) is None:
            return
        before = self._manager.table(path)
        descriptor = change(before, self.settings)
        if descriptor == before.descriptor:
            return
        schema_id = before.schema_id + (descriptor.schema != before.schema)
        epoch = before.bucket_count_epoch + (descriptor.bucket_count != before.bucket_count)
        after = await self._manager.write_table(
            replace(before, schema_id=schema_id, descriptor=descriptor, bucket_count_epoch=epoch)
        )
        try:
            await self._lifecycle.alter_table(after)
        finally:
            # Last, because clients write with the newest schema they can see.
            self._manager.show_table(after)
        logger.info("altered table %s with id %d; its schema is %d", path, after.table_id, after.schema_id)

    async def _drop_table(self, path: TablePath, ignore_if_not_exists: bool) -> None:
        if ignore_if_not_exists and self._manager.find_table(path) is None:
            return
        table = self._manager.table(path)
        await self._lifecycle.drop_table(table)
        logger.info("dropped table %s with id %d", path, table.table_id)
