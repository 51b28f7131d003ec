"""Every metric: its name, kind, labels and meaning. What is not here cannot be shown.

Names are Apache Fluss's own where it has the metric: scope and metric, joined by ``_``, with ``fluss_`` in front. A
rate (``...PerSecond``) is shown twice: as a gauge under that name, the mean of the last minute, and as a counter, which
is what Prometheus works best with: ``requestsPerSecond`` also as ``requests_total``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

PREFIX = "fluss_"
RATE_SUFFIX = "PerSecond"


class MetricKind(Enum):
    """How a metric is to be read."""

    GAUGE = "gauge"
    COUNTER = "counter"
    RATE = "rate"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: without the prefix; the key of a :class:`fluss_server.metrics.samples.Sample`.
        kind: how to read it.
        help: what it says, with its unit.
        labels: names of its labels, besides those that every metric has.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def exported_names(self) -> tuple[str, ...]:
        """Names in the exposition, without the suffixes of a histogram."""
        if self.kind is MetricKind.COUNTER:
            return (f"{PREFIX}{self.name}_total",)
        if self.kind is MetricKind.RATE:
            return (f"{PREFIX}{self.name}", f"{PREFIX}{self.name.removesuffix(RATE_SUFFIX)}_total")
        return (PREFIX + self.name,)


_GAUGE, _COUNTER, _RATE, _HISTOGRAM = MetricKind
_REQUEST = ("request",)
_TABLE = ("database", "table")
_BUCKET = ("database", "table", "partition", "bucket")


def _catalogue(*metrics: Metric) -> Mapping[str, Metric]:
    found = {metric.name: metric for metric in metrics}
    assert len(found) == len(metrics), "a metric is defined twice"
    return MappingProxyType(found)


CATALOGUE: Mapping[str, Metric] = _catalogue(
    # requests
    Metric("tabletserver_request_requestsPerSecond", _RATE, "Requests with a response.", _REQUEST),
    Metric("tabletserver_request_errorsPerSecond", _RATE, "Requests that got an error as a whole.", _REQUEST),
    Metric("tabletserver_request_requestBytes", _COUNTER, "Bytes of the requests.", _REQUEST),
    Metric(
        "tabletserver_request_totalTimeMs",
        _HISTOGRAM,
        "Milliseconds from the arrival of a request to its response; a fetch that waits for data waits here.",
        _REQUEST,
    ),
    Metric(
        "coordinator_request_requestsPerSecond", _RATE, "The same of a coordinator in a process of its own.", _REQUEST
    ),
    Metric("coordinator_request_errorsPerSecond", _RATE, "Requests that got an error as a whole.", _REQUEST),
    Metric("coordinator_request_requestBytes", _COUNTER, "Bytes of the requests.", _REQUEST),
    Metric("coordinator_request_totalTimeMs", _HISTOGRAM, "Milliseconds from a request to its response.", _REQUEST),
    # the tablet server as a whole
    Metric("tabletserver_messagesInPerSecond", _RATE, "Rows written by clients."),
    Metric("tabletserver_bytesInPerSecond", _RATE, "Bytes of the batches that clients wrote."),
    Metric("tabletserver_bytesOutPerSecond", _RATE, "Bytes of log that clients were sent."),
    Metric("tabletserver_leaderCount", _GAUGE, "Buckets this server leads."),
    Metric("tabletserver_replicaCount", _GAUGE, "Buckets this server has."),
    Metric("tabletserver_writerIdCount", _GAUGE, "Idempotent writers that are remembered, counted for each bucket."),
    Metric("tabletserver_delayedWriteCount", _GAUGE, "Writes that wait for their acknowledgement."),
    Metric("tabletserver_delayedFetchCount", _GAUGE, "Fetches that wait for data."),
    Metric("tabletserver_underReplicated", _GAUGE, "Buckets this server leads of which not all replicas are in sync."),
    Metric("tabletserver_underMinIsr", _GAUGE, "Buckets this server leads with too few replicas in sync for writes."),
    Metric("tabletserver_isrExpandsPerSecond", _RATE, "Followers that came into an ISR."),
    Metric("tabletserver_isrShrinksPerSecond", _RATE, "Followers that left an ISR because they lagged."),
    Metric("tabletserver_failedIsrUpdatesPerSecond", _RATE, "Changes of ISRs that the coordinator did not take in."),
    Metric("tabletserver_replicationBytesInPerSecond", _RATE, "Bytes of log that were fetched from leaders."),
    Metric("tabletserver_logFlushPerSecond", _RATE, "Flushes of logs before an acknowledgement."),
    Metric("tabletserver_logFlushLatencyMs", _HISTOGRAM, "Milliseconds that such a flush took."),
    Metric("tabletserver_diskUsageRatio", _GAUGE, "Share of the data directory's disk in use, 0 to 1."),
    Metric("tabletserver_diskWriteLocked", _GAUGE, "1 while writes are refused because the disk is nearly full."),
    Metric("tabletserver_rocksdbMemoryUsageTotal", _GAUGE, "Bytes of RocksDB's block cache, memtables included."),
    Metric("tabletserver_logicalStorage_logSize", _GAUGE, "Bytes of all logs."),
    Metric("tabletserver_logicalStorage_kvSize", _GAUGE, "Bytes of all files of RocksDB."),
    Metric("tabletserver_physicalStorage_localSize", _GAUGE, "Bytes of logs and RocksDB on the local disk."),
    # tables
    Metric("tabletserver_table_messagesInPerSecond", _RATE, "Rows written by clients.", _TABLE),
    Metric("tabletserver_table_bytesInPerSecond", _RATE, "Bytes of the batches that clients wrote.", _TABLE),
    Metric("tabletserver_table_bytesOutPerSecond", _RATE, "Bytes of log that clients were sent.", _TABLE),
    Metric("tabletserver_table_totalProduceLogRequestsPerSecond", _RATE, "Appends, one for each bucket.", _TABLE),
    Metric(
        "tabletserver_table_failedProduceLogRequestsPerSecond",
        _RATE,
        "Appends that failed; not those that the client was wrong to send, or has to repeat.",
        _TABLE,
    ),
    Metric("tabletserver_table_totalPutKvRequestsPerSecond", _RATE, "Batches of upserts and deletes.", _TABLE),
    Metric("tabletserver_table_failedPutKvRequestsPerSecond", _RATE, "Such batches that failed, as above.", _TABLE),
    Metric("tabletserver_table_totalFetchLogRequestsPerSecond", _RATE, "Fetches, one for each bucket.", _TABLE),
    Metric("tabletserver_table_totalLookupRequestsPerSecond", _RATE, "Lookups, one for each bucket.", _TABLE),
    Metric("tabletserver_table_totalPrefixLookupRequestsPerSecond", _RATE, "Lookups by prefix.", _TABLE),
    Metric("tabletserver_table_totalLimitScanRequestsPerSecond", _RATE, "Reads of the first or newest rows.", _TABLE),
    Metric("tabletserver_table_kvBackpressureMaxPressure", _GAUGE, "Greatest pressure of its buckets, 0 to 1.", _TABLE),
    Metric("tabletserver_table_kvBackpressureRejectionsTotal", _GAUGE, "Batches refused with code 72.", _TABLE),
    Metric("tabletserver_table_rocksdbNumFilesAtLevel0Max", _GAUGE, "Most files of a bucket on level 0.", _TABLE),
    # buckets
    Metric("tabletserver_table_bucket_log_numSegments", _GAUGE, "Segments of the log.", _BUCKET),
    Metric("tabletserver_table_bucket_log_startOffset", _GAUGE, "First offset of the log.", _BUCKET),
    Metric("tabletserver_table_bucket_log_endOffset", _GAUGE, "Offset after the log.", _BUCKET),
    Metric("tabletserver_table_bucket_physicalStorage_localLogSize", _GAUGE, "Bytes of the log.", _BUCKET),
    # the coordinator
    Metric("coordinator_activeCoordinatorCount", _GAUGE, "1 on the coordinator that is in charge."),
    Metric("coordinator_activeTabletServerCount", _GAUGE, "Tablet servers that are there."),
    Metric("coordinator_tableCount", _GAUGE, "Tables."),
    Metric("coordinator_partitionCount", _GAUGE, "Partitions."),
    Metric("coordinator_bucketCount", _GAUGE, "Buckets that should have a leader."),
    Metric(
        "coordinator_offlineBucketCount",
        _GAUGE,
        "Buckets that take no writes, because their storage failed or no live server can lead them.",
    ),
    Metric("coordinator_pendingLeaderActivationCount", _GAUGE, "Buckets whose leader has not begun to lead yet."),
    Metric("coordinator_epoch", _GAUGE, "Coordinator epoch; it grows when another coordinator becomes active."),
    Metric("coordinator_event_eventQueueSize", _GAUGE, "Changes of the cluster that wait or are being made."),
    Metric(
        "coordinator_leaderElections", _COUNTER, "Leaders that buckets got, the first ones of new buckets included."
    ),
    Metric("coordinator_lostTabletServers", _COUNTER, "Tablet servers that were taken for dead."),
    Metric("coordinator_controlRequestsWaiting", _GAUGE, "Items of control requests without a response yet."),
    Metric("coordinator_controlRequestRetries", _COUNTER, "Control requests that failed and were sent again."),
    Metric(
        "coordinator_rebalanceBucketCount",
        _GAUGE,
        "Buckets of the current rebalance, or the last one, by how far they are: not_started, rebalancing, timeout (it"
        " takes long and goes on), completed, failed, canceled.",
        ("state",),
    ),
    # our own: what clients may cost
    Metric("server_connectionCount", _GAUGE, "Open connections."),
    Metric("server_refusedConnections", _COUNTER, "Connections refused because there were too many."),
    Metric("server_requestMemoryBytes", _GAUGE, "Bytes held for requests that arrive or are under way."),
    Metric("server_requestsWaitingForMemory", _GAUGE, "Connections that wait for that memory."),
    Metric("server_responseMemoryBytes", _GAUGE, "Bytes of responses that clients do not read."),
    Metric("server_eventLoopLongestHoldMs", _GAUGE, "Longest hold of the event loop since the last scrape."),
    Metric("server_eventLoopHolds", _COUNTER, "Holds of the event loop of more than 100 ms."),
    Metric("server_evictedConnections", _COUNTER, "Connections closed because they left the most unread."),
    Metric("server_shedFetches", _COUNTER, "Waiting fetches that got an early response because there were too many."),
    Metric("server_kvScannerCount", _GAUGE, "Full scans of primary-key tables that are open."),
    Metric("server_registered", _GAUGE, "1 while the coordinator has this tablet server as a member."),
    Metric("server_leaseHeld", _GAUGE, "1 while this tablet server may lead buckets that others could lead, too."),
    Metric("server_leaseLosses", _COUNTER, "How often the lease ran out before a heartbeat renewed it."),
    Metric("server_standbyReplicaCount", _GAUGE, "Buckets whose rows this server keeps ready as a standby replica."),
    Metric(
        "server_standbyMaxLag", _GAUGE, "Most acknowledged rows of a bucket that its standby replica has not applied."
    ),
    Metric("server_replicationMaxLag", _GAUGE, "Most rows of a bucket that a follower in sync does not have yet."),
    Metric(
        "server_catchUpRows",
        _GAUGE,
        "Rows that replicas outside of the ISR do not have yet, of all buckets this server leads; a rebalance waits for"
        " them.",
    ),
    Metric("server_damagedBuckets", _GAUGE, "Buckets that have damaged batches in their logs."),
    Metric("server_damagedBatchesFound", _COUNTER, "Damaged batches that were found in logs, by readers or scrubbing."),
    Metric("server_scrubbedBytes", _COUNTER, "Bytes of logs that were checked in the background."),
    Metric(
        "server_unhealthyBucket",
        _GAUGE,
        "1 for each bucket that takes no writes (offline) or has damaged batches (damaged).",
        (*_BUCKET, "state"),
    ),
    Metric("server_bucketsNotShown", _GAUGE, "Buckets without metrics of their own: metrics.max-buckets."),
)
