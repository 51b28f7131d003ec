"""How a KvTablet is closed that nobody uses any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluss_server.runtime.workers import WorkerPool

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet


async def close_kv(kv: KvTablet, kv_worker: WorkerPool, io_pool: WorkerPool) -> None:
    """Persist a KvTablet and close its files; they are closed also when it cannot be persisted.

    RocksDB writes what it has in memory to disk when it is closed, and also when Python drops the last reference to an
    open database. Only ``KvTablet.close`` makes the log durable before: after a loss of power the files would hold rows
    that the log does not have.

    Args:
        kv: to be closed.
        kv_worker: where it changes.
        io_pool: for what blocks.

    Raises:
        FlussError: as ``KvTablet.stop``; the log has what is not persisted.
    """
    try:
        await kv_worker.run(kv.stop)
    finally:
        await io_pool.run(kv.close)
