"""The replicas of a server: opened and stopped as the coordinator says, found for every request."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Coroutine, Iterable
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
from fluss_server.metrics.instruments import BucketCounters, Distribution
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo
from fluss_server.replica.bucket_replica import BucketReplica
from fluss_server.replica.replica import Replica
from fluss_server.runtime.runtime import Runtime
from fluss_server.runtime.workers import WorkerPool
from fluss_server.tablet.bucket_changes import BucketChanges
from fluss_server.tablet.bucket_routing import check_routing
from fluss_server.tablet.maintenance import Maintenance
from fluss_server.tablet.replica_config import ReplicaConfig
from fluss_server.tablet.replica_directories import ReplicaDirectories
from fluss_server.tablet.replica_removal import ReplicaRemoval
from fluss_server.tablet.replica_roles import HostedReplica, ReplicaRoles
from fluss_server.tablet.serving_waits import ServingWaits
from fluss_server.tablet.tablet_opener import TabletOpener

if TYPE_CHECKING:
    from fluss_server.tablet.fetch_group import FollowerDisk
    from fluss_server.tablet.leader_connection import Connect
    from fluss_server.tablet.replica_fetcher import ReplicaFetchers

logger = logging.getLogger(__name__)

_READ_THREADS = 2

SERVING_WAIT_S = 1.0
"""How long a request waits for a new leader that is not caught up yet."""


class ReplicaManager:
    """Owns the replicas. All methods are called on the event loop.

    Args:
        server_id: of this server.
        directory: data directory; this object expects to be its only user.
        metadata: definitions of tables; the caller changes it.
        reserve_ids: reserves so many ids for the auto-increment column of the table with an id; gives the first.
        connect: to the server with an id, for followers.
        lease: until when this server may lead what others could lead, too.
        failed: called with a leader that went offline, and the reason.
        incarnation: of this server; leaders are told whose followers fetch.
        disk: of this server; leaders of followers are told how it is.

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
        connect: Connect,
        lease: Lease,
        failed: Callable[[Replica, FlussError], object],
        *,
        incarnation: str | None = None,
        disk: FollowerDisk | None = None,
    ) -> None:
        self._server_id = server_id
        self._metadata = metadata
        self._lease = lease
        # Led by this server before it registered again, with the end of the lease from before.
        self._unconfirmed: dict[TableBucket, float] = {}
        self._monotonic = runtime.clock.monotonic
        self._awaits_snapshot = False
        self._directories = ReplicaDirectories(directory, runtime.disk)
        self._hosted: dict[TableBucket, HostedReplica] = {}
        self._changes = BucketChanges()
        self._waits = ServingWaits()
        self._slots = asyncio.Semaphore(config.io_threads)
        self._io_pool = runtime.workers.pool("fluss-io", config.io_threads)
        self._kv_worker = runtime.workers.pool("fluss-kv", 1)
        self._read_pool = runtime.workers.pool("fluss-read", _READ_THREADS)
        self.dropped_counters = BucketCounters()
        self.flush_times = Distribution()
        self._opener = TabletOpener(
            self._directories,
            config.log,
            config.kv_cache_bytes,
            config.kv_backpressure_trigger,
            runtime,
            metadata,
            self._io_pool,
            self._kv_worker,
        )

        def fetchers() -> ReplicaFetchers:
            from fluss_server.tablet.replica_fetcher import ReplicaFetchers

            return ReplicaFetchers(
                server_id,
                config.replication.fetcher,
                connect,
                runtime.clock,
                runtime.random.random,
                incarnation=incarnation,
                disk=disk,
            )

        self._roles = ReplicaRoles(
            server_id,
            metadata,
            self._opener,
            fetchers,
            runtime.clock,
            io_pool=self._io_pool,
            read_pool=self._read_pool,
            kv_worker=self._kv_worker,
            max_unflushed=config.max_unflushed,
            min_isr=config.replication.min_isr,
            reserve_ids=reserve_ids,
            flush_times=self.flush_times,
            failed=failed,
        )
        self._removal = ReplicaRemoval(
            server_id,
            self._hosted,
            self._changes,
            self._roles,
            self._opener,
            self._directories,
            metadata,
            self._io_pool,
            self.dropped_counters,
        )
        self._leading, self._serving = self._roles.leading, self._roles.serving
        self._maintenance = Maintenance(config.maintenance, self.replicas)

    # ------------------------------------------------------------------ look-up

    def replica(self, bucket: TableBucket) -> Replica:
        """The replica of ``bucket`` that this server leads and serves.

        Raises:
            FlussError: ``NOT_LEADER_OR_FOLLOWER`` when another server leads it, or none;
                ``LEADER_NOT_AVAILABLE_EXCEPTION`` when it is not served yet; ``UNKNOWN_TABLE_OR_BUCKET_EXCEPTION``.
        """
        replica = self._serving.get(bucket)
        if replica is None or replica.is_closed:
            raise self.leader(bucket).not_serving()
        if not self._lease.held or self._unconfirmed:
            self._check_lease(replica)
        return replica

    def leader(self, bucket: TableBucket) -> Replica:
        """As :meth:`replica`, also when it is not served yet."""
        replica = self._leading.get(bucket)
        if replica is None or replica.is_closed:
            raise self._not_here(bucket)
        if not self._lease.held or self._unconfirmed:
            self._check_lease(replica)
        return replica

    def _check_lease(self, replica: Replica) -> None:
        """Refuse what another server may lead by now; nobody else can be elected when nobody else is in the ISR."""
        if self._lease.held and self._monotonic() < self._unconfirmed.get(replica.bucket, math.inf):
            return
        if replica.followers is not None and len(replica.followers.isr.maximal) > 1:
            raise FlussError(
                ErrorCode.NOT_LEADER_OR_FOLLOWER,
                f"this server has not heard from the coordinator and may not lead bucket {replica.bucket} any more",
            )

    def begin_rejoining(self) -> None:
        """The server registers again: leases that it gets from now on count for a bucket when the coordinator has
        repeated who leads it. The coordinator before may have chosen another leader, and this server has not heard of
        it.
        """
        until, before = self._lease.until, self._unconfirmed
        self._unconfirmed = {
            bucket: min(until, before.get(bucket, until))
            for bucket, replica in self._leading.items()
            if replica.followers is not None
        }
        self._awaits_snapshot = True

    def snapshot_begins(self) -> None:
        """See :meth:`ReplicaRemoval.snapshot_begins`."""
        self._removal.snapshot_begins()

    def snapshot_received(self) -> None:
        """Notifications are of the present membership from now on."""
        self._awaits_snapshot = False

    async def served_replica(self, bucket: TableBucket) -> Replica:
        """As :meth:`replica`, after waiting for a new leader for :data:`SERVING_WAIT_S`.

        Those who wait go on in the order of the calls, and nobody overtakes them.
        """
        if bucket not in self._serving or self._waits:
            hosted = self._hosted.get(bucket)
            opening = None if hosted is None else hosted.opening
            if opening is not None and (bucket not in self._serving or opening in self._waits):
                self.leader(bucket)  # nobody waits for what this server does not lead
                await self._waits.wait(opening, SERVING_WAIT_S)
        return self.replica(bucket)

    def _not_here(self, bucket: TableBucket) -> FlussError:
        entries = self._metadata.buckets(bucket.table_id, bucket.partition_id)
        if bucket in self._hosted or any(entry.bucket == bucket.bucket for entry in entries):
            return FlussError(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"this server does not lead bucket {bucket}")
        return FlussError(ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"no bucket {bucket} on this server")

    def find(self, bucket: TableBucket) -> Replica | None:
        """The replica of ``bucket`` if this server leads it."""
        return self._leading.get(bucket)

    def leaders(self) -> list[Replica]:
        """Every replica that leads."""
        return list(self._leading.values())

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

    def check_routing(self, replica: BucketReplica, sent: int | None) -> None:
        """See ``bucket_routing.check_routing``; only for a table whose number of buckets was changed."""
        bucket = replica.bucket
        check_routing(replica.table, len(self._metadata.buckets(bucket.table_id, bucket.partition_id)), sent)

    def partition(self, partition_id: int) -> PartitionInfo | None:
        """The partition of that id, or None."""
        return self._metadata.partition(partition_id)

    def replicas(self) -> list[BucketReplica]:
        """Every open replica."""
        return [hosted.replica for hosted in self._hosted.values()]

    @property
    def kv_memory_bytes(self) -> int:
        """Bytes of RocksDB's caches and memtables."""
        return self._opener.kv_memory_bytes

    def set_min_isr(self, min_isr: int) -> None:
        """Change ``ReplicationConfig.min_isr``."""
        self._roles.set_min_isr(min_isr)

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

    async def close(self) -> bool:
        """Close every replica: after this a start needs no recovery.

        Returns:
            whether everything that was in the logs is on the disk.
        """
        await self._maintenance.stop()
        await self._removal.wait()
        await self._changes.wait()
        await self._roles.close_fetchers()
        durable = all(hosted.replica.is_online for hosted in self._hosted.values())
        results = await asyncio.gather(*self._roles.close(self._hosted.values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                durable = False
                logger.error("closing a replica failed; it will recover at the next start: %s", result)
        self._hosted.clear()
        self._kv_worker.close()
        self._io_pool.close()
        self._read_pool.close()
        return durable

    async def orphans(self) -> tuple[ReplicaStop, ...]:
        """See :meth:`ReplicaRemoval.orphans`."""
        return await self._removal.orphans()

    async def remove_orphans(self, bounds: IdBounds) -> None:
        """See :meth:`ReplicaRemoval.remove_orphans`."""
        await self._removal.remove_orphans(bounds)

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

    # ------------------------------------------------------------------ leaving

    def pause_reads(self) -> None:
        """Show clients no more of buckets that others may lead soon: their next leader acknowledges more than is known
        here. Writes and followers go on."""
        for bucket, replica in list(self._serving.items()):
            if replica.followers is not None and len(replica.followers.isr.maximal) > 1:
                del self._serving[bucket]

    async def hand_over(self, remaining: Collection[TableBucket] | None) -> None:
        """Lead no more what the coordinator has given to others; who waits gets ``NOT_LEADER_OR_FOLLOWER``.

        Args:
            remaining: what this server still leads; None when that is not known. It then leads until it is told, but
                shows clients no more of it: the coordinator may have given it to others, and its response was lost.
        """
        if remaining is None:
            return
        given = [bucket for bucket in self._leading if bucket not in remaining]
        for bucket in remaining:
            replica = self._leading.get(bucket)
            if replica is not None and replica.is_serving:
                self._serving[bucket] = replica
        resigning = [
            self._changes.add(bucket, partial(self._roles.resign, self._hosted[bucket]))
            for bucket in given
            if self._is_replicated(bucket)
        ]
        await asyncio.gather(*resigning)

    def _is_replicated(self, bucket: TableBucket) -> bool:
        hosted = self._hosted.get(bucket)
        return hosted is not None and not self._changes.is_pending(bucket) and len(hosted.leadership.replicas) > 1

    # ------------------------------------------------------------------ NOTIFY_LEADER_AND_ISR

    async def notify_leader_and_isr(self, request: NotifyLeaderAndIsr) -> NotifyLeaderAndIsrResponse:
        """Lead and follow buckets, opening those that are not open yet. A repetition joins what is under way."""
        self._removal.notified(entry.bucket for entry in request.buckets if self._server_id in entry.replicas)
        outcomes = [self._change(leadership) for leadership in request.buckets]
        # The sender may stop waiting; replicas are opened all the same.
        waiting = [outcome for outcome in outcomes if isinstance(outcome, asyncio.Task)]
        if waiting:
            await asyncio.wait(waiting)
        return NotifyLeaderAndIsrResponse(
            tuple(outcome.result() if isinstance(outcome, asyncio.Task) else outcome for outcome in outcomes)
        )

    def _change(self, leadership: BucketLeadership) -> BucketResult | asyncio.Task[BucketResult]:
        """Take in what is to become of a bucket, at once or after what is under way."""
        confirms = not self._awaits_snapshot
        if self._changes.is_pending(leadership.bucket):
            return self._changes.add(leadership.bucket, partial(self._change_later, leadership, confirms=confirms))
        result = self._begin_change(leadership, confirms=confirms)
        return result or self._changes.add(leadership.bucket, partial(self._give_role, leadership))

    async def _change_later(self, leadership: BucketLeadership, *, confirms: bool) -> BucketResult:
        return self._begin_change(leadership, confirms=confirms) or await self._give_role(leadership)

    def _begin_change(self, leadership: BucketLeadership, *, confirms: bool) -> BucketResult | None:
        """The result when the bucket keeps its role, or the notification is refused; else None.

        Args:
            leadership: what was notified.
            confirms: it is of the present membership.
        """
        bucket = leadership.bucket
        hosted = self._hosted.get(bucket)
        failure = _stale(leadership, hosted, self._server_id)
        if failure is not None:
            if not confirms or bucket not in self._unconfirmed or not self._leads_as_notified(hosted, leadership):
                return BucketResult(bucket, failure)
            # It has changed the ISR since this was sent. The coordinator does not repeat it, and needs a confirmation.
            self._unconfirmed.pop(bucket, None)
            return BucketResult(bucket)
        if confirms:
            self._unconfirmed.pop(bucket, None)
        if hosted is not None and self._roles.keeps_role(hosted, leadership):
            self._roles.refresh(hosted, leadership)
            return BucketResult(bucket)
        if hosted is not None:
            self._roles.hide(hosted.replica)  # from now on: the change may have to wait
        return None

    def _leads_as_notified(self, hosted: HostedReplica | None, leadership: BucketLeadership) -> bool:
        """Whether this server leads a bucket in the leader epoch of a notification."""
        return (
            hosted is not None and leadership.leader == self._server_id and self._roles.keeps_role(hosted, leadership)
        )

    async def _give_role(self, leadership: BucketLeadership) -> BucketResult:
        hosted = self._hosted.get(leadership.bucket)
        try:
            async with self._slots:
                if hosted is not None:
                    await self._roles.change(hosted, leadership)
                else:
                    opened = await self._roles.open(leadership, self.table(leadership.bucket.table_id))
                    self._hosted[leadership.bucket] = opened
        except Exception as error:
            if not isinstance(error, FlussError):
                logger.exception("bucket %s cannot be opened", leadership.bucket)
            return BucketResult(leadership.bucket, Failure.of(error))
        return BucketResult(leadership.bucket)

    # ------------------------------------------------------------------ STOP_REPLICA

    async def stop_replicas(self, request: StopReplicas) -> StopReplicasResponse:
        """Close replicas, or delete them, see :meth:`ReplicaRemoval.stop`."""
        results = await self._removal.stop(request)
        for stop in request.replicas:
            if stop.bucket not in self._hosted:
                self._unconfirmed.pop(stop.bucket, None)
        return StopReplicasResponse(results)


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
    if leadership.leader_epoch == known.leader_epoch and leadership.bucket_epoch < hosted.bucket_epoch:
        return Failure(
            ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION,
            f"bucket epoch {leadership.bucket_epoch} of bucket {bucket} is older than {hosted.bucket_epoch}",
        )
    return None
