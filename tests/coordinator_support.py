"""A coordinator on a real port, with tables that have no data."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.partition_service import PartitionService
from fluss_server.coordinator.partitions import PartitionExecutor
from fluss_server.coordinator.service import CoordinatorService, ServerNode
from fluss_server.coordinator.validation import TableSettings
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import TableInfo
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.runtime import system_runtime


class NoData:
    """Tables without data."""

    async def table_created(self, table: TableInfo) -> None:
        pass

    async def table_altered(self, table: TableInfo) -> None:
        pass

    async def table_dropped(self, table: TableInfo) -> None:
        pass

    async def partition_created(self, table: TableInfo, partition: PartitionInfo) -> None:
        pass

    async def partition_dropped(self, table: TableInfo, partition: PartitionInfo) -> None:
        pass


async def opened(path: Path, clock: ManualClock | None = None) -> tuple[EmbeddedMetadataStore, MetadataManager]:
    """The metadata file at ``path``, and what it holds."""
    store = EmbeddedMetadataStore.open(path, system_runtime())
    manager = MetadataManager(store, clock or ManualClock())
    await manager.load()
    return store, manager


@asynccontextmanager
async def coordinator(
    path: Path, node: ServerNode | None = None, settings: TableSettings | None = None, max_partitions: int = 1000
) -> AsyncIterator[int]:
    """Serve the metadata file at ``path``; yields the port."""
    clock = ManualClock()
    store, manager = await opened(path, clock)
    service = CoordinatorService(manager, NoData(), node or ServerNode(4), settings)
    partitions = PartitionExecutor(manager, service.ddl, NoData(), clock, max_partitions)
    server = RpcServer(
        ServiceRegistry(service, PartitionService(manager, partitions)), "127.0.0.1", 0, runtime=system_runtime()
    )
    await server.start()
    try:
        yield server.port
    finally:
        await server.close(grace_s=1)
        await service.close()
        await store.close()
