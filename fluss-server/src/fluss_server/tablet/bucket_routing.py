"""Whether a client chose a bucket with the number of buckets that the partition has.

The number of buckets of a table may change for partitions that are created later, so its partitions differ. A client
chooses buckets by hashes modulo a number that it knows: with another one it would write rows where no lookup finds
them, or read only a part of a partition. Java clients since Apache Fluss 1.0 say which number they used. Of others it
is not known, so they are refused as soon as the number of a table was changed.
"""

from __future__ import annotations

from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.table import TableInfo


def check_routing(table: TableInfo, bucket_count: int, sent: int | None) -> None:
    """Refuse a request for a bucket of a table whose number of buckets was changed.

    Args:
        table: with a ``bucket_count_epoch``.
        bucket_count: of the partition; 0 = not known on this server yet.
        sent: the number of buckets that the client used, None or 0 if it does not say.

    Raises:
        FlussError: ``INVALID_BUCKET_ROUTING``; ``LEADER_NOT_AVAILABLE_EXCEPTION`` while the number is not known.
    """
    if not sent:
        raise FlussError(
            ErrorCode.INVALID_BUCKET_ROUTING,
            f"the number of buckets of {table.path} was changed, and this client does not say which one it used",
            hint="use a client of Apache Fluss 1.0 or later that sends routing_bucket_count",
        )
    if not bucket_count:
        raise FlussError(
            ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION, f"the partitions of {table.path} are not known here yet"
        )
    if sent != bucket_count:
        raise FlussError(
            ErrorCode.INVALID_BUCKET_ROUTING,
            f"the client chose one of {sent} buckets, but this partition of {table.path} has {bucket_count}",
            hint="read the metadata of the partition again, then repeat the request",
        )


def sent_count(message: Any) -> int | None:
    """``routing_bucket_count`` of a part of a request."""
    return message.routing_bucket_count if message.HasField("routing_bucket_count") else None
