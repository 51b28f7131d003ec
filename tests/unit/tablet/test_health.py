"""What probes are told about buckets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fluss_server.replica.replica import Replica
from fluss_server.runtime.system_disk import SystemFile
from fluss_server.tablet import health
from fluss_server.tablet.health import bucket_health
from fluss_server.tablet.read_service import ReadService
from unit.replica.test_commit import TWO_ROWS, HeldPool, iterations
from unit.tablet.test_read_service import with_service


def test_an_offline_bucket_is_described_with_reason_and_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: SystemFile) -> None:
        raise OSError(5, "Input/output error")

    async def scenario(service: ReadService, replica: Replica, flushes: HeldPool, checks: HeldPool) -> None:
        assert bucket_health([replica]) == {"offline_buckets": 0, "damaged_buckets": 0, "problems": []}
        written = replica.acknowledged(replica.append(TWO_ROWS))
        await iterations()
        with monkeypatch.context() as broken:
            broken.setattr(SystemFile, "sync", fail)
            flushes.run_one()
        await asyncio.wait([written])
        assert written.exception() is not None
        found: dict[str, Any] = bucket_health([replica])
        assert (found["offline_buckets"], found["damaged_buckets"]) == (1, 0)
        (problem,) = found["problems"]
        assert (problem["table"], problem["bucket"], problem["state"]) == ("d.t", str(replica.bucket), "offline")
        assert "Input/output error" in problem["reason"]
        assert "restart the server" in problem["remedy"]
        monkeypatch.setattr(health, "MAX_PROBLEMS", 2)
        many: dict[str, Any] = bucket_health([replica] * 5)
        assert (many["offline_buckets"], len(many["problems"])) == (5, 2)

    with_service(tmp_path, scenario)
