"""Sharing the event loop between long pieces of work.

Work that takes more than a few milliseconds calls :meth:`LoopShare.pause` between its parts. In each iteration of the
loop at most one paused piece of work goes on, in order, so that however many are under way, everything else waits for
one part only.
"""

from __future__ import annotations

import asyncio
from collections import deque

from fluss_server.runtime.clock import Clock

SLICE_S = 0.002
"""How long a piece of work runs before it should pause."""


class LoopShare:
    """Who may go on. Used from one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._scheduled = False

    async def pause(self) -> None:
        """Let everything else run; returns when this caller may continue."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._resume_one, loop)
        await future

    def _resume_one(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():  # a cancelled one has gone
                future.set_result(None)
                break
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            loop.call_soon(self._resume_one, loop)


class TimeSlice:
    """One piece of work's part of the loop.

    Args:
        share: between all of them.
        clock: measures the slices.
    """

    def __init__(self, share: LoopShare, clock: Clock) -> None:
        self._share = share
        self._now = clock.monotonic
        self._end = self._now() + SLICE_S

    async def pause_if_over(self) -> None:
        """Pause when the slice is over; call it between short parts."""
        if self._now() >= self._end:
            await self._share.pause()
            self._end = self._now() + SLICE_S
