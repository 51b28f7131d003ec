"""Plans of random clusters: nothing is lost, nothing goes where it must not, and servers are in balance afterwards."""

from __future__ import annotations

from collections import Counter
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from error_support import code_of
from example_support import examples
from fluss_server.coordinator.rebalance_plan import (
    ALL_GOALS,
    PlannedBucket,
    PlannedServer,
    RebalanceGoal,
    limits_of,
    plan_rebalance,
)
from fluss_server.errors import ErrorCode
from fluss_server.model.identifiers import TableBucket

Cluster = tuple[list[PlannedServer], dict[TableBucket, PlannedBucket]]


@st.composite
def clusters(draw: st.DrawFn, *, racks: bool = False) -> Cluster:
    """Up to 7 live servers and 2 dead ones, some avoided, and buckets with random replicas of which one leads."""
    count = draw(st.integers(1, 7))
    names = st.sampled_from(["a", "b", "c"]) if racks else st.none()
    servers = [PlannedServer(number, draw(names), draw(st.booleans()) and number > 0) for number in range(count)]
    buckets = {}
    for number in range(draw(st.integers(0, 24))):
        replicas = draw(st.lists(st.integers(0, count + 1), min_size=1, max_size=min(3, count), unique=True))
        live = [server for server in replicas if server < count]
        if live:
            buckets[TableBucket(number % 3, None, number)] = PlannedBucket(tuple(replicas), draw(st.sampled_from(live)))
    return servers, buckets


def after(
    cluster: Cluster, goals: tuple[RebalanceGoal, ...], replaced: tuple[int, ...] = ()
) -> dict[TableBucket, PlannedBucket]:
    servers, buckets = cluster
    result = dict(buckets)
    for move in plan_rebalance(servers, buckets, goals, replaced=replaced):
        before = buckets[move.bucket]
        assert (move.origin_replicas, move.original_leader) == (before.replicas, before.leader)
        assert move.new_replicas[0] == move.new_leader
        result[move.bucket] = PlannedBucket(move.new_replicas, move.new_leader)
    return result


@given(clusters(), st.permutations(list(RebalanceGoal)).map(lambda goals: tuple(goals[:2])))
@settings(max_examples=examples(100))
def test_every_bucket_keeps_as_many_replicas_on_different_servers(
    cluster: Cluster, goals: tuple[RebalanceGoal, ...]
) -> None:
    servers, buckets = cluster
    usable = {server.server_id for server in servers if not server.avoided}
    found = after(cluster, goals)
    for bucket, state in found.items():
        before = buckets[bucket]
        assert len(state.replicas) == len(before.replicas) == len(set(state.replicas))
        assert state.leader in state.replicas
        assert set(state.replicas) - set(before.replicas) <= usable, "nothing goes to avoided or dead servers"
        dead = {server for server in before.replicas if server >= len(servers)}
        assert dead <= set(state.replicas), "replicas of dead servers stay"


@given(clusters())
@settings(max_examples=examples(100))
def test_servers_are_in_balance_and_avoided_ones_have_nothing(cluster: Cluster) -> None:
    servers, _ = cluster
    usable = [server.server_id for server in servers if not server.avoided]
    found = after(cluster, ALL_GOALS)
    on = Counter(server for state in found.values() for server in state.replicas)
    for server in servers:
        if server.avoided:
            left = [state for state in found.values() if server.server_id in state.replicas]
            assert all(set(usable) <= set(state.replicas) for state in left), "there was no other server"
    if all(len(state.replicas) == 1 for state in found.values()):
        lower, upper = limits_of(sum(on[server] for server in usable), len(usable))
        assert all(lower <= on[server] <= upper for server in usable), on


@given(clusters(racks=True))
@settings(max_examples=examples(60))
def test_replicas_are_on_no_fewer_racks_than_before(cluster: Cluster) -> None:
    servers, buckets = cluster
    racks = {server.server_id: server.rack for server in servers}
    usable = {server.rack for server in servers if not server.avoided}
    if len(usable) < max((len(state.replicas) for state in buckets.values()), default=0):
        assert code_of(lambda: after(cluster, ALL_GOALS)) is ErrorCode.REBALANCE_FAILURE_EXCEPTION
        return
    for state in after(cluster, ALL_GOALS).values():
        live = [server for server in state.replicas if server in racks]
        assert len({racks[server] for server in live}) == len(live), "every live replica has a rack of its own"


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_plan_for_many_buckets_takes_little_time(replicas: int) -> None:
    """Searches go on where they ended: each from the beginning took ten seconds for this."""
    servers = [PlannedServer(number) for number in range(4)]
    buckets = {}
    for number in range(10_000):
        assigned = tuple((number + other) % 3 for other in range(replicas))
        buckets[TableBucket(number // 100, None, number % 100)] = PlannedBucket(assigned, assigned[0])
    begin = process_time()
    moves = plan_rebalance(servers, buckets, ALL_GOALS, max_moves=4_000)
    assert process_time() - begin < 2.0
    assert 2_000 < len(moves) <= 4_000


@given(clusters())
@settings(max_examples=examples(60))
def test_a_balanced_cluster_stays_as_it_is(cluster: Cluster) -> None:
    servers, _ = cluster
    found = after(cluster, ALL_GOALS)
    assert plan_rebalance(servers, found, ALL_GOALS) == ()


@given(clusters())
@settings(max_examples=examples(60))
def test_replicas_of_servers_that_are_gone_are_replaced(cluster: Cluster) -> None:
    servers, buckets = cluster
    gone = (len(servers), len(servers) + 1)
    usable = {server.server_id for server in servers if not server.avoided}
    for bucket, state in after(cluster, (), gone).items():
        before = buckets[bucket].replicas
        assert set(before) - set(gone) <= set(state.replicas), "others stay"
        assert not set(gone) & set(state.replicas) or usable <= set(state.replicas)


def test_a_new_server_gets_its_part() -> None:
    servers = [PlannedServer(number) for number in range(4)]
    buckets = {
        TableBucket(0, None, number): PlannedBucket(tuple((number + step) % 3 for step in range(2)), number % 3)
        for number in range(12)
    }
    found = after((servers, buckets), ALL_GOALS)
    on = Counter(server for state in found.values() for server in state.replicas)
    led = Counter(state.leader for state in found.values())
    assert on == {0: 6, 1: 6, 2: 6, 3: 6}
    assert led == {0: 3, 1: 3, 2: 3, 3: 3}


def test_without_a_server_that_may_have_replicas_there_is_no_plan() -> None:
    servers = [PlannedServer(0, None, True)]
    assert code_of(lambda: plan_rebalance(servers, {}, ALL_GOALS)) is ErrorCode.REBALANCE_FAILURE_EXCEPTION


@pytest.mark.parametrize(
    ("total", "servers", "expected"), [(4, 3, (1, 2)), (3, 3, (1, 1)), (0, 2, (0, 0)), (300, 3, (91, 109))]
)
def test_limits(total: int, servers: int, expected: tuple[int, int]) -> None:
    assert limits_of(total, servers) == expected
