"""What ephemeral nodes in ZooKeeper live and die with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fluss_server.metadata.zookeeper.client import ZooKeeperClient
from fluss_server.metadata.zookeeper.connection import Connection


class ZooKeeperSession:
    """A :class:`~fluss_server.metadata.store.StoreSession`: a part of the store's session with ZooKeeper.

    It is over when that session is over; another one has to be opened then, and its nodes made again.

    Attributes:
        paths: ephemeral nodes that were made for it.
    """

    def __init__(
        self,
        client: ZooKeeperClient,
        connection: Connection,
        end: Callable[[ZooKeeperSession], Awaitable[None]],
    ) -> None:
        self.paths: set[str] = set()
        self._client = client
        self._connection = connection
        self._end = end
        self._closed = False

    @property
    def session_id(self) -> int:
        return self._connection.session_id

    @property
    def closed(self) -> bool:
        return self._closed or not self._client.is_alive(self._connection)

    async def close(self) -> None:
        """Remove its nodes; when that fails they go with the session of the store."""
        if not self._closed:
            ended = self.closed
            self._closed = True
            if not ended:
                await self._end(self)
