"""Whatever happens in which order: leaders are legal, epochs grow, and the store holds what the coordinator knows."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from example_support import examples
from fluss_server.cluster.messages import (
    NO_LEADER,
    AdjustIsr,
    BucketLeadership,
    Failure,
    IsrChange,
    ReplicaStop,
    ResignedLeadership,
    ResignLeaderships,
    ServerNode,
)
from fluss_server.coordinator.assignment import assign
from fluss_server.coordinator.cluster_state import BucketStatus, ClusterState, PhysicalTable, TableState
from fluss_server.coordinator.events import (
    AbsentServersLeft,
    Event,
    FailedBucketsRetried,
    IsrAdjustmentRequested,
    LeadershipConfirmed,
    LeadershipsConfirmed,
    LeadershipsResigned,
    Plan,
    ServerJoined,
    ServerLeft,
    ShutdownRequested,
    TableCreated,
    TablesDropped,
    Tell,
)
from fluss_server.coordinator.state_machine import plan
from fluss_server.errors import ErrorCode
from fluss_server.metadata.records import LeaderAndIsrRecord, leader_and_isr_path
from fluss_server.metadata.store import Create, Delete
from fluss_server.metadata.tree import Tree
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.table import TableDescriptor, TableInfo

SERVERS = [0, 1, 2, 3]
EPOCH = 4
DESCRIPTOR = TableDescriptor.from_json(
    {"schema": {"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]}, "bucket_count": 2}
)
KEYED = TableDescriptor.from_json(
    {
        "schema": {
            "columns": [{"name": "a", "data_type": {"type": "INTEGER", "nullable": False}}],
            "primary_key": ["a"],
        },
        "bucket_count": 2,
    }
)
FAILURE = Failure(ErrorCode.STORAGE_EXCEPTION, "no space")


class CoordinatorMachine(RuleBasedStateMachine):
    """Servers come and go, tables are created and dropped, responses are late, lost or failures."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ClusterState(EPOCH, ServerNode(99))
        self.tree = Tree()
        for path in ("/tabletservers", "/tabletservers/tables"):
            self.tree.apply(self.tree.plan([Create(path)]))
        self.incarnations = 0
        self.tables = 0
        self.responses: list[tuple[int, BucketLeadership]] = []
        self.stops: list[tuple[int, ReplicaStop]] = []
        self.epochs: dict[TableBucket, tuple[int, int]] = {}

    def handle(self, event: Event) -> Plan:
        planned = plan(self.state, event)
        operations = list(planned.writes)
        if isinstance(event, TableCreated):
            operations.insert(0, Create(f"/tabletservers/tables/{event.table.table.table_id}"))
        self.tree.apply(self.tree.plan(operations))  # a write that is impossible raises
        self.state.apply(planned.changes)
        for instruction in planned.instructions:
            if isinstance(instruction, Tell):
                assert instruction.server_id in self.state.servers
                if isinstance(instruction.content, BucketLeadership):
                    self.responses.append((instruction.server_id, instruction.content))
                elif isinstance(instruction.content, ReplicaStop):
                    self.stops.append((instruction.server_id, instruction.content))
        return planned

    @rule(server=st.sampled_from(SERVERS), clean=st.booleans(), durable=st.booleans())
    def join(self, server: int, clean: bool, durable: bool) -> None:
        self.incarnations += 1
        self.handle(ServerJoined(ServerNode(server), str(self.incarnations), clean, durable, is_new=True))

    @rule()
    def absent_servers_leave(self) -> None:
        self.handle(AbsentServersLeft())
        for bucket, state in self.state.buckets.items():
            assert state.leader == NO_LEADER or state.leader in self.state.servers, f"{bucket} is led by the dead"

    @rule(server=st.sampled_from(SERVERS))
    def leave(self, server: int) -> None:
        self.handle(ServerLeft(server))

    @rule(server=st.sampled_from(SERVERS))
    def shut_down(self, server: int) -> None:
        remaining = self.handle(ShutdownRequested(server)).result
        assert isinstance(remaining, tuple)
        assert set(remaining) == {
            bucket
            for bucket, state in self.state.buckets.items()
            if server in self.state.servers and state.leader == server
        }

    @precondition(lambda self: self.state.live_server_ids() and len(self.state.tables) < 4)
    @rule(factor=st.integers(1, 3), start=st.integers(0, 3), shift=st.integers(0, 3), keyed=st.booleans())
    def create(self, factor: int, start: int, shift: int, keyed: bool) -> None:
        live = self.state.live_server_ids()
        assignment = assign(2, min(factor, len(live)), live, start=start, shift=shift)
        info = TableInfo(TablePath("fluss", f"t{self.tables}"), self.tables, 1, KEYED if keyed else DESCRIPTOR, 0, 0)
        self.tables += 1
        self.handle(TableCreated(TableState(info), assignment))

    @precondition(lambda self: self.state.tables)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        table_id = data.draw(st.sampled_from(sorted(self.state.tables)))
        self.handle(TablesDropped((table_id,)))
        self.tree.apply(self.tree.plan(_deletions(self.tree, f"/tabletservers/tables/{table_id}")))

    @precondition(lambda self: self.responses)
    @rule(data=st.data(), fails=st.booleans())
    def respond(self, data: st.DataObject, fails: bool) -> None:
        number = data.draw(st.integers(0, len(self.responses) - 1))
        server, leadership = self.responses.pop(number)
        failure = FAILURE if fails else self.outcome_of(server, leadership)
        self.handle(LeadershipsConfirmed(server, (LeadershipConfirmed(leadership, failure),)))

    def outcome_of(self, server: int, leadership: BucketLeadership) -> Failure | None:
        """What a server responds to a leadership, unless it fails."""
        return None

    @precondition(lambda self: self.state.buckets)
    @rule(
        data=st.data(),
        serves_reads=st.booleans(),
        late=st.booleans(),
        candidates=st.sets(st.sampled_from(SERVERS)).map(tuple),
    )
    def resign(self, data: st.DataObject, serves_reads: bool, late: bool, candidates: tuple[int, ...]) -> None:
        bucket = data.draw(st.sampled_from(sorted(self.state.buckets)))
        before = self.state.buckets[bucket].record
        if before is None or before.leader == NO_LEADER:
            return
        resigned = ResignedLeadership(bucket, before.leader_epoch - late, FAILURE, serves_reads, candidates)
        self.handle(LeadershipsResigned(ResignLeaderships(before.leader, (resigned,))))
        after = self.state.buckets[bucket].record
        if late:
            assert after == before
        elif candidates:
            assert after is not None
            assert after == before or after.leader in set(candidates) & set(before.isr) - {before.leader}
        elif not serves_reads:
            assert after is not None
            assert after.leader != before.leader

    @rule()
    def retry(self) -> None:
        self.handle(FailedBucketsRetried())
        assert self.state.failures == {}

    @precondition(lambda self: self.state.buckets)
    @rule(data=st.data(), isr=st.lists(st.sampled_from(SERVERS), min_size=1, unique=True).map(tuple))
    def adjust(self, data: st.DataObject, isr: tuple[int, ...]) -> None:
        bucket = data.draw(st.sampled_from(sorted(self.state.buckets)))
        record = self.state.buckets[bucket].record
        if record is not None:
            change = IsrChange(bucket, record.leader_epoch, isr, EPOCH, record.bucket_epoch)
            self.handle(IsrAdjustmentRequested(AdjustIsr(record.leader, (change,))))

    @invariant()
    def leaders_are_legal(self) -> None:
        for bucket, state in self.state.buckets.items():
            record = state.record
            if record is None:
                continue
            assert record.isr, "an ISR is never empty"
            standbys = set(record.standby_replicas)
            assert standbys <= set(record.isr) & set(self.state.servers) - {record.leader}
            assert len(standbys) <= self.state.tables[bucket.table_id].table.has_primary_key
            assert set(record.isr) <= set(state.replicas)
            if state.status is BucketStatus.ONLINE:
                assert record.leader in record.isr
                assert record.leader in self.state.servers
            leader_epoch, bucket_epoch = self.epochs.get(bucket, (0, 0))
            assert record.leader_epoch >= leader_epoch
            assert record.bucket_epoch >= bucket_epoch
            self.epochs[bucket] = record.leader_epoch, record.bucket_epoch

    @invariant()
    def the_store_holds_the_state(self) -> None:
        for bucket, state in self.state.buckets.items():
            node = self.tree.get(leader_and_isr_path(bucket.table_id, bucket.bucket))
            stored = None if node is None else LeaderAndIsrRecord.decode("", node.value)
            assert stored == state.record

    @invariant()
    def visible_tables_were_led(self) -> None:
        for physical, found in self.state.physical_tables.items():
            if found.visible:
                buckets = [PhysicalTable(*physical).bucket(number) for number in range(found.bucket_count)]
                assert all(self.state.buckets[bucket].record is not None for bucket in buckets)


def _deletions(tree: Tree, path: str) -> list[Delete]:
    below = [operation for name in tree.children(path) for operation in _deletions(tree, f"{path}/{name}")]
    return [*below, Delete(path)]


TestCoordinator = CoordinatorMachine.TestCase
TestCoordinator.settings = settings(max_examples=examples(60), stateful_step_count=40)
