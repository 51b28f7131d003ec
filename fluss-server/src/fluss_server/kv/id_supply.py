"""Reserving ids of an auto-increment column on the event loop, before the KV worker needs them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv.auto_increment import IdPool
from fluss_server.runtime.waits import wait_at_most

logger = logging.getLogger(__name__)

ReserveIds = Callable[[int], Awaitable[int]]
"""Reserves so many ids of a table, durably, and returns the first. Errors of the coordinator."""

RESERVE_LIMIT_S = 30.0
"""How long a write waits for ids."""


class IdSupply:
    """Keeps the pool of one bucket filled. Lives on one event loop.

    A write claims as many ids as it may insert rows, before it is handed to the worker, and releases the claim when it
    has ended. Claims are served in the order of the calls. Ranges are multiples of ``range_size``; the next one is
    reserved in the background when less than a fifth of one is left.

    Args:
        pool: of the bucket.
        reserve: where ids come from.
        range_size: how many ids to reserve at a time (``table.auto-increment.cache-size``); may be changed.
    """

    def __init__(self, pool: IdPool, reserve: ReserveIds, range_size: int) -> None:
        self._pool = pool
        self._reserve = reserve
        self.range_size = range_size
        self._claimed = 0
        self._order = asyncio.Lock()
        self._refill: asyncio.Task[None] | None = None

    async def claim(self, count: int) -> None:
        """Wait until the pool has ``count`` ids that nobody else claims. Does not suspend if it has and nobody waits.

        Raises:
            FlussError: ``REQUEST_TIME_OUT`` after :data:`RESERVE_LIMIT_S`; what ``reserve`` raises. Nothing is claimed.
        """
        async with self._order:
            if self._unclaimed < count:
                try:
                    await wait_at_most(self._fill(count), RESERVE_LIMIT_S)
                except asyncio.TimeoutError:
                    raise FlussError(
                        ErrorCode.REQUEST_TIME_OUT, f"no ids could be reserved within {RESERVE_LIMIT_S:.0f} s"
                    ) from None
            self._claimed += count
        if self._unclaimed < self.range_size // 5 and self._refill is None:
            self._begin_refill(self.range_size)

    def release(self, count: int) -> None:
        """End the claim of a write that has taken the ids that it needs."""
        self._claimed -= count

    async def close(self) -> None:
        """End a reservation in the background."""
        if self._refill is not None:
            self._refill.cancel()
            await asyncio.wait([self._refill])

    @property
    def _unclaimed(self) -> int:
        return self._pool.available - self._claimed

    async def _fill(self, count: int) -> None:
        while (missing := count - self._unclaimed) > 0:
            if self._refill is None:
                self._begin_refill(-(-missing // self.range_size) * self.range_size)
            assert self._refill is not None, "it has just begun"
            await asyncio.shield(self._refill)

    def _begin_refill(self, count: int) -> None:
        self._refill = asyncio.ensure_future(self._reserve_range(count))
        self._refill.add_done_callback(self._refilled)

    async def _reserve_range(self, count: int) -> None:
        self._pool.add(await self._reserve(count), count)

    def _refilled(self, task: asyncio.Task[None]) -> None:
        self._refill = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("ids could not be reserved: %s", error)  # a write that needs them tries again and is told
