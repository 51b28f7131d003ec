"""How much of a server's disk is in use, and by what, for whoever watches over the cluster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from fluss_server.cluster.messages import DiskSpace
from fluss_server.errors import FlussError
from fluss_server.replica.bucket_replica import BucketReplica
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.loop_share import LoopShare, TimeSlice
from fluss_server.tablet.disk_write_lock import DiskMonitor

REPORT_INTERVAL_S = 5.0
"""Heartbeats are more frequent; adding up the sizes of 10,000 buckets takes some milliseconds."""

logger = logging.getLogger(__name__)


class DiskSpaceReports:
    """Adds up the files of all buckets. Lives on one event loop; :meth:`close` it.

    Args:
        replicas: of the server.
        disk: knows the file system.
        clock: for the age of a report, and the event loop's share.
    """

    def __init__(self, replicas: Callable[[], Iterable[BucketReplica]], disk: DiskMonitor, clock: Clock) -> None:
        self._replicas = replicas
        self._disk = disk
        self._clock = clock
        self._share = LoopShare()
        self._report: DiskSpace | None = None
        self._began_at: float | None = None
        self._task: asyncio.Task[object] | None = None

    async def close(self) -> None:
        """Stop adding up."""
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])

    @property
    def latest(self) -> DiskSpace | None:
        """The last report, some seconds old; None before the first one. Repeated calls get newer ones."""
        now = self._clock.monotonic()
        if self._began_at is None or now - self._began_at >= REPORT_INTERVAL_S:
            self._began_at = now
            if self._task is None or self._task.done():
                self._task = asyncio.ensure_future(self.now())
        return self._report

    async def now(self) -> DiskSpace | None:
        """A new report; the one before when RocksDB or the disk does not respond, None without one."""
        if (usage := self._disk.usage) is None:
            return self._report
        time_slice = TimeSlice(self._share, self._clock)
        data_bytes = 0
        try:
            for replica in list(self._replicas()):
                data_bytes += replica.log.size_bytes + replica.kv_file_bytes
                await time_slice.pause_if_over()
        except FlussError as error:
            logger.warning("the size of the data is not known: %s", error)
            return self._report
        self._report = DiskSpace(usage.total_bytes, usage.free_bytes, data_bytes)
        return self._report
