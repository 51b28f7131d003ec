"""Leaders that an earlier coordinator has elected, and leases that it has granted."""

from __future__ import annotations

import pytest

from fluss_server.cluster.messages import (
    AWAITS_LEASES,
    Failure,
    ResignedLeadership,
    ResignLeaderships,
)
from fluss_server.coordinator.cluster_state import BucketState, Changes, MoveState, Rebalance
from fluss_server.coordinator.events import AbsentServersLeft, LeadershipsResigned, ServerJoined, ServerLeft
from fluss_server.coordinator.state_loader import inherit
from fluss_server.errors import ErrorCode
from fluss_server.metadata.rebalance_records import BucketMove, RebalanceStatus
from fluss_server.metadata.records import LeaderAndIsrRecord
from state_machine_support import B0, Cluster, joined, leaderships, under_another_coordinator

UNTOLD = Failure(AWAITS_LEASES, "another server may serve clients")
BEGUN_BEFORE = Failure(ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION, "this epoch was begun before a restart")
DISK = Failure(ErrorCode.STORAGE_EXCEPTION, "no disk")


def resigned() -> Cluster:
    """Server 0 leads no more, but does not know that; then the coordinator was replaced."""
    before = Cluster(0, 1, 2)
    before.create(0, ((0, 1, 2),))
    resignation = ResignedLeadership(B0, 0, DISK, serves_reads=True)
    planned = before.handle(LeadershipsResigned(ResignLeaderships(0, (resignation,))))
    assert before.record(B0).leader == 1
    assert 1 not in [server for _, server in leaderships(planned)], "it would be told when server 0 has responded"
    cluster = under_another_coordinator(before, (0, 1, 2))
    changes = Changes()
    changes.buckets.update(cluster.state.buckets)
    inherit(changes)
    cluster.state.apply(changes)
    return cluster


def test_a_leader_that_was_not_told_leads_when_leases_of_the_coordinator_before_are_over() -> None:
    cluster = resigned()
    for server in (1, 2, 0):
        planned = cluster.handle(joined(server))
        asked = [entry for entry, told in leaderships(planned) if told == entry.leader]
        assert all(entry.begun_epoch == entry.leader_epoch for entry in asked)
        cluster.confirm(planned, {1: UNTOLD})
    assert not cluster.state.buckets[B0].active
    assert cluster.state.failures == {}, "it will lead"
    planned = cluster.handle(AbsentServersLeft())
    [(leadership, told)] = leaderships(planned)
    assert (told, leadership.leader, leadership.begun_epoch) == (1, 1, None)
    cluster.confirm(planned)
    assert cluster.state.buckets[B0].active


def test_a_leader_that_has_led_leads_on_at_once() -> None:
    cluster = resigned()
    for server in (0, 1, 2):
        cluster.confirm(cluster.handle(joined(server)))
    assert cluster.state.buckets[B0] == BucketState((0, 1, 2), cluster.record(B0), active=True)
    assert leaderships(cluster.handle(AbsentServersLeft())) == []


def test_a_leader_that_was_started_again_leads_in_another_epoch_at_once() -> None:
    cluster = resigned()
    epoch = cluster.record(B0).leader_epoch
    [after] = cluster.confirm(cluster.handle(joined(1)), {1: BEGUN_BEFORE})
    [(leadership, told)] = leaderships(after)
    assert (told, leadership.leader) == (1, 1)
    assert leadership.leader_epoch > epoch
    assert leadership.begun_epoch is None


def test_a_leader_that_was_not_told_leads_when_all_others_were_started_again() -> None:
    """After an orderly stop of everything, for example: leaders move from one server that stops to the next."""
    cluster = resigned()
    cluster.confirm(cluster.handle(new(0)))
    cluster.confirm(cluster.handle(new(1)), {1: UNTOLD})
    planned = cluster.handle(new(2))
    [leadership] = [entry for entry, told in leaderships(planned) if told == entry.leader]
    assert (leadership.leader, leadership.begun_epoch) == (1, None)


def test_one_server_that_was_not_started_again_may_have_led() -> None:
    cluster = resigned()
    for event in (new(2), new(1), joined(0)):
        asked = [entry for entry, told in leaderships(cluster.handle(event)) if told == entry.leader]
        assert all(entry.begun_epoch is not None for entry in asked)


def test_whoever_is_elected_before_that_waits_too() -> None:
    cluster = resigned()
    epoch = cluster.record(B0).leader_epoch
    for server in (2, 1):
        cluster.handle(joined(server))
    left = cluster.handle(ServerLeft(1))
    [(leadership, told)] = leaderships(left)
    assert (told, leadership.leader, leadership.begun_epoch) == (2, 2, epoch)
    cluster.confirm(left, {2: UNTOLD})
    [(leadership, told)] = leaderships(cluster.handle(AbsentServersLeft()))
    assert (told, leadership.begun_epoch) == (2, None)


def new(server_id: int) -> ServerJoined:
    return joined(server_id)._replace(is_new=True)


def record(leader: int, epoch: int) -> LeaderAndIsrRecord:
    return LeaderAndIsrRecord(leader, epoch, (1, 2), 0, epoch)


@pytest.mark.parametrize(
    ("replicas", "stored", "inherited"),
    [
        ((1, 2), None, None),
        ((1, 2), record(1, 0), None),
        ((1, 2), record(1, 3), 3),
        ((1, 2), record(-1, 3), 2),
        ((1, 2), record(-1, 1), None),
        ((1,), record(1, 3), None),
    ],
)
def test_only_a_later_leader_can_have_one_before_it(
    replicas: tuple[int, ...], stored: LeaderAndIsrRecord | None, inherited: int | None
) -> None:
    changes = Changes()
    changes.buckets[B0] = BucketState(replicas, stored)
    inherit(changes)
    assert changes.buckets[B0] == BucketState(replicas, stored, inherited=inherited)


@pytest.mark.parametrize(
    ("status", "inherited"),
    [(RebalanceStatus.CANCELED, 3), (RebalanceStatus.FAILED, 3), (RebalanceStatus.COMPLETED, None)],
)
def test_a_bucket_with_one_replica_may_have_moved(status: RebalanceStatus, inherited: int | None) -> None:
    changes = Changes()
    changes.buckets[B0] = BucketState((1,), record(1, 3))
    changes.rebalance = Rebalance("r", status)
    changes.moves[B0] = MoveState(BucketMove(B0, 0, 1, (0,), (1,)), status)
    inherit(changes)
    found = changes.buckets[B0]
    assert found is not None
    assert found.inherited == inherited
