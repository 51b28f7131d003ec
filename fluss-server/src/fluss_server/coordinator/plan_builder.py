"""A plan in the making: changes of a draft, and what servers hear of them. Pure.

``state_machine.py`` says what each event does; here is what it does that with. Every record that is written names the
standby replicas of its bucket, see :mod:`.standbys`.
"""

from __future__ import annotations

from fluss_server.cluster.messages import BucketLeadership, ReplicaStop
from fluss_server.coordinator.cluster_state import (
    BucketState,
    BucketStatus,
    ClusterState,
    Draft,
    PhysicalTable,
    physical_table_of,
)
from fluss_server.coordinator.elections import with_leader
from fluss_server.coordinator.events import (
    Instruction,
    MetadataChange,
    Plan,
    RetryLater,
    TableReady,
    Tell,
    Transition,
)
from fluss_server.coordinator.metadata_view import change_of
from fluss_server.coordinator.standbys import standby_count, with_standbys
from fluss_server.coordinator.store_writes import store_writes
from fluss_server.metadata.records import LeaderAndIsrRecord
from fluss_server.model.identifiers import TableBucket


class PlanBuilder:
    """One plan in the making.

    Args:
        state: before the event; it does not change.

    Attributes:
        draft: the state after it.
        announced: buckets whose replicas hear of their record at the end.
        retry: whether servers that failed are tried again after a while.
    """

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self.draft = Draft(state)
        self.announced: dict[TableBucket, None] = {}
        self.retry = False
        self._written: dict[TableBucket, None] = {}  # buckets with another record
        self._assigned: dict[PhysicalTable, None] = {}  # with another assignment
        self._stops: list[Tell] = []  # of replicas that were moved away
        self._instructions: list[Instruction] = []
        self._transitions: list[Transition] = []

    def finish(self, result: object) -> Plan:
        """The plan."""
        self._announce()
        self._instructions += self._stops
        if self.retry:
            self._instructions.append(RetryLater())
        return Plan(
            self.draft.changes,
            tuple(store_writes(self._state, self.draft, self._written, self._assigned)),
            tuple(self._instructions),
            tuple(self._transitions),
            result,
        )

    def available(self, bucket: TableBucket, state: BucketState) -> list[int]:
        """Replicas that can lead a bucket, in the order of the assignment; those on servers with a tag come last."""
        available = []
        for server_id in state.replicas:
            server = self.draft.server(server_id)
            if server is not None and not server.shutting_down and self.draft.failure(server_id, bucket) is None:
                available.append(server_id)
        tags = self.draft.tags()
        return sorted(available, key=tags.__contains__) if tags else available

    def write(self, bucket: TableBucket, record: LeaderAndIsrRecord, name: str) -> None:
        """Store another record of a bucket and announce it to its replicas."""
        state = self.draft.bucket(bucket)
        assert state is not None, f"{bucket} exists"
        self.put_record(bucket, state, record)
        self.note(bucket, name, f"leader {record.leader} in epoch {record.leader_epoch}, ISR {list(record.isr)}")
        self.announced[bucket] = None

    def move_leader(self, bucket: TableBucket, leader: int) -> None:
        """Let another replica lead, although the present leader lives and may serve clients until it is told."""
        state = self.draft.bucket(bucket)
        assert state is not None, f"{bucket} exists"
        assert state.record is not None, f"{bucket} has a leader"
        self.draft.put_bucket(bucket, state._replace(former=(*state.former, state.leader)))
        self.write(bucket, with_leader(state.record, leader), "move-leader")

    def served_no_more(self, bucket: TableBucket, server_id: int) -> None:
        """A server serves a bucket in no earlier epoch; the leader is told when none does."""
        state = self.draft.bucket(bucket)
        if state is None or server_id not in state.former:
            return
        former = tuple(server for server in state.former if server != server_id)
        self.draft.put_bucket(bucket, state._replace(former=former))
        if not former and bucket not in self.announced:
            self.tell_leadership(bucket, state.leader)

    def leases_are_over(self, bucket: TableBucket) -> None:
        """No server holds a lease of an earlier coordinator; the leader is told to lead in any case."""
        state = self.draft.bucket(bucket)
        if state is None or state.inherited is None:
            return
        self.draft.put_bucket(bucket, state._replace(inherited=None))
        if not state.active and bucket not in self.announced:
            self.tell_leadership(bucket, state.leader)

    def assign(self, bucket: TableBucket, replicas: tuple[int, ...]) -> None:
        """Store another assignment of a bucket."""
        state = self.draft.bucket(bucket)
        assert state is not None, f"{bucket} exists"
        self.draft.put_bucket(bucket, state._replace(replicas=replicas))
        self._assigned[physical_table_of(bucket)] = None
        self.note(bucket, "assign", f"replicas {list(replicas)}")

    def remove_replica(self, server_id: int, bucket: TableBucket) -> None:
        """Tell a server to delete its replica, after the others have heard who is left."""
        state = self.draft.bucket(bucket)
        assert state is not None, f"{bucket} exists"
        assert state.record is not None, f"{bucket} has a leader"
        self.draft.put_failure(server_id, bucket, None)
        if self.draft.server(server_id) is not None:
            stop = ReplicaStop(bucket, state.record.leader_epoch, delete=True)
            self._stops.append(Tell(server_id, stop))

    def put_record(self, bucket: TableBucket, state: BucketState, record: LeaderAndIsrRecord) -> LeaderAndIsrRecord:
        """Take in another record, with the standby replicas of the bucket; returns it."""
        record = self.with_standbys(bucket, state, record)
        same_leader = state.record is not None and state.record.leader_epoch == record.leader_epoch
        former = tuple(server for server in state.former if server != record.leader)
        self.draft.put_bucket(bucket, state._replace(record=record, active=state.active and same_leader, former=former))
        self._written[bucket] = None
        return record

    def with_standbys(self, bucket: TableBucket, state: BucketState, record: LeaderAndIsrRecord) -> LeaderAndIsrRecord:
        """The record with the standby replicas of its bucket."""
        table = self.draft.table(bucket.table_id)
        count = 0 if table is None else standby_count(table.table, self._state.standby_replicas)
        return with_standbys(record, self.available(bucket, state) if count else (), count)

    def show_if_ready(self, physical: PhysicalTable) -> None:
        """Let clients see a new physical table when each of its buckets has an active leader."""
        state = self.draft.physical_table(physical)
        if state is None or state.visible:
            return
        failed = None
        for bucket, bucket_state in self.draft.buckets_of(physical):
            if bucket_state.status is BucketStatus.OFFLINE:
                failures = (self.draft.failure(server, bucket) for server in bucket_state.replicas)
                failed = failed or next((failure for failure in failures if failure is not None), None)
            elif not bucket_state.active:
                return  # its server has not responded yet
        if failed is not None:
            self._instructions.append(TableReady(physical, failed))
        else:
            self.show(physical)

    def show(self, physical: PhysicalTable) -> None:
        """Let clients see a physical table, and tell them that it is ready."""
        state = self.draft.physical_table(physical)
        assert state is not None, f"{physical} exists"
        self.draft.put_physical_table(physical, state._replace(visible=True))
        self.note(None, "visible", f"table {physical.table_id}, partition {physical.partition_id}")
        self.tell_all(change_of(self.draft, physical))
        self._instructions.append(TableReady(physical))

    def _announce(self) -> None:
        """Tell the replicas of changed buckets, and then everybody what clients shall see of it."""
        changed: dict[PhysicalTable, None] = {}
        for bucket in self.announced:
            state = self.draft.bucket(bucket)
            if state is None:
                continue
            for server_id in state.replicas:
                server = self.draft.server(server_id)
                failed = self.draft.failure(server_id, bucket) is not None  # it hears of the bucket when it is retried
                if server is not None and not server.shutting_down and not failed:
                    self.tell_leadership(bucket, server_id)
            changed[physical_table_of(bucket)] = None
        for physical in changed:
            found = self.draft.physical_table(physical)
            if found is not None and found.visible:
                self.tell_all(change_of(self.draft, physical))

    def tell_leadership(self, bucket: TableBucket, server_id: int) -> None:
        """Tell a server who leads a bucket."""
        state, table = self.draft.bucket(bucket), self.draft.table(bucket.table_id)
        physical = self.draft.physical_table(physical_table_of(bucket))
        if state is None or state.record is None or table is None or physical is None:
            return
        if state.former and server_id == state.leader:
            return  # another server may serve clients until it has confirmed this epoch
        self.tell(
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
                state.inherited if server_id == state.leader else None,
            ),
        )

    def tell_servers(self, but: int | None = None) -> None:
        """Tell all servers which ones there are."""
        nodes = tuple(server.node for server in self.draft.servers())
        for node in nodes:
            if node.server_id != but:
                self.tell(node.server_id, MetadataChange(servers=nodes))

    def tell_all(self, change: MetadataChange) -> None:
        """Tell all servers of a change."""
        for server in self.draft.servers():
            self.tell(server.node.server_id, change)

    def tell(self, server_id: int, content: MetadataChange | BucketLeadership | ReplicaStop) -> None:
        """Tell one server, if it is a member."""
        if self.draft.server(server_id) is not None:
            self._instructions.append(Tell(server_id, content))

    def note(self, bucket: TableBucket | None, name: str, detail: str) -> None:
        """Record what happened, for the log and for tests."""
        self._transitions.append(Transition(bucket, name, detail))
