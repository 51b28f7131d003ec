"""RocksDB as a KvTablet uses it: options, and calls that fail with our errors.

Facts about rocksdict 0.3.29 (RocksDB 9.8) that shape this module, each found by experiment:

* ``Rdict()`` holds the GIL while it opens a database, 3 to 10 ms for a small one on a fast disk: several threads open
  no more databases in a second than one.
* ``Rdict.write`` holds the GIL, too. ``get`` does for about 1 us per key to make its result; ``flush`` and ``close`` do
  not. Writes therefore go in pieces of at most :data:`MAX_WRITE_ROWS` rows (about 1 ms), and with ``no_slowdown``: a
  write that RocksDB would make wait (too many memtables or level-0 files) fails at once with "Write stall", and we
  wait outside, without the GIL. A failed ``WriteBatch`` cannot be used again.
* ``Rdict.values()`` and its siblings end silently at a damaged block. Only ``RdictIter.status()`` tells, so only that
  iterator is used.
* An iterator shows the state at its creation. Iterators made from ``Rdict.snapshot()`` do not: they show the present.
* ``close`` fails with "Already borrowed" while another thread is inside a read. A live iterator keeps the database
  open, and its lock held, after ``close()``.
* A flush that finds the disk full sleeps for a second in the one flush thread that all databases of the process share.
  After a failed flush or compaction every write fails. On a full disk RocksDB resumes by itself some seconds after
  64 MiB (the size of a memtable) are free; there is no call for that. While it waits, ``close`` takes one second, with
  the GIL. It does not after ``cancel_all_background(False)`` and a second's time; then a new ``Rdict`` has to be opened
  for writes. Reads go on all the time.
* Opening a database needs space on the disk, for its options.
* The official Java reader needs block format version 5 and CRC32C checksums.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

import rocksdict

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv.disk_full import disk_full, disk_full_or
from fluss_server.kv.resources import KvResources

MAX_WRITE_ROWS = 1_000
"""Rows of one RocksDB write."""

MEMTABLE_BYTES = 64 << 20
"""Size of a memtable that RocksDB begins to write to disk by itself."""

STALL_LIMIT_S = 60.0
"""How long writes may stall before the store counts as broken."""

CLOSE_LIMIT_S = 10.0
"""How long closing waits for reads in other threads."""

_MAX_READ_KEYS = 1_000
_MIB = 1 << 20
_ARENA_BLOCK_BYTES = 256 << 10  # the least that a memtable with one row takes; the default would be 1 MiB per tablet
_MEMTABLE_BLOOM_SHARE = 0.005  # of MEMTABLE_BYTES: 320 KiB, some 20 bits per key; saves a tenth of a read
_BLOCK_BYTES = 4 << 10
_BLOOM_BITS_PER_KEY = 10
_MAX_OPEN_FILES = 256
_MAX_STALL_PAUSE_S = 0.05
_CANCEL_S = 1.1
_STALL = "Write stall"
_IN_USE = "Already borrowed"
_DISK_FULL = ("No space left on device", "Disk quota exceeded")
# Errors that say something about the machine, not about the files: building the store again would not help, or would
# harm.
_ENVIRONMENT_ERRORS = (
    *_DISK_FULL,
    "lock hold by current process",
    "While lock file",
    "Too many open files",
    "Permission denied",
    "Read-only file system",
    "Cannot allocate memory",
)


class RocksStore:
    """One open RocksDB database with byte keys and values.

    Every method may be called from any thread. All raise ``KV_STORAGE_EXCEPTION`` when RocksDB reports an error, also
    when the store is closed; ``DISK_WRITE_LOCKED`` for one of a full disk.

    Args:
        directory: of the database; created if missing.
        resources: shared memory.
        on_damage: called, in any thread, when RocksDB finds that its files are damaged.

    Attributes:
        is_full: the disk was full; no write succeeds until the database is opened again.
        closable_at: monotonic time from which :meth:`close` does not wait for RocksDB to notice that.

    Raises:
        StoreDamaged: the files are not a whole database.
        FlussError: ``DISK_WRITE_LOCKED``, ``KV_STORAGE_EXCEPTION``: they may be, but cannot be used now (disk full,
            open elsewhere, ...).
    """

    def __init__(
        self, directory: PurePath, resources: KvResources, on_damage: Callable[[], None] = lambda: None
    ) -> None:
        self._on_damage = on_damage
        self._closing = False
        self._clock = resources.runtime.clock
        self.is_full = False
        self.closable_at = 0.0
        self._db: Any = None
        try:
            path = resources.runtime.disk.native_path(directory)
        except OSError as error:
            raise disk_full_or(ErrorCode.KV_STORAGE_EXCEPTION, f"cannot create {directory}", error) from error
        try:
            self._db = rocksdict.Rdict(path, _options(resources))
        except Exception as error:  # rocksdict raises bare Exception for every status
            if any(text in str(error) for text in _ENVIRONMENT_ERRORS):
                raise self._error(f"cannot open RocksDB in {directory}", error) from error
            raise StoreDamaged(str(error)) from error
        self._write_options = rocksdict.WriteOptions()
        self._write_options.disable_wal = True
        self._write_options.no_slowdown = True

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values of ``keys`` in order, None for absent ones: a multi-get. Sorted keys are faster."""
        try:
            if len(keys) == 1:
                return [self._db.get(keys[0])]
            values: list[bytes | None] = []
            for start in range(0, len(keys), _MAX_READ_KEYS):
                if self._closing:
                    raise rocksdict.DbClosedError("the store is being closed")
                values += self._db.get(list(keys[start : start + _MAX_READ_KEYS]))
            return values
        except Exception as error:
            raise self._error("cannot read from RocksDB", error) from error

    def write(self, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        """Put (value) or delete (None) up to :data:`MAX_WRITE_ROWS` rows, all or none; sorted keys twice as fast."""
        assert len(keys) <= MAX_WRITE_ROWS, f"{len(keys)} rows would hold the GIL for too long"
        deadline = self._clock.monotonic() + STALL_LIMIT_S
        pause = 0.001
        while True:
            batch = rocksdict.WriteBatch(raw_mode=True)
            if None not in values:
                _for_each(map(batch.put, keys, values))
            elif values.count(None) == len(values):
                _for_each(map(batch.delete, keys))
            else:
                for key, value in zip(keys, values, strict=True):
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)
            try:
                self._db.write(batch, self._write_options)
                return
            except Exception as error:
                if _STALL not in str(error) or self._clock.monotonic() > deadline:
                    raise self._error("cannot write to RocksDB", error) from error
            self._clock.sleep(pause)
            pause = min(2 * pause, _MAX_STALL_PAUSE_S)

    def rows(self, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys and values from the first key >= ``start``, in unsigned byte order, as of now."""
        return self.snapshot().rows(start)

    def snapshot(self) -> StoreSnapshot:
        """The present content, kept readable while the result is referenced."""
        try:
            return StoreSnapshot(self._db.iter(), self._error)
        except Exception as error:
            raise self._error("cannot read from RocksDB", error) from error

    @property
    def sequence(self) -> int:
        """Number of changes in the life of the database; right after opening, of those that were on disk."""
        return int(self._property("latest_sequence_number"))

    def flush(self, *, wait: bool) -> None:
        """Write the memtable to disk, durably; with ``wait`` False only begin to."""
        try:
            self._db.flush(wait)
        except Exception as error:
            raise self._error("cannot flush RocksDB", error) from error

    @property
    def memtable_bytes(self) -> int:
        """What the memtable that is written to takes."""
        return int(self._property("property_int_value", "rocksdb.cur-size-active-mem-table") or 0)

    @property
    def is_flushing(self) -> bool:
        """Whether memtables that are closed for writing are not on disk yet."""
        return int(self._property("property_int_value", "rocksdb.num-immutable-mem-table") or 0) > 0

    @property
    def level0_files(self) -> int:
        """Files that wait for a compaction."""
        return int(self._property("property_value", "rocksdb.num-files-at-level0") or 0)

    @property
    def file_bytes(self) -> int:
        """Bytes of the files in use."""
        return int(self._property("property_int_value", "rocksdb.live-sst-files-size") or 0)

    def _property(self, method: str, *arguments: str) -> Any:
        try:
            return getattr(self._db, method)(*arguments)
        except Exception as error:
            raise self._error("cannot ask RocksDB", error) from error

    def close(self) -> None:
        """Close the database; what is in the memtable goes to disk. Its lock is free when no iterator is left.

        Waits for calls that other threads have begun, at most :data:`CLOSE_LIMIT_S`.
        """
        self._closing = True
        if (wait_s := self.closable_at - self._clock.monotonic()) > 0:
            self._clock.sleep(wait_s)  # without the GIL, and many stores at the same time
        deadline = self._clock.monotonic() + CLOSE_LIMIT_S
        while True:
            try:
                self._db.close()
                return
            except Exception as error:
                if self.is_full and _IN_USE not in str(error):
                    return  # it is closed; what was in the memtable is in the log
                if _IN_USE not in str(error) or self._clock.monotonic() > deadline:
                    raise self._error("cannot close RocksDB", error) from error
            self._clock.sleep(0.001)

    def _set_full(self) -> None:
        """Give RocksDB's own attempts to resume up: they would make closing slow."""
        if self._db is not None and not self.is_full:
            self.is_full = True
            self.closable_at = self._clock.monotonic() + _CANCEL_S
            with contextlib.suppress(Exception):
                self._db.cancel_all_background(False)

    def _error(self, message: str, cause: Exception) -> FlussError:
        """The error of a call to RocksDB."""
        text = str(cause)
        if any(full in text for full in _DISK_FULL) or self.is_full:
            self._set_full()
            return disk_full(f"{message}: {text}")
        hint = None
        if "Corruption" in text:
            hint = "restart the server: a damaged store is built again from the log"
            self._on_damage()
        return FlussError(ErrorCode.KV_STORAGE_EXCEPTION, f"{message}: {text}", hint=hint)


def _for_each(calls: Iterator[None]) -> None:
    """Make the calls of a ``map`` without a Python instruction for each."""
    deque(calls, maxlen=0)


class StoreSnapshot:
    """A state of a :class:`RocksStore` that later writes do not change; it holds memory and files of that state.

    One thread at a time.
    """

    def __init__(self, iterator: Any, error: Callable[[str, Exception], FlussError]) -> None:
        self._iterator = iterator
        self._error = error

    def rows(self, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys and values from the first key >= ``start``, in unsigned byte order. One iteration at a time."""
        iterator = self._iterator
        try:
            iterator.seek(start)
            while iterator.valid():
                yield iterator.key(), iterator.value()
                iterator.next()
            iterator.status()
        except Exception as error:
            del iterator  # a traceback must not keep the database open
            raise self._error("cannot read from RocksDB", error) from error

    def release(self) -> None:
        """Let memory and files go, whoever still refers to this object."""
        self._iterator = None


class StoreDamaged(Exception):
    """A RocksDB directory cannot be opened because of what is in it, or missing from it."""


def _options(resources: KvResources) -> Any:
    table = rocksdict.BlockBasedOptions()
    table.set_format_version(5)
    table.set_checksum_type(rocksdict.ChecksumType.crc32c())
    table.set_block_size(_BLOCK_BYTES)
    table.set_bloom_filter(_BLOOM_BITS_PER_KEY, False)
    table.set_block_cache(resources.cache)
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(rocksdict.DBCompressionType.lz4())
    options.set_write_buffer_manager(resources.write_buffers)
    options.set_write_buffer_size(MEMTABLE_BYTES)
    options.set_arena_block_size(_ARENA_BLOCK_BYTES)
    options.set_memtable_prefix_bloom_ratio(_MEMTABLE_BLOOM_SHARE)
    options.set_memtable_whole_key_filtering(True)
    options.set_max_write_buffer_number(4)
    options.set_max_background_jobs(2)
    options.set_max_open_files(_MAX_OPEN_FILES)
    options.set_max_file_opening_threads(1)  # the default starts 16 to open a database: a third of what that costs
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(_MIB)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options
