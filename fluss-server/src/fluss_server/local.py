"""A complete Fluss in one process on one port: coordinator and tablet server over one data directory.

Files of the data directory (names with a dot cannot be database names)::

    .lock              held while a server runs
    metadata.journal   databases, tables and ids; metadata.checkpoint: how far it is durable
    {database}/...     tables, see ``tablet/replica_manager.py``
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from fluss_server.config import SERVER_OPTIONS, Configuration
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.coordinator.auto_partition import AutoPartitionManager
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.cluster_service import ClusterService, ReplicaCounts
from fluss_server.coordinator.partition_service import PartitionService
from fluss_server.coordinator.partitions import PartitionExecutor
from fluss_server.coordinator.producer_service import ProducerService
from fluss_server.coordinator.service import CoordinatorService, ServerNode
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.journal_file import JOURNAL_FILE
from fluss_server.metadata.store import MetadataStore
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.rpc.limits import rpc_limits
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.rpc.shared_resources import SharedResources
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.files import DirectoryLock
from fluss_server.runtime.open_files import raise_open_files_limit
from fluss_server.runtime.runtime import system_runtime
from fluss_server.security.acl_service import AclService
from fluss_server.security.authorization_interceptor import AuthorizationInterceptor
from fluss_server.security.authorizer import Authorizer, parse_super_users
from fluss_server.security.credentials import check_configured_users
from fluss_server.security.listeners import CREDENTIALS, Listener, ListenerSecurity
from fluss_server.security.sasl import PasswordCheck
from fluss_server.server_settings import replica_config, scanner_config, table_settings
from fluss_server.tablet.disk_write_lock import DISK_RATIOS, DiskMonitor, DiskWriteLock, check_ratios, disk_ratios
from fluss_server.tablet.hosted_tables import HostedTables
from fluss_server.tablet.kv_scanners import KvScanners
from fluss_server.tablet.read_service import ReadService
from fluss_server.tablet.replica_manager import ReplicaManager
from fluss_server.tablet.write_service import WriteService

if TYPE_CHECKING:
    from fluss_server.grpc_server.server import GrpcServer
    from fluss_server.metrics.http_endpoint import HttpEndpoint

logger = logging.getLogger(__name__)

SERVER_ID = 0


class LocalServer:
    """The one-process cluster. Create it, :meth:`start` it, :meth:`close` it, all on one event loop.

    Args:
        data_dir: directory of all data; created if missing.
        host: address to listen on, unless the options name listeners.
        port: port, 0 for a free one.
        grpc_port: port of the gRPC door, 0 for a free one, None for no door.
        options: server options by key; unknown keys and bad values are refused.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        grpc_port: int | None = None,
        options: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._requested_grpc_port = grpc_port
        self._dynamic = DynamicConfiguration(SERVER_OPTIONS, options or {})
        self._runtime = system_runtime(clock=clock)
        self._clock = self._runtime.clock
        self._disk_lock = DiskWriteLock(*disk_ratios(self._configuration))
        self._replicas: ReplicaManager | None = None
        self._scanners: KvScanners | None = None
        self._security = ListenerSecurity(self._configuration, host, port, self._runtime)
        self._servers: list[RpcServer] = []
        self._grpc_server: GrpcServer | None = None
        self._metrics: HttpEndpoint | None = None
        self._resources = contextlib.AsyncExitStack()  # what is open, to be closed in reverse

    @property
    def _configuration(self) -> Configuration:
        return self._dynamic.current

    @property
    def port(self) -> int:
        """The port in use by the first listener, once started."""
        assert self._servers, "the server is not started"
        return self._servers[0].port

    @property
    def endpoints(self) -> list[Endpoint]:
        """The listeners with the ports in use, once started."""
        return [
            listener.endpoint._replace(port=server.port)
            for listener, server in zip(self._security.listeners, self._servers, strict=True)
        ]

    @property
    def grpc_endpoint(self) -> Endpoint | None:
        """Where the gRPC door listens, once started; None without one."""
        if self._grpc_server is None:
            return None
        return self._security.listeners[0].endpoint._replace(port=self._grpc_server.port)

    @property
    def metrics_address(self) -> str | None:
        """``host:port`` of the metrics, once started; None without a reporter."""
        return None if self._metrics is None else self._metrics.address

    async def start(self) -> None:
        """Recover everything in the data directory, then listen.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when another process uses the directory, when metadata and data do not fit
                each other, or when something cannot be recovered; ``NETWORK_EXCEPTION`` when the address is taken.
        """
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        self._lock_directory()
        closing = self._resources.push_async_callback
        interval_s = self._configuration.get_int("server.data-disk.check-interval") / 1000
        disk_monitor = DiskMonitor(self._data_dir, self._disk_lock, interval_s)
        closing(disk_monitor.close)
        await disk_monitor.start()
        store = EmbeddedMetadataStore.open(self._data_dir / JOURNAL_FILE, self._runtime)
        closing(store.close)
        cluster = ClusterService(store, self._dynamic, self._replica_counts)
        closing(cluster.close)
        await cluster.load()  # settings that were changed at run time count for everything below
        manager = MetadataManager(store, self._clock)
        await manager.load()
        replicas, scanners = await self._open_replicas(manager, keep_orphans=not store.recovery.proven)

        authorizer = await self._load_authorizer(store)
        interceptor = None if authorizer is None else AuthorizationInterceptor(authorizer, manager.table_path)
        self._follow_changes(replicas)
        tables = HostedTables(replicas, scanners)
        node = ServerNode(SERVER_ID, self._security.advertised)
        coordinator = CoordinatorService(manager, tables, node, table_settings(self._configuration))
        closing(coordinator.close)
        partitions = PartitionExecutor(
            manager, coordinator.ddl, tables, self._clock, self._configuration.get_int("max.partition.num")
        )
        auto_partitions = AutoPartitionManager(
            manager,
            partitions,
            self._clock,
            interval_s=self._configuration.get_int("auto-partition.check.interval") / 1000,
            random=Random(),
        )
        coordinator.ddl.on_change = auto_partitions.table_changed
        closing(auto_partitions.close)
        producers = ProducerService(
            store,
            self._clock,
            default_ttl_ms=self._configuration.get_int("coordinator.producer-offsets.ttl"),
            sweep_interval_ms=self._configuration.get_int("coordinator.producer-offsets.cleanup-interval"),
            permissions=None if interceptor is None else interceptor.permissions,
        )
        closing(producers.close)
        writes = WriteService(
            replicas, self._disk_lock, kv_queue_bytes=self._configuration.get_int("kv.write-queue.size")
        )
        reads = ReadService(
            replicas,
            scanners,
            self._disk_lock,
            self._clock,
            max_parked_fetches=self._configuration.get_int("server.fetch.max-parked"),
        )
        registry = ServiceRegistry(
            coordinator,
            cluster,
            PartitionService(manager, partitions),
            writes,
            reads,
            AclService(authorizer),
            producers,
            interceptors=[] if interceptor is None else [interceptor],
        )
        shared = SharedResources(rpc_limits(self._configuration, open_files=raise_open_files_limit()))
        closing(self._stop_listening)
        for listener in self._security.listeners:
            await self._listen(registry, shared, listener)
        self._security.warn_if_exposed()
        if self._configuration.get_list("metrics.reporters"):
            from fluss_server.reporters import start_prometheus

            self._metrics = await start_prometheus(
                self._configuration,
                server_id=SERVER_ID,
                registry=registry,
                shared=shared,
                manager=manager,
                replicas=replicas,
                scanners=scanners,
                parked=reads.parked,
                disk=self._disk_lock,
                replica_counts=self._replica_counts,
                runtime=self._runtime,
            )
            closing(self._metrics.close)
        if self._requested_grpc_port is not None:
            await self._open_grpc_server(registry, self._requested_grpc_port)
        auto_partitions.start()

    def _lock_directory(self) -> None:
        lock = DirectoryLock(self._data_dir)
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            locked = lock.acquire()
        except OSError as error:
            raise FlussError(
                ErrorCode.STORAGE_EXCEPTION, f"cannot use the data directory {self._data_dir}: {error}"
            ) from error
        if not locked:
            raise FlussError(
                ErrorCode.STORAGE_EXCEPTION,
                f"another process uses the data directory {self._data_dir}",
                hint="stop it, or choose another directory with --data-dir",
            )
        self._resources.callback(lock.release)

    async def _open_replicas(
        self, manager: MetadataManager, *, keep_orphans: bool
    ) -> tuple[ReplicaManager, KvScanners]:
        """Open, and recover where that is needed, everything that the metadata knows."""
        next_table_id, next_partition_id = await manager.next_ids()
        self._replicas = replicas = ReplicaManager(
            self._data_dir,
            replica_config(self._configuration),
            self._runtime,
            lambda table, schema_id: manager.schema(table.table_id, schema_id),
            manager.reserve_ids,
        )
        self._resources.push_async_callback(replicas.close)
        self._scanners = scanners = KvScanners(replicas.kv_worker, self._runtime, scanner_config(self._configuration))
        scanners.start()
        self._resources.push_async_callback(scanners.stop)
        tables = manager.tables()
        await replicas.start(
            tables,
            [partition for table in tables if table.is_partitioned for partition in manager.partitions(table)],
            next_table_id=next_table_id,
            next_partition_id=next_partition_id,
            keep_orphans=keep_orphans,
        )
        writer_ids = (replica.log.largest_writer_id for replica in replicas.replicas())
        await manager.raise_writer_id_counter(max(writer_ids, default=-1))
        return replicas, scanners

    async def _open_grpc_server(self, registry: ServiceRegistry, port: int) -> None:
        """The door stands beside the first listener, and asks its callers what that one asks its clients."""
        from fluss_server.grpc_server.server import GrpcServer  # gRPC costs 10 MB and 20 ms

        first = self._security.listeners[0]
        self._grpc_server = GrpcServer(
            registry,
            first.endpoint.host,
            port,
            native_port=self.port,
            clock=self._clock,
            listener=first.endpoint.listener,
            authenticate=None if first.authenticator is None else PasswordCheck(first.authenticator),
        )
        self._resources.push_async_callback(self._grpc_server.close)
        await self._grpc_server.start()

    def _follow_changes(self, replicas: ReplicaManager) -> None:
        """What options that change while the server runs do then."""
        security, roll_segments = self._security, "log.retention.roll-active-segment.enabled"
        self._dynamic.subscribe(
            [CREDENTIALS],
            lambda configuration: check_configured_users(configuration.get_map(CREDENTIALS)),
            lambda configuration: security.configure_users(configuration.get_map(CREDENTIALS)),
        )
        self._dynamic.subscribe(
            [roll_segments],
            lambda configuration: None,
            lambda configuration: replicas.set_roll_expired_segments(configuration.get_bool(roll_segments)),
        )
        lock = self._disk_lock
        self._dynamic.subscribe(
            DISK_RATIOS,
            lambda configuration: check_ratios(*disk_ratios(configuration)),
            lambda configuration: lock.configure(*disk_ratios(configuration)),
        )
        lock.configure(*disk_ratios(self._configuration))
        security.configure_users(self._configuration.get_map(CREDENTIALS))  # with what was changed before this start
        ignored = {key for key, option in SERVER_OPTIONS.items() if option.dynamic} - self._dynamic.subscribed
        assert not ignored, f"nobody follows changes of {ignored}"

    def _replica_counts(self) -> ReplicaCounts:
        replicas = [] if self._replicas is None else self._replicas.replicas()
        return ReplicaCounts(len(replicas), sum(replica.is_online for replica in replicas))

    async def _load_authorizer(self, store: MetadataStore) -> Authorizer | None:
        if not self._configuration.get_bool("authorizer.enabled"):
            return None
        super_users = parse_super_users(self._configuration.get_str("super.users"))
        if not super_users:
            logger.warning("authorizer.enabled without super.users: only who has been granted ALL before can grant")
        ignore_case = self._configuration.get_bool("security.acl.principal.ignore-case")
        authorizer = Authorizer(store, super_users, ignore_case=ignore_case)
        self._resources.push_async_callback(authorizer.close)
        await authorizer.load()
        return authorizer

    async def _listen(self, registry: ServiceRegistry, shared: SharedResources, listener: Listener) -> None:
        name, host, port = listener.endpoint
        server = RpcServer(
            registry,
            host,
            port,
            runtime=self._runtime,
            shared=shared,
            listener=name,
            authenticator=listener.authenticator,
        )
        try:
            await server.start()
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise FlussError(
                ErrorCode.NETWORK_EXCEPTION,
                f"cannot listen on {host}:{port}: {error.strerror or error}",
                hint="another process uses the port; choose another with --port, or 0 for a free one"
                if taken
                else None,
            ) from error
        self._servers.append(server)

    async def close(self) -> None:
        """Answer what is in flight, make everything durable, and let go of the directory. May be called twice."""
        await self._resources.aclose()

    async def _stop_listening(self) -> None:
        servers, self._servers = self._servers, []
        await asyncio.gather(*(server.close() for server in servers))
