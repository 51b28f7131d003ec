"""Clients that misbehave, each in its own way, until they are told to stop.

What they get back is checked too: no response may have code -1, which means a fault of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from attack.requests import TABLES, UNTOUCHED, Fuzz, codes_in, prepare
from fluss_server.api import messages as pb
from fluss_server.api.keys import API_SPECS, ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.grpc_server.service_file import method_path
from fluss_server.grpc_server.status import error_from_metadata
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.frames import parse_response, request_prefix
from rpc_support import API_VERSIONS_BODY
from table_rpc import put

RESPONSE_LIMIT_S = 20.0
FUZZERS = 4
SOME_ROWS = build_kv_batch(1, [(bytes((n,)), b"\x00" + bytes((n,)) + b"\x01x") for n in range(1, 100)])
"""Of the table ``keyed``: null bits, id, text. Without rows a scan ends at once."""
BREAK = (OSError, EOFError, asyncio.TimeoutError)
"""What ends a connection that misbehaves: the server may close it whenever it likes."""


class CodeMinusOne(AssertionError):
    """A response that admits a fault of the server."""


@dataclass
class Target:
    """Who is attacked, and what was seen.

    Attributes:
        port: of the native protocol.
        grpc_port: of gRPC.
        rng: of all choices.
        authentication: of a user without any permission, None = no authentication is needed.
        counts: what was done.
        codes: what was returned.
        answered: APIs that returned a success.
        stop: set when it is enough.
        fuzz: makes requests, about the same tables for everybody.
    """

    port: int
    grpc_port: int
    rng: Random
    authentication: tuple[str, str] | None
    counts: Counter[str] = field(default_factory=Counter)
    codes: Counter[ErrorCode] = field(default_factory=Counter)
    answered: set[ApiKey] = field(default_factory=set)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    fuzz: Fuzz = field(init=False)

    def __post_init__(self) -> None:
        self.fuzz = Fuzz(self.rng)

    def note(self, code: int, text: str, name: str, request: bytes) -> None:
        """A response with an error, and what was requested."""
        if code == ErrorCode.UNKNOWN_SERVER_ERROR:
            raise CodeMinusOne(f"{name} {request!r:.2000}: {text}")
        self.codes[ErrorCode(code)] += 1

    def note_response(self, key: ApiKey, body: bytes, request: bytes) -> None:
        """A response without an error of its own; its parts may have some."""
        try:
            response = API_SPECS[key].response.FromString(body)
        except DecodeError:
            raise AssertionError(
                f"{key.name} {request!r:.2000}: a response that cannot be read: {body!r:.200}"
            ) from None
        self.answered.add(key)
        for code, text in codes_in(response):
            self.note(code, text, key.name, request)

    async def connect(self) -> RpcClient:
        return await RpcClient.connect("127.0.0.1", self.port, authentication=self.authentication)


@asynccontextmanager
async def _open(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that ends without ceremony."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _frame(key: int, body: bytes, rng: Random, version: int = 0) -> bytes:
    return bytes(request_prefix(key, version, rng.randrange(1 << 31), len(body))) + body


# ---- one after the other


async def fuzzed_requests(target: Target) -> None:
    """Requests with valid, extreme and senseless fields, of every API at first."""
    await asyncio.gather(*(_fuzz(target, number) for number in range(FUZZERS)))


async def _fuzz(target: Target, part: int) -> None:
    client = await target.connect()
    served = [key for key in ApiKey if key in client.api_versions and key not in UNTOUCHED]
    first = served[part::FUZZERS]
    while not target.stop.is_set():
        key = first.pop() if first else target.rng.choice(served)
        await _call(target, client, key, target.fuzz.request(key))
    await client.close()


async def tables_again(target: Target) -> None:
    """Not an attack: the tables that requests are about, which others drop."""
    client = await target.connect()
    while not target.stop.is_set():
        try:
            await prepare(client, target.fuzz)
            await put(client, target.fuzz.table_ids[TABLES.index("keyed")], SOME_ROWS)
        except FlussError as error:  # another client is quicker
            target.note(error.code, error.message, "preparation", b"")
        await asyncio.sleep(0.5)
    await client.close()


async def _call(target: Target, client: RpcClient, key: ApiKey, request: bytes) -> None:
    target.counts["requests"] += 1
    try:
        body = await client.call_raw(key, [request], timeout_s=RESPONSE_LIMIT_S)
    except FlussError as error:
        target.note(error.code, error.message, key.name, request)
        if error.code is ErrorCode.REQUEST_TIME_OUT and "no response" in error.message:  # our client's words
            raise
    else:
        target.note_response(key, bytes(body), request)


async def bad_requests(target: Target) -> None:
    """Bodies that no library makes, of every API, known and unknown, in every version."""
    fuzz = target.fuzz
    while not target.stop.is_set():
        with contextlib.suppress(*BREAK):
            async with _open(target.port) as (reader, writer):
                for _ in range(50):
                    key = fuzz.key()
                    number = key if target.rng.random() < 0.95 else target.rng.randrange(1 << 15)
                    version = target.rng.choice((0, 0, 0, 1, 2, 3, -1, 1 << 14))
                    body = fuzz.bad_request(key)
                    writer.write(_frame(number, body, target.rng, version))
                    await _receive(target, reader, key, body)
                    if target.stop.is_set():
                        return


async def _receive(target: Target, reader: asyncio.StreamReader, key: ApiKey, body: bytes) -> None:
    target.counts["bad requests"] += 1
    (length,) = struct.unpack(">i", await asyncio.wait_for(reader.readexactly(4), RESPONSE_LIMIT_S))
    response = parse_response(await asyncio.wait_for(reader.readexactly(length), RESPONSE_LIMIT_S))
    if response.type != 0:
        error = pb.ErrorResponse.FromString(bytes(response.body))
        target.note(error.error_code, error.error_message, key.name, body)


async def bad_frames(target: Target) -> None:
    """Frames with wrong lengths, cut off anywhere, and noise."""
    rng = target.rng
    fuzz = target.fuzz
    while not target.stop.is_set():
        with contextlib.suppress(*BREAK):
            async with _open(target.port) as (reader, writer):
                frame = bytearray(_frame(fuzz.key(), fuzz.request(fuzz.key()), rng))
                kind = rng.randrange(4)
                if kind == 0:
                    struct.pack_into(">i", frame, 0, rng.choice((-1, 0, 1, 7, 1 << 30, -(1 << 31), len(frame) + 50)))
                elif kind == 1:
                    del frame[rng.randrange(len(frame)) :]
                elif kind == 2:
                    frame = bytearray(rng.randbytes(rng.randint(1, 200)))
                else:
                    frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
                target.counts["bad frames"] += 1
                writer.write(frame)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.05)


async def resets(target: Target) -> None:
    """Connections that are reset while a request is under way, or a response."""
    rng = target.rng
    fuzz = target.fuzz
    while not target.stop.is_set():
        with contextlib.suppress(*BREAK):
            async with _open(target.port) as (reader, writer):
                for _ in range(rng.randint(1, 30)):
                    writer.write(_frame(key := fuzz.key(), fuzz.request(key), rng))
                if rng.random() < 0.5:
                    await asyncio.wait_for(reader.read(rng.randint(1, 50)), 1)
                linger = struct.pack("ii", 1, 0)  # makes a close a reset
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                target.counts["resets"] += 1


# ---- slow and silent ones


async def slow_requests(target: Target) -> None:
    """Requests that arrive byte by byte, or not at all, for as long as the server allows it."""
    rng = target.rng
    fuzz = target.fuzz

    async def one() -> None:
        while not target.stop.is_set():
            with contextlib.suppress(*BREAK):
                async with _open(target.port) as (reader, writer):
                    target.counts["slow connections"] += 1
                    frame = _frame(key := fuzz.key(), fuzz.request(key), rng)
                    if rng.random() < 0.5:  # announces much
                        frame = struct.pack(">i", rng.choice((1 << 20, 50 << 20))) + frame[4:]
                    for byte in frame[: rng.choice((0, 3, 8, len(frame)))]:
                        writer.write(bytes((byte,)))
                        await asyncio.sleep(0.02)
                        if target.stop.is_set() or reader.at_eof() or reader.exception() is not None:
                            break
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(reader.read(1), rng.random() * 3)

    await asyncio.gather(*(one() for _ in range(40)))


async def waiting_fetches(target: Target) -> None:
    """Fetches that wait for minutes, of clients that go away, and scans that nobody ends."""
    rng = target.rng
    fuzz = target.fuzz

    async def one() -> None:
        while not target.stop.is_set():
            with contextlib.suppress(*BREAK, FlussError):
                client = await target.connect()
                try:
                    for _ in range(10):
                        target.counts["waiting fetches"] += 1
                        fetch = pb.FetchLogRequest(
                            follower_server_id=-1, max_bytes=1 << 20, min_bytes=1 << 20, max_wait_ms=600_000
                        )
                        wanted = fetch.tables_req.add(
                            table_id=rng.choice(fuzz.table_ids), projection_pushdown_enabled=False
                        )
                        for bucket in range(rng.choice((1, 3, 500))):
                            wanted.buckets_req.add(bucket_id=bucket % 4, fetch_offset=0, max_fetch_bytes=1 << 20)
                        task = asyncio.create_task(client.call(ApiKey.FETCH_LOG, fetch))
                        scan = pb.ScanKvRequest(batch_size_bytes=1, call_seq_id=0)
                        scan.bucket_scan_req.table_id = rng.choice(fuzz.table_ids)
                        scan.bucket_scan_req.bucket_id = 0
                        with contextlib.suppress(FlussError):
                            await client.call(ApiKey.SCAN_KV, scan)
                        task.cancel()
                        with contextlib.suppress(asyncio.CancelledError, FlussError):
                            await task
                    await asyncio.sleep(rng.random())
                finally:
                    await client.close()

    await asyncio.gather(*(one() for _ in range(3)))


async def floods(target: Target) -> None:
    """Thousands of small requests at once whose responses nobody reads, and single ones with huge counts."""
    rng = target.rng
    while not target.stop.is_set():
        with contextlib.suppress(*BREAK):
            async with _open(target.port) as (reader, writer):
                target.counts["floods"] += 1
                if rng.random() < 0.5:
                    body = API_VERSIONS_BODY
                    writer.write(_frame(ApiKey.API_VERSIONS, body, rng) * rng.choice((1_000, 10_000)))
                else:
                    writer.write(_frame(*_huge(rng), rng))
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(writer.drain(), 1)
                    await asyncio.wait_for(reader.read(100), 1)
        await asyncio.sleep(rng.random())  # others want to attack too


def _huge(rng: Random) -> tuple[ApiKey, bytes]:
    count = rng.choice((1_000, 100_000, 100_001))
    message: Any
    if rng.random() < 0.5:
        message = pb.LookupRequest(table_id=rng.randrange(6))
        message.buckets_req.add(bucket_id=0, keys=[b"\x05"] * count)
        return ApiKey.LOOKUP, message.SerializeToString()
    message = pb.ListOffsetsRequest(follower_server_id=-1, offset_type=rng.randrange(4), table_id=rng.randrange(6))
    message.bucket_id.extend([0] * count)
    return ApiKey.LIST_OFFSETS, message.SerializeToString()


# ---- gRPC


async def grpc_requests(target: Target) -> None:
    """Valid, extreme and senseless messages through gRPC; some calls are cancelled."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{target.grpc_port}") as channel:
        await asyncio.gather(*(_call_grpc(target, channel) for _ in range(FUZZERS)))


