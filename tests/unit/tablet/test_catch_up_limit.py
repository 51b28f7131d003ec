"""Replicas that are not in sync wait when they have got more than their share."""

from __future__ import annotations

import pytest

from fluss_server.tablet.catch_up_limit import CatchUpLimit


def test_bytes_are_paid_with_time() -> None:
    now = 100.0
    limit = CatchUpLimit(1_000, lambda: now)
    assert limit.pause_s(500) == 0.0, "half a second may come at once"
    assert limit.pause_s(1_000) == pytest.approx(1.0)
    assert limit.pause_s(1_000) == pytest.approx(2.0), "one limit for all"
    now = 110.0
    assert limit.pause_s(400) == 0.0, "what was not used is not saved up"
    assert limit.pause_s(1_100) == pytest.approx(1.0)


def test_without_a_limit_nobody_waits() -> None:
    limit = CatchUpLimit(0, lambda: 0.0)
    assert limit.pause_s(1 << 40) == 0.0
