"""A complete Fluss in one process on one port: coordinator and tablet server over one data directory.

Files of the data directory (names with a dot cannot be database names)::

    .lock              held while a server runs
    metadata.journal   databases, tables, ids, leaders; metadata.checkpoint: how far it is durable
    {database}/...     tables, see ``tablet/replica_directories.py``
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from fluss_server.api.keys import ApiKey
from fluss_server.cluster.messages import DiskSpace, ServerNode
from fluss_server.config import SERVER_OPTIONS
from fluss_server.coordinator.cluster_service import ReplicaCounts
from fluss_server.coordinator.coordinator_server import CoordinatorServer
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.processes.local_directories import refuse_several_servers
from fluss_server.processes.security import authorizer_of, follow_credentials
from fluss_server.processes.server_process import ServerProcess
from fluss_server.processes.settings import replica_config, scanner_config, table_settings
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.rpc.lazy_service import LazyService
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.security.follower_fetches import FollowerFetches
from fluss_server.tablet.tablet_server import TabletServer

if TYPE_CHECKING:
    from fluss_server.security.acl_service import AclService
    from fluss_server.security.authorization_interceptor import AuthorizationInterceptor
    from fluss_server.security.authorizer import Authorizer

logger = logging.getLogger(__name__)

SERVER_ID = 0

ACL_KEYS = (ApiKey.CREATE_ACLS, ApiKey.LIST_ACLS, ApiKey.DROP_ACLS)


class LocalServer(ServerProcess):
    """The one-process cluster; see ``ServerProcess``."""

    in_cluster: ClassVar[bool] = False

    _tablet_server: TabletServer | None = None

    @property
    def grpc_endpoint(self) -> Endpoint | None:
        """Where the gRPC server listens, once started; None without one."""
        return self.listening.grpc_endpoint

    @property
    def tablet_server(self) -> TabletServer:
        """What keeps and serves the data, once started."""
        assert self._tablet_server is not None, "the server is not started"
        return self._tablet_server

    async def _start(self) -> None:
        """Recover everything in the data directory, then listen."""
        self._lock_data_directory()
        refuse_several_servers(self._data_dir, self._runtime.disk)
        store = self._open_embedded_store()
        coordinator, tablet_server = await self._start_cluster(store)
        registry = await self._registry(coordinator, tablet_server)
        self._resources.push_async_callback(self.listening.close)
        await self.listening.bind()
        await self.listening.serve(registry)
        await self._start_reporter(coordinator, tablet_server)
        await self.listening.serve_grpc(registry)
        coordinator.start_background_tasks()

    async def _start_cluster(self, store: EmbeddedMetadataStore) -> tuple[CoordinatorServer, TabletServer]:
        """Coordinator and tablet server, joined in memory; every bucket has a leader when this returns."""
        node = ServerNode(
            SERVER_ID,
            tuple(Endpoint(listener, *address) for listener, address in self.listening.security.advertised.items()),
        )
        coordinator = CoordinatorServer(
            store,
            node,
            self._dynamic,
            lambda: table_settings(self._configuration),
            self._runtime,
            replica_counts=self._replica_counts,
            disks=self._disks,
            metadata_complete=store.recovery.proven,
        )
        self._resources.push_async_callback(coordinator.close)
        await coordinator.start()
        self._tablet_server = tablet_server = TabletServer(
            node,
            self._data_dir,
            self._dynamic,
            replica_config(self._configuration),
            scanner_config(self._configuration),
            self._runtime,
            coordinator.gateway,
        )
        self._resources.push_async_callback(tablet_server.close)
        await tablet_server.start()
        self._resources.push_async_callback(tablet_server.leave)
        self._resources.push_async_callback(coordinator.finish_changes)
        await coordinator.settled()
        return coordinator, tablet_server

    async def _registry(self, coordinator: CoordinatorServer, tablet_server: TabletServer) -> ServiceRegistry:
        """Everything that both servers serve, with the authorization that is configured."""
        authorizer = await self._load_authorizer(coordinator)
        interceptor: AuthorizationInterceptor | None = None
        if authorizer is not None:
            from fluss_server.security.authorization_interceptor import AuthorizationInterceptor

            interceptor = AuthorizationInterceptor(authorizer, tablet_server.metadata.table_path)

        def acl_service() -> AclService:
            from fluss_server.security.acl_service import AclService

            return AclService(authorizer)

        self._follow_credentials()
        return ServiceRegistry(
            *coordinator.services(None if interceptor is None else interceptor.permissions),
            *tablet_server.services,
            LazyService(ACL_KEYS, acl_service),
            interceptors=[*([] if interceptor is None else [interceptor]), FollowerFetches(None)],
        )

    async def _load_authorizer(self, coordinator: CoordinatorServer) -> Authorizer | None:
        authorizer = authorizer_of(self._configuration, coordinator.store)
        if authorizer is not None:
            self._resources.push_async_callback(authorizer.close)
            await authorizer.load()
        return authorizer

    def _follow_credentials(self) -> None:
        follow_credentials(self._dynamic, self.listening.security)
        ignored = {key for key, option in SERVER_OPTIONS.items() if option.dynamic} - self._dynamic.subscribed
        assert not ignored, f"no part of the server takes in changes of {ignored}"

    def _replica_counts(self) -> ReplicaCounts:
        replicas = [] if self._tablet_server is None else self._tablet_server.replicas.replicas()
        online = sum(replica.is_online for replica in replicas)
        return ReplicaCounts(len(replicas), online, len(replicas), online)

    async def _disks(self) -> dict[int, DiskSpace]:
        space = None if self._tablet_server is None else await self._tablet_server.disk_space.now()
        return {} if space is None else {SERVER_ID: space}

    async def _start_reporter(self, coordinator: CoordinatorServer, tablet_server: TabletServer) -> None:
        if not self._has_reporter:
            return
        from fluss_server.processes.reporters import coordinator_source, process_sources, tablet_health, tablet_source

        sources = [
            *process_sources(self.listening),
            tablet_source(tablet_server, self._configuration),
            coordinator_source(lambda: coordinator),
        ]
        await self._report(str(SERVER_ID), sources, lambda: tablet_health(tablet_server))
