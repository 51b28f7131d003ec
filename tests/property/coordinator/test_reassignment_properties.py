"""Rebalances while servers die, responses are lost and coordinators change: no replica in sync is given away, and no
bucket keeps its old and its new replicas in the end."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from example_support import examples
from fluss_server.cluster.messages import NO_LEADER, AdjustIsr, IsrChange, ServerNode
from fluss_server.coordinator.cluster_state import Changes, ClusterState
from fluss_server.coordinator.events import (
    Event,
    FailedBucketsRetried,
    IsrAdjustmentRequested,
    LeadershipConfirmed,
    LeadershipsConfirmed,
    MovesAreLate,
    Plan,
    RebalanceCanceled,
    RebalanceRequested,
    ServerJoined,
    ServersTagged,
    ServersUntagged,
)
from fluss_server.coordinator.rebalance_plan import ALL_GOALS, RebalanceGoal
from fluss_server.coordinator.state_loader import take_in_rebalance
from fluss_server.errors import FlussError
from fluss_server.metadata.rebalance_records import (
    REBALANCE,
    SERVER_TAGS,
    RebalanceRecord,
    RebalanceStatus,
    ServerTag,
    decode_server_tags,
)
from fluss_server.metadata.records import AssignmentRecord, table_assignment_path
from fluss_server.metadata.store import Create
from fluss_server.model.identifiers import TableBucket
from property.coordinator.test_state_machine_properties import EPOCH, SERVERS, CoordinatorMachine

TAGS = st.sampled_from(list(ServerTag))


class ReassignmentMachine(CoordinatorMachine):
    """Beside what happens to any cluster: rebalances, server tags, time-outs and other coordinators."""

    def __init__(self) -> None:
        super().__init__()
        self.tree.apply(self.tree.plan([Create("/cluster")]))
        self.rebalances = 0
        self.factors: dict[TableBucket, int] = {}

    def handle(self, event: Event) -> Plan:
        before = dict(self.state.buckets)
        planned = super().handle(event)
        for bucket, state in self.state.buckets.items():
            was = before.get(bucket)
            if was is None:
                self.factors[bucket] = len(state.replicas)
            elif was.record is not None and state.record is not None and len(state.replicas) < len(was.replicas):
                assert state.leader == NO_LEADER or state.leader in state.replicas
                kept = len(set(state.record.isr) & set(was.record.isr))
                assert kept >= min(len(was.record.isr), len(state.replicas)), "replicas in sync stay"
        return planned

    @rule(goals=st.permutations(list(RebalanceGoal)).map(lambda goals: tuple(goals[:2])), replace=st.booleans())
    def rebalance(self, goals: tuple[RebalanceGoal, ...], replace: bool) -> None:
        self.rebalances += 1
        gone = tuple(server for server in SERVERS if server not in self.state.servers) if replace else ()
        try:
            self.handle(RebalanceRequested(f"r{self.rebalances}", goals, gone))
        except FlussError:
            under_way = self.state.rebalance is not None and not self.state.rebalance.status.is_final
            usable = self.state.servers.keys() - self.state.tags.keys()
            shutting_down = {number for number, server in self.state.servers.items() if server.shutting_down}
            assert under_way or not usable - shutting_down

    @rule()
    def cancel(self) -> None:
        self.handle(RebalanceCanceled())
        self.no_bucket_is_between()

    @rule()
    def time_passes(self) -> None:
        self.handle(MovesAreLate(tuple(self.state.moving)))

    @rule(server=st.sampled_from(SERVERS), tag=TAGS)
    def tag(self, server: int, tag: ServerTag) -> None:
        may = server in self.state.servers and self.state.tags.get(server, tag) is tag
        try:
            self.handle(ServersTagged((server,), tag))
            assert may
        except FlussError:
            assert not may

    @precondition(lambda self: self.state.tags)
    @rule(data=st.data())
    def untag(self, data: st.DataObject) -> None:
        server = data.draw(st.sampled_from(sorted(self.state.tags)))
        self.handle(ServersUntagged((server,), self.state.tags[server]))

    @rule(back=st.lists(st.sampled_from(SERVERS), unique=True))
    def another_coordinator(self, back: list[int]) -> None:
        """It knows only what is stored; some servers come back in time."""
        self.responses.clear()
        changes = Changes()
        changes.tables.update(self.state.tables)
        changes.physical_tables.update(self.state.physical_tables)
        for bucket, state in self.state.buckets.items():
            changes.buckets[bucket] = state._replace(active=False)
        if (node := self.tree.get(SERVER_TAGS)) is not None:
            changes.tags.update(decode_server_tags(node.value))
        if (node := self.tree.get(REBALANCE)) is not None:
            take_in_rebalance(RebalanceRecord.decode(node.value), changes)
        self.state = ClusterState(EPOCH, ServerNode(99))
        self.state.apply(changes)
        for server in back:
            self.join(server, True, True)
        self.absent_servers_leave()

    @precondition(lambda self: self.state.buckets)
    @rule()
    def followers_catch_up(self) -> None:
        for bucket, state in list(self.state.buckets.items()):
            if state.record is not None and state.leader != NO_LEADER:
                live = tuple(server for server in state.replicas if server in self.state.live_server_ids())
                isr = tuple(dict.fromkeys((state.leader, *live)))
                change = IsrChange(bucket, state.record.leader_epoch, isr, EPOCH, state.record.bucket_epoch)
                self.handle(IsrAdjustmentRequested(AdjustIsr(state.leader, (change,))))

    @rule()
    def everybody_responds(self) -> None:
        for _ in range(20):
            responses, self.responses = self.responses, []
            for server, leadership in responses:
                self.handle(LeadershipsConfirmed(server, (LeadershipConfirmed(leadership, None),)))

    @invariant()
    def assignments_are_stored(self) -> None:
        for table_id, found in {bucket.table_id: None for bucket in self.state.buckets}.items():
            node = self.tree.get(table_assignment_path(table_id))
            assert node is not None
            if node.value:
                stored = AssignmentRecord.decode("", node.value).buckets
                expected = {
                    bucket.bucket: state.replicas
                    for bucket, state in self.state.buckets.items()
                    if bucket.table_id == table_id
                }
                assert stored == expected, found

    @invariant()
    def no_other_bucket_is_between(self) -> None:
        for bucket, state in self.state.buckets.items():
            assert len(state.replicas) == len(set(state.replicas))
            if bucket not in self.state.moving:
                assert len(state.replicas) == self.factors[bucket]

    @invariant()
    def former_leaders_live(self) -> None:
        for state in self.state.buckets.values():
            assert set(state.former) <= self.state.servers.keys()
            assert state.leader not in state.former

    @invariant()
    def the_rebalance_is_stored(self) -> None:
        rebalance = self.state.rebalance
        node = self.tree.get(REBALANCE)
        assert (rebalance is None) == (node is None)
        if node is not None and rebalance is not None:
            record = RebalanceRecord.decode(node.value)
            assert (record.rebalance_id, record.status) == rebalance
            assert {move.bucket for move in record.moves} == self.state.moves.keys()

    def no_bucket_is_between(self) -> None:
        for bucket, state in self.state.buckets.items():
            assert len(state.replicas) == self.factors[bucket], f"{bucket} has {state.replicas}"

    def teardown(self) -> None:
        """When all servers are back and can do what they are told, a rebalance comes to its end."""
        for server in SERVERS:
            self.incarnations += 1
            self.handle(ServerJoined(ServerNode(server), str(self.incarnations), True))
        for _ in range(200):
            self.handle(FailedBucketsRetried())
            self.everybody_responds()
            self.followers_catch_up()
            if self.state.rebalance is None or self.state.rebalance.status.is_final:
                break
        self.no_bucket_is_between()
        assert self.state.rebalance is None or self.state.rebalance.status.is_final
        if self.state.rebalance is not None and self.state.rebalance.status is RebalanceStatus.COMPLETED:
            for bucket, move in self.state.moves.items():
                if (state := self.state.buckets.get(bucket)) is not None:
                    assert set(state.replicas) == set(move.move.new_replicas)


TestReassignments = ReassignmentMachine.TestCase
TestReassignments.settings = settings(max_examples=examples(60), stateful_step_count=50, deadline=None)


def test_a_new_server_gets_buckets_one_step_at_a_time() -> None:
    """A whole rebalance without any fault, as the machine above does it."""
    machine = ReassignmentMachine()
    for server in (0, 1, 2):
        machine.join(server, True, True)
    machine.create(2, 0, 0, False)
    machine.create(2, 1, 0, False)
    machine.everybody_responds()
    machine.join(3, True, True)
    planned = machine.handle(RebalanceRequested("r1", ALL_GOALS))
    assert any(len(state.replicas) == 3 for state in machine.state.buckets.values()), planned.transitions
    machine.teardown()
    assert machine.state.rebalance is not None
    assert machine.state.rebalance.status is RebalanceStatus.COMPLETED
    assert {server for state in machine.state.buckets.values() for server in state.replicas} == {0, 1, 2, 3}
    assert RebalanceStatus.FAILED not in {move.status for move in machine.state.moves.values()}
