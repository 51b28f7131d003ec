"""The options of a server, as the settings of its components."""

from __future__ import annotations

from fluss_server.config import Configuration
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.coordinator.validation import TableSettings
from fluss_server.log.log_config import LogConfig
from fluss_server.tablet.disk_write_lock import DISK_RATIOS, check_ratios, disk_ratios
from fluss_server.tablet.kv_scanners import ScannerConfig
from fluss_server.tablet.maintenance import MaintenanceConfig
from fluss_server.tablet.replica_config import FetcherConfig, ReplicaConfig, ReplicationConfig, max_groups


def table_settings(configuration: Configuration) -> TableSettings:
    """What tables may look like."""
    return TableSettings(
        default_replication_factor=configuration.get_int("default.replication.factor"),
        default_bucket_count=configuration.get_int("default.bucket.number"),
        max_bucket_count=configuration.get_int("max.bucket.num"),
        allow_log_tables=configuration.get_bool("allow.create.log.tables"),
        allow_kv_tables=configuration.get_bool("allow.create.kv.tables"),
    )


def check_for_tablet_servers(configuration: DynamicConfiguration) -> None:
    """Refuse changes at run time that tablet servers in other processes would refuse."""
    configuration.subscribe(DISK_RATIOS, lambda changed: check_ratios(*disk_ratios(changed)), lambda changed: None)


def replica_config(configuration: Configuration) -> ReplicaConfig:
    """How replicas are kept."""
    before_acknowledge = configuration.get_bool("log.flush.before-acknowledge")
    return ReplicaConfig(
        log=LogConfig(
            segment_bytes=configuration.get_int("log.segment.file-size"),
            index_interval_bytes=configuration.get_int("log.index.interval-size"),
            writer_expiration_ms=configuration.get_int("server.writer-id.expiration-time"),
        ),
        max_unflushed=0 if before_acknowledge else configuration.get_int("log.flush.interval-messages") - 1,
        maintenance=MaintenanceConfig(
            flush_interval_s=None if before_acknowledge else configuration.get_int("log.flush.interval") / 1000,
            persist_interval_s=configuration.get_int("kv.persist.interval") / 1000,
            persist_after_offsets=configuration.get_int("kv.persist.after-offsets"),
            retention_interval_s=configuration.get_int("log.retention.check-interval") / 1000,
            writer_expiration_interval_s=configuration.get_int("server.writer-id.expiration-check-interval") / 1000,
            roll_expired_segments=configuration.get_bool("log.retention.roll-active-segment.enabled"),
            scrub_interval_s=configuration.get_int("log.scrub.interval") / 1000,
            scrub_bytes_per_s=configuration.get_int("log.scrub.bytes-per-second"),
        ),
        replication=ReplicationConfig(
            min_isr=configuration.get_int("log.replica.min-in-sync-replicas-number"),
            max_lag_s=configuration.get_int("log.replica.max-lag-time") / 1000,
            max_silence_s=configuration.get_int("log.replica.max-silence-time") / 1000,
            fetcher=FetcherConfig(
                per_leader=configuration.get_int("log.replica.fetcher-number"),
                max_bytes=configuration.get_int("log.replica.fetch.max-bytes"),
                max_bucket_bytes=configuration.get_int("log.replica.fetch.max-bytes-for-bucket"),
                wait_ms=configuration.get_int("log.replica.fetch.wait-max-time"),
                min_bytes=configuration.get_int("log.replica.fetch.min-bytes"),
                backoff_s=configuration.get_int("log.replica.fetch.backoff-interval") / 1000,
                catch_up_bytes_per_s=configuration.get_int("log.replica.catch-up.bytes-per-second"),
                # The leader has the same limit, it is supposed.
                max_groups=max_groups(configuration.get_int("netty.server.max-queued-requests")),
            ),
        ),
        kv_cache_bytes=configuration.get_int("kv.cache.size"),
        kv_backpressure_trigger=configuration.get_int("kv.backpressure.l0-slowdown-trigger"),
    )


def scanner_config(configuration: Configuration) -> ScannerConfig:
    """What full scans of primary-key tables may cost."""
    return ScannerConfig(
        idle_limit_s=configuration.get_int("kv.scanner.ttl") / 1000,
        check_interval_s=configuration.get_int("kv.scanner.expiration-interval") / 1000,
        max_per_bucket=configuration.get_int("kv.scanner.max-per-bucket"),
        max_per_server=configuration.get_int("kv.scanner.max-per-server"),
        max_batch_bytes=configuration.get_int("kv.scanner.max-batch-size"),
    )
