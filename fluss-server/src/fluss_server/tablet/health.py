"""What is wrong with the buckets of a server, for probes and people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fluss_server.replica.bucket_replica import BucketReplica
from fluss_server.tablet.membership import Membership

MAX_PROBLEMS = 20
"""Most buckets that are described; all are counted."""


def bucket_health(replicas: Iterable[BucketReplica]) -> dict[str, object]:
    """Members of a health document: ``offline_buckets``, ``damaged_buckets`` and ``problems``.

    A problem names a bucket, its table, its state (``offline`` or ``damaged``), the reason and the remedy.
    """
    unhealthy = [(replica, error) for replica in replicas if (error := replica.problem) is not None]
    offline = sum(not replica.is_online for replica, _ in unhealthy)
    return {
        "offline_buckets": offline,
        "damaged_buckets": len(unhealthy) - offline,
        "problems": [
            {
                "table": str(replica.table.path),
                "bucket": str(replica.bucket),
                "state": "damaged" if replica.is_online else "offline",
                "reason": error.message,
                "remedy": error.hint,
            }
            for replica, error in unhealthy[:MAX_PROBLEMS]
        ],
    }


def membership_problems(membership: Membership) -> list[Mapping[str, str]]:
    """Why a server cannot lead buckets of its cluster: ``state``, reason and remedy; nothing when it can."""
    if not membership.registered:
        return [
            {
                "state": "not-registered",
                "reason": "the coordinator has not taken this server in",
                "remedy": "check that the active coordinator runs and that this server reaches it, under"
                " coordinator.address or through ZooKeeper; the server tries on by itself",
            }
        ]
    if not membership.lease.held:
        return [
            {
                "state": "lease-lost",
                "reason": "the lease ran out, because the coordinator has not responded to heartbeats; replicated"
                " buckets are not served, and other servers may lead them",
                "remedy": "check that the active coordinator runs and that this server reaches it; the next heartbeat"
                " that is responded to renews the lease",
            }
        ]
    return []
