"""Clients that stop in the middle are disconnected; slow ones are not."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from fluss_server.api.keys import ApiKey
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from rpc_support import RawClient, async_test, eventually, serving

SIZE = 8 << 20


class Service:
    @rpc(ApiKey.SCAN_KV, raw=True)
    def large(self, request: memoryview, context: RequestContext) -> ResponseBody:
        return [bytes(SIZE)]


@pytest.mark.parametrize(
    "beginning", [b"", b"\0\0", struct.pack(">i", 100) + b"abc", struct.pack(">i", 10_000) + b"abc"]
)
@async_test
async def test_a_request_that_does_not_arrive(beginning: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Service(), receive_timeout_s=0.2) as server, RawClient.connected(server.port) as client:
        client.writer.write(beginning)
        assert await client.closed() == b""
        assert "a request did not arrive within" in caplog.text
        await eventually(lambda: server.request_memory.held == 0)


@async_test
async def test_slow_but_steady_requests_arrive() -> None:
    async with serving(Service(), receive_timeout_s=0.3) as server, RawClient.connected(server.port) as client:
        assert await client.alive()
        for _ in range(4):  # each in time, and longer in all than one may take
            data = struct.pack(">ihhi", 8, ApiKey.LOOKUP, 0, 5)
            for position in range(0, len(data), 4):
                client.writer.write(data[position : position + 4])
                await asyncio.sleep(0.03)
            assert (await client.receive_error())[0] == 2
        await asyncio.sleep(0.5)  # between requests nobody hurries
        assert await client.alive()


@async_test
async def test_a_client_that_takes_nothing_of_its_answer() -> None:
    async with serving(Service(), send_timeout_s=0.3) as server, RawClient.connected(server.port) as client:
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(ApiKey.SCAN_KV, b"", 1)
        await eventually(lambda: server.response_memory.held > 0)
        assert server.response_memory.held >= SIZE - (5 << 20)
        await eventually(lambda: server.connection_count == 0)
        assert server.response_memory.held == 0


@async_test
async def test_a_client_that_reads_slowly_gets_everything() -> None:
    async with serving(Service(), send_timeout_s=0.4) as server:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", server.port))
            await loop.sock_sendall(sock, struct.pack(">ihhi", 8, ApiKey.SCAN_KV, 0, 1))
            received = 0
            started = loop.time()
            while loop.time() - started < 1.2:
                received += len(await loop.sock_recv(sock, 20_000))
                await asyncio.sleep(0.02)
            assert received < SIZE / 2, "slower than the server, or nothing is shown"
            while received < SIZE + 9:
                received += len(await loop.sock_recv(sock, 1 << 20))
            assert received == SIZE + 9
