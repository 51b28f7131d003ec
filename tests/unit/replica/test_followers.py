"""High watermark, epoch start and ISR of a leader, from nothing but the offsets of its followers."""

from __future__ import annotations

from collections.abc import Container

import pytest

from error_support import code_of
from fluss_server.errors import ErrorCode
from fluss_server.replica.followers import Followers
from fluss_server.replica.in_sync_replicas import InSyncReplicas

EVERYBODY = frozenset({1, 2, 3})


def followers(
    isr: tuple[int, ...] = (1, 2, 3), *, epoch_start: int = 0, min_isr: int = 1, now_s: float = 0.0
) -> Followers:
    """Server 1 leads in epoch 5, 2 and 3 follow."""
    return Followers(1, 5, (1, 2, 3), InSyncReplicas(isr, 7), epoch_start=epoch_start, min_isr=min_isr, now_s=now_s)


def wanted(
    state: Followers, *, high_watermark: int = 0, log_end: int = 0, now_s: float = 0.0, live: Container[int] = EVERYBODY
) -> tuple[int, ...] | None:
    return state.wanted_isr(high_watermark=high_watermark, log_end=log_end, now_s=now_s, max_lag_s=10.0, live=live)


def test_the_high_watermark_is_the_smallest_offset_of_the_isr() -> None:
    state = followers()
    assert state.committable(100, 3) == 3, "nothing is known of the followers"
    state.fetched(2, 50, 100, 0.0)
    assert state.committable(100, 3) == 3
    state.fetched(3, 40, 100, 0.0)
    assert state.committable(100, 3) == 40
    assert state.committable(30, 3) == 30, "the leader's own log counts, too"
    assert state.committable(100, 60) == 60, "it never falls"


def test_others_than_the_isr_do_not_count() -> None:
    state = followers((1, 2))
    state.fetched(2, 50, 100, 0.0)
    assert state.committable(100, 0) == 50
    state = followers((1,))
    assert state.committable(100, 0) == 100


def test_nothing_is_committed_with_too_few_replicas() -> None:
    state = followers((1,), min_isr=2)
    assert state.committable(100, 10) == 10
    assert code_of(state.check_enough_replicas) is ErrorCode.NOT_ENOUGH_REPLICAS_EXCEPTION
    state.min_isr = 1
    state.check_enough_replicas()
    assert state.committable(100, 10) == 100


def test_who_is_being_added_counts_and_who_is_being_removed_still_does() -> None:
    state = followers((1, 2))
    state.fetched(2, 80, 100, 0.0)
    state.fetched(3, 60, 100, 0.0)
    state.isr.requested((1, 2, 3))
    assert state.committable(100, 50) == 60
    assert state.isr.confirmed((1, 2, 3), 8)
    state.isr.ended(refused=False)
    state.isr.requested((1, 2))
    assert state.committable(100, 50) == 60
    assert state.isr.confirmed((1, 2), 9)
    assert state.committable(100, 50) == 80


def test_a_lost_response_leaves_a_possible_member_until_another_change_is_confirmed() -> None:
    state = followers((1, 2))
    state.fetched(2, 100, 100, 0.0)
    state.fetched(3, 90, 90, 0.0)
    state.isr.requested((1, 2, 3))
    state.isr.ended(refused=False)
    assert state.committable(100, 50) == 90, "the coordinator may have taken it in"
    state.isr.requested((1, 2, 3))
    state.isr.ended(refused=True)
    assert state.committable(100, 50) == 90, "the first request may have been taken in"
    assert wanted(state, high_watermark=100, live={1, 2}) == (1, 2), "the doubt is ended by storing it again"
    assert state.isr.confirmed((1, 2), 8)
    assert state.committable(100, 50) == 100


def test_a_refused_request_leaves_nothing_behind() -> None:
    state = followers((1, 2))
    state.fetched(2, 100, 100, 0.0)
    state.fetched(3, 90, 90, 0.0)
    state.isr.requested((1, 2, 3))
    assert wanted(state) is None, "one request at a time"
    state.isr.ended(refused=True)
    assert state.committable(100, 50) == 100


def test_older_confirmations_change_nothing() -> None:
    state = followers((1, 2))
    assert not state.isr.confirmed((1, 2, 3), 7)
    assert not state.isr.confirmed((1, 2, 3), 6)
    assert state.isr.members == (1, 2)


def test_a_follower_joins_with_everything_that_may_be_acknowledged() -> None:
    state = followers((1,), epoch_start=70)
    state.fetched(2, 60, 100, 0.0)
    assert wanted(state, high_watermark=50) is None, "behind the epoch start, where the old high watermark may be"
    state.fetched(2, 70, 100, 0.0)
    assert wanted(state, high_watermark=80) is None, "behind the high watermark"
    assert wanted(state, high_watermark=70) == (1, 2)
    assert wanted(state, high_watermark=70, live={1}) is None, "the coordinator would refuse a dead server"


def test_a_lagging_follower_leaves() -> None:
    state = followers(now_s=100.0)
    assert wanted(state, log_end=10, now_s=109.0) is None
    assert wanted(state, log_end=10, now_s=111.0) == (1,)
    state.fetched(2, 10, 10, 111.0)
    assert wanted(state, log_end=10, now_s=112.0) == (1, 2)
    state.fetched(3, 5, 10, 112.0)
    assert wanted(state, log_end=10, now_s=112.0) == (1, 2), "it fetches and has not caught up"
    assert wanted(state, log_end=0, now_s=200.0) is None, "nothing is missing"


