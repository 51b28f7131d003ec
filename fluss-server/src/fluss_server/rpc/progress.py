"""Whether a client makes progress with what it has begun; no I/O."""

from __future__ import annotations


class Progress:
    """How long a position has been the same, checked from time to time.

    Args:
        position: bytes or requests, whatever grows while things move.
        now: in seconds, of any clock.
    """

    def __init__(self, position: int, now: float) -> None:
        self._position: int | None = position
        self._since = now

    def stalls(self, now: float, position: int, allowed_s: float) -> bool:
        """Whether the position has been this one for ``allowed_s`` seconds or longer."""
        if position != self._position:
            self._position, self._since = position, now
        return now - self._since >= allowed_s

    def forget(self) -> None:
        """Nothing is under way: the time begins again with the next position."""
        self._position = None
