"""A proxy before ZooKeeper that loses requests or responses of transactions."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from enum import Enum
from types import TracebackType

_MULTI = 14


class Loss(Enum):
    """What happens to the next transaction; then the connection is closed."""

    REQUEST = "request"  # ZooKeeper never sees it
    RESPONSE = "response"  # ZooKeeper carries it out


class LossyProxy:
    """Listens on a free loopback port.

    Attributes:
        losses: what happens to the next transactions, in this order; after them all is well.
        refusing: new connections are closed at once.
        transactions: how many ZooKeeper has got.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.losses: list[Loss] = []
        self.refusing = False
        self.transactions = 0

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> LossyProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Close all connections."""
        for writer in tuple(self._writers):
            writer.close()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.refusing:
            writer.close()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, server_writer}
        swallow = asyncio.Event()
        back = asyncio.ensure_future(self._copy_responses(server_reader, writer, swallow))
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._copy_requests(reader, server_writer, swallow)
        if swallow.is_set():
            await back  # the response has come, and is lost
        back.cancel()
        for each in (writer, server_writer):
            each.close()
            self._writers.discard(each)

    async def _copy_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, swallow: asyncio.Event
    ) -> None:
        first = True
        while True:
            frame = await _frame(reader)
            if not first and struct.unpack_from(">i", frame, 8)[0] == _MULTI:
                loss = self.losses.pop(0) if self.losses else None
                if loss is Loss.REQUEST:
                    return
                self.transactions += 1
                if loss is Loss.RESPONSE:
                    swallow.set()
                    writer.write(frame)
                    return
            first = False
            writer.write(frame)
            await writer.drain()

    async def _copy_responses(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, swallow: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await _frame(reader)
                if swallow.is_set() and struct.unpack_from(">i", frame, 4)[0] > 0:  # not a ping or a watch
                    return
                writer.write(frame)
                await writer.drain()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return head + await reader.readexactly(struct.unpack(">i", head)[0])
