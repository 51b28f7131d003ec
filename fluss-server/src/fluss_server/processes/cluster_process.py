"""What coordinators and tablet servers in processes of their own have in common: how they find and call each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import ClassVar

from fluss_server.cluster.lease import lease_times
from fluss_server.cluster.peer import PeerConnection
from fluss_server.metadata.store import MetadataStore
from fluss_server.processes.active_coordinator import ActiveCoordinator
from fluss_server.processes.ephemeral_node import EphemeralNode
from fluss_server.processes.server_process import ServerProcess
from fluss_server.processes.shared_metadata import SharedMetadata, ZooKeeperMetadata
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime.runtime import Runtime
from fluss_server.security.internal_calls import internal_listener, server_credentials


class ClusterProcess(ServerProcess):
    """See ``ServerProcess``.

    Args:
        metadata: where the processes of the cluster find each other; by default what ``zookeeper.address`` says.
    """

    in_cluster: ClassVar[bool] = True

    def __init__(
        self,
        data_dir: PurePath,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        grpc_port: int | None = None,
        options: Mapping[str, str] | None = None,
        runtime: Runtime | None = None,
        metadata: SharedMetadata | None = None,
    ) -> None:
        super().__init__(data_dir, host=host, port=port, grpc_port=grpc_port, options=options, runtime=runtime)
        self._check_options()
        configuration = self._configuration
        self._credentials = server_credentials(configuration)
        self._internal = internal_listener(
            configuration, [listener.endpoint for listener in self.listening.security.listeners]
        )
        self._shared = metadata or ZooKeeperMetadata.of(configuration)

    def _check_options(self) -> None:
        """Refuse options with which this kind of process cannot work; ``INVALID_CONFIG_EXCEPTION``."""
        lease_times(self._configuration)

    async def _announce(self, store: MetadataStore, path: str, value: bytes) -> None:
        """Show in the tree that this process is there, until it closes."""
        node = EphemeralNode(store, path, value)
        self._resources.push_async_callback(node.close)
        await node.start()

    async def _follow_active_coordinator(self, store: MetadataStore) -> ActiveCoordinator:
        """What knows where the active coordinator is, until this process closes."""
        active = ActiveCoordinator(store, self._internal)
        self._resources.push_async_callback(active.close)
        await active.start()
        return active

    def _connection(self, name: str, address: Callable[[], Endpoint | None]) -> PeerConnection:
        """A connection to another server, closed with this process."""
        connection = self._new_connection(name, address)
        self._resources.push_async_callback(connection.close)
        return connection

    def _new_connection(self, name: str, address: Callable[[], Endpoint | None]) -> PeerConnection:
        """A connection to another server; the caller closes it."""
        return PeerConnection.of(
            name, address, self._configuration, network=self._runtime.network, authentication=self._credentials
        )
