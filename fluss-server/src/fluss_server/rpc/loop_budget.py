"""How the event loop's time is shared between connections.

One connection with many or expensive requests must not make the others wait, nor must many connections. What is done
for a connection is charged to it: receiving, starting its requests, and what their methods do on the loop later.

* The requests of a connection are started for :data:`SLICE_S` at most, less when others wait; then the connection
  waits for another iteration of the loop.
* In an iteration, connections share :data:`BUDGET_S`; *light* ones come first and may exceed it up to
  :data:`MAX_LIGHT_S`. One of the others is served in each iteration even so.
* Who is light, and in which order the others come, is *fair queueing*. A virtual time passes at the rate at which each
  of those that wait would make progress if all used the loop at once, in equal parts. A connection is light if what it
  has used has passed, or soon will (:data:`CREDIT_S`) and it sends one request after the other rather than many at
  once; of such a request, :data:`SMALL_REQUEST_S` do not count, however small an equal part is. The others come when
  their use has passed, or :data:`MAX_LEAD_S` of it.

Fair queueing with virtual time: A. Demers, S. Keshav, S. Shenker, "Analysis and simulation of a fair queueing
algorithm" (1989); the cost of a request is known only after it, as in start-time fair queueing (P. Goyal, H. Vin,
H. Cheng, 1996).
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

SLICE_S = 0.002
"""How long requests of one connection are started without a pause."""

MIN_SLICE_S = 0.00005
"""The same while very many connections wait."""

BUDGET_S = 0.003
"""Time of one iteration for connections that are not light."""

MAX_LIGHT_S = 2 * BUDGET_S
"""Time of one iteration after which light connections wait for the next one, too."""

MAX_LEAD_S = 0.0005
"""A connection that is not light lets each of the others use the loop for so long first, however much it has used."""

CREDIT_S = 0.002
"""So much more than its part may a connection have used that sends its next request only after a response."""

SMALL_REQUEST_S = 0.0005
"""What a request may use without being charged while others wait, if its connection sends one after the other."""

MAX_DEBT_S = 0.05
"""So much of what a connection has used beyond its part is remembered after it has waited."""

RECEIVE_S_PER_BYTE = 0.3e-9
"""What receiving costs, about; it happens before anybody can measure it."""

_UNNOTICED_S = 0.3 * BUDGET_S
"""So much may be left from iterations before: a callback in each of them would cost a short request 15 us, one after so
much costs it less than 1 us."""

_CYCLE_S = 0.01  # in about this time, each of those that wait should have started something


_Waiting = tuple[float, int, Callable[[], None]]  # the virtual time at which it is due, order of arrival, what to call


class LoopUse:
    """What one connection has used of the loop.

    Attributes:
        until: the virtual time at which that has passed.
    """

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = 0.0


class LoopBudget:
    """The time of the loop's present iteration, and the connections that wait for another one.

    Attributes:
        used_s: seconds of this iteration; any connection may start requests while they are less than :data:`BUDGET_S`.
    """

    def __init__(self) -> None:
        self.used_s = 0.0
        self._passed_s = 0.0  # the virtual time
        self._latest_s = 0.0  # when the use of all connections has passed
        self._light: list[_Waiting] = []  # heaps
        self._others: list[_Waiting] = []
        self._waits = 0
        self._scheduled = False

    @property
    def slice_s(self) -> float:
        """How long a connection may start requests now: the more connections wait, the shorter."""
        return max(MIN_SLICE_S, min(SLICE_S, _CYCLE_S / (1 + self._count)))

    @property
    def _count(self) -> int:
        return len(self._light) + len(self._others)

    def has_time_for(self, use: LoopUse, single: bool) -> bool:
        """Whether a connection may start requests in this iteration, perhaps because it is light."""
        return self.used_s < (MAX_LIGHT_S if self._is_light(use, single) else BUDGET_S)

    def charge(self, use: LoopUse, seconds: float) -> None:
        """A connection has used time of this iteration; very little of it does not count while nobody waits."""
        used = self.used_s + seconds
        self.used_s = used
        if used <= _UNNOTICED_S and not (self._others or self._light):
            return
        until = seconds + (use.until if use.until > self._passed_s else self._passed_s)
        use.until = until
        if until > self._latest_s:
            self._latest_s = until
        if self._others or self._light:
            self._passed_s += seconds / (1 + self._count)
        self._schedule()

    def wait(self, resume: Callable[[], None], use: LoopUse, single: bool) -> None:
        """Call ``resume`` in an iteration that has time, once.

        Args:
            resume: starts requests.
            use: of the connection.
            single: it has sent no more than one request that is not started.
        """
        self._waits += 1
        passed = self._passed_s
        if single:
            use.until = max(use.until - SMALL_REQUEST_S, passed - CREDIT_S)
        if self._is_light(use, single):
            due = max(use.until, passed - CREDIT_S) - (CREDIT_S if single else 0.0)
            heapq.heappush(self._light, (due, self._waits, resume))
        else:
            due = min(use.until, passed + MAX_LEAD_S)
            heapq.heappush(self._others, (due, self._waits, resume))
            use.until = min(use.until, passed + (CREDIT_S if single else MAX_DEBT_S))  # the wait pays for the rest
        self._schedule()

    def _is_light(self, use: LoopUse, single: bool) -> bool:
        return use.until <= self._passed_s + (CREDIT_S if single else 0.0)

    def _schedule(self) -> None:
        if self._scheduled:
            return
        self._scheduled = True
        asyncio.get_running_loop().call_soon(self._next_iteration)

    def _next_iteration(self) -> None:
        self._scheduled = False
        self.used_s = 0.0
        light, others = self._light, self._others
        for _ in range(len(light)):  # who waits again, waits for the next iteration
            if self.used_s >= MAX_LIGHT_S:
                break
            heapq.heappop(light)[-1]()
        for index in range(len(others)):
            if index and self.used_s >= BUDGET_S:
                break
            due, _, resume = heapq.heappop(others)
            self._passed_s = max(self._passed_s, due)
            resume()
        if light or others:
            self._schedule()
        else:
            self._passed_s = self._latest_s  # nobody had to wait for what was used before
