"""How the event loop's time is shared between connections.

One connection with many or expensive requests must not make the others wait. The requests of a connection are started
for :data:`SLICE_S` at most; then the connection waits for the next iteration of the loop. In an iteration, connections
that used little time lately come first; the others share :data:`BUDGET_S`, round robin.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

SLICE_S = 0.002
"""How long requests of one connection are started without a pause."""

BUDGET_S = 0.005
"""Time of one iteration for connections that use much."""

MAX_LIGHT_S = 4 * BUDGET_S
"""Time of one iteration after which connections that use little wait for the next one, too."""

_LIGHT_SHARE_S = 0.02  # of each second; more is much
_MEMORY_S = 1.0  # use is forgotten by and by, in about this time
_MAX_USED_S = 0.5


class LoopBudget:
    """The time of the loop's present iteration, and the connections that wait for another one."""

    def __init__(self) -> None:
        self._used_s = 0.0
        self._light: deque[Callable[[], None]] = deque()
        self._heavy: deque[Callable[[], None]] = deque()
        self._scheduled = False

    def allows(self, light: bool) -> bool:
        """Whether a connection may start requests in this iteration.

        Args:
            light: it has used little time lately.
        """
        return self._used_s < (MAX_LIGHT_S if light else BUDGET_S)

    def charge(self, seconds: float) -> None:
        """A connection has used time of this iteration."""
        self._used_s += seconds
        self._schedule()

    def wait(self, resume: Callable[[], None], light: bool) -> None:
        """Call ``resume`` in an iteration that has time, once."""
        (self._light if light else self._heavy).append(resume)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_iteration)

    def _next_iteration(self) -> None:
        self._scheduled = False
        self._used_s = 0.0
        for waiting, light in ((self._light, True), (self._heavy, False)):
            for _ in range(len(waiting)):
                if not self.allows(light):
                    break
                waiting.popleft()()
        if self._light or self._heavy:
            self._schedule()


class LoopUse:
    """What one connection has used lately."""

    def __init__(self, now: float) -> None:
        self._used_s = 0.0
        self._at = now

    def add(self, begin: float, end: float) -> None:
        """It has used the loop from ``begin`` to ``end`` of the monotonic clock."""
        kept = self._used_s * math.exp((self._at - end) / _MEMORY_S)
        self._used_s = min(kept + end - begin, _MAX_USED_S)
        self._at = end

    def is_light(self, now: float) -> bool:
        """Whether that was little."""
        return self._used_s * math.exp((self._at - now) / _MEMORY_S) <= _LIGHT_SHARE_S
