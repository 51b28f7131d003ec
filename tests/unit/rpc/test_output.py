"""The output queue: over a socket that is full, and over transports that are no sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from fluss_server.rpc.frames import Piece, piece_size
from fluss_server.rpc.output import CHUNK_SIZE, OutputQueue
from fluss_server.runtime import event_loop
from fluss_server.runtime.disk import Buffer, FileRegion
from fluss_server.runtime.system_disk import SystemFile
from fluss_server.runtime.system_network import SystemNetwork
from rpc_support import async_test


class FakeTransport(asyncio.Transport):
    """A transport without socket: keeps what is written until the test drains it."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[bytes] = []
        self.sent = b""
        self.queue: OutputQueue | None = None
        self.paused = False
        self.aborted = False
        self.limits: tuple[int | None, int | None] = (None, None)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = high, low

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.held))

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.paused, "written to although it is full"
        assert len(data) <= CHUNK_SIZE
        self.held.append(bytes(data))
        if self.get_write_buffer_size():
            assert self.queue is not None
            self.paused = True
            self.queue.pause()

    def drain(self) -> None:
        """Everything held is sent."""
        self.sent += b"".join(self.held)
        self.held.clear()
        if self.paused:
            assert self.queue is not None
            self.paused = False
            self.queue.resume()


def queue_on(transport: FakeTransport) -> OutputQueue:
    transport.queue = OutputQueue(transport, None)
    assert transport.limits == (0, 0)
    return transport.queue


def send(queue: OutputQueue, *pieces: Piece) -> None:
    queue.send(pieces, sum(map(piece_size, pieces)))


def test_chunks_over_a_transport_without_socket(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = os.urandom(500_000)
    path.write_bytes(content)
    transport = FakeTransport()
    queue = queue_on(transport)
    with contextlib.closing(SystemFile(path, read_only=True)) as file:
        send(queue, b"small")
        assert transport.held == [b"small"]
        assert queue.blocked, "the transport could not send it"
        transport.drain()
        assert not queue.blocked
        send(queue, b"a" * 200_000, FileRegion(file, 100, 400_000), b"")
        assert queue.blocked
        send(queue, b"later")
        rounds = 0
        while queue.blocked:
            assert transport.get_write_buffer_size() <= CHUNK_SIZE
            transport.drain()
            rounds += 1
    assert rounds >= 4
    assert not queue.empty or not transport.held
    transport.drain()
    assert queue.empty
    assert transport.sent == b"small" + b"a" * 200_000 + content[100:400_100] + b"later"


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    transport = FakeTransport()
    queue = queue_on(transport)
    send(queue, bytes(500_000))
    assert queue.blocked
    transport.abort()
    transport.drain()
    assert transport.held == []
    assert not queue.blocked
    send(queue, b"more")
    send(queue, bytes(500_000))
    assert transport.held == []


def test_what_cannot_be_read_ends_the_connection(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"short")
    for length in (10, 300_000):
        transport = FakeTransport()
        queue = queue_on(transport)
        with contextlib.closing(SystemFile(path, read_only=True)) as file:
            send(queue, b"head", FileRegion(file, 0, length))
        assert transport.aborted
        assert not queue.blocked
        assert "the file ends before byte" in caplog.text
    transport = FakeTransport()
    queue = queue_on(transport)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # cannot be read at a position
    send(queue, FileRegion(SystemFile(pipe), 0, 10))
    assert transport.aborted
    assert "failed" in caplog.text


@pytest.fixture(params=[asyncio.run, event_loop.run], ids=["asyncio", "as the server"])
def each_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops' transports differ in when they write, pause and resume."""
    monkeypatch.setattr(event_loop, "run", request.param)


class Pausing(asyncio.Protocol):
    """Passes the transport's word on, as connections do."""

    queue: OutputQueue
    lost: asyncio.Future[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.queue = OutputQueue(cast(asyncio.Transport, transport), SystemNetwork().direct_output(transport))
        self.lost = asyncio.get_running_loop().create_future()

    def pause_writing(self) -> None:
        self.queue.pause()

    def resume_writing(self) -> None:
        self.queue.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.queue.clear()
        self.lost.set_result(None)


@pytest.mark.usefixtures("each_loop")
@async_test
async def test_order_and_content_over_a_full_socket(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = os.urandom(4_000_000)
    path.write_bytes(content)
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    _, protocol = await loop.create_connection(Pausing, sock=ours)
    expected = b""
    with contextlib.closing(SystemFile(path, read_only=True)) as file:
        for size in (10, 70_000, 1_000_000, 5, 3_000_000):
            region = FileRegion(file, size if size < 2_000_001 else 0, size)
            send(protocol.queue, b"x" * size, region, memoryview(b"y"))
            expected += b"x" * size + content[region.position : region.position + size] + b"y"
        many = [bytes((index % 256,)) for index in range(100_000)]
        send(protocol.queue, *many)
        expected += b"".join(many)
        assert protocol.queue.blocked
        received = bytearray()
        while len(received) < len(expected):
            received += await loop.sock_recv(theirs, 100_000)
        assert bytes(received) == expected
        assert protocol.queue.empty
    theirs.close()
    await protocol.lost


class Willing:
    """Takes whatever it is sent, as a client that reads fast does."""

    def __init__(self) -> None:
        self.sent = b""

    def send(self, buffers: Sequence[Buffer]) -> int:
        data = b"".join(buffers)
        self.sent += data
        return len(data)

    def unsent_bytes(self) -> int:
        return 0


@async_test
async def test_long_output_lets_others_use_the_loop(tmp_path: Path) -> None:
    transport, direct, progress = FakeTransport(), Willing(), 0

    def moved() -> None:
        nonlocal progress
        progress += 1

    queue = OutputQueue(transport, direct, on_progress=moved)
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3 << 20))
    with contextlib.closing(SystemFile(path, read_only=True)) as file:
        long: list[Piece] = [
            os.urandom(3 << 20),
            FileRegion(file, 0, 3 << 20),
            *(os.urandom(300 << 10) for _ in range(10)),
        ]
        send(queue, *long)
        sizes = [len(direct.sent)]
        assert queue.blocked
        send(queue, b"end")
        while queue.blocked:
            await asyncio.sleep(0)
            sizes.append(len(direct.sent))
            assert len(sizes) < 20
        expected = b"".join(piece.read() if isinstance(piece, FileRegion) else piece for piece in long)
    assert direct.sent == expected + b"end"
    steps = [after - before for before, after in pairwise([0, *sizes])]
    assert max(steps) < 2 << 20
    assert progress == len(sizes) - 1


@pytest.mark.usefixtures("each_loop")
@async_test
async def test_a_peer_that_closes_while_much_is_unsent() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    _, protocol = await loop.create_connection(Pausing, sock=ours)
    send(protocol.queue, bytes(10_000_000))
    assert protocol.queue.blocked
    theirs.close()
    send(protocol.queue, bytes(10_000_000))
    await protocol.lost
    assert not protocol.queue.blocked or protocol.queue._paused


@pytest.mark.usefixtures("each_loop")
@async_test
async def test_a_peer_that_closed_before_much_is_sent() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    _, protocol = await loop.create_connection(Pausing, sock=ours)
    theirs.close()
    send(protocol.queue, bytes(10_000_000))
    await protocol.lost
