"""Resident memory of a server stays under its configured bound, whatever clients do; and everybody else is served.

At the same time: 10,000 open connections, many with a fetch that waits; 50 readers of a big table that take a byte at
a time; a flood of 100 MB requests, valid and not; and a normal writer and reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, new_table, read_changes
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from fluss_server.formats.arrow_batch import encode_payload
from fluss_server.formats.log_batch import build_batch
from fluss_server.model.table import ArrowCompression
from fluss_server.rpc.frames import parse_error, parse_response, request_prefix
from fluss_server.rpc.wire import varint
from fluss_server.testing import LocalCluster

MIB = 1 << 20
CONNECTIONS = 10_000
PARKED = 2_000
SLOW_READERS = 50
BIG_TABLE_BATCHES = 64  # of a MiB
LARGE_BYTES = 100 * MIB
VALID_FLOOD, GARBAGE_FLOOD, OVERSIZE_FLOOD = 8, 16, 16

OPTIONS = {
    "server.request.memory-size": "200mb",
    "server.response.memory-size": "32mb",
    "kv.cache.size": "16mb",
}
BOUND_BYTES = (
    60 * MIB  # Python, Arrow, RocksDB
    + CONNECTIONS * 8192
    + PARKED * 16384
    + 200 * MIB  # requests
    + 32 * MIB  # answers
    + 16 * MIB  # primary-key tables
)
"""As docs/operations.md tells to reckon."""

SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("filler", pa.binary())])


@pytest.fixture(scope="module", autouse=True)
def many_files() -> Iterator[None]:
    """This process may open enough sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = CONNECTIONS + 1_000
    assert hard == resource.RLIM_INFINITY or hard >= needed + 1_000, (
        f"the test opens {needed} sockets, and the server accepts as many; the system's hard limit of open files is"
        f" {hard} (ulimit -Hn)"
    )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def status_bytes(pid: int, field: str) -> int:
    """``VmRSS`` or ``VmHWM`` of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {field}")


# ---------------------------------------------------------------- messages


def api_versions(request_id: int) -> bytes:
    body = pb.ApiVersionsRequest(client_software_name="t", client_software_version="1").SerializeToString()
    return request_prefix(ApiKey.API_VERSIONS, 0, request_id, len(body)) + body


def fetch(table_id: int, offset: int, request_id: int, projection: list[int] | None = None) -> bytes:
    request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=16 * MIB, min_bytes=1, max_wait_ms=60_000)
    table = request.tables_req.add(table_id=table_id, projection_pushdown_enabled=projection is not None)
    table.projected_fields.extend(projection or [])
    table.buckets_req.add(bucket_id=0, fetch_offset=offset, max_fetch_bytes=16 * MIB)
    body = request.SerializeToString()
    return request_prefix(ApiKey.FETCH_LOG, 0, request_id, len(body)) + body


def batch_of_a_mib() -> bytes:
    rows = pa.record_batch([pa.array(range(1000), pa.int64()), pa.array([bytes(1030)] * 1000)], schema=SCHEMA)
    payload = encode_payload(rows, ArrowCompression.NONE, 0)
    batch = bytes(build_batch(1, change_types=None, payload=payload, record_count=1000))
    assert 0.97 * MIB < len(batch) < 1.03 * MIB
    return batch


def produce_head(table_id: int, records_bytes: int, request_id: int) -> bytes:
    """Everything of a PRODUCE_LOG request before its records, which are its last bytes."""
    field = b"\x10\x00\x1a" + varint(records_bytes)  # bucket 0, records
    body = b"\x08" + varint(-1) + b"\x10" + varint(table_id) + b"\x18" + varint(60_000)
    body += b"\x22" + varint(len(field) + records_bytes) + field
    return request_prefix(ApiKey.PRODUCE_LOG, 0, request_id, len(body) + records_bytes) + body


async def receive(reader: asyncio.StreamReader) -> Any:
    (length,) = struct.unpack(">i", await reader.readexactly(4))
    return parse_response(await reader.readexactly(length))


# ---------------------------------------------------------------- clients


class IdleClients:
    """Thousands of plain sockets."""

    def __init__(self, port: int, quiet_table: int) -> None:
        self._sockets = []
        for number in range(CONNECTIONS):
            sock = socket.create_connection(("127.0.0.1", port), timeout=30)
            sock.sendall(api_versions(number))
            self._sockets.append(sock)
        for number, sock in enumerate(self._sockets):
            self._expect(sock, number)
        self._parked = self._sockets[:: CONNECTIONS // PARKED]
        for number, sock in enumerate(self._parked):
            sock.sendall(fetch(quiet_table, 0, number))

    def _expect(self, sock: socket.socket, request_id: int) -> None:
        head = self._exactly(sock, 9)
        length, kind, answered = struct.unpack(">ibi", head)
        assert (kind, answered) == (0, request_id)
        self._exactly(sock, length - 5)

    @staticmethod
    def _exactly(sock: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = sock.recv(size - len(data))
            assert part, "the server closed a connection"
            data += part
        return data

    def check_alive(self) -> None:
        """Each one is still answered."""
        for number, sock in enumerate(self._sockets):
            sock.sendall(api_versions(-number))
        parked = set(self._parked)
        for number, sock in enumerate(self._sockets):
            if sock not in parked:
                self._expect(sock, -number)
        for number, sock in enumerate(self._parked):
            self._expect(sock, -number * (CONNECTIONS // PARKED))

    def check_parked_are_answered(self) -> None:
        """Something was written to the quiet table: every waiting fetch is answered."""
        for number, sock in enumerate(self._parked):
            self._expect(sock, number)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


class SlowReaders:
    """Ask for 16 MiB each and take it byte by byte, in a thread."""

    def __init__(self, port: int, big_table: int) -> None:
        self._sockets = []
        for number in range(SLOW_READERS):
            sock = socket.create_connection(("127.0.0.1", port), timeout=30)
            sock.sendall(fetch(big_table, 0, number, [1] if number % 2 else None))
            self._sockets.append(sock)
        self.received = [bytearray() for _ in self._sockets]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            for sock, data in zip(self._sockets, self.received, strict=True):
                with contextlib.suppress(OSError):
                    data += sock.recv(1)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for sock in self._sockets:
            sock.close()


async def send_valid(port: int, table_id: int, batch: bytes, request_id: int) -> int:
    """Append as many batches as a request of 100 MB holds; returns the base offset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = (LARGE_BYTES - 200) // len(batch)
    writer.write(produce_head(table_id, count * len(batch), request_id))
    for _ in range(count):
        writer.write(batch)
        await writer.drain()
    response = await receive(reader)
    assert (response.type, response.request_id) == (0, request_id)
    (bucket,) = pb.ProduceLogResponse.FromString(bytes(response.body)).buckets_resp
    assert not bucket.HasField("error_code"), bucket
    writer.close()
    return int(bucket.base_offset)


