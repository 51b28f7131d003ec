"""How followers get the logs of their leaders: some connections to every server that leads, several fetches on each.

Each fetch names the buckets of one :class:`~fluss_server.tablet.fetch_group.FetchGroup`. Groups are small, because
everything that happens to one bucket makes its fetch be sent again with all buckets of its group: rows that are
appended, and replicas that are added. So what a new replica costs does not depend on how many there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fluss_server.model.identifiers import TableBucket
from fluss_server.replica.follower_replica import FollowerReplica
from fluss_server.runtime.clock import Clock
from fluss_server.tablet.catch_up_limit import CatchUpLimit
from fluss_server.tablet.fetch_group import FetchGroup, Fetching, FollowerDisk
from fluss_server.tablet.fetch_waits import FetchWaits
from fluss_server.tablet.leader_connection import Connect, LeaderConnection
from fluss_server.tablet.replica_config import FetcherConfig
from fluss_server.tablet.response_shares import ResponseShares

GROUP_BUCKETS = 64
"""Buckets of a group, as long as that makes no more than two thirds of the groups that there may be; else more."""

OPEN_GROUPS = 2
"""Groups that get new buckets: while one waits for the end of a fetch that it has abandoned, the other one."""


class ReplicaFetchers:
    """Fetches for all followers of a server. Lives on one event loop.

    Args:
        server_id: of this server.
        config: how to fetch.
        connect: to a leader.
        clock: for pauses.
        random: a number from 0 to 1, for their length.
        incarnation: of this server; leaders are told.
        disk: of this server; leaders are told.
    """

    def __init__(
        self,
        server_id: int,
        config: FetcherConfig,
        connect: Connect,
        clock: Clock,
        random: Callable[[], float],
        *,
        incarnation: str | None = None,
        disk: FollowerDisk | None = None,
    ) -> None:
        catch_up = CatchUpLimit(config.catch_up_bytes_per_s, clock.monotonic)
        self._fetching = Fetching(server_id, config, clock, random, catch_up, incarnation, disk)
        self._connect = connect
        self._fetchers: dict[tuple[int, int], _LeaderFetcher] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._closed = False

    def add(self, follower: FollowerReplica) -> None:
        """Begin to fetch for a replica; nothing is done for one without a leader."""
        if follower.leader < 0 or self._closed:
            return
        key = self._key(follower)
        fetcher = self._fetchers.get(key)
        if fetcher is None:
            fetcher = self._fetchers[key] = _LeaderFetcher(self._fetching, follower.leader, self._connect)
        fetcher.add(follower)

    def remove(self, follower: FollowerReplica) -> None:
        """Fetch no more for it. What is being appended is finished, see :meth:`FollowerReplica.stop`."""
        key = self._key(follower)
        fetcher = self._fetchers.get(key)
        if fetcher is not None and fetcher.remove(follower):
            del self._fetchers[key]
            task = asyncio.ensure_future(fetcher.close())
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    def _key(self, follower: FollowerReplica) -> tuple[int, int]:
        bucket = follower.bucket
        return follower.leader, (bucket.table_id + bucket.bucket) % self._fetching.config.per_leader

    async def close(self) -> None:
        """End every fetch."""
        self._closed = True
        fetchers, self._fetchers = list(self._fetchers.values()), {}
        await asyncio.gather(*(fetcher.close() for fetcher in fetchers), *self._stopping, return_exceptions=True)


class _LeaderFetcher:
    """One connection to a leader, and the groups of replicas that use it."""

    def __init__(self, fetching: Fetching, leader: int, connect: Connect) -> None:
        self._fetching = fetching
        config = fetching.config
        self._connection = LeaderConnection(leader, connect, lambda: config.backoff_s * fetching.part_of_pause())
        self._shares = ResponseShares(config.max_bytes, config.max_bucket_bytes)
        self._waits = FetchWaits(config.wait_ms)
        self._groups: dict[FetchGroup, None] = {}
        self._open: list[FetchGroup] = []  # to which new buckets go
        self._group_of: dict[TableBucket, FetchGroup] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    def add(self, follower: FollowerReplica) -> None:
        group = self._group_of.get(follower.bucket)
        if group is None:
            group = self._group_of[follower.bucket] = self._group_for_another()
        group.add(follower)

    def remove(self, follower: FollowerReplica) -> bool:
        """Forget a replica; returns whether none is left."""
        group = self._group_of.get(follower.bucket)
        if group is not None and group.remove(follower):
            del self._group_of[follower.bucket]
            if not len(group):
                del self._groups[group]
                if group in self._open:
                    self._open.remove(group)
                self._count()
                self._stop(group)
                self._waits.has_gone(group)
        return not self._groups

    async def close(self) -> None:
        """End the fetches, then the connection."""
        for group in self._groups:
            self._stop(group)
        if self._stopping:
            await asyncio.wait(self._stopping)
        await self._connection.close()

    def _stop(self, group: FetchGroup) -> None:
        task = group.stop()
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _count(self) -> None:
        self._shares.fetches = self._waits.fetches = len(self._groups)

    def _group_for_another(self) -> FetchGroup:
        """Where a new bucket goes: the fullest open group that fetches it at once, if there is one."""
        most = self._fetching.config.max_groups
        capacity = max(GROUP_BUCKETS, len(self._group_of) // max(1, most * 2 // 3))
        for group in self._open:
            group.is_open = len(group) < capacity
        self._open = [group for group in self._open if group.is_open]
        if len(self._open) < OPEN_GROUPS and not any(group.takes_in_at_once for group in self._open):
            another = self._another_group(capacity, most)
            if another is not None:
                self._open.append(another)
        return max(self._open, key=lambda group: (group.takes_in_at_once, len(group)))

    def _another_group(self, capacity: int, most: int) -> FetchGroup | None:
        """A group that is opened: one that has lost many of its buckets, or a new one; None when all are open."""
        smallest = min((group for group in self._groups if not group.is_open), key=len, default=None)
        if smallest is not None and (len(smallest) < capacity // 2 or len(self._groups) >= most):
            smallest.is_open = True
            return smallest
        if len(self._groups) >= most:
            return None
        group = FetchGroup(self._fetching, self._connection, self._shares, self._waits)
        self._groups[group] = None
        self._count()
        return group
