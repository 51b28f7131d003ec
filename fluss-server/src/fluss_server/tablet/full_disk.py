"""What a server with a full disk does about the buckets that others could lead, or acknowledge without it.

A leader that has to refuse writes lets a member of the ISR lead that has said that there is space on its disk. A
follower says in every fetch how its disk is; its leader goes on without it, when it cannot write and the ISR has enough
other members. When no disk has space, nothing changes: reads go on where they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.replica.replica import Replica
from fluss_server.runtime.clock import Clock
from fluss_server.tablet.disk_write_lock import DiskMonitor, DiskWriteLock

HOLD_S = 10.0
"""How long a disk counts as full after a write has found no space: servers do not change places more often."""

INTERVAL_S = 1.0
"""Check interval of the free space, and the shortest time between two attempts to let others lead."""

MIN_FREE_BYTES = 16 << 20
"""A disk with less than this, and less than a hundredth of its size, has no space for more."""


class FullDisk:
    """The state of the disk, for others. Lives on one event loop.

    Args:
        lock: whether writes are refused before the disk is full.
        monitor: knows the free space.
        leaders: the replicas that lead.
        resign: called with a leader, why it cannot go on, and who can lead instead.
        clock: the machine's.
    """

    def __init__(
        self,
        lock: DiskWriteLock,
        monitor: DiskMonitor,
        leaders: Callable[[], Iterable[Replica]],
        resign: Callable[[Replica, FlussError, tuple[int, ...]], object],
        clock: Clock,
    ) -> None:
        self._lock = lock
        self._monitor = monitor
        self._leaders = leaders
        self._resign = resign
        self._now = clock.monotonic
        self._full_until = 0.0
        self._resigns_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look at the free space every second: followers tell their leaders about it."""
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Look no more."""
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        while True:
            await self._monitor.look()
            await asyncio.sleep(INTERVAL_S)

    @property
    def state(self) -> bool | None:
        """Whether the disk is full; False = there is space for more, None = neither is sure."""
        if self._now() < self._full_until:
            return True
        usage = self._monitor.usage
        if self._lock.locked or usage is None:
            return None
        return None if usage.free_bytes < min(MIN_FREE_BYTES, usage.total_bytes // 100) else False

    def noticed(self) -> None:
        """A write has found no space."""
        self._full_until = self._now() + HOLD_S

    def write_refused(self) -> None:
        """A write of a client was refused for want of space: others lead, where somebody else can."""
        if not self._lock.locked:
            self.noticed()
        now = self._now()
        if now < self._resigns_at:
            return
        self._resigns_at = now + INTERVAL_S
        error = FlussError(ErrorCode.DISK_WRITE_LOCKED, "the disk of the leader is full")
        for replica in self._leaders():
            candidates = () if replica.followers is None else replica.followers.with_space
            if candidates:
                self._resign(replica, error, candidates)
