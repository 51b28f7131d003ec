"""The steps of a move, one by one."""

from __future__ import annotations

from pathlib import Path

from coordinator_support import RecordingTabletServer, running, running_over
from error_support import code_of
from fluss_server.cluster.messages import RegisterServer, ReplicaStop, ServerNode
from fluss_server.coordinator.assignment import assign
from fluss_server.coordinator.cluster_state import BucketState
from fluss_server.coordinator.events import (
    LeadershipConfirmed,
    LeadershipsConfirmed,
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
)
from fluss_server.coordinator.reassignments import settled
from fluss_server.coordinator.rebalance_plan import ALL_GOALS, RebalanceGoal
from fluss_server.errors import ErrorCode
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.rebalance_records import (
    REBALANCE,
    SERVER_TAGS,
    RebalanceRecord,
    RebalanceStatus,
    ServerTag,
    decode_server_tags,
    encode_server_tags,
)
from fluss_server.metadata.records import AssignmentRecord, LeaderAndIsrRecord
from fluss_server.metadata.store import Create, missing_parents
from fluss_server.model.identifiers import TablePath
from fluss_server.runtime.runtime import system_runtime
from rpc_support import async_test
from state_machine_support import B0, B1, DESCRIPTOR, EPOCH, Cluster, leaderships, told

B0_PATH = "/tabletservers/tables/0"


def drained(*replicas: int) -> Cluster:
    """Servers 0, 1, 2 and a bucket whose first replica is on one that is to have nothing; the rebalance has begun."""
    cluster = Cluster(0, 1, 2)
    cluster.tree.apply(cluster.tree.plan([Create("/cluster")]))
    cluster.create(0, (replicas,))
    cluster.handle(ServersTagged((replicas[0],), ServerTag.PERMANENT_OFFLINE))
    planned = cluster.handle(RebalanceRequested("r1", ALL_GOALS))
    cluster.confirm(planned)
    return cluster


def confirm(cluster: Cluster, planned: Plan) -> list[Plan]:
    """Responses to the leaderships of a plan, and to those that follow from them."""
    plans = cluster.confirm(planned)
    for number, entry in enumerate(plans):
        if number < 20:
            plans += cluster.confirm(entry)
    return plans


def status(cluster: Cluster) -> tuple[RebalanceStatus, RebalanceStatus]:
    """Of the rebalance as stored, and of the bucket."""
    node = cluster.tree.get(REBALANCE)
    assert node is not None
    return RebalanceRecord.decode(node.value).status, cluster.state.moves[B0].status


def test_a_bucket_gets_new_replicas_then_another_leader_and_only_then_loses_the_old_ones() -> None:
    cluster = drained(0, 1)
    assert cluster.state.buckets[B0].replicas == (1, 2, 0)
    assert cluster.record(B0).leader == 0, "it leads until the new replica has everything"
    assert status(cluster) == (RebalanceStatus.REBALANCING, RebalanceStatus.REBALANCING)
    planned = cluster.adjust(cluster.record(B0).leader, (0, 1, 2))
    assert cluster.record(B0).leader == 1
    assert cluster.state.buckets[B0].replicas == (1, 2, 0), "the old replica stays until the new leader leads"
    assert told(planned, 0) != []
    confirm(cluster, planned)
    assert cluster.state.buckets[B0].replicas == (1, 2)
    assert cluster.record(B0).isr == (1, 2)
    node = cluster.tree.get(B0_PATH)
    assert node is not None
    assert AssignmentRecord.decode("", node.value).buckets == {0: (1, 2)}
    assert status(cluster) == (RebalanceStatus.COMPLETED, RebalanceStatus.COMPLETED)


def test_the_old_replica_is_deleted_when_the_others_have_been_told() -> None:
    cluster = drained(0, 1)
    planned = cluster.adjust(cluster.record(B0).leader, (0, 1, 2))
    plans = confirm(cluster, planned)
    stops = [content for entry in plans for content in told(entry, 0) if isinstance(content, ReplicaStop)]
    assert stops == [ReplicaStop(B0, cluster.record(B0).leader_epoch, delete=True)]
    assert not stops[0].delete_remote, "what is in the remote storage belongs to the table"
    final = next(entry for entry in plans if stops[0] in told(entry, 0))
    assert {server for leadership, server in leaderships(final)} == {1, 2}
    assert all(leadership.replicas == (1, 2) for leadership, _ in leaderships(final))


