"""One term of an active coordinator: from its epoch to the end of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import NamedTuple

from fluss_server.cluster.forwarding import ForwardedCalls
from fluss_server.cluster.lease import LeaseTimes
from fluss_server.cluster.messages import RegisterServer, ServerNode
from fluss_server.cluster.peer import CONTROL_TIMEOUT, PeerConnection
from fluss_server.cluster.remote_tablet_server import RemoteTabletServer
from fluss_server.config import SERVER_OPTIONS
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.coordinator.cluster_service import ClusterService
from fluss_server.coordinator.coordinator_server import CoordinatorServer
from fluss_server.coordinator.inspection_service import InspectionService
from fluss_server.coordinator.partition_service import PartitionService
from fluss_server.coordinator.process_watch import WatchedTabletServer
from fluss_server.coordinator.producer_service import ProducerService
from fluss_server.coordinator.rebalance_service import RebalanceService
from fluss_server.coordinator.server_calls import ServerCalls
from fluss_server.coordinator.service import CoordinatorService
from fluss_server.metadata.server_records import ACTIVE_COORDINATOR, CoordinatorRecord
from fluss_server.metadata.store import MetadataStore
from fluss_server.processes.ephemeral_node import EphemeralNode
from fluss_server.processes.security import authorizer_of, follow_credentials
from fluss_server.processes.settings import check_for_tablet_servers, table_settings
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.rpc.service import ServiceRegistry, served_keys
from fluss_server.runtime.runtime import Runtime
from fluss_server.security.acl_service import AclService
from fluss_server.security.authorization_interceptor import AuthorizationInterceptor
from fluss_server.security.follower_fetches import FollowerFetches
from fluss_server.security.internal_calls import internal_endpoint
from fluss_server.security.listeners import ListenerSecurity
from fluss_server.tablet.metadata_service import MetadataService
from fluss_server.tablet.writer_ids import WriterIds

COORDINATOR_NODE_ID = 0
"""What clients are told; the protocol does not number coordinators."""

_NO_SERVER = -1

_FOR_CLIENTS: tuple[type, ...] = (
    CoordinatorService,
    ClusterService,
    PartitionService,
    RebalanceService,
    InspectionService,
    ProducerService,
    AclService,
)

FORWARDED_KEYS = frozenset(key for service in _FOR_CLIENTS for key in served_keys(service))
"""What other servers pass on to the active coordinator when clients request it from them."""

REFUSED_BY_STANDBYS = frozenset(key for service in (ServerCalls, ForwardedCalls) for key in served_keys(service))
"""Calls of servers, which have to find the active coordinator."""

SERVED_BY_ALL = frozenset(served_keys(MetadataService))
"""What every tablet server serves from what it knows."""


class TermSettings(NamedTuple):
    """What a process gives to each of its terms.

    Attributes:
        record: of this coordinator, for others to find it.
        endpoints: where it is reached.
        options: as given at the start of the process.
        lease: of tablet servers.
        internal_listener: for calls between servers.
        credentials: with which it logs in to tablet servers.
        security: of its listeners.
        runtime: the machine.
    """

    record: CoordinatorRecord
    endpoints: tuple[Endpoint, ...]
    options: Mapping[str, str]
    lease: LeaseTimes
    internal_listener: str
    credentials: tuple[str, str] | None
    security: ListenerSecurity
    runtime: Runtime


class CoordinatorTerm:
    """Create it, :meth:`start` it, :meth:`close` it.

    Args:
        store: everything is stored there.
        settings: of the process.
        metadata_complete: False when the store was cut or repaired when it was opened.
    """

    def __init__(self, store: MetadataStore, settings: TermSettings, *, metadata_complete: bool = True) -> None:
        self._settings = settings
        self._configuration = DynamicConfiguration(SERVER_OPTIONS, settings.options)
        self._coordinator = CoordinatorServer(
            store,
            ServerNode(COORDINATOR_NODE_ID, settings.endpoints),
            self._configuration,
            lambda: table_settings(self._configuration.current),
            settings.runtime,
            lease=settings.lease,
            metadata_complete=metadata_complete,
            distributes_settings=True,
        )
        self._resources = contextlib.AsyncExitStack()

    @property
    def coordinator(self) -> CoordinatorServer:
        """What works in this term."""
        return self._coordinator

    @property
    def epoch(self) -> int:
        """The coordinator epoch, once started."""
        return self._coordinator.store.epoch

    async def start(self) -> ServiceRegistry:
        """Begin the epoch and read what there is; returns what the coordinator serves.

        Raises:
            FlussError: see ``CoordinatorServer.start``.
        """
        coordinator, settings = self._coordinator, self._settings
        self._resources.push_async_callback(coordinator.close)
        await coordinator.start()
        assert coordinator.settings is not None, "there are tablet servers in other processes"
        authorizer = authorizer_of(self._configuration.current, coordinator.store, coordinator.settings.entries_changed)
        interceptors = []
        permissions = None
        if authorizer is not None:
            self._resources.push_async_callback(authorizer.close)
            await authorizer.load()
            self._resources.callback(coordinator.end_waits)  # before it waits for changes that have begun
            interceptor = AuthorizationInterceptor(authorizer, coordinator.manager.table_path)
            permissions = interceptor.permissions
            interceptors.append(interceptor)
        coordinator.distribute_settings(authorizer)
        follow_credentials(self._configuration, settings.security)
        check_for_tablet_servers(self._configuration)
        calls = ServerCalls(coordinator.gateway, self._reach)
        self._resources.push_async_callback(calls.close)
        self._resources.push_async_callback(coordinator.finish_changes)  # with what reaches tablet servers
        self._resources.callback(coordinator.end_waits)
        forwarded = ForwardedCalls(FORWARDED_KEYS | SERVED_BY_ALL)
        forwarded.registry = ServiceRegistry(
            *coordinator.services(permissions),
            MetadataService(coordinator.metadata, _NO_SERVER, WriterIds(coordinator.gateway)),
            calls,
            forwarded,
            AclService(authorizer),
            interceptors=[*interceptors, FollowerFetches(settings.internal_listener)],
            internal_listener=settings.internal_listener,
        )
        return forwarded.registry

    def _reach(self, registration: RegisterServer) -> RemoteTabletServer:
        settings, controller, server = self._settings, self._coordinator.controller, registration.server
        name = f"tablet server {server.server_id}"
        endpoint = internal_endpoint(server.endpoints, settings.internal_listener, name)
        connection = PeerConnection.of(
            name,
            lambda: endpoint,
            self._configuration.current,
            network=settings.runtime.network,
            authentication=settings.credentials,
            timeout=CONTROL_TIMEOUT,
        )
        return WatchedTabletServer(
            connection,
            settings.runtime.clock,
            lambda: controller.heard_at(server.server_id),
            lambda: controller.server_lost(server.server_id, registration.incarnation),
        )

    async def announce(self) -> None:
        """Write down that this coordinator is the active one."""
        node = EphemeralNode(self._coordinator.store, ACTIVE_COORDINATOR, self._settings.record.encode())
        self._resources.push_async_callback(node.close)
        await node.start()

    async def settled(self) -> None:
        """See ``CoordinatorServer.settled``."""
        await self._coordinator.settled()

    def watch_servers(self) -> None:
        """Begin what changes tables and leaders without a request, once the coordinator can be reached."""
        self._coordinator.start_background_tasks()

    async def ended(self) -> None:
        """Return when this coordinator must not go on, although nobody has replaced it."""
        await self._coordinator.store.stopped()

    async def close(self) -> None:
        """End the term. May be called twice."""
        await self._resources.aclose()
