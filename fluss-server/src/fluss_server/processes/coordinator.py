"""``fluss coordinator``: a coordinator in a process of its own, active or standby.

Without ZooKeeper it keeps the metadata in its data directory, and is the only coordinator. With ZooKeeper several of
them elect the active one; the others wait.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import PurePath

from fluss_server.cluster.lease import lease_times
from fluss_server.config import SERVER_OPTIONS, Configuration
from fluss_server.config.official_options import effective_options
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.journal_file import JOURNAL_FILE
from fluss_server.processes.data_directory import lock_data_directory
from fluss_server.processes.listening import Listening
from fluss_server.runtime.runtime import Runtime, system_runtime
from fluss_server.security.internal_calls import internal_listener, server_credentials

logger = logging.getLogger(__name__)

COORDINATOR_NODE_ID = 0
"""What clients are told; the protocol's coordinators are not numbered."""


class CoordinatorProcess:
    """Create it, :meth:`start` it, :meth:`close` it, all on one event loop.

    Args:
        data_dir: of the metadata; not used with ZooKeeper.
        host: address to listen on, unless the options name listeners.
        port: port, 0 for a free one.
        grpc_port: port of the gRPC server, 0 for a free one, None for none.
        options: server options by key; unknown keys and bad values are refused.
        runtime: the machine; by default the real one.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """

    def __init__(
        self,
        data_dir: PurePath,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        grpc_port: int | None = None,
        options: Mapping[str, str] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._options = effective_options(options or {})
        self._runtime = runtime or system_runtime()
        configuration = Configuration(SERVER_OPTIONS, self._options)
        self._lease = lease_times(configuration)
        self._credentials = server_credentials(configuration)
        self.listening = Listening(configuration, host, port, grpc_port, self._runtime)
        self._internal = internal_listener(configuration, self.listening.security.listeners)
        self._active: ActiveCoordinator | None = None
        self._resources = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Become the coordinator, or wait to become it, and listen.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when another process uses the directory or the metadata cannot be read;
                ``NETWORK_EXCEPTION`` when an address cannot be used.
        """
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        self._resources.callback(lock_data_directory(self._data_dir, self._runtime))
        store = EmbeddedMetadataStore.open(self._data_dir / JOURNAL_FILE, self._runtime)
        self._resources.push_async_callback(store.close)
        self._resources.push_async_callback(self.listening.close)
        await self.listening.bind()
        active = ActiveCoordinator(self._dependencies(store, metadata_complete=store.recovery.proven))
        self._resources.push_async_callback(active.close)
        registry = await active.start()
        await self.listening.serve(registry)
        await self.listening.serve_grpc(registry)
        active.watch_servers()
