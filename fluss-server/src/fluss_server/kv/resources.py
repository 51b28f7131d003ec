"""What the KvTablets of a server share: memory, and access to the machine."""

from __future__ import annotations

from typing import Protocol

import rocksdict

from fluss_server.kv.row_cache import RowCacheMemory
from fluss_server.runtime import Runtime

_MIB = 1 << 20
_UNLIMITED_BYTES = 1 << 50
MIN_FLUSH_BYTES = _MIB  # a smaller memtable is not worth a file, whatever the others take


class MemtableOwner(Protocol):
    """A store whose memtable may be flushed to make space for others."""

    @property
    def unflushed_bytes(self) -> int:
        """About what the memtable holds."""

    @property
    def is_flushing(self) -> bool:
        """Whether a flush in the background is still running."""

    def flush_in_background(self, begin: bool) -> None:
        """Note that a flush has ended, and perhaps begin one."""


class KvResources:
    """Memory that the KvTablets of a server share. Used by the KV worker thread only.

    Args:
        runtime: clock, disk and locks of the server.
        memory_bytes: for caches and memtables of all tablets together. Half of it holds recently used rows as Python
            objects, the rest is RocksDB's block cache. Memtables are charged to that and may take half of it; when
            they do, the tablet with the largest one is flushed.
        max_pending_bytes: rows merged but not committed, all tablets together; beyond that, puts are refused.
        row_cache_bytes: another size for the cache of rows.
        backpressure_trigger: see ``kv.backpressure.l0-slowdown-trigger``.

    Attributes:
        pending_bytes: rows merged but not committed now.
        stores: those that are open.
    """

    def __init__(
        self,
        runtime: Runtime,
        memory_bytes: int = 256 * _MIB,
        *,
        max_pending_bytes: int = 256 * _MIB,
        row_cache_bytes: int | None = None,
        backpressure_trigger: int = 8,
    ) -> None:
        self.runtime = runtime
        self.backpressure_trigger = backpressure_trigger
        row_cache_limit = memory_bytes // 2 if row_cache_bytes is None else row_cache_bytes
        self.row_cache_memory = RowCacheMemory(row_cache_limit, runtime.workers.lock())
        block_cache_bytes = memory_bytes - memory_bytes // 2
        self.cache = rocksdict.Cache(block_cache_bytes)
        self._memtable_bytes = block_cache_bytes // 2
        # RocksDB's own reaction to a full manager is to flush the tablet that happens to write next, however little it
        # holds; with many tablets that means thousands of tiny files. So it only counts here.
        self.write_buffers = rocksdict.WriteBufferManager.new_write_buffer_manager_with_cache(
            _UNLIMITED_BYTES, False, self.cache
        )
        self.max_pending_bytes = max_pending_bytes
        self.pending_bytes = 0
        self.stores: list[MemtableOwner] = []

    @property
    def memory_bytes(self) -> int:
        """Bytes of the block cache, memtables included. Any thread."""
        return int(self.cache.get_usage())

    def bound_memtables(self) -> None:
        """Begin to flush the largest memtable, one at a time, when all together take more than their share."""
        if self.write_buffers.get_usage() <= self._memtable_bytes:
            return
        if not any(store.is_flushing for store in self.stores):
            largest = max(self.stores, key=lambda store: store.unflushed_bytes)
            if largest.unflushed_bytes >= MIN_FLUSH_BYTES:
                largest.flush_in_background(True)
