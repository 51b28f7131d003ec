"""Connections between servers: opened on demand, given up when they are silent, opened again at the new address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from error_support import refused
from fluss_server.api.keys import ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.cluster import peer
from fluss_server.cluster.peer import PeerConnection
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import RequestContext, ServiceRegistry, rpc
from fluss_server.runtime.runtime import system_runtime
from rpc_support import async_test, eventually

RUNTIME = system_runtime()


class Ids:
    """Responds with what it was asked for; what is asked for a negative table waits."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.gate = asyncio.Event()

    @rpc(ApiKey.RESERVE_IDS)
    async def reserve_ids(self, request: Any, context: RequestContext) -> Any:
        self.asked.append(request.table_id)
        if request.table_id < 0:
            await self.gate.wait()
        if request.size > 5:
            raise FlussError(ErrorCode.TABLE_NOT_EXIST, "no such table")
        return message_class("ReserveIdsResponse")(first=request.table_id, size=request.size)


@asynccontextmanager
async def serving(ids: Ids, port: int = 0, listener: str = "INTERNAL") -> AsyncIterator[RpcServer]:
    registry = ServiceRegistry(ids, internal_listener="INTERNAL")
    server = RpcServer(registry, "127.0.0.1", port, runtime=RUNTIME, listener=listener)
    await server.start()
    try:
        yield server
    finally:
        ids.gate.set()
        await server.close(0)


def connection(port: int, **options: Any) -> PeerConnection:
    return PeerConnection(
        "the other", lambda: Endpoint("INTERNAL", "127.0.0.1", port), network=RUNTIME.network, **options
    )


def request(table_id: int, size: int = 1) -> Any:
    return message_class("ReserveIdsRequest")(table_id=table_id, size=size)


async def ask(other: PeerConnection, table_id: int, size: int = 1, **options: Any) -> int:
    response = await other.call(ApiKey.RESERVE_IDS, request(table_id, size), **options)
    return int(response.first)


@async_test
async def test_one_connection_serves_all_calls_in_their_order() -> None:
    ids = Ids()
    async with serving(ids) as server:
        other = connection(server.port)
        assert server.connection_count == 0, "it is opened when it is needed"
        assert await asyncio.gather(*(ask(other, number) for number in range(50))) == list(range(50))
        assert ids.asked == list(range(50))
        assert server.connection_count == 1
        assert await refused(ask(other, 1, size=6)) is ErrorCode.TABLE_NOT_EXIST
        assert await ask(other, 2) == 2
        assert server.connection_count == 1, "an error of the call is none of the connection"
        await other.close()
        await eventually(lambda: server.connection_count == 0)
        assert await refused(ask(other, 3)) is ErrorCode.NETWORK_EXCEPTION


@async_test
async def test_it_follows_the_other_server_to_its_new_address() -> None:
    ports: list[int | None] = [None]

    def address() -> Endpoint | None:
        return None if ports[-1] is None else Endpoint("INTERNAL", "127.0.0.1", ports[-1])

    other = PeerConnection("the other", address, network=RUNTIME.network)
    assert await refused(ask(other, 1)) is ErrorCode.NETWORK_EXCEPTION
    async with serving(Ids()) as server:
        ports.append(server.port)
        assert await ask(other, 1) == 1
    assert await refused(ask(other, 1)) is ErrorCode.NETWORK_EXCEPTION
    async with serving(Ids()) as server, serving(Ids()) as moved:
        ports.append(server.port)
        assert await ask(other, 2) == 2
        ports.append(moved.port)
        assert await ask(other, 3) == 3
        await eventually(lambda: server.connection_count == 0)
        assert moved.connection_count == 1
        await other.close()


@async_test
async def test_a_call_without_response_ends_the_connection() -> None:
    ids = Ids()
    async with serving(ids) as server:
        other = connection(server.port, request_timeout_s=5.0)
        behind = asyncio.ensure_future(ask(other, -2))
        assert await refused(ask(other, -1, timeout_s=0.05)) is ErrorCode.REQUEST_TIME_OUT
        assert await refused(behind) is ErrorCode.NETWORK_EXCEPTION, "what is behind it on the connection may be lost"
        assert await ask(other, 3) == 3
        await other.close()


@async_test
async def test_another_connection_has_troubles_of_its_own() -> None:
    ids = Ids()
    async with serving(ids) as server:
        first = connection(server.port)
        second = first.another()
        waiting = asyncio.ensure_future(ask(second, -2))
        await eventually(lambda: ids.asked == [-2])
        assert await refused(ask(first, -1, timeout_s=0.05)) is ErrorCode.REQUEST_TIME_OUT
        assert not waiting.done()
        ids.gate.set()
        assert await waiting == -2
        await first.close()
        await second.close()