def test_the_new_leader_hears_of_it_when_the_old_one_has_confirmed() -> None:
    cluster = drained(0, 1)
    planned = cluster.adjust(cluster.record(B0).leader, (0, 1, 2))
    [(leadership, told_first)] = [(entry, server) for entry, server in leaderships(planned) if server != 2]
    assert (leadership.leader, told_first) == (1, 0), "until then it may serve clients"
    confirmed = cluster.handle(LeadershipsConfirmed(0, (LeadershipConfirmed(leadership, None),)))
    assert [(entry.leader, server) for entry, server in leaderships(confirmed)] == [(1, 1)]


def test_the_new_leader_hears_of_it_when_the_old_one_is_gone() -> None:
    cluster = drained(0, 1)
    cluster.adjust(cluster.record(B0).leader, (0, 1, 2))
    left = cluster.handle(ServerLeft(0))
    assert {server for _, server in leaderships(left)} == {1, 2}


def moved_away_before_it_confirmed(*, stops: bool = False) -> Cluster:
    """The leader has moved from server 0 to server 1, which waits for server 0, which has no replica any more."""
    cluster = drained(0, 1)
    cluster.adjust(0, (0, 1, 2))
    if stops:
        cluster.handle(ShutdownRequested(0))
    else:
        cluster.adjust(1, (1, 2))
    canceled = cluster.handle(RebalanceCanceled())
    assert ReplicaStop(B0, cluster.record(B0).leader_epoch, delete=True) in told(canceled, 0)
    state = cluster.state.buckets[B0]
    assert (state.leader, state.replicas, state.former) == (1, (1, 2), (0,))
    assert 1 not in {server for _, server in leaderships(canceled)}
    return cluster


def test_the_new_leader_hears_of_it_when_the_old_one_is_gone_and_no_replica_any_more() -> None:
    cluster = moved_away_before_it_confirmed(stops=True)
    left = cluster.handle(ServerLeft(0))
    assert [(leadership.leader, server) for leadership, server in leaderships(left)] == [(1, 1)]
    assert cluster.state.buckets[B0].former == ()


def test_the_new_leader_hears_of_it_when_the_old_one_has_deleted_its_replica() -> None:
    cluster = moved_away_before_it_confirmed()
    stopped = cluster.handle(ReplicasStopped(0, (B0, B1)))
    assert [(leadership.leader, server) for leadership, server in leaderships(stopped)] == [(1, 1)]
    assert cluster.handle(ReplicasStopped(0, (B0,))).instructions == ()


def test_a_later_leader_does_not_wait_for_one_without_replica_for_ever() -> None:
    """The server is told of no later epoch, so its response can only be about the end of its replica."""
    cluster = moved_away_before_it_confirmed()
    cluster.handle(ServerLeft(1))
    assert (cluster.record(B0).leader, cluster.state.buckets[B0].former) == (2, (0,))
    stopped = cluster.handle(ReplicasStopped(0, (B0,)))
    assert [(leadership.leader, server) for leadership, server in leaderships(stopped)] == [(2, 2)]


def test_a_server_that_registers_again_serves_until_it_has_deleted_its_replica() -> None:
    """It held its lease all the time, and knows nothing of the new leader."""
    cluster = moved_away_before_it_confirmed()
    again = cluster.handle(ServerJoined(ServerNode(0), "first", True))
    assert leaderships(again) == []
    assert ReplicaStop(B0, cluster.record(B0).leader_epoch, delete=True) in told(again, 0)
    stopped = cluster.handle(ReplicasStopped(0, (B0,)))
    assert [(leadership.leader, server) for leadership, server in leaderships(stopped)] == [(1, 1)]


def test_the_new_leader_hears_of_it_when_the_old_one_starts_again_and_is_no_replica_any_more() -> None:
    cluster = moved_away_before_it_confirmed()
    again = cluster.handle(ServerJoined(ServerNode(0), "second", True))
    assert [(leadership.leader, server) for leadership, server in leaderships(again)] == [(1, 1)]
    assert cluster.state.buckets[B0].former == ()


