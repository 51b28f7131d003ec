"""``fluss tablet-server``: a tablet server in a process of its own, under a coordinator in another one."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any, TypeAlias

from fluss_server.api.keys import ApiKey
from fluss_server.cluster.forwarding import forwarding_service
from fluss_server.cluster.lease import HEARTBEAT_INTERVAL
from fluss_server.cluster.messages import ServerNode
from fluss_server.cluster.peer import PeerConnection
from fluss_server.cluster.remote_coordinator import RemoteCoordinator
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.server_records import TabletServerRecord, tablet_server_id_path
from fluss_server.processes.active_coordinator import ActiveCoordinator
from fluss_server.processes.cluster_process import ClusterProcess
from fluss_server.processes.coordinator_term import FORWARDED_KEYS
from fluss_server.processes.security import acl_replica_of, follow_credentials
from fluss_server.processes.settings import replica_config, scanner_config
from fluss_server.rpc.endpoints import Endpoint, format_endpoints, parse_address
from fluss_server.rpc.service import Handler, RequestContext, ServiceRegistry
from fluss_server.security.authorization_interceptor import AuthorizationInterceptor
from fluss_server.security.follower_fetches import FollowerFetches
from fluss_server.security.rules import Response
from fluss_server.tablet.control_service import ControlService
from fluss_server.tablet.stop_marker import StopMarker
from fluss_server.tablet.tablet_server import TabletServer

logger = logging.getLogger(__name__)

SERVER_ID = "tablet-server.id"
RACK = "tablet-server.rack"
COORDINATOR_ADDRESS = "coordinator.address"

_Interceptor: TypeAlias = "Callable[[Handler], Handler]"

_ALWAYS_SERVED = frozenset(
    {
        ApiKey.API_VERSIONS,
        ApiKey.AUTHENTICATE,
        ApiKey.NOTIFY_LEADER_AND_ISR,
        ApiKey.UPDATE_METADATA,
        ApiKey.STOP_REPLICA,
        ApiKey.UPDATE_SETTINGS,
    }
)


class TabletServerProcess(ClusterProcess):
    """See ``ClusterProcess``.

    Attributes:
        replaced: why this process must stop: another one has taken its server id.
    """

    replaced: asyncio.Future[FlussError] | None = None
    _tablet_server: TabletServer | None = None

    def _check_options(self) -> None:
        super()._check_options()
        if self._configuration.get(SERVER_ID) is None:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"{SERVER_ID} is not set",
                hint="give every tablet server of a cluster a number of its own, for example 0, 1 and 2",
            )

    @property
    def tablet_server(self) -> TabletServer:
        """What keeps and serves the data, once started."""
        assert self._tablet_server is not None, "the server is not started"
        return self._tablet_server

    async def _start(self) -> None:
        """Listen, and join the cluster; waits as long as there is no coordinator."""
        closing = self._resources.push_async_callback
        self.replaced = asyncio.get_running_loop().create_future()
        self._lock_data_directory()
        closing(self.listening.close)
        await self.listening.bind()
        server_id = self._configuration.get_int(SERVER_ID)
        node = ServerNode(server_id, self.listening.reachable_endpoints, self._configuration.find_str(RACK))
        connection, active = await self._connection_to_coordinator(node)
        interval_s = self._configuration.get_int(HEARTBEAT_INTERVAL) / 1000
        coordinator = RemoteCoordinator(connection, heartbeat_interval_s=interval_s)
        for_clients = connection.another()  # however much clients request, heartbeats get through
        closing(for_clients.close)
        acls = acl_replica_of(self._configuration, self._runtime.clock)
        self._tablet_server = tablet_server = TabletServer(
            node,
            self._data_dir,
            self._dynamic,
            replica_config(self._configuration),
            scanner_config(self._configuration),
            self._runtime,
            coordinator,
            replaced=self._replaced_by,
            acls=acls,
            stop_marker=StopMarker(
                self._data_dir,
                self._runtime.disk,
                durable=self._configuration.get_bool("log.flush.before-acknowledge"),
            ),
        )
        closing(tablet_server.close)
        follow_credentials(self._dynamic, self.listening.security)
        gate = _Gate()
        interceptors: list[_Interceptor] = [gate]
        if acls is not None:
            interceptors.append(_unless_forwarded(AuthorizationInterceptor(acls, tablet_server.metadata.table_path)))
        registry = ServiceRegistry(
            *tablet_server.services,
            ControlService(tablet_server),
            forwarding_service(FORWARDED_KEYS, for_clients, _known if active is None else active.look),
            interceptors=[*interceptors, FollowerFetches(self._internal)],
            internal_listener=self._internal,
        )
        closing(self.listening.close)  # before what its requests need
        await self.listening.serve(registry)
        await self.listening.serve_grpc(registry)
        if active is not None:
            active.on_change = [
                connection.address_changed,
                for_clients.address_changed,
                tablet_server.coordinator_changed,
            ]
        await self._start_reporter(tablet_server)  # before it joins, so that its health says what it waits for
        await tablet_server.start()
        closing(tablet_server.leave)
        gate.open()

    async def _start_reporter(self, tablet_server: TabletServer) -> None:
        if not self._has_reporter:
            return
        from fluss_server.processes.reporters import process_sources, tablet_server_health, tablet_source

        sources = [*process_sources(self.listening), tablet_source(tablet_server, self._configuration)]
        server_id = str(self._configuration.get_int(SERVER_ID))
        await self._report(server_id, sources, lambda: tablet_server_health(tablet_server))

    def _replaced_by(self, error: FlussError) -> None:
        if self.replaced is not None and not self.replaced.done():
            self.replaced.set_result(error)

    async def _connection_to_coordinator(self, node: ServerNode) -> tuple[PeerConnection, ActiveCoordinator | None]:
        """The connection, and what knows where the coordinator is; None when there can only be one."""
        if self._shared is None:
            address = self._configuration.find_str(COORDINATOR_ADDRESS)
            if address is None:
                raise FlussError(
                    ErrorCode.INVALID_CONFIG_EXCEPTION,
                    f"neither zookeeper.address nor {COORDINATOR_ADDRESS} is set",
                    hint="a tablet server finds its coordinator through one of them",
                )
            endpoint = Endpoint(self._internal, *parse_address(COORDINATOR_ADDRESS, address))
            return self._connection("the coordinator", lambda: endpoint), None
        store = (await self._shared.connect(self._runtime)).store
        self._resources.push_async_callback(store.close)
        active = await self._follow_active_coordinator(store)
        # For whoever looks into the tree; the coordinator counts on registrations and heartbeats.
        record = TabletServerRecord(format_endpoints(node.endpoints), self._runtime.clock.now_ms(), node.rack)
        await self._announce(store, tablet_server_id_path(node.server_id), record.encode())
        return self._connection("the coordinator", active.endpoint), active


async def _known() -> None:
    """There is one coordinator, at a given address."""


def _unless_forwarded(authorize: _Interceptor) -> _Interceptor:
    """The coordinator checks what is passed on to it."""
    return lambda handler: handler if handler.spec.key in FORWARDED_KEYS else authorize(handler)


class _Gate:
    """Refuses clients until the server knows what there is: it would deny tables that exist."""

    def __init__(self) -> None:
        self._open = False

    def open(self) -> None:
        """Serve from now on."""
        self._open = True

    def __call__(self, handler: Handler) -> Handler:
        if handler.spec.key in _ALWAYS_SERVED:
            return handler
        method = handler.method

        def checked(request: Any, context: RequestContext) -> Response:
            if not self._open:
                raise FlussError(ErrorCode.NETWORK_EXCEPTION, "this tablet server has not joined the cluster yet")
            return method(request, context)

        # What `checked` returns is a coroutine when the method's is, and the caller looks.
        return dataclasses.replace(handler, method=checked, is_async=False)
