"""What a standby replica applies, and what happens to its rows when the log changes. Real logs and stores."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from error_support import refused
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv import committed_rows
from fluss_server.kv.checkpoint import read_checkpoint
from fluss_server.kv.disk_full import disk_full
from fluss_server.kv.kv_tablet import KvTablet
from fluss_server.kv.resources import KvResources
from fluss_server.kv.rocks import RocksStore
from fluss_server.log.log_config import LogConfig
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo
from fluss_server.replica import follower_rows
from fluss_server.replica.follower_replica import FollowerReplica, LeaderLog
from fluss_server.replica.follower_rows import FollowerRows, RowsAccess
from fluss_server.replica.replay_queue import ReplayQueue
from fluss_server.runtime import InlineWorkers, ManualClock
from fluss_server.runtime.runtime import system_runtime
from fluss_server.runtime.workers import ThreadWorkers, Workers
from fluss_server.tablet.maintenance import Maintenance, MaintenanceConfig
from kv_support import Bucket, make_table, open_bucket
from log_support import NOW_MS

BUCKET = TableBucket(7, None, 0)
TTL_MS = 60_000


def with_ttl(table: TableInfo, ttl: str) -> TableInfo:
    properties = {**table.descriptor.properties, "table.log.ttl": ttl}
    return replace(table, descriptor=table.descriptor.with_properties(properties))


class Standby:
    """Rows of a follower over the log of a bucket, which stands for the follower's copy of it.

    Attributes:
        opened: how often the KvTablet was opened.
        removed_beyond: where the log was going to be cut while it was closed.
        may_remove: files are removed while it is set.
    """

    def __init__(self, bucket: Bucket, workers: Workers | None = None, *, uncertain: bool = False) -> None:
        self.bucket = bucket
        self.directory = bucket.directory / "standby"
        self.opened = 0
        self.removed_beyond: list[int] = []
        self.may_remove = asyncio.Event()
        self.may_remove.set()
        self.schemas: Callable[[int], Schema] = {1: bucket.table.schema}.__getitem__
        self.worker = (workers or InlineWorkers()).pool("kv", 1)
        self.queue = ReplayQueue(self.worker)
        self.resources = KvResources(system_runtime())
        self.access = RowsAccess(self._open, self._close, self._remove_beyond, uncertain=uncertain)
        self.rows = FollowerRows(BUCKET, bucket.table, self.access, self.worker, self.queue)

    async def _open(self, table: TableInfo) -> KvTablet:
        self.opened += 1
        return KvTablet.open_standby(self.directory, table, self._schema, self.bucket.log, self.resources)

    def _schema(self, schema_id: int) -> Schema:
        return self.schemas(schema_id)

    async def _close(self, kv: KvTablet) -> None:
        kv.close()

    async def _remove_beyond(self, end: int) -> None:
        self.removed_beyond.append(end)
        await self.may_remove.wait()
        if self.durable_offset() > end:
            shutil.rmtree(self.directory)

    def follower(self) -> FollowerReplica:
        """A replica with these rows and the log."""
        pool = InlineWorkers().pool("io", 1)
        return FollowerReplica(
            BUCKET,
            self.bucket.table,
            self.bucket.log,
            leader=2,
            leader_epoch=1,
            high_watermark=0,
            flush_before_fetch=True,
            flush_pool=pool,
            read_pool=pool,
            rows=self.rows,
        )

    @property
    def tablet(self) -> KvTablet:
        assert self.rows.kv is not None
        return self.rows.kv

    def content(self) -> dict[Any, Any]:
        """The rows by key."""
        return Bucket(self.directory, self.bucket.table, self.bucket.log, self.tablet).rows()

    async def goes_on_after_a_cut(self, end: int) -> None:
        """Cut the log there, too; the rows are then those of what is left of it."""
        self.bucket.log.truncate(end)
        self.rows.resume()
        self.rows.committed(end)
        await until(lambda: self.rows.lag == 0)
        assert self.content() == self.bucket.replayed()

    def durable_offset(self) -> int:
        checkpoint = read_checkpoint(self.directory, system_runtime().disk)
        return 0 if checkpoint is None else checkpoint.offset


async def until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 - plain state of the object under test
            await asyncio.sleep(0.002)

    await asyncio.wait_for(wait(), 20.0)


def with_standby(
    directory: Path, scenario: Callable[[Standby], Awaitable[None]], workers: Workers | None = None
) -> None:
    """A bucket with 60 changes of 10 rows, 6 at a time, and rows of a follower that have none of them."""

    async def run() -> None:
        bucket = open_bucket(directory)
        for number in range(10):
            bucket.write([(key, f"{number}", None) for key in range(number % 5, number % 5 + 6)])
        standby = Standby(bucket, workers)
        try:
            await scenario(standby)
        finally:
            standby.may_remove.set()
            await standby.rows.close()
            standby.worker.close()
            bucket.close()

    asyncio.run(run())


def test_only_what_is_acknowledged_is_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluss_server.kv.recovery.SLICE_ROWS", 5)

    async def scenario(standby: Standby) -> None:
        rows, log = standby.rows, standby.bucket.log
        ends = [header.next_offset for header, _ in log.batches(0, log.end_offset)]
        rows.committed(ends[4])
        await asyncio.sleep(2 * follower_rows.GATHER_S)
        assert (rows.kv, standby.opened, rows.lag) == (None, 0, 0), "it is no standby replica"
        rows.set_standby(True)
        assert rows.lag == ends[4]
        await until(lambda: rows.applied_offset == ends[4])
        rows.committed(ends[6] - 1)
        await asyncio.sleep(2 * follower_rows.GATHER_S)
        assert rows.applied_offset == ends[5], "the last batch is not acknowledged as a whole"
        rows.committed(log.end_offset)
        await until(lambda: rows.lag == 0)
        assert standby.content() == standby.bucket.rows()
        assert standby.opened == 1
        rows.set_standby(False)
        await until(lambda: rows.kv is None)
        assert standby.durable_offset() == log.end_offset, "it was persisted when it was closed"

    with_standby(tmp_path, scenario)


def test_a_leader_goes_on_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluss_server.kv.recovery.SLICE_ROWS", 5)

    async def scenario(standby: Standby) -> None:
        rows, log = standby.rows, standby.bucket.log
        rows.set_standby(True)
        rows.committed(20)
        await until(lambda: rows.applied_offset > 0)
        await rows.pause()
        before = rows.applied_offset
        rows.committed(log.end_offset)
        await asyncio.sleep(2 * follower_rows.GATHER_S)
        assert rows.applied_offset == before, "nothing changes while it is paused"
        kv = rows.hand_over()
        assert kv is not None
        assert rows.kv is None
        kv.lead()
        assert kv.applied_offset == log.end_offset
        await rows.close()
        promoted = Bucket(standby.directory, standby.bucket.table, log, kv)
        assert promoted.rows() == standby.bucket.rows()
        assert kv.row_count == 10
        promoted.write([(99, "new", None)])
        assert promoted.get(99) == (99, "new", None)
        kv.close()

    with_standby(tmp_path, scenario)


def test_rows_that_a_cut_of_the_log_removes_are_built_again(tmp_path: Path) -> None:
    async def scenario(standby: Standby) -> None:
        rows, log = standby.rows, standby.bucket.log
        ends = [header.next_offset for header, _ in log.batches(0, log.end_offset)]
        rows.set_standby(True)
        rows.committed(ends[6])
        await until(lambda: rows.lag == 0)
        await rows.cut(ends[6])
        assert rows.applied_offset == ends[6], "the rows are of what stays"
        standby.tablet.persist()
        await rows.cut(ends[2])
        assert (rows.kv, standby.durable_offset()) == (None, 0), "durable before the log is cut"
        expected = {values[0] for kind, values in standby.bucket.changes() if kind == "+I"}
        log.truncate(ends[2])
        rows.committed(ends[2])
        await until(lambda: rows.applied_offset == ends[2])
        assert standby.content() == standby.bucket.replayed()
        assert len(standby.content()) < len(expected)
        rows.set_standby(False)
        await until(lambda: rows.kv is None)
        assert standby.removed_beyond == []
        await rows.cut(ends[0])
        assert standby.removed_beyond == [ends[0]]

    with_standby(tmp_path, scenario)


@pytest.mark.parametrize("uncertain", [True, False])
def test_rows_that_a_process_wrote_before_it_crashed_do_not_survive_a_cut_of_the_log(
    tmp_path: Path, uncertain: bool
) -> None:
    """RocksDB has more than is recorded, and the rows are open again, from what is recorded on."""

    async def scenario(crashed: Standby) -> None:
        log = crashed.bucket.log
        ends = [header.next_offset for header, _ in log.batches(0, log.end_offset)]
        crashed.rows.set_standby(True)
        crashed.rows.committed(ends[1])
        await until(lambda: crashed.rows.lag == 0)
        crashed.tablet.persist()
        crashed.rows.committed(ends[8])
        await until(lambda: crashed.rows.lag == 0)
        await crashed.rows.pause()
        kept = crashed.rows.hand_over()
        assert kept is not None
        assert kept._rows is not None
        kept._rows.abandon()  # RocksDB writes its memory to disk
        standby = Standby(crashed.bucket, uncertain=uncertain)
        rows = standby.rows
        rows.set_standby(True)
        rows.committed(ends[1])
        await until(lambda: rows.kv is not None)
        assert rows.applied_offset == ends[1]
        assert standby.tablet.content_end > ends[2]
        await rows.cut(ends[2])
        if uncertain:
            await standby.goes_on_after_a_cut(ends[2])
        else:
            assert rows.kv is not None, "what is cut was not acknowledged, so it was never among the rows"
        await rows.close()
        standby.worker.close()

    with_standby(tmp_path, scenario)


def test_rows_that_could_not_be_opened_on_a_full_disk_do_not_survive_a_cut_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(standby: Standby) -> None:
        rows, log = standby.rows, standby.bucket.log
        ends = [header.next_offset for header, _ in log.batches(0, log.end_offset)]
        rows.set_standby(True)
        rows.committed(log.end_offset)
        await until(lambda: rows.lag == 0)
        rows.set_standby(False)
        await until(lambda: rows.kv is None)
        with monkeypatch.context() as full:

            def no_space(*_: object) -> None:
                raise disk_full("no space for the options of RocksDB")

            full.setattr(committed_rows, "RocksStore", no_space)
            rows.set_standby(True)
            await until(lambda: rows.kv is not None)
            await rows.pause()
            assert (standby.tablet.suspended is not None, rows.applied_offset) == (True, 0)
            await rows.cut(ends[2])
            assert (rows.kv, standby.durable_offset()) == (None, 0), "its files hold rows that the log will not have"
        await standby.goes_on_after_a_cut(ends[2])

    with_standby(tmp_path, scenario)


def test_rows_beyond_a_cut_go_also_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(standby: Standby) -> None:
        rows, log = standby.rows, standby.bucket.log
        ends = [header.next_offset for header, _ in log.batches(0, log.end_offset)]
        rows.set_standby(True)
        rows.committed(ends[1])
        await until(lambda: rows.lag == 0)
        standby.tablet.persist()
        rows.committed(ends[4])
        await until(lambda: rows.lag == 0)
        with monkeypatch.context() as full:

            def no_space(store: RocksStore, *_: object) -> None:
                raise store._error("cannot write to RocksDB", Exception("IO error: No space left on device"))

            full.setattr(RocksStore, "write", no_space)
            rows.committed(ends[5])
            await until(lambda: standby.tablet.suspended is not None)
            await rows.pause()
            assert (rows.applied_offset, standby.durable_offset()) == (ends[4], ends[1])
            await rows.cut(ends[2])
        assert rows.kv is None
        await standby.goes_on_after_a_cut(ends[2])

    with_standby(tmp_path, scenario)


def test_the_end_of_a_role_waits_until_rows_are_removed(tmp_path: Path) -> None:
    async def scenario(standby: Standby) -> None:
        follower = standby.follower()
        standby.may_remove.clear()
        fetching = asyncio.ensure_future(follower.align(LeaderLog((), 0, 0)))
        await until(lambda: standby.removed_beyond == [0])
        fetching.cancel()
        await asyncio.wait([fetching])
        stopping = asyncio.ensure_future(follower.stop())
        pausing = asyncio.ensure_future(standby.rows.pause())
        done, _ = await asyncio.wait([stopping, pausing], timeout=0.05)
        assert not done, "the next role would open files that are being removed"
        standby.may_remove.set()
        await asyncio.wait_for(asyncio.gather(stopping, pausing), 20.0)
        assert standby.bucket.log.end_offset > 0, "nothing begins after the end"

    with_standby(tmp_path, scenario)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (FlussError(ErrorCode.STORAGE_EXCEPTION, "cannot remove it"), ErrorCode.STORAGE_EXCEPTION),
        (RuntimeError("cannot remove it"), ErrorCode.UNKNOWN_SERVER_ERROR),
    ],
)
def test_rows_that_cannot_be_removed_keep_the_log_and_the_follower(
    tmp_path: Path, failure: Exception, code: ErrorCode
) -> None:
    async def scenario(standby: Standby) -> None:
        async def fail(end: int) -> None:
            raise failure

        remove, standby.access.remove_beyond = standby.access.remove_beyond, fail
        follower, log = standby.follower(), standby.bucket.log
        assert await refused(follower.align(LeaderLog((), 0, 0))) is code
        assert (log.end_offset > 0, follower.is_online, follower.is_aligned) == (True, True, False)
        standby.access.remove_beyond = remove
        await follower.align(LeaderLog((), 0, 0))
        assert (log.end_offset, follower.is_aligned) == (0, True)

    with_standby(tmp_path, scenario)


def test_a_schema_that_is_not_known_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_rows, "FIRST_RETRY_S", 0.01)

    async def scenario(standby: Standby) -> None:
        known, tried = standby.schemas, []

        def unknown(schema_id: int) -> Schema:
            tried.append(schema_id)
            raise FlussError(ErrorCode.SCHEMA_NOT_EXIST, "no such schema yet")

        standby.schemas = unknown
        standby.rows.set_standby(True)
        standby.rows.committed(standby.bucket.log.end_offset)
        await until(lambda: len(tried) > 1)
        standby.schemas = known
        await until(lambda: standby.rows.lag == 0)
        assert standby.opened == 1, "the KvTablet was open all the time"
        assert standby.content() == standby.bucket.rows()

    with_standby(tmp_path, scenario)


def test_a_store_that_cannot_be_used_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_rows, "FIRST_RETRY_S", 0.01)

    async def scenario(standby: Standby) -> None:
        apply = KvTablet.apply_changelog
        failed: list[int] = []

        def fail_once(self: KvTablet, end: int, *, admit: bool = True) -> bool:
            if not failed:
                failed.append(end)
                raise FlussError(ErrorCode.KV_STORAGE_EXCEPTION, "broken")
            return apply(self, end, admit=admit)

        monkeypatch.setattr(KvTablet, "apply_changelog", fail_once)
        standby.rows.set_standby(True)
        standby.rows.committed(standby.bucket.log.end_offset)
        await until(lambda: standby.rows.lag == 0)
        assert standby.opened == 2
        assert standby.content() == standby.bucket.rows()

    with_standby(tmp_path, scenario)


def test_a_store_that_cannot_be_closed_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follower_rows, "FIRST_RETRY_S", 0.01)

    async def scenario(standby: Standby) -> None:
        close, applied = standby.access.close, KvTablet.apply_changelog
        failures = [RuntimeError("this store cannot be closed")]

        def fail_once(kv: KvTablet, end: int, *, admit: bool = True) -> bool:
            if failures:
                raise FlussError(ErrorCode.KV_STORAGE_EXCEPTION, "broken")
            return applied(kv, end, admit=admit)

        async def close_and_fail(kv: KvTablet) -> None:
            await close(kv)
            if failures:
                raise failures.pop()

        standby.access.close = close_and_fail
        monkeypatch.setattr(KvTablet, "apply_changelog", fail_once)
        standby.rows.set_standby(True)
        standby.rows.committed(standby.bucket.log.end_offset)
        await until(lambda: standby.rows.lag == 0)
        assert standby.opened == 2
        assert "could not be closed" in caplog.text
        assert standby.content() == standby.bucket.rows()

    with_standby(tmp_path, scenario)


@pytest.mark.parametrize("is_standby", [True, False])
def test_retention_waits_for_durable_rows(tmp_path: Path, is_standby: bool) -> None:
    async def scenario(standby: Standby) -> None:
        rows, log = standby.rows, standby.bucket.log
        rows.set_standby(is_standby)
        rows.committed(30)
        assert await rows.secure(log.end_offset) >= rows.applied_offset > 0
        assert standby.durable_offset() == rows.applied_offset <= 30
        rows.committed(log.end_offset)
        assert await rows.secure(40) >= 40
        if not is_standby:
            await until(lambda: rows.kv is None)
            assert standby.durable_offset() == log.end_offset

    with_standby(tmp_path, scenario)


@pytest.mark.parametrize("is_standby", [True, False])
def test_retention_does_not_wait_for_what_is_written_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_standby: bool
) -> None:
    monkeypatch.setattr("fluss_server.kv.recovery.SLICE_ROWS", 5)
    apply, begun_at = KvTablet.apply_changelog, list[int]()

    async def scenario(standby: Standby) -> None:
        rows, bucket, loop = standby.rows, standby.bucket, asyncio.get_running_loop()
        ends = [header.next_offset for header, _ in bucket.log.batches(0, bucket.log.end_offset)]

        def apply_while_clients_write(kv: KvTablet, end: int, *, admit: bool = True) -> bool:
            begun_at.append(kv.applied_offset)
            more = apply(kv, end, admit=admit)
            bucket.write([(key, f"{end}", None) for key in range(6)])
            loop.call_soon_threadsafe(rows.committed, bucket.log.end_offset)
            return more

        monkeypatch.setattr(KvTablet, "apply_changelog", apply_while_clients_write)
        rows.set_standby(is_standby)
        rows.committed(ends[-1])
        assert await asyncio.wait_for(rows.secure(ends[3]), 5.0) >= ends[3]
        assert rows.applied_offset < bucket.log.end_offset
        if not is_standby:
            await until(lambda: rows.kv is None)
            assert max(begun_at) < ends[3], "no more than is needed"

    with_standby(tmp_path, scenario, ThreadWorkers())


def test_a_batch_after_a_cut_may_end_where_none_ended_before(tmp_path: Path) -> None:
    async def scenario(standby: Standby) -> None:
        rows, bucket, log = standby.rows, standby.bucket, standby.bucket.log
        ends = [header.next_offset for header, _ in log.batches(0, log.end_offset)]
        rows.set_standby(True)
        rows.committed(ends[2] + 1)
        await until(lambda: rows.applied_offset == ends[2])
        await asyncio.sleep(2 * follower_rows.GATHER_S)  # the next batch is found to be incomplete
        await rows.cut(ends[2])
        bucket.kv.delete()
        log.truncate(ends[2])
        bucket.kv = KvTablet.open(bucket.directory / "kv", bucket.table, standby.schemas, log, standby.resources)
        bucket.write([(99, "new", None)])
        assert log.end_offset == ends[2] + 1
        rows.committed(log.end_offset)
        await until(lambda: rows.lag == 0)
        assert standby.content() == bucket.rows()

    with_standby(tmp_path, scenario)


@pytest.mark.parametrize("ticks", range(5))
def test_maintenance_ends_while_retention_waits_for_rows(tmp_path: Path, ticks: int) -> None:
    """Its cancellation counts also when it comes together with what it waits for."""

    async def scenario(standby: Standby) -> None:
        standby.rows.committed(standby.bucket.log.end_offset)
        waiting = asyncio.Event()

        class Retention:
            is_closed = False

            async def delete_expired(self, *, roll_active: bool) -> None:
                waiting.set()
                await standby.rows.secure(20)

        config = MaintenanceConfig(retention_interval_s=0.001, writer_expiration_interval_s=60.0)
        maintenance = Maintenance(config, lambda: [cast(Any, Retention())])
        maintenance.start()
        await waiting.wait()
        await asyncio.sleep(0)  # it waits for the rows now
        await standby.rows.pause()
        for _ in range(ticks):
            await asyncio.sleep(0)
        await asyncio.wait_for(maintenance.stop(), 5.0)

    with_standby(tmp_path, scenario)


@pytest.mark.parametrize("is_standby", [True, False])
def test_a_follower_deletes_of_its_changelog_what_its_rows_contain(tmp_path: Path, is_standby: bool) -> None:
    async def run() -> None:
        clock = ManualClock(NOW_MS)
        table = with_ttl(make_table(), "1 min")
        bucket = open_bucket(tmp_path, table, log_config=LogConfig(segment_bytes=1000), clock=clock)
        for number in range(20):
            bucket.write([(number % 5, f"{number}" * 20, None)])
        standby = Standby(bucket)
        standby.rows.set_standby(is_standby)
        log, follower = bucket.log, standby.follower()
        clock.advance(TTL_MS + 1)
        end, middle = log.end_offset, log.end_offset // 2
        await follower.append(b"", high_watermark=end, leader_start=0)
        await follower.delete_expired(roll_active=False)
        assert log.start_offset == 0, "the leader has it all"
        assert standby.durable_offset() == 0, "nothing was persisted for no reason"
        await follower.append(b"", high_watermark=end, leader_start=middle)
        await follower.delete_expired(roll_active=False)
        assert 0 < log.start_offset <= middle
        assert standby.durable_offset() >= log.start_offset
        await standby.rows.close()
        again = KvTablet.open(standby.directory, table, {1: table.schema}.__getitem__, log, standby.resources)
        assert Bucket(standby.directory, table, log, again).rows() == bucket.rows()
        again.close()
        bucket.close()

    asyncio.run(run())


def test_writes_are_refused_while_too_many_files_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(standby: Standby) -> None:
        monkeypatch.setattr("fluss_server.kv.kv_tablet.SLOWDOWN_FILES", 0)
        kv = await standby._open(standby.bucket.table)
        end = standby.bucket.log.end_offset
        call = standby.worker.run(kv.apply_changelog, end)
        assert await refused(call) is ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION
        assert kv.apply_changelog(end, admit=False) is False, "a bucket that is to be led has no choice"
        kv.close()

    with_standby(tmp_path, scenario)


def test_promotions_come_before_standbys(tmp_path: Path) -> None:
    async def scenario(standby: Standby) -> None:
        queue, done = standby.queue, []

        class Other:
            async def step(self) -> None:
                done.append("standby")

        def work() -> bool:
            done.append("promotion")
            queue.add(other)
            return len(done) < 3

        other = Other()
        await queue.promote(work, lambda: True)
        await until(lambda: "standby" in done)
        assert done == ["promotion"] * 3 + ["standby"]
        await queue.promote(work, lambda: False)
        assert len(done) == 4

    with_standby(tmp_path, scenario)


def test_a_step_that_fails_does_not_stop_the_queue(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(standby: Standby) -> None:
        done = []

        class Broken:
            async def step(self) -> None:
                raise OSError("of nobody's making")

        class Other:
            async def step(self) -> None:
                done.append("standby")

        standby.queue.add(Broken())
        standby.queue.add(Other())
        await until(lambda: bool(done))
        assert "of nobody's making" in caplog.text

    with_standby(tmp_path, scenario)
