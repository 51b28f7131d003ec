"""Closing a KvTablet that cannot be persisted. Real logs and stores."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePath
from typing import Any, cast

from error_support import refused
from fluss_server.errors import ErrorCode
from fluss_server.kv.kv_tablet import KvTablet
from fluss_server.kv.resources import KvResources
from fluss_server.log.log_config import LogConfig
from fluss_server.runtime import InlineWorkers, system_runtime
from fluss_server.runtime.disk import DiskUsage
from fluss_server.runtime.system_disk import SystemDisk
from fluss_server.tablet.tablet_opener import TabletOpener
from kv_support import Bucket, open_bucket


class NearlyFullDisk(SystemDisk):
    """Has less space than a flush of RocksDB may need, while it is told so."""

    is_nearly_full = False

    def usage(self, path: PurePath) -> DiskUsage:
        found = super().usage(path)
        return DiskUsage(found.total_bytes, 4096) if self.is_nearly_full else found


def test_a_kv_tablet_that_cannot_be_persisted_lets_its_files_go(tmp_path: Path) -> None:
    async def run() -> None:
        bucket, disk = open_bucket(tmp_path), NearlyFullDisk()
        table, log, schemas = bucket.table, bucket.log, {1: bucket.table.schema}.__getitem__
        resources = KvResources(system_runtime(disk=disk))
        kv = KvTablet.open(tmp_path / "other", table, schemas, log, resources)
        own = Bucket(tmp_path, table, log, kv)
        result = kv.put(own.batch([(1, "one", None)]))
        kv.commit(result.last_offset + 1)
        assert log.flushed_offset == 0, "acknowledgements do not wait for the disk"
        disk.is_nearly_full = True
        pool, unused = InlineWorkers().pool("io and kv", 1), cast(Any, None)
        opener = TabletOpener(unused, LogConfig(), 0, 0, resources.runtime, unused, pool, pool)
        assert await refused(opener.close_kv(kv)) is ErrorCode.DISK_WRITE_LOCKED
        assert list((tmp_path / "other" / "db").glob("*.sst")), "RocksDB writes on closing what it has in memory"
        assert log.flushed_offset == log.end_offset, "a loss of power must not leave rows without their changelog"
        disk.is_nearly_full = False
        again = KvTablet.open(tmp_path / "other", table, schemas, log, resources)
        assert Bucket(tmp_path, table, log, again).rows() == {(1,): (1, "one", None)}
        again.close()
        bucket.close()

    asyncio.run(run())
