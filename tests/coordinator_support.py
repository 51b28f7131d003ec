"""A coordinator with a tablet server that keeps no data, on a real port or without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timezone
from pathlib import Path
from random import Random

from fluss_server.cluster.messages import (
    BucketLeadership,
    BucketResult,
    Failure,
    NotifyLeaderAndIsr,
    NotifyLeaderAndIsrResponse,
    RegisterServer,
    ServerNode,
    StopReplicas,
    StopReplicasResponse,
    UpdateMetadata,
)
from fluss_server.cluster.metadata_cache import MetadataCache
from fluss_server.cluster.settings_update import UpdateSettings
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.cluster_controller import ClusterController
from fluss_server.coordinator.ddl import DdlExecutor
from fluss_server.coordinator.fencing import fence
from fluss_server.coordinator.partition_service import PartitionService
from fluss_server.coordinator.partitions import PartitionExecutor
from fluss_server.coordinator.service import CoordinatorService
from fluss_server.coordinator.validation import TableSettings
from fluss_server.errors import FlussError
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.store import MetadataStore
from fluss_server.model.identifiers import TableBucket
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.runtime import system_runtime
from fluss_server.tablet.metadata_service import MetadataService
from fluss_server.tablet.writer_ids import WriterIds


class RecordingTabletServer:
    """A tablet server that leads whatever it is told to, has no data, and remembers what it was told.

    Attributes:
        hosted: the replicas that it has.
        calls: what happened to which table, several buckets as one.
        fail_lead: why no replica can be opened; for the buckets that ``fails`` names, by default all.
        fail_stop: why no replica can be stopped.
        fail_update: why no metadata can be taken in.
        gate: responses to NOTIFY_LEADER_AND_ISR wait for it.
        entered: set when one waits.
    """

    def __init__(self) -> None:
        self.metadata = MetadataCache()
        self.hosted: dict[TableBucket, BucketLeadership] = {}
        self.calls: list[tuple[str, int]] = []
        self.notifications: list[BucketLeadership] = []
        self.fail_lead: FlussError | None = None
        self.failing_partitions: set[str] | None = None
        self.fail_stop: FlussError | None = None
        self.fail_update: FlussError | None = None
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.settings: list[UpdateSettings] = []

    @property
    def tables(self) -> list[int]:
        """Tables that it has replicas of."""
        return sorted({bucket.table_id for bucket in self.hosted})

    @property
    def partitions(self) -> list[int]:
        """Partitions that it has replicas of."""
        return sorted({bucket.partition_id for bucket in self.hosted if bucket.partition_id is not None})

    async def notify_leader_and_isr(self, request: NotifyLeaderAndIsr) -> NotifyLeaderAndIsrResponse:
        self.metadata.check_epoch(request.coordinator_epoch)
        self._note("created", request.buckets)
        self.notifications += request.buckets
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        results = []
        for leadership in request.buckets:
            table = self.metadata.table(leadership.bucket.table_id)
            assert table is not None, "the definition comes before the leadership"
            assert self.metadata.schema(table.table_id, table.schema_id) == table.schema
            failing = self.failing_partitions is None or leadership.partition in self.failing_partitions
            if self.fail_lead is not None and failing:
                results.append(BucketResult(leadership.bucket, Failure.of(self.fail_lead)))
            else:
                self.hosted[leadership.bucket] = leadership
                results.append(BucketResult(leadership.bucket))
        return NotifyLeaderAndIsrResponse(tuple(results))

    async def update_metadata(self, request: UpdateMetadata) -> None:
        if self.fail_update is not None:
            raise self.fail_update
        for entry in request.tables:
            known = self.metadata.table(entry.table.table_id)
            if known is not None and known != entry.table:
                self.calls.append(("altered", known.table_id))
        self.metadata.apply(request)

    async def update_settings(self, request: UpdateSettings) -> None:
        self.metadata.check_epoch(request.coordinator_epoch)
        self.settings.append(request)

    async def stop_replicas(self, request: StopReplicas) -> StopReplicasResponse:
        self._note("dropped", request.replicas)
        if self.fail_stop is not None:
            failure = Failure.of(self.fail_stop)
            return StopReplicasResponse(tuple(BucketResult(stop.bucket, failure) for stop in request.replicas))
        for stop in request.replicas:
            self.hosted.pop(stop.bucket, None)
        return StopReplicasResponse(tuple(BucketResult(stop.bucket) for stop in request.replicas))

    def _note(self, call: str, entries: tuple[object, ...]) -> None:
        for table_id in dict.fromkeys(entry.bucket.table_id for entry in entries):  # type: ignore[attr-defined]
            self.calls.append((call, table_id))


async def opened(path: Path, clock: ManualClock | None = None) -> tuple[EmbeddedMetadataStore, MetadataManager]:
    """The metadata file at ``path``, and what it holds."""
    store = EmbeddedMetadataStore.open(path, system_runtime())
    manager = MetadataManager(store, clock or ManualClock())
    await manager.load()
    return store, manager


@dataclass
class Coordinator:
    """The parts of a coordinator that has one tablet server, with id 3 unless said otherwise."""

    store: MetadataStore
    manager: MetadataManager
    controller: ClusterController
    ddl: DdlExecutor
    partitions: PartitionExecutor
    server: RecordingTabletServer


@asynccontextmanager
async def running(
    path: Path,
    clock: ManualClock | None = None,
    settings: TableSettings | None = None,
    *,
    node: ServerNode | None = None,
    max_partitions: int = 1000,
) -> AsyncIterator[Coordinator]:
    """A coordinator over the metadata file at ``path``."""
    store = EmbeddedMetadataStore.open(path, system_runtime())
    async with running_over(store, clock, settings, node=node, max_partitions=max_partitions) as parts:
        yield parts


@asynccontextmanager
async def running_over(
    store: MetadataStore,
    clock: ManualClock | None = None,
    settings: TableSettings | None = None,
    *,
    node: ServerNode | None = None,
    max_partitions: int = 1000,
) -> AsyncIterator[Coordinator]:
    """A coordinator over a metadata store, which is closed with it."""
    clock = clock or ManualClock()
    node = node or ServerNode(3)
    fenced = await fence(store)
    manager = MetadataManager(fenced, clock)
    await manager.load()
    controller = ClusterController(fenced, manager, node, Random(0).randrange, clock=clock)
    await controller.load()
    server = RecordingTabletServer()
    await controller.register(RegisterServer(node, "first"), server)
    await controller.settled()
    server.calls.clear()
    ddl = DdlExecutor(manager, controller.tables, settings or TableSettings())
    partitions = PartitionExecutor(manager, ddl, controller.tables, clock, max_partitions, lambda: timezone.utc)
    try:
        yield Coordinator(store, manager, controller, ddl, partitions, server)
        await ddl.close()
    finally:
        await controller.close()
        await store.close()


@asynccontextmanager
async def coordinator(
    path: Path,
    advertised: Mapping[str, tuple[str, int]] | None = None,
    settings: TableSettings | None = None,
    max_partitions: int = 1000,
) -> AsyncIterator[int]:
    """Serve the metadata file at ``path`` as server 4; yields the port."""
    from fluss_server.rpc.endpoints import Endpoint

    node = ServerNode(4, tuple(Endpoint(listener, *address) for listener, address in (advertised or {}).items()))
    async with running(path, None, settings, node=node, max_partitions=max_partitions) as parts:
        registry = ServiceRegistry(
            CoordinatorService(parts.manager, parts.ddl),
            PartitionService(parts.manager, parts.partitions),
            MetadataService(parts.server.metadata, node.server_id, WriterIds(parts.controller)),
        )
        server = RpcServer(registry, "127.0.0.1", 0, runtime=system_runtime())
        await server.start()
        try:
            yield server.port
        finally:
            await server.close(grace_s=1)
