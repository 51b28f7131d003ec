"""How long the event loop was held: nothing else runs while one callback does.

A timer that fires late shows it. Of a hold that is shorter than the timer's interval only a part may be seen; what
matters is far longer than that.
"""

from __future__ import annotations

import asyncio
import logging

from fluss_server.runtime.clock import Clock

logger = logging.getLogger(__name__)

INTERVAL_S = 0.05
WARN_ABOVE_S = 0.1


class LoopMonitor:
    """Watches the loop on which it is started.

    Args:
        clock: measures.

    Attributes:
        longest_hold_s: since the start.
        holds: how often the loop was held for more than :data:`WARN_ABOVE_S`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._recent = 0.0
        self.longest_hold_s = 0.0
        self.holds = 0

    def start(self) -> None:
        """Begin to watch."""
        self._schedule(asyncio.get_running_loop())

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def take_recent_s(self) -> float:
        """The longest hold since this was called last."""
        recent, self._recent = self._recent, 0.0
        return recent

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = self._clock.monotonic() + INTERVAL_S
        self._timer = loop.call_later(INTERVAL_S, self._fired, loop)

    def _fired(self, loop: asyncio.AbstractEventLoop) -> None:
        hold_s = max(0.0, self._clock.monotonic() - self._due)
        self._recent = max(self._recent, hold_s)
        self.longest_hold_s = max(self.longest_hold_s, hold_s)
        if hold_s > WARN_ABOVE_S:
            self.holds += 1
            logger.warning("the event loop was held for %.0f ms; requests of all clients waited", hold_s * 1000)
        self._schedule(loop)
