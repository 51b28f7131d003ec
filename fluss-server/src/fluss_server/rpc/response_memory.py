"""Memory of responses that clients have not read."""

from __future__ import annotations

import logging
from typing import Protocol

logger = logging.getLogger(__name__)

_CAPACITY_SHARE = 16  # a response built in memory takes one part in so many of what is free
_MIN_CAPACITY = 256 * 1024


class ResponseOwner(Protocol):
    """A connection, as :class:`ResponseMemory` sees it."""

    peer: str

    def drop_unread(self) -> None:
        """Forget the unread responses and close."""


class ResponseMemory:
    """Bytes of responses that clients have not read, all connections together, and of requests that wait after them.

    Only connections whose client does not keep up have an entry. When the sum exceeds the limit, the connection that
    holds the most is closed: whoever requests much and reads slowly pays, nobody else.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[ResponseOwner, int] = {}
        self.held = 0
        """Bytes held now."""
        self.evictions = 0
        """Connections closed so far."""

    @property
    def capacity(self) -> int:
        """Bytes that one response should have at most, so that there is memory for one of each of many slow clients."""
        return max((self._limit - self.held) // _CAPACITY_SHARE, _MIN_CAPACITY)

    def update(self, owner: ResponseOwner, size: int) -> None:
        """The unread responses of ``owner`` are now ``size`` bytes."""
        self.held += size - (self._held.pop(owner, 0) if not size else self._held.get(owner, 0))
        if size:
            self._held[owner] = size
            while self.held > self._limit:
                self._evict()

    def _evict(self) -> None:
        victim = max(self._held, key=self._held.__getitem__)
        size = self._held.pop(victim)
        self.held -= size
        self.evictions += 1
        logger.warning(
            "closing the connection of %s: it does not read %d bytes of responses, and all clients together may leave"
            " %d unread (server.response.memory-size)",
            victim.peer,
            size,
            self._limit,
            extra={"event": "client_dropped", "peer": victim.peer},
        )
        victim.drop_unread()
