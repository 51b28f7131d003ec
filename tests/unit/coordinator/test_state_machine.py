"""What the coordinator decides, event by event. No store, no server, no loop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fluss_server.cluster.messages import (
    AdjustedBucket,
    AdjustIsr,
    AdjustIsrResponse,
    BucketLeadership,
    Failure,
    IsrChange,
    ReplicaStop,
    ResignedLeadership,
    ResignLeaderships,
)
from fluss_server.coordinator.assignment import assign
from fluss_server.coordinator.cluster_state import (
    BucketState,
    Changes,
    PhysicalTable,
    PhysicalTableState,
    TableState,
)
from fluss_server.coordinator.events import (
    FailedBucketsRetried,
    IsrAdjustmentRequested,
    LeadershipsResigned,
    MetadataChange,
    PartitionCreated,
    PartitionDropped,
    RetryLater,
    ServerLeft,
    TableAltered,
    TableCreated,
    TableReady,
    TablesDropped,
    Tell,
)
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.records import LeaderAndIsrRecord
from fluss_server.metadata.store import Create, Set
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.partition import PartitionInfo
from state_machine_support import (
    B0,
    B1,
    DESCRIPTOR,
    EPOCH,
    FULL,
    KEYED,
    PARTITIONED,
    Cluster,
    joined,
    leaderships,
    table,
    told,
)


def test_a_new_table_gets_leaders_and_is_visible_when_they_lead() -> None:
    cluster = Cluster(1, 2)
    created = cluster.handle(TableCreated(table(), ((1, 2), (2, 1))))
    assert [type(content) for content in told(created, 1)] == [MetadataChange, BucketLeadership, BucketLeadership]
    definition = told(created, 1)[0]
    assert isinstance(definition, MetadataChange)
    assert definition.tables[0].buckets == (), "clients do not see it yet"
    assert cluster.record(B0) == LeaderAndIsrRecord(1, 0, (1, 2), EPOCH, 0)
    assert cluster.record(B1) == LeaderAndIsrRecord(2, 0, (2, 1), EPOCH, 0)
    first, second = cluster.confirm(created)
    assert first.instructions == ()
    shown, _, ready = second.instructions
    assert isinstance(shown, Tell)
    assert isinstance(shown.content, MetadataChange)
    assert [entry.leader for entry in shown.content.tables[0].buckets] == [1, 2]
    assert ready == TableReady(PhysicalTable(0))
    assert [entry.name for entry in created.transitions] == ["elect", "elect"]


def test_a_bucket_that_no_server_can_lead_fails_the_creation() -> None:
    cluster = Cluster(1)
    [failed] = cluster.confirm(cluster.handle(TableCreated(table(), ((1,), (1,)))), {1: FULL})
    assert TableReady(PhysicalTable(0), FULL) in failed.instructions
    assert RetryLater() in failed.instructions
    assert cluster.record(B0) == LeaderAndIsrRecord(-1, 1, (1,), EPOCH, 1)
    assert leaderships(failed) == [], "the server that failed is left alone until the retry"
    retried = cluster.handle(FailedBucketsRetried())
    assert cluster.record(B0) == LeaderAndIsrRecord(1, 2, (1,), EPOCH, 2)
    [confirmed] = cluster.confirm(retried)
    assert TableReady(PhysicalTable(0)) in confirmed.instructions
    assert cluster.state.failures == {}


def test_another_replica_leads_when_the_first_cannot() -> None:
    cluster = Cluster(1, 2)
    created = cluster.handle(TableCreated(table(), ((1, 2),)))
    failed, _ = cluster.confirm(created, {1: FULL})
    assert cluster.record(B0) == LeaderAndIsrRecord(2, 2, (2,), EPOCH, 2)
    cluster.confirm(failed)
    assert cluster.state.physical_tables[PhysicalTable(0)].visible


def resign(
    server_id: int, epoch: int, *, serves_reads: bool = False, candidates: tuple[int, ...] = ()
) -> LeadershipsResigned:
    resigned = ResignedLeadership(B0, epoch, FULL, serves_reads, candidates)
    return LeadershipsResigned(ResignLeaderships(server_id, (resigned,)))


def test_a_leader_that_cannot_go_on_is_replaced_and_follows() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    resigned = cluster.handle(resign(1, 0))
    assert cluster.record(B0) == LeaderAndIsrRecord(2, 2, (2,), EPOCH, 2), "its rows are not waited for"
    assert {(server, entry.leader) for entry, server in leaderships(resigned)} == {(1, 2), (2, 2)}
    assert RetryLater() in resigned.instructions
    cluster.confirm(resigned)
    assert cluster.handle(resign(1, 0)).writes == (), "that leadership is over"
    cluster.adjust(2, (1, 2))
    cluster.handle(ServerLeft(2))
    assert cluster.record(B0).leader == -1, "it is not elected before the retry"
    cluster.handle(FailedBucketsRetried())
    assert cluster.record(B0).leader == 1


def test_a_leader_that_resigns_but_serves_reads_ends_that_before_the_next_one_begins() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    resigned = cluster.handle(resign(1, 0, serves_reads=True))
    assert cluster.record(B0) == LeaderAndIsrRecord(2, 2, (2,), EPOCH, 2)
    assert {(server, entry.leader) for entry, server in leaderships(resigned)} == {(1, 2)}
    [confirmed] = cluster.confirm(resigned, failures={1: FULL})
    assert {(server, entry.leader) for entry, server in leaderships(confirmed)} == {(2, 2)}, "it is offline now"


def test_a_leader_that_nobody_can_replace_goes_on_serving_reads() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    cluster.handle(ServerLeft(2))
    before = cluster.record(B0)
    assert cluster.handle(resign(1, 0, serves_reads=True)).writes == ()
    assert cluster.record(B0) == before
    cluster.handle(resign(1, 0))
    assert cluster.record(B0).leader == -1
    cluster.handle(FailedBucketsRetried())
    assert (cluster.record(B0).leader, cluster.record(B0).leader_epoch) == (1, 2), "it tries again in a new epoch"


def test_a_leader_with_a_full_disk_is_replaced_by_one_that_has_space() -> None:
    cluster = Cluster(1, 2, 3)
    cluster.create(0, ((1, 2, 3),))
    for nobody in ((1,), (7,)):
        assert cluster.handle(resign(1, 0, serves_reads=True, candidates=nobody)).writes == ()
    resigned = cluster.handle(resign(1, 0, serves_reads=True, candidates=(3,)))
    assert (cluster.record(B0).leader, cluster.record(B0).isr) == (3, (2, 3))
    assert {server for _, server in leaderships(resigned)} == {1, 2}, "it serves reads until it has heard of that"
    assert cluster.state.failures == {}, "it follows like any other replica"
    confirmed = [told for entry in cluster.confirm(resigned) for told in leaderships(entry)]
    assert [server for _, server in confirmed] == [3]
    cluster.adjust(3, (1, 2, 3))
    cluster.handle(ServerLeft(3))
    assert cluster.record(B0).leader == 1


def test_a_late_response_counts_for_nothing() -> None:
    cluster = Cluster(1, 2)
    created = cluster.handle(TableCreated(table(), ((1, 2),)))
    cluster.handle(ServerLeft(1))
    before = cluster.record(B0)
    for late in cluster.confirm(created, {2: FULL}):
        assert late.instructions == ()
    assert cluster.record(B0) == before
    assert not cluster.state.buckets[B0].active


def test_a_leader_that_changed_its_isr_before_it_responds_is_active() -> None:
    cluster = Cluster(1, 2)
    created = cluster.handle(TableCreated(table(), ((1, 2),)))
    cluster.handle(IsrAdjustmentRequested(AdjustIsr(1, (IsrChange(B0, 0, (1,), EPOCH, 0),))))
    cluster.confirm(created)
    assert cluster.state.buckets[B0].active
    assert cluster.state.physical_tables[PhysicalTable(0)].visible


@pytest.mark.parametrize("code", [ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION, ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION])
def test_a_server_that_knows_better_has_not_failed(code: ErrorCode) -> None:
    cluster = Cluster(1)
    created = cluster.handle(TableCreated(table(), ((1,),)))
    before = cluster.record(B0)
    cluster.confirm(created, {1: Failure(code, "a later one came first")})
    assert cluster.record(B0) == before
    assert cluster.state.failures == {}


def test_a_restart_of_the_coordinator_repeats_what_is_stored() -> None:
    cluster = Cluster(1)
    cluster.create(0, ((1,), (1,)))
    again = Cluster()
    changes = Changes()
    changes.tables[0] = table()
    changes.physical_tables[PhysicalTable(0)] = PhysicalTableState(None, 2, visible=True)
    changes.buckets.update({bucket: BucketState((1,), cluster.record(bucket)) for bucket in (B0, B1)})
    again.state.apply(changes)
    joined_again = again.handle(joined(1))
    assert joined_again.writes == ()
    assert [leadership.leader_epoch for leadership, _ in leaderships(joined_again)] == [0, 0]
    again.confirm(joined_again)
    assert all(bucket.active for bucket in again.state.buckets.values())


def test_buckets_without_a_record_get_one() -> None:
    cluster = Cluster()
    cluster.tree.apply(cluster.tree.plan([Create("/tabletservers/tables/0")]))
    changes = Changes()
    changes.tables[0] = table()
    changes.physical_tables[PhysicalTable(0)] = PhysicalTableState(None, 2)
    changes.buckets.update({bucket: BucketState((0,)) for bucket in (B0, B1)})
    cluster.state.apply(changes)
    came = cluster.handle(joined(0))
    assert cluster.record(B1) == LeaderAndIsrRecord(0, 0, (0,), EPOCH, 0)
    assert [type(content) for content in told(came, 0)] == [MetadataChange, BucketLeadership, BucketLeadership]
    [confirmed] = cluster.confirm(came)
    assert TableReady(PhysicalTable(0)) in confirmed.instructions


def test_partitions() -> None:
    cluster = Cluster(1)
    created = cluster.handle(TableCreated(table(0, PARTITIONED), None))
    assert created.writes == ()
    partition = PartitionInfo(0, 5, "x")
    planned = cluster.handle(PartitionCreated(partition, ((1,), (1,))))
    [confirmed] = cluster.confirm(planned)
    assert confirmed.instructions[-1] == TableReady(PhysicalTable(0, 5))
    dropped = cluster.handle(PartitionDropped(partition))
    change, *stops = told(dropped, 1)
    assert change == MetadataChange(dropped_partitions=(5,))
    assert stops == [ReplicaStop(TableBucket(0, 5, number), 0, delete=True, delete_remote=True) for number in (0, 1)]
    assert cluster.state.buckets == {}
    assert cluster.handle(PartitionDropped(partition)).instructions == ()


def test_tables_go_with_their_partitions() -> None:
    cluster = Cluster(1)
    cluster.handle(TableCreated(table(0, PARTITIONED), None))
    for number in (5, 6):
        cluster.confirm(cluster.handle(PartitionCreated(PartitionInfo(0, number, f"{number}"), ((1,),))))
    cluster.create(1, ((1,),))
    dropped = cluster.handle(TablesDropped((0, 1, 9)))
    stopped = [content.bucket for content in told(dropped, 1) if isinstance(content, ReplicaStop)]
    assert stopped == [TableBucket(0, 5, 0), TableBucket(0, 6, 0), TableBucket(1, None, 0)]
    assert (cluster.state.tables, cluster.state.buckets, cluster.state.physical_tables) == ({}, {}, {})


def test_another_definition_goes_to_everybody() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1,),))
    altered = TableState(table().table, ((1, DESCRIPTOR.schema),))
    planned = cluster.handle(TableAltered(altered))
    for server_id in (1, 2):
        [change] = told(planned, server_id)
        assert isinstance(change, MetadataChange)
        assert change.tables[0].older_schemas == altered.older_schemas
        assert len(change.tables[0].buckets) == 1
    assert cluster.handle(TableAltered(table(9))).instructions == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"bucket": TableBucket(9, None, 0)}, ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION),
        ({"leader_epoch": 1}, ErrorCode.INVALID_COORDINATOR_EXCEPTION),
        ({"bucket_epoch": 4}, ErrorCode.INVALID_COORDINATOR_EXCEPTION),
        ({"coordinator_epoch": EPOCH + 1}, ErrorCode.INVALID_COORDINATOR_EXCEPTION),
        ({"leader_epoch": -1}, ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION),
        ({"bucket_epoch": 0}, ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION),
        ({"isr": (2,)}, ErrorCode.INELIGIBLE_REPLICA_EXCEPTION),
        ({"isr": (1, 3)}, ErrorCode.INELIGIBLE_REPLICA_EXCEPTION),
        ({"isr": (1, 4)}, ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION),
    ],
)
def test_an_isr_that_is_refused(change: dict[str, object], code: ErrorCode) -> None:
    cluster = Cluster(1, 2, 3, 4)
    cluster.create(0, ((1, 2, 3),))
    cluster.handle(ServerLeft(3))  # bucket epoch 1
    base: dict[str, object] = {
        "bucket": B0,
        "leader_epoch": 0,
        "isr": (1,),
        "coordinator_epoch": EPOCH,
        "bucket_epoch": 1,
    }
    response = cluster.handle(IsrAdjustmentRequested(AdjustIsr(1, (IsrChange(**{**base, **change}),))))  # type: ignore[arg-type]
    assert isinstance(response.result, AdjustIsrResponse)
    failure = response.result.buckets[0].failure
    assert failure is not None
    assert failure.code is code
    assert response.writes == ()


def test_an_isr_is_stored_and_returned() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    request = AdjustIsr(1, (IsrChange(B0, 0, (1,), 3, 0, (2,)),))
    planned = cluster.handle(IsrAdjustmentRequested(request))
    assert cluster.record(B0) == LeaderAndIsrRecord(1, 0, (1,), EPOCH, 1), "a log table has no standby replicas"
    assert isinstance(planned.result, AdjustIsrResponse)
    [adjusted] = planned.result.buckets
    assert (adjusted.failure, adjusted.isr, adjusted.bucket_epoch, adjusted.coordinator_epoch) == (None, (1,), 1, EPOCH)
    assert planned.instructions == (), "ISRs are not distributed"
    other = cluster.handle(IsrAdjustmentRequested(AdjustIsr(2, request.buckets)))
    assert isinstance(other.result, AdjustIsrResponse)
    assert other.result.buckets[0].failure is not None


def test_a_member_has_fetched_as_the_process_that_its_server_is_now() -> None:
    """A leader may go by what the process before had, which may be lost."""
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    cluster.handle(ServerLeft(2))
    cluster.handle(joined(2, "second"))
    epoch = cluster.record(B0).bucket_epoch

    def adjust(incarnation: str) -> AdjustedBucket:
        change = IsrChange(B0, 0, (1, 2), EPOCH, epoch, incarnations=((2, incarnation),))
        result = cluster.handle(IsrAdjustmentRequested(AdjustIsr(1, (change,)))).result
        assert isinstance(result, AdjustIsrResponse)
        return result.buckets[0]

    refused = adjust("first").failure
    assert refused is not None
    assert refused.code is ErrorCode.INELIGIBLE_REPLICA_EXCEPTION
    assert cluster.record(B0).isr == (1,)
    assert adjust("second").isr == (1, 2)


def test_a_leader_that_missed_a_response_is_told_the_isr() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    request = AdjustIsr(1, (IsrChange(B0, 0, (1,), EPOCH, 0),))
    cluster.handle(IsrAdjustmentRequested(request))
    again = cluster.handle(IsrAdjustmentRequested(request))
    assert isinstance(again.result, AdjustIsrResponse)
    failure = again.result.buckets[0].failure
    assert failure is not None
    assert failure.code is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
    [(leadership, server_id)] = leaderships(again)
    assert (server_id, leadership.isr, leadership.bucket_epoch) == (1, (1,), 1)
    assert again.writes == ()


def test_a_standby_is_preferred_and_replaced() -> None:
    cluster = Cluster(1, 2, 3)
    cluster.create(0, ((1, 3, 2),), KEYED)
    assert cluster.record(B0).standby_replicas == (3,)
    left = cluster.handle(ServerLeft(1))
    assert (cluster.record(B0).leader, cluster.record(B0).standby_replicas) == (3, (2,))
    assert {server: entry.standby_replicas for entry, server in leaderships(left)} == {2: (2,), 3: (2,)}
    cluster.handle(ServerLeft(2))
    assert cluster.record(B0).standby_replicas == ()


def test_a_standby_stays_while_it_can() -> None:
    cluster = Cluster(1, 2, 3)
    cluster.create(0, ((1, 3, 2),), KEYED)
    cluster.handle(ServerLeft(3))
    assert cluster.record(B0).standby_replicas == (2,)
    cluster.handle(joined(3, "second"))
    grown = cluster.adjust(1, (1, 3, 2))
    assert cluster.record(B0).standby_replicas == (2,)
    assert leaderships(grown) == []


def test_who_becomes_or_ends_to_be_a_standby_by_a_change_of_the_isr_is_told() -> None:
    cluster = Cluster(1, 2, 3)
    cluster.create(0, ((1, 3, 2),), KEYED)
    shrunk = cluster.adjust(1, (1, 2))
    assert cluster.record(B0).standby_replicas == (2,)
    assert {server: entry.standby_replicas for entry, server in leaderships(shrunk)} == {2: (2,), 3: (2,)}
    assert isinstance(shrunk.result, AdjustIsrResponse)
    assert shrunk.result.buckets[0].standby_replicas == (2,)


def test_a_replica_that_failed_is_no_standby() -> None:
    cluster = Cluster(1, 2, 3)
    created = cluster.handle(TableCreated(table(0, KEYED), ((1, 3, 2),)))
    cluster.confirm(created, {3: FULL})
    cluster.adjust(1, (1, 3, 2))
    assert cluster.record(B0).standby_replicas == (2,)


@pytest.mark.parametrize(("enabled", "number", "expected"), [("true", 2, (2, 3)), ("true", 0, ()), ("false", 2, ())])
def test_how_many_standbys_there_are(enabled: str, number: int, expected: tuple[int, ...]) -> None:
    cluster = Cluster(1, 2, 3)
    cluster.state.standby_replicas = number
    properties = {"table.kv.standby-replica.enabled": enabled}
    cluster.create(0, ((1, 2, 3),), replace(KEYED, properties=properties))
    assert cluster.record(B0).standby_replicas == expected


def test_an_altered_table_gets_or_loses_its_standbys() -> None:
    cluster = Cluster(1, 2, 3)
    cluster.create(0, ((1, 2, 3),), KEYED)
    off = replace(KEYED, properties={"table.kv.standby-replica.enabled": "false"})
    altered = cluster.handle(TableAltered(table(0, off)))
    assert cluster.record(B0) == LeaderAndIsrRecord(1, 0, (1, 2, 3), EPOCH, 1)
    assert {server for _, server in leaderships(altered)} == {1, 2, 3}
    assert cluster.handle(TableAltered(table(0, off))).writes == ()
    cluster.handle(TableAltered(table(0, KEYED)))
    assert cluster.record(B0) == LeaderAndIsrRecord(1, 0, (1, 2, 3), EPOCH, 2, (2,))


def test_one_write_per_bucket_and_event() -> None:
    cluster = Cluster(1, 2)
    cluster.create(0, ((1, 2),))
    left = cluster.handle(ServerLeft(1))  # offline, then elected
    assert [type(write) for write in left.writes] == [Set]


def test_assignment() -> None:
    assert assign(3, 1, [0]) == ((0,), (0,), (0,))
    assert assign(4, 2, [1, 2, 3]) == ((1, 2), (2, 3), (3, 1), (1, 3))
    assert assign(2, 3, [1, 2, 3], start=2, shift=1) == ((3, 2, 1), (1, 3, 2))
    for servers in ([], [1]):
        with pytest.raises(FlussError) as caught:
            assign(1, 2, servers)
        assert caught.value.code is ErrorCode.INVALID_REPLICATION_FACTOR
