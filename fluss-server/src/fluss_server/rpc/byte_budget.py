"""A bound on bytes that several parties hold at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class ByteBudget:
    """At most ``limit`` bytes are held at a time; whoever wants more waits, first come, first served. One thread.

    A single piece larger than the limit is admitted when nothing else is held.

    Args:
        limit: in bytes.

    Attributes:
        limit: as given.
        held: bytes held now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        # In order of arrival: who waits for how many bytes, and what to call then.
        self._waiting: dict[object, tuple[int, Callable[[], None]]] = {}
        self._woken = 0  # blocks that may begin, and whose tasks have not run yet

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def allows(self, size: int) -> bool:
        """Whether ``size`` more bytes may be held now."""
        return self.held == 0 or self.held + size <= self.limit

    def take(self, size: int) -> None:
        """Hold ``size`` more bytes, also beyond the limit: they exist already."""
        self.held += size

    def release(self, size: int) -> None:
        """Hold ``size`` bytes less; those that wait are called while the budget allows what they want."""
        self.held -= size
        self.serve()

    def wait(self, owner: object, size: int, wake: Callable[[], None]) -> None:
        """Call ``wake`` once when ``size`` more bytes are allowed; it takes them itself. An owner waits once."""
        self._waiting.setdefault(owner, (size, wake))

    def forget(self, owner: object) -> None:
        """``owner`` waits no more."""
        self._waiting.pop(owner, None)

    def serve(self) -> None:
        """Call those that wait while the budget allows what they want."""
        while self._waiting:
            owner, (size, wake) = next(iter(self._waiting.items()))
            if not self.allows(size):
                return
            del self._waiting[owner]
            wake()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Hold ``size`` bytes for the length of the block. Blocks begin in the order of the calls."""
        if self._waiting or self._woken or not self.allows(size):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def wake() -> None:
                if not future.done():  # else its owner was cancelled
                    self.take(size)
                    self._woken += 1
                    future.set_result(None)

            self.wait(future, size, wake)
            if self._woken:
                asyncio.get_running_loop().call_soon(self.serve)  # perhaps it only has to run after them
            try:
                await future
            except asyncio.CancelledError:
                self.forget(future)
                if future.done() and not future.cancelled():
                    self._woken -= 1
                    self.release(size)
                else:
                    self.serve()
                raise
            self._woken -= 1
        else:
            self.take(size)
        try:
            yield
        finally:
            self.release(size)