async def send_garbage(port: int, key: ApiKey, request_id: int, filler: bytes) -> ErrorCode:
    """A request of the greatest length with nonsense in it; the connection stays usable."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_prefix(key, 0, request_id, LARGE_BYTES - 8))
    left = LARGE_BYTES - 8
    while left:
        writer.write(filler[:left])
        left -= min(left, len(filler))
        await writer.drain()
    response = await receive(reader)
    assert (response.type, response.request_id) == (1, request_id)
    writer.write(api_versions(1))
    assert (await receive(reader)).type == 0
    writer.close()
    return parse_error(response.body).code


async def send_oversize(port: int, filler: bytes) -> ErrorCode:
    """More than is allowed: said at once, without waiting for the bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(struct.pack(">i", LARGE_BYTES + 1) + filler)
    response = await receive(reader)
    assert (response.type, response.request_id) == (2, None)
    writer.transport.abort()
    return parse_error(response.body).code


class Peak:
    """The most memory that a process had, by what went on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.seen: dict[str, int] = {}

    def note(self, what: str) -> None:
        self.seen[what] = status_bytes(self._pid, "VmHWM") // MIB

    async def watch(self, what: str, done: Callable[[], bool]) -> None:
        while not done():
            self.seen[what] = max(self.seen.get(what, 0), status_bytes(self._pid, "VmRSS") // MIB)
            await asyncio.sleep(0.05)


@pytest.mark.slow
def test_memory_stays_bounded(tmp_path: Path) -> None:
    async def run(cluster: LocalCluster) -> None:
        peak = Peak(cluster.pid)
        batch = batch_of_a_mib()
        async with connection(cluster.bootstrap_servers) as connected:
            tables = {
                name: await new_table(connected, name, SCHEMA, bucket_count=1) for name in ("big", "quiet", "live")
            }
            ids = {name: table.get_table_info().table_id for name, table in tables.items()}
            peak.note("start")
            reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port)
            for number in range(BIG_TABLE_BATCHES):
                writer.write(produce_head(ids["big"], len(batch), number) + batch)
                assert (await receive(reader)).type == 0
            writer.close()
            peak.note("big table")
            idle = await asyncio.to_thread(IdleClients, cluster.port, ids["quiet"])
            peak.note("connections")
            slow = await asyncio.to_thread(SlowReaders, cluster.port, ids["big"])
            peak.note("slow readers")
            flood = asyncio.gather(
                *(send_valid(cluster.port, ids["big"], batch, number) for number in range(VALID_FLOOD)),
                *(
                    send_garbage(cluster.port, key, number, b"\xff" * MIB)
                    for number in range(GARBAGE_FLOOD // 2)
                    for key in (ApiKey.PRODUCE_LOG, ApiKey.LOOKUP)
                ),
                *(send_oversize(cluster.port, bytes(4096)) for _ in range(OVERSIZE_FLOOD)),
            )
            watching = asyncio.create_task(peak.watch("flood", flood.done))
            live = tables["live"].new_append().create_writer()
            acknowledged, slowest_s = 0, 0.0
            while not flood.done():
                started = time.monotonic()
                for value in range(acknowledged, acknowledged + 100):
                    live.append([value, b"live"])
                await live.flush()
                acknowledged += 100
                slowest_s = max(slowest_s, time.monotonic() - started)
                await asyncio.sleep(0.02)
            outcomes = await flood
            await watching
            peak.note("everything")
            print(f"peak RSS in MiB: {peak.seen}, bound {BOUND_BYTES // MIB}; slowest flush {slowest_s:.2f} s")

            offsets = sorted(outcomes[:VALID_FLOOD])
            rows = (LARGE_BYTES - 200) // len(batch) * 1000
            first = BIG_TABLE_BATCHES * 1000
            assert offsets == list(range(first, first + VALID_FLOOD * rows, rows))
            garbage = outcomes[VALID_FLOOD : VALID_FLOOD + GARBAGE_FLOOD]
            assert garbage[0::2] == [ErrorCode.CORRUPT_MESSAGE] * (GARBAGE_FLOOD // 2)
            assert garbage[1::2] == [ErrorCode.RECORD_TOO_LARGE_EXCEPTION] * (GARBAGE_FLOOD // 2)
            assert outcomes[-OVERSIZE_FLOOD:] == [ErrorCode.RECORD_TOO_LARGE_EXCEPTION] * OVERSIZE_FLOOD

            assert "unread" not in cluster.log, "slow readers are served, not disconnected"
            assert status_bytes(cluster.pid, "VmHWM") < BOUND_BYTES, peak.seen
            assert acknowledged >= 1_000
            assert slowest_s < 5
            seen = [row["n"] for *_, row in await read_changes(connected, tables["live"])]
            assert seen == list(range(acknowledged))
            for number, data in enumerate(slow.received):
                _, kind, request_id = struct.unpack_from(">ibi", data)
                assert (kind, request_id) == (0, number)
            await asyncio.to_thread(idle.check_alive)
            quiet = tables["quiet"].new_append().create_writer()
            quiet.append([1, b"at last"])
            await quiet.flush()
            await asyncio.to_thread(idle.check_parked_are_answered)
            slow.close()
            idle.close()

    with LocalCluster(tmp_path, options=OPTIONS) as cluster:
        asyncio.run(run(cluster))
        assert cluster.stop() == 0
