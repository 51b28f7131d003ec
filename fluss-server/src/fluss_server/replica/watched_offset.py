"""An offset that only grows, and those who wait for it.

A bucket has up to three. Everything below the *high watermark* is acknowledged: on all replicas in sync, durable as the
flush policy says and, for a primary-key table, visible to lookups. Writers wait until it passes their last row; readers
wait until it moves at all. The leader of a bucket with followers has two more: the *durable end*, up to which its own
log is durable, and the *log end*, at which followers wait for more.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence

from fluss_server.errors import FlussError

MAX_WOKEN_WRITERS = 400
"""Writers of a bucket that are woken in one iteration of the event loop, some milliseconds; more follow in the next."""

MAX_WOKEN_READERS = 400
"""The same for readers, of which one write can wake tens of thousands."""


class WatchedOffset:
    """An offset that only grows, with waiting writers and readers. Used from one event loop."""

    def __init__(self, value: int) -> None:
        self._value = value
        self._writers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tie = 0
        self._waking = False  # writers follow in the next iteration
        self._readers: dict[Callable[[], None], None] = {}  # in the order of their arrival
        self._waking_readers = False  # others follow in the next iteration
        self._moved_again = False  # while they were being woken

    @property
    def value(self) -> int:
        """The first offset that is not covered."""
        return self._value

    @property
    def waiting_writers(self) -> int:
        """Writes that wait for it."""
        return len(self._writers)

    def advance(self, value: int) -> None:
        """Move to ``value``; wake the writers it covers and every reader. A smaller value changes nothing.

        Of very many writers some are woken in each iteration of the event loop, in the order of their offsets, and of
        very many readers in the order of their arrival: the other buckets' clients do not wait for all of them.
        """
        if value <= self._value:
            return
        self._value = value
        if not self._waking:
            self._wake_writers()
        self.wake_readers()

    def _wake_writers(self) -> None:
        self._waking = False
        woken = 0
        while self._writers and self._writers[0][0] <= self._value:
            if woken == MAX_WOKEN_WRITERS:
                self._waking = True
                asyncio.get_running_loop().call_soon(self._wake_writers)
                return
            future = heapq.heappop(self._writers)[2]
            if not future.done():
                future.set_result(None)
                woken += 1

    def reached(self, offset: int) -> asyncio.Future[None]:
        """A future that completes when the value is at least ``offset``; cancel it to stop waiting."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if offset <= self._value:
            future.set_result(None)
        else:
            self._tie += 1
            heapq.heappush(self._writers, (offset, self._tie, future))
        return future

    def fail(self, error: FlussError) -> None:
        """It will not grow any more: every waiting writer gets ``error``, readers wake to notice."""
        writers, self._writers = self._writers, []
        for _, _, future in writers:
            if not future.done():
                future.set_exception(error)
        self.wake_readers()

    def add_reader(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` after every movement, or once after several, until :meth:`remove_reader`."""
        self._readers[wake] = None

    def remove_reader(self, wake: Callable[[], None]) -> None:
        """Undo :meth:`add_reader`; unknown callbacks are ignored."""
        self._readers.pop(wake, None)

    def wake_readers(self) -> None:
        """Let parked reads look again."""
        if self._waking_readers:
            self._moved_again = True
        else:
            self._wake_readers(tuple(self._readers), 0)

    def _wake_readers(self, readers: Sequence[Callable[[], None]], start: int) -> None:
        stop = start + MAX_WOKEN_READERS
        for wake in readers[start:stop]:
            if wake in self._readers:  # still
                wake()
        self._waking_readers = stop < len(readers)
        if self._waking_readers:
            asyncio.get_running_loop().call_soon(self._wake_readers, readers, stop)
        elif self._moved_again:
            self._moved_again = False
            self.wake_readers()
