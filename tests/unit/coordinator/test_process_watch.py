"""The end of a process is noticed by its connection, over real sockets."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fluss_server.cluster.peer import PeerConnection
from fluss_server.coordinator import process_watch
from fluss_server.coordinator.process_watch import ProcessWatch
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.runtime import system_runtime
from rpc_support import async_test, eventually

RUNTIME = system_runtime()


class Watched:
    """A server, and a watch of it that counts.

    Attributes:
        ended: how often the watch said that the process has ended.
        heard_at: of the last heartbeat.
    """

    def __init__(self) -> None:
        self.ended = 0
        self.heard_at = -math.inf
        self.port = 0
        self._server: RpcServer | None = None
        self.connection = PeerConnection(
            "tablet server 1",
            lambda: Endpoint("FLUSS", "127.0.0.1", self.port),
            network=RUNTIME.network,
        )
        self.watch = ProcessWatch(self.connection, RUNTIME.clock, lambda: self.heard_at, self._count)

    def _count(self) -> None:
        self.ended += 1

    async def start(self) -> None:
        self._server = RpcServer(ServiceRegistry(), "127.0.0.1", self.port, runtime=RUNTIME)
        await self._server.start()
        self.port = self._server.port

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.close(0.0)


@asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    found = Watched()
    await found.start()
    await found.connection.open()
    try:
        yield found
    finally:
        await found.watch.close()
        await found.connection.close()
        await found.stop()


@async_test
async def test_a_server_that_refuses_connections_and_is_silent_has_ended() -> None:
    async with watched() as server:
        await server.stop()
        await eventually(lambda: server.ended > 0)
    assert server.ended == 1


@async_test
async def test_a_server_that_listens_again_lives() -> None:
    async with watched() as server:
        await server.stop()
        await server.start()
        await eventually(lambda: server.connection.is_open)
        await server.stop()
        await eventually(lambda: server.ended > 0)
    assert server.ended == 1, "the second time"


@async_test
async def test_a_server_that_sends_heartbeats_lives() -> None:
    async with watched() as server:
        await server.stop()
        until = RUNTIME.clock.monotonic() + 2 * process_watch.SILENCE_S
        while RUNTIME.clock.monotonic() < until:
            server.heard_at = RUNTIME.clock.monotonic()
            await asyncio.sleep(0.01)
        assert server.ended == 0
        await eventually(lambda: server.ended > 0)


@async_test
async def test_connections_that_break_while_the_process_ends_do_not_end_the_watch() -> None:
    broken = 0

    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal broken
        broken += 1
        writer.transport.abort()

    async with watched() as server:
        await server.stop()
        ending = await asyncio.start_server(break_off, "127.0.0.1", server.port)
        await eventually(lambda: broken > 0)
        ending.close()
        await eventually(lambda: server.ended > 0)
