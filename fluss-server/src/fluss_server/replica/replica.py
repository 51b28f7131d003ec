"""The leader replica of a bucket.

A write's way: append to the LogTablet (for a primary-key table through the KvTablet, which merges first) → *commit*:
make the log durable, write the KvTablet's buffered rows to RocksDB → advance the high watermark, which acknowledges
the write, shows it to lookups and wakes parked fetches. Commits are grouped: while one runs, later appends gather for
the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from fluss_server.config import TABLE_OPTIONS
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.kv_batch import max_record_count
from fluss_server.formats.log_batch import crc_matches, has_more_batches, iter_batches
from fluss_server.formats.row_validation import Validator, validator_of
from fluss_server.log.log_tablet import AppendResult, LogTablet
from fluss_server.log.scrub import ScrubPosition, ScrubStep
from fluss_server.metrics.instruments import BucketCounters, Distribution
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo
from fluss_server.replica.high_watermark import HighWatermark
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.workers import WorkerPool

if TYPE_CHECKING:
    from fluss_server.kv.id_supply import IdSupply, ReserveIds
    from fluss_server.kv.kv_tablet import KvTablet

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_RECOVERY_DELAY_S = 0.25
MAX_RECOVERY_DELAY_S = 5.0
"""Between attempts to open a store again that waits for space on the disk: twice as long after each, up to this."""

MAX_APPEND_BATCHES = 1_000
"""Batches of one bucket in a request; clients send one. Each costs the event loop some microseconds."""


class Replica:
    """One bucket that this server leads.

    Args:
        bucket: which bucket.
        table: its table.
        log: open log; everything in it counts as acknowledged.
        kv: open KvTablet of a primary-key table, else None.
        schemas: schema of a schema id; raises ``SCHEMA_NOT_EXIST`` for an unknown one.
        clock: measures how long flushes take.
        flush_pool: where blocking flushes run.
        read_pool: where the log is scrubbed.
        kv_worker: the one thread in which all KvTablets change; submissions run in order.
        max_unflushed: most offsets that may be acknowledged before they are fsynced; 0 = only what is durable is
            acknowledged.
        flush_times: where to count how long flushes take.
        reserve_ids: reserves ids for the table's auto-increment column, if it has one.

    Attributes:
        counters: what clients did.
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
    ) -> None:
        self.bucket = bucket
        self.table = table
        self.log = log
        self.kv = kv
        self.high_watermark = HighWatermark(log.end_offset)
        self._schemas = schemas
        self._validators = {table.schema_id: validator_of(table.schema.types, table.log_format)}
        self._monotonic = clock.monotonic
        self._flush_pool = flush_pool
        self._read_pool = read_pool
        self._kv_worker = kv_worker
        self._max_unflushed = max_unflushed
        self._committing: asyncio.Future[None] | None = None  # completes when the running commit has ended
        self._offline: FlussError | None = None
        self._closed = False
        self.counters = BucketCounters()
        self._ids: IdSupply | None = None
        if kv is not None and kv.ids is not None:
            from fluss_server.kv.id_supply import IdSupply

            assert reserve_ids is not None, "an auto-increment column needs a source of ids"
            self._ids = IdSupply(kv.ids, reserve_ids, table.auto_increment_cache_size)
        self._recovery: asyncio.TimerHandle | None = None
        if kv is not None and kv.suspended is not None:
            self._wait_for_space(kv.suspended)
        self._flush_times = flush_times or Distribution()

    # ------------------------------------------------------------------ writes

    @property
    def is_online(self) -> bool:
        """True while the bucket takes writes; False after its storage has failed, and while it waits for space."""
        is_suspended = self.kv is not None and self.kv.suspended is not None
        return self._offline is None and not self._closed and not is_suspended

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
        if self.kv is not None:
            raise FlussError(
                ErrorCode.INVALID_TABLE_EXCEPTION,
                f"{self.table.path} has a primary key",
                hint="write it with upserts and deletes (PUT_KV), not with appends",
            )
        self._validate(records)
        result = self.log.append(records)
        self._schedule_commit()
        return result

    def _validate(self, records: memoryview) -> None:
        """Refuse batches that no reader could decode, and too many of them."""
        if has_more_batches(records, MAX_APPEND_BATCHES):
            raise FlussError(
                ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                f"more than {MAX_APPEND_BATCHES} batches for one bucket in a request",
                hint="write fewer and larger batches",
            )
        for position, header in iter_batches(records):
            batch = records[position : position + header.size]
            try:
                validator = self._validators.get(header.schema_id) or self._validator_of(header.schema_id)
                validator.check(batch, header)
            except FlussError as error:
                # A batch damaged on the way may look like anything: then the log says so, and its writer sends it
                # again.
                if crc_matches(records, position, header):
                    raise _not_again(error) from None

    def _validator_of(self, schema_id: int) -> Validator:
        """The validator of batches of an older schema; writers that have not heard of a newer one go on with it."""
        if not 0 < schema_id <= self.table.schema_id:
            raise FlussError(
                ErrorCode.SCHEMA_NOT_EXIST,
                f"{self.table.path} has no schema {schema_id}; the newest is {self.table.schema_id}",
            )
        validator = self._validators[schema_id] = validator_of(self._schemas(schema_id).types, self.table.log_format)
        return validator

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
            raise _not_again(error) from None
        self._schedule_commit()
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
        self._schedule_commit()
        return found

    def acknowledged(self, result: AppendResult) -> asyncio.Future[None]:
        """Completes when all rows of ``result`` are acknowledged; for a duplicate, when those of the original are."""
        return self.acknowledged_below(result.last_offset + 1)

    def acknowledged_below(self, offset: int) -> asyncio.Future[None]:
        """Completes when all rows with smaller offsets are acknowledged."""
        if self._offline is not None:
            raise self._offline
        if self.kv is not None and self.kv.suspended is not None and self.high_watermark.value < offset:
            raise self.kv.suspended
        return self.high_watermark.reached(offset)

    def require_kv(self) -> KvTablet:
        """The KvTablet, or ``NON_PRIMARY_KEY_TABLE_EXCEPTION``."""
        if self.kv is None:
            raise FlussError(ErrorCode.NON_PRIMARY_KEY_TABLE_EXCEPTION, f"{self.table.path} has no primary key")
        return self.kv

    @property
    def row_count(self) -> int:
        """Rows of the KvTablet, or offsets between the log's start and the high watermark."""
        if self.kv is not None:
            return self.kv.row_count
        return self.high_watermark.value - self.log.start_offset

    # ------------------------------------------------------------------ commit

    def _schedule_commit(self) -> None:
        """Commit what is not committed yet; appends of this iteration of the event loop are covered too."""
        if self._committing is None and self._offline is None and not self._closed and self._recovery is None:
            loop = asyncio.get_running_loop()
            self._committing = loop.create_future()
            loop.call_soon(self._step, self._commit_next)

    # A commit is a chain of callbacks. A task and the futures of an executor would cost every write that waits for its
    # fsync two more iterations of the event loop.

    def _commit_next(self) -> None:
        end = self.log.end_offset
        if self.high_watermark.value >= end:
            self._end_commit()
        elif end - self.log.flushed_offset <= self._max_unflushed:
            self._flushed(end)
        else:
            self._submit(self._flush_pool, self.log.flush, partial(self._flush_ended, self._monotonic()))

    def _flush_ended(self, started: float, target: int) -> None:
        self._flush_times.record((self._monotonic() - started) * 1000)
        self._flushed(target)

    def _flushed(self, target: int) -> None:
        if self.kv is None:
            self._committed(target)
        else:
            self._submit(self._kv_worker, partial(self.kv.commit, target), lambda _: self._committed(target))

    def _committed(self, target: int) -> None:
        self.high_watermark.advance(target)
        self._commit_next()

    def _submit(self, pool: WorkerPool, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run ``work`` in ``pool`` and then, in the event loop, ``then`` with what it returned."""
        loop = asyncio.get_running_loop()

        def run() -> None:
            try:
                step = partial(then, work())
            except BaseException as error:
                step = partial(self._commit_failed, error)
            loop.call_soon_threadsafe(self._step, step)

        pool.submit(run)

    def _step(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self._commit_failed(error)

    def _commit_failed(self, error: BaseException) -> None:
        if not isinstance(error, FlussError):
            logger.error("commit of bucket %s failed", self.bucket, exc_info=error)
            error = FlussError(ErrorCode.STORAGE_EXCEPTION, f"commit of bucket {self.bucket} failed: {error}")
        if self.kv is not None and self.kv.suspended is not None:
            self._wait_for_space(error)
        else:
            self._go_offline(error)
        self._end_commit()

    def _end_commit(self) -> None:
        committing, self._committing = self._committing, None
        if committing is not None and not committing.done():
            committing.set_result(None)

    # ------------------------------------------------------------------ full disk

    def _wait_for_space(self, error: FlussError, delay_s: float = FIRST_RECOVERY_DELAY_S) -> None:
        """Try to open the store of a suspended KvTablet again after a while; writers that wait are told."""
        self.high_watermark.fail(error)
        if self._recovery is None and not self._closed:
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
        if self._closed:
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
        self.high_watermark.fail(self._offline)

    def _check_online(self) -> None:
        if self._closed:
            raise FlussError(ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"bucket {self.bucket} is closed here")
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
        if self.kv is not None and not self._closed:
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
        if kv is not None and self._offline is None and not self._closed and kv.suspended is None:
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
        if self._closed or self._offline is not None:
            return
        ttl_ms = _log_ttl_ms(self.table)
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

    async def scrub(self, start: ScrubPosition | None, max_bytes: int) -> ScrubStep:
        """See ``LogTablet.scrub``; nothing is read of a closed replica."""
        if self._closed:
            return ScrubStep(0, None)
        return await self._read_pool.run(self.log.scrub, start, max_bytes)

    async def expire_writers(self) -> None:
        """See ``LogTablet.expire_writers``."""
        await self._flush_pool.run(self.log.expire_writers)

    async def close(self) -> None:
        """Finish the running commit and close both tablets; waiting writers and parked reads are told."""
        await self._stop()
        try:
            if self.kv is not None:
                await self._close_kv(self.kv)
        finally:
            await self._flush_pool.run(self.log.close)

    async def _close_kv(self, kv: KvTablet) -> None:
        try:
            await self._kv_worker.run(kv.stop)
        finally:
            await self._flush_pool.run(kv.close)

    async def delete(self) -> None:
        """Stop and remove the data of both tablets."""
        await self._stop()
        if self.kv is not None:
            await self._kv_worker.run(self.kv.delete)
        await self._flush_pool.run(self.log.delete)

    async def _stop(self) -> None:
        self._closed = True
        if self._recovery is not None:
            self._recovery.cancel()
        if self._committing is not None:
            await asyncio.wait([self._committing])
        if self._ids is not None:
            await self._ids.close()
        self.high_watermark.fail(
            FlussError(ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"bucket {self.bucket} is closed here")
        )

    @property
    def is_closed(self) -> bool:
        """Whether the replica was closed or deleted."""
        return self._closed


def _log_ttl_ms(table: TableInfo) -> int:
    """How long the log is kept, milliseconds; 0 = unlimited."""
    option = TABLE_OPTIONS["table.log.ttl"]
    value = option.parse(table.descriptor.properties.get(option.key, option.default or ""))
    assert isinstance(value, int), f"{option.key} is a duration"
    return value


def _not_again(error: FlussError) -> FlussError:
    """The error for a batch that arrived as its writer made it, and does not match the schema of the table.

    Clients repeat a batch whose response is CORRUPT_RECORD, without end: see docs/decisions/0003.
    """
    if error.code is not ErrorCode.CORRUPT_RECORD_EXCEPTION:
        return error
    return FlussError(
        ErrorCode.INVALID_TABLE_EXCEPTION,
        f"rows do not match the schema of the table: {error.message}",
        hint=error.hint,
    )