async def _call_grpc(target: Target, channel: Any) -> None:
    rng = target.rng
    fuzz = target.fuzz
    while not target.stop.is_set():
        key = fuzz.key()
        body = fuzz.bad_request(key) if rng.random() < 0.5 else fuzz.request(key)
        call = channel.unary_unary(method_path(API_SPECS[key]))
        timeout_s = RESPONSE_LIMIT_S if rng.random() < 0.9 else 0.001
        target.counts["gRPC calls"] += 1
        try:
            response = await call(body, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            known = error_from_metadata(error.trailing_metadata() or ())
            text = error.details() or ""
            if error.code() is grpc.StatusCode.UNKNOWN:  # what gRPC makes of an exception in a handler
                raise CodeMinusOne(f"gRPC {key.name} {body!r:.2000}: {text}") from None
            if known is not None:
                target.note(known.code, known.message, f"gRPC {key.name}", body)
        else:
            if target.authentication is None:
                target.note_response(key, bytes(response), body)


async def grpc_noise(target: Target) -> None:
    """Bytes at the port of gRPC that are not HTTP/2, or only its beginning; and the other protocol's."""
    rng = target.rng
    fuzz = target.fuzz
    while not target.stop.is_set():
        with contextlib.suppress(*BREAK):
            async with _open(target.grpc_port) as (reader, writer):
                target.counts["gRPC noise"] += 1
                preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
                data = rng.choice(
                    (
                        preface[: rng.randrange(len(preface))],
                        preface + settings + rng.randbytes(rng.randrange(100)),
                        preface + settings + b"\xff\xff\xff\x01\x05\x00\x00\x00\x01",
                        _frame(key := fuzz.key(), fuzz.request(key), rng),
                        b"GET /metrics HTTP/1.1\r\n\r\n",
                    )
                )
                writer.write(data)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(reader.read(100), 0.1)
        await asyncio.sleep(0.01)


# ---- without credentials


async def strangers(target: Target) -> None:
    """Requests before authentication, tokens of every kind, guessed passwords: none may succeed."""
    rng = target.rng
    fuzz = target.fuzz
    tokens = (b"", b"\0", b"\0\0", b"\0root\0wrong", b"root\0root\0root_pass\0", b"\0" * 5_000, b"\xff\0\xff\0\xff")
    while not target.stop.is_set():
        with contextlib.suppress(*BREAK):
            async with _open(target.port) as (reader, writer):
                target.counts["strangers"] += 1
                if rng.random() < 0.5:
                    key, body = fuzz.key(), fuzz.request(fuzz.key())
                else:
                    key = ApiKey.AUTHENTICATE
                    request = pb.AuthenticateRequest(protocol=rng.choice(("PLAIN", "", "SCRAM")))
                    request.token = rng.choice(tokens)
                    body = request.SerializeToString()
                writer.write(_frame(key, body, rng))
                (length,) = struct.unpack(">i", await asyncio.wait_for(reader.readexactly(4), RESPONSE_LIMIT_S))
                response = parse_response(await asyncio.wait_for(reader.readexactly(length), RESPONSE_LIMIT_S))
                assert response.type != 0, f"{key.name} succeeds without authentication: {body!r:.500}"
                error = pb.ErrorResponse.FromString(bytes(response.body))
                target.note(error.error_code, error.error_message, key.name, body)


Attack = Callable[[Target], Coroutine[Any, Any, None]]
OPEN: tuple[Attack, ...] = (
    tables_again,
    fuzzed_requests,
    bad_requests,
    bad_frames,
    resets,
    slow_requests,
    waiting_fetches,
    floods,
    grpc_requests,
    grpc_noise,
)
"""Against a server that everybody may use."""
SECURED: tuple[Attack, ...] = (*OPEN[1:], strangers)
"""And against one that requires authentication and permissions."""
