"""Metrics of the coordinator."""

from __future__ import annotations

from collections.abc import Iterable

from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.metrics.samples import Sample


def coordinator_samples(manager: MetadataManager, *, offline_buckets: int, live_servers: int) -> Iterable[Sample]:
    """Databases, tables and buckets as the metadata has them.

    Args:
        offline_buckets: buckets without a leader that takes writes.
        live_servers: tablet servers that are members.
    """
    tables = manager.tables()
    partitions = {table.table_id: len(manager.partitions(table)) for table in tables if table.is_partitioned}
    yield Sample("coordinator_activeCoordinatorCount", 1)
    yield Sample("coordinator_activeTabletServerCount", live_servers)
    yield Sample("coordinator_tableCount", len(tables))
    yield Sample("coordinator_partitionCount", sum(partitions.values()))
    yield Sample(
        "coordinator_bucketCount",
        sum(table.bucket_count * (partitions[table.table_id] if table.is_partitioned else 1) for table in tables),
    )
    yield Sample("coordinator_offlineBucketCount", offline_buckets)
