"""What this server does when a table or a partition whose buckets it keeps is made, altered or dropped."""

from __future__ import annotations

from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import TableInfo
from fluss_server.tablet.kv_scanners import KvScanners
from fluss_server.tablet.replica_manager import ReplicaManager


class HostedTables:
    """The ``TableEvents`` of a server that keeps every bucket itself: replicas follow, scans of what is gone end."""

    def __init__(self, replicas: ReplicaManager, scanners: KvScanners) -> None:
        self._replicas = replicas
        self._scanners = scanners

    async def table_created(self, table: TableInfo) -> None:
        await self._replicas.table_created(table)

    async def table_altered(self, table: TableInfo) -> None:
        await self._replicas.table_altered(table)

    async def table_dropped(self, table: TableInfo) -> None:
        self._scanners.close_table(table.table_id)
        await self._replicas.table_dropped(table)

    async def partition_created(self, table: TableInfo, partition: PartitionInfo) -> None:
        await self._replicas.partition_created(table, partition)

    async def partition_dropped(self, table: TableInfo, partition: PartitionInfo) -> None:
        self._scanners.close_table(table.table_id, partition.partition_id)
        await self._replicas.partition_dropped(table, partition)
