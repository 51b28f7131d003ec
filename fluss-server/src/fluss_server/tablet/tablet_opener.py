"""Opening the log and the rows of a bucket."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from fluss_server.cluster.metadata_cache import MetadataCache
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.log_tablet import LogConfig, LogTablet
from fluss_server.log.storage_errors import storage_errors
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.table import TableInfo
from fluss_server.replica.kv_closing import close_kv
from fluss_server.runtime.runtime import Runtime
from fluss_server.runtime.workers import WorkerPool
from fluss_server.tablet.replica_directories import ReplicaDirectories

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet
    from fluss_server.kv.resources import KvResources


class TabletOpener:
    """Opens tablets in their worker threads.

    Args:
        directories: where they are.
        log_config: of every log.
        kv_cache_bytes: block cache and write buffers of all KvTablets together.
        kv_backpressure_trigger: files on level 0 of a KvTablet above which its writers are slowed down.
        runtime: the machine.
        metadata: definitions of tables.
        io_pool: opens logs.
        kv_worker: opens rows.
    """

    def __init__(
        self,
        directories: ReplicaDirectories,
        log_config: LogConfig,
        kv_cache_bytes: int,
        kv_backpressure_trigger: int,
        runtime: Runtime,
        metadata: MetadataCache,
        io_pool: WorkerPool,
        kv_worker: WorkerPool,
    ) -> None:
        self._directories = directories
        self._log_config = log_config
        self._kv_cache_bytes = kv_cache_bytes
        self._kv_backpressure_trigger = kv_backpressure_trigger
        self._runtime = runtime
        self._metadata = metadata
        self._io_pool = io_pool
        self._kv_worker = kv_worker
        self._kv_resources: KvResources | None = None

    @property
    def kv_memory_bytes(self) -> int:
        """Bytes of RocksDB's caches and memtables."""
        return 0 if self._kv_resources is None else self._kv_resources.memory_bytes

    def directory_of(self, bucket: TableBucket, table: TableInfo) -> PurePath:
        """The directory of the table or partition of a bucket; ``UNKNOWN_TABLE_OR_BUCKET_EXCEPTION``."""
        partition = None
        if bucket.partition_id is not None and (partition := self._metadata.partition(bucket.partition_id)) is None:
            raise FlussError(
                ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION,
                f"no partition with id {bucket.partition_id} on this server",
            )
        return self._directories.of_physical_table(
            table.path, table.table_id, None if partition is None else partition.name, bucket.partition_id
        )

    async def open_log(self, bucket: TableBucket, directory: PurePath) -> LogTablet:
        """Open or create the log of a bucket; what is in it is durable then."""
        return await self._io_pool.run(self._open_log, directory / f"log-{bucket.bucket}")

    def _open_log(self, directory: PurePath) -> LogTablet:
        log = LogTablet.open(directory, self._log_config, self._runtime)
        log.flush()  # what recovery kept counts as acknowledged, so it must not depend on the page cache
        return log

    async def open_kv(self, bucket: TableBucket, directory: PurePath, table: TableInfo, log: LogTablet) -> KvTablet:
        """Open or create the KvTablet of a bucket and bring it to the end of its log."""
        partition = None if bucket.partition_id is None else self._metadata.partition(bucket.partition_id)
        values = () if partition is None else partition.values
        return await self._kv_worker.run(self._open_kv, directory / f"kv-{bucket.bucket}", table, values, log)

    async def open_standby(
        self, bucket: TableBucket, directory: PurePath, table: TableInfo, log: LogTablet
    ) -> KvTablet:
        """As :meth:`open_kv`, without replaying the changelog after what is durable in the KvTablet."""
        partition = None if bucket.partition_id is None else self._metadata.partition(bucket.partition_id)
        values = () if partition is None else partition.values
        open_kv = partial(self._open_kv, standby=True)
        return await self._kv_worker.run(open_kv, directory / f"kv-{bucket.bucket}", table, values, log)

    def _open_kv(
        self,
        directory: PurePath,
        table: TableInfo,
        partition: Sequence[str],
        log: LogTablet,
        *,
        standby: bool = False,
    ) -> KvTablet:
        # RocksDB and Arrow cost start-up time: load with the first table.
        from fluss_server.kv.kv_tablet import KvTablet
        from fluss_server.kv.resources import KvResources

        if self._kv_resources is None:
            self._kv_resources = KvResources(
                self._runtime, self._kv_cache_bytes, backpressure_trigger=self._kv_backpressure_trigger
            )
        open_tablet = KvTablet.open_standby if standby else KvTablet.open
        return open_tablet(
            directory,
            table,
            partial(self._metadata.schema, table.table_id),
            log,
            self._kv_resources,
            partition,
        )

    async def check_rows(self, bucket: TableBucket, directory: PurePath, log: LogTablet) -> None:
        """Refuse a bucket whose rows cannot be brought to the end of its log: ``KV_STORAGE_EXCEPTION``."""
        await self._io_pool.run(self._check_rows, directory / f"kv-{bucket.bucket}", log)

    def _check_rows(self, directory: PurePath, log: LogTablet) -> None:
        from fluss_server.kv.checkpoint import check_replayable

        with storage_errors(f"cannot read the checkpoint in {directory}"):
            check_replayable(directory, log.start_offset, self._runtime.disk)

    async def remove_rows_beyond(self, bucket: TableBucket, directory: PurePath, end: int, *, uncertain: bool) -> None:
        """Remove the files of a KvTablet that is closed if they contain changes from the changelog offset ``end`` on.

        Args:
            bucket: which bucket.
            directory: of its table or partition.
            end: where its log is going to be cut.
            uncertain: remove them also if they may contain such changes: rows of a process that crashed are beyond what
                it had recorded.
        """
        await self._io_pool.run(self._remove_rows_beyond, directory / f"kv-{bucket.bucket}", end, uncertain)

    def _remove_rows_beyond(self, directory: PurePath, end: int, uncertain: bool) -> None:
        from fluss_server.kv.checkpoint import read_checkpoint

        with storage_errors(f"cannot read the checkpoint in {directory}"):
            checkpoint = read_checkpoint(directory, self._runtime.disk)
        if checkpoint is not None and (uncertain or checkpoint.offset > end):
            self._remove_rows(directory)

    async def close_kv(self, kv: KvTablet) -> None:
        """Close a KvTablet that nobody uses, see :func:`fluss_server.replica.kv_closing.close_kv`."""
        await close_kv(kv, self._kv_worker, self._io_pool)

    async def remove_rows(self, bucket: TableBucket, directory: PurePath) -> None:
        """Remove the files of a KvTablet that is closed."""
        await self._io_pool.run(self._remove_rows, directory / f"kv-{bucket.bucket}")

    def _remove_rows(self, directory: PurePath) -> None:
        disk = self._runtime.disk
        with storage_errors(f"cannot remove {directory}"):
            if disk.exists(directory):
                disk.remove_tree(directory)
                disk.sync_directory(directory.parent)
