"""A server connection, without sockets, against any bytes in any pieces."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.rpc.authentication import Authenticator
from fluss_server.rpc.connection import ServerConnection
from fluss_server.rpc.frame_memory import FrameMemory
from fluss_server.rpc.frames import RECEIVE_BUFFER_SIZE, FrameReader, ResponseType, parse_response
from fluss_server.rpc.limits import RpcLimits
from fluss_server.rpc.loop_budget import LoopBudget
from fluss_server.rpc.request_memory import RequestMemory
from fluss_server.rpc.response_memory import ResponseMemory
from fluss_server.rpc.service import RequestContext, ResponseBody, ServiceRegistry, rpc
from fluss_server.runtime.runtime import system_runtime

MAX_FRAME = 300


class Service:
    @rpc(ApiKey.DATABASE_EXISTS)
    async def exists(self, request: pb.DatabaseExistsRequest, context: RequestContext) -> ResponseBody:
        await asyncio.sleep(0)
        return pb.DatabaseExistsResponse(exists=True)

    @rpc(ApiKey.LIMIT_SCAN, raw=True)
    def echo(self, request: memoryview, context: RequestContext) -> ResponseBody:
        return [request]

    @rpc(ApiKey.PRODUCE_LOG)
    async def produce(self, request: Any, context: RequestContext) -> ResponseBody:
        return pb.ProduceLogResponse()


class Host:
    listener = "TEST"
    authenticator: Authenticator | None = None

    def __init__(self, requests_in_flight: int) -> None:
        self.registry = ServiceRegistry(Service())
        self.limits = RpcLimits(max_frame_bytes=MAX_FRAME, max_requests_in_flight=requests_in_flight)
        self.request_memory = RequestMemory(1 << 20, MAX_FRAME)
        self.response_memory = ResponseMemory(1 << 20)
        self.receive_buffer = memoryview(bytearray(RECEIVE_BUFFER_SIZE))
        self.frame_memory = FrameMemory()
        self.loop_budget = LoopBudget()
        self.runtime = system_runtime()
        self.closed = False

    def connection_opened(self, connection: ServerConnection) -> bool:
        return True

    def connection_closed(self, connection: ServerConnection) -> None:
        self.closed = True


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.reading = True
        self.ended = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.ended

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended
        self.sent += data


async def converse(data: bytes, cuts: list[int], requests_in_flight: int) -> tuple[bytes, bool]:
    """What the server sends for ``data``, and whether it ended the connection."""
    host, transport = Host(requests_in_flight), Transport()
    connection = ServerConnection(host, asyncio.get_running_loop())
    connection.connection_made(transport)
    step = 0
    while data:
        while not transport.reading:  # noqa: ASYNC110 - the fake transport has no events
            await asyncio.sleep(0)
        buffer = connection.get_buffer(-1)
        count = min(len(buffer), len(data), cuts[step % len(cuts)])
        buffer[:count], data = data[:count], data[count:]
        connection.buffer_updated(count)
        step += 1
    while connection.requests_in_flight or not transport.reading:  # noqa: ASYNC110
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)
    ended = transport.ended
    connection.connection_lost(None)
    assert host.closed
    assert host.request_memory.held == 0
    assert host.response_memory.held == 0
    return transport.sent, ended


def responses_in(data: bytes) -> list[tuple[ResponseType, int | None]]:
    reader = FrameReader(1 << 20, 1)
    found = []
    while data:
        buffer = reader.get_buffer()
        count = min(len(buffer), len(data))
        buffer[:count], data = data[:count], data[count:]
        reader.received(count)
        while (frame := reader.next_frame()) is not None:
            response = parse_response(frame)
            found.append((response.type, response.request_id))
    assert reader.idle, "half a response was sent"
    return found


cuts = st.lists(st.integers(1, 500), min_size=1, max_size=5)
keys = st.one_of(
    st.sampled_from([ApiKey.DATABASE_EXISTS, ApiKey.LIMIT_SCAN, ApiKey.PRODUCE_LOG, ApiKey.API_VERSIONS]),
    st.integers(-(2**15), 2**15 - 1),
)
bodies = st.one_of(st.binary(max_size=60), st.just(b"\x0a\x01d"), st.just(b"\x08\x01\x10\x01\x18\x01"))


@settings(max_examples=examples(40))
@given(st.lists(st.tuples(keys, st.integers(-1, 2), bodies), max_size=12), cuts, st.integers(1, 4))
def test_every_request_gets_one_answer(requests: list[tuple[int, int, bytes]], cuts: list[int], in_flight: int) -> None:
    data = b"".join(
        struct.pack(">ihhi", 8 + len(body), key, version, number) + body
        for number, (key, version, body) in enumerate(requests)
    )
    sent, ended = asyncio.run(converse(data, cuts, in_flight))
    responses = responses_in(sent)
    assert sorted(request_id for _, request_id in responses if request_id is not None) == list(range(len(requests)))
    assert {kind for kind, _ in responses} <= {ResponseType.SUCCESS, ResponseType.ERROR}
    assert not ended


@settings(max_examples=examples(50))
@given(st.binary(max_size=400), cuts, st.integers(1, 3))
def test_any_bytes_are_answered_or_end_the_connection(data: bytes, cuts: list[int], in_flight: int) -> None:
    sent, ended = asyncio.run(converse(data, cuts, in_flight))
    kinds = [kind for kind, _ in responses_in(sent)]
    assert ended == (ResponseType.SERVER_FAILURE in kinds)
    if ended:
        assert kinds.index(ResponseType.SERVER_FAILURE) == len(kinds) - 1, "nothing follows a SERVER_FAILURE"
