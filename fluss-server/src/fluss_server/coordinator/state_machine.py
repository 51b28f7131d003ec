"""The coordinator's decisions: a state and an event in, changes, writes and instructions out. Pure.

Nothing here reads a clock, a file or a random source, and nothing changes the state: :func:`plan` works on a draft. The
event queue writes what a plan says, applies its changes when they are durable, and then carries out its instructions.

What the events do:

* ``ServerJoined``: everything there is to the newcomer, the list of servers to all, then leaders for what has none.
* ``AbsentServersLeft``: the same for servers that a new coordinator has not seen.
* ``ServerLeft``: the list of servers first, so that no leader takes the dead back into an ISR; then its replicas go
  offline, then others are elected.
* ``ShutdownRequested``: its leaderships move; what cannot move is the result.
* ``TableCreated``, ``PartitionCreated``: the definition to the servers, then leaders; clients see it when every bucket
  has one (``TableReady``).
* ``TableAltered``: the definition to all, and its buckets get the standby replicas that it says.
* ``TablesDropped``, ``PartitionDropped``: gone for clients, then its replicas are deleted.
* ``LeadershipsConfirmed``: a leader counts as active; a failure makes another one lead, and is retried later. A leader
  that has begun the epoch before it was restarted is elected again, in a new epoch.
* ``LeadershipsResigned``: a leader that cannot go on leaves the ISR, another one leads, and it follows.
* ``IsrAdjustmentRequested``: validated, stored, returned. ISRs are not sent to anybody else, except to those who become
  standby replicas, or are it no more. A leader that knows an older one is told the present one.
* ``ServersTagged``, ``ServersUntagged``: stored; it counts for what is decided from then on.
* ``RebalanceRequested``, ``RebalanceCanceled``, ``MovesAreLate``: see ``reassignments.py``. While a rebalance runs,
  every event may let a bucket of it go on.

Every record that is written names the standby replicas of its bucket, see :mod:`.standbys`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fluss_server.cluster.messages import (
    NO_LEADER,
    AdjustedBucket,
    AdjustIsrResponse,
    BucketLeadership,
    Failure,
    PartitionMetadata,
    ReplicaStop,
    ResignLeaderships,
    TableMetadata,
)
from fluss_server.coordinator.cluster_state import (
    BucketState,
    BucketStatus,
    ClusterState,
    Draft,
    LiveServer,
    PhysicalTable,
    PhysicalTableState,
    physical_table_of,
)
from fluss_server.coordinator.elections import (
    elect,
    first_leader,
    isr_change_failure,
    with_leader,
    without_replica,
)
from fluss_server.coordinator.events import (
    AbsentServersLeft,
    Event,
    FailedBucketsRetried,
    Instruction,
    IsrAdjustmentRequested,
    LeadershipConfirmed,
    LeadershipsConfirmed,
    LeadershipsResigned,
    MetadataChange,
    MovesAreLate,
    PartitionCreated,
    PartitionDropped,
    Plan,
    RebalanceCanceled,
    RebalanceRequested,
    RetryLater,
    ServerJoined,
    ServerLeft,
    ServersTagged,
    ServersUntagged,
    ShutdownRequested,
    TableAltered,
    TableCreated,
    TableReady,
    TablesDropped,
    Tell,
    Transition,
)
from fluss_server.coordinator.metadata_view import bucket_metadata
from fluss_server.coordinator.reassignments import Reassignments
from fluss_server.coordinator.rebalance_writes import assignment_write, rebalance_writes
from fluss_server.coordinator.server_tags import tag_servers, untag_servers
from fluss_server.coordinator.standbys import standby_count, with_standbys
from fluss_server.errors import ErrorCode
from fluss_server.metadata.records import LeaderAndIsrRecord, leader_and_isr_path
from fluss_server.metadata.store import Create, Set, StoreOperation, parent_of
from fluss_server.model.identifiers import TableBucket

_MAY_START_MOVES = (RebalanceRequested, MovesAreLate, ServerJoined, FailedBucketsRetried, TablesDropped)

_OUTDATED = frozenset({ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION, ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION})


def plan(state: ClusterState, event: Event) -> Plan:
    """What to do about an event. The state does not change."""
    planner = _Planner(state)
    result: object = None
    match event:
        case ServerJoined():
            planner.server_joined(event)
        case ServerLeft():
            planner.server_left(event.server_id, event.incarnation)
        case AbsentServersLeft():
            planner.absent_servers_left()
        case ShutdownRequested():
            result = planner.shutdown_requested(event.server_id, event.incarnation)
        case TableCreated():
            planner.table_created(event)
        case TableAltered():
            planner.table_altered(event)
        case TablesDropped():
            planner.tables_dropped(event.table_ids)
        case PartitionCreated():
            planner.partition_created(event)
        case PartitionDropped():
            planner.partition_dropped(event)
        case LeadershipsConfirmed():
            planner.leaderships_confirmed(event)
        case IsrAdjustmentRequested():
            result = planner.isr_adjustment_requested(event)
        case LeadershipsResigned():
            planner.leaderships_resigned(event.request)
        case FailedBucketsRetried():
            planner.failed_buckets_retried()
        case ServersTagged():
            planner.servers_tagged(event)
        case ServersUntagged():
            planner.servers_untagged(event)
        case RebalanceRequested():
            planner.reassignments.request(event)
        case RebalanceCanceled():
            planner.reassignments.cancel(event)
        case MovesAreLate():
            planner.reassignments.late(event)
    planner.reassignments.advance(start_more=isinstance(event, _MAY_START_MOVES))
    return planner.finish(result)


class _Planner:
    """One plan in the making."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._draft = Draft(state)
        self.reassignments = Reassignments(self._draft, self)
        self._written: dict[TableBucket, None] = {}  # buckets with another record
        self._assigned: dict[PhysicalTable, None] = {}  # with another assignment
        self._stops: list[Tell] = []  # of replicas that were moved away
        self._leaderships: dict[TableBucket, None] = {}  # to be announced to all replicas
        self._instructions: list[Instruction] = []
        self._transitions: list[Transition] = []
        self._retry = False

    def finish(self, result: object) -> Plan:
        self._announce()
        self._instructions += self._stops
        if self._retry:
            self._instructions.append(RetryLater())
        return Plan(
            self._draft.changes,
            tuple(self._writes()),
            tuple(self._instructions),
            tuple(self._transitions),
            result,
        )

    # ------------------------------------------------------------------ servers

    def server_joined(self, event: ServerJoined) -> None:
        node, incarnation = event.server, event.incarnation
        known = self._draft.server(node.server_id)
        if known is not None and known.incarnation == incarnation and not known.shutting_down:
            # The response to its first request was lost. It does not serve what it led before until that is repeated.
            self._tell(node.server_id, self._everything())
            for bucket, state in self._buckets_of(node.server_id).items():
                if state.status is BucketStatus.ONLINE:
                    self._tell_leadership(bucket, node.server_id)
            return
        if known is not None:
            self.server_left(node.server_id)
        if not event.clean:
            self._end_uncertain_memberships(node.server_id, durable=event.durable)
        self._forget_failures(node.server_id)
        self._draft.put_server(LiveServer(node, incarnation))
        self.note(None, "server-joined", f"server {node.server_id}, incarnation {incarnation}")
        self._tell_servers(but=node.server_id)
        self._tell(node.server_id, self._everything())
        for bucket, state in self._draft.buckets().items():
            if node.server_id in state.replicas and state.status is BucketStatus.ONLINE:
                self._draft.put_bucket(
                    bucket, state._replace(active=False) if state.leader == node.server_id else state
                )
                self._tell_leadership(bucket, node.server_id)
        self._elect_where_needed(self._draft.buckets())

    def server_left(self, server_id: int, incarnation: str | None = None) -> None:
        known = self._draft.server(server_id)
        if known is None or incarnation not in (None, known.incarnation):
            return
        self._draft.remove_server(server_id)
        self._forget_failures(server_id)
        self.note(None, "server-left", f"server {server_id}")
        self._tell_servers()
        affected = self._buckets_of(server_id)
        self._take_offline(affected, server_id)
        self._elect_where_needed(affected)
        for bucket in affected:
            self._served_no_more(bucket, server_id)

    def absent_servers_left(self) -> None:
        for bucket, state in self._draft.buckets().items():
            if state.record is None:
                continue
            record = state.record
            if any(self._is_live(member) for member in record.isr):
                record = self._without_absent(record)
            elif record.leader != NO_LEADER and not self._is_live(record.leader):
                # Nobody can take over: whichever member comes back first has everything.
                record = with_leader(record, NO_LEADER)
            if record != state.record:
                self.write(bucket, record, "replica-offline")
        self._elect_where_needed(self._draft.buckets())
        for bucket, state in self._draft.buckets().items():
            for server_id in state.former:
                if not self._is_live(server_id):
                    self._served_no_more(bucket, server_id)

    def _is_live(self, server_id: int) -> bool:
        return self._draft.server(server_id) is not None

    def _without_absent(self, record: LeaderAndIsrRecord) -> LeaderAndIsrRecord:
        for server_id in sorted({record.leader, *record.isr} - {NO_LEADER}):
            if not self._is_live(server_id):
                record = without_replica(record, server_id)
        return record

    def _end_uncertain_memberships(self, server_id: int, *, durable: bool) -> None:
        """A server may have lost what was in its logs: others lead, and it is no ISR's member but the last.

        If what it reported was on its disk, it also stays while no other member can lead: it has everything that was
        acknowledged, and nobody else is there who could have acknowledged more.

        Its leadership ends in any case: rows that it lost may be on a follower, and what comes in their place must
        belong to another leader epoch.
        """
        for bucket, state in self._buckets_of(server_id).items():
            record = state.record
            if record is None or len(state.replicas) == 1:
                continue
            others = set(record.isr) & set(self.available(bucket, state)) - {server_id}
            if others or not durable:
                record = without_replica(record, server_id)
            elif record.leader == server_id:
                record = with_leader(record, NO_LEADER)
            if record != state.record:
                self.write(bucket, record, "replica-uncertain")

    def _buckets_of(self, server_id: int) -> dict[TableBucket, BucketState]:
        return {bucket: state for bucket, state in self._draft.buckets().items() if server_id in state.replicas}

    def shutdown_requested(self, server_id: int, incarnation: str | None) -> tuple[TableBucket, ...]:
        server = self._draft.server(server_id)
        if server is None or incarnation not in (None, server.incarnation):
            return ()
        self._draft.put_server(server._replace(shutting_down=True))
        self.note(None, "shutdown-requested", f"server {server_id}")
        remaining = []
        for bucket, state in list(self._draft.buckets().items()):
            if server_id not in state.replicas or state.record is None:
                continue
            if state.leader == server_id:
                elected = elect(state.record, self.available(bucket, state))
                if elected is None:
                    remaining.append(bucket)
                    continue
                self.write(bucket, without_replica(elected, server_id), "move-leader")
            elif server_id in state.record.isr:
                self.write(bucket, without_replica(state.record, server_id), "shrink-isr")
        return tuple(remaining)

    def _take_offline(self, buckets: dict[TableBucket, BucketState], server_id: int) -> None:
        for bucket, state in buckets.items():
            if state.record is None:
                continue
            record = without_replica(state.record, server_id)
            if record != state.record:
                self.write(bucket, record, "replica-offline")

    # ------------------------------------------------------------------ tables and partitions

    def table_created(self, event: TableCreated) -> None:
        table = event.table.table
        self._draft.put_table(event.table)
        if event.assignment is None:
            self._tell_all(MetadataChange(tables=(self._table_metadata(table.table_id),)))
            return
        physical = PhysicalTable(table.table_id)
        self._draft.add_physical_table(physical, PhysicalTableState(None, len(event.assignment)), event.assignment)
        self._tell_all(MetadataChange(tables=(self._table_metadata(table.table_id),)))
        self._lead_new(physical)

    def partition_created(self, event: PartitionCreated) -> None:
        partition = event.partition
        physical = PhysicalTable(partition.table_id, partition.partition_id)
        self._draft.add_physical_table(physical, PhysicalTableState(partition, len(event.assignment)), event.assignment)
        self._tell_all(MetadataChange(partitions=(PartitionMetadata(partition),)))
        self._lead_new(physical)

    def _lead_new(self, physical: PhysicalTable) -> None:
        """Elect the first leaders of a physical table, and create the nodes that hold them."""
        buckets = dict(self._draft.buckets_of(physical))
        self._elect_where_needed(buckets)
        if not buckets:
            self._show(physical)

    def table_altered(self, event: TableAltered) -> None:
        table_id = event.table.table.table_id
        if self._draft.table(table_id) is None:
            return
        self._draft.put_table(event.table)
        self.note(None, "table-altered", f"table {table_id}")
        self._tell_all(MetadataChange(tables=(self._table_metadata(table_id),)))
        for physical in (PhysicalTable(table_id), *self._draft.partitions_of(table_id)):
            for bucket, state in self._draft.buckets_of(physical):
                if state.record is not None and self._with_standbys(bucket, state, state.record) != state.record:
                    self.write(bucket, replace(state.record, bucket_epoch=state.record.bucket_epoch + 1), "standby")

    def tables_dropped(self, table_ids: Iterable[int]) -> None:
        for table_id in table_ids:
            if self._draft.table(table_id) is None:
                continue
            self.note(None, "table-dropped", f"table {table_id}")
            self._tell_all(MetadataChange(dropped_tables=(table_id,)))
            for physical in (PhysicalTable(table_id), *self._draft.partitions_of(table_id)):
                self._remove_replicas(physical)
            self._draft.remove_table(table_id)

    def partition_dropped(self, event: PartitionDropped) -> None:
        partition_id = event.partition.partition_id
        physical = PhysicalTable(event.partition.table_id, partition_id)
        if self._draft.physical_table(physical) is None:
            return
        self.note(None, "partition-dropped", f"partition {partition_id}")
        self._tell_all(MetadataChange(dropped_partitions=(partition_id,)))
        self._remove_replicas(physical)

    def _remove_replicas(self, physical: PhysicalTable) -> None:
        for bucket, state in self._draft.buckets_of(physical):
            epoch = 0 if state.record is None else state.record.leader_epoch
            for server_id in state.replicas:
                self._tell(server_id, ReplicaStop(bucket, epoch, delete=True, delete_remote=True))
        if self._draft.physical_table(physical) is not None:
            self._draft.remove_physical_table(physical)

    # ------------------------------------------------------------------ leaders

    def leaderships_confirmed(self, event: LeadershipsConfirmed) -> None:
        server = self._draft.server(event.server_id)
        if server is None:
            return
        touched: dict[PhysicalTable, None] = {}
        for outcome in event.outcomes:
            if self._confirm(event.server_id, outcome):
                touched[physical_table_of(outcome.leadership.bucket)] = None
        for physical in touched:
            self._show_if_ready(physical)

    def _confirm(self, server_id: int, outcome: LeadershipConfirmed) -> bool:
        """Take in one response; returns whether it was about the present leader.

        The bucket epoch does not matter: a leader may have changed its ISR before it responds.
        """
        bucket, failure = outcome.leadership.bucket, outcome.failure
        state = self._draft.bucket(bucket)
        if state is None or state.record is None or state.record.leader_epoch != outcome.leadership.leader_epoch:
            return False  # the bucket is gone, or a later notification is on its way
        if failure is not None and failure.code in _OUTDATED:
            return False  # the server has taken in a later notification already
        self._served_no_more(bucket, server_id)
        state = self._draft.bucket(bucket)
        assert state is not None, f"{bucket} exists"
        assert state.record is not None, f"{bucket} has a leader"
        if failure is None:
            if state.leader == server_id and not state.active:
                self._draft.put_bucket(bucket, state._replace(active=True))
                self.note(bucket, "leader-active", f"server {server_id}, leader epoch {state.record.leader_epoch}")
            return True
        self.note(bucket, "leadership-failed", f"server {server_id}: {failure.message}")
        if failure.code is ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION and state.leader == server_id:
            # It has begun this epoch before a restart, and can lead in the next one.
            self.write(bucket, with_leader(state.record, NO_LEADER), "epoch-begun-before")
            self._elect_where_needed({bucket: state})
            return True
        if state.leader == server_id:
            self._leader_failed(bucket, server_id, failure)
        else:
            self._draft.put_failure(server_id, bucket, failure)
            self._retry = True
        return True

    def _leader_failed(self, bucket: TableBucket, server_id: int, failure: Failure) -> None:
        """Let another replica lead. It does not wait for this one, which leaves the ISR, follows and may come back."""
        state = self._draft.bucket(bucket)
        assert state is not None, f"{bucket} exists"
        assert state.record is not None, f"{bucket} has a leader"
        self._draft.put_failure(server_id, bucket, failure)
        self._retry = True
        self.write(bucket, without_replica(state.record, server_id), "leader-failed")
        self._elect_where_needed([bucket])
        if len(state.replicas) > 1:
            self._tell_leadership(bucket, server_id)

    def leaderships_resigned(self, request: ResignLeaderships) -> None:
        for resigned in request.buckets:
            bucket, server_id = resigned.bucket, request.server_id
            state = self._draft.bucket(bucket)
            if state is None or state.record is None or state.leader != server_id:
                continue
            if state.record.leader_epoch != resigned.leader_epoch:
                continue
            others = [server for server in self.available(bucket, state) if server != server_id]
            can_move = elect(state.record, others) is not None
            self.note(bucket, "resigned" if can_move else "not-replaceable", f"server {server_id}: {resigned.failure}")
            if can_move or not resigned.serves_reads:
                self._leader_failed(bucket, server_id, resigned.failure)

    def failed_buckets_retried(self) -> None:
        failed = dict.fromkeys(bucket for _, bucket in self._draft.failures())
        for server_id, bucket in list(self._draft.failures()):
            self._draft.put_failure(server_id, bucket, None)
        buckets = {bucket: state for bucket in failed if (state := self._draft.bucket(bucket)) is not None}
        for bucket, state in buckets.items():
            if state.status is BucketStatus.ONLINE:
                self._leaderships[bucket] = None
        self._elect_where_needed(buckets)

    def _elect_where_needed(self, buckets: Iterable[TableBucket]) -> None:
        """Give a leader to those of some buckets that have none and can have one."""
        for bucket in list(buckets):
            state = self._draft.bucket(bucket)
            if state is None or state.status is BucketStatus.ONLINE:
                continue
            available = self.available(bucket, state)
            if state.record is None:
                record = first_leader(available, self._draft.coordinator_epoch)
            else:
                elected = elect(state.record, available)
                record = None if elected is None else self._without_absent(elected)
            if record is not None:
                self.write(bucket, record, "elect")
            else:
                self.note(bucket, "no-candidate", f"of {state.replicas}")

    def available(self, bucket: TableBucket, state: BucketState) -> list[int]:
        """Replicas that can lead a bucket, in the order of the assignment; those on servers with a tag come last."""
        available = []
        for server_id in state.replicas:
            server = self._draft.server(server_id)
            if server is not None and not server.shutting_down and self._draft.failure(server_id, bucket) is None:
                available.append(server_id)
        tags = self._draft.tags()
        return sorted(available, key=tags.__contains__) if tags else available

    def write(self, bucket: TableBucket, record: LeaderAndIsrRecord, name: str) -> None:
        """Store another record of a bucket and announce it to its replicas."""
        state = self._draft.bucket(bucket)
        assert state is not None, f"{bucket} exists"
        self._put_record(bucket, state, record)
        self.note(bucket, name, f"leader {record.leader} in epoch {record.leader_epoch}, ISR {list(record.isr)}")
        self._leaderships[bucket] = None

    def move_leader(self, bucket: TableBucket, leader: int) -> None:
        """Let another replica lead, although the present leader lives and may serve clients until it is told."""
        state = self._draft.bucket(bucket)
        assert state is not None, f"{bucket} exists"
        assert state.record is not None, f"{bucket} has a leader"
        self._draft.put_bucket(bucket, state._replace(former=(*state.former, state.leader)))
        self.write(bucket, with_leader(state.record, leader), "move-leader")

    def _served_no_more(self, bucket: TableBucket, server_id: int) -> None:
        """A server serves a bucket in no earlier epoch; the leader is told when none does."""
        state = self._draft.bucket(bucket)
        if state is None or server_id not in state.former:
            return
        former = tuple(server for server in state.former if server != server_id)
        self._draft.put_bucket(bucket, state._replace(former=former))
        if not former and bucket not in self._leaderships:
            self._tell_leadership(bucket, state.leader)

    def assign(self, bucket: TableBucket, replicas: tuple[int, ...]) -> None:
        """Store another assignment of a bucket."""
        state = self._draft.bucket(bucket)
        assert state is not None, f"{bucket} exists"
        self._draft.put_bucket(bucket, state._replace(replicas=replicas))
        self._assigned[physical_table_of(bucket)] = None
        self.note(bucket, "assign", f"replicas {list(replicas)}")

    def remove_replica(self, server_id: int, bucket: TableBucket) -> None:
        """Tell a server to delete its replica, after the others have heard who is left."""
        state = self._draft.bucket(bucket)
        assert state is not None, f"{bucket} exists"
        assert state.record is not None, f"{bucket} has a leader"
        self._draft.put_failure(server_id, bucket, None)
        if self._draft.server(server_id) is not None:
            stop = ReplicaStop(bucket, state.record.leader_epoch, delete=True)
            self._stops.append(Tell(server_id, stop))

    def servers_tagged(self, event: ServersTagged) -> None:
        tag_servers(self._draft, event.server_ids, event.tag)
        self.note(None, "tag", f"{event.tag.name} on servers {list(event.server_ids)}")

    def servers_untagged(self, event: ServersUntagged) -> None:
        untag_servers(self._draft, event.server_ids, event.tag)
        self.note(None, "untag", f"{event.tag.name} off servers {list(event.server_ids)}")

    def _put_record(self, bucket: TableBucket, state: BucketState, record: LeaderAndIsrRecord) -> LeaderAndIsrRecord:
        """Take in another record, with the standby replicas of the bucket; returns it."""
        record = self._with_standbys(bucket, state, record)
        same_leader = state.record is not None and state.record.leader_epoch == record.leader_epoch
        former = tuple(server for server in state.former if server != record.leader)
        self._draft.put_bucket(
            bucket, state._replace(record=record, active=state.active and same_leader, former=former)
        )
        self._written[bucket] = None
        return record

    def _with_standbys(self, bucket: TableBucket, state: BucketState, record: LeaderAndIsrRecord) -> LeaderAndIsrRecord:
        table = self._draft.table(bucket.table_id)
        count = 0 if table is None else standby_count(table.table, self._state.standby_replicas)
        return with_standbys(record, self.available(bucket, state) if count else (), count)

    def _writes(self) -> list[StoreOperation]:
        """What makes the changes durable.

        A rebalance is stored before its first step, and its end after the last one. A record comes before the
        assignment that belongs to it: a coordinator that reads one without the other then finds an ISR within it.
        """
        begin, end = rebalance_writes(self._state, self._draft)
        assignments = [write for physical in self._assigned if (write := assignment_write(self._draft, physical))]
        return [*begin, *self._record_writes(), *assignments, *end]

    def _record_writes(self) -> list[StoreOperation]:
        """One write per bucket; the first record of a bucket needs its nodes."""
        operations: list[StoreOperation] = []
        with_nodes: set[PhysicalTable] = set()
        for bucket in self._written:
            state = self._draft.bucket(bucket)
            if state is None or state.record is None:
                continue  # dropped by the same event
            path = leader_and_isr_path(bucket.table_id, bucket.bucket, bucket.partition_id)
            stored = self._state.buckets.get(bucket)
            if stored is not None and stored.record is not None:
                operations.append(Set(path, state.record.encode()))
                continue
            physical = physical_table_of(bucket)
            if physical not in with_nodes:
                with_nodes.add(physical)
                if not self._has_records(physical):
                    operations.append(Create(parent_of(parent_of(path))))
            operations.append(Create(parent_of(path)))
            operations.append(Create(path, state.record.encode()))
        return operations

    def _has_records(self, physical: PhysicalTable) -> bool:
        found = self._state.physical_tables.get(physical)
        buckets = range(0 if found is None else found.bucket_count)
        stored = (self._state.buckets.get(physical.bucket(number)) for number in buckets)
        return any(state is not None and state.record is not None for state in stored)

    def isr_adjustment_requested(self, event: IsrAdjustmentRequested) -> AdjustIsrResponse:
        leader = event.request.server_id
        live = [server.node.server_id for server in self._draft.servers() if not server.shutting_down]
        adjusted = []
        for change in event.request.buckets:
            state = self._draft.bucket(change.bucket)
            failure = isr_change_failure(change, leader, state, self._draft.coordinator_epoch, live)
            if failure is not None or state is None or state.record is None:
                adjusted.append(AdjustedBucket(change.bucket, failure))
                if failure is not None and failure.code is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION:
                    self._tell_leadership(change.bucket, leader)  # the response to an earlier request was lost
                continue
            record = replace(
                state.record,
                isr=change.isr,
                bucket_epoch=state.record.bucket_epoch + 1,
                coordinator_epoch=self._draft.coordinator_epoch,
            )
            record = self._put_record(change.bucket, state, record)
            for server_id in set(record.standby_replicas) ^ set(state.record.standby_replicas):
                if server_id in state.replicas:
                    self._tell_leadership(change.bucket, server_id)
            self.note(change.bucket, "adjust-isr", f"ISR {list(record.isr)}")
            adjusted.append(
                AdjustedBucket(
                    change.bucket,
                    None,
                    record.leader,
                    record.leader_epoch,
                    record.isr,
                    record.bucket_epoch,
                    record.coordinator_epoch,
                    record.standby_replicas,
                )
            )
        return AdjustIsrResponse(tuple(adjusted))

    # ------------------------------------------------------------------ what clients see

    def _show_if_ready(self, physical: PhysicalTable) -> None:
        """Let clients see a new physical table when each of its buckets has an active leader."""
        state = self._draft.physical_table(physical)
        if state is None or state.visible:
            return
        failed = None
        for bucket, bucket_state in self._draft.buckets_of(physical):
            if bucket_state.status is BucketStatus.OFFLINE:
                failures = (self._draft.failure(server, bucket) for server in bucket_state.replicas)
                failed = failed or next((failure for failure in failures if failure is not None), None)
            elif not bucket_state.active:
                return  # its server has not responded yet
        if failed is not None:
            self._instructions.append(TableReady(physical, failed))
        else:
            self._show(physical)

    def _show(self, physical: PhysicalTable) -> None:
        state = self._draft.physical_table(physical)
        assert state is not None, f"{physical} exists"
        self._draft.put_physical_table(physical, state._replace(visible=True))
        self.note(None, "visible", f"table {physical.table_id}, partition {physical.partition_id}")
        self._tell_all(self._change_of(physical))
        self._instructions.append(TableReady(physical))

    def _change_of(self, physical: PhysicalTable) -> MetadataChange:
        state = self._draft.physical_table(physical)
        assert state is not None, f"{physical} exists"
        if state.partition is None:
            return MetadataChange(tables=(self._table_metadata(physical.table_id),))
        return MetadataChange(partitions=(PartitionMetadata(state.partition, bucket_metadata(self._draft, physical)),))

    def _everything(self) -> MetadataChange:
        partitions = [
            PartitionMetadata(state.partition, bucket_metadata(self._draft, physical))
            for physical, state in self._draft.physical_tables().items()
            if state.partition is not None
        ]
        return MetadataChange(
            tuple(server.node for server in self._draft.servers()),
            tuple(self._table_metadata(entry.table.table_id) for entry in self._draft.tables()),
            tuple(partitions),
            snapshot=True,
        )

    def _table_metadata(self, table_id: int) -> TableMetadata:
        entry = self._draft.table(table_id)
        assert entry is not None, f"table {table_id} exists"
        return TableMetadata(entry.table, bucket_metadata(self._draft, PhysicalTable(table_id)), entry.older_schemas)

    # ------------------------------------------------------------------ instructions

    def _announce(self) -> None:
        """Tell the replicas of changed buckets, and then everybody what clients shall see of it."""
        changed: dict[PhysicalTable, None] = {}
        for bucket in self._leaderships:
            state = self._draft.bucket(bucket)
            if state is None:
                continue
            for server_id in state.replicas:
                server = self._draft.server(server_id)
                failed = self._draft.failure(server_id, bucket) is not None  # it hears of the bucket when it is retried
                if server is not None and not server.shutting_down and not failed:
                    self._tell_leadership(bucket, server_id)
            changed[physical_table_of(bucket)] = None
        for physical in changed:
            found = self._draft.physical_table(physical)
            if found is not None and found.visible:
                self._tell_all(self._change_of(physical))

    def _tell_leadership(self, bucket: TableBucket, server_id: int) -> None:
        state, table = self._draft.bucket(bucket), self._draft.table(bucket.table_id)
        physical = self._draft.physical_table(physical_table_of(bucket))
        if state is None or state.record is None or table is None or physical is None:
            return
        if state.former and server_id == state.leader:
            return  # another server may serve clients until it has confirmed this epoch
        self._tell(
            server_id,
            BucketLeadership(
                bucket,
                table.table.path,
                None if physical.partition is None else physical.partition.name,
                state.record.leader,
                state.record.leader_epoch,
                state.replicas,
                state.record.isr,
                state.record.bucket_epoch,
                state.record.standby_replicas,
            ),
        )

    def _tell_servers(self, but: int | None = None) -> None:
        nodes = tuple(server.node for server in self._draft.servers())
        for node in nodes:
            if node.server_id != but:
                self._tell(node.server_id, MetadataChange(servers=nodes))

    def _tell_all(self, change: MetadataChange) -> None:
        for server in self._draft.servers():
            self._tell(server.node.server_id, change)

    def _tell(self, server_id: int, content: MetadataChange | BucketLeadership | ReplicaStop) -> None:
        if self._draft.server(server_id) is not None:
            self._instructions.append(Tell(server_id, content))

    def _forget_failures(self, server_id: int) -> None:
        for server, bucket in list(self._draft.failures()):
            if server == server_id:
                self._draft.put_failure(server, bucket, None)

    def note(self, bucket: TableBucket | None, name: str, detail: str) -> None:
        self._transitions.append(Transition(bucket, name, detail))
