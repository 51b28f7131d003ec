"""A follower replica of a bucket: a copy of its leader's log, byte for byte.

In every leader epoch it begins with a comparison: the histories of leader epochs in both logs tell where they part, and
everything after that is removed here (:func:`fluss_server.log.leader_epochs.divergence`). Only then it fetches. What
it says to have is durable, unless acknowledgements do not wait for the disk.

What is acknowledged of a primary-key table's changelog may go into the rows of this server, see
:class:`~fluss_server.replica.follower_rows.FollowerRows`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer
from fluss_server.log.leader_epochs import EpochStart, divergence
from fluss_server.log.log_tablet import LogTablet
from fluss_server.metrics.instruments import BucketCounters
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.table import TableInfo
from fluss_server.replica.bucket_replica import BucketReplica
from fluss_server.replica.follower_rows import FollowerRows
from fluss_server.replica.watched_offset import WatchedOffset
from fluss_server.runtime.workers import WorkerPool

logger = logging.getLogger(__name__)

T = TypeVar("T")

_REPEATABLE = frozenset({ErrorCode.LOG_STORAGE_EXCEPTION, ErrorCode.DISK_WRITE_LOCKED})
"""Errors of the log after which it takes appends again."""

_DIVERGED = frozenset(
    {
        ErrorCode.CORRUPT_RECORD_EXCEPTION,
        ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION,
        ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION,
    }
)
"""Errors of an append that a new comparison with the leader may resolve."""


class LeaderLog(NamedTuple):
    """What a leader says of its log.

    Attributes:
        epochs: first offset of each leader epoch.
        start_offset: of the log.
        end_offset: of the log.
    """

    epochs: tuple[EpochStart, ...]
    start_offset: int
    end_offset: int


class FollowerReplica(BucketReplica):
    """One bucket that this server follows, in one leader epoch. One operation at a time.

    Args:
        bucket: which bucket.
        table: its table.
        log: open log.
        leader: id of the server that leads; negative = nobody does.
        leader_epoch: of that leadership.
        high_watermark: as it was known here before.
        flush_before_fetch: whether what is fetched must be durable before the next fetch.
        flush_pool: where everything that blocks runs.
        read_pool: where the log is scrubbed.
        counters: what clients did when this server was the leader; None = nothing.
        rows: of a primary-key table; they belong to the caller.

    Attributes:
        rows: see above.
        is_aligned: whether the log was compared with the leader's in this epoch.
        has_to_report: whether its storage has failed, which the leader does not know yet.
        on_failure: called when the storage fails; None = nobody has to know at once.
    """

    def __init__(
        self,
        bucket: TableBucket,
        table: TableInfo,
        log: LogTablet,
        *,
        leader: int,
        leader_epoch: int,
        high_watermark: int,
        flush_before_fetch: bool,
        flush_pool: WorkerPool,
        read_pool: WorkerPool,
        counters: BucketCounters | None = None,
        rows: FollowerRows | None = None,
    ) -> None:
        watermark = WatchedOffset(min(high_watermark, log.end_offset))
        super().__init__(bucket, table, log, watermark, flush_pool=flush_pool, read_pool=read_pool, counters=counters)
        self.leader = leader
        self.leader_epoch = leader_epoch
        self.rows = rows
        if rows is not None:
            rows.table = table
        self.is_aligned = False
        self._flush_before_fetch = flush_before_fetch
        self._leader_epochs: Sequence[EpochStart] = ()
        self._leader_start = log.start_offset
        self._running: asyncio.Future[None] | None = None
        self._stopped = False
        self._offline: FlussError | None = None
        self.has_to_report = False
        self.on_failure: Callable[[], None] | None = None
        if log.failure is not None:
            self._go_offline(log.failure)

    @property
    def fetch_offset(self) -> int:
        """From where to fetch: everything below is here, as durable as the flush policy demands."""
        return self.log.end_offset

    @property
    def is_closed(self) -> bool:
        """Whether it follows no more."""
        return self._stopped

    @property
    def is_online(self) -> bool:
        """Whether it can follow; False after its storage has failed."""
        return self._offline is None

    @property
    def kv_file_bytes(self) -> int:
        """Bytes of the files of an open KvTablet."""
        return 0 if self.rows is None or self.rows.kv is None else self.rows.kv.file_bytes

    @property
    def problem(self) -> FlussError | None:
        """Why it does not follow, or a damaged batch of its log; None if all is well."""
        damage = self.log.damage
        return self._offline or (damage[0] if damage else None)

    # ------------------------------------------------------------------ following

    async def align(self, leader_log: LeaderLog) -> None:
        """Remove what the leader does not have.

        Raises:
            FlussError: from the log, see :meth:`append`; from the rows, which the replica survives.
        """
        common = self._common_end(leader_log)
        if common is None or common < self.log.end_offset:
            await self._cut_rows(common or 0)
        await self._run(partial(self._align, leader_log, common))
        if self._stopped or self._offline is not None:
            return
        self._leader_epochs = leader_log.epochs
        self._leader_start = leader_log.start_offset
        self.is_aligned = True
        if self.log.end_offset < self.high_watermark.value:
            logger.error(
                "bucket %s: the leader of epoch %d has less than what was acknowledged: offset %d of %d",
                self.bucket,
                self.leader_epoch,
                self.log.end_offset,
                self.high_watermark.value,
            )
            self.high_watermark = WatchedOffset(self.log.end_offset)

    def _common_end(self, leader: LeaderLog) -> int | None:
        """Up to where both logs are equal; None when nothing of this one can stay."""
        log = self.log
        end = log.end_offset
        if log.epochs:
            common = divergence(log.epochs, end, leader.epochs, leader.end_offset)
        else:  # nothing was ever in this log
            common = end if end <= leader.end_offset else None
        return None if common is None or common < max(log.start_offset, leader.start_offset) else common

    async def _cut_rows(self, end: int) -> None:
        """Remove rows that are not of the log up to ``end``; what has begun goes on when the caller is cancelled."""
        if self.rows is None or self._stopped or self._offline is not None:
            return
        running = self._running = asyncio.ensure_future(self.rows.cut(end))
        try:
            await asyncio.shield(running)
        except FlussError:
            raise
        except Exception as error:
            logger.exception("the rows of bucket %s cannot be cut", self.bucket)
            raise FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"{type(error).__name__}: {error}") from error

    def _align(self, leader: LeaderLog, common: int | None) -> None:
        log = self.log
        end = log.end_offset
        if common is None:
            if end > log.start_offset or end != leader.start_offset:
                logger.warning("bucket %s: nothing of the log up to %d is the leader's", self.bucket, end)
            log.restart_at(leader.start_offset)
        elif common < end:
            log.truncate(common)
            logger.info("bucket %s: cut from %d to %d, where the leader's log differs", self.bucket, end, common)
        if self._flush_before_fetch:
            log.flush()

    async def append(self, records: Buffer, *, high_watermark: int, leader_start: int) -> None:
        """Take in what was fetched from :attr:`fetch_offset`.

        Args:
            records: whole batches, possibly none.
            high_watermark: the leader's.
            leader_start: where the leader's log begins.

        Raises:
            FlussError: repeat it later; the log may have to be compared with the leader's before, see
                :attr:`is_aligned`. When the storage has failed, the replica goes offline and does nothing any more.
        """
        if len(records):
            await self._run(partial(self._append, records))
            self.counters.replicated_bytes_in += len(records)
        self.follow_leader(high_watermark=high_watermark, leader_start=leader_start)

    def follow_leader(self, *, high_watermark: int, leader_start: int) -> None:
        """Take in what a leader that had no records said, or that with them; see :meth:`append`."""
        if not self._stopped:
            self._leader_start = leader_start
            self.high_watermark.advance(min(high_watermark, self.log.end_offset))
            if self.rows is not None:
                self.rows.committed(self.high_watermark.value)

    def _append(self, records: Buffer) -> None:
        self.log.append_replica(records, self._leader_epochs)
        if self._flush_before_fetch:
            self.log.flush()

    async def _run(self, work: Callable[[], None]) -> None:
        """Run ``work`` in the pool; what has begun goes on when the caller is cancelled."""
        if self._stopped or self._offline is not None:
            return
        running = self._running = self._flush_pool.run(work)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            raise
        except FlussError as error:
            if error.code in _DIVERGED:
                self.is_aligned = False
            elif error.code not in _REPEATABLE:
                self._go_offline(error)
            raise
        except Exception as error:
            logger.exception("bucket %s cannot be followed", self.bucket)
            failure = FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"{type(error).__name__}: {error}")
            self._go_offline(failure)
            raise failure from error

    def diverged(self) -> None:
        """The leader does not have the offset that was requested: compare again."""
        self.is_aligned = False

    def _go_offline(self, error: FlussError) -> None:
        logger.error("the follower of bucket %s of %s goes offline: %s", self.bucket, self.table.path, error)
        self._offline = FlussError(
            ErrorCode.STORAGE_EXCEPTION,
            f"the follower of bucket {self.bucket} of {self.table.path} is offline: {error.message}",
            hint="free or repair the disk, then restart the server; the leader has everything",
        )
        self.has_to_report = True
        if self.on_failure is not None:
            self.on_failure()

    def reported(self) -> None:
        """The leader knows that the storage has failed, so that nobody counts on this replica any more."""
        self.has_to_report = False

    # ------------------------------------------------------------------ life cycle

    async def flush(self) -> None:
        if self.log.flushed_offset < self.log.end_offset and self._offline is None and not self._stopped:
            try:
                await self._flush_pool.run(self.log.flush)
            except FlussError as error:
                self._go_offline(error)

    async def update_table(self, table: TableInfo) -> None:
        """Take in a new definition of the table."""
        await super().update_table(table)
        if self.rows is not None:
            await self.rows.update_table(table)

    async def delete_expired(self, *, roll_active: bool) -> None:
        """Delete what the table does not keep and the leader has deleted.

        Of a primary-key table only what the rows of this server contain durably: a promotion may need the rest.

        Args:
            roll_active: see ``LogTablet.delete_expired``.

        Raises:
            FlussError: from the log or the KvTablet; tried again the next time.
        """
        if self._stopped or self._offline is not None:
            return
        limit = min(self.high_watermark.value, self._leader_start)
        ttl_ms = self.log_ttl_ms
        if self.rows is not None:
            wanted = min(self.log.expired_until(ttl_ms, roll_active=roll_active), limit)
            if wanted > self.log.start_offset:
                limit = min(limit, await self.rows.secure(wanted))
        if limit > self.log.start_offset and not self._stopped:
            delete = partial(self.log.delete_expired, ttl_ms, limit, roll_active=roll_active)
            await self._flush_pool.run(delete)

    async def stop(self) -> None:
        """Follow no more; returns when nothing cuts the rows or changes the log, which stays open for the next role."""
        self._stopped = True
        if self._running is not None:
            await asyncio.wait([self._running])

    async def persist(self) -> None:
        """Let RocksDB of a standby replica write its memory to disk."""
        if self.rows is not None:
            await self.rows.persist()

    async def close(self) -> None:
        await self.stop()
        await self._flush_pool.run(self.log.close)

    async def delete(self) -> None:
        await self.stop()
        await self._flush_pool.run(self.log.delete)
