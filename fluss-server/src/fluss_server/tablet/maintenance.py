"""Periodic background tasks over the replicas of a server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from fluss_server.errors import FlussError
from fluss_server.replica.bucket_replica import BucketReplica

logger = logging.getLogger(__name__)

SCRUB_STEP_BYTES = 1 << 20
"""Log checked at a time, some milliseconds of a thread."""

_FIRST_SCRUB_S = 60.0
_MIN_SCRUB_PAUSE_S = 1.0


class MaintenanceConfig(NamedTuple):
    """Intervals of the background tasks.

    Attributes:
        flush_interval_s: seconds between flushes of the logs; None = never, because acknowledgements wait for them.
        persist_interval_s: seconds between two checks of which KvTablets have enough new rows to be persisted.
        persist_after_offsets: changelog rows since the last persist that make a KvTablet worth persisting.
        retention_interval_s: seconds between two searches for segments older than their tables keep them.
        writer_expiration_interval_s: seconds between two searches for writers that are silent for long.
        roll_expired_segments: whether the newest segment of a log goes too when everything in it is too old.
        scrub_interval_s: seconds from the beginning of one check of all logs to that of the next.
        scrub_bytes_per_s: how fast logs are checked; 0 = never.
    """

    flush_interval_s: float | None = None
    persist_interval_s: float = 10.0
    persist_after_offsets: int = 200_000
    retention_interval_s: float = 300.0
    writer_expiration_interval_s: float = 600.0
    roll_expired_segments: bool = False
    scrub_interval_s: float = 86_400.0
    scrub_bytes_per_s: int = 0


class Maintenance:
    """Background tasks over all replicas of a server, one replica at a time. Lives on one event loop.

    Args:
        replicas: the replicas that are open.

    Attributes:
        scrubbed_bytes: bytes of logs checked so far.
    """

    def __init__(self, config: MaintenanceConfig, replicas: Callable[[], Sequence[BucketReplica]]) -> None:
        self._config = config
        self.roll_expired_segments = config.roll_expired_segments  # may be changed at any time
        self._replicas = replicas
        self._persisted: WeakKeyDictionary[BucketReplica, int] = WeakKeyDictionary()  # dropped ones leave by themselves
        self._tasks: list[asyncio.Task[None]] = []
        self.scrubbed_bytes = 0

    def start(self) -> None:
        """Begin."""
        config = self._config
        background_tasks: list[tuple[str, float | None, Callable[[BucketReplica], Awaitable[None]]]] = [
            ("flushed", config.flush_interval_s, self._flush),
            ("persisted", config.persist_interval_s, self._persist),
            ("cleared of old segments", config.retention_interval_s, self._delete_expired),
            ("cleared of silent writers", config.writer_expiration_interval_s, self._expire_writers),
        ]
        self._tasks = [
            asyncio.create_task(self._repeat(name, interval, background_task))
            for name, interval, background_task in background_tasks
            if interval
        ]
        if config.scrub_bytes_per_s:
            self._tasks.append(asyncio.create_task(self._scrub_all()))

    async def stop(self) -> None:
        """End; a task in the middle of a replica is finished in its thread."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _repeat(
        self, name: str, interval_s: float, background_task: Callable[[BucketReplica], Awaitable[None]]
    ) -> None:
        while True:
            await asyncio.sleep(interval_s)
            for replica in self._replicas():
                try:
                    await background_task(replica)
                except FlussError as error:
                    if not replica.is_closed:  # else its table was dropped meanwhile
                        logger.warning("bucket %s could not be %s: %s", replica.bucket, name, error)
                except Exception:
                    logger.exception("bucket %s could not be %s", replica.bucket, name)

    async def _flush(self, replica: BucketReplica) -> None:
        await replica.flush()

    async def _persist(self, replica: BucketReplica) -> None:
        """Keep the part of the changelog that a restart has to replay short."""
        if not replica.table.has_primary_key:
            return
        offset = replica.high_watermark.value
        if offset - self._persisted.get(replica, 0) >= self._config.persist_after_offsets:
            await replica.persist()
            self._persisted[replica] = offset

    async def _delete_expired(self, replica: BucketReplica) -> None:
        await replica.delete_expired(roll_active=self.roll_expired_segments)

    async def _expire_writers(self, replica: BucketReplica) -> None:
        await replica.expire_writers()

    async def _scrub_all(self) -> None:
        """Check all logs, slowly, over and over."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(min(self._config.scrub_interval_s, _FIRST_SCRUB_S))
        while True:
            started = loop.time()
            for replica in self._replicas():
                try:
                    await self._scrub(replica)
                except FlussError as error:
                    if not replica.is_closed:
                        logger.warning("the log of bucket %s could not be checked: %s", replica.bucket, error)
                except Exception:
                    logger.exception("the log of bucket %s could not be checked", replica.bucket)
            await asyncio.sleep(max(started + self._config.scrub_interval_s - loop.time(), _MIN_SCRUB_PAUSE_S))

    async def _scrub(self, replica: BucketReplica) -> None:
        rate = self._config.scrub_bytes_per_s
        step = await replica.scrub(None, min(SCRUB_STEP_BYTES, rate))
        while True:
            self.scrubbed_bytes += step.checked_bytes
            await asyncio.sleep(step.checked_bytes / rate)
            if step.following is None:
                return
            step = await replica.scrub(step.following, min(SCRUB_STEP_BYTES, rate))
