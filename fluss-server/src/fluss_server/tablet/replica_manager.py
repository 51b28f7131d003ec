"""All replicas of a server: where their files are, opening them at start, creating and dropping them.

Layout below the data directory (the official one)::

    {database}/{table}-{tableId}/log-{bucket}/     LogTablet
    {database}/{table}-{tableId}/kv-{bucket}/      KvTablet, primary-key tables only
    {database}/{table}-{tableId}/{partition}-p{partitionId}/log-{bucket}/     the same of a partition
    {database}/{table}-{tableId}/{partition}-p{partitionId}/kv-{bucket}/

A table or partition that is dropped loses its metadata first; its directory is then renamed to ``*.deleted`` and
removed. Whatever a crash leaves of that is finished at the next start, unless the metadata had to be repaired: then
directories that it does not know are renamed to ``*.orphaned`` and kept.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.log_tablet import LogConfig, LogTablet
from fluss_server.metrics.instruments import BucketCounters, Distribution
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo
from fluss_server.replica.replica import Replica
from fluss_server.runtime.files import fsync_directory
from fluss_server.runtime.runtime import Runtime
from fluss_server.runtime.workers import WorkerPool
from fluss_server.tablet.maintenance import Maintenance, MaintenanceConfig

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet
    from fluss_server.kv.resources import KvResources

logger = logging.getLogger(__name__)

_TABLE_DIRECTORY = re.compile(r"(?P<name>.+)-(?P<id>\d+)\Z")
_PARTITION_DIRECTORY = re.compile(r"(?P<name>.+)-p(?P<id>\d+)\Z")
_DELETED = ".deleted"
ORPHANED = ".orphaned"
"""End of the name of a directory that the metadata does not know and that was kept; a number may follow."""


@dataclass(frozen=True)
class ReplicaConfig:
    """How replicas are kept.

    Attributes:
        log: settings of every LogTablet.
        max_unflushed: most offsets of a bucket that may be acknowledged before they are fsynced.
        upkeep: when replicas are looked after in the background.
        io_threads: threads for fsync, recovery and removal of files.
        kv_backpressure_trigger: files on level 0 of a KvTablet above which its writers are slowed down.
        kv_cache_bytes: block cache and write buffers of all KvTablets together.
    """

    log: LogConfig
    max_unflushed: int = 0
    maintenance: MaintenanceConfig = field(default_factory=MaintenanceConfig)
    io_threads: int = 4
    kv_cache_bytes: int = 128 << 20
    kv_backpressure_trigger: int = 8


class ReplicaManager:
    """Owns the replicas. All methods are called on the event loop.

    Args:
        directory: data directory; this object expects to be its only user.
        schemas: gives the schema of ``(table, schema id)``.
        reserve_ids: reserves so many ids for the auto-increment column of the table with an id; gives the first.

    Attributes:
        dropped_counters: what clients did to buckets that were dropped since.
        flush_times: how long flushes before acknowledgements took.
    """

    def __init__(
        self,
        directory: Path,
        config: ReplicaConfig,
        runtime: Runtime,
        schemas: Callable[[TableInfo, int], Schema],
        reserve_ids: Callable[[int, int], Coroutine[Any, Any, int]],
    ) -> None:
        self._directory = directory
        self._config = config
        self._runtime = runtime
        self._schemas = schemas
        self._reserve_ids = reserve_ids
        self._replicas: dict[TableBucket, Replica] = {}
        self._tables: dict[int, TableInfo] = {}
        self._partitions: dict[int, PartitionInfo] = {}
        self._io_pool = runtime.workers.pool("fluss-io", config.io_threads)
        self._kv_worker = runtime.workers.pool("fluss-kv", 1)
        self._kv_resources: KvResources | None = None
        self.dropped_counters = BucketCounters()
        self.flush_times = Distribution()
        self._maintenance = Maintenance(config.maintenance, self.replicas)

    # ------------------------------------------------------------------ look-up

    def replica(self, bucket: TableBucket) -> Replica:
        """The open replica of ``bucket``, or ``UNKNOWN_TABLE_OR_BUCKET_EXCEPTION``."""
        replica = self._replicas.get(bucket)
        if replica is None or replica.is_closed:
            raise FlussError(ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"no bucket {bucket} on this server")
        return replica

    def find(self, bucket: TableBucket) -> Replica | None:
        """The replica of ``bucket`` if it is here."""
        return self._replicas.get(bucket)

    def table(self, table_id: int) -> TableInfo:
        """The table of that id, or ``UNKNOWN_TABLE_OR_BUCKET_EXCEPTION``."""
        table = self._tables.get(table_id)
        if table is None:
            raise FlussError(ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"no table with id {table_id} on this server")
        return table

    def schema(self, table_id: int, schema_id: int) -> Schema:
        """A version of the schema of a table; ``UNKNOWN_TABLE_OR_BUCKET_EXCEPTION``, ``SCHEMA_NOT_EXIST``."""
        return self._schemas(self.table(table_id), schema_id)

    def partition(self, partition_id: int) -> PartitionInfo | None:
        """The partition of that id, or None when it is not on this server."""
        return self._partitions.get(partition_id)

    def replicas(self) -> list[Replica]:
        """Every open replica."""
        return list(self._replicas.values())

    @property
    def kv_memory_bytes(self) -> int:
        """Bytes of RocksDB's caches and memtables."""
        return 0 if self._kv_resources is None else self._kv_resources.memory_bytes

    def set_roll_expired_segments(self, enabled: bool) -> None:
        """Change ``MaintenanceConfig.roll_expired_segments``."""
        self._maintenance.roll_expired_segments = enabled

    @property
    def kv_worker(self) -> WorkerPool:
        """The thread in which KvTablets change and are scanned."""
        return self._kv_worker

    # ------------------------------------------------------------------ life cycle

    async def start(
        self,
        tables: Iterable[TableInfo],
        partitions: Iterable[PartitionInfo] = (),
        *,
        next_table_id: int,
        next_partition_id: int = 0,
        keep_orphans: bool = False,
    ) -> None:
        """Open the replicas of ``tables`` and finish interrupted drops.

        Args:
            tables: every table.
            partitions: every partition of the partitioned ones.
            next_table_id: a table directory with a smaller id that is not of one of ``tables`` belonged to a dropped
                table.
            next_partition_id: likewise for partitions.
            keep_orphans: whether such directories are set aside, because changes of the metadata may be lost, instead
                of removed.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when a directory belongs to a table or partition that the metadata cannot
                know: metadata and data do not fit each other, and nothing is touched.
        """
        self._tables.update((table.table_id, table) for table in tables)
        self._partitions.update((partition.partition_id, partition) for partition in partitions)
        await self._io_pool.run(self._remove_orphans, next_table_id, next_partition_id, keep_orphans)
        slots = asyncio.Semaphore(self._config.io_threads)

        async def open_one(table: TableInfo, partition: PartitionInfo | None, bucket: int) -> None:
            async with slots:
                await self._open(table, partition, bucket)

        owners: list[tuple[TableInfo, PartitionInfo | None]] = [
            (table, None) for table in self._tables.values() if not table.is_partitioned
        ]
        owners += [(self._tables[partition.table_id], partition) for partition in self._partitions.values()]
        await asyncio.gather(*(open_one(*owner, bucket) for owner in owners for bucket in range(owner[0].bucket_count)))
        self._maintenance.start()

    async def close(self) -> None:
        """Close every replica: after this a start needs no recovery."""
        await self._maintenance.stop()
        results = await asyncio.gather(*(replica.close() for replica in self.replicas()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                logger.error("closing a replica failed; it will recover at the next start: %s", result)
        self._replicas.clear()
        self._kv_worker.close()
        self._io_pool.close()

    async def table_created(self, table: TableInfo) -> None:
        """Create the replicas of a new table; those of a partitioned one come with its partitions."""
        self._tables[table.table_id] = table
        if not table.is_partitioned:
            await self._open_all(table, None)

    async def table_altered(self, table: TableInfo) -> None:
        """Give the new definition of a table to its replicas."""
        self._tables[table.table_id] = table
        await asyncio.gather(
            *(replica.update_table(table) for replica in self.replicas() if replica.bucket.table_id == table.table_id)
        )

    async def table_dropped(self, table: TableInfo) -> None:
        """Stop the replicas of a dropped table, with all its partitions, and remove its files."""
        self._tables.pop(table.table_id, None)
        for partition in [entry for entry in self._partitions.values() if entry.table_id == table.table_id]:
            del self._partitions[partition.partition_id]
        await self._delete([bucket for bucket in self._replicas if bucket.table_id == table.table_id])
        await self._io_pool.run(self._remove, self._directory_of(table, None))

    async def partition_created(self, table: TableInfo, partition: PartitionInfo) -> None:
        """Create the replicas of a new partition."""
        self._partitions[partition.partition_id] = partition
        await self._open_all(table, partition)

    async def partition_dropped(self, table: TableInfo, partition: PartitionInfo) -> None:
        """Stop the replicas of a dropped partition and remove its files."""
        self._partitions.pop(partition.partition_id, None)
        await self._delete([bucket for bucket in self._replicas if bucket.partition_id == partition.partition_id])
        directory = self._directory_of(table, partition)
        await self._io_pool.run(self._remove, directory)

    async def _open_all(self, table: TableInfo, partition: PartitionInfo | None) -> None:
        """Open every bucket; when one fails, none is being opened any more when this raises."""
        opening = (self._open(table, partition, bucket) for bucket in range(table.bucket_count))
        for result in await asyncio.gather(*opening, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _delete(self, buckets: list[TableBucket]) -> None:
        for bucket in buckets:
            replica = self._replicas.pop(bucket, None)
            if replica is not None:
                self.dropped_counters.add(replica.counters)
                await replica.delete()

    async def _open(self, table: TableInfo, partition: PartitionInfo | None, bucket: int) -> None:
        directory = self._directory_of(table, partition)
        log = await self._io_pool.run(self._open_log, directory / f"log-{bucket}")
        kv = None
        if table.has_primary_key:
            values = () if partition is None else partition.values
            open_kv = partial(self._open_kv, directory / f"kv-{bucket}", table, values, log)
            kv = await self._kv_worker.run(open_kv)
        table_bucket = TableBucket(table.table_id, partition.partition_id if partition else None, bucket)
        self._replicas[table_bucket] = Replica(
            table_bucket,
            table,
            log,
            kv,
            schemas=lambda schema_id: self._schemas(table, schema_id),
            clock=self._runtime.clock,
            flush_pool=self._io_pool,
            kv_worker=self._kv_worker,
            flush_times=self.flush_times,
            max_unflushed=self._config.max_unflushed,
            reserve_ids=partial(self._reserve_ids, table.table_id),
        )

    def _open_log(self, directory: Path) -> LogTablet:
        log = LogTablet.open(directory, self._config.log, self._runtime)
        log.flush()  # what recovery kept counts as acknowledged, so it must not depend on the page cache
        return log

    def _open_kv(self, directory: Path, table: TableInfo, partition: Sequence[str], log: LogTablet) -> KvTablet:
        # RocksDB and Arrow cost start-up time: load with the first table
        from fluss_server.kv.kv_tablet import KvTablet
        from fluss_server.kv.resources import KvResources

        if self._kv_resources is None:
            self._kv_resources = KvResources(
                self._runtime, self._config.kv_cache_bytes, backpressure_trigger=self._config.kv_backpressure_trigger
            )
        return KvTablet.open(
            directory,
            table,
            lambda schema_id: self._schemas(table, schema_id),
            log,
            self._kv_resources,
            partition,
        )

    # ------------------------------------------------------------------ files

    def _directory_of(self, table: TableInfo, partition: PartitionInfo | None) -> Path:
        directory = self._directory / table.path.database / f"{table.path.table}-{table.table_id}"
        return directory / f"{partition.name}-p{partition.partition_id}" if partition else directory

    def _remove(self, directory: Path) -> None:
        """Remove the directory of a table or partition; a crash leaves it under a name that the next start removes."""
        if directory.exists():
            to_delete = directory.with_name(directory.name + _DELETED)
            os.rename(directory, to_delete)
            fsync_directory(directory.parent)
            shutil.rmtree(to_delete, ignore_errors=True)

    def _remove_orphans(self, next_table_id: int, next_partition_id: int, keep: bool) -> None:
        """Remove or set aside what dropped tables and partitions left, once all other directories are known."""
        orphans: list[Path] = []
        for path in self._directory.glob("*/*"):
            match = _TABLE_DIRECTORY.match(path.name)
            if path.name.endswith(_DELETED):
                orphans.append(path)
            elif match is not None and path.is_dir():
                table = self._tables.get(int(match["id"]))
                if table is None:
                    _check_drawn(path, int(match["id"]), next_table_id)
                    orphans.append(path)
                elif table.is_partitioned:
                    orphans += self._partition_orphans(path, next_partition_id)
        if keep:
            for path in orphans:
                if not path.name.endswith(_DELETED):
                    _set_aside(path)
            return
        for path in orphans:
            logger.info("removing %s, left over from a dropped table or partition", path)
            if path.name.endswith(_DELETED):
                shutil.rmtree(path, ignore_errors=True)
            else:
                self._remove(path)

    def _partition_orphans(self, table_directory: Path, next_partition_id: int) -> list[Path]:
        orphans = []
        for path in table_directory.iterdir():
            match = _PARTITION_DIRECTORY.match(path.name)
            if path.name.endswith(_DELETED):
                orphans.append(path)
            elif match is not None and path.is_dir() and int(match["id"]) not in self._partitions:
                _check_drawn(path, int(match["id"]), next_partition_id)
                orphans.append(path)
        return orphans


def _set_aside(path: Path) -> None:
    """Rename a directory so that nobody takes it for a table or partition."""
    target = path.with_name(path.name + ORPHANED)
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}{ORPHANED}{number}")
    os.rename(path, target)
    fsync_directory(path.parent)
    logger.error(
        "%s belongs to a table or partition that the repaired metadata does not know; it is kept as %s. If it is not "
        "needed, stop the server and remove it",
        path,
        target.name,
    )


def _check_drawn(path: Path, number: int, next_id: int) -> None:
    """Refuse a directory whose id was never drawn, as far as the metadata knows."""
    if number >= next_id:
        raise FlussError(
            ErrorCode.STORAGE_EXCEPTION,
            f"{path} holds a table or partition that the metadata does not know",
            hint="the metadata file is missing or older than the data; restore it, or move the directory away",
        )
