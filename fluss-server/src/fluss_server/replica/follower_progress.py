"""What a leader knows of one of its followers, from the offsets of its fetches. Pure."""

from __future__ import annotations

import math

NO_OFFSET = -1
"""Of a follower that has not fetched in this leader epoch."""


class FollowerProgress:
    """The offset of a follower, and when it had everything last.

    A fetch from an offset says that the follower has everything below it, as durable as the flush policy demands.
    Times are seconds of a monotonic clock.

    Args:
        now_s: the beginning of the leader epoch; every follower counts as caught up then.

    Attributes:
        offset: of the last fetch; :data:`NO_OFFSET` before the first one.
        incarnation: of the server that sent it, if it says so.
        disk_full: whether its disk is full, as it said; None = neither that nor that there is space.
        has_failed: whether it has said that its storage failed, and has not fetched since.
    """

    __slots__ = (
        "_caught_up_s",
        "_fetch_end",
        "_fetch_s",
        "_waits_s",
        "disk_full",
        "has_failed",
        "incarnation",
        "offset",
    )

    def __init__(self, now_s: float) -> None:
        self.offset = NO_OFFSET
        self.incarnation: str | None = None
        self.disk_full: bool | None = None
        self.has_failed = False
        self._caught_up_s = now_s
        self._fetch_s = now_s
        self._fetch_end = 0  # the leader's log end at the last fetch
        self._waits_s = 0.0  # how long that may be waiting here

    def fetched(
        self,
        offset: int,
        leader_end: int,
        now_s: float,
        incarnation: str | None = None,
        disk_full: bool | None = None,
        waits_s: float = 0.0,
    ) -> None:
        """A fetch from ``offset`` has arrived while the leader's log ended at ``leader_end``.

        ``waits_s`` is 0 unless it may wait here for so long that :meth:`is_lagging` has to know.

        Under steady writes a follower is never at the end of the log: it also counts as caught up when it has reached
        what was the end at its fetch before.
        """
        if offset >= leader_end:
            self._caught_up_s = now_s
        elif self.offset != NO_OFFSET and offset >= self._fetch_end:
            self._caught_up_s = max(self._caught_up_s, self._fetch_s)
        self.offset = offset
        self.incarnation = incarnation
        self.disk_full = disk_full
        self.has_failed = False
        self._fetch_s = now_s
        self._fetch_end = leader_end
        self._waits_s = waits_s

    def responded(self, heard_s: float) -> None:
        """The fetch gets its response, so the next one has to come; its server was heard at ``heard_s``."""
        self._fetch_s = max(self._fetch_s, min(heard_s, self._fetch_s + self._waits_s))
        self._waits_s = 0.0

    def is_lagging(
        self,
        leader_end: int,
        now_s: float,
        max_lag_s: float,
        max_silence_s: float = math.inf,
        heard_s: float = -math.inf,
    ) -> bool:
        """Whether it lacks something and was not caught up for more than ``max_lag_s``, or has not fetched for more
        than ``max_silence_s``.

        While its last fetch may be waiting here, other fetches of its server show that it lives: the last one came at
        ``heard_s``.
        """
        if self.offset >= leader_end:
            return False
        fetch_s = max(self._fetch_s, min(heard_s, self._fetch_s + self._waits_s))
        return now_s - self._caught_up_s > max_lag_s or now_s - fetch_s > max_silence_s
