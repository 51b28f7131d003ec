"""What readers may see of rows that are not acknowledged yet, and of batches that were not checked yet."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.checked_read import always
from fluss_server.model.identifiers import TableBucket
from fluss_server.replica.replica import Replica
from fluss_server.rpc.service import RequestContext
from fluss_server.runtime import ManualClock
from fluss_server.runtime.system_disk import SystemFile
from fluss_server.runtime.workers import InlineWorkers
from fluss_server.tablet import fetch as fetch_module
from fluss_server.tablet.disk_write_lock import DiskWriteLock
from fluss_server.tablet.read_service import ReadService
from log_support import NOW_MS, open_log, segment_files
from unit.replica.test_commit import SCHEMA, TABLE, TWO_ROWS, HeldPool, iterations

EARLIEST, LATEST, TIMESTAMP, LEADER_END = range(4)
Scenario = Callable[[ReadService, Replica, HeldPool, HeldPool], Awaitable[None]]


class Replicas:
    """One bucket, and the pool in which its batches are checked."""

    def __init__(self, replica: Replica, read_pool: HeldPool) -> None:
        self.read_pool = read_pool
        self._replica = replica

    def replica(self, bucket: TableBucket) -> Replica:
        return self._replica

    async def served_replica(self, bucket: TableBucket) -> Replica:
        return self._replica

    leader = find = replica


def with_service(directory: Path, scenario: Scenario) -> None:
    """A log table of one bucket, of which flushes and checks are held back."""

    async def run() -> None:
        log, clock = open_log(directory, segment_bytes=1000), ManualClock(NOW_MS)
        flushes, checks = HeldPool(), HeldPool()
        replica = Replica(
            TableBucket(1, None, 0),
            TABLE,
            log,
            None,
            schemas={1: SCHEMA}.__getitem__,
            clock=clock,
            flush_pool=flushes,
            read_pool=checks,
            kv_worker=InlineWorkers().pool("kv", 1),
        )
        replicas = cast("Any", Replicas(replica, checks))
        service = ReadService(
            replicas, cast("Any", None), cast("Any", None), DiskWriteLock(0.9, 0.8), clock, max_parked_fetches=10
        )
        await scenario(service, replica, flushes, checks)
        log.close()

    asyncio.run(run())


async def offset_of(service: ReadService, kind: int, timestamp: int | None = None) -> int:
    request = pb.ListOffsetsRequest(
        follower_server_id=-1, offset_type=kind, table_id=1, bucket_id=[0], startTimestamp=timestamp
    )
    response = cast("Any", await service.list_offsets(request, RequestContext(ApiKey.LIST_OFFSETS)))
    return int(response.buckets_resp[0].offset)


def test_the_latest_offset_is_the_high_watermark(tmp_path: Path) -> None:
    """A reader that begins there misses nothing: rows behind it may still get lost."""

    async def scenario(service: ReadService, replica: Replica, flushes: HeldPool, checks: HeldPool) -> None:
        replica.append(TWO_ROWS)
        await iterations()
        flushes.run_one()
        await iterations()
        replica.append(TWO_ROWS)
        await iterations()
        assert (replica.high_watermark.value, replica.log.end_offset) == (2, 4)
        assert await offset_of(service, EARLIEST) == 0
        assert await offset_of(service, LATEST) == 2
        assert await offset_of(service, LEADER_END) == 4
        assert await offset_of(service, TIMESTAMP, NOW_MS) == 0
        flushes.run_one()
        await iterations()
        assert await offset_of(service, LATEST) == 4

    with_service(tmp_path, scenario)


async def fetch(service: ReadService, offset: int, **options: Any) -> asyncio.Future[Any]:
    request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1 << 20)
    table = request.tables_req.add(table_id=1, projection_pushdown_enabled="columns" in options)
    table.projected_fields.extend(options.get("columns", []))
    table.buckets_req.add(bucket_id=0, fetch_offset=offset, max_fetch_bytes=1 << 20)
    context = RequestContext(ApiKey.FETCH_LOG)
    future: asyncio.Future[Any] = asyncio.ensure_future(cast("Any", service.fetch_log(request, context)))
    return future


def parsed(pieces: Any) -> Any:
    data = b"".join(piece if isinstance(piece, (bytes, bytearray, memoryview)) else piece.read() for piece in pieces)
    return pb.FetchLogResponse.FromString(data).tables_resp[0].buckets_resp[0]


def pretend_cached(monkeypatch: pytest.MonkeyPatch, cached: bool) -> None:
    """Real files say no on file systems that cannot tell."""
    monkeypatch.setattr(SystemFile, "is_cached", lambda file, position, length: cached)


@pytest.mark.parametrize("reason", ["not cached", "many bytes", "many records"])
def test_a_fetch_checks_batches_outside_of_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    pretend_cached(monkeypatch, reason != "not cached")
    if reason == "many bytes":
        monkeypatch.setattr(fetch_module, "_MAX_INLINE_BYTES", 900)
    if reason == "many records":
        monkeypatch.setattr(fetch_module, "_MAX_INLINE_RECORDS", 3)

    async def scenario(service: ReadService, replica: Replica, flushes: HeldPool, checks: HeldPool) -> None:
        for _ in range(10):
            replica.append(TWO_ROWS)
        await iterations()
        flushes.run_one()
        await iterations()
        first, last = segment_files(tmp_path)[0], replica.log._state.view.bases[-1]
        assert last > 0
        appended = await fetch(service, last)
        await iterations()
        assert parsed(appended.result()).records, "what this process has appended is checked"
        waiting = await fetch(service, 0)
        await iterations()
        assert not waiting.done()
        assert len(checks.held) == 1
        checks.run_one()
        assert parsed(await waiting).records == first.read_bytes()
        again = await fetch(service, 0)
        await iterations()
        assert parsed(again.result()).records == first.read_bytes()
        assert not checks.held

    with_service(tmp_path, scenario)


def test_a_fetch_checks_a_few_cached_batches_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cached(monkeypatch, True)

    async def scenario(service: ReadService, replica: Replica, flushes: HeldPool, checks: HeldPool) -> None:
        for _ in range(10):
            replica.append(TWO_ROWS)
        await iterations()
        flushes.run_one()
        await iterations()
        first = segment_files(tmp_path)[0]
        found = await fetch(service, 0)
        await iterations()
        assert parsed(found.result()).records == first.read_bytes()
        assert not checks.held

    with_service(tmp_path, scenario)


def test_a_projection_searches_checked_log_once_and_unchecked_log_in_small_steps() -> None:
    steps: list[int] = []

    def read(offset: int, max_bytes: int, max_offset: int, **options: Any) -> None:
        steps.append(max_bytes)

    log = SimpleNamespace(start_offset=0, end_offset=9, read=read)
    replica = cast("Any", SimpleNamespace(log=log, high_watermark=SimpleNamespace(value=9), followers=None))
    for may_check in (always, fetch_module._is_quick):
        wanted = fetch_module.BucketFetch(TableBucket(1, None, 0), 0, 1 << 20, cast("Any", "a projector"))
        fetch_module._read(fetch_module.BucketResult(wanted), replica, 1 << 20, True, may_check)
    assert steps == [4 << 20, fetch_module._PROJECTED_READ_BYTES]
    assert steps[1] >= 64 << 20


def test_a_fetch_of_many_buckets_misses_nothing_that_comes_while_it_reads(tmp_path: Path) -> None:
    """It pauses between buckets: rows may come to one that it has read already, before it waits for such news."""

    async def scenario(service: ReadService, replica: Replica, flushes: HeldPool, checks: HeldPool) -> None:
        reads = 0

        def find(bucket: TableBucket) -> Replica:
            nonlocal reads
            reads += 1
            if reads == 2:
                replica.high_watermark.advance(2)
            return replica

        cast("Any", service)._replicas.leader = find
        replica.append(TWO_ROWS)
        request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1 << 20, min_bytes=1, max_wait_ms=60_000)
        table = request.tables_req.add(table_id=1, projection_pushdown_enabled=False)
        table.buckets_req.add(bucket_id=0, fetch_offset=0, max_fetch_bytes=1 << 20)
        table.buckets_req.add(bucket_id=1, fetch_offset=2, max_fetch_bytes=1 << 20)
        fetched = asyncio.ensure_future(service.fetch_log(request, RequestContext(ApiKey.FETCH_LOG)))
        bucket = parsed(await asyncio.wait_for(cast("Any", fetched), 10))
        assert (bucket.bucket_id, bucket.high_watermark) == (0, 2)
        assert bucket.records
        flushes.run_one()
        await iterations()

    with_service(tmp_path, scenario)


def test_errors_of_buckets_are_freed_without_the_cycle_collector(tmp_path: Path) -> None:
    """It looks at all objects rarely, and a fetch may have an error for each of 20,000 buckets."""

    async def scenario(service: ReadService, replica: Replica, flushes: HeldPool, checks: HeldPool) -> None:
        class Error(FlussError):
            pass

        def find(bucket: TableBucket) -> Replica:
            raise Error(ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, "not here")

        cast("Any", service)._replicas.leader = find
        gc.collect()
        gc.disable()
        try:
            bucket = parsed(await (await fetch(service, 0)))
            assert bucket.error_code == ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION
            assert not [thing for thing in gc.get_objects() if type(thing) is Error]
        finally:
            gc.enable()

    with_service(tmp_path, scenario)


@pytest.mark.parametrize("cached", [False, True])
def test_a_fetch_of_a_damaged_batch_is_refused_for_its_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    pretend_cached(monkeypatch, cached)

    async def scenario(service: ReadService, replica: Replica, flushes: HeldPool, checks: HeldPool) -> None:
        for _ in range(10):
            replica.append(TWO_ROWS)
        await iterations()
        flushes.run_one()
        await iterations()
        path = segment_files(tmp_path)[0]
        data = bytearray(path.read_bytes())
        data[60] ^= 1
        path.write_bytes(data)
        waiting = await fetch(service, 0)
        await iterations()
        assert len(checks.held) == (not cached)
        if checks.held:
            checks.run_one()
        bucket = parsed(await waiting)
        assert bucket.error_code == ErrorCode.CORRUPT_MESSAGE
        assert "offset 0," in bucket.error_message
        assert not bucket.records
        assert replica.is_online
        assert replica.problem is replica.log.damage[0]

    with_service(tmp_path, scenario)
