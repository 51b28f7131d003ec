"""A follower cuts what its leader does not have, appends what it gets, and says only what is durable. Real files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from error_support import refused
from fluss_server.errors import ErrorCode
from fluss_server.log.log_tablet import LogTablet
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableDescriptor, TableInfo
from fluss_server.replica.follower_replica import FollowerReplica, LeaderLog
from fluss_server.runtime import InlineWorkers, ManualClock
from fluss_server.runtime.system_disk import SystemFile
from log_support import NOW_MS, make_batch, open_log, read_all, segment_files

SCHEMA = Schema.from_json({"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]})
TABLE = TableInfo(TablePath("d", "t"), 1, 1, TableDescriptor(SCHEMA, bucket_count=1), 0, 0)


def follower_of(log: LogTablet, *, high_watermark: int = 0, flush: bool = True) -> FollowerReplica:
    workers = InlineWorkers()
    return FollowerReplica(
        TableBucket(1, None, 0),
        TABLE,
        log,
        leader=2,
        leader_epoch=7,
        high_watermark=high_watermark,
        flush_before_fetch=flush,
        flush_pool=workers.pool("io", 1),
        read_pool=workers.pool("io", 1),
    )


def what_it_says(log: LogTablet) -> LeaderLog:
    return LeaderLog(log.epochs, log.start_offset, log.end_offset)


async def copy(leader: LogTablet, follower: FollowerReplica, high_watermark: int = 0) -> None:
    """Fetch everything that is missing."""
    while follower.fetch_offset < leader.end_offset:
        piece = leader.read(follower.fetch_offset, 200, leader.end_offset, at_least_one=True)
        assert piece is not None
        await follower.append(piece.region.read(), high_watermark=high_watermark, leader_start=leader.start_offset)


Scenario = Callable[[LogTablet, LogTablet], Awaitable[None]]


def with_logs(directory: Path, scenario: Scenario) -> None:
    """The log of a leader in epoch 7 and one of a follower, both with the same five batches of epoch 3."""

    async def run() -> None:
        leader, own = open_log(directory / "leader"), open_log(directory / "own")
        leader.begin_epoch(3)
        for _ in range(5):
            leader.append(make_batch(2))
        follower = follower_of(own)
        await follower.align(what_it_says(leader))
        await copy(leader, follower)
        assert read_all(own) == read_all(leader)
        await scenario(leader, own)
        leader.close()
        own.close()

    asyncio.run(run())


def test_a_follower_goes_on_where_it_was(tmp_path: Path) -> None:
    async def scenario(leader: LogTablet, own: LogTablet) -> None:
        leader.begin_epoch(7)
        leader.append(make_batch(3))
        follower = follower_of(own)
        assert not follower.is_aligned
        await follower.align(what_it_says(leader))
        assert follower.is_aligned
        assert follower.fetch_offset == 10
        await copy(leader, follower, high_watermark=11)
        assert follower.high_watermark.value == 11
        assert own.flushed_offset == own.end_offset == 13
        assert own.epochs == leader.epochs

    with_logs(tmp_path, scenario)


def test_what_only_the_follower_has_is_cut(tmp_path: Path) -> None:
    async def scenario(leader: LogTablet, own: LogTablet) -> None:
        own.begin_epoch(5)
        for _ in range(3):
            own.append(make_batch(1, fill=b"o"))
        leader.begin_epoch(7)
        for _ in range(3):
            leader.append(make_batch(1, fill=b"l"))
        assert own.end_offset == leader.end_offset, "the length tells nothing"
        follower = follower_of(own, high_watermark=10)
        await follower.align(what_it_says(leader))
        assert follower.fetch_offset == own.flushed_offset == 10
        await copy(leader, follower)
        assert read_all(own) == read_all(leader)
        assert own.epochs == leader.epochs

    with_logs(tmp_path, scenario)


def test_a_follower_begins_again_where_the_leaders_log_begins(tmp_path: Path) -> None:
    async def scenario(leader: LogTablet, own: LogTablet) -> None:
        leader.begin_epoch(7)
        leader.restart_at(50)
        follower = follower_of(own)
        await follower.align(what_it_says(leader))
        assert (own.start_offset, own.end_offset) == (50, 50)

    with_logs(tmp_path, scenario)


def test_an_empty_follower_begins_where_the_leaders_log_begins(tmp_path: Path) -> None:
    async def scenario(leader: LogTablet, own: LogTablet) -> None:
        fresh = open_log(tmp_path / "fresh")
        follower = follower_of(fresh)
        await follower.align(what_it_says(leader))
        assert fresh.start_offset == 0
        await copy(leader, follower)
        assert read_all(fresh) == read_all(leader)
        fresh.close()

    with_logs(tmp_path, scenario)


def test_a_gap_makes_it_compare_again(tmp_path: Path) -> None:
    async def scenario(leader: LogTablet, own: LogTablet) -> None:
        follower = follower_of(own)
        await follower.align(what_it_says(leader))
        leader.append(make_batch(2))
        late = leader.append(make_batch(2)).base_offset
        piece = leader.read(late, 1000, leader.end_offset, at_least_one=True)
        assert piece is not None
        append = follower.append(piece.region.read(), high_watermark=0, leader_start=0)
        assert await refused(append) is ErrorCode.CORRUPT_RECORD_EXCEPTION
        assert not follower.is_aligned
        assert follower.is_online
        assert own.end_offset == 10

    with_logs(tmp_path, scenario)


def test_the_high_watermark_is_never_above_what_is_here(tmp_path: Path) -> None:
    async def scenario(leader: LogTablet, own: LogTablet) -> None:
        follower = follower_of(own, high_watermark=99)
        assert follower.high_watermark.value == 10
        await follower.align(what_it_says(leader))
        await follower.append(b"", high_watermark=99, leader_start=0)
        assert follower.high_watermark.value == 10

    with_logs(tmp_path, scenario)


def test_a_failed_disk_takes_it_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(leader: LogTablet, own: LogTablet) -> None:
        follower = follower_of(own)
        await follower.align(what_it_says(leader))
        leader.append(make_batch(2))

        def fail(_: SystemFile) -> None:
            raise OSError(5, "no")

        with monkeypatch.context() as broken:
            broken.setattr(SystemFile, "sync", fail)
            assert await refused(copy(leader, follower)) is ErrorCode.STORAGE_EXCEPTION
        assert not follower.is_online
        assert follower.problem is not None
        assert follower.problem.code is ErrorCode.STORAGE_EXCEPTION

    with_logs(tmp_path, scenario)


def test_without_the_flush_it_reports_what_is_in_memory(tmp_path: Path) -> None:
    async def scenario(leader: LogTablet, own: LogTablet) -> None:
        follower = follower_of(own, flush=False)
        await follower.align(what_it_says(leader))
        leader.append(make_batch(2))
        await copy(leader, follower)
        assert (follower.fetch_offset, own.flushed_offset) == (12, 10)
        await follower.flush()
        assert own.flushed_offset == 12

    with_logs(tmp_path, scenario)


def test_after_its_end_it_changes_nothing(tmp_path: Path) -> None:
    async def scenario(leader: LogTablet, own: LogTablet) -> None:
        follower = follower_of(own)
        await follower.align(what_it_says(leader))
        await follower.stop()
        assert follower.is_closed
        leader.append(make_batch(2))
        piece = leader.read(10, 1000, leader.end_offset, at_least_one=True)
        assert piece is not None
        await follower.append(piece.region.read(), high_watermark=12, leader_start=0)
        assert (own.end_offset, follower.high_watermark.value) == (10, 0)

    with_logs(tmp_path, scenario)


def test_segments_go_when_the_leader_has_deleted_them(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock(NOW_MS)
        leader = open_log(tmp_path / "leader", clock, segment_bytes=1000)
        own = open_log(tmp_path / "own", clock, segment_bytes=1000)
        leader.begin_epoch(3)
        for _ in range(50):
            leader.append(make_batch(1))
        follower = follower_of(own)
        await follower.align(what_it_says(leader))
        await copy(leader, follower, high_watermark=50)
        directories = tmp_path / "own", tmp_path / "leader"
        names, expected = ([path.name for path in segment_files(directory)] for directory in directories)
        assert names == expected, "segments are rolled at the same offsets"
        clock.advance(8 * 86_400_000)
        await follower.delete_expired(roll_active=False)
        assert own.start_offset == 0, "the leader has everything"
        assert leader.delete_expired(7 * 86_400_000, int(names[2].removesuffix(".log")), roll_active=False) == 2
        await follower.append(b"", high_watermark=50, leader_start=leader.start_offset)
        await follower.delete_expired(roll_active=False)
        assert own.start_offset == leader.start_offset > 0
        leader.close()
        own.close()

    asyncio.run(run())
