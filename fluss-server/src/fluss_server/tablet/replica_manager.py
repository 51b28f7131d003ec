"""The replicas of a server: opened and stopped as the coordinator says, found for every request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from fluss_server.cluster.lease import Lease
from fluss_server.cluster.messages import (
    BucketLeadership,
    BucketResult,
    Failure,
    IdBounds,
    NotifyLeaderAndIsr,
    NotifyLeaderAndIsrResponse,
    ReplicaStop,
    StopReplicas,
    StopReplicasResponse,
    TableMetadata,
)
from fluss_server.cluster.metadata_cache import MetadataCache
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.log_tablet import LogConfig, LogTablet
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.metrics.instruments import BucketCounters, Distribution
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo
from fluss_server.replica.replica import Replica
from fluss_server.runtime.runtime import Runtime
from fluss_server.runtime.workers import WorkerPool
from fluss_server.tablet.maintenance import Maintenance, MaintenanceConfig
from fluss_server.tablet.replica_directories import ReplicaDirectories

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet
    from fluss_server.kv.resources import KvResources

logger = logging.getLogger(__name__)

_READ_THREADS = 2


@dataclass(frozen=True)
class ReplicaConfig:
    """How replicas are kept.

    Attributes:
        log: settings of every LogTablet.
        max_unflushed: most offsets of a bucket that may be acknowledged before they are fsynced.
        maintenance: background tasks over the replicas.
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


@dataclass(slots=True)
class HostedReplica:
    """A replica that is open here.

    Attributes:
        replica: log and rows.
        leadership: who leads it, as the coordinator said last.
        directory: of its table or partition.
    """

    replica: Replica
    leadership: BucketLeadership
    directory: PurePath


