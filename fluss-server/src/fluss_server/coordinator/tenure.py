"""Whether a coordinator surely is the active one, so that it may grant leases."""

from __future__ import annotations

import asyncio
import logging
import math

from fluss_server.coordinator.fencing import FencedStore
from fluss_server.errors import FlussError
from fluss_server.runtime.clock import Clock

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.2
VALID_S = 0.5


class Tenure:
    """Checks its epoch in the store again and again. :meth:`start` it, :meth:`close` it.

    A coordinator that was replaced may not know it yet, and tablet servers that do not know it either ask it for
    leases. Its successor elects other leaders when the longest lease is over that this one could have granted before
    the change. So this one grants none when its last check began more than :data:`VALID_S` ago.

    Args:
        store: fenced for the coordinator.
        clock: measures.
    """

    def __init__(self, store: FencedStore, clock: Clock) -> None:
        self._store = store
        self._now = clock.monotonic
        self._checked_at = -math.inf
        self._task: asyncio.Task[None] | None = None

    @property
    def certain(self) -> bool:
        """Whether the coordinator was the active one a moment ago."""
        return self._now() - self._checked_at < VALID_S

    async def start(self) -> None:
        """Check for the first time, and go on; ``FlussError`` when the coordinator was replaced already."""
        await self._check()
        self._task = asyncio.ensure_future(self._keep_checking())

    async def close(self) -> None:
        """Check no more; nothing is certain then."""
        self._checked_at = -math.inf
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _check(self) -> None:
        begin = self._now()
        await self._store.commit([])
        self._checked_at = begin

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            try:
                await self._check()
            except FlussError as error:
                logger.warning("this coordinator cannot tell whether it is still the active one: %s", error)
