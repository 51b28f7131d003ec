"""The committed rows of a KvTablet: RocksDB, its cache, and the record of how much of it is durable."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice, repeat, takewhile
from pathlib import PurePath

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv.checkpoint import (
    KvCheckpoint,
    boot_id,
    checkpoint_exists,
    invalidate,
    read_checkpoint,
    remove_checkpoint,
    write_checkpoint,
)
from fluss_server.kv.disk_full import disk_full, disk_full_or
from fluss_server.kv.resources import KvResources
from fluss_server.kv.rocks import MAX_WRITE_ROWS, MEMTABLE_BYTES, RocksStore, StoreDamaged, StoreSnapshot
from fluss_server.kv.row_cache import UNKNOWN, RowCache
from fluss_server.log.log_tablet import LogTablet

logger = logging.getLogger(__name__)

STORE_DIRECTORY = "db"
FLUSH_AFTER_BYTES = 24 << 20
"""A memtable is flushed in the background when it has this many bytes."""

FLUSH_LOG_AFTER_BYTES = MEMTABLE_BYTES // 2
"""A memtable of this size gets only rows that are durable in the log: RocksDB writes it to disk when it is full."""

MIN_FREE_BYTES = 1 << 20
"""A memtable is flushed when this much more than its size is free on the disk."""

_FLUSH_RETRY_S = 1.0  # between attempts to flush in the background without space on the disk

MEMTABLE_ROW_BYTES = 256
"""More than a row takes in a memtable beside its key and value."""


class CommittedRows:
    """Rows below a changelog offset, with the means to find that state again after a crash.

    ``apply`` and ``persist`` belong to the KV worker thread; reads may run in other threads at the same time.

    Attributes:
        offset: changelog offset; all entries below are applied.
        row_count: number of rows at that offset.

    Args:
        directory: of the KvTablet; created if missing. Holds the database in ``db/`` and the checkpoint.
        log: of the same bucket, open.
        resources: shared with other tablets.

    Raises:
        FlussError: ``KV_STORAGE_EXCEPTION`` if the store is unusable and the log does not reach back to offset 0, or
            the disk fails; ``DISK_WRITE_LOCKED`` if it is full.
    """

    def __init__(self, directory: PurePath, log: LogTablet, resources: KvResources) -> None:
        self._directory = directory
        self._log = log
        self._resources = resources
        self._disk = resources.runtime.disk
        self._monotonic = resources.runtime.clock.monotonic
        self._cache = RowCache(resources.row_cache_memory)
        self._unflushed_bytes = 0
        self._flushing: KvCheckpoint | None = None
        self._boot_id = boot_id(self._disk)
        self._partially_applied = False
        self._damaged = False
        self._flush_again_at = 0.0
        if log.flushed_offset < log.end_offset:
            log.flush()  # what is in RocksDB must not be lost from the log
        self._durable = KvCheckpoint(0, 0, 0, self._boot_id)
        self._found_end = 0
        try:
            self._disk.make_directories(directory)
            self._store, self._durable = self._open()
        except OSError as error:
            message = f"cannot open the store in {directory}"
            raise disk_full_or(ErrorCode.KV_STORAGE_EXCEPTION, message, error) from error
        except StoreDamaged as error:
            raise FlussError(
                ErrorCode.KV_STORAGE_EXCEPTION, f"cannot open the store in {directory}: {error}"
            ) from error
        self.offset = self._durable.offset
        self.row_count = self._durable.row_count
        resources.stores.append(self)

    # ------------------------------------------------------------------ opening

    def _open(self) -> tuple[RocksStore, KvCheckpoint]:
        """Open the store and find its state; an invalid one is replaced by an empty store."""
        path = self._directory / STORE_DIRECTORY
        state = read_checkpoint(self._directory, self._disk)
        if state is None:
            # The first file is written by the first persist; until then a restart begins with an empty store.
            if checkpoint_exists(self._directory, self._disk):
                logger.warning("the checkpoint in %s is damaged", self._directory)
            if self._disk.exists(path) or self._log.start_offset > 0:
                self._start_over("how much of the changelog it contains is not recorded", logging.INFO)
            return self._open_store(), self._durable
        try:
            store = self._open_store()
        except StoreDamaged as error:
            self._start_over(f"RocksDB cannot open it: {error}")
            return self._open_store(), self._durable
        reason = invalidate(
            state,
            store.sequence,
            boot=self._boot_id,
            log_start=self._log.start_offset,
            log_end=self._log.end_offset,
            log_was_cut=self._log.recovery.cut_reason is not None,
            log_lost_durable=self._log.recovery.lost_acknowledged,
        )
        if reason is None:
            if store.sequence > state.sequence:  # RocksDB has written rows that nobody has recorded
                self._found_end = self._log.end_offset
            return store, state
        store.close()
        self._start_over(reason)
        return self._open_store(), self._durable

    def _open_store(self) -> RocksStore:
        return RocksStore(self._directory / STORE_DIRECTORY, self._resources, self._set_damaged)

    def _set_damaged(self) -> None:
        """See to it that the next start builds the store again. Any thread."""
        if not self._damaged:
            self._damaged = True
            logger.error("RocksDB in %s is damaged", self._directory)
            self._forget_if_damaged()

    def _forget_if_damaged(self) -> None:
        if self._damaged and self._log.start_offset == 0:
            try:
                remove_checkpoint(self._directory, self._disk)
            except OSError as error:
                logger.warning("remove the checkpoint in %s to have the store built again: %s", self._directory, error)

    def _start_over(self, reason: str, level: int = logging.WARNING) -> None:
        """Remove the store, so that the whole changelog is replayed into an empty one."""
        if self._log.start_offset > 0:
            raise FlussError(
                ErrorCode.KV_STORAGE_EXCEPTION,
                f"{self._directory} cannot be used ({reason}), and its log begins at {self._log.start_offset}",
                hint="restore the directory from a copy, or drop the table",
            )
        logger.log(level, "building the store in %s again from the log: %s", self._directory, reason)
        remove_checkpoint(self._directory, self._disk)  # first: without it the rest of the store counts for nothing
        path = self._directory / STORE_DIRECTORY
        if self._disk.is_directory(path):
            self._disk.remove_tree(path)
        else:
            self._disk.remove(path, missing_ok=True)

    @property
    def content_end(self) -> int:
        """Changelog offset; the store contains no change from there on. It may be more than :attr:`offset`: a process
        that crashed may have written more than it had recorded.
        """
        return max(self.offset, self._found_end)

    # ------------------------------------------------------------------ changes

    def apply(
        self,
        rows: Mapping[bytes, bytes | None],
        row_count_change: int,
        offset: int,
        size_bytes: int,
        *,
        cached: bool = True,
    ) -> None:
        """Write rows and move to ``offset``. After an error the same call may be repeated.

        Args:
            rows: last values of the keys that changed, None = deleted.
            row_count_change: rows inserted minus rows deleted.
            offset: changelog offset behind these changes.
            size_bytes: what keys and values weigh.
            cached: whether the rows enter the cache; without them it becomes empty.

        Raises:
            FlussError: ``KV_STORAGE_EXCEPTION``, ``DISK_WRITE_LOCKED``; readers may see some of the rows already.
        """
        if self._store.is_full:
            raise disk_full(f"the store in {self._directory} waits for space on the disk")
        if offset > self._log.flushed_offset:
            memtable_bytes = self._store.memtable_bytes + size_bytes + MEMTABLE_ROW_BYTES * len(rows)
            if memtable_bytes >= FLUSH_LOG_AFTER_BYTES:
                self._log.flush()  # RocksDB might write this memtable to disk by itself
        if rows:
            ordered = sorted(rows)
            self._partially_applied = True
            self._cache.begin_change()
            for start in range(0, len(ordered), MAX_WRITE_ROWS):
                keys = ordered[start : start + MAX_WRITE_ROWS]
                self._store.write(keys, list(map(rows.__getitem__, keys)))
            if cached:
                self._cache.update(rows, size_bytes)
            else:
                self._cache.forget()
            self._partially_applied = False
        self.row_count += row_count_change
        self.offset = offset
        self._unflushed_bytes += size_bytes
        self.flush_in_background(self._unflushed_bytes >= FLUSH_AFTER_BYTES)
        self._resources.bound_memtables()

    # ------------------------------------------------------------------ durability

    def persist(self) -> int:
        """Make everything applied so far durable in RocksDB; returns the changelog offset up to which it is.

        Takes as long as RocksDB needs for the memtable, at most :data:`FLUSH_AFTER_BYTES` (about 0.1 s): larger ones
        are flushed in the background, see :meth:`apply`.
        """
        if self.offset > self._durable.offset:
            self.check_space()
            state = self._present_state()
            self._flush_log()
            self._store.flush(wait=True)
            self._flushing = None
            self._unflushed_bytes = 0
            self._record(state)
        return self._durable.offset

    def flush_in_background(self, begin: bool) -> None:
        """Note that a flush has ended, and perhaps begin one. Failures cost time at the next start: they are logged."""
        try:
            if self._flushing is not None and not self._store.is_flushing:
                state, self._flushing = self._flushing, None
                self._record(state)
            if begin and self._flushing is None and self._monotonic() >= self._flush_again_at:
                self._flush_again_at = self._monotonic() + _FLUSH_RETRY_S
                self.check_space()
                state = self._present_state()
                self._flush_log()
                self._store.flush(wait=False)
                self._flushing = state
                self._unflushed_bytes = 0
                self._flush_again_at = 0.0
        except FlussError as error:
            logger.warning("the store in %s could not be persisted: %s", self._directory, error)

    def check_space(self) -> None:
        """``DISK_WRITE_LOCKED`` when the disk may be too full for the memtable: a failed flush takes a second."""
        free, needed = self._disk.usage(self._directory).free_bytes, self._unflushed_bytes + MIN_FREE_BYTES
        if free < needed:
            raise disk_full(f"the store in {self._directory} needs {needed} bytes of disk space, {free} are free")

    @property
    def retention_floor(self) -> int:
        """Changelog offset from which on a restart may need the log. Any thread.

        0 while the store may have to be built again from the whole log.
        """
        return 0 if self._damaged or self._durable.may_exceed_log else self._durable.offset

    @property
    def is_flushing(self) -> bool:
        """Whether a flush in the background is still running."""
        return self._flushing is not None and self._store.is_flushing

    def level0_files(self) -> int:
        """Files of the store that wait for a compaction. Worker thread only."""
        return self._store.level0_files

    @property
    def file_bytes(self) -> int:
        """Bytes of the store's files. Any thread."""
        return self._store.file_bytes

    @property
    def unflushed_files(self) -> int:
        """About how many files will come from what is not flushed yet."""
        return (self._flushing is not None) + self._unflushed_bytes // FLUSH_AFTER_BYTES

    @property
    def unflushed_bytes(self) -> int:
        """About what the memtable holds."""
        return self._unflushed_bytes

    def _present_state(self) -> KvCheckpoint:
        return KvCheckpoint(self.offset, self.row_count, self._store.sequence, self._boot_id)

    def _flush_log(self) -> None:
        """See to it that RocksDB's files never know more than the log would after a loss of power."""
        if self.offset > self._log.flushed_offset:
            self._log.flush()

    def _record(self, state: KvCheckpoint) -> None:
        try:
            write_checkpoint(self._directory, state, self._disk)
        except OSError as error:
            message = f"cannot write the checkpoint in {self._directory}"
            raise disk_full_or(ErrorCode.KV_STORAGE_EXCEPTION, message, error) from error
        self._durable = state
        self._forget_if_damaged()  # again: another thread may have found the damage meanwhile

    def _announce_exceeding(self, failure: FlussError) -> None:
        """Record that RocksDB may know more than the log would after a loss of power."""
        logger.error("%s: its log cannot be made durable: %s", self._directory, failure)
        try:
            self._record(replace(self._durable, may_exceed_log=True))
        except FlussError as error:
            logger.error("%s", error)
            self._damaged = True  # the next start must not take it for right
            self._forget_if_damaged()

    # ------------------------------------------------------------------ reads

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values of ``keys`` in order, None for absent ones; one that is given twice is read once. Any thread."""
        cache = self._cache
        if (recent := cache.get_recent(keys)) is not None:
            return recent
        values = cache.get(keys)
        if UNKNOWN in values:
            state = cache.state
            missing = [index for index, value in enumerate(values) if value is UNKNOWN]
            unknown = list(dict.fromkeys([keys[index] for index in missing]))
            found = self._store.get(unknown)
            by_key = dict(zip(unknown, found, strict=True))
            for index in missing:
                values[index] = by_key[keys[index]]
            cache.learn(unknown, found, state)
        return values  # type: ignore[return-value]  # no UNKNOWN is left

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values of different ``keys`` in order, None for absent ones. Worker thread only."""
        values, missing = self._cache.read(keys)
        if missing:
            unknown = sorted([keys[index] for index in missing])
            stored = self._store.get(unknown)
            if not any(stored):  # new keys
                found: Iterable[bytes | None] = repeat(None, len(stored))
            else:
                by_key = dict(zip(unknown, stored, strict=True))
                found = [by_key[keys[index]] for index in missing]
            if len(missing) == len(keys):
                return list(found)
            for index, value in zip(missing, found, strict=True):
                values[index] = value
        return values  # type: ignore[return-value]  # no UNKNOWN is left

    def with_prefix(self, prefix: bytes, max_bytes: int) -> list[bytes]:
        """Values of the keys that begin with ``prefix``, in key order. Any thread.

        Raises:
            FlussError: ``RECORD_TOO_LARGE_EXCEPTION`` when they have more than ``max_bytes``.
        """
        rows = takewhile(lambda row: row[0].startswith(prefix), self._store.rows(prefix))
        return _values(rows, max_bytes)

    def few_with_prefix(self, prefix: bytes, max_rows: int, max_bytes: int) -> list[bytes] | None:
        """As :meth:`with_prefix`, or None when there are more rows or bytes than that. Any thread."""
        values: list[bytes] = []
        for key, value in self._store.rows(prefix):
            if not key.startswith(prefix):
                break
            max_bytes -= len(value)
            if len(values) == max_rows or max_bytes < 0:
                return None
            values.append(value)
        return values

    def first(self, limit: int, max_bytes: int) -> list[bytes]:
        """Values of the first keys. Any thread.

        Raises:
            FlussError: ``RECORD_TOO_LARGE_EXCEPTION`` when they have more than ``max_bytes``.
        """
        return _values(islice(self._store.rows(), max(0, limit)), max_bytes)

    def snapshot(self) -> StoreSnapshot:
        """The rows at :attr:`offset`. Worker thread only.

        Raises:
            FlussError: ``KV_STORAGE_EXCEPTION``, also while a failed :meth:`apply` was not repeated.
        """
        if self._partially_applied:
            raise FlussError(
                ErrorCode.KV_STORAGE_EXCEPTION, "a commit failed partially; there is no consistent state to scan"
            )
        return self._store.snapshot()

    # ------------------------------------------------------------------ end

    @property
    def is_full(self) -> bool:
        """Whether RocksDB takes no writes until it is opened again, because the disk was full. Any thread."""
        return self._store.is_full

    @property
    def closable_at(self) -> float:
        """See ``RocksStore.closable_at``."""
        return self._store.closable_at

    def stop(self, *, persist: bool) -> None:
        """Persist if told to; nothing may be written any more. :meth:`close` remains to be called."""
        try:
            if persist and not self._partially_applied:
                self.persist()
        finally:
            if self in self._resources.stores:
                self._resources.stores.remove(self)
            self._cache.clear()

    def close(self) -> None:
        """Close the store after :meth:`stop`. Any thread."""
        try:
            self._flush_log()  # closing writes the memtable to disk
        except FlussError as error:
            self._announce_exceeding(error)
        finally:
            self._store.close()

    def abandon(self) -> None:
        """Close without recording anything."""
        self.stop(persist=False)
        self.close()

    def abandon_quietly(self) -> None:
        """Close without recording anything; errors are logged."""
        try:
            self.abandon()
        except FlussError as error:
            logger.warning("the store in %s could not be closed properly: %s", self._directory, error)


def _values(rows: Iterable[tuple[bytes, bytes]], max_bytes: int) -> list[bytes]:
    values: list[bytes] = []
    for _, value in rows:
        max_bytes -= len(value)
        if max_bytes < 0:
            raise FlussError(
                ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                f"the first {len(values)} rows already are as much as one response may hold",
                hint="request fewer rows, or scan the table",
            )
        values.append(value)
    return values
