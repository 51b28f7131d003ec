"""Scan sessions over real KvTablets: limits, sequence numbers, expiry."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.value_batch import parse_value_batch
from fluss_server.kv.scan import KvScan
from fluss_server.model.identifiers import TableBucket
from fluss_server.processes.local import LocalServer
from fluss_server.rpc.client import RpcClient
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.runtime import system_runtime
from fluss_server.tablet.kv_scanners import ABANDONED_AFTER_S, KvScanners, ScanResponse
from kv_support import let_scans_never_end
from table_rpc import create_from, descriptor, put

ROWS = 100
IDLE_LIMIT_MS = 600_000
MAX_PER_BUCKET = 8


class Table:
    """A primary-key table of 100 rows on a server whose clock the test moves."""

    def __init__(self, client: RpcClient, table_id: int, clock: ManualClock, scanners: KvScanners) -> None:
        self.client, self.table_id, self.clock, self.scanners = client, table_id, clock, scanners

    async def open(self, batch_size: int = 1, call: int = 0, limit: int | None = None) -> pb.ScanKvResponse:
        request = pb.ScanKvRequest(call_seq_id=call, batch_size_bytes=batch_size)
        if limit is not None:
            request.bucket_scan_req.limit = limit
        request.bucket_scan_req.table_id, request.bucket_scan_req.bucket_id = self.table_id, 0
        response: pb.ScanKvResponse = await self.client.call(ApiKey.SCAN_KV, request)
        return response

    async def next(self, scanner_id: bytes, call: int, batch_size: int = 1) -> pb.ScanKvResponse:
        request = pb.ScanKvRequest(scanner_id=scanner_id, call_seq_id=call, batch_size_bytes=batch_size)
        response: pb.ScanKvResponse = await self.client.call(ApiKey.SCAN_KV, request)
        return response


def with_table(tmp_path: Path, body: Callable[[Table], object], **options: str) -> None:
    async def run() -> None:
        clock = ManualClock()
        server = LocalServer(
            tmp_path,
            runtime=system_runtime(clock=clock),
            options={f"kv.scanner.{key}": options[key] for key in options},
        )
        await server.start()
        try:
            async with await RpcClient.connect("127.0.0.1", server.port) as client:
                table_id = await create_from(client, "scanned", descriptor(["id"]))
                rows = [(bytes([key]), b"\x00" + bytes([key]) + b"\x01x") for key in range(ROWS)]
                await put(client, table_id, bytes(build_kv_batch(1, rows)))
                await body(Table(client, table_id, clock, server.tablet_server.scanners))  # type: ignore[misc]
        finally:
            await server.close()

    asyncio.run(run())


def test_a_scan_gives_every_row_once_in_key_order(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        response = await table.open(100)
        assert response.log_offset == ROWS
        assert len(response.scanner_id) == 32
        values = list(parse_value_batch(response.records))
        call = 0
        while response.has_more_results:
            call += 1
            response = await table.next(scanner_id=response.scanner_id, call=call, batch_size=100)
            assert not response.HasField("error_code")
            assert not response.HasField("log_offset")
            values += parse_value_batch(response.records)
        assert [bytes(value)[3] for value in values] == list(range(ROWS))
        assert call > 5

    with_table(tmp_path, body)


def test_a_wrong_sequence_number_ends_the_scan(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        scanner_id = (await table.open()).scanner_id
        assert (await table.next(scanner_id, 2)).error_code == ErrorCode.INVALID_SCAN_REQUEST
        assert (await table.next(scanner_id, 1)).error_code == ErrorCode.UNKNOWN_SCANNER_ID

    with_table(tmp_path, body)


def test_an_idle_scan_expires(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        scanner_id = (await table.open()).scanner_id
        table.clock.advance(IDLE_LIMIT_MS + 1)
        assert (await table.next(scanner_id, 1)).error_code == ErrorCode.SCANNER_EXPIRED

    with_table(tmp_path, body)


@pytest.mark.parametrize("abandoned", [False, True])
def test_more_scans_than_allowed_are_refused_unless_one_was_abandoned(tmp_path: Path, abandoned: bool) -> None:
    async def body(table: Table) -> None:
        first = (await table.open()).scanner_id
        table.clock.advance(10)
        for _ in range(MAX_PER_BUCKET - 1):
            assert not (await table.open()).HasField("error_code")
        if abandoned:
            table.clock.advance(int(ABANDONED_AFTER_S * 1000))
        response = await table.open()
        if abandoned:
            assert not response.HasField("error_code")
            assert (await table.next(first, 1)).error_code == ErrorCode.SCANNER_EXPIRED
        else:
            assert response.error_code == ErrorCode.TOO_MANY_SCANNERS
            assert not (await table.next(first, 1)).HasField("error_code")

    with_table(tmp_path, body)


@pytest.mark.parametrize("limit", ["max-per-bucket", "max-per-server"])
def test_scans_that_are_opened_at_the_same_time_count(tmp_path: Path, limit: str) -> None:
    opened = threading.Event()

    def open_later() -> KvScan:
        assert opened.wait(30)
        raise FlussError(ErrorCode.KV_STORAGE_EXCEPTION, "this one was admitted")

    async def body(table: Table) -> None:
        bucket = TableBucket(table.table_id, None, 0)
        opening = [asyncio.ensure_future(table.scanners.open(bucket, open_later, None, 0, 1)) for _ in range(15)]
        await asyncio.sleep(0)  # all have begun
        opened.set()
        errors = await asyncio.gather(*opening, return_exceptions=True)
        codes = [error.code for error in errors if isinstance(error, FlussError)]
        assert codes == [ErrorCode.KV_STORAGE_EXCEPTION] * 3 + [ErrorCode.TOO_MANY_SCANNERS] * 12

    with_table(tmp_path, body, **{limit: "3"})


def test_requests_that_make_no_sense(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        async def code(**fields: object) -> int:
            response = await table.client.call(ApiKey.SCAN_KV, pb.ScanKvRequest(**fields))  # type: ignore[arg-type]
            return int(response.error_code)

        invalid = ErrorCode.INVALID_SCAN_REQUEST
        bucket = pb.PbScanReqForBucket(table_id=table.table_id, bucket_id=0)
        assert await code(call_seq_id=0, batch_size_bytes=1) == invalid
        assert await code(call_seq_id=0, batch_size_bytes=1, scanner_id=b"x", bucket_scan_req=bucket) == invalid
        assert await code(call_seq_id=0, bucket_scan_req=bucket) == invalid
        assert await code(call_seq_id=0, batch_size_bytes=0, bucket_scan_req=bucket) == invalid
        assert await code(batch_size_bytes=1, bucket_scan_req=bucket) == invalid
        assert await code(call_seq_id=1, batch_size_bytes=1, bucket_scan_req=bucket) == invalid
        assert await code(call_seq_id=0, batch_size_bytes=1, bucket_scan_req=bucket, close_scanner=True) == invalid
        assert await code(call_seq_id=1, batch_size_bytes=1, scanner_id=b"x") == ErrorCode.UNKNOWN_SCANNER_ID
        missing = pb.PbScanReqForBucket(table_id=table.table_id, bucket_id=1)
        unknown = ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION
        assert await code(call_seq_id=0, batch_size_bytes=1, bucket_scan_req=missing) == unknown
        scanner_id = (await table.open()).scanner_id
        assert await code(call_seq_id=1, batch_size_bytes=-1, scanner_id=scanner_id) == invalid
        assert (await table.next(scanner_id, 1)).error_code == ErrorCode.UNKNOWN_SCANNER_ID

    with_table(tmp_path, body)


def test_two_requests_at_a_time_end_the_scan(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        scanner_id = (await table.open()).scanner_id
        calls = [table.scanners.next(scanner_id, call, 1) for call in (1, 2)]
        first, second = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(first, ScanResponse)
        assert first.has_more
        assert isinstance(second, FlussError)
        assert second.code is ErrorCode.INVALID_SCAN_REQUEST
        assert (await table.next(scanner_id, 2)).error_code == ErrorCode.UNKNOWN_SCANNER_ID

    with_table(tmp_path, body)


def test_closing(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        scanner_id = (await table.open()).scanner_id
        for _ in range(2):
            request = pb.ScanKvRequest(scanner_id=scanner_id, close_scanner=True)
            response = await table.client.call(ApiKey.SCAN_KV, request)
            assert (response.scanner_id, response.has_more_results, response.error_code) == (scanner_id, False, 0)
        assert (await table.next(scanner_id, 1)).error_code == ErrorCode.UNKNOWN_SCANNER_ID

    with_table(tmp_path, body)


def test_a_limit_of_rows(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        response = await table.open(1 << 20, limit=7)
        assert len(parse_value_batch(response.records)) == 7
        assert not response.has_more_results
        assert (await table.next(response.scanner_id, 1)).error_code == ErrorCode.UNKNOWN_SCANNER_ID
        response = await table.open(4, limit=2)
        assert response.has_more_results
        response = await table.next(response.scanner_id, 1)
        assert (len(parse_value_batch(response.records)), response.has_more_results) == (1, False)

    with_table(tmp_path, body)


def test_an_empty_bucket_has_an_offset_and_no_scan(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        table.table_id = await create_from(table.client, "empty", descriptor(["id"]))
        response = await table.open()
        assert not response.HasField("scanner_id")
        assert not response.HasField("records")
        assert (response.has_more_results, response.log_offset, response.HasField("log_offset")) == (False, 0, True)

    with_table(tmp_path, body)


def test_a_scan_shows_one_moment_while_rows_change(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        response = await table.open()
        rows = [(bytes([key]), b"\x00" + bytes([key]) + b"\x01y") for key in range(ROWS)]
        await put(table.client, table.table_id, bytes(build_kv_batch(1, rows)))
        values = parse_value_batch(response.records)
        assert response.log_offset == ROWS
        response = await table.next(response.scanner_id, 1, 1 << 20)
        values += parse_value_batch(response.records)
        assert [bytes(value)[-1:] for value in values] == [b"x"] * ROWS
        assert (await table.open()).log_offset == 3 * ROWS

    with_table(tmp_path, body)


def test_options(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        first = await table.open(1 << 20)
        assert len(parse_value_batch(first.records)) == 2  # 6 bytes each
        await table.open()
        assert (await table.open()).error_code == ErrorCode.TOO_MANY_SCANNERS
        # Nobody asks for anything: idle scans end by themselves, and with them the snapshots they pin.
        table.clock.advance(1_001)
        deadline = asyncio.get_running_loop().time() + 10
        while len(table.scanners):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)
        assert (await table.next(first.scanner_id, 1)).error_code == ErrorCode.SCANNER_EXPIRED

    options = {"ttl": "1 s", "expiration-interval": "10 ms", "max-per-server": "2", "max-batch-size": "12 b"}
    with_table(tmp_path, body, **options)


def test_writes_do_not_wait_for_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = KvScan.next
    begun, go_on = threading.Event(), threading.Event()

    def slow(scan: KvScan, max_bytes: int, max_rows: int | None = None) -> list[bytes]:
        begun.set()
        assert go_on.wait(30)
        return read(scan, max_bytes, max_rows)

    async def body(table: Table) -> None:
        monkeypatch.setattr(KvScan, "next", slow)
        response = asyncio.ensure_future(table.open(1 << 20))
        try:
            assert await asyncio.to_thread(begun.wait, 30)
            row = (b"\x00", b"\x00\x00\x01y")
            await put(table.client, table.table_id, bytes(build_kv_batch(1, [row])))
        finally:
            go_on.set()
        values = parse_value_batch((await response).records)
        assert [bytes(value)[-1:] for value in values] == [b"x"] * ROWS

    with_table(tmp_path, body)


def test_a_scan_that_is_being_read_does_not_expire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a step takes, its client is waiting for it."""
    read = KvScan.next
    begun, go_on = threading.Event(), threading.Event()

    def slow(scan: KvScan, max_bytes: int, max_rows: int | None = None) -> list[bytes]:
        begun.set()
        assert go_on.wait(30)
        return read(scan, max_bytes, max_rows)

    async def body(table: Table) -> None:
        first = await table.open()
        monkeypatch.setattr(KvScan, "next", slow)
        step = asyncio.ensure_future(table.next(first.scanner_id, 1))
        try:
            assert await asyncio.to_thread(begun.wait, 30)
            table.clock.advance(2 * IDLE_LIMIT_MS)
            with pytest.raises(FlussError, match="no such scan"):
                await table.scanners.next(b"other", 1, 1)  # looks for idle scans
        finally:
            go_on.set()
        assert not (await step).HasField("error_code")

    with_table(tmp_path, body)


