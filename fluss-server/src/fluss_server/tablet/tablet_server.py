"""A tablet server: everything that keeps and serves the data of buckets, under one coordinator."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

from fluss_server import __version__
from fluss_server.api.keys import ApiKey
from fluss_server.cluster.lease import HEARTBEAT_INTERVAL
from fluss_server.cluster.messages import (
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
from fluss_server.rpc.lazy_service import LazyService
from fluss_server.runtime.runtime import Runtime
from fluss_server.tablet.cluster_settings import ClusterSettings
from fluss_server.tablet.control_fence import ControlFence
from fluss_server.tablet.disk_space import DiskSpaceReports
from fluss_server.tablet.disk_write_lock import DISK_RATIOS, DiskMonitor, DiskWriteLock, check_ratios, disk_ratios
from fluss_server.tablet.full_disk import FullDisk
from fluss_server.tablet.isr_maintenance import IsrMaintenance
from fluss_server.tablet.kv_scanners import KvScanners, ScannerConfig
from fluss_server.tablet.membership import Membership
from fluss_server.tablet.metadata_service import MetadataService
from fluss_server.tablet.read_service import ReadService
from fluss_server.tablet.replica_config import ReplicaConfig
from fluss_server.tablet.replica_manager import ReplicaManager
from fluss_server.tablet.resignations import Resignations
from fluss_server.tablet.write_service import WriteService
from fluss_server.tablet.writer_ids import WriterIds

if TYPE_CHECKING:
    from fluss_server.cluster.gateways import CoordinatorGateway
    from fluss_server.cluster.settings_update import UpdateSettings
    from fluss_server.cluster.update_parts import SnapshotParts
    from fluss_server.rpc.client import RpcClient
    from fluss_server.security.acl_replica import AclReplica
    from fluss_server.tablet.replication_service import ReplicationService
    from fluss_server.tablet.stop_marker import StopMarker

logger = logging.getLogger(__name__)

_ROLL_SEGMENTS = "log.retention.roll-active-segment.enabled"
_MIN_ISR = "log.replica.min-in-sync-replicas-number"


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
        replaced: called when another process has taken the server id; this one must stop.
        acls: what clients may do, for which the coordinator sends the entries; None = everything.
        stop_marker: tells the next process how this one ended; None when no other server could have replicas.

    Attributes:
        metadata: what it knows of the cluster.
        replicas: the buckets that it keeps.
        isr: keeps the ISRs of the buckets that it leads.
        membership: whether it is a member of the cluster, and its lease.
        scanners: full scans that are open.
        disk: whether writes are refused, because the disk is nearly full.
        disk_space: how much of the disk is in use.
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
        replaced: Callable[[FlussError], object] = lambda error: None,
        acls: AclReplica | None = None,
        stop_marker: StopMarker | None = None,
    ) -> None:
        self._coordinator = coordinator
        self._network, self._clock = runtime.network, runtime.clock
        self._configuration = configuration
        self._stop_marker = stop_marker
        current = configuration.current
        incarnation = runtime.secrets.token(16).hex()
        self._settings = ClusterSettings(configuration, acls, runtime.clock)
        self.membership = Membership(
            RegisterServer(node, incarnation, fluss_version=__version__, checks_permissions=acls is not None),
            coordinator,
            self,
            runtime.clock,
            interval_s=current.get_int(HEARTBEAT_INTERVAL) / 1000,
            replaced=replaced,
            rejoining=lambda: self.replicas.begin_rejoining(),
            heard=self._settings.heard,
            registered=lambda: None if stop_marker is None else stop_marker.registered(),
            disk=lambda: self.disk_space.latest,
        )
        self.metadata = MetadataCache()
        self._fence = ControlFence(self.metadata, incarnation)
        self._snapshot_parts: SnapshotParts | None = None
        self.disk = DiskWriteLock(*disk_ratios(current))
        self._disk_monitor = DiskMonitor(
            directory, self.disk, current.get_int("server.data-disk.check-interval") / 1000, runtime
        )
        self._resignations = Resignations(node.server_id, coordinator, runtime.random.random)
        self._full_disk = FullDisk(
            self.disk, self._disk_monitor, lambda: self.replicas.leaders(), self._resignations.failed, runtime.clock
        )
        self.replicas = ReplicaManager(
            node.server_id,
            directory,
            replica_config,
            runtime,
            self.metadata,
            self._reserve_ids,
            self._connect,
            self.membership.lease,
            self._resignations.failed,
            incarnation=incarnation,
            disk=self._full_disk,
        )
        self.disk_space = DiskSpaceReports(self.replicas.replicas, self._disk_monitor, runtime.clock)
        self.isr = IsrMaintenance(
            node.server_id,
            coordinator,
            self.replicas.leaders,
            self.metadata,
            replica_config.replication.max_lag_s,
            runtime.random.random,
            runtime.clock.monotonic,
            max_silence_s=replica_config.replication.max_silence_s,
        )
        self.scanners = KvScanners(self.replicas.kv_worker, runtime, scanner_config)
        self.reads = ReadService(
            self.replicas,
            lambda: self._replication,
            self.scanners,
            self.disk,
            runtime.clock,
            max_parked_fetches=current.get_int("server.fetch.max-parked"),
        )
        self.services: tuple[object, ...] = (
            WriteService(
                self.replicas,
                self.disk,
                kv_queue_bytes=current.get_int("kv.write-queue.size"),
                refused=self._full_disk.write_refused,
            ),
            self.reads,
            LazyService((ApiKey.LEADER_EPOCHS,), lambda: self._replication),
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
        before = None if self._stop_marker is None else self._stop_marker.begin()
        closing(self._close_replicas)
        await self._disk_monitor.start()
        closing(self._disk_monitor.close)
        if self._stop_marker is not None:
            self._full_disk.start()
            closing(self._full_disk.close)
        self.scanners.start()
        closing(self.scanners.stop)
        self.replicas.start()
        self.isr.start()
        closing(self.isr.close)
        closing(self._resignations.close)
        closing(self.disk_space.close)
        self._has_snapshot = asyncio.get_running_loop().create_future()
        closing(self.membership.close)
        if before is None:
            await self.membership.join()
        else:
            await self.membership.join(clean=before.stopped, durable=before.durable)
        await self._has_snapshot

    def coordinator_changed(self) -> None:
        """Another coordinator is the active one."""
        self.membership.coordinator_changed()

    async def leave(self) -> None:
        """Have the coordinator move leaderships to other servers, before :meth:`close`."""
        self.replicas.pause_reads()
        await self.replicas.hand_over(await self.membership.leave())

    async def close(self) -> None:
        """Make everything durable and release the files. May be called twice."""
        await self._resources.aclose()

    async def _close_replicas(self) -> None:
        durable = await self.replicas.close()
        if durable and self._stop_marker is not None:
            self._stop_marker.stopped()

    # ------------------------------------------------------------------ TabletServerGateway

    async def notify_leader_and_isr(self, request: NotifyLeaderAndIsr) -> NotifyLeaderAndIsrResponse:
        self._fence.check(request.coordinator_epoch, request.stamp)
        return await self.replicas.notify_leader_and_isr(request)

    async def update_metadata(self, request: UpdateMetadata) -> None:
        async with self._control:
            self._fence.check(request.coordinator_epoch, request.stamp)
            if request.part is None:
                await self._apply(request)
            else:
                await self._apply_part(request)

    async def _apply_part(self, request: UpdateMetadata) -> None:
        """A part of a snapshot, which came over the network."""
        if self._snapshot_parts is None:
            from fluss_server.cluster.update_parts import SnapshotParts

            self._snapshot_parts = SnapshotParts()
        if (snapshot := self._snapshot_parts.add(request)) is not None:
            await self._apply(snapshot)
            self._snapshot_parts.applied()

    async def _apply(self, request: UpdateMetadata) -> None:
        """Replicas meet the new definitions before clients see them."""
        if request.snapshot is not None:
            self.replicas.snapshot_begins()
        self.metadata.learn_schemas(request)
        await self.replicas.update_tables(request.tables)
        self.metadata.apply(request)
        if request.snapshot is None:
            return
        self.replicas.snapshot_received()
        waiting = self._has_snapshot
        try:
            orphans = await self.replicas.orphans()
            if orphans:  # dropped while the coordinator could not reach this server
                await self._stop_replicas(StopReplicas(request.coordinator_epoch, orphans))
            await self.replicas.remove_orphans(request.snapshot)
        except Exception as error:
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)
            raise
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def update_settings(self, request: UpdateSettings) -> None:
        self._fence.check(request.coordinator_epoch, request.stamp)
        self._settings.update(request)

    async def stop_replicas(self, request: StopReplicas) -> StopReplicasResponse:
        self._fence.check(request.coordinator_epoch, request.stamp)
        return await self._stop_replicas(request)

    # ------------------------------------------------------------------ parts

    @cached_property
    def _replication(self) -> ReplicationService:
        """Made with the first request of a follower, which a single server never gets."""
        from fluss_server.tablet.replication_service import ReplicationService

        return ReplicationService(self.replicas, self.isr, self._clock)

    async def _stop_replicas(self, request: StopReplicas) -> StopReplicasResponse:
        self.scanners.close_buckets({stop.bucket for stop in request.replicas})
        return await self.replicas.stop_replicas(request)

    async def _connect(self, server_id: int) -> RpcClient:
        """Connect to another server, as its follower; ``NETWORK_EXCEPTION``, ``AUTHENTICATE_EXCEPTION``."""
        from fluss_server.rpc.client import RpcClient
        from fluss_server.security.internal_calls import INTERNAL_LISTENER, internal_endpoint, server_credentials

        node = self.metadata.servers.get(server_id)
        options = self._configuration.current
        if node is None:
            raise FlussError(ErrorCode.NETWORK_EXCEPTION, f"the address of server {server_id} is not known")
        endpoint = internal_endpoint(node.endpoints, options.get_str(INTERNAL_LISTENER), f"tablet server {server_id}")
        return await RpcClient.connect(
            endpoint.host,
            endpoint.port,
            authentication=server_credentials(options),
            network=self._network,
            timeout_s=options.get_int("server.internal.connect-timeout") / 1000,
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
