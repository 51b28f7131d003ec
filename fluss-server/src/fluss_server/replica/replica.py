"""The leader replica of a bucket.

A write's way: append to the LogTablet (for a primary-key table through the KvTablet, which merges first) → *commit*,
see :mod:`.commit_chain`: make the log durable, wait for the followers if there are some, write the KvTablet's buffered
rows to RocksDB → advance the high watermark, which acknowledges the write, shows it to lookups and wakes parked
fetches.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.kv_batch import max_record_count
from fluss_server.log.log_tablet import AppendResult, LogTablet
from fluss_server.metrics.instruments import BucketCounters, Distribution
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo
from fluss_server.replica.bucket_replica import BucketReplica
from fluss_server.replica.commit_chain import CommitChain
from fluss_server.replica.kv_closing import close_kv
from fluss_server.replica.schema_check import SchemaCheck, not_again
from fluss_server.replica.watched_offset import WatchedOffset
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.workers import WorkerPool

if TYPE_CHECKING:
    from fluss_server.kv.id_supply import IdSupply, ReserveIds
    from fluss_server.kv.kv_tablet import KvTablet
    from fluss_server.replica.followers import Followers

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_RECOVERY_DELAY_S = 0.25
MAX_RECOVERY_DELAY_S = 5.0
"""Between attempts to open a store again that waits for space on the disk: twice as long after each, up to this."""


class Replica(BucketReplica):
    """One bucket that this server leads; with followers, in one leader epoch.

    Without followers everything that was in the log when it was opened counts as acknowledged. With followers the
    bucket is served when everything in it is: see :class:`Followers`. Until then ``is_serving`` is False, and a
    primary-key table has no KvTablet.

    Args:
        bucket: which bucket.
        table: its table.
        log: open log.
        kv: open KvTablet of a primary-key table, else None; with followers it comes with :meth:`serve_rows`.
        schemas: schema of a schema id; raises ``SCHEMA_NOT_EXIST`` for an unknown one.
        clock: measures how long flushes take.
        flush_pool: where blocking flushes run.
        read_pool: where the log is scrubbed.
        kv_worker: the one thread in which all KvTablets change; submissions run in order.
        max_unflushed: most offsets that may be acknowledged before they are fsynced; 0 = only what is durable is
            acknowledged.
        flush_times: where to count how long flushes take.
        reserve_ids: reserves ids for the table's auto-increment column, if it has one.
        followers: of this leader epoch; None = the bucket has no other replica.
        high_watermark: with followers: where it is at least.
        counters: what clients did before; None = nothing.
        failed: called with this replica and the reason when it goes offline.

    Attributes:
        log_end: end of the log, for followers; moves only if there are some.
        standby_replicas: followers that are to keep a KvTablet of their own.
    """

    def __init__(
        self,
        bucket: TableBucket,
        table: TableInfo,
        log: LogTablet,
        kv: KvTablet | None,
        *,
        schemas: Callable[[int], Schema],
        clock: Clock,
        flush_pool: WorkerPool,
        read_pool: WorkerPool,
        kv_worker: WorkerPool,
        max_unflushed: int = 0,
        flush_times: Distribution | None = None,
        reserve_ids: ReserveIds | None = None,
        followers: Followers | None = None,
        high_watermark: int = 0,
        counters: BucketCounters | None = None,
        failed: Callable[[Replica, FlussError], object] = lambda replica, error: None,
    ) -> None:
        value = log.end_offset if followers is None else min(high_watermark, log.end_offset)
        super().__init__(
            bucket, table, log, WatchedOffset(value), flush_pool=flush_pool, read_pool=read_pool, counters=counters
        )
        self.kv = kv
        self.followers = followers
        self.log_end = WatchedOffset(log.end_offset)
        self.standby_replicas: tuple[int, ...] = ()
        self._has_rows = table.has_primary_key
        self._schemas = SchemaCheck(table, schemas)
        self._monotonic = clock.monotonic
        self._kv_worker = kv_worker
        self._commits = CommitChain(
            log,
            kv,
            self.high_watermark,
            followers,
            monotonic=clock.monotonic,
            flush_pool=flush_pool,
            kv_worker=kv_worker,
            max_unflushed=max_unflushed,
            flush_times=flush_times or Distribution(),
            failed=self._commit_failed,
        )
        self._failed = failed
        self._offline: FlussError | None = None
        self._closed: FlussError | None = None
        self._reserve_ids = reserve_ids
        self._ids: IdSupply | None = None
        self._recovery: asyncio.TimerHandle | None = None
        if kv is not None:
            self._take_in_rows(kv)

    def _take_in_rows(self, kv: KvTablet) -> None:
        if kv.ids is not None:
            from fluss_server.kv.id_supply import IdSupply

            assert self._reserve_ids is not None, "an auto-increment column needs a source of ids"
            self._ids = IdSupply(kv.ids, self._reserve_ids, self.table.auto_increment_cache_size)
        if kv.suspended is not None:
            self._wait_for_space(kv.suspended)

    # ------------------------------------------------------------------ writes

    @property
    def is_online(self) -> bool:
        """True while the bucket takes writes; False after its storage has failed, and while it waits for space."""
        is_suspended = self.kv is not None and self.kv.suspended is not None
        return self._offline is None and self._closed is None and not is_suspended

    @property
    def problem(self) -> FlussError | None:
        """Why the bucket is not healthy, with a remedy; None if it is.

        It takes no writes, or batches of its log are damaged.
        """
        if self._offline is not None:
            return self._offline
        if self.kv is not None and self.kv.suspended is not None:
            return self.kv.suspended
        damage = self.log.damage
        return damage[0] if damage else None

    def append(self, records: memoryview) -> AppendResult:
        """Append log batches; they are acknowledged when :meth:`acknowledged` of the result completes.

        Raises:
            FlussError: what ``LogTablet.append`` raises; ``STORAGE_EXCEPTION`` when the replica is offline;
                ``INVALID_TABLE_EXCEPTION`` when the rows do not match the schema of the table, and for a
                primary-key table, whose log only its KvTablet writes.
        """
        self._check_online()
        if self._has_rows:
            raise FlussError(
                ErrorCode.INVALID_TABLE_EXCEPTION,
                f"{self.table.path} has a primary key",
                hint="write it with upserts and deletes (PUT_KV), not with appends",
            )
        self._schemas.check(records, self.table)
        result = self.log.append(records)
        self._appended()
        return result

    def _appended(self) -> None:
        if self.followers is not None:
            self.log_end.advance(self.log.end_offset)
        self._schedule_commit()

    async def put(self, records: memoryview, target_columns: Sequence[int], *, overwrite: bool = False) -> AppendResult:
        """Merge a KV batch; acknowledged as for :meth:`append`. The order of calls is the order of effects.

        Args:
            records: one whole KV batch.
            target_columns: see ``KvTablet.put``.
            overwrite: see ``KvTablet.put``.

        Raises:
            FlussError: what ``KvTablet.put`` raises, with ``INVALID_TABLE_EXCEPTION`` for rows that do not match the
                schema of the table; ``STORAGE_EXCEPTION``; ``NON_PRIMARY_KEY_TABLE_EXCEPTION``.
        """
        self._check_online()
        kv = self.require_kv()
        put = partial(kv.put, records, target_columns, overwrite=overwrite)
        try:
            result = await self._run_write(kv, max_record_count(records), put)
        except FlussError as error:
            raise not_again(error) from None
        self._appended()
        return result

    async def _run_write(self, kv: KvTablet, max_inserts: int, write: Callable[[], T]) -> T:
        """Run a write in the KV worker, with ids for all rows that it may insert. Keeps the order of the calls."""
        if (error := kv.suspended) is not None:
            raise error
        if self._ids is None:
            return await self._kv_worker.run(write)
        await self._ids.claim(max_inserts)
        try:
            return await self._kv_worker.run(write)
        finally:
            self._ids.release(max_inserts)

    async def find_or_insert(self, keys: Sequence[bytes]) -> tuple[list[bytes], int]:
        """Values of encoded keys; a key without a row gets one. See ``KvTablet.find_or_insert``.

        Returns:
            the values, and the offset for :meth:`acknowledged_below`.

        Raises:
            FlussError: what ``KvTablet.find_or_insert`` raises; ``STORAGE_EXCEPTION``;
                ``NON_PRIMARY_KEY_TABLE_EXCEPTION``.
        """
        self._check_online()
        kv = self.require_kv()
        found = await self._run_write(kv, len(keys), partial(kv.find_or_insert, keys))
        self._appended()
        return found

    def check_acks(self, acks: int) -> None:
        """Refuse a write before anything is appended: ``NOT_ENOUGH_REPLICAS_EXCEPTION`` if all replicas in sync are to
        acknowledge it (-1) and there are too few."""
        if acks == -1 and self.followers is not None:
            self.followers.check_enough_replicas()

    def acknowledged(self, result: AppendResult, acks: int = -1) -> asyncio.Future[None]:
        """Completes when all rows of ``result`` are acknowledged; for a duplicate, when those of the original are.

        Args:
            result: of the write.
            acks: -1 = by all replicas in sync, 1 = by the leader.
        """
        return self.acknowledged_below(result.last_offset + 1, acks)

    def acknowledged_below(self, offset: int, acks: int = -1) -> asyncio.Future[None]:
        """Completes when all rows with smaller offsets are acknowledged; ``acks`` as for :meth:`acknowledged`."""
        if self._closed is not None and self.followers is not None:
            raise self._closed
        if self._offline is not None:
            raise self._offline
        if self.kv is not None and self.kv.suspended is not None and self.high_watermark.value < offset:
            raise self.kv.suspended
        if acks == 1 and self.followers is not None:
            return self._commits.durable_end.reached(offset)
        return self.high_watermark.reached(offset)

    def require_kv(self) -> KvTablet:
        """The KvTablet.

        Raises:
            FlussError: ``NON_PRIMARY_KEY_TABLE_EXCEPTION``; ``LEADER_NOT_AVAILABLE_EXCEPTION`` when it is not open yet.
        """
        if self.kv is None:
            if self._has_rows:
                raise self.not_serving()
            raise FlussError(ErrorCode.NON_PRIMARY_KEY_TABLE_EXCEPTION, f"{self.table.path} has no primary key")
        return self.kv

    @property
    def row_count(self) -> int:
        """Rows of the KvTablet, or offsets between the log's start and the high watermark."""
        if self.kv is not None:
            return self.kv.row_count
        return self.high_watermark.value - self.log.start_offset

    # ------------------------------------------------------------------ followers

    @property
    def is_caught_up(self) -> bool:
        """Whether everything is acknowledged that was in the log when the leader epoch began."""
        return self.followers is None or self.high_watermark.value >= self.followers.epoch_start

    @property
    def is_serving(self) -> bool:
        """Whether clients may read: before that, what they have seen already may not be known here."""
        return self.is_caught_up and (self.kv is not None or not self._has_rows)

    def not_serving(self) -> FlussError:
        """The error for clients while the bucket is not served."""
        return FlussError(
            ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION,
            f"the new leader of bucket {self.bucket} waits for its followers",
            hint="repeat the request; it takes as long as the replicas in sync need to fetch once",
        )

    def serve_rows(self, kv: KvTablet) -> None:
        """Begin with the KvTablet of a primary-key table; it was opened when the replica was caught up."""
        self.kv = self._commits.kv = kv
        self._take_in_rows(kv)
        self.high_watermark.wake_readers()  # the bucket is served now

    def cannot_serve(self, error: Exception) -> None:
        """The rows cannot be opened: refuse everything until this server leads the bucket again."""
        self._commit_failed(error)

    def begin(self) -> None:
        """Begin as the leader of an epoch: what is in the log is committed as followers have it."""
        self._schedule_commit()

    def follower_fetched(
        self,
        server: int,
        offset: int,
        incarnation: str | None = None,
        disk_full: bool | None = None,
        waits_s: float = 0.0,
    ) -> None:
        """Take in that a follower has everything below ``offset``; it was checked, and the offset is in the log.

        The other arguments are those of :meth:`Followers.fetched`.
        """
        assert self.followers is not None, "the bucket has followers"
        end = self.log.end_offset
        self.followers.fetched(server, offset, end, self._monotonic(), incarnation, disk_full, waits_s)
        if self.high_watermark.value < end:
            self.advance()

    def advance(self) -> None:
        """Move the high watermark after a change of the followers or of the ISR."""
        if self._offline is None and self._closed is None:
            self._commits.advance()

    @property
    def acknowledging_end(self) -> int:
        """See :attr:`CommitChain.acknowledging_end`."""
        return self._commits.acknowledging_end

    @property
    def replication_lag(self) -> int:
        """Rows that the slowest follower in the ISR does not have; 0 without followers."""
        followers = self.followers
        if followers is None:
            return 0
        offsets = [followers.offset_of(server) for server in followers.isr.members if server in followers.replicas]
        known = [offset for offset in offsets if offset >= 0]
        return max((self.log.end_offset - offset for offset in known), default=0)

    def wanted_isr(
        self,
        max_lag_s: float,
        live: Container[int],
        max_silence_s: float = math.inf,
        heard_s: Mapping[int, float] | None = None,
    ) -> tuple[int, ...] | None:
        """See :meth:`Followers.wanted_isr`; None also for a bucket without followers, or one that is closed."""
        if self.followers is None or self._closed is not None:
            return None
        return self.followers.wanted_isr(
            high_watermark=self.acknowledging_end,
            log_end=self.log.end_offset,
            now_s=self._monotonic(),
            max_lag_s=max_lag_s,
            live=live,
            max_silence_s=max_silence_s,
            heard_s={} if heard_s is None else heard_s,
        )

    # ------------------------------------------------------------------ commit

    def _schedule_commit(self) -> None:
        if self._offline is None and self._closed is None and self._recovery is None:
            self._commits.start()

    def _commit_failed(self, error: BaseException) -> None:
        if not isinstance(error, FlussError):
            logger.error("commit of bucket %s failed", self.bucket, exc_info=error)
            error = FlussError(ErrorCode.STORAGE_EXCEPTION, f"commit of bucket {self.bucket} failed: {error}")
        if self.kv is not None and self.kv.suspended is not None:
            self._wait_for_space(error)
        else:
            self._go_offline(error)

    # ------------------------------------------------------------------ full disk

    def _wait_for_space(self, error: FlussError, delay_s: float = FIRST_RECOVERY_DELAY_S) -> None:
        """Try to open the store of a suspended KvTablet again after a while; writers that wait are told."""
        self.high_watermark.fail(error)
        self._commits.durable_end.fail(error)
        if self._recovery is None and self._closed is None:
            self._recovery = asyncio.get_running_loop().call_later(delay_s, self._recover, delay_s)

    def _recover(self, delay_s: float) -> None:
        assert self.kv is not None, "only a KvTablet waits for space"
        kv, loop = self.kv, asyncio.get_running_loop()

        def run() -> None:
            error: Exception | None = None
            try:
                kv.recover()
            except Exception as caught:
                error = caught
            loop.call_soon_threadsafe(self._recovered, delay_s, error)

        self._kv_worker.submit(run)

    def _recovered(self, delay_s: float, error: Exception | None) -> None:
        self._recovery = None
        if self._closed is not None:
            return
        if error is None:
            self._schedule_commit()  # of what was in the log and not in the store
            return
        if not isinstance(error, FlussError):
            logger.error("bucket %s could not be opened again", self.bucket, exc_info=error)
            error = FlussError(ErrorCode.KV_STORAGE_EXCEPTION, f"bucket {self.bucket} cannot be opened again: {error}")
        self._wait_for_space(error, min(2 * delay_s, MAX_RECOVERY_DELAY_S))

    def _go_offline(self, error: FlussError) -> None:
        """The storage cannot be trusted any more: refuse writes until a restart; acknowledged rows stay readable."""
        logger.error("bucket %s of %s goes offline: %s", self.bucket, self.table.path, error)
        self._offline = FlussError(
            ErrorCode.STORAGE_EXCEPTION,
            f"bucket {self.bucket} of {self.table.path} is offline: {error.message}",
            hint="free or repair the disk, then restart the server; acknowledged rows are kept",
        )
        self._fail_waiting(self._offline)
        self._failed(self, error)

    def _fail_waiting(self, error: FlussError) -> None:
        self.high_watermark.fail(error)
        self._commits.durable_end.fail(error)
        self.log_end.fail(error)

    def _check_online(self) -> None:
        if self._closed is not None:
            raise self._closed
        if self._offline is not None:
            raise self._offline

    # ------------------------------------------------------------------ life cycle

    async def update_table(self, table: TableInfo) -> None:
        """Take in a new definition of the table: every write that begins after this call does with it.

        Args:
            table: the same table with other options or a newer schema.
        """
        self.table = table
        if self._ids is not None:
            self._ids.range_size = table.auto_increment_cache_size
        if self.kv is not None and self._closed is None:
            # Puts that were handed to the worker before still merge with the old definition, in their order.
            await self._kv_worker.run(self.kv.update_table, table)

    async def flush(self) -> None:
        """Make the log durable now; for the periodic flush when acknowledgements do not wait for it."""
        if self.log.flushed_offset < self.log.end_offset and self._offline is None:
            try:
                await self._flush_pool.run(self.log.flush)
            except FlussError as error:
                self._go_offline(error)

    async def persist(self) -> None:
        """Let RocksDB write its memory to disk, so that the next start replays less."""
        kv = self.kv
        if kv is not None and self._offline is None and self._closed is None and kv.suspended is None:
            try:
                await self._kv_worker.run(kv.persist)
            finally:
                if kv.suspended is not None:
                    self._wait_for_space(kv.suspended)

    async def delete_expired(self, *, roll_active: bool) -> None:
        """Delete segments of the log that are older than the table keeps them and that nothing needs any more.

        The rows of a primary-key table do not expire: their changelog goes only as far as RocksDB has it on disk.

        Args:
            roll_active: see ``LogTablet.delete_expired``.

        Raises:
            FlussError: from the log or the KvTablet; tried again the next time.
        """
        if self._closed is not None or self._offline is not None:
            return
        if self._has_rows and self.kv is None:
            return
        ttl_ms = self.log_ttl_ms
        limit = self.high_watermark.value
        wanted = min(self.log.expired_until(ttl_ms, roll_active=roll_active), limit)
        if wanted <= self.log.start_offset:
            return
        if self.kv is not None:
            if self.kv.retention_floor < wanted:
                await self.persist()
            limit = min(limit, self.kv.retention_floor)
        delete = partial(self.log.delete_expired, ttl_ms, limit, roll_active=roll_active)
        await self._flush_pool.run(delete)

    async def close(self) -> None:
        """Finish the running commit and close both tablets; waiting writers and parked reads are told."""
        await self._stop()
        try:
            if self.kv is not None:
                await close_kv(self.kv, self._kv_worker, self._flush_pool)
        finally:
            await self._flush_pool.run(self.log.close)

    async def step_down(self) -> None:
        """Lead no more: finish the running commit and close the KvTablet, whose files hold only acknowledged rows.

        Waiting writers and parked reads get ``NOT_LEADER_OR_FOLLOWER``. The log stays open, for the next role.
        """
        await self._stop(FlussError(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"this server does not lead {self.bucket} now"))
        if self.kv is not None:
            await close_kv(self.kv, self._kv_worker, self._flush_pool)

    async def delete(self) -> None:
        """Stop and remove the data of both tablets."""
        await self._stop()
        try:
            if self.kv is not None:
                await self._kv_worker.run(self.kv.delete)
        finally:
            await self._flush_pool.run(self.log.delete)

    async def _stop(self, reason: FlussError | None = None) -> None:
        error = self._closed = reason or FlussError(
            ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"bucket {self.bucket} is closed here"
        )
        if self._recovery is not None:
            self._recovery.cancel()
        if self.followers is not None:
            self._fail_waiting(error)  # nothing is acknowledged any more
        await self._commits.wait()
        if self._ids is not None:
            await self._ids.close()
        self._fail_waiting(error)

    @property
    def is_closed(self) -> bool:
        """Whether the replica leads no more: it was closed or deleted, or has stepped down."""
        return self._closed is not None