@async_test
async def test_many_callers_wait_for_one_attempt_to_connect() -> None:
    connections = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    other = connection(server.sockets[0].getsockname()[1], connect_timeout_s=0.2)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    codes = await asyncio.gather(*(refused(ask(other, number)) for number in range(20)))
    assert set(codes) == {ErrorCode.NETWORK_EXCEPTION}
    assert (connections, loop.time() - begin < 2.0) == (1, True)
    waiting = asyncio.ensure_future(refused(ask(other, 1)))
    await eventually(lambda: connections == 2)
    await other.close()
    assert await waiting is ErrorCode.NETWORK_EXCEPTION
    server.close()
    await server.wait_closed()


@async_test
async def test_an_attempt_to_connect_ends_when_the_other_server_is_elsewhere() -> None:
    """A process that stands still accepts connections, and never responds."""
    accepted = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        writer.close()

    stalled = await asyncio.start_server(silent, "127.0.0.1", 0)
    ports = [stalled.sockets[0].getsockname()[1]]
    other = PeerConnection(
        "the other",
        lambda: Endpoint("INTERNAL", "127.0.0.1", ports[-1]),
        network=RUNTIME.network,
        connect_timeout_s=1000.0,
    )
    async with serving(Ids()) as server:
        calls = [asyncio.ensure_future(ask(other, number)) for number in range(3)]
        await accepted.wait()
        other.address_changed()  # not to another one
        ports.append(server.port)
        other.address_changed()
        assert await asyncio.wait_for(asyncio.gather(*calls), 10.0) == [0, 1, 2]
        assert await ask(other, 4) == 4
        await other.close()
    stalled.close()
    await stalled.wait_closed()


@async_test
async def test_who_calls_over_the_wrong_listener_is_told_what_to_check() -> None:
    async with serving(Ids(), listener="CLIENT") as server:
        other = connection(server.port)
        with pytest.raises(FlussError) as wrong:
            await ask(other, 1)
        assert wrong.value.code is ErrorCode.UNSUPPORTED_VERSION
        assert "internal.listener.name" in str(wrong.value)
        await other.close()
        impostor = connection(server.port, authentication=("server", "secret"))
        with pytest.raises(FlussError) as refusal:
            await ask(impostor, 1)
        assert refusal.value.code is ErrorCode.AUTHENTICATE_EXCEPTION
        assert "client.security" in str(refusal.value)
        assert "secret" not in str(refusal.value)
        await impostor.close()


@async_test
async def test_calls_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "MAX_CALLS", 3)
    ids = Ids()
    async with serving(ids) as server:
        other = connection(server.port)
        waiting = [asyncio.ensure_future(ask(other, -number)) for number in (1, 2, 3)]
        await eventually(lambda: len(ids.asked) == 3)
        assert await refused(ask(other, 4)) is ErrorCode.REQUEST_TIME_OUT
        ids.gate.set()
        assert await asyncio.gather(*waiting) == [-1, -2, -3]
        assert await ask(other, 4) == 4
        await other.close()


@async_test
async def test_a_cancelled_call_leaves_the_connection_to_others() -> None:
    ids = Ids()
    async with serving(ids) as server:
        other = connection(server.port)
        waiting = asyncio.ensure_future(ask(other, -1))
        await eventually(lambda: bool(ids.asked))
        waiting.cancel()
        assert await ask(other, 2) == 2
        assert server.connection_count == 1
        ids.gate.set()
        await other.close()


@pytest.mark.parametrize("iterations", range(5))
@async_test
async def test_a_connection_that_is_open_when_it_is_not_wanted_any_more_is_closed(
    monkeypatch: pytest.MonkeyPatch, iterations: int
) -> None:
    connecting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    begun = asyncio.Event()
    closed = []

    class Client:
        is_open = True

        async def close(self) -> None:
            closed.append(True)

        def add_lost_callback(self, callback: object) -> None:
            pass

    async def connect(*arguments: object, **options: object) -> Any:
        begun.set()
        return await connecting

    monkeypatch.setattr(RpcClient, "connect", connect)
    other = connection(1)
    call = asyncio.ensure_future(other.open())
    await begun.wait()
    connecting.set_result(Client())
    for _ in range(iterations):
        await asyncio.sleep(0)
    await other.close()
    await asyncio.wait([call])
    assert closed == [True]
