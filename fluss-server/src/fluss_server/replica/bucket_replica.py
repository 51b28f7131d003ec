"""What a replica of a bucket has in common whether it leads or follows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from fluss_server.config import TABLE_OPTIONS
from fluss_server.errors import FlussError
from fluss_server.log.log_tablet import LogTablet
from fluss_server.log.scrub import ScrubPosition, ScrubStep
from fluss_server.metrics.instruments import BucketCounters
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.table import TableInfo
from fluss_server.replica.watched_offset import WatchedOffset
from fluss_server.runtime.workers import WorkerPool

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet


class BucketReplica(ABC):
    """One bucket of this server.

    Attributes:
        bucket: which bucket.
        table: its table.
        log: its open log.
        high_watermark: as far as it is known here.
        kv: KvTablet of a primary-key table while it is led and served, else None.
        counters: what clients did.
    """

    kv: KvTablet | None = None

    def __init__(
        self,
        bucket: TableBucket,
        table: TableInfo,
        log: LogTablet,
        high_watermark: WatchedOffset,
        *,
        flush_pool: WorkerPool,
        read_pool: WorkerPool,
        counters: BucketCounters | None,
    ) -> None:
        self.bucket = bucket
        self.table = table
        self.log = log
        self.high_watermark = high_watermark
        self.counters = counters or BucketCounters()
        self._flush_pool = flush_pool
        self._read_pool = read_pool

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Whether it does nothing any more."""

    @property
    @abstractmethod
    def is_online(self) -> bool:
        """Whether it can do what its role demands."""

    @property
    @abstractmethod
    def problem(self) -> FlussError | None:
        """Why the bucket is not healthy, with a remedy; None if it is."""

    @property
    def kv_file_bytes(self) -> int:
        """Bytes of the files of an open KvTablet."""
        return 0 if self.kv is None else self.kv.file_bytes

    @property
    def log_ttl_ms(self) -> int:
        """How long the log is kept, milliseconds; 0 = unlimited."""
        option = TABLE_OPTIONS["table.log.ttl"]
        value = option.parse(self.table.descriptor.properties.get(option.key, option.default or ""))
        assert isinstance(value, int), f"{option.key} is a duration"
        return value

    async def update_table(self, table: TableInfo) -> None:
        """Take in a new definition of the table."""
        self.table = table

    @abstractmethod
    async def flush(self) -> None:
        """Make the log durable now; for the periodic flush when acknowledgements do not wait for it."""

    @abstractmethod
    async def persist(self) -> None:
        """Let RocksDB write its memory to disk, so that the next start replays less."""

    @abstractmethod
    async def delete_expired(self, *, roll_active: bool) -> None:
        """Delete segments of the log that are older than the table keeps them and that nothing needs any more."""

    async def scrub(self, start: ScrubPosition | None, max_bytes: int) -> ScrubStep:
        """See ``LogTablet.scrub``; nothing is read of a closed replica."""
        if self.is_closed:
            return ScrubStep(0, None)
        return await self._read_pool.run(self.log.scrub, start, max_bytes)

    async def expire_writers(self) -> None:
        """See ``LogTablet.expire_writers``."""
        await self._flush_pool.run(self.log.expire_writers)

    @abstractmethod
    async def close(self) -> None:
        """Close it, with its log."""

    @abstractmethod
    async def delete(self) -> None:
        """Close it and remove its data."""
