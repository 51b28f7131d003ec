"""A coordinator and tablet servers that reach each other over their internal listeners only, on any runtime."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import PurePath

from fluss_server.cluster.lease import HEARTBEAT_INTERVAL, lease_times
from fluss_server.cluster.messages import RegisterServer, ServerNode
from fluss_server.cluster.peer import CONTROL_TIMEOUT, REQUEST_TIMEOUT, PeerConnection
from fluss_server.cluster.remote_coordinator import RemoteCoordinator
from fluss_server.cluster.remote_tablet_server import RemoteTabletServer
from fluss_server.config import SERVER_OPTIONS
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.coordinator.coordinator_server import CoordinatorServer
from fluss_server.coordinator.server_calls import ServerCalls
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.store import MetadataStore
from fluss_server.processes.listening import Listening
from fluss_server.processes.settings import replica_config, scanner_config, table_settings
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.rpc.service import Handler, ServiceRegistry
from fluss_server.runtime.runtime import Runtime
from fluss_server.security.authorization_interceptor import AuthorizationInterceptor
from fluss_server.security.authorizer import Authorizer, parse_super_users
from fluss_server.security.follower_fetches import FollowerFetches
from fluss_server.security.internal_calls import (
    internal_endpoint,
    internal_listener,
    server_credentials,
)
from fluss_server.tablet.control_service import ControlService
from fluss_server.tablet.tablet_server import TabletServer

LISTENERS = {
    "bind.listeners": "CLIENT://{host}:0,INTERNAL://{host}:0",
    "internal.listener.name": "INTERNAL",
}
QUICK = {
    "tablet-server.heartbeat.interval": "100 ms",
    "tablet-server.lease.duration": "700 ms",
    "coordinator.tablet-server.timeout": "1 s",
    "coordinator.control-request.timeout": "2 s",
    "server.internal.request-timeout": "2 s",
}


class Node:
    """What both kinds of servers have.

    Args:
        runtime: of this process.
        directory: where its files are.
        options: beside :data:`LISTENERS` and :data:`QUICK`.
        host: where it listens.
    """

    def __init__(
        self, runtime: Runtime, directory: PurePath, options: Mapping[str, str] | None = None, host: str = "127.0.0.1"
    ) -> None:
        listeners = {key: value.format(host=host) for key, value in LISTENERS.items()}
        self.runtime = runtime
        self.directory = directory
        self.configuration = DynamicConfiguration(SERVER_OPTIONS, {**listeners, **QUICK, **(options or {})})
        self.listening = Listening(self.configuration.current, host, 0, None, runtime)
        self.resources = contextlib.AsyncExitStack()
        self.endpoints: tuple[Endpoint, ...] = ()

    @property
    def bound(self) -> bool:
        """Whether its ports are known."""
        return bool(self.endpoints)

    def endpoint(self, listener: str) -> Endpoint:
        """Where a listener is, or was; once bound."""
        return next(endpoint for endpoint in self.endpoints if endpoint.listener == listener)

    async def bind(self) -> None:
        self.runtime.disk.make_directories(self.directory, mode=0o700)
        await self.listening.bind()
        self.endpoints = self.listening.reachable_endpoints
        self.internal = internal_listener(self.configuration.current, self.endpoints)

    def connection(self, name: str, address: Callable[[], Endpoint], timeout: str = REQUEST_TIMEOUT) -> PeerConnection:
        """To another server, as the options say."""
        options = self.configuration.current
        credentials = server_credentials(options)
        network = self.runtime.network
        return PeerConnection.of(name, address, options, network=network, authentication=credentials, timeout=timeout)

    async def interceptors(self, store: MetadataStore) -> list[AuthorizationInterceptor | FollowerFetches]:
        options = self.configuration.current
        found: list[AuthorizationInterceptor | FollowerFetches] = []
        if options.get_bool("authorizer.enabled"):
            authorizer = Authorizer(store, parse_super_users(options.get_str("super.users")))
            self.resources.push_async_callback(authorizer.close)
            await authorizer.load()
            found.append(AuthorizationInterceptor(authorizer, lambda table_id: None))
        return [*found, FollowerFetches(self.internal)]

    async def serve(
        self, services: list[object], interceptors: list[AuthorizationInterceptor | FollowerFetches]
    ) -> None:
        def each(handler: Handler) -> Handler:
            for intercept in interceptors:
                handler = intercept(handler)
            return handler

        self.resources.push_async_callback(self.listening.close)
        await self.listening.serve(ServiceRegistry(*services, interceptors=[each], internal_listener=self.internal))

    async def close(self) -> None:
        await self.resources.aclose()


class CoordinatorNode(Node):
    """A coordinator with an embedded store; see the attributes.

    Attributes:
        server: once started.
        calls: its services for tablet servers.
    """

    server: CoordinatorServer
    calls: ServerCalls
    store: EmbeddedMetadataStore

    async def start(self) -> None:
        await self.bind()
        self.store = EmbeddedMetadataStore.open(self.directory / "metadata.journal", self.runtime)
        self.resources.push_async_callback(self.store.close)
        self.server = CoordinatorServer(
            self.store,
            ServerNode(0, self.endpoints),
            self.configuration,
            lambda: table_settings(self.configuration.current),
            self.runtime,
            lease=lease_times(self.configuration.current),
        )
        self.resources.push_async_callback(self.server.close)
        await self.server.start()
        self.calls = ServerCalls(self.server.gateway, self.reach)
        self.resources.push_async_callback(self.calls.close)
        interceptors = await self.interceptors(self.server.store)
        await self.serve([*self.server.services(None), self.calls], interceptors)
        self.server.controller.watch_servers()

    def reach(self, registration: RegisterServer) -> RemoteTabletServer:
        server = registration.server
        name = f"tablet server {server.server_id}"
        endpoint = internal_endpoint(server.endpoints, self.internal, name)
        return RemoteTabletServer(self.connection(name, lambda: endpoint, CONTROL_TIMEOUT))


class TabletNode(Node):
    """A tablet server.

    Args:
        server_id: its id.
        coordinator: that is active now.

    Attributes:
        server: once started.
    """

    server: TabletServer

    def __init__(
        self,
        server_id: int,
        coordinator: CoordinatorNode,
        runtime: Runtime,
        directory: PurePath,
        options: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(runtime, directory, options, host)
        self.server_id = server_id
        self.coordinator = coordinator

    async def start(self) -> None:
        await self.bind()
        current = self.configuration.current
        self.peer = self.connection("the coordinator", lambda: self.coordinator.endpoint(self.coordinator.internal))
        self.resources.push_async_callback(self.peer.close)
        self.server = server = TabletServer(
            ServerNode(self.server_id, self.endpoints),
            self.directory,
            self.configuration,
            replica_config(current),
            scanner_config(current),
            self.runtime,
            RemoteCoordinator(self.peer, heartbeat_interval_s=current.get_int(HEARTBEAT_INTERVAL) / 1000),
        )
        acls = EmbeddedMetadataStore.open(self.directory / "acls.journal", self.runtime)
        self.resources.push_async_callback(acls.close)
        self.resources.push_async_callback(server.close)
        await self.serve([*server.services, ControlService(server)], await self.interceptors(acls))
        await server.start()

    async def leave(self) -> None:
        await self.server.leave()
