"""The ports of a server process, and what all connections have in common."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fluss_server.config import Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.rpc.limits import rpc_limits
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.rpc.shared_resources import SharedResources
from fluss_server.runtime.loop_monitor import LoopMonitor
from fluss_server.runtime.open_files import raise_open_files_limit
from fluss_server.runtime.runtime import Runtime
from fluss_server.security.listeners import ListenerSecurity

if TYPE_CHECKING:
    from fluss_server.grpc_server.server import GrpcServer

logger = logging.getLogger(__name__)

_ANY_ADDRESS = frozenset({"0.0.0.0", "::", ""})


class Listening:
    """Native listeners and gRPC of one process.

    Args:
        configuration: effective at the start.
        host: address of the only listener when ``bind.listeners`` is not set.
        port: its port, 0 for a free one.
        grpc_port: port of the gRPC server, 0 for a free one, None for none.
        runtime: the machine.

    Attributes:
        security: how each listener authenticates.
        registry: what is served now.
        shared: limits, and what is used of them; once bound.
        loop_monitor: how long the event loop was held.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """

    shared: SharedResources

    def __init__(
        self, configuration: Configuration, host: str, port: int, grpc_port: int | None, runtime: Runtime
    ) -> None:
        self._configuration = configuration
        self._requested_grpc_port = grpc_port
        self._runtime = runtime
        self.security = ListenerSecurity(configuration, host, port, runtime)
        self.loop_monitor = LoopMonitor(runtime.clock)
        self.registry = ServiceRegistry()
        self._servers: list[RpcServer] = []
        self._grpc_server: GrpcServer | None = None

    @property
    def port(self) -> int:
        """The port in use by the first listener, once bound."""
        assert self._servers, "the ports are not bound"
        return self._servers[0].port

    @property
    def endpoints(self) -> list[Endpoint]:
        """The listeners with the ports in use, once bound."""
        return [
            listener.endpoint._replace(port=server.port)
            for listener, server in zip(self.security.listeners, self._servers, strict=True)
        ]

    @property
    def grpc_endpoint(self) -> Endpoint | None:
        """Where the gRPC server listens, once it serves; None without one."""
        if self._grpc_server is None:
            return None
        return self.security.listeners[0].endpoint._replace(port=self._grpc_server.port)

    @property
    def reachable_endpoints(self) -> tuple[Endpoint, ...]:
        """Where other processes reach the listeners, once bound.

        Raises:
            FlussError: ``INVALID_CONFIG_EXCEPTION`` for a listener on all addresses that does not say which to use.
        """
        advertised = self.security.advertised
        found = []
        for endpoint in self.endpoints:
            if endpoint.listener in advertised:
                found.append(Endpoint(endpoint.listener, *advertised[endpoint.listener]))
            elif endpoint.host in _ANY_ADDRESS:
                raise FlussError(
                    ErrorCode.INVALID_CONFIG_EXCEPTION,
                    f"listener {endpoint.listener} on {endpoint.host} has no address that others could use",
                    hint=f"set advertised.listeners={endpoint.listener}://HOST:{endpoint.port}",
                )
            else:
                found.append(endpoint)
        return tuple(found)

    async def bind(self) -> None:
        """Take the ports; connections are refused until :meth:`serve`.

        Raises:
            FlussError: ``NETWORK_EXCEPTION`` when an address cannot be used.
        """
        self.shared = SharedResources(rpc_limits(self._configuration, open_files=raise_open_files_limit()))
        for listener in self.security.listeners:
            name, host, port = listener.endpoint
            server = RpcServer(
                self.registry,
                host,
                port,
                runtime=self._runtime,
                shared=self.shared,
                listener=name,
                authenticator=listener.authenticator,
            )
            with _explained(host, port):
                await server.bind()
            self._servers.append(server)

    async def serve(self, registry: ServiceRegistry) -> None:
        """Accept connections.

        Raises:
            FlussError: ``NETWORK_EXCEPTION`` when an address cannot be used.
        """
        self.loop_monitor.start()
        self.registry = registry
        for server, endpoint in zip(self._servers, self.endpoints, strict=True):
            server.registry = registry
            with _explained(endpoint.host, endpoint.port):
                await server.start()
        self.security.warn_if_exposed()

    def replace(self, registry: ServiceRegistry) -> None:
        """Serve something else from the next request on, also to connections that are open."""
        self.registry = registry
        for server in self._servers:
            server.registry = registry
        if self._grpc_server is not None:
            self._grpc_server.registry = registry

    async def serve_grpc(self, registry: ServiceRegistry) -> None:
        """Serve gRPC if that was requested, beside the first listener and with its authentication.

        Raises:
            FlussError: ``NETWORK_EXCEPTION`` when the address cannot be used.
        """
        if self._requested_grpc_port is None:
            return
        from fluss_server.grpc_server.server import GrpcServer  # gRPC costs 10 MB and 20 ms

        first = self.security.listeners[0]
        authenticate = None
        if first.authenticator is not None:
            from fluss_server.security.sasl import PasswordCheck

            authenticate = PasswordCheck(first.authenticator)
        self._grpc_server = GrpcServer(
            registry,
            first.endpoint.host,
            self._requested_grpc_port,
            native_port=self.port,
            clock=self._runtime.clock,
            listener=first.endpoint.listener,
            authenticate=authenticate,
        )
        await self._grpc_server.start()

    async def close(self) -> None:
        """Stop listening and let requests in flight end. May be called twice."""
        if self._grpc_server is not None:
            await self._grpc_server.close()
        self.loop_monitor.stop()
        servers, self._servers = self._servers, []
        await asyncio.gather(*(server.close() for server in servers))


@contextlib.contextmanager
def _explained(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise FlussError(
            ErrorCode.NETWORK_EXCEPTION,
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="another process uses the port; choose another with --port, or 0 for a free one" if taken else None,
        ) from error
