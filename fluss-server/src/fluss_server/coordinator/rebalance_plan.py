"""Which replicas and leaders go to which servers, so that the cluster is in balance. Pure: values in, a plan out.

Goals are met in their order; a later one does not undo what an earlier one has reached:

* RACK_AWARE: the replicas of a bucket are on as many racks as possible. It is left out when a server has no rack.
* REPLICA_DISTRIBUTION: every server has about the same number of replicas.
* LEADER_DISTRIBUTION: every server leads about the same number of buckets.

A server with a tag gets nothing, and gives away what the goals are about: replicas with the first two, leaderships
always. Buckets without a leader, and those that are being moved, are left as they are.

A server is in balance between 0.91 and 1.09 times the average, and at most one beside it: of few buckets, too, a new
server gets its part, and of many a small difference is no reason to copy data.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.rebalance_records import BucketMove
from fluss_server.model.identifiers import TableBucket

_UPPER, _LOWER = 1.09, 0.91


class RebalanceGoal(IntEnum):
    """The numbers are the protocol's."""

    REPLICA_DISTRIBUTION = 0
    LEADER_DISTRIBUTION = 1
    RACK_AWARE = 2


ALL_GOALS = (RebalanceGoal.RACK_AWARE, RebalanceGoal.REPLICA_DISTRIBUTION, RebalanceGoal.LEADER_DISTRIBUTION)


class PlannedServer(NamedTuple):
    """A live server.

    Attributes:
        server_id: id.
        rack: failure domain, or None.
        avoided: it is to have nothing.
    """

    server_id: int
    rack: str | None = None
    avoided: bool = False


class PlannedBucket(NamedTuple):
    """A bucket with its assignment and its leader."""

    replicas: tuple[int, ...]
    leader: int


def plan_rebalance(
    servers: Iterable[PlannedServer],
    buckets: Mapping[TableBucket, PlannedBucket],
    goals: Sequence[RebalanceGoal],
    *,
    replaced: Iterable[int] = (),
    max_moves: int = sys.maxsize,
) -> tuple[BucketMove, ...]:
    """What has to move.

    Args:
        servers: the live ones.
        buckets: those that may move.
        goals: in the order of their priority, each once.
        replaced: servers that are not live and whose replicas are to be elsewhere. Replicas on other servers that are
            not live stay where they are.
        max_moves: nothing is planned beyond so many buckets.

    Returns:
        moves by bucket; the new leader is the first of the new replicas.

    Raises:
        FlussError: ``REBALANCE_FAILURE_EXCEPTION`` when no server may have replicas, or with RACK_AWARE when there are
            fewer racks than replicas of a bucket.
    """
    draft = _Draft(servers, buckets, frozenset(replaced), max_moves)
    draft.leave(frozenset(replaced))
    for goal in goals:
        match goal:
            case RebalanceGoal.RACK_AWARE:
                draft.spread_over_racks()
            case RebalanceGoal.REPLICA_DISTRIBUTION:
                draft.distribute_replicas()
            case RebalanceGoal.LEADER_DISTRIBUTION:
                draft.distribute_leaders(may_move_replicas=RebalanceGoal.REPLICA_DISTRIBUTION in goals)
    return draft.moves()[:max_moves]


def limits_of(total: int, servers: int) -> tuple[int, int]:
    """Fewest and most of ``total`` things that a server in balance has."""
    average = total / servers
    lower = min(math.floor(average), math.ceil(average * _LOWER))
    upper = max(math.ceil(average), math.floor(average * _UPPER))
    return lower, upper


