"""The fetches that wait for data, bounded: when there are too many, the one that has waited longest is answered."""

from __future__ import annotations

from collections.abc import Callable

BUCKETS_PER_PLACE = 16
"""A fetch of many buckets counts once for every so many."""


class ParkedFetches:
    """Who waits, in the order of arrival.

    Answering the oldest early is what it would get anyway a little later: clients simply ask again. So under too many
    waiting clients every one of them polls more often, and none is refused.

    Args:
        limit: most places; one fetch of up to :data:`BUCKETS_PER_PLACE` buckets takes one.

    Attributes:
        places: places taken now.
        shed: fetches answered early so far.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parked: dict[Callable[[], None], int] = {}
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
