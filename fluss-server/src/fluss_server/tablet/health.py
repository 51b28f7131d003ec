"""What is wrong with the buckets of a server, for probes and people."""

from __future__ import annotations

from collections.abc import Iterable

from fluss_server.replica.bucket_replica import BucketReplica

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
