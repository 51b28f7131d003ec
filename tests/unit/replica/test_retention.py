"""What a replica lets its log delete."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv.disk_full import disk_full
from fluss_server.kv.kv_tablet import KvTablet
from fluss_server.log.log_config import LogConfig
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.table import TableInfo
from fluss_server.replica.replica import Replica
from fluss_server.runtime import InlineWorkers, ManualClock
from kv_support import SCHEMA, Bucket, make_table, open_bucket
from log_support import NOW_MS

TTL_MS = 60_000


def with_ttl(table: TableInfo, ttl: str) -> TableInfo:
    properties = {**table.descriptor.properties, "table.log.ttl": ttl}
    return replace(table, descriptor=table.descriptor.with_properties(properties))


def with_replica(directory: Path, scenario: Callable[[Replica, Bucket, ManualClock], Awaitable[None]]) -> None:
    """A bucket of a primary-key table with a TTL of a minute and segments of 1000 bytes."""

    async def run() -> None:
        clock = ManualClock(NOW_MS)
        table = with_ttl(make_table(), "1 min")
        bucket = open_bucket(directory, table, log_config=LogConfig(segment_bytes=1000), clock=clock)
        workers = InlineWorkers()
        replica = Replica(
            TableBucket(7, None, 0),
            table,
            bucket.log,
            bucket.kv,
            schemas={1: SCHEMA}.__getitem__,
            clock=clock,
            flush_pool=workers.pool("io", 1),
            read_pool=workers.pool("io", 1),
            kv_worker=workers.pool("kv", 1),
        )
        await scenario(replica, bucket, clock)
        await replica.close()

    asyncio.run(run())


async def fill(replica: Replica, bucket: Bucket, count: int = 20) -> None:
    for number in range(count):
        result = await replica.put(memoryview(bucket.batch([(number % 5, f"{number}" * 20, None)])), [])
        await replica.acknowledged(result)


def test_a_changelog_that_is_too_old_goes_once_rocksdb_has_it(tmp_path: Path) -> None:
    async def scenario(replica: Replica, bucket: Bucket, clock: ManualClock) -> None:
        await fill(replica, bucket)
        clock.advance(TTL_MS)
        await replica.delete_expired(roll_active=False)
        assert replica.log.start_offset == 0
        assert bucket.kv.retention_floor == 0  # and nothing was persisted for no reason
        clock.advance(1)
        await replica.delete_expired(roll_active=False)
        assert 0 < replica.log.start_offset < replica.log.end_offset
        assert bucket.kv.retention_floor == replica.log.end_offset
        await replica.delete_expired(roll_active=True)
        assert replica.log.start_offset == replica.log.end_offset
        assert replica.row_count == 5
        assert bucket.get(4) == (4, "19" * 20, None)

    with_replica(tmp_path, scenario)


def test_a_store_that_cannot_be_persisted_keeps_the_changelog(tmp_path: Path) -> None:
    async def scenario(replica: Replica, bucket: Bucket, clock: ManualClock) -> None:
        await fill(replica, bucket)
        clock.advance(2 * TTL_MS)
        bucket.kv._readable_rows()._set_damaged()
        await replica.delete_expired(roll_active=True)
        assert replica.log.start_offset == 0

    with_replica(tmp_path, scenario)


def test_a_store_that_may_know_more_than_the_log_keeps_the_changelog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a loss of power it may have to be built again from the whole changelog."""

    async def scenario(replica: Replica, bucket: Bucket, clock: ManualClock) -> None:
        await fill(replica, bucket)
        bucket.kv.persist()
        assert bucket.kv.retention_floor == replica.log.end_offset
        bucket.kv._readable_rows()._announce_exceeding(
            FlussError(ErrorCode.STORAGE_EXCEPTION, "its log cannot be synced")
        )
        assert bucket.kv.retention_floor == 0
        clock.advance(2 * TTL_MS)
        with monkeypatch.context() as broken:
            broken.setattr(KvTablet, "persist", lambda kv: 0)
            await replica.delete_expired(roll_active=True)
        assert replica.log.start_offset == 0

    with_replica(tmp_path, scenario)


def test_rows_that_are_not_acknowledged_stay(tmp_path: Path) -> None:
    async def scenario(replica: Replica, bucket: Bucket, clock: ManualClock) -> None:
        await fill(replica, bucket, 2)
        acknowledged = replica.high_watermark.value
        for number in range(20):  # in the log, and nobody commits them
            bucket.kv.put(bucket.batch([(number, "x" * 40, None)]))
        clock.advance(2 * TTL_MS)
        await replica.delete_expired(roll_active=True)
        assert replica.high_watermark.value == acknowledged
        assert replica.log.start_offset <= acknowledged < replica.log.end_offset

    with_replica(tmp_path, scenario)


def test_an_altered_time_to_live_counts_at_once(tmp_path: Path) -> None:
    async def scenario(replica: Replica, bucket: Bucket, clock: ManualClock) -> None:
        await fill(replica, bucket)
        clock.advance(2 * TTL_MS)
        table = replica.table
        for ttl in ("0 ms", "1 h"):
            await replica.update_table(with_ttl(table, ttl))
            await replica.delete_expired(roll_active=True)
            assert replica.log.start_offset == 0
        await replica.update_table(with_ttl(table, "30 s"))
        await replica.delete_expired(roll_active=True)
        assert replica.log.start_offset == replica.log.end_offset

    with_replica(tmp_path, scenario)


def test_a_bucket_that_waits_for_space_says_so(tmp_path: Path) -> None:
    async def scenario(replica: Replica, bucket: Bucket, clock: ManualClock) -> None:
        assert replica.problem is None
        full = disk_full("the store found no space")
        bucket.kv._suspend(full)
        assert not replica.is_online
        assert replica.problem is full

    with_replica(tmp_path, scenario)
