"""Creating, altering and dropping databases and tables, with everything that belongs to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.validation import (
    TableSettings,
    check_creation_allowed,
    check_database_descriptor,
    check_descriptor,
    complete_descriptor,
)
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.model.identifiers import TablePath, check_database_name, check_table_path
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor, TableInfo

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class TableEvents(Protocol):
    """Who keeps the data of tables. Calls about one table never overlap, nor do those about tables of one database."""

    async def table_created(self, table: TableInfo) -> None:
        """Make the replicas of a new table and let them lead; a partitioned table has none yet.

        Nobody can see the table before this returns: it is written to the metadata afterwards, so a crash in between
        leaves data of a table that does not exist. When this raises, the table is not created, and
        :meth:`table_dropped` is called for what was made of it.
        """

    async def table_altered(self, table: TableInfo) -> None:
        """Go on with a new definition of a table: other options, or a newer schema.

        The definition is durable, and clients see it when this returns or raises. Writes that begin afterwards must
        meet it. Whoever misses it finds it at the next start.
        """

    async def table_dropped(self, table: TableInfo) -> None:
        """Remove the replicas of a table that is gone from the metadata, and their data.

        When this raises or the server ends before it is done, data is left of a table that does not exist; whoever
        keeps it compares with :meth:`MetadataManager.tables` at the next start. A partitioned table goes with all its
        partitions.
        """

    async def partition_created(self, table: TableInfo, partition: PartitionInfo) -> None:
        """As :meth:`table_created`, for one partition of an existing table."""

    async def partition_dropped(self, table: TableInfo, partition: PartitionInfo) -> None:
        """As :meth:`table_dropped`, for one partition of a table that stays."""


class DdlExecutor:
    """Changes databases and tables in the order that survives a crash at any point.

    Changes within one database are made one at a time, each to its end even if its client goes away.

    Attributes:
        on_change: called with a table that is new or altered, when others may change it again; the change is answered
            when this returns.
    """

    def __init__(self, manager: MetadataManager, events: TableEvents, settings: TableSettings, server_id: int) -> None:
        self._manager = manager
        self._events = events
        self.settings = settings
        self.server_id = server_id
        self.on_change: Callable[[TableInfo], Awaitable[None]] | None = None
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
        if table is not None and self.on_change is not None:
            await self.on_change(table)

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
        tables = await self._manager.drop_database(name, cascade=cascade)
        logger.info("dropped database %s and %d tables", name, len(tables))
        for table in tables:
            await self._remove_data(table)

    async def _create_table(self, path: TablePath, descriptor: TableDescriptor, ignore_if_exists: bool) -> None:
        if ignore_if_exists and self._manager.find_table(path) is not None:
            return
        table = await self._manager.prepare_table(path, descriptor)
        try:
            await self._events.table_created(table)
            # The buckets of a partitioned table are assigned with each partition.
            bucket_count = 0 if table.is_partitioned else table.bucket_count
            await self._manager.add_table(table, [(self.server_id,)] * bucket_count)
        except Exception:
            await self._remove_data(table)
            self._manager.abandon_table(table)
            raise
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
        after = await self._manager.write_table(replace(before, schema_id=schema_id, descriptor=descriptor))
        try:
            await self._events.table_altered(after)
        finally:
            # Last, because clients write with the newest schema they can see.
            self._manager.show_table(after)
        logger.info("altered table %s with id %d; its schema is %d", path, after.table_id, after.schema_id)

    async def _drop_table(self, path: TablePath, ignore_if_not_exists: bool) -> None:
        if ignore_if_not_exists and self._manager.find_table(path) is None:
            return
        table = await self._manager.drop_table(path)
        logger.info("dropped table %s with id %d", path, table.table_id)
        await self._remove_data(table)

    async def _remove_data(self, table: TableInfo) -> None:
        """The table is gone whether or not this works; what stays is removed at the next start."""
        try:
            await self._events.table_dropped(table)
        except Exception:
            logger.exception("data of the dropped table %s with id %d could not be removed", table.path, table.table_id)
