"""Which servers get the replicas of new buckets. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fluss_server.errors import ErrorCode, FlussError

Assignment = tuple[tuple[int, ...], ...]
"""Servers of the replicas of each bucket, by bucket number; the first is preferred as leader."""


def assign(
    bucket_count: int, replication_factor: int, servers: Sequence[int], *, start: int = 0, shift: int = 0
) -> Assignment:
    """Spread leaders and followers of buckets over servers, round robin.

    The leader of bucket ``i`` is server ``(i + start) mod n``. Its followers are the servers after it; the distance to
    the first of them grows with every round, so that the followers of one leader are spread, too.

    Args:
        bucket_count: how many buckets.
        replication_factor: replicas of each, at least 1.
        servers: ids of the live servers.
        start: server of the first leader; random, so that many small tables are spread.
        shift: distance between the first leader and its first follower, less one; random, too.

    Raises:
        FlussError: ``INVALID_REPLICATION_FACTOR`` when there are fewer servers than replicas.
    """
    check_replication_factor(replication_factor, len(servers))
    count = len(servers)
    assignment = []
    for bucket in range(bucket_count):
        first = (bucket + start) % count
        distance = shift + bucket // count
        followers = [
            (first + 1 + (distance + number) % (count - 1)) % count for number in range(replication_factor - 1)
        ]
        assignment.append(tuple(servers[index] for index in (first, *followers)))
    return tuple(assignment)


def check_replication_factor(factor: int, live_servers: int) -> None:
    """``INVALID_REPLICATION_FACTOR`` unless every replica can have a server of its own."""
    if factor > live_servers:
        raise FlussError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"table.replication.factor = {factor} is more than the {live_servers} live tablet servers",
            hint=f"use at most {live_servers}" if live_servers else "start a tablet server",
        )
