"""How fast replicas that are not in sync may get what they lack, so that writers do not wait for it."""

from __future__ import annotations

from collections.abc import Callable

_BURST_S = 0.5
"""So much of a second may come at once: a fetch waits for about as long."""


class CatchUpLimit:
    """One limit for all replicas of a server that lack something which is committed.

    A member of the ISR has everything up to the high watermark of its leader, so whoever has less is none, and nobody
    waits for it.

    Args:
        bytes_per_s: the limit; 0 = none.
        monotonic: the time in seconds.
    """

    def __init__(self, bytes_per_s: int, monotonic: Callable[[], float]) -> None:
        self._bytes_per_s = bytes_per_s
        self._monotonic = monotonic
        self._paid_until = 0.0

    def pause_s(self, size: int) -> float:
        """How long whoever has got ``size`` bytes has to wait before it fetches again, in seconds."""
        if not self._bytes_per_s:
            return 0.0
        now = self._monotonic()
        self._paid_until = max(self._paid_until, now) + size / self._bytes_per_s
        return max(0.0, self._paid_until - now - _BURST_S)
