"""What the coordinator decides when tablet servers come, go, stop, and may have lost something."""

from __future__ import annotations

import pytest

from fluss_server.cluster.messages import (
    BucketLeadership,
    Failure,
    ServerNode,
)
from fluss_server.coordinator.cluster_state import (
    BucketStatus,
)
from fluss_server.coordinator.events import (
    AbsentServersLeft,
    MetadataChange,
    ServerLeft,
    ShutdownRequested,
    TableCreated,
)
from fluss_server.errors import ErrorCode
from fluss_server.metadata.records import LeaderAndIsrRecord
from fluss_server.model.identifiers import TableBucket
from state_machine_support import (
    B0,
    B1,
    EPOCH,
    Cluster,
    after_a_loss_of_power,
    joined,
    leaderships,
    table,
    told,
    under_another_coordinator,
)


def test_a_server_leaves_and_comes_back() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2), (2, 1)))
    left = cluster.handle(ServerLeft(1))
    first, *rest = told(left, 2)
    assert isinstance(first, MetadataChange)
    assert first.servers == (ServerNode(2),), "the list of servers comes before any leadership"
    assert [type(content) for content in rest] == [BucketLeadership, BucketLeadership, MetadataChange]
    assert cluster.record(B0) == LeaderAndIsrRecord(2, 2, (2,), EPOCH, 2)
    assert cluster.record(B1) == LeaderAndIsrRecord(2, 0, (2,), EPOCH, 1)
    cluster.handle(ServerLeft(2))
    assert cluster.record(B0) == LeaderAndIsrRecord(-1, 3, (2,), EPOCH, 3), "the last member stays in the ISR"
    assert cluster.state.buckets[B0].status is BucketStatus.OFFLINE
    cluster.handle(joined(1))
    assert cluster.record(B0).leader == -1, "a server outside the ISR never leads"
    back = cluster.handle(joined(2))
    assert cluster.record(B0) == LeaderAndIsrRecord(2, 4, (2,), EPOCH, 4)
    snapshot = told(back, 2)[0]
    assert isinstance(snapshot, MetadataChange)
    assert snapshot.snapshot
    assert snapshot.tables[0].table == table().table


def test_a_server_that_may_have_lost_something_leaves_the_isr() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    again = under_another_coordinator(cluster, (1, 2))
    again.handle(joined(1, "second", clean=False))
    assert again.record(B0) == LeaderAndIsrRecord(-1, 1, (2,), EPOCH, 1), "it was the leader"
    again.handle(joined(2, "second"))
    assert again.record(B0) == LeaderAndIsrRecord(2, 2, (2,), EPOCH, 2)


def test_the_last_member_leads_again_in_another_epoch_when_it_may_have_lost_something() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    cluster.handle(ServerLeft(2))
    again = under_another_coordinator(cluster, (1, 2))
    again.handle(joined(1, "second", clean=False))
    assert again.record(B0) == LeaderAndIsrRecord(1, 2, (1,), EPOCH, 3), "its follower may have more than it has"


@pytest.mark.parametrize("waited", [False, True], ids=["at once", "after the leases"])
@pytest.mark.parametrize("first", [1, 2, 3])
def test_whichever_member_comes_back_first_leads_when_what_it_reported_was_durable(first: int, waited: bool) -> None:
    again = after_a_loss_of_power((1, 2, 3))
    if waited:
        again.handle(AbsentServersLeft())
        assert again.record(B0).isr == (1, 2, 3), "nobody is there who could go on without them"
    again.handle(joined(first, "second", clean=False, durable=True))
    if not waited:
        again.handle(AbsentServersLeft())
    record = again.record(B0)
    assert (record.leader, record.isr) == (first, (first,))
    assert record.leader_epoch > 0, "what comes in place of unsynced rows belongs to another epoch"
    later = first % 3 + 1
    again.handle(joined(later, "second", clean=False, durable=True))
    assert again.record(B0).isr == (first,), "it comes back verified"


