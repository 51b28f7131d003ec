"""Refusing writes before the disk is full, while reads go on.

A full disk cannot even be cleaned up: RocksDB needs space to compact, a table needs some to be dropped. So writes stop
at a limit, with an error that clients may repeat, and start again some way below it::

    open ──usage >= limit──► locked ──usage <= recover──► open
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import PurePath

from fluss_server.config import Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.runtime.disk import DiskUsage
from fluss_server.runtime.runtime import Runtime

DISK_RATIOS = ("server.data-disk.write-limit-ratio", "server.data-disk.write-recover-ratio")

LOCKED_INTERVAL_S = 1.0
"""Seconds between two samples while writes are refused: those of a leader, and what followers have to acknowledge, wait
for the next one."""

logger = logging.getLogger(__name__)


class DiskWriteLock:
    """Whether writes are refused; no I/O.

    Args:
        limit: share of the disk in use, 0 to 1, at which writes are refused; 1 = never.
        recover: share at which they are accepted again.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` when ``recover`` is above ``limit``.

    Attributes:
        locked: whether writes are refused.
        usage: the last known share in use; None before the first sample.
    """

    def __init__(self, limit: float, recover: float) -> None:
        self.locked = False
        self.usage: float | None = None
        check_ratios(limit, recover)
        self._limit, self._recover = limit, recover

    def configure(self, limit: float, recover: float) -> None:
        """Change the bounds. Only the new limit counts then: raising it above the usage permits writes at once.

        Raises:
            FlussError: as the constructor; nothing changed.
        """
        check_ratios(limit, recover)
        self._limit, self._recover = limit, recover
        if self.usage is not None:
            self.locked = False
            self.update(self.usage)

    def update(self, usage: float) -> bool:
        """A new sample; returns whether the state changed."""
        self.usage = usage
        if self._limit >= 1:
            locked = False
        elif self.locked:
            locked = usage > self._recover
        else:
            locked = usage >= self._limit
        changed = locked != self.locked
        self.locked = locked
        return changed

    def check(self) -> None:
        """Raise ``DISK_WRITE_LOCKED`` while writes are refused."""
        if self.locked:
            raise FlussError(
                ErrorCode.DISK_WRITE_LOCKED,
                f"{self.usage:.1%} of the server's disk are in use, writes are refused above {self._limit:.1%}",
                hint=f"free disk space; writes are accepted again at {self._recover:.1%}",
            )


def disk_ratios(configuration: Configuration) -> tuple[float, float]:
    """The values of :data:`DISK_RATIOS`."""
    limit, recover = map(configuration.get_ratio, DISK_RATIOS)
    return limit, recover


def check_ratios(limit: float, recover: float) -> None:
    """Raise ``INVALID_CONFIG_EXCEPTION`` unless ``recover`` is below ``limit``."""
    if recover >= limit:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"{DISK_RATIOS[1]} {recover} is not below {DISK_RATIOS[0]} {limit}",
            hint="writes are to be accepted again at a lower usage than they are refused at",
        )


class DiskMonitor:
    """Samples the disk of a data directory and tells a :class:`DiskWriteLock`.

    Args:
        directory: any directory of the disk.
        lock: is told.
        interval_s: seconds between two samples; at most :data:`LOCKED_INTERVAL_S` while writes are refused.
        runtime: its disk is sampled.

    Attributes:
        usage: the last sample, None before the first one.
    """

    def __init__(self, directory: PurePath, lock: DiskWriteLock, interval_s: float, runtime: Runtime) -> None:
        self._directory = directory
        self._lock = lock
        self.interval_s = interval_s
        self.usage: DiskUsage | None = None
        self._disk = runtime.disk
        # A thread of its own: on a network file system the call may hang.
        self._worker = runtime.workers.pool("fluss-disk-usage", 1)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the first sample, then others until :meth:`close`."""
        await self.sample()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Take no more samples."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._worker.close()

    async def sample(self) -> None:
        """Look at the disk now. When that fails, everything stays as it is."""
        try:
            self.usage = await self._worker.run(self._disk.usage, self._directory)
        except OSError as error:
            logger.warning("the usage of the disk of %s is not known: %s", self._directory, error)
            return
        usage = self.usage.share_in_use
        if self._lock.update(usage):
            if self._lock.locked:
                logger.error("writes are refused: %.1f %% of the disk of %s are in use", 100 * usage, self._directory)
            else:
                logger.warning("writes are accepted again: %.1f %% of the disk are in use", 100 * usage)

    async def look(self) -> None:
        """Find out the usage now, and tell nobody. When that fails, it stays as it is."""
        with contextlib.suppress(OSError):
            self.usage = await self._worker.run(self._disk.usage, self._directory)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(min(self.interval_s, LOCKED_INTERVAL_S) if self._lock.locked else self.interval_s)
            await self.sample()