class _Draft:
    """The assignments as they change while a plan is made."""

    def __init__(
        self,
        servers: Iterable[PlannedServer],
        buckets: Mapping[TableBucket, PlannedBucket],
        replaced: frozenset[int],
        max_moves: int,
    ) -> None:
        self._max_moves = max_moves
        self._moved: set[TableBucket] = set()
        self._servers = {server.server_id: server for server in servers}
        self._targets = sorted(number for number, server in self._servers.items() if not server.avoided)
        self._left = replaced.union(number for number, server in self._servers.items() if server.avoided)
        if not self._targets:
            raise FlussError(
                ErrorCode.REBALANCE_FAILURE_EXCEPTION,
                "no live tablet server may have replicas",
                hint="start another one, or remove a server tag",
            )
        self._origin = buckets
        self._replicas: dict[TableBucket, list[int]] = {}
        self._leaders: dict[TableBucket, int] = {}
        self._on: dict[int, dict[TableBucket, None]] = {number: {} for number in {*self._servers, *self._left}}
        self._led: dict[int, dict[TableBucket, None]] = {number: {} for number in {*self._servers, *self._left}}
        racks = {number: self._servers[number].rack for number in self._servers}
        self._racks: dict[int, str | None] = racks if None not in racks.values() else {}
        self._keeps_racks = False
        for bucket, state in buckets.items():
            self._replicas[bucket] = list(state.replicas)
            self._leaders[bucket] = state.leader
            for server in state.replicas:
                self._on.setdefault(server, {})[bucket] = None
            self._led.setdefault(state.leader, {})[bucket] = None

    # ------------------------------------------------------------------ goals

    def spread_over_racks(self) -> None:
        if not self._racks:
            self.leave(self._left)
            return
        racks = len({self._racks[number] for number in self._targets})
        largest = max((len(replicas) for replicas in self._replicas.values()), default=0)
        if racks < largest:
            raise FlussError(
                ErrorCode.REBALANCE_FAILURE_EXCEPTION,
                f"there are {racks} racks with servers that may have replicas, and buckets with {largest} replicas",
                hint="leave out the goal RACK_AWARE, or start servers in other racks",
            )
        self._keeps_racks = True
        self.leave(self._left)
        for bucket, replicas in self._replicas.items():
            for server in self._sharing_a_rack(bucket):
                target = self._lightest(bucket, leaving=server)
                if target is not None and self._racks[target] not in {
                    self._racks.get(other) for other in replicas if other != server
                }:
                    self._move(bucket, server, target)

    def distribute_replicas(self) -> None:
        self.leave(self._left)
        live = [len(self._on[number]) for number in self._targets]
        lower, upper = limits_of(sum(live), len(self._targets))
        self._level(lower, upper)

    def distribute_leaders(self, *, may_move_replicas: bool) -> None:
        for server in sorted(self._left):
            for bucket in list(self._led.get(server, ())):
                self._lead_elsewhere(bucket)
        lower, upper = limits_of(sum(len(self._led[number]) for number in self._targets), len(self._targets))
        self._level_leaders(lower, upper)
        if may_move_replicas:
            self._swap_leaders(lower, upper)

    # ------------------------------------------------------------------ steps

    def leave(self, servers: frozenset[int]) -> None:
        """Move every replica away from some servers, as far as there are others."""
        for server in sorted(servers):
            for bucket in list(self._on.get(server, ())):
                target = self._lightest(bucket, leaving=server)
                if target is not None:
                    self._move(bucket, server, target)

    def _level(self, lower: int, upper: int) -> None:
        """Move replicas from the fullest servers to the emptiest ones until all are within the limits."""
        searches: dict[tuple[int, int], Iterator[TableBucket]] = {}  # each goes on where it ended last
        immovable: set[tuple[int, int]] = set()
        moved = False
        while len(self._moved) < self._max_moves:
            by_count = sorted(self._targets, key=lambda number: (len(self._on[number]), number))
            pair = None
            for full in reversed(by_count):
                for empty in by_count:
                    needed = len(self._on[full]) > upper or len(self._on[empty]) < lower
                    useful = len(self._on[full]) - len(self._on[empty]) > 1
                    if needed and useful and (full, empty) not in immovable:
                        pair = full, empty
                        break
                if pair is not None:
                    break
            if pair is None and moved:  # what could not move may do so now
                searches, immovable, moved = {}, set(), False
                continue
            if pair is None:
                return
            full, empty = pair
            bucket = next(searches.setdefault(pair, self._movable(full, empty)), None)
            if bucket is None:
                immovable.add(pair)
            else:
                moved = True
                self._move(bucket, full, empty)

    def _movable(self, full: int, empty: int) -> Iterator[TableBucket]:
        """Buckets that may have a replica on ``empty`` instead of ``full``, those first that ``full`` does not lead."""

        def may_move(bucket: TableBucket) -> bool:
            there = bucket in self._on[full] and empty not in self._replicas[bucket]
            return there and self._rack_allows(bucket, full, empty)

        led = []
        for bucket in list(self._on[full]):
            if not may_move(bucket):
                continue
            if self._leaders[bucket] == full:
                led.append(bucket)
            else:
                yield bucket
        yield from filter(may_move, led)

    def _level_leaders(self, lower: int, upper: int) -> None:
        """Move leaderships between the replicas of their buckets, along chains of servers where it needs several."""
        while True:
            by_count = sorted(self._targets, key=lambda number: (len(self._led[number]), number))
            for full in reversed(by_count):
                chain = self._chain(full, lower, upper)
                if chain:
                    for bucket, target in chain:
                        self._lead(bucket, target)
                    break
            else:
                return

    def _chain(self, full: int, lower: int, upper: int) -> list[tuple[TableBucket, int]]:
        """Leaderships to move so that ``full`` has one less and a server with at least two less has one more."""
        came_from: dict[int, tuple[int, TableBucket]] = {}
        queue = [full]
        seen = {full}
        for server in queue:
            for bucket in self._led[server]:
                for other in self._replicas[bucket]:
                    if other in seen or other not in self._servers or self._servers[other].avoided:
                        continue
                    seen.add(other)
                    came_from[other] = server, bucket
                    needed = len(self._led[full]) > upper or len(self._led[other]) < lower
                    if needed and len(self._led[full]) - len(self._led[other]) > 1:
                        chain = []
                        step = other
                        while step != full:
                            before, moved = came_from[step]
                            chain.append((moved, step))
                            step = before
                        return chain
                    queue.append(other)
        return []

    def _swap_leaders(self, lower: int, upper: int) -> None:
        """Where no replica can take over: exchange a bucket that is led for one that is only followed."""
        while True:
            by_count = sorted(self._targets, key=lambda number: (len(self._led[number]), number))
            swap = next(
                (
                    found
                    for full in reversed(by_count)
                    for empty in by_count
                    if (len(self._led[full]) > upper or len(self._led[empty]) < lower)
                    and len(self._led[full]) - len(self._led[empty]) > 1
                    and (found := self._swap(full, empty)) is not None
                ),
                None,
            )
            if swap is None:
                return
            (bucket, full, empty), (other, source, target) = swap
            self._move(bucket, full, empty)
            self._lead(bucket, empty)
            self._move(other, source, target)

    def _swap(self, full: int, empty: int) -> tuple[tuple[TableBucket, int, int], tuple[TableBucket, int, int]] | None:
        led = next(
            (
                bucket
                for bucket in self._led[full]
                if empty not in self._replicas[bucket] and self._rack_allows(bucket, full, empty)
            ),
            None,
        )
        followed = next(
            (
                bucket
                for bucket in self._on[empty]
                if self._leaders[bucket] != empty
                and full not in self._replicas[bucket]
                and self._rack_allows(bucket, empty, full)
            ),
            None,
        )
        if led is None or followed is None:
            return None
        return (led, full, empty), (followed, empty, full)

    def _lead_elsewhere(self, bucket: TableBucket) -> None:
        candidates = [server for server in self._replicas[bucket] if server in self._targets]
        if candidates:
            self._lead(bucket, min(candidates, key=lambda server: (len(self._led[server]), server)))

    # ------------------------------------------------------------------ parts

    def _sharing_a_rack(self, bucket: TableBucket) -> list[int]:
        """Replicas whose rack another replica has, too; of each rack one stays, the leader if it is one of them."""
        leader = self._leaders[bucket]
        seen: set[str | None] = set()
        found = []
        for server in sorted(self._replicas[bucket], key=lambda server: server != leader):
            rack = self._racks.get(server)
            if server in self._servers and rack in seen:
                found.append(server)
            seen.add(rack)
        return found

    def _lightest(self, bucket: TableBucket, *, leaving: int) -> int | None:
        """The server for a replica that leaves another one: of the best rack the one with the fewest replicas."""
        replicas = self._replicas[bucket]
        used = {self._racks.get(server) for server in replicas if server != leaving} if self._racks else set()
        candidates = [
            server for server in self._targets if server not in replicas and self._rack_allows(bucket, leaving, server)
        ]
        return min(
            candidates,
            key=lambda server: (bool(self._racks) and self._racks[server] in used, len(self._on[server]), server),
            default=None,
        )

    def _rack_allows(self, bucket: TableBucket, leaving: int, target: int) -> bool:
        """Whether the replicas are on no fewer racks afterwards."""
        if not self._keeps_racks:
            return True
        others = {self._racks.get(server) for server in self._replicas[bucket] if server != leaving}
        return self._racks[target] not in others or self._racks.get(leaving) in others

    def _move(self, bucket: TableBucket, source: int, target: int) -> None:
        replicas = self._replicas[bucket]
        replicas[replicas.index(source)] = target
        self._moved.add(bucket)
        del self._on[source][bucket]
        self._on[target][bucket] = None
        if self._leaders[bucket] == source:  # rather a replica that is there already
            others = [server for server in replicas if server != target and server in self._targets]
            self._lead(bucket, min(others, key=lambda server: (len(self._led[server]), server), default=target))

    def _lead(self, bucket: TableBucket, target: int) -> None:
        self._led[self._leaders[bucket]].pop(bucket, None)
        self._led[target][bucket] = None
        self._leaders[bucket] = target

    def moves(self) -> tuple[BucketMove, ...]:
        """What differs from the beginning."""
        found = []
        for bucket, before in self._origin.items():
            leader = self._leaders[bucket]
            replicas = self._replicas[bucket]
            if leader == before.leader and set(replicas) == set(before.replicas):
                continue
            new = (leader, *(server for server in replicas if server != leader))
            found.append(BucketMove(bucket, before.leader, leader, before.replicas, new))
        return tuple(
            sorted(found, key=lambda move: (move.bucket.table_id, move.bucket.partition_id or -1, move.bucket.bucket))
        )