def test_a_member_that_may_have_lost_what_it_reported_does_not_lead_after_a_loss_of_power() -> None:
    again = after_a_loss_of_power((1, 2))
    again.handle(AbsentServersLeft())
    again.handle(joined(1, "second", clean=False, durable=False))
    assert (again.record(B0).leader, again.record(B0).isr) == (-1, (2,))


def test_a_restarted_member_leaves_the_isr_while_another_member_can_lead() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    cluster.handle(joined(1, "second", clean=False, durable=True))
    assert (cluster.record(B0).leader, cluster.record(B0).isr) == (2, (2,))


def test_a_bucket_with_one_replica_does_not_care_how_its_server_stopped() -> None:
    cluster = Cluster(1)
    cluster.create(0, ((1,),))
    again = under_another_coordinator(cluster, (1,))
    assert again.handle(joined(1, "second", clean=False)).writes == ()


def test_servers_that_do_not_come_back_under_another_coordinator_are_gone() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    again = under_another_coordinator(cluster, (1, 2))
    again.handle(joined(2, "second"))
    assert again.record(B0).leader == 1, "its lease may last"
    again.handle(AbsentServersLeft())
    assert again.record(B0) == LeaderAndIsrRecord(2, 2, (2,), EPOCH, 2)


def test_an_earlier_incarnation_that_left_is_not_the_present_one() -> None:
    cluster = Cluster(1)
    cluster.create(0, ((1,),))
    assert cluster.handle(ServerLeft(1, "earlier")).instructions == ()
    assert cluster.record(B0).leader == 1


def test_the_same_server_again_hears_everything_again_and_a_new_process_leaves_first() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    again = cluster.handle(joined(1))
    assert again.writes == ()
    assert told(again, 2) == []
    everything, leadership = told(again, 1)
    assert isinstance(everything, MetadataChange)
    assert everything.snapshot
    assert isinstance(leadership, BucketLeadership)
    assert (leadership.leader, leadership.leader_epoch) == (1, 0)
    assert cluster.state.buckets[B0].active, "nothing has changed"
    cluster.handle(joined(1, "second"))
    assert cluster.record(B0) == LeaderAndIsrRecord(2, 2, (2,), EPOCH, 2)


def test_a_controlled_shutdown_moves_what_can_move() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2), (2, 1)))
    cluster.create(1, ((1,),))
    planned = cluster.handle(ShutdownRequested(1))
    assert planned.result == (TableBucket(1, None, 0),)
    assert cluster.record(B0) == LeaderAndIsrRecord(2, 1, (2,), EPOCH, 2)
    assert cluster.record(B1) == LeaderAndIsrRecord(2, 0, (2,), EPOCH, 1)
    assert {server_id for _, server_id in leaderships(planned)} == {2}
    assert cluster.state.live_server_ids() == [2]
    cluster.handle(joined(1, "second"))
    assert cluster.state.live_server_ids() == [1, 2]


def test_a_late_request_to_stop_is_not_one_of_the_next_process() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    cluster.handle(joined(1, "second"))
    late = cluster.handle(ShutdownRequested(1, "first"))
    assert (late.result, late.writes, late.instructions) == ((), (), ())
    assert not cluster.state.servers[1].shutting_down
    cluster.handle(ShutdownRequested(1, "second"))
    assert cluster.state.servers[1].shutting_down


def test_a_leader_that_began_its_epoch_before_a_restart_leads_in_the_next() -> None:
    cluster = Cluster(1, 2)
    created = cluster.handle(TableCreated(table(), ((1, 2),)))
    begun = Failure(ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION, "begun before")
    elected, _ = cluster.confirm(created, {1: begun})
    assert cluster.record(B0) == LeaderAndIsrRecord(1, 2, (1, 2), EPOCH, 2)
    assert cluster.state.failures == {}
    cluster.confirm(elected)
    assert cluster.state.buckets[B0].active