def test_a_rebalance_ends_although_a_bucket_that_waits_has_lost_its_leader() -> None:
    cluster = Cluster(0, 1, 2)
    cluster.tree.apply(cluster.tree.plan([Create("/cluster")]))
    cluster.create(0, ((0,), (0,), (0,)))
    cluster.handle(ServersTagged((0,), ServerTag.PERMANENT_OFFLINE))
    cluster.handle(RebalanceRequested("r1", ALL_GOALS))
    assert len(cluster.state.moving) == 2, "the third one waits"
    cluster.handle(ServerLeft(0))
    cluster.handle(MovesAreLate(tuple(cluster.state.moving)))
    waiting = [bucket for bucket, move in cluster.state.moves.items() if not move.status.is_final]
    cluster.handle(MovesAreLate(tuple(waiting)))
    assert {move.status for move in cluster.state.moves.values()} == {RebalanceStatus.FAILED}
    assert status(cluster)[0] is RebalanceStatus.FAILED


def lagging() -> tuple[Cluster, Plan]:
    """The replica on server 0 moves to server 3; that of server 2 is not in sync."""
    cluster = Cluster(0, 1, 2, 3)
    cluster.tree.apply(cluster.tree.plan([Create("/cluster")]))
    cluster.create(0, ((0, 1, 2),))
    cluster.handle(ServersTagged((0,), ServerTag.PERMANENT_OFFLINE))
    cluster.confirm(cluster.handle(RebalanceRequested("r1", ALL_GOALS)))
    assert set(cluster.state.moves[B0].move.new_replicas) == {1, 2, 3}
    planned = cluster.adjust(0, (0, 1, 3))
    assert cluster.record(B0).leader == 1
    return cluster, planned


def test_a_replica_in_sync_stays_until_as_many_others_are() -> None:
    cluster, planned = lagging()
    confirm(cluster, planned)
    assert set(cluster.state.buckets[B0].replicas) == {0, 1, 2, 3}, "two copies would be one too few"
    assert cluster.state.buckets[B0].active
    confirm(cluster, cluster.adjust(1, (0, 1, 2, 3)))
    assert set(cluster.state.buckets[B0].replicas) == set(cluster.record(B0).isr) == {1, 2, 3}
    assert status(cluster) == (RebalanceStatus.COMPLETED, RebalanceStatus.COMPLETED)


def test_a_replica_in_sync_stays_when_another_one_that_is_not_is_gone() -> None:
    cluster, planned = lagging()
    confirm(cluster, planned)
    confirm(cluster, cluster.handle(ServerLeft(2)))
    cluster.handle(MovesAreLate((B0,)))
    assert set(cluster.state.buckets[B0].replicas) == set(cluster.record(B0).isr) == {0, 1, 3}
    assert status(cluster) == (RebalanceStatus.FAILED, RebalanceStatus.FAILED)


def test_a_single_replica_begins_another_epoch_when_it_gets_a_follower() -> None:
    cluster = drained(0)
    record = cluster.record(B0)
    assert (record.leader, record.leader_epoch, record.isr) == (0, 1, (0,))
    planned = cluster.adjust(cluster.record(B0).leader, (0, 1))
    assert cluster.record(B0).leader == 1
    confirm(cluster, planned)
    assert cluster.state.buckets[B0].replicas == (1,)


def test_a_cancel_leaves_as_many_replicas_as_before() -> None:
    cluster = drained(0, 1)
    cluster.handle(RebalanceCanceled("r1"))
    assert cluster.state.buckets[B0].replicas == (0, 1)
    assert status(cluster) == (RebalanceStatus.CANCELED, RebalanceStatus.CANCELED)
    assert cluster.handle(RebalanceCanceled()).writes == (), "nothing is under way any more"


def test_a_cancel_after_the_leader_has_moved_goes_on_to_the_end() -> None:
    cluster = drained(0, 1)
    cluster.adjust(cluster.record(B0).leader, (0, 1, 2))
    cluster.handle(RebalanceCanceled())
    assert cluster.state.buckets[B0].replicas in ((1, 0), (0, 1), (1, 2))
    assert cluster.record(B0).leader in cluster.state.buckets[B0].replicas


