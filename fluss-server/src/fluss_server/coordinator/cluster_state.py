"""What the coordinator knows of the cluster beyond definitions: servers, replicas, leaders.

A bucket is::

            elected                 leader gone
    NEW ──────────────► ONLINE ───────────────────► OFFLINE
                           ▲                           │
                           └───────────────────────────┘
                             elected from the ISR

NEW: it never had a leader. ONLINE: a live server is its leader. OFFLINE: no member of the ISR can lead it now.

:class:`ClusterState` changes only through :meth:`ClusterState.apply`, with what a :class:`Draft` of it collected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple, TypeVar

from fluss_server.cluster.messages import NO_LEADER, Failure, ServerNode
from fluss_server.coordinator.assignment import Assignment
from fluss_server.metadata.rebalance_records import BucketMove, RebalanceStatus, ServerTag
from fluss_server.metadata.records import LeaderAndIsrRecord
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo

_K = TypeVar("_K")
_V = TypeVar("_V")


class PhysicalTable(NamedTuple):
    """What has buckets: a table without partitions, or one partition of a table."""

    table_id: int
    partition_id: int | None = None

    def bucket(self, number: int) -> TableBucket:
        return TableBucket(self.table_id, self.partition_id, number)


def physical_table_of(bucket: TableBucket) -> PhysicalTable:
    """The physical table of a bucket."""
    return PhysicalTable(bucket.table_id, bucket.partition_id)


class BucketStatus(Enum):
    """See the module."""

    NEW = "new"
    ONLINE = "online"
    OFFLINE = "offline"


class BucketState(NamedTuple):
    """One bucket.

    Attributes:
        replicas: its assignment.
        record: leader, ISR and epochs as stored; None for a NEW bucket.
        active: whether the leader has confirmed that it leads in this leader epoch.
        former: live servers that may still serve clients in an earlier leader epoch, until they confirm this one. The
            leader does not hear of its leadership before.
        inherited: a leader epoch that an earlier coordinator has stored, of which this one does not know whether the
            leader has heard of it. If not, any server may serve clients in an earlier one, until its lease from that
            coordinator is over. None = nobody does.
    """

    replicas: tuple[int, ...]
    record: LeaderAndIsrRecord | None = None
    active: bool = False
    former: tuple[int, ...] = ()
    inherited: int | None = None

    @property
    def leader(self) -> int:
        return NO_LEADER if self.record is None else self.record.leader

    @property
    def status(self) -> BucketStatus:
        if self.record is None:
            return BucketStatus.NEW
        return BucketStatus.OFFLINE if self.record.leader == NO_LEADER else BucketStatus.ONLINE


class TableState(NamedTuple):
    """A table: its definition, and schemas with smaller ids."""

    table: TableInfo
    older_schemas: tuple[tuple[int, Schema], ...] = ()


class PhysicalTableState(NamedTuple):
    """A physical table.

    Attributes:
        partition: None for a table without partitions.
        bucket_count: number of buckets.
        visible: whether clients see it: every bucket has had a leader.
    """

    partition: PartitionInfo | None
    bucket_count: int
    visible: bool = False


class LiveServer(NamedTuple):
    """A tablet server that is a member.

    Attributes:
        node: who and where.
        incarnation: other with every start of its process.
        shutting_down: it gets no leaderships any more.
        is_new: it serves nothing by what an earlier coordinator has said.
    """

    node: ServerNode
    incarnation: str
    shutting_down: bool = False
    is_new: bool = False


class Rebalance(NamedTuple):
    """The current rebalance, or the last one."""

    rebalance_id: str
    status: RebalanceStatus


class MoveState(NamedTuple):
    """One bucket of the rebalance."""

    move: BucketMove
    status: RebalanceStatus

    @property
    def is_under_way(self) -> bool:
        """Whether the bucket may have its old and its new replicas now."""
        return self.status in (RebalanceStatus.REBALANCING, RebalanceStatus.TIMEOUT)


class Changes:
    """New values by key; None = removed."""

    def __init__(self) -> None:
        self.servers: dict[int, LiveServer | None] = {}
        self.tables: dict[int, TableState | None] = {}
        self.physical_tables: dict[PhysicalTable, PhysicalTableState | None] = {}
        self.buckets: dict[TableBucket, BucketState | None] = {}
        self.failures: dict[tuple[int, TableBucket], Failure | None] = {}
        self.tags: dict[int, ServerTag | None] = {}
        self.moves: dict[TableBucket, MoveState | None] = {}
        self.rebalance: Rebalance | None = None  # unchanged


class ClusterState:
    """The confirmed state. Only the event queue changes it.

    Attributes:
        coordinator_epoch: of this coordinator.
        coordinator: this coordinator, for servers and clients.
        standby_replicas: how many followers of a primary-key bucket keep a KvTablet of their own.
        servers: live tablet servers by id.
        tables: tables by id.
        physical_tables: what has buckets.
        buckets: every bucket.
        failures: buckets that a live server could not lead or follow; it is not elected until a retry.
        tags: servers that are to have nothing.
        has_tags_node: whether there is a node for them, which may be empty.
        rebalance: the current one, or the last one; None before the first.
        moves: its buckets.
        moving: those of them that are under way.
        handovers: buckets whose leader waits for former ones.
        moves_per_server: most of them that a server may take part in at a time.
    """

    def __init__(
        self,
        coordinator_epoch: int,
        coordinator: ServerNode,
        *,
        standby_replicas: int = 1,
        moves_per_server: int = 2,
    ) -> None:
        self.coordinator_epoch = coordinator_epoch
        self.coordinator = coordinator
        self.standby_replicas = standby_replicas
        self.moves_per_server = moves_per_server
        self.servers: dict[int, LiveServer] = {}
        self.tables: dict[int, TableState] = {}
        self.physical_tables: dict[PhysicalTable, PhysicalTableState] = {}
        self.buckets: dict[TableBucket, BucketState] = {}
        self.failures: dict[tuple[int, TableBucket], Failure] = {}
        self.tags: dict[int, ServerTag] = {}
        self.has_tags_node = False
        self.rebalance: Rebalance | None = None
        self.moves: dict[TableBucket, MoveState] = {}
        self.moving: dict[TableBucket, None] = {}
        self.handovers: dict[TableBucket, None] = {}
        self._partitions_of: dict[int, set[PhysicalTable]] = {}

    def apply(self, changes: Changes) -> None:
        """Make changes that are durable part of the state."""
        _merge(self.servers, changes.servers)
        _merge(self.tables, changes.tables)
        for physical, state in changes.physical_tables.items():
            if physical.partition_id is not None:
                siblings = self._partitions_of.setdefault(physical.table_id, set())
                (siblings.discard if state is None else siblings.add)(physical)
                if not siblings:
                    del self._partitions_of[physical.table_id]
        _merge(self.physical_tables, changes.physical_tables)
        _merge(self.buckets, changes.buckets)
        for bucket, found in changes.buckets.items():
            if found is not None and found.former:
                self.handovers[bucket] = None
            else:
                self.handovers.pop(bucket, None)
        _merge(self.failures, changes.failures)
        _merge(self.tags, changes.tags)
        if changes.tags:
            self.has_tags_node = bool(self.tags)
        _merge(self.moves, changes.moves)
        for bucket, move in changes.moves.items():
            if move is not None and move.is_under_way:
                self.moving[bucket] = None
            else:
                self.moving.pop(bucket, None)
        self.rebalance = changes.rebalance or self.rebalance

    def partitions_of(self, table_id: int) -> list[PhysicalTable]:
        """The partitions of a table."""
        return sorted(self._partitions_of.get(table_id, ()), key=lambda physical: physical.partition_id or 0)

    def live_server_ids(self) -> list[int]:
        """Servers that may get new replicas, by id."""
        return sorted(
            number
            for number, server in self.servers.items()
            if not server.shutting_down and self.tags.get(number) is not ServerTag.PERMANENT_OFFLINE
        )


def _merge(target: dict[_K, _V], changes: dict[_K, _V | None]) -> None:
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value


def _get(changes: dict[_K, _V | None], state: dict[_K, _V], key: _K) -> _V | None:
    return changes[key] if key in changes else state.get(key)


def _merged(changes: dict[_K, _V | None], state: dict[_K, _V]) -> dict[_K, _V]:
    if not changes:
        return state
    found = dict(state)
    _merge(found, changes)
    return found


class Draft:
    """A state with changes that are not confirmed yet. Reading sees them, the state below does not."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self.changes = Changes()

    @property
    def coordinator_epoch(self) -> int:
        return self._state.coordinator_epoch

    @property
    def coordinator(self) -> ServerNode:
        return self._state.coordinator

    # Reading

    def server(self, server_id: int) -> LiveServer | None:
        return _get(self.changes.servers, self._state.servers, server_id)

    def servers(self) -> list[LiveServer]:
        """Live servers, by id."""
        found = _merged(self.changes.servers, self._state.servers)
        return [found[server_id] for server_id in sorted(found)]

    def table(self, table_id: int) -> TableState | None:
        return _get(self.changes.tables, self._state.tables, table_id)

    def tables(self) -> Iterable[TableState]:
        return _merged(self.changes.tables, self._state.tables).values()

    def physical_table(self, physical: PhysicalTable) -> PhysicalTableState | None:
        return _get(self.changes.physical_tables, self._state.physical_tables, physical)

    def physical_tables(self) -> dict[PhysicalTable, PhysicalTableState]:
        return _merged(self.changes.physical_tables, self._state.physical_tables)

    def partitions_of(self, table_id: int) -> list[PhysicalTable]:
        return [physical for physical in self._state.partitions_of(table_id) if self.physical_table(physical)]

    def bucket(self, bucket: TableBucket) -> BucketState | None:
        return _get(self.changes.buckets, self._state.buckets, bucket)

    def buckets(self) -> dict[TableBucket, BucketState]:
        return _merged(self.changes.buckets, self._state.buckets)

    def buckets_of(self, physical: PhysicalTable) -> Iterator[tuple[TableBucket, BucketState]]:
        """The buckets of a physical table, by number."""
        found = self.physical_table(physical)
        for number in range(0 if found is None else found.bucket_count):
            bucket = physical.bucket(number)
            state = self.bucket(bucket)
            if state is not None:
                yield bucket, state

    def failure(self, server_id: int, bucket: TableBucket) -> Failure | None:
        return _get(self.changes.failures, self._state.failures, (server_id, bucket))

    def failures(self) -> dict[tuple[int, TableBucket], Failure]:
        return _merged(self.changes.failures, self._state.failures)

    def tags(self) -> dict[int, ServerTag]:
        return _merged(self.changes.tags, self._state.tags)

    @property
    def rebalance(self) -> Rebalance | None:
        return self.changes.rebalance or self._state.rebalance

    @property
    def moves_per_server(self) -> int:
        return self._state.moves_per_server

    def move(self, bucket: TableBucket) -> MoveState | None:
        return _get(self.changes.moves, self._state.moves, bucket)

    def moves(self) -> dict[TableBucket, MoveState]:
        return _merged(self.changes.moves, self._state.moves)

    def moving(self) -> list[TableBucket]:
        """Buckets of the rebalance that are under way."""
        changed = self.changes.moves
        found = [bucket for bucket in self._state.moving if bucket not in changed]
        return found + [bucket for bucket, move in changed.items() if move is not None and move.is_under_way]

    # Writing

    def put_tag(self, server_id: int, tag: ServerTag | None) -> None:
        self.changes.tags[server_id] = tag

    def put_rebalance(self, rebalance: Rebalance) -> None:
        self.changes.rebalance = rebalance

    def put_move(self, bucket: TableBucket, move: MoveState | None) -> None:
        self.changes.moves[bucket] = move

    def put_server(self, server: LiveServer) -> None:
        self.changes.servers[server.node.server_id] = server

    def remove_server(self, server_id: int) -> None:
        self.changes.servers[server_id] = None

    def put_table(self, table: TableState) -> None:
        self.changes.tables[table.table.table_id] = table

    def remove_table(self, table_id: int) -> None:
        self.changes.tables[table_id] = None

    def add_physical_table(self, physical: PhysicalTable, state: PhysicalTableState, assignment: Assignment) -> None:
        """Add a physical table with NEW buckets."""
        self.changes.physical_tables[physical] = state
        for number, replicas in enumerate(assignment):
            self.changes.buckets[physical.bucket(number)] = BucketState(replicas)

    def put_physical_table(self, physical: PhysicalTable, state: PhysicalTableState) -> None:
        self.changes.physical_tables[physical] = state

    def remove_physical_table(self, physical: PhysicalTable) -> None:
        """Remove a physical table with its buckets."""
        for bucket, state in list(self.buckets_of(physical)):
            self.changes.buckets[bucket] = None
            for server_id in state.replicas:
                if self.failure(server_id, bucket) is not None:
                    self.put_failure(server_id, bucket, None)
        self.changes.physical_tables[physical] = None

    def put_bucket(self, bucket: TableBucket, state: BucketState) -> None:
        self.changes.buckets[bucket] = state

    def put_failure(self, server_id: int, bucket: TableBucket, failure: Failure | None) -> None:
        self.changes.failures[server_id, bucket] = failure