def test_dropping_the_table_ends_a_step_that_is_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(table: Table) -> None:
        reading = let_scans_never_end(monkeypatch)
        response = asyncio.ensure_future(table.open((1 << 31) - 1))
        assert await asyncio.to_thread(reading.wait, 30)
        drop = pb.DropTableRequest(ignore_if_not_exists=False)
        drop.table_path.database_name, drop.table_path.table_name = "fluss", "scanned"
        await table.client.call(ApiKey.DROP_TABLE, drop)
        assert (await response).error_code == ErrorCode.SCANNER_EXPIRED

    with_table(tmp_path, body, **{"max-batch-size": "1 tb"})


def test_dropping_the_table_ends_its_scans(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        scanner_id = (await table.open()).scanner_id
        drop = pb.DropTableRequest(ignore_if_not_exists=False)
        drop.table_path.database_name, drop.table_path.table_name = "fluss", "scanned"
        await table.client.call(ApiKey.DROP_TABLE, drop)
        assert (await table.next(scanner_id, 1)).error_code == ErrorCode.SCANNER_EXPIRED

    with_table(tmp_path, body)


def test_the_end_of_one_bucket_ends_no_scan_of_another_one(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        scanner_id = (await table.open()).scanner_id
        table.scanners.close_buckets({TableBucket(table.table_id, None, 1), TableBucket(table.table_id, 7, 0)})
        assert not (await table.next(scanner_id, 1)).HasField("error_code")
        table.scanners.close_buckets({TableBucket(table.table_id, None, 0)})
        assert (await table.next(scanner_id, 2)).HasField("error_code")

    with_table(tmp_path, body)
