"""Requests that wait until a new leader serves its bucket go on in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque


class ServingWaits:
    """Queues of requests, one for every opening that somebody waits for. Lives on one event loop.

    The first put that comes must be the first that is merged. What is woken runs later than what wakes it, so a
    request that comes meanwhile queues behind those that were woken and have not run yet.
    """

    def __init__(self) -> None:
        self._queues: dict[asyncio.Task[None], _Queue] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __contains__(self, opening: object) -> bool:
        """Whether requests wait for an opening, or have not run yet since it ended."""
        return opening in self._queues

    async def wait(self, opening: asyncio.Task[None], timeout_s: float) -> None:
        """Return when ``opening`` has ended or the time is up, and after everybody who called before.

        Callers go on one after the other: what one does before its next wait happens before the next one runs.

        Args:
            opening: see ``HostedReplica``.
            timeout_s: its end also wakes those who called before.
        """
        queue = self._queues.get(opening)
        if queue is None:
            queue = self._queues[opening] = _Queue()
            opening.add_done_callback(queue.end)
        waiter = queue.join()
        timer = asyncio.get_running_loop().call_later(timeout_s, queue.wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            queue.waiting.remove(waiter)
            if not queue.waiting:
                del self._queues[opening]
                opening.remove_done_callback(queue.end)


class _Queue:
    """Those who wait for one opening, in their order."""

    def __init__(self) -> None:
        self.waiting: deque[asyncio.Future[None]] = deque()
        self._has_ended = False

    def join(self) -> asyncio.Future[None]:
        """Queue up: the result completes when the caller may go on."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self.waiting.append(waiter)
        if self._has_ended:
            loop.call_soon(self.wake, waiter)  # it runs after those that were woken before
        return waiter

    def end(self, _: asyncio.Task[None]) -> None:
        """The opening has ended: wake everybody."""
        self._has_ended = True
        self.wake(None)

    def wake(self, last: asyncio.Future[None] | None) -> None:
        """Wake those who came before ``last``, and it."""
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)
            if waiter is last:
                return
