"""What a client may cost: bounds on requests in flight, their bytes, and unsent output."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import struct
from pathlib import Path, PurePath
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.limits import REQUEST_OVERHEAD_BYTES
from fluss_server.rpc.response_memory import ResponseMemory
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from fluss_server.runtime.disk import FileRegion
from fluss_server.runtime.system_disk import SystemFile
from rpc_support import RawClient, async_test, eventually, serving

MIB = 1 << 20


class Parking:
    """Methods that wait for the test, and methods with large answers."""

    def __init__(self) -> None:
        self.gates: list[asyncio.Future[None]] = []
        self.large_started = 0
        self.turns: list[str] = []
        self.response: Any = bytes(MIB)
        self.errors: list[FlussError] = []

    @rpc(ApiKey.LIMIT_SCAN, raw=True)
    async def park(self, request: memoryview, context: RequestContext) -> ResponseBody:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        await gate
        return []

    @rpc(ApiKey.SCAN_KV, raw=True)
    def large(self, request: memoryview, context: RequestContext) -> ResponseBody:
        self.large_started += 1
        return [self.response]

    @rpc(ApiKey.LOOKUP, raw=True)
    async def large_in_turn(self, request: memoryview, context: RequestContext) -> ResponseBody:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        await gate  # as a long poll does
        try:
            await context.response_slot()
        except FlussError as error:
            self.errors.append(error)
            raise
        self.turns.append("start")
        await asyncio.sleep(0)
        self.turns.append("end")
        return [bytes(MIB)]

    def open_all(self) -> None:
        for gate in self.gates:
            gate.set_result(None)


def peak_memory() -> int:
    """Bytes that this process had resident at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def ping(client: RawClient) -> None:
    """Return when the server has seen everything sent before, if it reads at all."""
    assert await client.alive()


@async_test
async def test_requests_in_flight_are_bounded() -> None:
    service = Parking()
    async with serving(service, max_requests_in_flight=10) as server, RawClient.connected(server.port) as client:
        for request_id in range(50):
            client.send(ApiKey.LIMIT_SCAN, b"", request_id)
        answered = []
        for round_number in range(5):
            await eventually(lambda: len(service.gates) >= 10)
            async with RawClient.connected(server.port) as other:
                await ping(other)
            assert len(service.gates) == 10, round_number
            gates, service.gates = service.gates, []
            for gate in gates:
                gate.set_result(None)
            answered += [(await client.receive()).request_id for _ in range(10)]
        assert answered == list(range(50))


@async_test
async def test_bytes_in_flight_are_bounded() -> None:
    service = Parking()
    limit = 3 * MIB
    async with (
        serving(service, max_request_bytes_in_flight=limit) as server,
        RawClient.connected(server.port) as client,
    ):
        for request_id in range(6):
            client.send(ApiKey.LIMIT_SCAN, bytes(MIB), request_id)
        for _ in range(2):
            await eventually(lambda: len(service.gates) >= 3)
            async with RawClient.connected(server.port) as other:
                await ping(other)
            assert len(service.gates) == 3
            gates, service.gates = service.gates, []
            for gate in gates:
                gate.set_result(None)
            for _ in range(3):
                await client.receive()


@async_test
async def test_bytes_of_all_connections_are_bounded() -> None:
    service = Parking()
    async with (
        serving(service, max_server_request_bytes=8 * (REQUEST_OVERHEAD_BYTES + 1000)) as server,
        RawClient.connected(server.port) as first,
        RawClient.connected(server.port) as second,
    ):
        first.send(ApiKey.LIMIT_SCAN, bytes(992), 1)
        first.send(ApiKey.LIMIT_SCAN, bytes(992), 2)
        await eventually(lambda: len(service.gates) == 2)
        second.send(ApiKey.LIMIT_SCAN, b"", 3)
        await eventually(lambda: server.request_memory.waiting == 1)
        assert len(service.gates) == 2
        service.gates[0].set_result(None)
        assert (await first.receive()).request_id == 1
        await eventually(lambda: len(service.gates) == 3)
        service.gates[2].set_result(None)
        assert (await second.receive()).request_id == 3
        service.gates[1].set_result(None)
        assert (await first.receive()).request_id == 2
        assert server.request_memory.held == 0


