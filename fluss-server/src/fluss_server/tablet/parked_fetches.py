"""The fetches that wait for data, bounded: when there are too many, the oldest gets its response."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable

BUCKETS_PER_PLACE = 16
"""A fetch of many buckets counts once for every so many."""

MAX_WOKEN = 50
"""Fetches that are woken in one iteration of the event loop, some milliseconds; more follow in the next one."""


class ParkedFetches:
    """Who waits, in the order of arrival.

    Responding to the oldest early is what it would get anyway a little later: clients simply send the fetch again. So
    under too many waiting clients every one of them polls more often, and none is refused.

    Args:
        limit: most places; one fetch of up to :data:`BUCKETS_PER_PLACE` buckets takes one.

    Attributes:
        places: places taken now.
        shed: fetches that got their response early so far.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parked: dict[Callable[[], None], int] = {}
        self._woken = 0  # in this iteration of the loop
        self._to_wake: dict[Hashable, deque[Callable[[], None]]] = {}  # by bucket, the next one first
        self.places = 0
        self.shed = 0

    def __len__(self) -> int:
        return len(self._parked)

    def enter(self, buckets: int, respond_now: Callable[[], None]) -> None:
        """A fetch of ``buckets`` buckets begins to wait; ``respond_now`` is called when it must end."""
        self._parked[respond_now] = places = 1 + (buckets - 1) // BUCKETS_PER_PLACE
        self.places += places
        while self.places > self._limit and len(self._parked) > 1:
            oldest = next(iter(self._parked))
            self.leave(oldest)
            self.shed += 1
            oldest()

    def leave(self, respond_now: Callable[[], None]) -> None:
        """It waits no more; may be called again."""
        self.places -= self._parked.pop(respond_now, 0)

    def wake(self, resume: Callable[[], None], bucket: Hashable) -> None:
        """Have a waiting fetch look again: now, or after others that were woken before it.

        One write can wake thousands of fetches; all of them at once would hold the event loop. Buckets come round
        robin, so that the fetches of others do not wait for all of those.

        Args:
            resume: called when it may look.
            bucket: what has news for it.
        """
        if self._to_wake or self._woken >= MAX_WOKEN:
            self._to_wake.setdefault(bucket, deque()).append(resume)
            return
        if not self._woken:
            asyncio.get_running_loop().call_soon(self._next_iteration)
        self._woken += 1
        resume()

    def _next_iteration(self) -> None:
        self._woken = 0
        while self._to_wake and self._woken < MAX_WOKEN:
            bucket = next(iter(self._to_wake))
            waiting = self._to_wake.pop(bucket)
            resume = waiting.popleft()
            if waiting:
                self._to_wake[bucket] = waiting
            self._woken += 1
            resume()
        if self._woken:
            asyncio.get_running_loop().call_soon(self._next_iteration)
