"""A bound on bytes that wait for a worker."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteBudget:
    """At most ``limit`` bytes are held at a time; who asks for more waits, first come first served.

    A single request larger than the limit is let in when nothing else is held.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Hold ``size`` bytes for the length of the block."""
        if self._waiting or not self._fits(size):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((size, future))
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._release(size)
                raise
        else:
            self._held += size
        try:
            yield
        finally:
            self._release(size)

    def _fits(self, size: int) -> bool:
        return self._held == 0 or self._held + size <= self._limit

    def _release(self, size: int) -> None:
        self._held -= size
        while self._waiting:
            next_size, future = self._waiting[0]
            if future.done():  # its owner was cancelled
                self._waiting.popleft()
            elif self._fits(next_size):
                self._waiting.popleft()
                self._held += next_size
                future.set_result(None)
            else:
                return
