"""Which response may take memory: that of one request of a connection at a time, in the order of the requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from fluss_server.errors import FlussError


class ResponseSlots:
    """The response slot of one connection; see :meth:`fluss_server.rpc.service.RequestContext.response_slot`.

    Args:
        may_give: whether the client keeps up, so that the next request may have the slot.

    Attributes:
        holder: the request that has the slot.
    """

    def __init__(self, may_give: Callable[[], bool]) -> None:
        self._may_give = may_give
        self.holder: object | None = None
        self._waiting: deque[tuple[object, asyncio.Future[None]]] = deque()

    def try_take(self, request: object) -> bool:
        """Take the slot if that needs no wait; taking it again does nothing."""
        if self.holder is request:
            return True
        if self.holder is not None or self._waiting or not self._may_give():
            return False
        self.holder = request
        return True

    async def take(self, request: object) -> None:
        """Wait for the slot; raises what :meth:`refuse` was given."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, granted))
        await granted

    def end(self) -> bool:
        """Release the slot; returns whether somebody waits for :meth:`give`."""
        self.holder = None
        return bool(self._waiting)

    def give(self) -> None:
        """Give the slot to the next request, if none has it and the client keeps up."""
        while self.holder is None and self._waiting and self._may_give():
            request, granted = self._waiting.popleft()
            if not granted.done():
                self.holder = request
                granted.set_result(None)

    def refuse(self, error: Callable[[], FlussError]) -> None:
        """End every wait with an error."""
        waiting, self._waiting = self._waiting, deque()
        for _, granted in waiting:
            if not granted.done():
                granted.set_exception(error())
