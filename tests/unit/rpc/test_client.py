"""The small client against servers that behave and servers that do not."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.frames import failure_frame, success_prefix
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from fluss_server.runtime.system_network import SystemNetwork
from rpc_support import async_test, eventually, serving

P = TypeVar("P", bound=asyncio.BaseProtocol)
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUEST = pb.DatabaseExistsRequest(database_name="d")


class Service:
    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.seen = 0

    @rpc(ApiKey.DATABASE_EXISTS)
    async def exists(self, request: pb.DatabaseExistsRequest, context: RequestContext) -> ResponseBody:
        self.seen += 1
        if request.database_name == "slow":
            await self.release.wait()
        return pb.DatabaseExistsResponse(exists=request.database_name == "d")

    @rpc(ApiKey.LIMIT_SCAN, raw=True)
    def echo(self, request: memoryview, context: RequestContext) -> ResponseBody:
        return [request]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[int]:
    """A server that answers ApiVersions and then does as ``script`` says; its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        versions = pb.ApiVersionsResponse()
        versions.api_versions.add(api_key=ApiKey.DATABASE_EXISTS, min_version=0, max_version=5)
        versions.api_versions.add(api_key=ApiKey.TABLE_EXISTS, min_version=3, max_version=5)
        body = versions.SerializeToString()
        writer.write(success_prefix(0, len(body)) + body)
        await script(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(length)


async def failure_of(port: int, key: ApiKey = ApiKey.DATABASE_EXISTS) -> FlussError:
    async with await RpcClient.connect("127.0.0.1", port) as client:
        with pytest.raises(FlussError) as raised:
            await client.call(key, REQUEST)
        return raised.value


@async_test
async def test_calls_overlap_and_large_bodies_pass() -> None:
    service = Service()
    async with serving(service) as server, await RpcClient.connect("127.0.0.1", server.port) as client:
        slow = asyncio.create_task(client.call(ApiKey.DATABASE_EXISTS, pb.DatabaseExistsRequest(database_name="slow")))
        responses = await asyncio.gather(*(client.call(ApiKey.DATABASE_EXISTS, REQUEST) for _ in range(2500)))
        assert all(response.exists for response in responses)
        bodies = [bytes([number]) * (number * 500_000) for number in range(8)]
        echoed = await asyncio.gather(*(client.call_raw(ApiKey.LIMIT_SCAN, [body[:9], body[9:]]) for body in bodies))
        assert [bytes(body) for body in echoed] == bodies
        assert not slow.done()
        service.release.set()
        assert not (await slow).exists


@async_test
async def test_a_call_that_takes_too_long() -> None:
    service = Service()
    async with serving(service) as server, await RpcClient.connect("127.0.0.1", server.port) as client:
        with pytest.raises(FlussError) as raised:
            await client.call(ApiKey.DATABASE_EXISTS, pb.DatabaseExistsRequest(database_name="slow"), timeout_s=0.02)
        assert raised.value.code is ErrorCode.REQUEST_TIME_OUT
        service.release.set()
        assert (await client.call(ApiKey.DATABASE_EXISTS, REQUEST)).exists, "the late answer is ignored"


@async_test
async def test_close_fails_what_is_in_flight() -> None:
    service = Service()
    async with serving(service) as server:
        client = await RpcClient.connect("127.0.0.1", server.port)
        call = asyncio.create_task(client.call(ApiKey.DATABASE_EXISTS, pb.DatabaseExistsRequest(database_name="slow")))
        await eventually(lambda: service.seen == 1)
        await client.close()
        await client.close()
        for pending in (call, client.call(ApiKey.DATABASE_EXISTS, REQUEST)):
            with pytest.raises(FlussError) as raised:
                await pending
            assert raised.value.code is ErrorCode.NETWORK_EXCEPTION


@async_test
async def test_nobody_listens() -> None:
    async with serving() as server:
        port = server.port
    with pytest.raises(FlussError, match=str(port)) as raised:
        await RpcClient.connect("127.0.0.1", port)
    assert raised.value.code is ErrorCode.NETWORK_EXCEPTION


@async_test
async def test_what_the_server_does_not_serve_is_not_sent() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read() == b""

    async with scripted(script) as port:
        for key in (ApiKey.LOOKUP, ApiKey.TABLE_EXISTS):
            error = await failure_of(port, key)
            assert error.code is ErrorCode.UNSUPPORTED_VERSION


@async_test
async def test_the_server_hangs_up() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)

    async with scripted(script) as port:
        assert (await failure_of(port)).code is ErrorCode.NETWORK_EXCEPTION


@async_test
async def test_server_failure_fails_every_call() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(failure_frame(ErrorCode.RECORD_TOO_LARGE_EXCEPTION, "too long"))

    async with scripted(script) as port:
        error = await failure_of(port)
        assert (error.code, error.message) == (ErrorCode.RECORD_TOO_LARGE_EXCEPTION, "too long")


@pytest.mark.parametrize("garbage", [struct.pack(">i", -1), struct.pack(">ib", 1, 9), struct.pack(">ibi", 5, 3, 1)])
@async_test
async def test_garbage_fails_every_call(garbage: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(garbage)
        assert await reader.read() == b""

    async with scripted(script) as port:
        error = await failure_of(port)
        assert error.code in (ErrorCode.CORRUPT_MESSAGE, ErrorCode.RECORD_TOO_LARGE_EXCEPTION)


@async_test
async def test_answers_to_unknown_requests_are_ignored() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(success_prefix(77, 0))
        body = pb.DatabaseExistsResponse(exists=True).SerializeToString()
        writer.write(success_prefix(1, len(body)) + body)
        await reader.read()

    async with scripted(script) as port, await RpcClient.connect("127.0.0.1", port) as client:
        assert (await client.call(ApiKey.DATABASE_EXISTS, REQUEST)).exists


@async_test
async def test_an_answer_that_cannot_be_read() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(success_prefix(1, 2) + b"\xff\xff")
        await reader.read()

    async with scripted(script) as port:
        assert (await failure_of(port)).code is ErrorCode.CORRUPT_MESSAGE


class Connecting(SystemNetwork):
    """Says when a connection is made."""

    def __init__(self) -> None:
        self.made: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

    async def connect(self, host: str, port: int, protocol_factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        transport, protocol = await super().connect(host, port, protocol_factory)
        self.made.set_result(transport)
        return transport, protocol


@pytest.mark.parametrize("iterations", range(5))
@async_test
async def test_a_connection_that_is_made_when_it_is_not_wanted_any_more_is_closed(iterations: int) -> None:
    async with serving(Service()) as server:
        network = Connecting()
        connecting = asyncio.ensure_future(RpcClient.connect("127.0.0.1", server.port, network=network))
        transport = await network.made
        for _ in range(iterations):
            await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.wait([connecting])
        assert connecting.cancelled()
        assert transport.is_closing()