class ReplicaManager:
    """Owns the replicas. All methods are called on the event loop.

    Args:
        server_id: of this server.
        directory: data directory; this object expects to be its only user.
        metadata: definitions of tables; the caller changes it.
        reserve_ids: reserves so many ids for the auto-increment column of the table with an id; gives the first.
        lease: until when this server may lead what others could lead, too.

    Attributes:
        dropped_counters: what clients did to buckets that were dropped since.
        flush_times: how long flushes before acknowledgements took.
    """

    def __init__(
        self,
        server_id: int,
        directory: PurePath,
        config: ReplicaConfig,
        runtime: Runtime,
        metadata: MetadataCache,
        reserve_ids: Callable[[int, int], Coroutine[Any, Any, int]],
        lease: Lease,
    ) -> None:
        self._server_id = server_id
        self._config = config
        self._runtime = runtime
        self._metadata = metadata
        self._reserve_ids = reserve_ids
        self._lease = lease
        self._directories = ReplicaDirectories(directory, runtime.disk)
        self._hosted: dict[TableBucket, HostedReplica] = {}
        self._leading: dict[TableBucket, Replica] = {}  # those that serve requests
        self._changing: dict[TableBucket, asyncio.Task[BucketResult]] = {}
        self._slots = asyncio.Semaphore(config.io_threads)
        self._files = asyncio.Lock()  # held by what removes files of replicas that are gone
        self._tasks = UninterruptedTasks()
        self._io_pool = runtime.workers.pool("fluss-io", config.io_threads)
        self._kv_worker = runtime.workers.pool("fluss-kv", 1)
        self._read_pool = runtime.workers.pool("fluss-read", _READ_THREADS)
        self._kv_resources: KvResources | None = None
        self.dropped_counters = BucketCounters()
        self.flush_times = Distribution()
        self._maintenance = Maintenance(config.maintenance, self.replicas)

    # ------------------------------------------------------------------ look-up

    def replica(self, bucket: TableBucket) -> Replica:
        """The replica of ``bucket`` that this server leads.

        Raises:
            FlussError: ``NOT_LEADER_OR_FOLLOWER`` when another server leads it, or none;
                ``UNKNOWN_TABLE_OR_BUCKET_EXCEPTION``.
        """
        replica = self._leading.get(bucket)
        if replica is None or replica.is_closed:
            raise self._not_here(bucket)
        if not self._lease.held and len(self._hosted[bucket].leadership.isr) > 1:
            raise FlussError(
                ErrorCode.NOT_LEADER_OR_FOLLOWER,
                f"this server has not heard from the coordinator and may not lead bucket {bucket} any more",
            )
        return replica

    def _not_here(self, bucket: TableBucket) -> FlussError:
        entries = self._metadata.buckets(bucket.table_id, bucket.partition_id)
        if bucket in self._hosted or any(entry.bucket == bucket.bucket for entry in entries):
            return FlussError(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"this server does not lead bucket {bucket}")
        return FlussError(ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"no bucket {bucket} on this server")

    def find(self, bucket: TableBucket) -> Replica | None:
        """The replica of ``bucket`` if this server leads it."""
        return self._leading.get(bucket)

    def table(self, table_id: int) -> TableInfo:
        """The table of that id, or ``UNKNOWN_TABLE_OR_BUCKET_EXCEPTION``."""
        table = self._metadata.table(table_id)
        if table is None:
            raise FlussError(ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"no table with id {table_id} on this server")
        return table

    def schema(self, table_id: int, schema_id: int) -> Schema:
        """A version of the schema of a table; ``UNKNOWN_TABLE_OR_BUCKET_EXCEPTION``, ``SCHEMA_NOT_EXIST``."""
        self.table(table_id)
        return self._metadata.schema(table_id, schema_id)

    def partition(self, partition_id: int) -> PartitionInfo | None:
        """The partition of that id, or None."""
        return self._metadata.partition(partition_id)

    def replicas(self) -> list[Replica]:
        """Every open replica."""
        return [hosted.replica for hosted in self._hosted.values()]

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

    @property
    def scrubbed_bytes(self) -> int:
        """Bytes of logs that were checked in the background."""
        return self._maintenance.scrubbed_bytes

    @property
    def read_pool(self) -> WorkerPool:
        """Threads in which log batches are checked before they are read for the first time."""
        return self._read_pool

    # ------------------------------------------------------------------ life cycle

    def start(self) -> None:
        """Begin the background tasks; replicas come with :meth:`notify_leader_and_isr`."""
        self._maintenance.start()

    async def close(self) -> None:
        """Close every replica: after this a start needs no recovery."""
        await self._maintenance.stop()
        if self._changing:
            await asyncio.wait(tuple(self._changing.values()))
        await self._tasks.wait()
        results = await asyncio.gather(*(replica.close() for replica in self.replicas()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                logger.error("closing a replica failed; it will recover at the next start: %s", result)
        self._hosted.clear()
        self._leading.clear()
        self._kv_worker.close()
        self._io_pool.close()
        self._read_pool.close()

    async def orphans(self) -> tuple[ReplicaStop, ...]:
        """How to close the replicas of tables and partitions that the metadata does not have.

        Their directories are for :meth:`remove_orphans`, which knows whether the metadata can be trusted.
        """

        def unknown(bucket: TableBucket) -> bool:
            if bucket.partition_id is not None and self._metadata.partition(bucket.partition_id) is None:
                return True
            return self._metadata.table(bucket.table_id) is None

        opening = [task for bucket, task in self._changing.items() if unknown(bucket)]
        if opening:
            await asyncio.wait(opening)
        return tuple(
            ReplicaStop(bucket, hosted.leadership.leader_epoch, delete=False)
            for bucket, hosted in self._hosted.items()
            if unknown(bucket)
        )

    async def remove_orphans(self, bounds: IdBounds) -> None:
        """Remove or set aside directories of what the metadata does not have; see :class:`ReplicaDirectories`.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when metadata and data do not belong together; nothing is touched.
        """

        def is_partitioned(table_id: int) -> bool | None:
            table = self._metadata.table(table_id)
            return None if table is None else table.is_partitioned

        def has_partition(partition_id: int) -> bool:
            return self._metadata.partition(partition_id) is not None

        async def remove() -> None:
            async with self._files:
                await self._io_pool.run(self._directories.remove_orphans, is_partitioned, has_partition, bounds)

        await self._tasks.run(remove())

    async def update_tables(self, tables: Iterable[TableMetadata]) -> None:
        """Give new definitions to the replicas of their tables: writes that begin afterwards meet them."""
        changed = {
            entry.table.table_id: entry.table
            for entry in tables
            if (known := self._metadata.table(entry.table.table_id)) is not None and known != entry.table
        }
        if changed:
            await asyncio.gather(
                *(
                    replica.update_table(changed[replica.bucket.table_id])
                    for replica in self.replicas()
                    if replica.bucket.table_id in changed
                )
            )

    # ------------------------------------------------------------------ NOTIFY_LEADER_AND_ISR

    async def notify_leader_and_isr(self, request: NotifyLeaderAndIsr) -> NotifyLeaderAndIsrResponse:
        """Lead and follow buckets, opening those that are not open yet. A repetition joins what is under way."""
        results: dict[TableBucket, BucketResult] = {}
        remaining = list(request.buckets)
        while remaining:
            busy: list[BucketLeadership] = []
            opening: dict[TableBucket, asyncio.Task[BucketResult]] = {}
            for leadership in remaining:
                if leadership.bucket in self._changing:
                    busy.append(leadership)
                    continue
                found = self._change(leadership)
                if isinstance(found, BucketResult):
                    results[leadership.bucket] = found
                else:
                    opening[leadership.bucket] = found
            # The sender may stop waiting; replicas are opened all the same.
            waiting = [*opening.values(), *(self._changing[entry.bucket] for entry in busy)]
            if waiting:
                await asyncio.wait(waiting)
            results.update((bucket, task.result()) for bucket, task in opening.items())
            remaining = busy
        return NotifyLeaderAndIsrResponse(tuple(results[entry.bucket] for entry in request.buckets))

    def _change(self, leadership: BucketLeadership) -> BucketResult | asyncio.Task[BucketResult]:
        """Take in what is to become of a bucket that is not being changed."""
        bucket = leadership.bucket
        hosted = self._hosted.get(bucket)
        failure = _stale(leadership, hosted, self._server_id)
        if failure is not None:
            return BucketResult(bucket, failure)
        if hosted is not None:
            self._lead_or_follow(hosted, leadership)
            return BucketResult(bucket)
        task = asyncio.ensure_future(self._open_reporting(leadership))
        self._changing[bucket] = task
        task.add_done_callback(lambda _: self._changing.pop(bucket, None))
        return task

    async def _open_reporting(self, leadership: BucketLeadership) -> BucketResult:
        try:
            async with self._slots:
                hosted = await self._open(leadership)
        except Exception as error:
            if not isinstance(error, FlussError):
                logger.exception("bucket %s cannot be opened", leadership.bucket)
            return BucketResult(leadership.bucket, Failure.of(error))
        self._hosted[leadership.bucket] = hosted
        self._lead_or_follow(hosted, leadership)
        return BucketResult(leadership.bucket)

    def _lead_or_follow(self, hosted: HostedReplica, leadership: BucketLeadership) -> None:
        hosted.leadership = leadership
        if leadership.leader == self._server_id:
            self._leading[leadership.bucket] = hosted.replica
        else:
            self._leading.pop(leadership.bucket, None)

    async def _open(self, leadership: BucketLeadership) -> HostedReplica:
        bucket = leadership.bucket
        table = self.table(bucket.table_id)
        partition = None
        if bucket.partition_id is not None and (partition := self._metadata.partition(bucket.partition_id)) is None:
            raise FlussError(
                ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION,
                f"no partition with id {bucket.partition_id} on this server",
            )
        directory = self._directories.of_physical_table(
            table.path, table.table_id, None if partition is None else partition.name, bucket.partition_id
        )
        log = await self._io_pool.run(self._open_log, directory / f"log-{bucket.bucket}")
        kv = None
        if table.has_primary_key:
            values = () if partition is None else partition.values
            open_kv = partial(self._open_kv, directory / f"kv-{bucket.bucket}", table, values, log)
            kv = await self._kv_worker.run(open_kv)
        replica = Replica(
            bucket,
            table,
            log,
            kv,
            schemas=partial(self._metadata.schema, table.table_id),
            clock=self._runtime.clock,
            flush_pool=self._io_pool,
            read_pool=self._read_pool,
            kv_worker=self._kv_worker,
            flush_times=self.flush_times,
            max_unflushed=self._config.max_unflushed,
            reserve_ids=partial(self._reserve_ids, table.table_id),
        )
        return HostedReplica(replica, leadership, directory)

    def _open_log(self, directory: PurePath) -> LogTablet:
        log = LogTablet.open(directory, self._config.log, self._runtime)
        log.flush()  # what recovery kept counts as acknowledged, so it must not depend on the page cache
        return log

    def _open_kv(self, directory: PurePath, table: TableInfo, partition: Sequence[str], log: LogTablet) -> KvTablet:
        # RocksDB and Arrow cost start-up time: load with the first table.
        from fluss_server.kv.kv_tablet import KvTablet
        from fluss_server.kv.resources import KvResources

        if self._kv_resources is None:
            self._kv_resources = KvResources(
                self._runtime, self._config.kv_cache_bytes, backpressure_trigger=self._config.kv_backpressure_trigger
            )
        return KvTablet.open(
            directory,
            table,
            partial(self._metadata.schema, table.table_id),
            log,
            self._kv_resources,
            partition,
        )

    # ------------------------------------------------------------------ STOP_REPLICA

    async def stop_replicas(self, request: StopReplicas) -> StopReplicasResponse:
        """Close replicas, or delete them; a table or partition without any replica left loses its directory, too.

        It goes on when the caller is cancelled; a repetition waits for it.
        """
        return await self._tasks.run(self._stop_all(request))

    async def _stop_all(self, request: StopReplicas) -> StopReplicasResponse:
        async with self._files:
            return await self._stop_each(request)

    async def _stop_each(self, request: StopReplicas) -> StopReplicasResponse:
        results: dict[TableBucket, BucketResult] = {}
        directories: dict[tuple[int, int | None], PurePath | None] = {}
        for stop in request.replicas:
            bucket = stop.bucket
            hosted = self._hosted.get(bucket)
            try:
                await self._stop(stop)
                results[bucket] = BucketResult(bucket)
            except Exception as error:
                results[bucket] = BucketResult(bucket, _failure_of(error, f"bucket {bucket} cannot be stopped"))
            if stop.delete:
                key = bucket.table_id, bucket.partition_id
                directories[key] = directories.get(key) or (None if hosted is None else hosted.directory)
        remaining = {(bucket.table_id, bucket.partition_id) for bucket in self._hosted}
        for (table_id, partition_id), directory in directories.items():
            if (table_id, partition_id) in remaining:
                continue
            try:
                if directory is None:
                    await self._io_pool.run(self._directories.remove_of_id, table_id, partition_id)
                else:
                    await self._io_pool.run(self._directories.remove, directory)
            except Exception as error:
                failure = _failure_of(error, f"the directory of table {table_id} cannot be removed")
                for bucket in results:
                    if (bucket.table_id, bucket.partition_id) == (table_id, partition_id):
                        results[bucket] = BucketResult(bucket, failure)
        return StopReplicasResponse(tuple(results.values()))

    async def _stop(self, stop: ReplicaStop) -> None:
        bucket = stop.bucket
        if (running := self._changing.get(bucket)) is not None:
            await asyncio.wait([running])
        hosted = self._hosted.get(bucket)
        if hosted is None:
            return
        if stop.leader_epoch < hosted.leadership.leader_epoch:
            raise FlussError(
                ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION,
                f"leader epoch {stop.leader_epoch} of bucket {bucket} is older than {hosted.leadership.leader_epoch}",
            )
        del self._hosted[bucket]
        self._leading.pop(bucket, None)
        if stop.delete:
            self.dropped_counters.add(hosted.replica.counters)
            await hosted.replica.delete()
        else:
            await hosted.replica.close()


def _stale(leadership: BucketLeadership, hosted: HostedReplica | None, server_id: int) -> Failure | None:
    """Why a notification is refused, or None."""
    bucket = leadership.bucket
    if server_id not in leadership.replicas:
        return Failure(
            ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"server {server_id} has no replica of bucket {bucket}"
        )
    if hosted is None:
        return None
    known = hosted.leadership
    if leadership.leader_epoch < known.leader_epoch:
        return Failure(
            ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION,
            f"leader epoch {leadership.leader_epoch} of bucket {bucket} is older than {known.leader_epoch}",
        )
    if leadership.leader_epoch == known.leader_epoch and leadership.bucket_epoch < known.bucket_epoch:
        return Failure(
            ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION,
            f"bucket epoch {leadership.bucket_epoch} of bucket {bucket} is older than {known.bucket_epoch}",
        )
    return None


def _failure_of(error: Exception, what: str) -> Failure:
    if isinstance(error, OSError):
        logger.error("%s: %s", what, error)
    elif not isinstance(error, FlussError):
        logger.error("%s", what, exc_info=error)
    return Failure.of(error)
