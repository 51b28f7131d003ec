"""What a replica is on this server: leader or follower, as the coordinator says.

::

                     NOTIFY_LEADER_AND_ISR                              high watermark at epoch start
    log open, idle ──── leader = this server ──► leads: appends, fetches of followers ──► serves clients
         ▲    │                                     │
         │    └──────── leader = another ──► follows │ another leader: the KvTablet closes, its files stay
         └───────────────────────────────────────────┘

A standby replica follows with an open KvTablet, which the leader that it becomes goes on with.

A bucket without followers is served as soon as it is open, and keeps its replica whatever its epochs are. One with
followers, or that has had some since it was opened, gets a new :class:`Replica` or :class:`FollowerReplica` with every
leader epoch; the log goes from one to the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from fluss_server.cluster.messages import AWAITS_LEASES, BucketLeadership
from fluss_server.cluster.metadata_cache import MetadataCache
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.leader_epochs import has_epoch
from fluss_server.log.log_tablet import LogTablet
from fluss_server.metrics.instruments import BucketCounters, Distribution
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.table import TableInfo
from fluss_server.replica.replica import Replica
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.workers import WorkerPool
from fluss_server.tablet.tablet_opener import TabletOpener

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet
    from fluss_server.replica.follower_replica import FollowerReplica
    from fluss_server.replica.follower_rows import FollowerRows
    from fluss_server.replica.replay_queue import ReplayQueue
    from fluss_server.tablet.replica_fetcher import ReplicaFetchers

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class HostedReplica:
    """A replica that is open here.

    Attributes:
        replica: its role.
        leadership: who leads it, as the coordinator said last.
        directory: of its table or partition.
        has_failed: whether it could not take the role that ``leadership`` demands.
        opening: ends when a new leader serves clients, or cannot.
        rows: of a primary-key table with followers, while another server leads.
    """

    replica: Replica | FollowerReplica
    leadership: BucketLeadership
    directory: PurePath
    has_failed: bool = False
    opening: asyncio.Task[None] | None = None
    rows: FollowerRows | None = None

    @property
    def bucket_epoch(self) -> int:
        """The newest that is known here: a leader hears of its own changes of the ISR by itself."""
        followers = self.replica.followers if isinstance(self.replica, Replica) else None
        known = self.leadership.bucket_epoch
        return known if followers is None else max(known, followers.isr.bucket_epoch)


class ReplicaRoles:
    """Gives replicas their roles. All methods are called on the event loop, one at a time for a bucket.

    Args:
        server_id: of this server.
        metadata: definitions of tables.
        opener: opens tablets.
        fetchers: makes what fetches for followers; called when there is the first one.
        clock: the machine's.
        io_pool: for what blocks.
        read_pool: where logs are scrubbed.
        kv_worker: where KvTablets change.
        max_unflushed: see ``ReplicaConfig``.
        min_isr: see ``ReplicationConfig``.
        reserve_ids: see ``ReplicaManager``.
        flush_times: see ``ReplicaManager``.
        failed: called with a leader that went offline, and the reason.

    Attributes:
        leading: the buckets that this server leads.
        serving: those of them that clients may read.
    """

    def __init__(
        self,
        server_id: int,
        metadata: MetadataCache,
        opener: TabletOpener,
        fetchers: Callable[[], ReplicaFetchers],
        clock: Clock,
        *,
        io_pool: WorkerPool,
        read_pool: WorkerPool,
        kv_worker: WorkerPool,
        max_unflushed: int,
        min_isr: int,
        reserve_ids: Callable[[int, int], Coroutine[Any, Any, int]],
        flush_times: Distribution,
        failed: Callable[[Replica, FlussError], object],
    ) -> None:
        self._server_id = server_id
        self._metadata = metadata
        self._opener = opener
        self._new_fetchers = fetchers
        self._fetchers: ReplicaFetchers | None = None  # None until there is a follower
        self._fetches = True  # until this closes
        self._clock = clock
        self._io_pool = io_pool
        self._read_pool = read_pool
        self._kv_worker = kv_worker
        self._max_unflushed = max_unflushed
        self._min_isr = min_isr
        self._reserve_ids = reserve_ids
        self._flush_times = flush_times
        self._failed = failed
        self.leading: dict[TableBucket, Replica] = {}
        self.serving: dict[TableBucket, Replica] = {}

    def set_min_isr(self, min_isr: int) -> None:
        """Change how many replicas must be in sync."""
        self._min_isr = min_isr
        for replica in self.leading.values():
            if replica.followers is not None:
                replica.followers.min_isr = min_isr
                replica.advance()

    # ------------------------------------------------------------------ changes

    def keeps_role(self, hosted: HostedReplica, leadership: BucketLeadership) -> bool:
        """Whether a notification leaves the role of a replica as it is; then call :meth:`refresh`."""
        replica = hosted.replica
        has_followers = len(leadership.replicas) > 1
        if not has_followers and isinstance(replica, Replica) and replica.followers is None:
            return True
        if hosted.has_failed or hosted.leadership.leader_epoch != leadership.leader_epoch:
            return False
        if isinstance(replica, Replica):
            # One that has had followers may be the only one left after a move; it counts with itself then.
            return leadership.leader == self._server_id and (replica.followers is not None or not has_followers)
        return leadership.leader == replica.leader

    def refresh(self, hosted: HostedReplica, leadership: BucketLeadership) -> None:
        """Take in another ISR or assignment."""
        hosted.leadership = leadership
        self._set_standby(hosted)
        replica = hosted.replica
        if not isinstance(replica, Replica):
            return
        followers = replica.followers
        if followers is None:
            self._show(replica, leads=leadership.leader == self._server_id)
            return
        followers.assign(leadership.replicas, self._clock.monotonic())
        followers.isr.confirmed(leadership.isr, leadership.bucket_epoch)
        replica.standby_replicas = leadership.standby_replicas
        replica.advance()

    async def open(self, leadership: BucketLeadership, table: TableInfo) -> HostedReplica:
        """Open the replica of a bucket, in its role."""
        bucket = leadership.bucket
        directory = self._opener.directory_of(bucket, table)
        log = await self._opener.open_log(bucket, directory)
        if len(leadership.replicas) == 1:
            try:
                self._check_begun(log, leadership)
            except FlussError:
                await self._io_pool.run(log.close)
                raise
            kv = await self._opener.open_kv(bucket, directory, table, log) if table.has_primary_key else None
            replica = self._replica(bucket, table, log, kv=kv)
            self._show(replica, leads=leadership.leader == self._server_id)
            return HostedReplica(replica, leadership, directory)
        idle = self._follower(leadership._replace(leader=-1), table, log, log.start_offset, BucketCounters(), None)
        hosted = HostedReplica(idle, leadership, directory)
        try:
            await self.change(hosted, leadership)
        except BaseException:
            await self.close_replica(hosted)
            raise
        return hosted

    def _rows(self, bucket: TableBucket, directory: PurePath, table: TableInfo, log: LogTablet) -> FollowerRows:
        async def open_standby(table: TableInfo) -> KvTablet:
            return await self._opener.open_standby(bucket, directory, table, log)

        from fluss_server.replica.follower_rows import FollowerRows, RowsAccess

        uncertain = self._max_unflushed > 0
        access = RowsAccess(
            open_standby,
            self._opener.close_kv,
            partial(self._opener.remove_rows_beyond, bucket, directory, uncertain=uncertain),
            uncertain=uncertain,
        )
        return FollowerRows(bucket, table, access, self._kv_worker, self._replays)

    @cached_property
    def _replays(self) -> ReplayQueue:
        from fluss_server.replica.replay_queue import ReplayQueue

        return ReplayQueue(self._kv_worker)

    def _set_standby(self, hosted: HostedReplica) -> None:
        if hosted.rows is not None:
            hosted.rows.set_standby(self._server_id in hosted.leadership.standby_replicas)

    async def change(self, hosted: HostedReplica, leadership: BucketLeadership) -> None:
        """Give an open replica another role; after an error it has none.

        Raises:
            FlussError: ``LEADER_NOT_AVAILABLE_EXCEPTION`` when the leadership needs a new epoch; ``AWAITS_LEASES``;
                errors of the tablets.
        """
        hosted.has_failed = True  # until it is done
        hosted.leadership = leadership
        before = hosted.replica
        await self.end_role(hosted)
        table, log = before.table, before.log
        if table.has_primary_key and hosted.rows is None:
            hosted.rows = self._rows(leadership.bucket, hosted.directory, table, log)
        rows = hosted.rows
        high_watermark = before.high_watermark.value
        if leadership.leader != self._server_id:
            follower = self._follower(leadership, table, log, high_watermark, before.counters, rows)
            hosted.replica = follower
            hosted.has_failed = False
            self._set_standby(hosted)
            if rows is not None:
                rows.resume()
            self.begin_to_fetch(follower)
            return
        # If something fails now, it is a follower of nobody.
        nobody = leadership._replace(leader=-1)
        hosted.replica = self._follower(nobody, table, log, high_watermark, before.counters, rows)
        self._check_begun(log, leadership)
        if rows is not None:
            await rows.pause()
            if rows.kv is None:
                await self._opener.check_rows(leadership.bucket, hosted.directory, log)
        await self._begin_epoch(log, leadership)
        replica = self._leader(leadership, table, log, high_watermark, before.counters)
        hosted.replica = replica
        self.leading[leadership.bucket] = replica
        replica.begin()
        replica.advance()
        if replica.is_caught_up:
            await self._serve(hosted, replica)
        else:
            assert replica.followers is not None, "else it would be caught up"
            caught_up = replica.high_watermark.reached(replica.followers.epoch_start)
            hosted.opening = asyncio.ensure_future(self._serve_when(caught_up, hosted, replica))
        hosted.has_failed = False

    async def resign(self, hosted: HostedReplica) -> None:
        """Lead no more, and follow nobody until the coordinator says whom."""
        hosted.has_failed = True
        before = hosted.replica
        await self.end_role(hosted)
        hosted.replica = self._follower(
            hosted.leadership._replace(leader=-1),
            before.table,
            before.log,
            before.high_watermark.value,
            before.counters,
            hosted.rows,
        )

    async def end_role(self, hosted: HostedReplica) -> None:
        """End the role of a replica with followers; its log stays open."""
        replica = hosted.replica
        if not isinstance(replica, Replica):
            self.stop_fetching(replica)
            await replica.stop()
            return
        self.hide(replica)
        try:
            await replica.step_down()
        except FlussError as error:  # of the rows; what is not in them is replayed
            logger.error("the rows of bucket %s could not be closed properly: %s", replica.bucket, error)
        if hosted.opening is not None:
            await asyncio.wait([hosted.opening])
            hosted.opening = None

    def hide(self, replica: Replica | FollowerReplica) -> None:
        """Send no more requests to a replica that is to be closed."""
        if isinstance(replica, Replica):
            self._show(replica, leads=False)
        else:
            self.stop_fetching(replica)

    def begin_to_fetch(self, follower: FollowerReplica) -> None:
        """Fetch what a follower lacks."""
        if self._fetchers is None and self._fetches:
            self._fetchers = self._new_fetchers()
        if self._fetchers is not None:
            self._fetchers.add(follower)

    def stop_fetching(self, follower: FollowerReplica) -> None:
        """Fetch nothing more for a follower."""
        if self._fetchers is not None:
            self._fetchers.remove(follower)

    async def close_fetchers(self) -> None:
        """Fetch nothing more at all."""
        self._fetches = False
        if self._fetchers is not None:
            await self._fetchers.close()

    def close(self, replicas: Iterable[HostedReplica]) -> list[asyncio.Task[None]]:
        """Begin to close replicas; returns what is under way."""
        self.leading.clear()
        self.serving.clear()
        return [asyncio.ensure_future(self.close_replica(hosted)) for hosted in replicas]

    async def close_replica(self, hosted: HostedReplica) -> None:
        """Close a replica with its tablets, the log also when the rows cannot be closed properly."""
        try:
            if hosted.rows is not None:
                await hosted.rows.close()
        finally:
            await self._end(hosted, hosted.replica.close)

    async def delete_replica(self, hosted: HostedReplica) -> None:
        """Close a replica and remove its data, the log also when the rows cannot be removed."""
        replica = hosted.replica
        try:
            if hosted.rows is not None:
                await hosted.rows.delete()
        finally:
            await self._end(hosted, replica.delete)
        if replica.kv is None and replica.table.has_primary_key:
            await self._opener.remove_rows(replica.bucket, hosted.directory)

    # ------------------------------------------------------------------ parts

    async def _end(self, hosted: HostedReplica, end: Callable[[], Awaitable[None]]) -> None:
        """Close or delete what ``hosted`` is, and wait for a leader that is still being opened."""
        try:
            await end()
        finally:
            if hosted.opening is not None:
                await asyncio.wait([hosted.opening])

    def _show(self, replica: Replica, *, leads: bool) -> None:
        for shown in (self.leading, self.serving):
            if leads:
                shown[replica.bucket] = replica
            elif shown.get(replica.bucket) is replica:
                del shown[replica.bucket]

    def _check_begun(self, log: LogTablet, leadership: BucketLeadership) -> None:
        """Refuse to lead after a change of the coordinator, unless the log shows that the leader that the one before
        has elected had heard of it, so that no earlier one serves clients.
        """
        begun = leadership.begun_epoch
        if begun is not None and leadership.leader == self._server_id and not has_epoch(log.epochs, begun):
            raise FlussError(
                AWAITS_LEASES,
                f"no leader of bucket {leadership.bucket} has begun leader epoch {begun}, as far as this server knows:"
                " the one before it may serve clients",
                hint="it leads when leases of the coordinator before are over",
            )

    async def _begin_epoch(self, log: LogTablet, leadership: BucketLeadership) -> None:
        try:
            await self._io_pool.run(log.begin_epoch, leadership.leader_epoch)
        except FlussError as error:
            if error.code is not ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION:
                raise
            raise FlussError(
                ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION,
                f"leader epoch {leadership.leader_epoch} of bucket {leadership.bucket} was begun before this server was"
                " restarted",
                hint="it is elected again, in a new leader epoch",
            ) from error

    async def _serve_when(self, caught_up: asyncio.Future[None], hosted: HostedReplica, replica: Replica) -> None:
        try:
            await caught_up
        except FlussError:
            return  # it has stepped down
        try:
            await self._serve(hosted, replica)
        except Exception as error:
            logger.exception("bucket %s cannot be served", replica.bucket)
            replica.cannot_serve(error)

    async def _serve(self, hosted: HostedReplica, replica: Replica) -> None:
        """Let clients read; the rows of a primary-key table are opened before."""
        if replica.table.has_primary_key:
            kv = await self._rows_of_leader(hosted, replica)
            if replica.is_closed:
                await self._opener.close_kv(kv)
                return
            replica.serve_rows(kv)
        elif replica.is_closed:
            return
        self.serving[replica.bucket] = replica

    async def _rows_of_leader(self, hosted: HostedReplica, replica: Replica) -> KvTablet:
        """The KvTablet with everything in the log, or one that waits for space on the disk.

        Nothing was written since the epoch began: all of the log is acknowledged, so it may go into RocksDB.
        """
        assert hosted.rows is not None, "the bucket has followers"
        kv = hosted.rows.hand_over()
        table = None
        if kv is None:
            table = replica.table
            kv = await self._opener.open_standby(replica.bucket, hosted.directory, table, replica.log)
        try:
            await self._replay(kv, replica)
            while table is not replica.table:
                table = replica.table
                await self._kv_worker.run(kv.update_table, table)
        except BaseException:
            await self._opener.close_kv(kv)
            raise
        return kv

    async def _replay(self, kv: KvTablet, replica: Replica) -> None:
        """Bring a KvTablet to the end of the log, unless it has to wait for space on the disk."""
        apply = partial(kv.apply_changelog, replica.log.end_offset, admit=False)
        try:
            await self._replays.promote(apply, lambda: not replica.is_closed and kv.suspended is None)
            if not replica.is_closed:
                await self._kv_worker.run(kv.lead)
        except FlussError:
            if kv.suspended is None:
                raise
            await self._kv_worker.run(kv.lead)  # to be continued when there is space

    def _replica(self, bucket: TableBucket, table: TableInfo, log: LogTablet, **options: Any) -> Replica:
        return Replica(
            bucket,
            table,
            log,
            options.pop("kv", None),
            schemas=partial(self._metadata.schema, table.table_id),
            clock=self._clock,
            flush_pool=self._io_pool,
            read_pool=self._read_pool,
            kv_worker=self._kv_worker,
            flush_times=self._flush_times,
            max_unflushed=self._max_unflushed,
            reserve_ids=partial(self._reserve_ids, table.table_id),
            failed=self._failed,
            **options,
        )

    def _leader(
        self,
        leadership: BucketLeadership,
        table: TableInfo,
        log: LogTablet,
        high_watermark: int,
        counters: BucketCounters,
    ) -> Replica:
        from fluss_server.replica.followers import Followers
        from fluss_server.replica.in_sync_replicas import InSyncReplicas

        followers = Followers(
            self._server_id,
            leadership.leader_epoch,
            leadership.replicas,
            InSyncReplicas(leadership.isr, leadership.bucket_epoch),
            epoch_start=log.end_offset,
            min_isr=self._min_isr,
            now_s=self._clock.monotonic(),
        )
        replica = self._replica(
            leadership.bucket, table, log, followers=followers, high_watermark=high_watermark, counters=counters
        )
        replica.standby_replicas = leadership.standby_replicas
        return replica

    def _follower(
        self,
        leadership: BucketLeadership,
        table: TableInfo,
        log: LogTablet,
        high_watermark: int,
        counters: BucketCounters,
        rows: FollowerRows | None,
    ) -> FollowerReplica:
        # A server without followers, as every one that is alone, does not load them.
        from fluss_server.replica.follower_replica import FollowerReplica

        return FollowerReplica(
            leadership.bucket,
            table,
            log,
            leader=leadership.leader,
            leader_epoch=leadership.leader_epoch,
            high_watermark=high_watermark,
            flush_before_fetch=self._max_unflushed == 0,
            flush_pool=self._io_pool,
            read_pool=self._read_pool,
            counters=counters,
            rows=rows,
        )