def test_under_steady_writes_a_follower_counts_as_caught_up() -> None:
    state = followers()
    for second in range(1, 60):
        state.fetched(2, 10 * second, 10 * (second + 1), float(second))
        state.fetched(3, 5, 10 * (second + 1), float(second))
    assert wanted(state, high_watermark=5, log_end=600, now_s=60.0) == (1, 2)


def test_a_member_that_has_lost_what_was_acknowledged_leaves_at_once() -> None:
    state = followers()
    state.fetched(2, 50, 50, 0.0)
    state.fetched(3, 50, 50, 0.0)
    state.fetched(3, 20, 50, 1.0)
    assert wanted(state, high_watermark=50, log_end=50, now_s=1.0) == (1, 2)


def test_a_member_whose_storage_has_failed_leaves_until_its_next_process_fetches() -> None:
    state = followers(min_isr=2)
    state.fetched(2, 50, 50, 0.0)
    state.fetched(3, 50, 50, 0.0)
    state.storage_failed(3)
    assert wanted(state, high_watermark=50, log_end=50) == (1, 2)
    state.isr.requested((1, 2))
    assert state.isr.confirmed((1, 2), 8)
    state.isr.ended(refused=False)
    assert not state.may_join(3, 50)
    state.storage_failed(2)
    assert wanted(state, high_watermark=50, log_end=50) == (1,), "also when too few are left"
    state.fetched(3, 50, 50, 1.0)
    assert state.may_join(3, 50)


@pytest.mark.parametrize(
    ("server", "epoch", "code"),
    [
        (2, 4, ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION),
        (2, 6, ErrorCode.NOT_LEADER_OR_FOLLOWER),
        (4, 5, ErrorCode.NOT_LEADER_OR_FOLLOWER),
        (1, 5, ErrorCode.NOT_LEADER_OR_FOLLOWER),
    ],
)
def test_strangers_and_other_epochs_are_refused(server: int, epoch: int, code: ErrorCode) -> None:
    assert code_of(lambda: followers().check(server, epoch)) is code


def test_a_new_assignment_keeps_what_is_known() -> None:
    state = followers()
    state.fetched(2, 50, 50, 0.0)
    state.assign((1, 2, 4), 1.0)
    assert state.offset_of(2) == 50
    assert state.offset_of(3) == state.offset_of(4) == -1
    assert code_of(lambda: state.check(3, 5)) is ErrorCode.NOT_LEADER_OR_FOLLOWER


def test_a_member_that_lacks_nothing_may_be_silent() -> None:
    state = followers((1, 2))
    state.fetched(2, 50, 50, 0.0)

    def wanted_isr(log_end: int, max_silence_s: float) -> tuple[int, ...] | None:
        return state.wanted_isr(
            high_watermark=50,
            log_end=log_end,
            now_s=4.0,
            max_lag_s=10.0,
            live=EVERYBODY,
            max_silence_s=max_silence_s,
        )

    assert wanted_isr(50, 3.0) is None
    assert wanted_isr(60, 3.0) == (1,)
    assert wanted_isr(60, 5.0) is None


def test_whose_fetch_waits_for_long_is_not_silent_while_its_server_is_heard() -> None:
    state = followers((1, 2))
    state.fetched(2, 50, 50, 0.0, waits_s=10.0)

    def stays(now_s: float, heard_s: float) -> bool:
        wanted = state.wanted_isr(
            high_watermark=50,
            log_end=60,
            now_s=now_s,
            max_lag_s=100.0,
            live=EVERYBODY,
            max_silence_s=3.0,
            heard_s={2: heard_s},
        )
        return wanted is None

    assert stays(8.0, 7.0)
    assert not stays(8.0, 4.0), "its server is silent, too"
    assert not stays(14.0, 13.5), "the time of the fetch is over"
    state.responded(2, 7.0)
    assert stays(9.0, 9.0)
    assert not stays(10.5, 10.5), "it had to fetch again"
    state.responded(3, 7.0)  # it has no replica any more
    state.fetched(2, 50, 60, 11.0)
    assert stays(13.0, 13.0)
    assert not stays(14.5, 14.5), "a fetch that does not wait for long"


def full(state: Followers, server: int, disk_full: bool | None = True, offset: int = 5) -> None:
    state.fetched(server, offset, 5, 0.0, None, disk_full)


def test_a_member_with_a_full_disk_leaves_while_there_are_enough_others() -> None:
    state = followers(min_isr=2)
    full(state, 2, None)
    full(state, 3)
    assert wanted(state, high_watermark=5, log_end=5) == (1, 2)
    full(state, 2)
    assert wanted(state, high_watermark=5, log_end=5) == (1, 3), "one of them has to stay"
    assert wanted(followers((1, 3), min_isr=2)) is None
    alone = followers(min_isr=0)
    full(alone, 2)
    full(alone, 3)
    assert wanted(alone, high_watermark=5, log_end=5) == (1,)


def test_a_replica_with_a_full_disk_does_not_join() -> None:
    state = followers((1, 2))
    full(state, 2, None)
    full(state, 3)
    assert not state.may_join(3, 5)
    assert wanted(state, high_watermark=5, log_end=5) is None
    full(state, 3, None)
    assert wanted(state, high_watermark=5, log_end=5) == (1, 2, 3)


def test_who_has_space_is_in_the_isr_and_has_said_so() -> None:
    state = followers(min_isr=2)
    assert not state.with_space
    full(state, 2, None)
    full(state, 3, False)
    assert state.with_space == (3,)
    state.min_isr = 3
    assert not state.with_space, "without the leader there would be too few"
    outside = followers((1, 2))
    full(outside, 3, False)
    assert not outside.with_space