@async_test
async def test_long_requests_wait_for_memory_before_they_are_received() -> None:
    service = Parking()
    async with (
        serving(service, max_server_request_bytes=4 * MIB) as server,
        RawClient.connected(server.port) as first,
        RawClient.connected(server.port) as second,
        RawClient.connected(server.port) as third,
        RawClient.connected(server.port) as small,
    ):
        size = MIB + MIB // 2
        first.send(ApiKey.LIMIT_SCAN, bytes(size), 1)
        await eventually(lambda: len(service.gates) == 1)
        second.send(ApiKey.LIMIT_SCAN, bytes(size), 2)
        await eventually(lambda: server.request_memory.waiting == 1)
        third.send(ApiKey.LIMIT_SCAN, bytes(size), 3)
        await eventually(lambda: server.request_memory.waiting == 2)
        assert size < server.request_memory.held <= 2 * MIB
        for _ in range(5):  # a flood of large requests does not hold up a small one
            assert await small.alive()
        small.send(ApiKey.LIMIT_SCAN, bytes(60_000), 4)
        await eventually(lambda: len(service.gates) == 2)
        service.gates[1].set_result(None)
        assert (await small.receive()).request_id == 4
        assert len(service.gates) == 2
        service.gates[0].set_result(None)
        assert (await first.receive()).request_id == 1
        await eventually(lambda: len(service.gates) == 3)
        third.reset()  # gone while it waits; noticed when it is its turn
        service.gates[2].set_result(None)
        assert (await second.receive()).request_id == 2
        await eventually(lambda: len(service.gates) == 4 or server.request_memory.held == 0)
        if len(service.gates) == 4:  # all of it had reached the server's system
            service.gates[3].set_result(None)
        await eventually(lambda: server.request_memory.held == 0)


@async_test
async def test_memory_is_reserved_for_what_has_arrived() -> None:
    async with serving(Parking(), max_server_request_bytes=64 * MIB) as server:
        async with contextlib.AsyncExitStack() as stack:
            for number in range(20):
                silent = await stack.enter_async_context(RawClient.connected(server.port))
                silent.writer.write(struct.pack(">i", 50 * MIB) + bytes(100 * number))
            await eventually(lambda: server.connection_count == 20)
            async with RawClient.connected(server.port) as client:
                assert await client.alive()
            assert server.request_memory.held == 0
        for ending in ("reset", "failure"):
            async with RawClient.connected(server.port) as client:
                client.writer.write(struct.pack(">i", MIB) + bytes(100_000))
                await eventually(lambda: server.request_memory.held > 0)
                await eventually(lambda: 100_000 <= server.request_memory.held <= 264_000)
                if ending == "reset":
                    client.reset()
                else:
                    client.writer.write(bytes(MIB - 100_000) + b"GET / HTTP/1.1")
                await eventually(lambda: server.request_memory.held == 0)


class Owner:
    def __init__(self, name: str, dropped: list[str]) -> None:
        self.peer = name
        self.dropped = dropped

    def drop_unread(self) -> None:
        self.dropped.append(self.peer)


def test_who_leaves_most_unread_is_disconnected_first() -> None:
    dropped: list[str] = []
    memory = ResponseMemory(100)
    a, b, c = (Owner(name, dropped) for name in "abc")
    memory.update(a, 50)
    memory.update(b, 30)
    memory.update(b, 40)
    assert (dropped, memory.held) == ([], 90)
    memory.update(c, 20)
    assert (dropped, memory.held) == (["a"], 60)
    memory.update(a, 0)
    memory.update(b, 0)
    assert (memory.held, memory.evictions) == (20, 1)
    memory.update(c, 101)
    assert (dropped, memory.held) == (["a", "c"], 0)


def test_answers_become_smaller_when_much_is_unread() -> None:
    memory = ResponseMemory(256 * MIB)
    slow = Owner("slow", [])
    assert memory.capacity == 16 * MIB
    memory.update(slow, 128 * MIB)
    assert memory.capacity == 8 * MIB
    memory.update(slow, 256 * MIB)
    assert memory.capacity == 256 * 1024


@pytest.mark.parametrize("from_file", [False, True])
@async_test
async def test_unread_answers_of_all_connections_are_bounded(tmp_path: Path, from_file: bool) -> None:
    service = Parking()
    service.response = bytes(8 * MIB)
    path = tmp_path / "segment"
    path.write_bytes(service.response)
    async with contextlib.AsyncExitStack() as stack:
        file = stack.enter_context(contextlib.closing(SystemFile(path, read_only=True)))
        if from_file:
            service.response = FileRegion(file, 0, 8 * MIB)
        server = await stack.enter_async_context(serving(service, max_server_response_bytes=20 * MIB))
        clients = []
        for number in range(4):
            client = await stack.enter_async_context(RawClient.connected(server.port))
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.send(ApiKey.SCAN_KV, b"", number)
            clients.append(client)
            await eventually(lambda number=number: service.large_started == number + 1)  # type: ignore[misc]
        await eventually(lambda: server.connection_count == (4 if from_file else 2))
        assert server.response_memory.evictions == (0 if from_file else 2)
        assert server.response_memory.held <= (65536 if from_file else 20 * MIB)
        received = 0
        for number, client in enumerate(clients):
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
                response = await client.receive()
                assert (response.request_id, len(response.body)) == (number, 8 * MIB)
                received += 1
        assert received == (4 if from_file else 2)
        assert server.response_memory.held == 0


