"""Watches for tablet servers that are silent for too long."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from fluss_server.runtime.clock import Clock

logger = logging.getLogger(__name__)

CHECKS_PER_TIMEOUT = 12


class ServerMonitor:
    """Knows when each server was heard last. Lives on one event loop.

    A pause of this process counts for nobody: a server is dead when it was silent *and* this process could have heard
    it, that is, when its checks came in time.

    Args:
        clock: measures.
        timeout_s: a server that is silent for so long is dead.
        silent: called with the id of such a server, once.
    """

    def __init__(self, clock: Clock, timeout_s: float, silent: Callable[[int], object]) -> None:
        self._now = clock.monotonic
        self._timeout_s = timeout_s
        self._interval_s = timeout_s / CHECKS_PER_TIMEOUT
        self._silent = silent
        self._heard_at: dict[int, float] = {}
        self._checked_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._checked_at = self._now()
        self._schedule()

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def heard(self, server_id: int) -> None:
        """A server is alive now."""
        self._heard_at[server_id] = self._now()

    def heard_at(self, server_id: int) -> float:
        """When a server was heard last, by the monotonic clock; long ago if never."""
        return self._heard_at.get(server_id, -math.inf)

    def forget(self, server_id: int) -> None:
        """A server is no member any more."""
        self._heard_at.pop(server_id, None)

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._check)

    def _check(self) -> None:
        now = self._now()
        late_s = now - self._checked_at - self._interval_s
        self._checked_at = now
        if late_s > self._timeout_s / 4:
            logger.warning("this coordinator was held for %.1f s; heartbeats may wait to be read", late_s)
            self._heard_at = {
                server_id: max(heard, now - self._timeout_s / 2) for server_id, heard in self._heard_at.items()
            }
        for server_id in [number for number, heard in self._heard_at.items() if now - heard > self._timeout_s]:
            del self._heard_at[server_id]
            logger.warning("tablet server %d was silent for %.1f s and counts as dead", server_id, self._timeout_s)
            self._silent(server_id)
        self._schedule()
