"""All replicas of a server: where their files are, opening them at start, creating and dropping them.

Layout below the data directory (the official one)::

    {database}/{table}-{tableId}/log-{bucket}/     LogTablet
    {database}/{table}-{tableId}/kv-{bucket}/      KvTablet, primary-key tables only

A table that is dropped loses its metadata first; its directory is then renamed to ``*.deleted`` and removed. Whatever
a crash leaves of that is finished at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.log_tablet import LogConfig, LogTablet
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo
from fluss_server.replica.replica import Replica
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.files import fsync_directory, make_directories_durably
from fluss_server.tablet.upkeep import Upkeep, UpkeepConfig

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet
    from fluss_server.kv.rocks import KvResources

logger = logging.getLogger(__name__)

_TABLE_DIRECTORY = re.compile(r"(?P<name>.+)-(?P<id>\d+)\Z")
_DELETED = ".deleted"


@dataclass(frozen=True)
class ReplicaConfig:
    """How replicas are kept.

    Attributes:
        log: settings of every LogTablet.
        flush_before_acknowledge: acknowledge only what is fsynced.
        upkeep: when replicas are looked after in the background.
        io_threads: threads for fsync, recovery and removal of files.
        kv_cache_bytes: block cache and write buffers of all KvTablets together.
    """

    log: LogConfig
    flush_before_acknowledge: bool = True
    upkeep: UpkeepConfig = field(default_factory=UpkeepConfig)
    io_threads: int = 4
    kv_cache_bytes: int = 128 << 20


class ReplicaManager:
    """Owns the replicas. All methods are called on the event loop.

    Args:
        directory: data directory; this object expects to be its only user.
        schemas: gives the schema of ``(table, schema id)``.
    """

    def __init__(
        self, directory: Path, config: ReplicaConfig, clock: Clock, schemas: Callable[[TableInfo, int], Schema]
    ) -> None:
        self._directory = directory
        self._config = config
        self._clock = clock
        self._schemas = schemas
        self._replicas: dict[TableBucket, Replica] = {}
        self._tables: dict[int, TableInfo] = {}
        self._io_pool = ThreadPoolExecutor(config.io_threads, thread_name_prefix="fluss-io")
        self._kv_worker = ThreadPoolExecutor(1, thread_name_prefix="fluss-kv")
        self._kv_resources: KvResources | None = None
        self._upkeep = Upkeep(config.upkeep, self.replicas)

    # ------------------------------------------------------------------ look-up

    def replica(self, bucket: TableBucket) -> Replica:
        """The open replica of ``bucket``, or ``UNKNOWN_TABLE_OR_BUCKET_EXCEPTION``."""
        replica = self._replicas.get(bucket)
        if replica is None or replica.is_closed:
            raise FlussError(ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"no bucket {bucket} on this server")
        return replica

    def table(self, table_id: int) -> TableInfo:
        """The table of that id, or ``UNKNOWN_TABLE_OR_BUCKET_EXCEPTION``."""
        table = self._tables.get(table_id)
        if table is None:
            raise FlussError(ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"no table with id {table_id} on this server")
        return table

    def schema(self, table_id: int, schema_id: int) -> Schema:
        """A version of the schema of a table; ``UNKNOWN_TABLE_OR_BUCKET_EXCEPTION``, ``SCHEMA_NOT_EXIST``."""
        return self._schemas(self.table(table_id), schema_id)

    def replicas(self) -> list[Replica]:
        """Every open replica."""
        return list(self._replicas.values())

    @property
    def kv_worker(self) -> ThreadPoolExecutor:
        """The thread in which KvTablets change and are scanned."""
        return self._kv_worker

    # ------------------------------------------------------------------ life cycle

    async def start(self, tables: Iterable[TableInfo], *, next_table_id: int) -> None:
        """Open the replicas of ``tables`` and finish interrupted drops.

        Args:
            next_table_id: every table directory with a smaller id that is not in ``tables`` belonged to a dropped
            table.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when a directory belongs to a table that the metadata cannot know:
            metadata and
                data do not fit each other, and nothing is touched.
        """
        tables = list(tables)
        await asyncio.get_running_loop().run_in_executor(
            self._io_pool, self._remove_leftovers, {table.table_id for table in tables}, next_table_id
        )
        slots = asyncio.Semaphore(self._config.io_threads)

        async def open_one(table: TableInfo, bucket: int) -> None:
            async with slots:
                await self._open(table, bucket)

        for table in tables:
            self._tables[table.table_id] = table
        await asyncio.gather(*(open_one(table, bucket) for table in tables for bucket in range(table.bucket_count)))
        self._upkeep.start()

    async def close(self) -> None:
        """Close every replica: after this a start needs no recovery."""
        await self._upkeep.stop()
        results = await asyncio.gather(*(replica.close() for replica in self.replicas()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                logger.error("closing a replica failed; it will recover at the next start: %s", result)
        self._replicas.clear()
        self._kv_worker.shutdown()
        self._io_pool.shutdown()

    async def table_created(self, table: TableInfo) -> None:
        """Create the replicas of a new table."""
        self._tables[table.table_id] = table
        for bucket in range(table.bucket_count):
            await self._open(table, bucket)

    async def table_altered(self, table: TableInfo) -> None:
        """Give the new definition of a table to its replicas."""
        self._tables[table.table_id] = table
        await asyncio.gather(
            *(replica.update_table(table) for replica in self.replicas() if replica.bucket.table_id == table.table_id)
        )

    async def table_dropped(self, table: TableInfo) -> None:
        """Stop the replicas of a dropped table and remove its files."""
        self._tables.pop(table.table_id, None)
        for bucket in range(table.bucket_count):
            replica = self._replicas.pop(TableBucket(table.table_id, None, bucket), None)
            if replica is not None:
                await replica.delete()
        await asyncio.get_running_loop().run_in_executor(self._io_pool, self._remove, self._table_directory(table))

    async def _open(self, table: TableInfo, bucket: int) -> None:
        directory = self._table_directory(table)
        loop = asyncio.get_running_loop()
        log = await loop.run_in_executor(self._io_pool, self._open_log, directory / f"log-{bucket}")
        kv = None
        if table.has_primary_key:
            kv = await loop.run_in_executor(self._kv_worker, self._open_kv, directory / f"kv-{bucket}", table, log)
        table_bucket = TableBucket(table.table_id, None, bucket)
        self._replicas[table_bucket] = Replica(
            table_bucket,
            table,
            log,
            kv,
            schemas=lambda schema_id: self._schemas(table, schema_id),
            flush_pool=self._io_pool,
            kv_worker=self._kv_worker,
            flush_before_acknowledge=self._config.flush_before_acknowledge,
        )

    def _open_log(self, directory: Path) -> LogTablet:
        make_directories_durably(directory)
        log = LogTablet.open(directory, self._config.log, self._clock)
        log.flush()  # what recovery kept counts as acknowledged, so it must not depend on the page cache
        return log

    def _open_kv(self, directory: Path, table: TableInfo, log: LogTablet) -> KvTablet:
        from fluss_server.kv.kv_tablet import (
            KvTablet,
        )  # RocksDB and Arrow cost start-up time: load with the first table
        from fluss_server.kv.rocks import KvResources

        if self._kv_resources is None:
            self._kv_resources = KvResources(self._config.kv_cache_bytes)
        return KvTablet.open(
            directory, table, lambda schema_id: self._schemas(table, schema_id), log, self._kv_resources
        )

    # ------------------------------------------------------------------ files

    def _table_directory(self, table: TableInfo) -> Path:
        return self._directory / table.path.database / f"{table.path.table}-{table.table_id}"

    def _remove(self, directory: Path) -> None:
        """Remove a table's directory; a crash in between leaves it under a name that the next start removes."""
        if directory.exists():
            doomed = directory.with_name(directory.name + _DELETED)
            os.rename(directory, doomed)
            fsync_directory(directory.parent)
            shutil.rmtree(doomed, ignore_errors=True)

    def _remove_leftovers(self, known: set[int], next_table_id: int) -> None:
        for path in self._directory.glob("*/*"):
            if path.name.endswith(_DELETED):
                shutil.rmtree(path, ignore_errors=True)
                continue
            match = _TABLE_DIRECTORY.match(path.name)
            if match is None or not path.is_dir() or int(match["id"]) in known:
                continue
            if int(match["id"]) >= next_table_id:
                raise FlussError(
                    ErrorCode.STORAGE_EXCEPTION,
                    f"{path} holds a table that the metadata does not know",
                    hint="the metadata file is missing or older than the data; restore it, or move the directory away",
                )
            logger.info("removing %s, left over from a dropped table", path)
            self._remove(path)
