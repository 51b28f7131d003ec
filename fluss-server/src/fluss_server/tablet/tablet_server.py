"""A tablet server: everything that keeps and serves the data of buckets, under one coordinator."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import PurePath

from fluss_server.cluster.gateways import CoordinatorGateway
from fluss_server.cluster.messages import (
    ControlledShutdown,
    NotifyLeaderAndIsr,
    NotifyLeaderAndIsrResponse,
    RegisterServer,
    ReserveIds,
    ServerNode,
    StopReplicas,
    StopReplicasResponse,
    UpdateMetadata,
)
from fluss_server.cluster.metadata_cache import MetadataCache
from fluss_server.config import Configuration
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.service import DEFAULT_LISTENER
from fluss_server.runtime.runtime import Runtime
from fluss_server.tablet.disk_write_lock import DISK_RATIOS, DiskMonitor, DiskWriteLock, check_ratios, disk_ratios
from fluss_server.tablet.isr_maintenance import IsrMaintenance
from fluss_server.tablet.kv_scanners import KvScanners, ScannerConfig
from fluss_server.tablet.metadata_service import MetadataService
from fluss_server.tablet.read_service import ReadService
from fluss_server.tablet.replica_manager import ReplicaConfig, ReplicaManager
from fluss_server.tablet.replication_service import ReplicationService
from fluss_server.tablet.write_service import WriteService
from fluss_server.tablet.writer_ids import WriterIds

logger = logging.getLogger(__name__)

_ROLL_SEGMENTS = "log.retention.roll-active-segment.enabled"
_MIN_ISR = "log.replica.min-in-sync-replicas-number"
_CONNECT_TIMEOUT_S = 5.0


class TabletServer:
    """Create it, :meth:`start` it, :meth:`close` it, all on one event loop. It is a ``TabletServerGateway``.

    It knows of the cluster only what the coordinator tells it.

    Args:
        node: this server.
        directory: data directory; this object expects to be its only user.
        configuration: effective options, and changes of them.
        replica_config: how replicas are kept.
        scanner_config: what full scans may cost.
        runtime: the machine.
        coordinator: of the cluster.
        internal_listener: name of the listener through which servers reach each other; None = the first one.

    Attributes:
        metadata: what it knows of the cluster.
        replicas: the buckets that it keeps.
        isr: keeps the ISRs of the buckets that it leads.
        scanners: full scans that are open.
        disk: whether writes are refused, because the disk is nearly full.
        reads: serves reads.
        services: everything that it serves.
    """

    def __init__(
        self,
        node: ServerNode,
        directory: PurePath,
        configuration: DynamicConfiguration,
        replica_config: ReplicaConfig,
        scanner_config: ScannerConfig,
        runtime: Runtime,
        coordinator: CoordinatorGateway,
        *,
        internal_listener: str | None = None,
    ) -> None:
        self._node = node
        self._runtime = runtime
        self._coordinator = coordinator
        current = configuration.current
        self.metadata = MetadataCache()
        self.disk = DiskWriteLock(*disk_ratios(current))
        self._disk_monitor = DiskMonitor(
            directory, self.disk, current.get_int("server.data-disk.check-interval") / 1000, runtime
        )
        self.replicas = ReplicaManager(
            node.server_id, directory, replica_config, runtime, self.metadata, self._reserve_ids, self._connect
        )
        self._internal_listener = internal_listener
        self.isr = IsrMaintenance(
            node.server_id,
            coordinator,
            self.replicas.leaders,
            self.metadata,
            replica_config.replication.max_lag_s,
            runtime.random,
        )
        first = node.endpoints[0].listener if node.endpoints else DEFAULT_LISTENER
        replication = ReplicationService(self.replicas, self.isr, runtime.clock, internal_listener or first)
        self.scanners = KvScanners(self.replicas.kv_worker, runtime, scanner_config)
        self.reads = ReadService(
            self.replicas,
            replication,
            self.scanners,
            self.disk,
            runtime.clock,
            max_parked_fetches=current.get_int("server.fetch.max-parked"),
        )
        self.services: tuple[object, ...] = (
            WriteService(self.replicas, self.disk, kv_queue_bytes=current.get_int("kv.write-queue.size")),
            self.reads,
            replication,
            MetadataService(self.metadata, node.server_id, WriterIds(coordinator, self._largest_writer_id)),
        )
        self._follow_changes(configuration)
        self._control = asyncio.Lock()  # changes of metadata and replicas happen in the order of their arrival
        self._has_snapshot: asyncio.Future[None] | None = None
        self._resources = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Join the cluster. Returns when the coordinator has told what there is; replicas are opened after that.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when metadata and data do not belong together, and nothing was touched;
                errors of the coordinator.
        """
        closing = self._resources.push_async_callback
        closing(self.replicas.close)
        await self._disk_monitor.start()
        closing(self._disk_monitor.close)
        self.scanners.start()
        closing(self.scanners.stop)
        self.replicas.start()
        self.isr.start()
        closing(self.isr.close)
        self._has_snapshot = asyncio.get_running_loop().create_future()
        incarnation = self._runtime.secrets.token(16).hex()
        await self._coordinator.register(RegisterServer(self._node, incarnation), self)
        await self._has_snapshot

    async def leave(self) -> None:
        """Request that the coordinator moves leaderships to other servers, before :meth:`close`."""
        try:
            left = await self._coordinator.controlled_shutdown(ControlledShutdown(self._node.server_id))
        except FlussError as error:
            logger.warning("server %d leaves without the coordinator: %s", self._node.server_id, error)
        else:
            logger.debug("server %d stops as leader of %d buckets", self._node.server_id, len(left.remaining))

    async def close(self) -> None:
        """Make everything durable and release the files. May be called twice."""
        await self._resources.aclose()

    # ------------------------------------------------------------------ TabletServerGateway

    async def notify_leader_and_isr(self, request: NotifyLeaderAndIsr) -> NotifyLeaderAndIsrResponse:
        self.metadata.check_epoch(request.coordinator_epoch)
        return await self.replicas.notify_leader_and_isr(request)

    async def update_metadata(self, request: UpdateMetadata) -> None:
        async with self._control:
            self.metadata.check_epoch(request.coordinator_epoch)
            self.metadata.learn_schemas(request)
            await self.replicas.update_tables(request.tables)
            self.metadata.apply(request)
            if request.snapshot is None:
                return
            waiting = self._has_snapshot
            try:
                await self.replicas.remove_orphans(request.snapshot)
            except Exception as error:
                if waiting is not None and not waiting.done():
                    waiting.set_exception(error)
                raise
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    async def stop_replicas(self, request: StopReplicas) -> StopReplicasResponse:
        self.metadata.check_epoch(request.coordinator_epoch)
        for table_id, partition_id in {(stop.bucket.table_id, stop.bucket.partition_id) for stop in request.replicas}:
            self.scanners.close_table(table_id, partition_id)
        return await self.replicas.stop_replicas(request)

    # ------------------------------------------------------------------ parts

    async def _connect(self, server_id: int) -> RpcClient:
        """Connect to another server, as its follower; ``NETWORK_EXCEPTION``."""
        node = self.metadata.servers.get(server_id)
        endpoint = None
        if node is not None and node.endpoints:
            listener = self._internal_listener
            endpoint = node.endpoints[0] if listener is None else node.endpoint(listener)
        if endpoint is None:
            raise FlussError(ErrorCode.NETWORK_EXCEPTION, f"the address of server {server_id} is not known")
        return await RpcClient.connect(
            endpoint.host, endpoint.port, network=self._runtime.network, timeout_s=_CONNECT_TIMEOUT_S
        )

    async def _reserve_ids(self, table_id: int, count: int) -> int:
        return (await self._coordinator.reserve_ids(ReserveIds(table_id, count))).first

    def _largest_writer_id(self) -> int:
        return max((replica.log.largest_writer_id for replica in self.replicas.replicas()), default=-1)

    def _follow_changes(self, configuration: DynamicConfiguration) -> None:
        """What options that change while the server runs do then."""
        replicas, disk = self.replicas, self.disk

        def accept(configuration: Configuration) -> None:
            pass

        configuration.subscribe(
            [_ROLL_SEGMENTS],
            accept,
            lambda configuration: replicas.set_roll_expired_segments(configuration.get_bool(_ROLL_SEGMENTS)),
        )
        configuration.subscribe(
            [_MIN_ISR], accept, lambda configuration: replicas.set_min_isr(configuration.get_int(_MIN_ISR))
        )
        configuration.subscribe(
            DISK_RATIOS,
            lambda configuration: check_ratios(*disk_ratios(configuration)),
            lambda configuration: disk.configure(*disk_ratios(configuration)),
        )
