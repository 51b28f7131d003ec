"""The fail-over benchmark: what it takes from the metrics of a server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))

from failover import standby_lags
from fluss_server.metrics.exposition import render
from fluss_server.metrics.samples import Sample


@pytest.mark.parametrize(("standbys", "lag", "expected"), [(1, 1_234_567, [1_234_567.0]), (2, 0, [0.0]), (0, 0, [])])
def test_how_far_a_standby_replica_is(standbys: int, lag: int, expected: list[float]) -> None:
    samples = [Sample("server_standbyReplicaCount", standbys), Sample("server_standbyMaxLag", lag)]
    assert standby_lags(render(samples, {}, {"host": "h", "server_id": "1"}).decode()) == expected


def test_a_server_that_does_not_report_has_no_standby_replica() -> None:
    assert standby_lags("") == []