def test_another_rebalance_has_to_wait() -> None:
    cluster = drained(0, 1)
    assert code_of(lambda: cluster.handle(RebalanceRequested("r2", ALL_GOALS))) is ErrorCode.REBALANCE_FAILURE_EXCEPTION
    assert code_of(lambda: cluster.handle(RebalanceCanceled("r2"))) is ErrorCode.NO_REBALANCE_IN_PROGRESS_EXCEPTION


def test_a_bucket_that_takes_long_goes_on() -> None:
    cluster = drained(0, 1)
    cluster.handle(MovesAreLate((B0,)))
    assert status(cluster) == (RebalanceStatus.REBALANCING, RebalanceStatus.TIMEOUT)
    confirm(cluster, cluster.adjust(cluster.record(B0).leader, (0, 1, 2)))
    assert status(cluster) == (RebalanceStatus.COMPLETED, RebalanceStatus.COMPLETED)


def test_a_bucket_whose_new_server_is_gone_keeps_its_replicas() -> None:
    cluster = drained(0, 1)
    cluster.handle(ServerLeft(2))
    assert cluster.state.buckets[B0].replicas == (1, 2, 0), "it may come back"
    cluster.handle(MovesAreLate((B0,)))
    assert cluster.state.buckets[B0].replicas == (0, 1)
    assert status(cluster) == (RebalanceStatus.FAILED, RebalanceStatus.FAILED)


def test_a_server_that_comes_back_goes_on_with_what_it_was_to_get() -> None:
    cluster = drained(0, 1)
    cluster.handle(ServerLeft(2))
    cluster.confirm(cluster.handle(ServerJoined(ServerNode(2), "second", True)))
    confirm(cluster, cluster.adjust(cluster.record(B0).leader, (0, 1, 2)))
    assert cluster.state.buckets[B0].replicas == (1, 2)


def test_only_the_leader_moves_when_the_replicas_are_in_balance() -> None:
    cluster = Cluster(0, 1)
    cluster.tree.apply(cluster.tree.plan([Create("/cluster")]))
    cluster.create(0, ((0, 1), (0, 1)))
    confirm(cluster, cluster.handle(RebalanceRequested("r1", (RebalanceGoal.LEADER_DISTRIBUTION,))))
    assert sorted(state.leader for state in cluster.state.buckets.values()) == [0, 1]
    assert all(len(state.replicas) == 2 for state in cluster.state.buckets.values())


def test_few_moves_at_a_time() -> None:
    cluster = Cluster(0, 1, 2)
    cluster.tree.apply(cluster.tree.plan([Create("/cluster")]))
    cluster.create(0, tuple((0, 1) for _ in range(9)))
    cluster.handle(ServersTagged((0,), ServerTag.TEMPORARY_OFFLINE))
    cluster.handle(RebalanceRequested("r1", ALL_GOALS))
    assert len(cluster.state.moves) == 9
    assert len(cluster.state.moving) == cluster.state.moves_per_server == 2


def test_what_stays_when_a_move_ends_early() -> None:
    def state(replicas: tuple[int, ...], leader: int, *isr: int) -> BucketState:
        return BucketState(replicas, LeaderAndIsrRecord(leader, 0, isr, EPOCH, 0))

    joint = (3, 0, 1, 2)
    assert settled(state(joint, 0, 0, 1, 2, 3), (0, 1, 2), {0, 1, 2, 3}) == (0, 1, 2), "the old ones if they can"
    assert settled(state(joint, 0, 0, 1, 3), (0, 1, 2), {0, 1, 3}) == (0, 1, 3), "those in sync before others"
    assert settled(state(joint, -1, 3), (0, 1, 2), {0, 1, 2}) == (0, 1, 3), "the last one that has everything"
    assert settled(state(joint, 0, 0), (0, 1, 2), {0, 2, 3}) == (0, 1, 2)
    assert settled(state((1, 0), 0, 0), (0,), {0, 1}) == (0,)


