"""Scan sessions over real KvTablets: limits, sequence numbers, expiry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.value_batch import parse_value_batch
from fluss_server.local import LocalServer
from fluss_server.rpc.client import RpcClient
from fluss_server.runtime.clock import ManualClock
from fluss_server.tablet.kv_scanners import ABANDONED_AFTER_S, IDLE_LIMIT_S, MAX_PER_BUCKET
from server.test_bad_input import create, descriptor, put

ROWS = 100


class Table:
    """A primary-key table of 100 rows on a server whose clock the test moves."""

    def __init__(self, client: RpcClient, table_id: int, clock: ManualClock) -> None:
        self.client, self.table_id, self.clock = client, table_id, clock

    async def open(self, batch_size: int = 1) -> pb.ScanKvResponse:
        request = pb.ScanKvRequest(call_seq_id=0, batch_size_bytes=batch_size)
        request.bucket_scan_req.table_id, request.bucket_scan_req.bucket_id = self.table_id, 0
        answer: pb.ScanKvResponse = await self.client.call(ApiKey.SCAN_KV, request)
        return answer

    async def next(self, scanner_id: bytes, call: int, batch_size: int = 1) -> pb.ScanKvResponse:
        request = pb.ScanKvRequest(scanner_id=scanner_id, call_seq_id=call, batch_size_bytes=batch_size)
        answer: pb.ScanKvResponse = await self.client.call(ApiKey.SCAN_KV, request)
        return answer


def with_table(tmp_path: Path, body: Callable[[Table], object]) -> None:
    async def run() -> None:
        clock = ManualClock()
        server = LocalServer(tmp_path, clock=clock)
        await server.start()
        try:
            async with await RpcClient.connect("127.0.0.1", server.port) as client:
                table_id = await create(client, "scanned", descriptor(["id"]))
                rows = [(bytes([key]), b"\x00" + bytes([key]) + b"\x01x") for key in range(ROWS)]
                await put(client, table_id, bytes(build_kv_batch(1, rows)))
                await body(Table(client, table_id, clock))  # type: ignore[misc]
        finally:
            await server.close()

    asyncio.run(run())


def test_a_scan_gives_every_row_once_in_key_order(tmp_path: Path) -> None:
    async def body(table: Table) -> None:
        answer = await table.open(100)
        assert answer.log_offset == ROWS
        values = list(parse_value_batch(answer.records))
        call = 0
        while answer.has_more_results:
            call += 1
            answer = await table.next(scanner_id=answer.scanner_id, call=call, batch_size=100)
            assert not answer.HasField("error_code")
            values += parse_value_batch(answer.records)
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
        table.clock.advance(int(IDLE_LIMIT_S * 1000) + 1)
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
        answer = await table.open()
        if abandoned:
            assert not answer.HasField("error_code")
            assert (await table.next(first, 1)).error_code == ErrorCode.SCANNER_EXPIRED
        else:
            assert answer.error_code == ErrorCode.TOO_MANY_SCANNERS
            assert not (await table.next(first, 1)).HasField("error_code")

    with_table(tmp_path, body)
