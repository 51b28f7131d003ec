"""Options of accepted sockets, which no test could tell by the clock."""

from __future__ import annotations

import asyncio
import socket

import pytest

from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.connection import ServerConnection
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.runtime.runtime import system_runtime


def test_answers_are_not_held_back_for_acknowledgements(monkeypatch: pytest.MonkeyPatch) -> None:
    sockets: list[socket.socket] = []
    made = ServerConnection.connection_made

    def remember(connection: ServerConnection, transport: asyncio.BaseTransport) -> None:
        made(connection, transport)
        sockets.append(transport.get_extra_info("socket"))

    monkeypatch.setattr(ServerConnection, "connection_made", remember)

    async def run() -> None:
        server = RpcServer(ServiceRegistry(), "127.0.0.1", 0, runtime=system_runtime())
        await server.start()
        try:
            async with await RpcClient.connect("127.0.0.1", server.port):
                (accepted,) = sockets
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        finally:
            await server.close()

    asyncio.run(run())
