"""Whether a coordinator surely is the active one, so that it may grant leases."""

from __future__ import annotations

import asyncio
import logging
import math

from fluss_server.coordinator.fencing import FencedStore
from fluss_server.coordinator.standby_coordinators import OUTAGE_S
from fluss_server.coordinator.store_outage import StoreOutage
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.waits import wait_at_most

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.2
VALID_S = 0.5
GIVE_BACK_S = 1.0


class Tenure:
    """Checks its epoch in the store again and again. :meth:`start` it, :meth:`close` it.

    A coordinator that was replaced may not know it yet, and tablet servers that do not know it either ask it for
    leases. Its successor elects other leaders when the longest lease is over that this one could have granted before
    the change. So this one grants none when its last check began more than :data:`VALID_S` ago, unless its successor
    waits for longer, or is known not to be there (:class:`StoreOutage`).

    Args:
        store: fenced for the coordinator.
        clock: measures.
        outage: begun; None = no leases without contact to the store.
    """

    def __init__(self, store: FencedStore, clock: Clock, outage: StoreOutage | None = None) -> None:
        self._store = store
        self._now = clock.monotonic
        self._outage = outage
        self._checked_at = -math.inf
        self._task: asyncio.Task[None] | None = None

    @property
    def certain(self) -> bool:
        """Whether the coordinator was the active one a moment ago."""
        age_s = self._now() - self._checked_at
        if age_s < VALID_S:
            return True
        if self._outage is None or age_s >= OUTAGE_S or self._store.has_stopped:
            return False
        return self._outage.allows_leases

    async def start(self) -> None:
        """Check for the first time, and go on; ``FlussError`` when the coordinator was replaced already."""
        await self._check()
        self._task = asyncio.ensure_future(self._keep_checking())

    async def close(self) -> None:
        """Check no more; nothing is certain then."""
        has_contact = self._now() - self._checked_at < VALID_S
        self._checked_at = -math.inf
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._outage is not None and has_contact:
            try:
                await wait_at_most(self._outage.give_back(self._store), GIVE_BACK_S)
            except (FlussError, asyncio.TimeoutError) as problem:
                logger.info("the next coordinator waits for leases of this one: %s", problem)

    async def _check(self) -> None:
        begin = self._now()
        await self._store.commit([])
        self._checked_at = begin
        if self._outage is not None and self._outage.is_due:
            await self._outage.claim(self._store)

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            try:
                await self._check()
            except FlussError as error:
                if error.code is ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION:
                    self._checked_at = -math.inf
                logger.warning("this coordinator cannot tell whether it is still the active one: %s", error)
