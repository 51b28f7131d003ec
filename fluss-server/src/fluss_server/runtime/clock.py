"""Time. Everything in the server that reads a clock is handed a :class:`Clock`."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Source of time."""

    def now_ms(self) -> int:
        """Wall-clock time in milliseconds since 1970-01-01 UTC."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes backwards; for time-outs and intervals only."""

    def sleep(self, seconds: float) -> None:
        """Block the calling worker thread. Never call it on the event loop: ``await asyncio.sleep`` there."""


class SystemClock:
    """The clocks of the operating system."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    monotonic = staticmethod(time.monotonic)  # the function itself, because a request reads the clock several times

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class ManualClock:
    """A clock that stands still until it is told to advance; for tests."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic = 0.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Advance instead of blocking."""
        self.advance(round(seconds * 1000))

    def advance(self, milliseconds: int) -> None:
        """Move both clocks forward."""
        self._now_ms += milliseconds
        self._monotonic += milliseconds / 1000