@async_test
async def test_messages_have_a_bound_of_their_own() -> None:
    class Decoded:
        @rpc(ApiKey.DATABASE_EXISTS)
        def exists(self, request: pb.DatabaseExistsRequest, context: RequestContext) -> ResponseBody:
            return pb.DatabaseExistsResponse(exists=True)

    name = pb.DatabaseExistsRequest(database_name="d" * 60_000).SerializeToString()
    async with serving(Decoded(), max_message_bytes=50_000) as server, RawClient.connected(server.port) as client:
        client.send(ApiKey.DATABASE_EXISTS, name)
        code, text = await client.receive_error()
        assert code == ErrorCode.RECORD_TOO_LARGE_EXCEPTION
        assert "DATABASE_EXISTS request of 60012 bytes, the limit is 50000" in text
        client.send(ApiKey.DATABASE_EXISTS, name[:0] + b"\x0a\x01d", 7)
        assert (await client.receive()).request_id == 7
        assert server.request_memory.held == 0


@pytest.mark.parametrize("from_file", [False, True])
@async_test
async def test_a_client_that_does_not_read_costs_little(tmp_path: Path, from_file: bool) -> None:
    service = Parking()
    path = tmp_path / "segment"
    path.write_bytes(bytes(MIB))
    with contextlib.closing(SystemFile(path, read_only=True)) as file:
        if from_file:
            service.response = FileRegion(file, 0, MIB)
        async with serving(service) as server, RawClient.connected(server.port) as client:
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            before = peak_memory()
            for request_id in range(500):
                client.send(ApiKey.SCAN_KV, b"", request_id)
            await eventually(lambda: service.large_started > 0)
            async with RawClient.connected(server.port) as other:
                for _ in range(20):
                    await ping(other)
            assert service.large_started < 100, "requests of a client that does not read are not started"
            assert peak_memory() - before < 100 * MIB
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            for request_id in range(500):
                response = await client.receive()
                assert (response.request_id, len(response.body)) == (request_id, MIB)
            assert service.large_started == 500


@async_test
async def test_large_answers_after_a_wait_are_made_one_at_a_time() -> None:
    service = Parking()
    async with serving(service) as server, RawClient.connected(server.port) as client:
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        for request_id in range(100):
            client.send(ApiKey.LOOKUP, b"", request_id)
        await eventually(lambda: len(service.gates) == 100)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        service.open_all()
        await eventually(lambda: bool(service.turns))
        async with RawClient.connected(server.port) as other:
            for _ in range(20):
                await ping(other)
        assert len(service.turns) < 100, "the rest waits until the client reads"
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        answered = [(await client.receive()).request_id for _ in range(100)]
        assert answered == list(range(100))
        assert service.turns == ["start", "end"] * 100, "no two answers are made at the same time"


@async_test
async def test_waiting_for_a_turn_ends_with_the_client() -> None:
    service = Parking()
    async with serving(service, grace_s=10.0) as server, RawClient.connected(server.port) as client:
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for request_id in range(50):
            client.send(ApiKey.LOOKUP, b"", request_id)
        await eventually(lambda: len(service.gates) == 50)
        service.open_all()
        await eventually(lambda: bool(service.turns))
        async with RawClient.connected(server.port) as other:
            for _ in range(20):
                await ping(other)
        client.reset()
        await eventually(lambda: server.connection_count == 0)
        assert service.errors
        assert len(service.errors) + service.turns.count("end") == 50


@async_test
async def test_a_context_without_connection_never_waits() -> None:
    context = RequestContext(ApiKey.LOOKUP)
    assert context.try_response_slot()
    await context.response_slot()


@async_test
async def test_a_request_may_take_its_turn_twice() -> None:
    class Twice:
        @rpc(ApiKey.LOOKUP, raw=True)
        def lookup(self, request: memoryview, context: RequestContext) -> ResponseBody:
            assert context.try_response_slot()
            assert context.try_response_slot()
            return []

    async with serving(Twice()) as server, RawClient.connected(server.port) as client:
        for request_id in range(3):
            client.send(ApiKey.LOOKUP, b"", request_id)
            response = await client.receive()
            assert (response.type, response.request_id) == (0, request_id)


def test_answers_are_messages_or_pieces() -> None:
    """What services return is what the annotations promise."""
    body: ResponseBody = pb.CreateDatabaseResponse()
    pieces: ResponseBody = [
        b"a",
        bytearray(b"b"),
        memoryview(b"c"),
        FileRegion(SystemFile(PurePath("/dev/null")), 0, 1),
    ]
    assert body is not pieces
