"""When writes are acknowledged: after the flush that covers them, or never."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import pyarrow as pa
import pytest

from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import encode_payload
from fluss_server.formats.log_batch import build_batch
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.schema import Schema
from fluss_server.model.table import ArrowCompression, TableDescriptor, TableInfo
from fluss_server.replica.replica import Replica
from fluss_server.replica.schema_check import MAX_APPEND_BATCHES
from fluss_server.rpc.bulk import BucketRecords, ProduceLogRequest
from fluss_server.rpc.service import RequestContext
from fluss_server.runtime import InlineWorkers, SystemClock
from fluss_server.runtime.system_disk import SystemFile
from fluss_server.tablet.disk_write_lock import DiskWriteLock
from fluss_server.tablet.write_service import WriteService
from log_support import open_log

SCHEMA = Schema.from_json({"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]})
TABLE = TableInfo(TablePath("d", "t"), 1, 1, TableDescriptor(SCHEMA, bucket_count=1), 0, 0)
PAYLOAD = encode_payload(pa.record_batch([pa.array([1, 2], pa.int32())], names=["a"]), ArrowCompression.NONE)
TWO_ROWS = memoryview(build_batch(1, change_types=None, payload=PAYLOAD, record_count=2))


_T = TypeVar("_T")


class HeldPool:
    """Keeps what is submitted until :meth:`run_one`."""

    def __init__(self) -> None:
        self.held: list[Callable[[], object]] = []

    def run(self, function: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

        def work() -> None:
            try:
                future.set_result(function(*arguments))
            except Exception as error:
                future.set_exception(error)

        self.held.append(work)
        return future

    def submit(self, function: Callable[[], object]) -> None:
        self.held.append(function)

    def close(self) -> None:
        pass

    def run_one(self) -> None:
        self.held.pop(0)()


async def iterations() -> None:
    """Let everything run that needs no worker."""
    for _ in range(5):
        await asyncio.sleep(0)


def with_replica(directory: Path, scenario: Callable[[Replica, HeldPool], Awaitable[None]]) -> None:
    """A bucket of a log table whose commits are held back."""

    async def run() -> None:
        flushes = HeldPool()
        log = open_log(directory)
        replica = Replica(
            TableBucket(1, None, 0),
            TABLE,
            log,
            None,
            schemas={1: SCHEMA}.__getitem__,
            clock=SystemClock(),
            flush_pool=flushes,
            read_pool=InlineWorkers().pool("read", 1),
            kv_worker=InlineWorkers().pool("kv", 1),
        )
        await scenario(replica, flushes)
        log.close()

    asyncio.run(run())


def test_a_flush_covers_the_appends_before_it_and_the_next_those_during_it(tmp_path: Path) -> None:
    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        first = replica.acknowledged(replica.append(TWO_ROWS))
        second = replica.acknowledged(replica.append(TWO_ROWS))
        await iterations()
        assert len(flushes.held) == 1
        assert not first.done()
        flushes.run_one()
        third = replica.acknowledged(replica.append(TWO_ROWS))
        await iterations()
        assert (first.done(), second.done(), third.done()) == (True, True, False)
        assert replica.high_watermark.value == replica.log.flushed_offset == 4
        assert len(flushes.held) == 1
        flushes.run_one()
        await iterations()
        assert third.done()
        assert replica.high_watermark.value == 6
        assert not flushes.held

    with_replica(tmp_path, scenario)


def test_closing_waits_for_the_commit_that_runs(tmp_path: Path) -> None:
    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        written = replica.acknowledged(replica.append(TWO_ROWS))
        await iterations()
        closing = asyncio.ensure_future(replica._stop())
        await iterations()
        assert not closing.done()
        flushes.run_one()
        await closing
        assert written.result() is None

    with_replica(tmp_path, scenario)


def test_closing_tells_those_that_wait(tmp_path: Path) -> None:
    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        waiting = replica.acknowledged_below(1)
        await replica._stop()
        with pytest.raises(FlussError, match="is closed here") as waited:
            await waiting
        with pytest.raises(FlussError, match="is closed here") as appended:
            replica.append(TWO_ROWS)
        assert waited.value.code is appended.value.code is ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION

    with_replica(tmp_path, scenario)


@pytest.mark.parametrize("error", [OSError(5, "no"), ValueError("unexpected")])
def test_a_failed_flush_acknowledges_nothing_and_ends_the_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: SystemFile) -> None:
        raise error

    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        written = replica.acknowledged(replica.append(TWO_ROWS))
        await iterations()
        with monkeypatch.context() as patched:
            patched.setattr(SystemFile, "sync", fail)
            flushes.run_one()
        with pytest.raises(FlussError) as caught:
            await written
        assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
        assert not replica.is_online
        assert replica.high_watermark.value == 0
        with pytest.raises(FlussError, match=f"is offline: .*{error.args[-1]}"):
            replica.append(TWO_ROWS)
        await replica._stop()
        assert not flushes.held

    with_replica(tmp_path, scenario)


def test_a_commit_that_cannot_begin_ends_the_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Callable[[], object]) -> None:
        raise RuntimeError("no thread")

    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        monkeypatch.setattr(flushes, "submit", refuse)
        written = replica.acknowledged(replica.append(TWO_ROWS))
        with pytest.raises(FlussError, match=r"is offline: .*no thread") as caught:
            await asyncio.wait_for(written, 10)
        assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
        assert not replica.is_online

    with_replica(tmp_path, scenario)


def test_a_failed_periodic_flush_ends_the_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With acknowledgements that do not wait for it: nobody else would notice."""

    def fail(_: SystemFile) -> None:
        raise OSError(5, "no")

    async def run() -> None:
        log, workers = open_log(tmp_path), InlineWorkers()
        replica = Replica(
            TableBucket(1, None, 0),
            TABLE,
            log,
            None,
            schemas={1: SCHEMA}.__getitem__,
            clock=SystemClock(),
            flush_pool=workers.pool("io", 1),
            read_pool=workers.pool("read", 1),
            kv_worker=workers.pool("kv", 1),
            max_unflushed=1000,
        )
        await replica.acknowledged(replica.append(TWO_ROWS))
        assert (replica.high_watermark.value, log.flushed_offset) == (2, 0)
        with monkeypatch.context() as patched:
            patched.setattr(SystemFile, "sync", fail)
            await replica.flush()
        assert not replica.is_online
        assert replica.problem is not None
        assert replica.problem.hint is not None
        with pytest.raises(FlussError, match="is offline") as caught:
            replica.append(TWO_ROWS)
        assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
        log.close()

    asyncio.run(run())


