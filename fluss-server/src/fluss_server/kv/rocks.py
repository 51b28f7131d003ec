"""RocksDB as a KvTablet uses it: options, the memory that all tablets share, and calls that fail with our errors.

Facts about rocksdict 0.3.29 (RocksDB 9.8) that shape this module, each found by experiment:

* ``Rdict()`` holds the GIL while it opens a database, 3 to 10 ms for a small one on a fast disk: several threads open
  no more databases in a second than one.
* ``Rdict.write`` holds the GIL, too. ``get`` does for about 1 us per key to make its result; ``flush`` and ``close`` do
  not. Writes therefore go in pieces of at most :data:`MAX_WRITE_ROWS` rows (about 1 ms), and with ``no_slowdown``: a
  write that RocksDB would make wait (too many memtables or level-0 files) fails at once with "Write stall", and we
  wait outside, without the GIL. A failed ``WriteBatch`` cannot be used again.
* ``Rdict.values()`` and its siblings end silently at a damaged block. Only ``RdictIter.status()`` tells, so only that
  iterator is used.
* An iterator shows the moment of its creation. Iterators made from ``Rdict.snapshot()`` do not: they show the present.
* ``close`` fails with "Already borrowed" while another thread is inside a read. A live iterator keeps the database
  open, and its lock held, after ``close()``.
* The official Java reader needs block format version 5 and CRC32C checksums.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rocksdict

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv.row_cache import RowCacheMemory

if TYPE_CHECKING:
    from fluss_server.kv.committed_rows import CommittedRows

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
_UNLIMITED_BYTES = 1 << 50
_ARENA_BLOCK_BYTES = 256 << 10  # the least that a memtable with one row takes; the default would be 1 MiB per tablet
_MEMTABLE_BLOOM_SHARE = 0.005  # of MEMTABLE_BYTES: 320 KiB, some 20 bits per key; saves a tenth of a read
_BLOCK_BYTES = 4 << 10
_BLOOM_BITS_PER_KEY = 10
_MAX_OPEN_FILES = 256
_MAX_STALL_PAUSE_S = 0.05
_STALL = "Write stall"
_IN_USE = "Already borrowed"
# Errors that say something about the machine, not about the files: building the store anew would not help, or would
# harm.
_ENVIRONMENT_ERRORS = (
    "lock hold by current process",
    "While lock file",
    "No space left on device",
    "Too many open files",
    "Permission denied",
    "Read-only file system",
    "Cannot allocate memory",
)


class KvResources:
    """Memory that the KvTablets of a server share. Used by the KV worker thread only.

    Args:
        memory_bytes: for caches and memtables of all tablets together. Half of it holds recently used rows as Python
            objects, the rest is RocksDB's block cache. Memtables are charged to that and may take half of it; when
            they do, the tablet with the largest one is flushed.
        max_pending_bytes: rows merged but not committed, all tablets together; beyond that, puts are refused.
        row_cache_bytes: another size for the cache of rows.
        backpressure_trigger: see ``kv.backpressure.l0-slowdown-trigger``.
    """

    def __init__(
        self,
        memory_bytes: int = 256 * _MIB,
        *,
        max_pending_bytes: int = 256 * _MIB,
        row_cache_bytes: int | None = None,
        backpressure_trigger: int = 8,
    ) -> None:
        self.backpressure_trigger = backpressure_trigger
        self.row_cache_memory = RowCacheMemory(memory_bytes // 2 if row_cache_bytes is None else row_cache_bytes)
        block_cache_bytes = memory_bytes - memory_bytes // 2
        self.cache = rocksdict.Cache(block_cache_bytes)
        self.memtable_bytes = block_cache_bytes // 2
        # RocksDB's own reaction to a full manager is to flush the tablet that happens to write next, however little it
        # holds; with many tablets that means thousands of tiny files. So it only counts here, and CommittedRows acts.
        self.write_buffers = rocksdict.WriteBufferManager.new_write_buffer_manager_with_cache(
            _UNLIMITED_BYTES, False, self.cache
        )
        self.max_pending_bytes = max_pending_bytes
        self.pending_bytes = 0
        self.stores: list[CommittedRows] = []  # those that are open

    @property
    def memory_bytes(self) -> int:
        """Bytes of the block cache, memtables included. Any thread."""
        return int(self.cache.get_usage())

    @property
    def memtables_full(self) -> bool:
        """Whether the memtables of all tablets together take more than their share."""
        return bool(self.write_buffers.get_usage() > self.memtable_bytes)


class RocksStore:
    """One open RocksDB database with byte keys and values.

    Every method may be called from any thread. All raise ``KV_STORAGE_EXCEPTION`` when RocksDB reports an error, also
    when the store is closed.

    Args:
        directory: of the database; created if missing.
        resources: shared memory.
        on_damage: called, in any thread, when RocksDB finds that its files are damaged.

    Raises:
        StoreDamaged: the files are not a whole database.
        FlussError: ``KV_STORAGE_EXCEPTION``: they may be, but cannot be used now (open elsewhere, disk full, ...).
    """

    def __init__(self, directory: Path, resources: KvResources, on_damage: Callable[[], None] = lambda: None) -> None:
        self._on_damage = on_damage
        self._closing = False
        try:
            self._db = rocksdict.Rdict(str(directory), _options(resources))
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
        deadline = time.monotonic() + STALL_LIMIT_S
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
                if _STALL not in str(error) or time.monotonic() > deadline:
                    raise self._error("cannot write to RocksDB", error) from error
            time.sleep(pause)
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
        deadline = time.monotonic() + CLOSE_LIMIT_S
        while True:
            try:
                self._db.close()
                return
            except Exception as error:
                if _IN_USE not in str(error) or time.monotonic() > deadline:
                    raise self._error("cannot close RocksDB", error) from error
            time.sleep(0.001)

    def _error(self, message: str, cause: Exception) -> FlussError:
        """``KV_STORAGE_EXCEPTION`` for an error of RocksDB."""
        hint = None
        if "No space left" in str(cause):
            hint = "free disk space, then restart the server"
        elif "Corruption" in str(cause):
            hint = "restart the server: a damaged store is built again from the log"
            self._on_damage()
        return FlussError(ErrorCode.KV_STORAGE_EXCEPTION, f"{message}: {cause}", hint=hint)


def _for_each(calls: Iterator[None]) -> None:
    """Make the calls of a ``map`` without a Python instruction for each."""
    deque(calls, maxlen=0)


class StoreSnapshot:
    """A state of a :class:`RocksStore` that later writes do not change; holds memory and files of that state.

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
