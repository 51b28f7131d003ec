"""``fluss coordinator``: a coordinator in a process of its own, active or standby.

Without ZooKeeper it keeps the metadata in its data directory, and is the only coordinator. With ZooKeeper several of
them elect the active one; the others wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from fluss_server.cluster.codecs import encode_endpoints
from fluss_server.cluster.lease import lease_times
from fluss_server.cluster.peer import PeerConnection
from fluss_server.config import SERVER_OPTIONS, Configuration
from fluss_server.config.official_options import effective_options
from fluss_server.errors import FlussError
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.journal_file import JOURNAL_FILE
from fluss_server.metadata.server_records import CoordinatorRecord, coordinator_id_path
from fluss_server.processes.active_coordinator import ActiveCoordinator
from fluss_server.processes.coordinator_term import CoordinatorTerm, TermSettings
from fluss_server.processes.data_directory import lock_data_directory
from fluss_server.processes.ephemeral_node import EphemeralNode
from fluss_server.processes.listening import Listening
from fluss_server.processes.standby import standby_registry
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.runtime.runtime import Runtime, system_runtime
from fluss_server.security.internal_calls import internal_listener, server_credentials

if TYPE_CHECKING:
    from fluss_server.metadata.zookeeper.latch import LeaderLatch
    from fluss_server.metadata.zookeeper.store import ZooKeeperMetadataStore

logger = logging.getLogger(__name__)

PAUSE_BETWEEN_TERMS_S = 0.2


class CoordinatorProcess:
    """Create it, :meth:`start` it, :meth:`close` it, all on one event loop.

    Args:
        data_dir: of the metadata; not used with ZooKeeper.
        host: address to listen on, unless the options name listeners.
        port: port, 0 for a free one.
        options: server options by key; unknown keys and bad values are refused.
        runtime: the machine; by default the real one.

    Attributes:
        listening: its ports.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """

    def __init__(
        self,
        data_dir: PurePath,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        options: Mapping[str, str] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._options = effective_options(options or {}, in_cluster=True)
        self._runtime = runtime or system_runtime()
        self._configuration = Configuration(SERVER_OPTIONS, self._options)
        self._lease = lease_times(self._configuration)
        self._credentials = server_credentials(self._configuration)
        self.listening = Listening(self._configuration, host, port, None, self._runtime)
        self._internal = internal_listener(
            self._configuration, [listener.endpoint for listener in self.listening.security.listeners]
        )
        self._term: CoordinatorTerm | None = None
        self._standby: ServiceRegistry | None = None
        self._resources = contextlib.AsyncExitStack()

    @property
    def epoch(self) -> int | None:
        """The coordinator epoch while this coordinator is active, else None."""
        return None if self._term is None else self._term.epoch

    async def start(self) -> None:
        """Listen, and become the active coordinator: at once without ZooKeeper, else when it is elected.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when another process uses the directory or the metadata cannot be read;
                ``NETWORK_EXCEPTION`` when an address cannot be used.
        """
        try:
            self._resources.push_async_callback(self.listening.close)
            await self.listening.bind()
            if self._configuration.find_str("zookeeper.address") is None:
                await self._start_alone()
            else:
                await self._start_with_zookeeper()
        except BaseException:
            await self.close()
            raise

    async def settled(self) -> None:
        """Return when every bucket of the registered servers has a leader; while active.

        Raises:
            FlussError: why one has none.
        """
        if self._term is not None:
            await self._term.settled()

    async def close(self) -> None:
        """Finish what has begun and let another coordinator become active. May be called twice."""
        await self._resources.aclose()

    async def _start_alone(self) -> None:
        self._resources.callback(lock_data_directory(self._data_dir, self._runtime))
        store = EmbeddedMetadataStore.open(self._data_dir / JOURNAL_FILE, self._runtime)
        self._resources.push_async_callback(store.close)
        self._term = term = CoordinatorTerm(store, self._settings(), metadata_complete=store.recovery.proven)
        self._resources.push_async_callback(term.close)
        await self.listening.serve(await term.start())
        term.watch_servers()

    async def _start_with_zookeeper(self) -> None:
        # kazoo costs start-up time, which a server without ZooKeeper need not pay.
        from fluss_server.metadata.zookeeper.latch import LeaderLatch
        from fluss_server.metadata.zookeeper.settings import ZooKeeperSettings
        from fluss_server.metadata.zookeeper.store import ZooKeeperMetadataStore

        store = await ZooKeeperMetadataStore.connect(ZooKeeperSettings.of(self._configuration), self._runtime)
        self._resources.push_async_callback(store.close)
        settings = self._settings()
        node = EphemeralNode(store, coordinator_id_path(settings.coordinator_id), settings.record.encode())
        self._resources.push_async_callback(node.close)
        await node.start()
        active = ActiveCoordinator(store, self._internal)
        self._resources.push_async_callback(active.close)
        await active.start()
        connection = PeerConnection.of(
            "the active coordinator",
            active.endpoint,
            self._configuration,
            network=self._runtime.network,
            authentication=self._credentials,
        )
        self._resources.push_async_callback(connection.close)
        self._standby = standby_registry(connection, active.look, self._internal)
        await self.listening.serve(self._standby)
        latch = LeaderLatch(store, settings.coordinator_id, self._runtime)
        candidacy = asyncio.ensure_future(self._stand(store, latch))
        self._resources.push_async_callback(_cancelled, candidacy)

    def _settings(self) -> TermSettings:
        endpoints = self.listening.reachable_endpoints
        coordinator_id = self._runtime.secrets.token(16).hex()
        return TermSettings(
            CoordinatorRecord(coordinator_id, encode_endpoints(endpoints)),
            endpoints,
            self._options,
            self._lease,
            self._internal,
            self._credentials,
            self.listening.security,
            self._runtime,
        )

    async def _stand(self, store: ZooKeeperMetadataStore, latch: LeaderLatch) -> None:
        """Be a candidate, term after term, until cancelled."""
        try:
            while True:
                await latch.acquire()
                await self._serve_a_term(store, latch)
                await latch.release()  # a term that could not begin, too, must not keep others from theirs
                await asyncio.sleep(PAUSE_BETWEEN_TERMS_S)
        finally:
            await latch.release()
            latch.close()

    async def _serve_a_term(self, store: ZooKeeperMetadataStore, latch: LeaderLatch) -> None:
        self._term = term = CoordinatorTerm(store, self._settings())
        try:
            self.listening.replace(await term.start())
            await term.announce()
            term.watch_servers()
            logger.info("active, coordinator epoch %s", term.epoch)
            await _first_of(latch.lost(), term.ended())
            logger.warning("coordinator epoch %s has ended here", term.epoch)
        except FlussError as error:
            logger.error("this coordinator could not become active: %s", error)
        finally:
            self._term = None
            assert self._standby is not None, "there is no election without it"
            self.listening.replace(self._standby)
            await term.close()


async def _first_of(*waits: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _cancelled(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
