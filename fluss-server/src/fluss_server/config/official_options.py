"""Server options of Apache Fluss that have no effect here, or none on a server in one process.

Whoever moves to this server brings a ``server.yaml`` along. Its keys are either options of this server, or listed here
and reported at the start, or unknown and refused.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fluss_server.config.server_options import SERVER_OPTIONS

logger = logging.getLogger(__name__)

_PREFIXES = ("datalake.", "server.historical-partition.")
"""Keys with these beginnings are open-ended."""

_KEYS = frozenset(
    {
        "acl.notification.expiration-time",
        "authorizer.type",
        "config.providers",
        "coordinator.host",
        "coordinator.io-pool.size",
        "coordinator.lifecycle-throttler.inflight-timeout",
        "coordinator.lifecycle-throttler.timeout-check-interval",
        "coordinator.offline-leader.retry-delay",
        "coordinator.port",
        "data.dir",
        "data.dirs",
        "kv.flush.thread-num",
        "kv.leader-replica.memory-reserved",
        "kv.recover.log-record-batch.max-size",
        "kv.recover.remote-log.download-threads",
        "kv.recover.remote-log.prefetch-num",
        "kv.rocksdb.block.blocksize",
        "kv.rocksdb.block.cache-index-and-filter-blocks",
        "kv.rocksdb.block.cache-index-and-filter-blocks-with-high-priority",
        "kv.rocksdb.block.cache-size",
        "kv.rocksdb.block.metadata-blocksize",
        "kv.rocksdb.block.pin-l0-filter-and-index-blocks-in-cache",
        "kv.rocksdb.block.pin-top-level-index-and-filter",
        "kv.rocksdb.bloom-filter.bits-per-key",
        "kv.rocksdb.bloom-filter.block-based-mode",
        "kv.rocksdb.compaction.level.max-size-level-base",
        "kv.rocksdb.compaction.level.target-file-size-base",
        "kv.rocksdb.compaction.level.use-dynamic-size",
        "kv.rocksdb.compaction.style",
        "kv.rocksdb.compression.per.level",
        "kv.rocksdb.files.open",
        "kv.rocksdb.log.dir",
        "kv.rocksdb.log.file-num",
        "kv.rocksdb.log.level",
        "kv.rocksdb.log.max-file-size",
        "kv.rocksdb.shared-rate-limiter.bytes-per-sec",
        "kv.rocksdb.thread.num",
        "kv.rocksdb.use-bloom-filter",
        "kv.rocksdb.write-batch-size",
        "kv.rocksdb.writebuffer.count",
        "kv.rocksdb.writebuffer.number-to-merge",
        "kv.rocksdb.writebuffer.size",
        "kv.snapshot.interval",
        "kv.snapshot.lease.expiration-check-interval",
        "kv.snapshot.num-retained",
        "kv.snapshot.scheduler-thread-num",
        "kv.snapshot.transfer-thread-num",
        "log.file-preallocate",
        "log.flush.offset.checkpoint-interval",
        "log.index.file-size",
        "log.replica.fetch-operation-purge-number",
        "log.replica.high-watermark.checkpoint-interval",
        "log.replica.write-operation-purge-number",
        "metrics.reporter.influxdb.bucket",
        "metrics.reporter.influxdb.host-url",
        "metrics.reporter.influxdb.org",
        "metrics.reporter.influxdb.push-interval",
        "metrics.reporter.influxdb.token",
        "metrics.reporter.influxdb.version",
        "metrics.reporter.jmx.port",
        "metrics.reporter.prometheus-push.delete-on-shutdown",
        "metrics.reporter.prometheus-push.grouping-key",
        "metrics.reporter.prometheus-push.host-url",
        "metrics.reporter.prometheus-push.job-name",
        "metrics.reporter.prometheus-push.password",
        "metrics.reporter.prometheus-push.push-interval",
        "metrics.reporter.prometheus-push.random-job-name-suffix",
        "metrics.reporter.prometheus-push.username",
        "netty.server.max-queued-historical-requests",
        "netty.server.num-network-threads",
        "netty.server.num-worker-threads",
        "remote.data.dir",
        "remote.data.dirs",
        "remote.data.dirs.strategy",
        "remote.data.dirs.weights",
        "remote.fs.write-buffer-size",
        "remote.log-manager.thread-pool-size",
        "remote.log.data-transfer-thread-num",
        "remote.log.index-file-cache-size",
        "remote.log.task-interval-duration",
        "remote.log.task-max-upload-segments",
        "server.background.threads",
        "server.buffer.memory-size",
        "server.buffer.page-size",
        "server.buffer.per-request-memory-size",
        "server.buffer.wait-timeout",
        "server.io-pool.size",
        "server.io.tmpdir",
        "tablet-server.advertised-resource.cpu-cores",
        "tablet-server.advertised-resource.memory-size",
        "tablet-server.controlled-shutdown.max-retries",
        "tablet-server.controlled-shutdown.retry-interval",
        "tablet-server.host",
        "tablet-server.port",
        "zookeeper.client.config-path",
        "zookeeper.client.ensemble-tracker",
        "zookeeper.client.max-buffer-size",
    }
)


_CLUSTER_PREFIXES = (
    "zookeeper.",
    "tablet-server.",
    "coordinator.address",
    "coordinator.tablet-server.",
    "default.replication.factor",
)
"""Keys with these beginnings are for coordinators and tablet servers in processes of their own."""


def has_no_effect(key: str, *, in_cluster: bool = False) -> bool:
    """True for an option of Apache Fluss that a server does not have.

    Args:
        in_cluster: for coordinators and tablet servers in processes of their own, else for a server in one process.
    """
    if key in SERVER_OPTIONS:
        return not in_cluster and key.startswith(_CLUSTER_PREFIXES)
    return key in _KEYS or key.startswith(_PREFIXES)


def effective_options(given: Mapping[str, str], *, in_cluster: bool = False) -> dict[str, str]:
    """The given options without those that have no effect; these are reported in one warning.

    Args:
        in_cluster: see :func:`has_no_effect`.
    """
    ignored = sorted(key for key in given if has_no_effect(key, in_cluster=in_cluster))
    if ignored:
        logger.warning("%d options of Apache Fluss have no effect on this server: %s", len(ignored), ", ".join(ignored))
    return {key: value for key, value in given.items() if key not in ignored}
