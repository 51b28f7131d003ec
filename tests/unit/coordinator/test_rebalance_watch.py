"""When the replicas of servers that are gone are made elsewhere."""

from __future__ import annotations

import pytest

from fluss_server.coordinator import reassignments
from fluss_server.coordinator.events import (
    MovesAreLate,
    RebalanceCanceled,
    RebalanceRequested,
    ServerLeft,
)
from fluss_server.coordinator.rebalance_plan import ALL_GOALS
from fluss_server.coordinator.rebalance_watch import REPLACEMENT, MoveTimes, RebalanceWatch
from fluss_server.metadata.rebalance_records import RebalanceStatus
from fluss_server.metadata.store import Create
from fluss_server.runtime.clock import ManualClock
from state_machine_support import B0, B1, Cluster, joined

AFTER_S = 10.0


class Watched:
    """A cluster of servers 0 and 1 and more, buckets with replicas on both, and server 1 is gone for long."""

    def __init__(self, *others: int, buckets: int = 1) -> None:
        self.clock = ManualClock()
        self.watch = RebalanceWatch(self.clock, MoveTimes(replace_after_s=AFTER_S), lambda watch: None)
        self.cluster = Cluster(0, 1, *others)
        self.cluster.tree.apply(self.cluster.tree.plan([Create("/cluster")]))
        self.cluster.create(0, ((0, 1),) * buckets)
        self.cluster.handle(RebalanceRequested("of the user", ()))
        self.requests = 0
        self.cluster.handle(ServerLeft(1))
        assert self.to_replace() == ()
        self.clock.sleep(AFTER_S + 1)

    def to_replace(self) -> tuple[int, ...]:
        return self.watch.to_replace(self.cluster.state)

    def replace(self) -> object:
        """How many buckets move."""
        self.requests += 1
        planned = self.cluster.handle(RebalanceRequested(f"{REPLACEMENT}{self.requests}", (), (1,)))
        assert bool(planned.writes) == bool(planned.result)
        return planned.result


def test_what_cannot_be_replaced_is_tried_once_and_leaves_the_rebalance_before_as_it_is() -> None:
    watched = Watched()
    assert watched.to_replace() == (1,)
    assert watched.replace() == 0, "there is no other server"
    assert watched.cluster.state.rebalance is not None
    assert watched.cluster.state.rebalance.rebalance_id == "of the user"
    assert watched.to_replace() == ()
    watched.cluster.handle(joined(2))
    assert watched.to_replace() == (1,), "there is one now"
    assert watched.replace() == 1
    assert watched.to_replace() == (), "it is under way"


def test_a_replacement_that_is_complete_may_not_have_been_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassignments, "MAX_MOVES", 1)
    watched = Watched(2, buckets=2)
    assert watched.to_replace() == (1,)
    assert watched.replace() == 1
    watched.cluster.adjust(0, (0, 2))
    assert watched.cluster.state.moves[B0].status is RebalanceStatus.COMPLETED
    assert watched.to_replace() == (1,)
    assert watched.replace() == 1
    assert B1 in watched.cluster.state.moving


def test_a_replacement_that_was_canceled_or_failed_is_not_repeated() -> None:
    watched = Watched(2)
    assert watched.to_replace() == (1,)
    assert watched.replace() == 1
    watched.cluster.handle(RebalanceCanceled())
    assert watched.to_replace() == ()
    watched.cluster.handle(joined(3))
    assert watched.to_replace() == (1,)
    assert watched.replace() == 1
    watched.cluster.handle(ServerLeft(watched.cluster.state.moves[B0].move.new_replicas[1]))
    watched.cluster.handle(MovesAreLate((B0,)))
    assert watched.cluster.state.moves[B0].status is RebalanceStatus.FAILED
    assert watched.to_replace() == (1,), "another server is gone"
    assert watched.to_replace() == ()


def test_a_rebalance_of_the_user_does_not_keep_servers_from_being_replaced() -> None:
    watched = Watched(2)
    assert watched.to_replace() == (1,)
    watched.cluster.handle(RebalanceRequested("another", ALL_GOALS))
    watched.cluster.handle(RebalanceCanceled())
    assert watched.to_replace() == (1,)
