"""What a server says of its disk."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from fluss_server.cluster.messages import DiskSpace
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.disk import DiskUsage
from fluss_server.tablet.disk_space import REPORT_INTERVAL_S, DiskSpaceReports
from fluss_server.tablet.disk_write_lock import DiskMonitor
from rpc_support import async_test, eventually


class Bucket:
    """A replica with files of some size."""

    def __init__(self, log_bytes: int, kv_bytes: int | FlussError) -> None:
        self.log = SimpleNamespace(size_bytes=log_bytes)
        self.kv_bytes = kv_bytes

    @property
    def kv_file_bytes(self) -> int:
        if isinstance(self.kv_bytes, FlussError):
            raise self.kv_bytes
        return self.kv_bytes


def reports(buckets: list[Bucket], usage: DiskUsage | None, clock: ManualClock) -> DiskSpaceReports:
    return DiskSpaceReports(lambda: cast(Any, buckets), cast(DiskMonitor, SimpleNamespace(usage=usage)), clock)


@async_test
async def test_logs_and_rocksdb_files_of_all_buckets_count() -> None:
    buckets = [Bucket(100, 20), Bucket(3, 0)]
    assert await reports(buckets, DiskUsage(1000, 600), ManualClock()).now() == DiskSpace(1000, 600, 123)
    assert await reports(buckets, None, ManualClock()).now() is None, "the disk could not be asked"


@async_test
async def test_heartbeats_repeat_a_report_for_some_seconds() -> None:
    clock = ManualClock()
    buckets = [Bucket(1, 0)]
    space = reports(buckets, DiskUsage(1000, 600), clock)
    assert space.latest is None, "adding up has begun"
    await eventually(lambda: space.latest == DiskSpace(1000, 600, 1))
    buckets.append(Bucket(1, 0))
    clock.advance(round(REPORT_INTERVAL_S * 500))
    assert space.latest == DiskSpace(1000, 600, 1)
    await asyncio.sleep(0)
    assert space.latest == DiskSpace(1000, 600, 1)
    clock.advance(round(REPORT_INTERVAL_S * 500))
    await eventually(lambda: space.latest == DiskSpace(1000, 600, 2))
    await space.close()


@async_test
async def test_a_report_stays_when_rocksdb_does_not_respond() -> None:
    bucket = Bucket(1, 2)
    space = reports([bucket], DiskUsage(1000, 600), ManualClock())
    assert await space.now() == DiskSpace(1000, 600, 3)
    bucket.kv_bytes = FlussError(ErrorCode.KV_STORAGE_EXCEPTION, "broken")
    assert await space.now() == DiskSpace(1000, 600, 3)
