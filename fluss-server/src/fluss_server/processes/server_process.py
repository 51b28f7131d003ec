"""What every server process consists of: options, ports, and what is open, to be closed in reverse order."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from fluss_server.config import SERVER_OPTIONS, Configuration
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.config.official_options import effective_options
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.journal_file import JOURNAL_FILE
from fluss_server.processes.data_directory import lock_data_directory
from fluss_server.processes.listening import Listening
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime.runtime import Runtime, system_runtime

if TYPE_CHECKING:
    from fluss_server.metrics.http_endpoint import HttpEndpoint
    from fluss_server.metrics.samples import Source


class ServerProcess(ABC):
    """Create it, :meth:`start` it, :meth:`close` it, all on one event loop.

    A subclass says in :meth:`_start` what it consists of, and pushes onto ``_resources`` what has to be closed.

    Args:
        data_dir: directory of its files; created if missing.
        host: address to listen on, unless the options name listeners.
        port: port, 0 for a free one.
        grpc_port: port of the gRPC server, 0 for a free one, None for none.
        options: server options by key; unknown keys and bad values are refused.
        runtime: the machine; by default the real one.

    Attributes:
        in_cluster: whether options for processes of a cluster have an effect.
        listening: its ports.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """

    in_cluster: ClassVar[bool]
    _metrics: HttpEndpoint | None = None

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
        self._runtime = runtime or system_runtime()
        self._options = effective_options(options or {}, in_cluster=self.in_cluster)
        self._dynamic = DynamicConfiguration(SERVER_OPTIONS, self._options)
        self.listening = Listening(self._configuration, host, port, grpc_port, self._runtime)
        self._resources = contextlib.AsyncExitStack()

    @property
    def _configuration(self) -> Configuration:
        """The effective options now."""
        return self._dynamic.current

    @property
    def port(self) -> int:
        """The port in use by the first listener, once started."""
        return self.listening.port

    @property
    def endpoints(self) -> list[Endpoint]:
        """The listeners with the ports in use, once started."""
        return self.listening.endpoints

    @property
    def metrics_addresses(self) -> list[str]:
        """``host:port`` of the metrics, once started; nothing without a reporter."""
        return [] if self._metrics is None else [self._metrics.address]

    async def start(self) -> None:
        """Start everything; when something fails, what was started is closed again.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when another process uses the directory, when metadata and data do not
                belong together, or when something cannot be recovered; ``NETWORK_EXCEPTION`` when an address cannot be
                used; of a tablet server: why the coordinator refuses it.
        """
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what has begun, make everything durable, and release the directory. May be called twice."""
        await self._resources.aclose()

    @abstractmethod
    async def _start(self) -> None:
        """Start the parts, each after what it needs."""

    @property
    def _has_reporter(self) -> bool:
        """Whether metrics are reported: :meth:`_report` then loads what that needs."""
        return bool(self._configuration.get_list("metrics.reporters"))

    async def _report(
        self, server_id: str, sources: Sequence[Source], health: Callable[[], Mapping[str, object]]
    ) -> None:
        """Show metrics and health over HTTP until this process closes; see ``start_reporter``."""
        from fluss_server.processes.reporters import start_reporter

        self._metrics = await start_reporter(self._configuration, server_id, sources, health, self._runtime)
        self._resources.push_async_callback(self._metrics.close)

    def _lock_data_directory(self) -> None:
        """Keep other processes out of the data directory until this one closes."""
        self._resources.callback(lock_data_directory(self._data_dir, self._runtime))

    def _open_embedded_store(self) -> EmbeddedMetadataStore:
        """The metadata in the data directory, closed with this process."""
        store = EmbeddedMetadataStore.open(self._data_dir / JOURNAL_FILE, self._runtime)
        self._resources.push_async_callback(store.close)
        return store
