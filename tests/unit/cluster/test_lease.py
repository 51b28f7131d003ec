from __future__ import annotations

import pytest

from fluss_server.cluster.lease import LEASE_DURATION, SERVER_TIMEOUT, Lease, LeaseTimes, lease_times
from fluss_server.config import SERVER_OPTIONS, Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.runtime.clock import ManualClock


def test_a_lease_runs_out_so_long_after_the_heartbeat_was_sent() -> None:
    clock = ManualClock()
    lease = Lease(clock.monotonic)
    assert not lease.held, "before the first response"
    sent_at = clock.monotonic()
    clock.advance(500)  # until the response came
    lease.grant(sent_at, 2_000)
    clock.advance(1_499)
    assert lease.held
    clock.advance(1)
    assert not lease.held


def test_a_late_response_does_not_shorten_it() -> None:
    clock = ManualClock()
    lease = Lease(clock.monotonic)
    lease.grant(1.0, 2_000)
    lease.grant(0.5, 2_000)
    clock.advance(2_999)
    assert lease.held


def test_within_one_process_it_lasts_for_ever() -> None:
    clock = ManualClock()
    lease = Lease(clock.monotonic)
    lease.grant(0.0, 0)
    clock.advance(10**12)
    assert lease.held


def test_it_must_end_before_others_may_lead() -> None:
    def times(lease: str, timeout: str) -> LeaseTimes:
        return lease_times(Configuration(SERVER_OPTIONS, {LEASE_DURATION: lease, SERVER_TIMEOUT: timeout}))

    assert times("2 s", "3 s") == LeaseTimes(2.0, 3.0)
    assert times("800 ms", "1 s") == LeaseTimes(0.8, 1.0)
    with pytest.raises(FlussError, match="two servers never lead") as raised:
        times("801 ms", "1 s")
    assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
