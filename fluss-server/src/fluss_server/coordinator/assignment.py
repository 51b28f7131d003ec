"""Which servers get the replicas of new buckets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fluss_server.errors import ErrorCode, FlussError

Assignment = tuple[tuple[int, ...], ...]
"""Servers of the replicas of each bucket, by bucket number; the first is preferred as leader."""


def assign(
    bucket_count: int,
    replication_factor: int,
    servers: Sequence[int],
    *,
    racks: Mapping[int, str | None] | None = None,
    start: int = 0,
    shift: int = 0,
) -> Assignment:
    """Spread leaders and followers of buckets over servers, round robin.

    The leader of bucket ``i`` is server ``(i + start) mod n``. Its followers are the servers after it; the distance to
    the first of them grows with every round, so that the followers of one leader are spread, too.

    When every server has a rack, servers of different racks follow each other, and the replicas of a bucket are on as
    many racks as possible. One server without a rack makes all of them count as having none.

    Args:
        bucket_count: how many buckets.
        replication_factor: replicas of each, at least 1.
        servers: ids of the live servers.
        racks: failure domains of the servers.
        start: server of the first leader; random, so that many small tables are spread.
        shift: distance between the first leader and its first follower, less one; random, too.

    Raises:
        FlussError: ``INVALID_REPLICATION_FACTOR`` when there are fewer servers than replicas.
    """
    check_replication_factor(replication_factor, len(servers))
    known = {server: (racks or {}).get(server) for server in servers}
    if servers and None not in known.values():
        return _assign_to_racks(bucket_count, replication_factor, known, start, shift)
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


def _assign_to_racks(
    bucket_count: int, replication_factor: int, rack_of: Mapping[int, str | None], start: int, shift: int
) -> Assignment:
    servers = _alternating(rack_of)
    racks = len(set(rack_of.values()))
    count = len(servers)
    assignment = []
    for bucket in range(bucket_count):
        first = (bucket + start) % count
        distance = (shift + bucket // count) * racks
        replicas = [servers[first]]
        step = 0
        while len(replicas) < replication_factor:
            candidate = servers[(first + 1 + (distance + step) % (count - 1)) % count]
            step += 1
            used = {rack_of[server] for server in replicas}
            if candidate not in replicas and (rack_of[candidate] not in used or len(used) == racks):
                replicas.append(candidate)
        assignment.append(tuple(replicas))
    return tuple(assignment)


def _alternating(rack_of: Mapping[int, str | None]) -> list[int]:
    """The servers of the first rack, the second, and so on in turn: one of each, then the next of each."""
    by_rack: dict[str | None, list[int]] = {}
    for server in sorted(rack_of):
        by_rack.setdefault(rack_of[server], []).append(server)
    racks = [by_rack[rack] for rack in sorted(by_rack, key=str)]
    longest = max(len(rack) for rack in racks)
    return [rack[index] for index in range(longest) for rack in racks if index < len(rack)]


def check_replication_factor(factor: int, servers: int) -> None:
    """``INVALID_REPLICATION_FACTOR`` unless every replica can have a server of its own."""
    if factor > servers:
        raise FlussError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"table.replication.factor = {factor} is more than the {servers} tablet servers that can take replicas",
            hint=f"use at most {servers}" if servers else "start a tablet server, or remove the tag of one",
        )
