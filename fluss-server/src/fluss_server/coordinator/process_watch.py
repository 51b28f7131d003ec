"""Finds out soon that the process of a tablet server has ended, without waiting for its heartbeats to stay away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from fluss_server.cluster.peer import PeerConnection
from fluss_server.cluster.remote_tablet_server import RemoteTabletServer
from fluss_server.errors import FlussError
from fluss_server.runtime.clock import Clock

logger = logging.getLogger(__name__)

ATTEMPT_INTERVAL_S = 0.1
SILENCE_S = 0.6
"""More than the interval of heartbeats: who sent none for so long *and* refuses connections is not there."""

MAX_WATCH_S = 10.0


class ProcessWatch:
    """Watches the connection to one tablet server. Lives on one event loop.

    When the connection breaks and others are refused, nothing listens at the server's address any more. That alone
    could be a fault of the network; if no heartbeat comes either, the process has ended. Where connections fail in
    another way, nothing is concluded: then only the lease counts.

    Args:
        connection: to the server's internal listener; one is kept open.
        clock: measures.
        heard_at: when the last heartbeat came, by the monotonic clock.
        ended: called when the process has ended.
        silence_s: how long it has to refuse connections, and to send no heartbeats.
    """

    def __init__(
        self,
        connection: PeerConnection,
        clock: Clock,
        heard_at: Callable[[], float],
        ended: Callable[[], object],
        *,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._silence_s = silence_s
        self._connection = connection
        self._now = clock.monotonic
        self._heard_at = heard_at
        self._ended = ended
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        connection.on_lost = self.look

    async def close(self) -> None:
        """Watch no more; the connection is the caller's."""
        self._closed = True
        self._connection.on_lost = None
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])

    def look(self) -> None:
        """The connection is not open: find out whether the process has ended."""
        if not self._closed and self._task is None:
            self._task = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        try:
            if await self._has_ended():
                self._ended()
        finally:
            self._task = None

    async def _has_ended(self) -> bool:
        begin = refused_since = self._now()
        while self._now() < begin + MAX_WATCH_S:
            try:
                await self._connection.open()
                return False
            except FlussError as error:
                # A process that is ending may still accept connections, which break.
                if not isinstance(error.__cause__, ConnectionRefusedError):
                    refused_since = self._now()
            if self._now() - max(refused_since, self._heard_at()) > self._silence_s:
                logger.warning("%s refuses connections and sends no heartbeats: it has ended", self._connection.name)
                return True
            await asyncio.sleep(ATTEMPT_INTERVAL_S)
        return False


class WatchedTabletServer(RemoteTabletServer):
    """A tablet server whose process is watched; arguments as for :class:`ProcessWatch`."""

    def __init__(
        self, connection: PeerConnection, clock: Clock, heard_at: Callable[[], float], ended: Callable[[], object]
    ) -> None:
        super().__init__(connection)
        self._watch = ProcessWatch(connection, clock, heard_at, ended)

    async def close(self) -> None:
        await self._watch.close()
        await super().close()
