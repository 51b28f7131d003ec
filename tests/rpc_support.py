"""For tests of the native protocol: a server on a free port, a client that sees raw frames, asyncio in plain pytest."""

from __future__ import annotations

import asyncio
import functools
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ParamSpec

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.rpc.frames import ResponseFrame, parse_response, request_prefix
from fluss_server.rpc.limits import RpcLimits
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.runtime import event_loop
from fluss_server.runtime.runtime import system_runtime

P = ParamSpec("P")
TEST_LIMIT_S = 100.0


def async_test(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test coroutine on a loop of its own, of the kind that servers have, within :data:`TEST_LIMIT_S`."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        event_loop.run(asyncio.wait_for(test(*args, **kwargs), TEST_LIMIT_S))

    return run


@asynccontextmanager
async def serving(
    *services: object, host: str = "127.0.0.1", grace_s: float = 0.0, **limits: Any
) -> AsyncIterator[RpcServer]:
    """A server of ``services`` on a free port."""
    server = RpcServer(ServiceRegistry(*services), host, 0, runtime=system_runtime(), limits=RpcLimits(**limits))
    await server.start()
    try:
        yield server
    finally:
        await server.close(grace_s)


class RawClient:
    """A connection on which every byte is the test's own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @asynccontextmanager
    async def connected(cls, port: int) -> AsyncIterator[RawClient]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = cls(reader, writer)
        try:
            yield client
        finally:
            client.reset()

    def send(self, key: int, body: bytes, request_id: int = 0, version: int = 0) -> None:
        """Send a request; nothing waits."""
        self.writer.write(request_prefix(key, version, request_id, len(body)) + body)

    async def receive(self) -> ResponseFrame:
        """The next response.

        Raises:
            IncompleteReadError: the server closed the connection.
        """
        (length,) = struct.unpack(">i", await self.reader.readexactly(4))
        return parse_response(await self.reader.readexactly(length))

    async def receive_error(self) -> tuple[int, str]:
        """Code and text of the next response, which must be an error."""
        response = await self.receive()
        assert response.type != 0, f"a success: {bytes(response.body)!r}"
        error = pb.ErrorResponse.FromString(bytes(response.body))
        return error.error_code, error.error_message

    async def closed(self) -> bytes:
        """Wait until the server closes; what came before."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return b""

    def reset(self) -> None:
        """Close at once, without a word."""
        self.writer.transport.abort()

    async def alive(self) -> bool:
        """True if the server still answers on this connection."""
        self.send(ApiKey.API_VERSIONS, API_VERSIONS_BODY, request_id=987_654)
        response = await self.receive()
        return response.request_id == 987_654 and response.type == 0


API_VERSIONS_BODY = pb.ApiVersionsRequest(client_software_name="t", client_software_version="1").SerializeToString()


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the loop turn until ``condition`` holds; the test's own limit bounds it."""
    while not condition():  # noqa: ASYNC110 - most conditions are plain state of the code under test
        await asyncio.sleep(0.001)
