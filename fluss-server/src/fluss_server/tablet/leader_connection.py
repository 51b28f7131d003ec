"""The connection over which a server fetches from a leader, shared by all that fetch from it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from fluss_server.errors import FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.runtime.waits import wait_at_most

logger = logging.getLogger(__name__)

Connect = Callable[[int], Awaitable[RpcClient]]
"""Connects to the server with an id; raises ``FlussError``."""


class LeaderConnection:
    """One connection to a leader, made when it is needed, and again after a pause when it has failed.

    However many fetches wait for it, one attempt to connect is under way at a time.

    Args:
        leader: id of the server.
        connect: to it.
        pause_s: how long to wait after a failure, in seconds; called each time.
    """

    def __init__(self, leader: int, connect: Connect, pause_s: Callable[[], float]) -> None:
        self.leader = leader
        self._connect = connect
        self._pause_s = pause_s
        self._client: RpcClient | None = None
        self._connecting: asyncio.Task[RpcClient] | None = None
        self._has_failed = False  # pause before the next attempt
        self._is_reachable = True

    async def client(self) -> RpcClient:
        """The connection; waits until there is one, however often that fails."""
        if self._client is not None:
            return self._client
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._keep_trying())
        return await asyncio.shield(self._connecting)

    async def failed(self, client: RpcClient, error: FlussError | None) -> None:
        """Close a connection after a call over it has failed, and wait before there is another one.

        Nothing happens when there is another one already: all calls over a connection fail when it is closed.

        Args:
            client: over which the call was made.
            error: of the call; None when it was logged already.
        """
        if self._client is not client:
            return
        self._client = None
        self._note_failure(error)
        await client.close()

    async def close(self) -> None:
        """Close it; whoever waits for it waits until it is cancelled."""
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _keep_trying(self) -> RpcClient:
        while True:
            if self._has_failed:
                await asyncio.sleep(self._pause_s())
            try:
                # A connection that is made, or fails, when this task is cancelled does not keep it from ending.
                client = await wait_at_most(self._connect(self.leader), None, discard=self._connected)
            except FlussError as error:
                self._note_failure(error)
            except Exception:
                logger.exception("connecting to server %d failed", self.leader)
                self._note_failure(None)
            else:
                self._connecting = None
                self._connected(client)
                return client

    def _connected(self, client: RpcClient) -> None:
        self._client = client
        self._has_failed = False
        if not self._is_reachable:
            logger.info("server %d can be reached again", self.leader)
            self._is_reachable = True

    def _note_failure(self, error: FlussError | None) -> None:
        self._has_failed = True
        if self._is_reachable and error is not None:
            self._is_reachable = False
            logger.warning("cannot fetch from server %d: %s", self.leader, error)
