"""How the event loop's time is shared between connections.

One connection with many or expensive requests must not make the others wait, nor must many connections. What is done
for a connection is charged to it: receiving, starting its requests, and what their methods do on the loop later.

* The requests of a connection are started for :data:`SLICE_S` at most, less when others wait; then the connection
  waits for another iteration of the loop.
* In an iteration, connections share :data:`BUDGET_S`; those that used very little lately may exceed it up to
  :data:`MAX_LIGHT_S`.
* Who waits comes in the order of arrival, but behind those that arrive a little later and have used less: later by
  :data:`DELAY_PER_USE` times the difference. So nobody waits for long, however many new connections come.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable

SLICE_S = 0.002
"""How long requests of one connection are started without a pause."""

MIN_SLICE_S = 0.00005
"""The same while very many connections wait."""

BUDGET_S = 0.003
"""Time of one iteration for connections that use much."""

MAX_LIGHT_S = 2 * BUDGET_S
"""Time of one iteration after which connections that use little wait for the next one, too."""

DELAY_PER_USE = 1.0
"""For each second of use, a connection lets others go first that arrive within so many seconds."""

RECEIVE_S_PER_BYTE = 0.3e-9
"""What receiving costs, about; it happens before anybody can measure it."""

_UNNOTICED_S = 0.1 * BUDGET_S
"""So much may be left from iterations before: a callback in each of them would cost a short request 15 us."""

_CYCLE_S = 0.01  # in about this time, each of those that wait should have started something
_LIGHT_SHARE_S = 0.02  # of each second; more is much
_MEMORY_S = 1.0  # use is forgotten by and by, in about this time
_MAX_USED_S = 0.5
_FORGET_EVERY_S = 0.001


class LoopBudget:
    """The time of the loop's present iteration, and the connections that wait for another one."""

    def __init__(self) -> None:
        self._used_s = 0.0
        self._waiting: list[tuple[float, int, bool, Callable[[], None]]] = []  # a heap: rank, order of arrival, light
        self._waits = 0
        self._scheduled = False

    @property
    def slice_s(self) -> float:
        """How long a connection may start requests now: the more connections wait, the shorter."""
        return max(MIN_SLICE_S, min(SLICE_S, _CYCLE_S / (1 + len(self._waiting))))

    def allows(self, light: bool) -> bool:
        """Whether a connection may start requests in this iteration.

        Args:
            light: it has used little time lately.
        """
        return self._used_s < (MAX_LIGHT_S if light else BUDGET_S)

    def charge(self, seconds: float) -> None:
        """A connection has used time of this iteration."""
        self._used_s += seconds
        if self._used_s > _UNNOTICED_S:
            self._schedule()

    def wait(self, resume: Callable[[], None], use: LoopUse, now: float) -> None:
        """Call ``resume`` in an iteration that has time, once.

        Args:
            resume: starts requests.
            use: of the connection.
            now: of the monotonic clock.
        """
        self._waits += 1
        rank = now + DELAY_PER_USE * use.lately_s(now)
        heapq.heappush(self._waiting, (rank, self._waits, use.is_light(now), resume))
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_iteration)

    def _next_iteration(self) -> None:
        self._scheduled = False
        self._used_s = 0.0
        waiting = self._waiting
        for _ in range(len(waiting)):  # who waits again, waits for the next iteration
            _, _, light, resume = waiting[0]
            if not self.allows(light):
                break
            heapq.heappop(waiting)
            resume()
        if waiting:
            self._schedule()


class LoopUse:
    """What one connection has used lately."""

    def __init__(self, now: float) -> None:
        self._used_s = 0.0
        self._at = now

    def add(self, begin: float, end: float) -> None:
        """It has used the loop from ``begin`` to ``end`` of the monotonic clock."""
        if end - self._at > _FORGET_EVERY_S:
            self._used_s *= math.exp((self._at - end) / _MEMORY_S)
            self._at = end
        self._used_s = min(self._used_s + end - begin, _MAX_USED_S)

    def lately_s(self, now: float) -> float:
        """Seconds, of which those of long ago do not count any more."""
        return self._used_s * math.exp((self._at - now) / _MEMORY_S)

    def is_light(self, now: float) -> bool:
        """Whether that was little."""
        return self.lately_s(now) <= _LIGHT_SHARE_S
