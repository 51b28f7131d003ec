"""Metrics of tables and buckets, computed when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable

from fluss_server.metrics.instruments import BucketCounters
from fluss_server.metrics.samples import Sample
from fluss_server.replica.bucket_replica import BucketReplica
from fluss_server.replica.follower_replica import FollowerReplica
from fluss_server.replica.replica import Replica
from fluss_server.tablet.disk_write_lock import DiskWriteLock
from fluss_server.tablet.isr_maintenance import IsrMaintenance
from fluss_server.tablet.kv_scanners import KvScanners
from fluss_server.tablet.membership import Membership
from fluss_server.tablet.parked_fetches import ParkedFetches
from fluss_server.tablet.replica_manager import ReplicaManager

_TABLE_RATES = {
    "tabletserver_table_messagesInPerSecond": "messages_in",
    "tabletserver_table_bytesInPerSecond": "bytes_in",
    "tabletserver_table_bytesOutPerSecond": "bytes_out",
    "tabletserver_table_totalProduceLogRequestsPerSecond": "produce_requests",
    "tabletserver_table_failedProduceLogRequestsPerSecond": "failed_produce_requests",
    "tabletserver_table_totalPutKvRequestsPerSecond": "put_requests",
    "tabletserver_table_failedPutKvRequestsPerSecond": "failed_put_requests",
    "tabletserver_table_totalFetchLogRequestsPerSecond": "fetch_requests",
    "tabletserver_table_totalLookupRequestsPerSecond": "lookup_requests",
    "tabletserver_table_totalPrefixLookupRequestsPerSecond": "prefix_lookup_requests",
    "tabletserver_table_totalLimitScanRequestsPerSecond": "limit_scan_requests",
}
_SERVER_RATES = {
    "tabletserver_messagesInPerSecond": "messages_in",
    "tabletserver_bytesInPerSecond": "bytes_in",
    "tabletserver_bytesOutPerSecond": "bytes_out",
    "tabletserver_replicationBytesInPerSecond": "replicated_bytes_in",
}


class TabletMetrics:
    """The source of everything that concerns replicas.

    Args:
        max_buckets: most buckets that have metrics of their own; a table has some as long as one of its buckets does.
    """

    def __init__(
        self,
        replicas: ReplicaManager,
        scanners: KvScanners,
        parked: ParkedFetches,
        disk: DiskWriteLock,
        isr: IsrMaintenance,
        membership: Membership,
        *,
        max_buckets: int,
    ) -> None:
        self._replicas = replicas
        self._scanners = scanners
        self._parked = parked
        self._disk = disk
        self._isr = isr
        self._membership = membership
        self._max_buckets = max_buckets

    def samples(self) -> Iterable[Sample]:
        """See ``Source``."""
        replicas = [replica for replica in self._replicas.replicas() if not replica.is_closed]
        yield from self._server(replicas)
        shown = replicas[: self._max_buckets]
        yield Sample("server_bucketsNotShown", len(replicas) - len(shown))
        tables: dict[int, list[BucketReplica]] = {}
        for replica in shown:
            tables.setdefault(replica.bucket.table_id, []).append(replica)
            yield from self._bucket(replica)
        for buckets in tables.values():
            yield from _table(buckets)

    def _server(self, replicas: list[BucketReplica]) -> Iterable[Sample]:
        total = BucketCounters()
        total.add(self._replicas.dropped_counters)
        for replica in replicas:
            total.add(replica.counters)
        for name, field in _SERVER_RATES.items():
            yield Sample(name, getattr(total, field))
        flushes = self._replicas.flush_times
        yield Sample("tabletserver_logFlushPerSecond", sum(flushes.counts))
        yield Sample("tabletserver_logFlushLatencyMs", flushes)
        yield Sample("tabletserver_leaderCount", len(self._replicas.leaders()))
        yield Sample("tabletserver_replicaCount", len(replicas))
        yield from self._replication()
        yield from _standbys(replicas)
        yield Sample("tabletserver_writerIdCount", sum(replica.log.writer_count for replica in replicas))
        yield Sample("tabletserver_delayedWriteCount", sum(r.high_watermark.waiting_writers for r in replicas))
        yield Sample("tabletserver_delayedFetchCount", len(self._parked))
        yield Sample("server_shedFetches", self._parked.shed)
        yield Sample("server_kvScannerCount", len(self._scanners))
        if self._disk.usage is not None:
            yield Sample("tabletserver_diskUsageRatio", self._disk.usage)
        yield Sample("tabletserver_diskWriteLocked", int(self._disk.locked))
        yield Sample("tabletserver_rocksdbMemoryUsageTotal", self._replicas.kv_memory_bytes)
        log_bytes = sum(replica.log.size_bytes for replica in replicas)
        kv_bytes = sum(replica.kv_file_bytes for replica in replicas)
        yield Sample("tabletserver_logicalStorage_logSize", log_bytes)
        yield Sample("tabletserver_logicalStorage_kvSize", kv_bytes)
        yield Sample("tabletserver_physicalStorage_localSize", log_bytes + kv_bytes)

        yield Sample("server_damagedBatchesFound", sum(r.log.damage_count for r in replicas))
        yield Sample("server_scrubbedBytes", self._replicas.scrubbed_bytes)
        unhealthy = [replica for replica in replicas if replica.problem is not None]
        yield Sample("server_damagedBuckets", sum(replica.is_online for replica in unhealthy))
        for replica in unhealthy[: self._max_buckets]:
            state = "damaged" if replica.is_online else "offline"
            yield Sample("server_unhealthyBucket", 1, (*self._labels(replica), state))

    def _replication(self) -> Iterable[Sample]:
        leaders = [replica for replica in self._replicas.leaders() if replica.followers is not None]
        followers = [replica.followers for replica in leaders if replica.followers is not None]
        yield Sample("tabletserver_underReplicated", sum(len(f.isr.members) < len(f.replicas) for f in followers))
        yield Sample("tabletserver_underMinIsr", sum(not f.has_enough_replicas for f in followers))
        yield Sample("tabletserver_isrExpandsPerSecond", self._isr.expansions)
        yield Sample("tabletserver_isrShrinksPerSecond", self._isr.shrinks)
        yield Sample("tabletserver_failedIsrUpdatesPerSecond", self._isr.failures)
        yield Sample("server_registered", int(self._membership.registered))
        yield Sample("server_leaseHeld", int(self._membership.lease.held))
        yield Sample("server_leaseLosses", self._membership.lease.losses)
        yield Sample("server_replicationMaxLag", max((replica.replication_lag for replica in leaders), default=0))
        yield Sample("server_catchUpRows", sum(catch_up_rows(replica) for replica in leaders))

    def _bucket(self, replica: BucketReplica) -> Iterable[Sample]:
        log, labels = replica.log, self._labels(replica)
        yield Sample("tabletserver_table_bucket_log_numSegments", log.segment_count, labels)
        yield Sample("tabletserver_table_bucket_log_startOffset", log.start_offset, labels)
        yield Sample("tabletserver_table_bucket_log_endOffset", log.end_offset, labels)
        yield Sample("tabletserver_table_bucket_physicalStorage_localLogSize", log.size_bytes, labels)

    def _labels(self, replica: BucketReplica) -> tuple[str, str, str, str]:
        path, bucket = replica.table.path, replica.bucket
        partition = None if bucket.partition_id is None else self._replicas.partition(bucket.partition_id)
        return path.database, path.table, "" if partition is None else partition.name, str(bucket.bucket)


def catch_up_rows(replica: Replica) -> int:
    """Rows that the followers outside of the ISR lack, added up; a follower that has not fetched yet lacks all."""
    followers, log = replica.followers, replica.log
    if followers is None:
        return 0
    outside = [server for server in followers.replicas if server not in followers.isr.members]
    return sum(log.end_offset - max(followers.offset_of(server), log.start_offset) for server in outside)


def _standbys(replicas: list[BucketReplica]) -> Iterable[Sample]:
    rows = [replica.rows for replica in replicas if isinstance(replica, FollowerReplica) and replica.rows is not None]
    standbys = [entry for entry in rows if entry.is_standby]
    yield Sample("server_standbyReplicaCount", len(standbys))
    yield Sample("server_standbyMaxLag", max((entry.lag for entry in standbys), default=0))


def _table(replicas: list[BucketReplica]) -> Iterable[Sample]:
    path = replicas[0].table.path
    labels = (path.database, path.table)
    total = BucketCounters()
    for replica in replicas:
        total.add(replica.counters)
    for name, field in _TABLE_RATES.items():
        yield Sample(name, getattr(total, field), labels)
    states = [replica.kv.backpressure for replica in replicas if replica.kv is not None]
    if states:
        yield Sample("tabletserver_table_kvBackpressureMaxPressure", max(s.pressure for s in states), labels)
        yield Sample("tabletserver_table_kvBackpressureRejectionsTotal", sum(s.rejections for s in states), labels)
        yield Sample("tabletserver_table_rocksdbNumFilesAtLevel0Max", max(s.level0_files for s in states), labels)
