"""What metrics say of replication."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from fluss_server.replica.followers import Followers
from fluss_server.replica.in_sync_replicas import InSyncReplicas
from fluss_server.tablet.metrics import catch_up_rows


def test_rows_to_catch_up_are_those_of_replicas_outside_of_the_isr() -> None:
    followers = Followers(1, 5, (1, 2, 3, 4), InSyncReplicas((1, 2), 7), epoch_start=0, min_isr=1, now_s=0)
    replica = cast(Any, SimpleNamespace(followers=followers, log=SimpleNamespace(start_offset=10, end_offset=100)))
    followers.fetched(2, 70, 100, 0)
    assert catch_up_rows(replica) == 90 + 90, "nothing is known of servers 3 and 4, so they lack the whole log"
    followers.fetched(3, 60, 100, 0)
    followers.fetched(4, 100, 100, 0)
    assert catch_up_rows(replica) == 40
    assert catch_up_rows(cast(Any, SimpleNamespace(followers=None, log=replica.log))) == 0, "it has no other replicas"
