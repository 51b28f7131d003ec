"""Rebalances while servers die, responses are lost and coordinators change: no replica in sync is given away, and no
bucket keeps its old and its new replicas in the end."""

from __future__ import annotations

import copy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from example_support import examples
from fluss_server.cluster.messages import (
    AWAITS_LEASES,
    NO_LEADER,
    AdjustIsr,
    BucketLeadership,
    Failure,
    IsrChange,
    ResignedLeadership,
    ResignLeaderships,
    ServerNode,
)
from fluss_server.coordinator.cluster_state import BucketState, Changes, ClusterState
from fluss_server.coordinator.events import (
    AbsentServersLeft,
    Event,
    FailedBucketsRetried,
    IsrAdjustmentRequested,
    LeadershipConfirmed,
    LeadershipsConfirmed,
    LeadershipsResigned,
    MovesAreLate,
    Plan,
    RebalanceCanceled,
    RebalanceRequested,
    ReplicasStopped,
    ServerJoined,
    ServerLeft,
    ServersTagged,
    ServersUntagged,
    ShutdownRequested,
    Tell,
)
from fluss_server.coordinator.rebalance_plan import ALL_GOALS, RebalanceGoal
from fluss_server.coordinator.state_loader import inherit, take_in_rebalance
from fluss_server.coordinator.state_machine import plan
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
from property.coordinator.test_state_machine_properties import EPOCH, FAILURE, SERVERS, CoordinatorMachine

TAGS = st.sampled_from(list(ServerTag))


