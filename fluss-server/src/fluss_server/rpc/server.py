"""The native protocol's server: listening sockets, the set of open connections, and an orderly end."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from typing import Any

from fluss_server.rpc.authentication import Authenticator
from fluss_server.rpc.connection import ServerConnection
from fluss_server.rpc.limits import RpcLimits, SharedResources
from fluss_server.rpc.service import DEFAULT_LISTENER, ServiceRegistry

logger = logging.getLogger(__name__)

_BACKLOG = 1024
_BIND_ATTEMPTS = 10
_ABORT_WAIT_S = 5.0  # for cancelled methods to end
_MAX_SWEEP_INTERVAL_S = 5.0
_MAX_REFUSED = 256  # connections that are told that there are too many


class RpcServer:
    """Serves the APIs of a registry on one address.

    Args:
        registry: what is served.
        host: name or address to listen on; all addresses of a name are used, with the same port.
        port: port, or 0 for a free one.
        limits: what clients may cost.
        shared: what this listener has in common with others; replaces ``limits``.
        listener: name of this listener, as methods see it.
        authenticator: checks the clients; None = everybody may come in.
    """

    def __init__(
        self,
        registry: ServiceRegistry,
        host: str,
        port: int,
        *,
        limits: RpcLimits | None = None,
        shared: SharedResources | None = None,
        listener: str = DEFAULT_LISTENER,
        authenticator: Authenticator | None = None,
    ) -> None:
        self.registry = registry
        self.shared = shared or SharedResources(limits or RpcLimits())
        self.limits = self.shared.limits
        self.listener = listener
        self.authenticator = authenticator
        self.request_memory = self.shared.request_memory
        self.response_memory = self.shared.response_memory
        self.receive_buffer = self.shared.receive_buffer
        self.frame_memory = self.shared.frame_memory
        self._host = host
        self._port = port
        self._servers: list[asyncio.Server] = []
        self._closing = False
        self._connections: set[ServerConnection] = set()
        self._refusals = 0  # not yet logged
        self._refused: set[ServerConnection] = set()  # they get a moment to read why
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

    async def start(self) -> None:
        """Listen. After this the port answers.

        Raises:
            OSError: the address cannot be used.
        """
        loop = asyncio.get_running_loop()
        sockets = await _bind(self._host, self._port)
        self._port = sockets[0].getsockname()[1]
        for sock in sockets:
            server = await loop.create_server(lambda: ServerConnection(self, loop), sock=sock, backlog=_BACKLOG)
            self._servers.append(server)
        self._sweep(loop)

    async def close(self, grace_s: float = 5.0) -> None:
        """Stop listening, let requests in flight end, close every connection. Calling it again does nothing.

        Args:
            grace_s: how long requests may take before they are cancelled; what only waits or reads is given up at once.
        """
        self._closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for server in self._servers:
            server.close()
        self._servers.clear()
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
        self._connections.add(connection)
        self.shared.connections += 1
        self._no_connection.clear()
        return True

    def connection_closed(self, connection: ServerConnection) -> None:
        """See :class:`fluss_server.rpc.connection.ConnectionHost`."""
        self._refused.discard(connection)
        if connection in self._connections:
            self._connections.remove(connection)
            self.shared.connections -= 1
        if not self._connections:
            self._no_connection.set()

    async def _wait_for_connections(self, timeout_s: float) -> bool:
        try:
            await asyncio.wait_for(self._no_connection.wait(), timeout_s)
        except asyncio.TimeoutError:
            return False
        return True

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            connection.check_deadlines(now)
        if self._refusals:
            logger.warning("refused %d connections: %d are open", self._refusals, self.shared.connections)
            self._refusals = 0
        limits = self.limits
        shortest = min(limits.max_idle_s, limits.receive_timeout_s, limits.send_timeout_s, limits.max_authentication_s)
        self._sweeper = loop.call_later(min(shortest / 10, _MAX_SWEEP_INTERVAL_S), self._sweep, loop)


async def _bind(host: str, port: int) -> list[socket.socket]:
    """Sockets for every address of ``host``, all with the same port.

    Raises:
        OSError: none of the addresses can be used, or the port is taken.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))
    for attempt in range(_BIND_ATTEMPTS):
        try:
            return _bind_all(addresses, port)
        except OSError as error:
            # A port that was free for the first address may be taken for the second.
            if port or error.errno != errno.EADDRINUSE or attempt == _BIND_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _bind_all(addresses: list[tuple[int, tuple[Any, ...]]], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                if error.errno == errno.EAFNOSUPPORT:  # the name has an IPv6 address, the system has no IPv6
                    continue
                raise
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((address[0], port, *address[2:]))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL and len(addresses) > 1:
                    sockets.pop().close()
                    continue
                raise OSError(error.errno, f"cannot listen on {address[0]} port {port}: {error.strerror}") from None
            port = sock.getsockname()[1]
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    if not sockets:
        raise OSError(errno.EADDRNOTAVAIL, "none of the addresses can be used")
    return sockets
