"""Requests of one connection on their way in: no more than there is memory for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fluss_server.rpc.frame_memory import FrameMemory
from fluss_server.rpc.frames import REQUEST_HEADER_SIZE, FrameReader
from fluss_server.rpc.request_memory import Arrival, Receiver, RequestMemory


class RequestIntake:
    """Cuts what a client sends into requests, reserves memory for long ones, and pauses reading where there is none.

    Args:
        memory: of the requests of all connections.
        receiver: the connection, as the memory sees it.
        max_frame_bytes: longest request.
        receive_buffer: shared with other connections.
        frame_memory: likewise.
        on_kept: told how many bytes of requests wait here because no more may be started.

    Attributes:
        reader: cuts the frames.
        paused: whether nothing is received now.
    """

    def __init__(
        self,
        memory: RequestMemory,
        receiver: Receiver,
        *,
        max_frame_bytes: int,
        receive_buffer: memoryview,
        frame_memory: FrameMemory,
        on_kept: Callable[[int], None],
    ) -> None:
        self._memory = memory
        self._receiver = receiver
        self._on_kept = on_kept
        self._kept = 0
        self._transport: asyncio.Transport
        self._arrival: Arrival | None = None  # of the long request that is arriving
        self.reader = FrameReader(max_frame_bytes, REQUEST_HEADER_SIZE, receive_buffer, admit=True, memory=frame_memory)
        self.paused = False

    def attach(self, transport: asyncio.Transport) -> None:
        """The connection is made."""
        self._transport = transport

    @property
    def arriving(self) -> bool:
        """Whether a long request is arriving, or waits to be taken; memory was reserved for it."""
        return self._arrival is not None

    def take_arrival(self) -> Arrival | None:
        """The memory of the request that was just taken from the reader; None = it has none of its own."""
        arrival = self._arrival
        if arrival is not None:
            self._arrival = None
            arrival.end()
        return arrival

    def receive_rest(self) -> None:
        """No whole request is there: go on receiving, as soon as there is memory."""
        if self.reader.waits_for_memory and not self._extend():
            self.pause()
            self._keep(self.reader.kept_bytes)
        elif self.paused:
            self.resume()

    def hold_back(self) -> None:
        """No more may be started now: receive nothing, keep what is there."""
        self.reader.leave()
        self.pause()
        self._keep(self.reader.kept_bytes)

    def memory_granted(self) -> None:
        """The memory that was waited for is reserved."""
        self._receive_into_grant()

    def pause(self) -> None:
        """Receive nothing."""
        if not self.paused:
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Receive again."""
        if self.paused:
            self.paused = False
            self._keep(0)
            self._transport.resume_reading()

    def discard(self) -> None:
        """No request arrives any more; forget what is there."""
        self._memory.short.forget(self._receiver)
        self.reader.clear()
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival.discard()

    def _extend(self) -> bool:
        reader = self.reader
        if self._arrival is None:
            self._arrival = self._memory.arrive(self._receiver, reader.announced)
        if not self._arrival.extend(reader.received_bytes):
            return False
        self._receive_into_grant()
        return True

    def _receive_into_grant(self) -> None:
        assert self._arrival is not None
        if self.reader.announced:
            self.reader.begin(self._arrival.granted)
        else:
            self.reader.extend(self._arrival.granted)

    def _keep(self, size: int) -> None:
        if size != self._kept:
            self._kept = size
            self._on_kept(size)