class ReassignmentMachine(CoordinatorMachine):
    """Beside what happens to any cluster: rebalances, server tags, time-outs and other coordinators."""

    def __init__(self) -> None:
        super().__init__()
        self.tree.apply(self.tree.plan([Create("/cluster")]))
        self.rebalances = 0
        self.factors: dict[TableBucket, int] = {}
        self.serving: dict[TableBucket, dict[int, int]] = {}  # leader epochs in which servers may serve a bucket
        self.processes: dict[int, str] = {}  # incarnations
        self.begun: dict[TableBucket, int] = {}  # newest leader epochs in logs
        self.refused: set[tuple[int, BucketLeadership]] = set()
        self.leased: set[tuple[int, TableBucket]] = set()  # served under leases of the coordinator before

    def handle(self, event: Event) -> Plan:
        before = _copied(self.state)
        planned = super().handle(event)
        for bucket, state in self.state.buckets.items():
            was = before.buckets.get(bucket)
            if was is None:
                self.factors[bucket] = len(state.replicas)
            elif was.record is not None and state.record is not None and len(state.replicas) < len(was.replicas):
                assert state.leader == NO_LEADER or state.leader in state.replicas
                in_sync = self.in_sync_without_the_rebalance(before, event, bucket)
                kept = in_sync & set(state.record.isr)
                assert len(kept) >= min(len(in_sync), len(state.replicas)), "replicas in sync stay"
        self.one_server_serves_a_bucket(event, planned)
        return planned

    @staticmethod
    def in_sync_without_the_rebalance(before: ClusterState, event: Event, bucket: TableBucket) -> set[int]:
        """The ISR of a bucket that moves as an event leaves it: leaders shrink it, and servers leave, in any case."""
        alone = _copied(before)
        alone.rebalance, alone.moves, alone.moving = None, {}, {}
        state = plan(alone, event).changes.buckets.get(bucket, before.buckets[bucket])
        assert state is not None
        assert state.record is not None
        return set(state.record.isr)

    def one_server_serves_a_bucket(self, event: Event, planned: Plan) -> None:
        """Who was told to lead may serve a bucket until it responds to something later, or is gone."""
        match event:
            case LeadershipsConfirmed():
                for outcome in event.outcomes:
                    leadership, failed = outcome.leadership, outcome.failure is not None
                    if failed or leadership.leader != event.server_id:
                        self.ends_serving(event.server_id, leadership.bucket, leadership.leader_epoch + failed)
            case LeadershipsResigned():
                for resigned in event.request.buckets:
                    if not resigned.serves_reads:
                        self.ends_serving(event.request.server_id, resigned.bucket, resigned.leader_epoch + 1)
            case ServerJoined():
                server = event.server.server_id
                if self.processes.get(server) != event.incarnation:
                    self.ends_serving(server)
                self.processes[server] = event.incarnation
            case ServerLeft() | ShutdownRequested():
                self.ends_serving(event.server_id)
            case AbsentServersLeft():
                for server, bucket in self.leased:
                    self.ends_serving(server, bucket)
                self.leased.clear()
                for server in SERVERS:
                    if server not in self.state.servers:
                        self.ends_serving(server)
        for instruction in planned.instructions:
            if isinstance(instruction, Tell) and isinstance(instruction.content, BucketLeadership):
                leadership, server = instruction.content, instruction.server_id
                bucket = leadership.bucket
                serving = self.serving.setdefault(bucket, {})
                if leadership.leader != server:
                    continue
                if leadership.begun_epoch is not None and self.begun.get(bucket, -1) < leadership.begun_epoch:
                    self.refused.add((server, leadership))
                    continue
                assert serving.keys() <= {server}, f"{bucket} is served by {serving} and {server}"
                serving[server] = leadership.leader_epoch
                self.leased.discard((server, bucket))
                self.begun[bucket] = max(self.begun.get(bucket, -1), leadership.leader_epoch)

    def outcome_of(self, server: int, leadership: BucketLeadership) -> Failure | None:
        if (server, leadership) in self.refused:
            return Failure(AWAITS_LEASES, "another server may serve clients")
        return super().outcome_of(server, leadership)

    def ends_serving(self, server: int, bucket: TableBucket | None = None, before_epoch: int | None = None) -> None:
        for serving in self.serving.values() if bucket is None else [self.serving.get(bucket, {})]:
            if server in serving and (before_epoch is None or serving[server] < before_epoch):
                del serving[server]

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
    def cancel_before_the_former_leaders_respond(self) -> None:
        """The leaders of buckets that move are others, and those before them lose their replicas."""
        self.followers_catch_up()
        for bucket, state in list(self.state.buckets.items()):
            if state.former and state.record is not None:
                isr = tuple(server for server in state.record.isr if server not in state.former)
                change = IsrChange(bucket, state.record.leader_epoch, isr, EPOCH, state.record.bucket_epoch)
                self.handle(IsrAdjustmentRequested(AdjustIsr(state.leader, (change,))))
        self.cancel()

    @precondition(lambda self: self.state.servers)
    @rule(data=st.data())
    def register_again(self, data: st.DataObject) -> None:
        """A server that did not hear that it is a member."""
        server = data.draw(st.sampled_from(sorted(self.state.servers)))
        known = self.state.servers[server]
        self.handle(ServerJoined(known.node, known.incarnation, True))

    @precondition(lambda self: self.stops)
    @rule(data=st.data())
    def respond_to_a_stop(self, data: st.DataObject) -> None:
        server, stop = self.stops.pop(data.draw(st.integers(0, len(self.stops) - 1)))
        self.ends_serving(server, stop.bucket, stop.leader_epoch + 1)
        self.handle(ReplicasStopped(server, (stop.bucket,)))

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

    @rule(back=st.lists(st.sampled_from(SERVERS), unique=True), restarted=st.sets(st.sampled_from(SERVERS)))
    def another_coordinator(self, back: list[int], restarted: set[int]) -> None:
        """It knows only what is stored; some servers come back in time, some of them as other processes."""
        self.responses.clear()
        self.stops.clear()
        self.leased = {(server, bucket) for bucket, serving in self.serving.items() for server in serving}
        changes = Changes()
        changes.tables.update(self.state.tables)
        changes.physical_tables.update(self.state.physical_tables)
        for bucket, state in self.state.buckets.items():
            changes.buckets[bucket] = BucketState(state.replicas, state.record)
        if (node := self.tree.get(SERVER_TAGS)) is not None:
            changes.tags.update(decode_server_tags(node.value))
        if (node := self.tree.get(REBALANCE)) is not None:
            take_in_rebalance(RebalanceRecord.decode(node.value), changes)
        inherit(changes)
        self.state = ClusterState(EPOCH, ServerNode(99))
        self.state.apply(changes)
        for server in back:
            if server in restarted or server not in self.processes:
                self.join(server, True, True)
            else:
                self.handle(ServerJoined(ServerNode(server), self.processes[server], True))
        for server in restarted:
            if server in self.state.servers:
                self.everybody_responds()
        self.absent_servers_leave()

    @precondition(lambda self: self.state.buckets)
    @rule(restarted=st.sets(st.sampled_from(SERVERS)))
    def another_coordinator_before_a_former_leader_responds(self, restarted: set[int]) -> None:
        for bucket, state in list(self.state.buckets.items()):
            if state.record is not None and state.active and len(state.record.isr) > 1:
                resigned = ResignedLeadership(bucket, state.record.leader_epoch, FAILURE, serves_reads=True)
                self.handle(LeadershipsResigned(ResignLeaderships(state.leader, (resigned,))))
        self.another_coordinator(sorted(self.state.servers), restarted)

    @precondition(lambda self: self.state.buckets)
    @rule()
    def followers_catch_up(self) -> None:
        for bucket, state in list(self.state.buckets.items()):
            if state.record is not None and state.leader != NO_LEADER:
                servers = self.state.servers
                live = tuple(
                    server for server in state.replicas if server in servers and not servers[server].shutting_down
                )
                isr = tuple(dict.fromkeys((state.leader, *live)))
                change = IsrChange(bucket, state.record.leader_epoch, isr, EPOCH, state.record.bucket_epoch)
                self.handle(IsrAdjustmentRequested(AdjustIsr(state.leader, (change,))))

    @rule()
    def everybody_responds(self) -> None:
        for _ in range(20):
            responses, self.responses = self.responses, []
            for server, leadership in responses:
                outcome = LeadershipConfirmed(leadership, self.outcome_of(server, leadership))
                self.handle(LeadershipsConfirmed(server, (outcome,)))
            stops, self.stops = self.stops, []
            for server, stop in stops:
                self.ends_serving(server, stop.bucket, stop.leader_epoch + 1)
                self.handle(ReplicasStopped(server, (stop.bucket,)))

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
            if server not in self.state.servers or self.state.servers[server].shutting_down:
                self.join(server, True, True)
        for _ in range(200):
            self.handle(FailedBucketsRetried())
            self.everybody_responds()
            self.followers_catch_up()
            if self.state.rebalance is None or self.state.rebalance.status.is_final:
                break
        self.no_bucket_is_between()
        waiting = {bucket: state.former for bucket, state in self.state.buckets.items() if state.former}
        assert waiting == {}, "no leader waits for another server"
        assert self.state.rebalance is None or self.state.rebalance.status.is_final
        if self.state.rebalance is not None and self.state.rebalance.status is RebalanceStatus.COMPLETED:
            for bucket, move in self.state.moves.items():
                if (state := self.state.buckets.get(bucket)) is not None:
                    assert set(state.replicas) == set(move.move.new_replicas)


def _copied(state: ClusterState) -> ClusterState:
    copied = copy.copy(state)
    for name, value in vars(state).items():
        if isinstance(value, dict):
            setattr(copied, name, dict(value))
    return copied


TestReassignments = ReassignmentMachine.TestCase
TestReassignments.settings = settings(max_examples=examples(60), stateful_step_count=50)


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
