"""How a tablet server keeps replicas.

Named tuples, because a dataclass costs half a millisecond of every start.
"""

from __future__ import annotations

from typing import NamedTuple

from fluss_server.log.log_config import LogConfig
from fluss_server.tablet.maintenance import MaintenanceConfig

MAX_GROUPS = 120
"""Groups of buckets that are fetched over one connection. With very many buckets they are larger."""


def max_groups(requests_in_flight: int) -> int:
    """Most groups of a connection over which so many requests may be without response at a time.

    A group has a fetch and at most two that it has abandoned there, or a comparison of logs instead of the first.
    """
    return max(1, min(MAX_GROUPS, requests_in_flight // 4))


class FetcherConfig(NamedTuple):
    """How followers fetch; the options are named ``log.replica.fetch*``.

    Attributes:
        per_leader: connections to each leader; a bucket always uses the same one.
        max_bytes: most bytes of a response.
        max_bucket_bytes: most bytes of one bucket in it.
        wait_ms: how long the leader waits for something new.
        min_bytes: with how much it responds before.
        backoff_s: pause after an error; between half and all of it.
        catch_up_bytes_per_s: see :class:`~fluss_server.tablet.catch_up_limit.CatchUpLimit`.
        max_groups: most groups of a connection, see :func:`max_groups`.
    """

    per_leader: int = 1
    max_bytes: int = 16 << 20
    max_bucket_bytes: int = 1 << 20
    wait_ms: int = 500
    min_bytes: int = 1
    backoff_s: float = 1.0
    catch_up_bytes_per_s: int = 0
    max_groups: int = MAX_GROUPS


class ReplicationConfig(NamedTuple):
    """How buckets with several replicas are kept; the options are named ``log.replica.*``.

    Attributes:
        min_isr: members of the ISR without which nothing is acknowledged.
        max_lag_s: how long a follower may lag and stay in the ISR.
        max_silence_s: how long a follower that lacks something may send no fetch and stay in the ISR.
        fetcher: how followers fetch.
    """

    min_isr: int = 1
    max_lag_s: float = 30.0
    max_silence_s: float = 3.0
    fetcher: FetcherConfig = FetcherConfig()


class ReplicaConfig(NamedTuple):
    """How replicas are kept.

    Attributes:
        log: settings of every LogTablet.
        max_unflushed: most offsets of a bucket that may be acknowledged before they are fsynced.
        maintenance: background tasks over the replicas.
        io_threads: threads for fsync, recovery and removal of files.
        kv_backpressure_trigger: files on level 0 of a KvTablet above which its writers are slowed down.
        kv_cache_bytes: block cache and write buffers of all KvTablets together.
        replication: of buckets with several replicas.
    """

    log: LogConfig
    max_unflushed: int = 0
    maintenance: MaintenanceConfig = MaintenanceConfig()
    io_threads: int = 4
    kv_cache_bytes: int = 128 << 20
    kv_backpressure_trigger: int = 8
    replication: ReplicationConfig = ReplicationConfig()
