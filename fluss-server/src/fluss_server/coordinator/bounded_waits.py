"""Waiting for tablet servers: for a limited time, and hardly any longer when the coordinator stops."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

END_GRACE_S = 0.5
"""How long a coordinator that stops waits for responses that are on their way. Nobody grants leases meanwhile."""


class BoundedWaits:
    """All waits of one term of a coordinator. Lives on one event loop."""

    def __init__(self) -> None:
        self._ends_at: float | None = None
        self._ending: asyncio.Future[None] | None = None

    @property
    def are_ending(self) -> bool:
        """Whether the coordinator stops."""
        return self._ends_at is not None

    def end(self) -> None:
        """The coordinator stops: waits are over after :data:`END_GRACE_S`, those that begin later too."""
        if self._ends_at is None:
            self._ends_at = asyncio.get_running_loop().time() + END_GRACE_S
            if self._ending is None:
                self._ending = asyncio.get_running_loop().create_future()
            self._ending.set_result(None)

    async def wait(self, futures: Collection[asyncio.Future[Any]], limit_s: float) -> set[asyncio.Future[Any]]:
        """Wait until all futures are done; returns those that are not when the time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        late = {future for future in futures if not future.done()}
        while late:
            until = deadline if self._ends_at is None else min(deadline, self._ends_at)
            if loop.time() >= until:
                break
            if self._ending is None:
                self._ending = loop.create_future()
            waiting = late if self._ending.done() else {*late, self._ending}
            await asyncio.wait(waiting, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            late = {future for future in late if not future.done()}
        return late
