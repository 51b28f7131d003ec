"""The native protocol's server: listening, the set of open connections, and an orderly end."""

from __future__ import annotations

import asyncio
import logging

from fluss_server.rpc.authentication import Authenticator
from fluss_server.rpc.connection import ServerConnection
from fluss_server.rpc.limits import RpcLimits
from fluss_server.rpc.service import DEFAULT_LISTENER, ServiceRegistry
from fluss_server.rpc.shared_resources import SharedResources
from fluss_server.runtime.network import NetworkServer
from fluss_server.runtime.runtime import Runtime
from fluss_server.runtime.waits import wait_at_most

logger = logging.getLogger(__name__)

_BACKLOG = 1024
_ABORT_WAIT_S = 5.0  # for cancelled methods to end
_MAX_SWEEP_INTERVAL_S = 5.0
_MAX_REFUSED = 256  # connections that are told that there are too many


class RpcServer:
    """Serves the APIs of a registry on one address.

    Args:
        registry: what is served.
        host: name or address to listen on; all addresses of a name are used, with the same port.
        port: port, or 0 for a free one.
        runtime: clock and network.
        limits: what clients may cost.
        shared: what this listener has in common with others; replaces ``limits``.
        listener: name of this listener, as methods see it.
        authenticator: checks the clients; None = anonymous access.
    """

    def __init__(
        self,
        registry: ServiceRegistry,
        host: str,
        port: int,
        *,
        runtime: Runtime,
        limits: RpcLimits | None = None,
        shared: SharedResources | None = None,
        listener: str = DEFAULT_LISTENER,
        authenticator: Authenticator | None = None,
    ) -> None:
        self.registry = registry
        self.runtime = runtime
        self.shared = shared or SharedResources(limits or RpcLimits())
        self.limits = self.shared.limits
        self.listener = listener
        self.authenticator = authenticator
        self.request_memory = self.shared.request_memory
        self.response_memory = self.shared.response_memory
        self.receive_buffer = self.shared.receive_buffer
        self.frame_memory = self.shared.frame_memory
        self.loop_budget = self.shared.loop_budget
        self._host = host
        self._port = port
        self._server: NetworkServer | None = None
        self._closing = False
        self._connections: dict[ServerConnection, None] = {}  # in the order in which they came
        self._refusals = 0  # not yet logged
        self._refused: set[ServerConnection] = set()  # they get some time to read why
        self._no_connection = asyncio.Event()
        self._no_connection.set()
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port in use."""
        return self._port

    @property
    def connection_count(self) -> int:
        """Open connections, and lost ones whose requests have not ended."""
        return len(self._connections)

    async def bind(self) -> None:
        """Take the port, so that it is known; connections are refused until :meth:`start`.

        Raises:
            OSError: the address cannot be used.
        """
        loop = asyncio.get_running_loop()
        self._server = await self.runtime.network.listen(
            self._host, self._port, lambda: ServerConnection(self, loop), backlog=_BACKLOG
        )
        self._port = self._server.port

    async def start(self) -> None:
        """Listen. After this the port accepts connections.

        Raises:
            OSError: the address cannot be used.
        """
        if self._server is None:
            await self.bind()
        assert self._server is not None, "the port is bound"
        await self._server.start()
        self._sweep(asyncio.get_running_loop())

    async def close(self, grace_s: float = 5.0) -> None:
        """Stop listening, let requests in flight end, close every connection. Calling it again does nothing.

        Args:
            grace_s: how long requests may take until they are cancelled; what only waits or reads ends at once.
        """
        self._closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.shut_down()
        if not await self._wait_for_connections(grace_s):
            unanswered = sum(connection.requests_in_flight for connection in self._connections)
            if unanswered:
                logger.warning("cancelling %d requests that are still in flight", unanswered)
            for connection in list(self._connections):
                connection.abort()
            if not await self._wait_for_connections(_ABORT_WAIT_S):
                logger.error("requests of %d connections do not end", len(self._connections))

    def connection_opened(self, connection: ServerConnection) -> bool:
        """See :class:`fluss_server.rpc.connection.ConnectionHost`."""
        if self._closing or self.shared.connections >= self.limits.max_connections:
            self._refusals += 1
            self.shared.refused_connections += 1
            self._refused.add(connection)
            if len(self._refused) > _MAX_REFUSED:
                connection.abort()
            return False
        self._connections[connection] = None
        self.shared.connections += 1
        self._no_connection.clear()
        return True

    def connection_closed(self, connection: ServerConnection) -> None:
        """See :class:`fluss_server.rpc.connection.ConnectionHost`."""
        self._refused.discard(connection)
        if connection in self._connections:
            del self._connections[connection]
            self.shared.connections -= 1
        if not self._connections:
            self._no_connection.set()

    async def _wait_for_connections(self, timeout_s: float) -> bool:
        try:
            await wait_at_most(self._no_connection.wait(), timeout_s)
        except asyncio.TimeoutError:
            return False
        return True

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = self.runtime.clock.monotonic()
        for connection in list(self._connections):
            connection.check_deadlines(now)
        if self._refusals:
            logger.warning("refused %d connections: %d are open", self._refusals, self.shared.connections)
            self._refusals = 0
        limits = self.limits
        shortest = min(limits.max_idle_s, limits.receive_timeout_s, limits.send_timeout_s, limits.max_authentication_s)
        self._sweeper = loop.call_later(min(shortest / 10, _MAX_SWEEP_INTERVAL_S), self._sweep, loop)