def test_writes_that_are_not_acknowledged_in_time(tmp_path: Path) -> None:
    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        class Replicas:
            def replica(self, _: TableBucket) -> Replica:
                return replica

            async def served_replica(self, _: TableBucket) -> Replica:
                return replica

            leader = find = replica

        service = WriteService(cast("Any", Replicas()), DiskWriteLock(0.9, 0.8), kv_queue_bytes=1 << 20)
        buckets = [BucketRecords(None, 0, TWO_ROWS), BucketRecords(None, 0, TWO_ROWS[:-1])]
        request = ProduceLogRequest(1, -1, 1, buckets)
        response = cast("Any", await cast("Any", service.produce_log(request, RequestContext(ApiKey.PRODUCE_LOG))))
        codes = [bucket.error_code for bucket in response.buckets_resp]
        assert codes == [ErrorCode.REQUEST_TIME_OUT, ErrorCode.CORRUPT_RECORD_EXCEPTION]
        assert "within 1 ms; the rows are in the log" in response.buckets_resp[0].error_message
        flushes.run_one()
        await iterations()
        assert replica.high_watermark.value == 2
        request = ProduceLogRequest(1, -1, 60_000, buckets[:1])
        produced = asyncio.ensure_future(cast("Any", service.produce_log(request, RequestContext(ApiKey.PRODUCE_LOG))))
        await iterations()
        flushes.run_one()
        response = cast("Any", await produced)
        assert response.buckets_resp[0].base_offset == 2
        assert not response.buckets_resp[0].HasField("error_code")

    with_replica(tmp_path, scenario)


def test_a_request_of_very_many_batches_is_refused(tmp_path: Path) -> None:
    """Each costs the event loop some microseconds."""

    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        batch = bytes(TWO_ROWS)
        replica.append(memoryview(batch * MAX_APPEND_BATCHES))
        with pytest.raises(FlussError) as refused:
            replica.append(memoryview(batch * (MAX_APPEND_BATCHES + 1)))
        assert refused.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
        assert replica.log.end_offset == 2 * MAX_APPEND_BATCHES
        await iterations()
        flushes.run_one()

    with_replica(tmp_path, scenario)
