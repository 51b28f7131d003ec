"""Ids for the writers that clients start at this server, reserved a block at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from fluss_server.cluster.gateways import CoordinatorGateway
from fluss_server.cluster.messages import ReserveWriterIds

WRITER_ID_BLOCK = 100
"""Writer ids reserved with one write; at most so many are skipped by a restart."""


class WriterIds:
    """Hands out ids that no writer of the cluster ever had.

    Args:
        coordinator: reserves them.
        largest_used: the largest writer id in the logs of this server, -1 for none. It counts once after a start, for
            metadata that is older than the logs; clients may write with any id later.
    """

    def __init__(self, coordinator: CoordinatorGateway, largest_used: Callable[[], int] = lambda: -1) -> None:
        self._coordinator = coordinator
        self._largest_used: Callable[[], int] | None = largest_used
        self._ids: deque[int] = deque()
        self._lock = asyncio.Lock()

    async def take(self) -> int:
        """The next id. Errors of the coordinator."""
        while not self._ids:
            async with self._lock:
                if not self._ids:  # else reserved by a caller that was first
                    above = -1 if self._largest_used is None else self._largest_used()
                    reserved = await self._coordinator.reserve_writer_ids(ReserveWriterIds(WRITER_ID_BLOCK, above))
                    self._largest_used = None
                    self._ids.extend(range(reserved.first, reserved.first + reserved.size))
        return self._ids.popleft()
