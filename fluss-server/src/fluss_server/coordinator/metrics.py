"""Metrics of the coordinator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.cluster_controller import ClusterController
from fluss_server.metadata.rebalance_records import RebalanceStatus
from fluss_server.metrics.samples import Sample


def coordinator_samples(
    manager: MetadataManager, controller: ClusterController, *, epoch: int, offline_buckets: int
) -> Iterable[Sample]:
    """Databases, tables and buckets as the metadata of an active coordinator has them, and its work.

    Args:
        epoch: of the coordinator.
        offline_buckets: buckets without a leader that takes writes.
    """
    tables = manager.tables()
    partitions = {table.table_id: len(manager.partitions(table)) for table in tables if table.is_partitioned}
    yield Sample("coordinator_activeCoordinatorCount", 1)
    yield Sample("coordinator_activeTabletServerCount", len(controller.queue.state.servers))
    yield Sample("coordinator_tableCount", len(tables))
    yield Sample("coordinator_partitionCount", sum(partitions.values()))
    queue = controller.queue
    yield Sample("coordinator_bucketCount", sum(found.bucket_count for found in queue.state.physical_tables.values()))
    yield Sample("coordinator_offlineBucketCount", offline_buckets)
    pending = sum(bucket.leader >= 0 and not bucket.active for bucket in queue.state.buckets.values())
    yield Sample("coordinator_pendingLeaderActivationCount", pending)
    yield Sample("coordinator_epoch", epoch)
    yield Sample("coordinator_event_eventQueueSize", len(queue))
    yield Sample("coordinator_leaderElections", queue.elections)
    yield Sample("coordinator_lostTabletServers", controller.lost_servers)
    yield Sample("coordinator_controlRequestsWaiting", controller.waiting_control_items)
    yield Sample("coordinator_controlRequestRetries", controller.control_retries)
    moves = Counter(move.status for move in queue.state.moves.values())
    for status in RebalanceStatus:
        yield Sample("coordinator_rebalanceBucketCount", moves[status], (status.name.lower(),))