def test_tags() -> None:
    cluster = Cluster(0, 1)

    def change(event: ServersTagged | ServersUntagged) -> ErrorCode:
        return code_of(lambda: cluster.handle(event))

    assert change(ServersTagged((0, 5), ServerTag.PERMANENT_OFFLINE)) is ErrorCode.SERVER_NOT_EXIST_EXCEPTION
    assert cluster.state.tags == {}, "all or nothing"
    cluster.handle(ServersTagged((0,), ServerTag.PERMANENT_OFFLINE))
    cluster.handle(ServersTagged((0,), ServerTag.PERMANENT_OFFLINE))
    other = ServersTagged((0,), ServerTag.TEMPORARY_OFFLINE)
    assert change(other) is ErrorCode.SEVER_TAG_ALREADY_EXIST_EXCEPTION
    assert cluster.state.live_server_ids() == [1], "no replicas of new tables"
    absent = ServersUntagged((0,), ServerTag.TEMPORARY_OFFLINE)
    assert change(absent) is ErrorCode.SEVER_TAG_NOT_EXIST_EXCEPTION
    cluster.handle(ServersUntagged((0,), ServerTag.PERMANENT_OFFLINE))
    assert cluster.tree.get("/tabletservers/server_tags") is None
    cluster.handle(ServersTagged((0,), ServerTag.TEMPORARY_OFFLINE))
    assert cluster.state.live_server_ids() == [0, 1]


@async_test
async def test_the_first_tag_when_there_is_a_node_without_tags(tmp_path: Path) -> None:
    """Another implementation, or another version, keeps the node when the last tag is gone."""
    store = EmbeddedMetadataStore.open(tmp_path / "m", system_runtime())
    await store.commit([*await missing_parents(store, SERVER_TAGS), Create(SERVER_TAGS, encode_server_tags({}))])
    async with running_over(store) as parts:
        for _ in range(2):
            await parts.controller.change_placement(ServersTagged((3,), ServerTag.TEMPORARY_OFFLINE))
            node = await store.get(SERVER_TAGS)
            assert node is not None
            assert decode_server_tags(node.value) == {3: ServerTag.TEMPORARY_OFFLINE}
            await parts.controller.change_placement(ServersUntagged((3,), ServerTag.TEMPORARY_OFFLINE))


@async_test
async def test_a_rebalance_moves_what_is_as_it_was_when_it_was_planned(tmp_path: Path) -> None:
    async with running(tmp_path / "m") as parts:
        await parts.ddl.create_table(TablePath("fluss", "t"), DESCRIPTOR, ignore_if_exists=False)
        await parts.controller.register(RegisterServer(ServerNode(4), "first"), RecordingTabletServer())
        [move] = await parts.controller.planned_moves(ALL_GOALS)
        gone = move._replace(bucket=move.bucket._replace(table_id=99))
        moved = move._replace(bucket=move.bucket._replace(bucket=1 - move.bucket.bucket), original_leader=4)
        event = RebalanceRequested("r", ALL_GOALS, moves=(move, gone, moved))
        assert await parts.controller.change_placement(event) == 1
        assert list(parts.controller.queue.state.moves) == [move.bucket]


def test_replicas_of_new_tables_are_in_different_racks() -> None:
    racks = {0: "a", 1: "a", 2: "b", 3: "c"}
    for start in range(4):
        for shift in range(4):
            for replicas in assign(8, 3, [0, 1, 2, 3], racks=racks, start=start, shift=shift):
                assert {racks[server] for server in replicas} == {"a", "b", "c"}
            for replicas in assign(8, 4, [0, 1, 2, 3], racks=racks, start=start, shift=shift):
                assert sorted(replicas) == [0, 1, 2, 3], "more replicas than racks"
    leaders = [replicas[0] for replicas in assign(4, 1, [0, 1, 2, 3], racks=racks)]
    assert leaders == [0, 2, 3, 1], "neighbours are in different racks"
    assert assign(4, 2, [0, 1, 2], racks={0: "a", 1: None, 2: "b"}) == assign(4, 2, [0, 1, 2])


def test_elections_prefer_servers_without_a_tag() -> None:
    cluster = Cluster(0, 1, 2)
    cluster.create(0, ((0, 1, 2),))
    cluster.handle(ServersTagged((1,), ServerTag.TEMPORARY_OFFLINE))
    cluster.handle(ServerLeft(0))
    assert cluster.record(B0).leader == 2
