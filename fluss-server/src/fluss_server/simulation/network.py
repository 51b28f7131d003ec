"""A network in memory: connections with delay, cut into pieces as TCP may cut them, that break and stall on demand.

Bytes of one direction of a connection arrive in order, each piece after a random delay. A blocked link holds bytes back
until it is unblocked, as retransmission does; a killed process breaks its connections.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, TypeVar, cast

from fluss_server.runtime.disk import Buffer
from fluss_server.runtime.network import DirectOutput, NetworkServer
from fluss_server.simulation.event_loop import Process, SimulatedEventLoop
from fluss_server.simulation.trace import Trace

_P = TypeVar("_P", bound=asyncio.BaseProtocol)

MAX_DELAY_S = 0.002
MAX_PIECE_BYTES = 64 * 1024
_FIRST_FREE_PORT = 30_000
_NO_PROCESS = contextvars.Context()


class SimulatedNetwork:
    """The network between all processes of a run; give each process a :meth:`view`.

    Args:
        loop: of the run.
        random: decides delays and where bytes are cut.
        trace: gets every delivery.
    """

    def __init__(self, loop: SimulatedEventLoop, random: Random, trace: Trace) -> None:
        self.loop = loop
        self.random = random
        self.trace = trace
        self._listeners: dict[tuple[str, int], _Listener] = {}
        self._next_port = _FIRST_FREE_PORT
        self._blocked: set[tuple[str, str]] = set()
        self._slow: dict[tuple[str, str], float] = {}
        self._stalled: list[_Transport] = []
        self._connecting: list[asyncio.Future[None]] = []
        self._open: dict[_Transport, None] = {}  # the ends that have connected

    def view(self, process: Process, host: str) -> NetworkView:
        """The network as one process uses it.

        Args:
            process: whose connections break when it is killed.
            host: name of its machine.
        """
        return NetworkView(self, process, host)

    def block(self, source: str, target: str) -> None:
        """Nothing gets from one host to another any more, also not in connections that are open."""
        self._blocked.add((source, target))

    def unblock(self, source: str, target: str) -> None:
        """Undo :meth:`block`; what was held back arrives now."""
        self._blocked.discard((source, target))
        stalled, self._stalled = self._stalled, []
        for transport in stalled:
            transport.deliver_next()
        connecting, self._connecting = self._connecting, []
        for opened in connecting:
            if not opened.done():
                opened.set_result(None)

    def slow_down(self, source: str, target: str, seconds: float) -> None:
        """Everything from one host to another takes up to so much longer from now on; 0 = no longer than usual."""
        if seconds > 0:
            self._slow[source, target] = seconds
        else:
            self._slow.pop((source, target), None)

    def reset(self, one: str, other: str) -> int:
        """Break the connections between two hosts: what is on its way is lost. Returns how many there were."""
        found = [transport for transport in self._open if transport.connects(one, other)]
        for transport in found:
            transport.reset()
        return len(found)

    def hold(self, random: Random) -> Callable[[], None] | None:
        """Hold back what goes one way, or both, in one connection; others between the same hosts go on.

        Args:
            random: chooses which connection, and the ways.

        Returns:
            ends that: what was held back arrives then. None when there is no connection.
        """
        if not self._open:
            return None
        end = random.choice(list(self._open))
        ends = random.choice(((end,), (end.peer,), (end, end.peer)))
        for held in ends:
            held.is_held = True
            self.trace.add(self.loop.time(), held.name, "held")

        def release() -> None:
            for held in ends:
                held.is_held = False
                held.deliver_next()

        return release

    def opened(self, transport: _Transport) -> None:
        self._open[transport] = None

    def closed(self, transport: _Transport) -> None:
        self._open.pop(transport, None)

    def is_blocked(self, source: str, target: str) -> bool:
        return (source, target) in self._blocked

    async def reachable(self, source: str, target: str) -> None:
        """Wait until both directions between two hosts are open; the caller bounds the time."""
        while self.is_blocked(source, target) or self.is_blocked(target, source):
            opened = self.loop.create_future()
            self._connecting.append(opened)
            await opened

    def stall(self, transport: _Transport) -> None:
        self._stalled.append(transport)

    def delay(self, source: str, target: str) -> float:
        return self.random.random() * (MAX_DELAY_S + self._slow.get((source, target), 0.0))

    def free_port(self) -> int:
        self._next_port += 1
        return self._next_port

    def add(self, host: str, port: int, listener: _Listener) -> None:
        if (host, port) in self._listeners:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._listeners[host, port] = listener

    def remove(self, host: str, port: int) -> None:
        self._listeners.pop((host, port), None)

    def find(self, host: str, port: int) -> _Listener | None:
        return self._listeners.get((host, port))


class NetworkView:
    """See :class:`fluss_server.runtime.network.Network`."""

    def __init__(self, network: SimulatedNetwork, process: Process, host: str) -> None:
        self._network = network
        self._process = process
        self._host = host

    async def listen(
        self, host: str, port: int, protocol_factory: Callable[[], asyncio.BaseProtocol], *, backlog: int = 1024
    ) -> NetworkServer:
        listener = _Listener(self._network, self._process, self._host, port or self._network.free_port())
        listener.protocol_factory = protocol_factory
        self._process.on_kill(listener.close)
        return listener

    async def connect(self, host: str, port: int, protocol_factory: Callable[[], _P]) -> tuple[asyncio.Transport, _P]:
        network = self._network
        await network.reachable(self._host, host)
        await asyncio.sleep(network.delay(self._host, host))
        listener = network.find(host, port)
        if listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        protocol = protocol_factory()
        client_port = network.free_port()
        ours = _Transport(network, self._process, (self._host, client_port), (host, port))
        theirs = _Transport(network, listener.process, (host, port), (self._host, client_port))
        ours.peer, theirs.peer = theirs, ours
        network.opened(ours)
        listener.accept(theirs)
        ours.start(protocol)
        return ours, protocol

    def direct_output(self, transport: asyncio.BaseTransport) -> DirectOutput | None:
        return None

    def prepare_accepted(self, transport: asyncio.BaseTransport) -> Callable[[], None] | None:
        return None


class _Listener:
    """See :class:`fluss_server.runtime.network.NetworkServer`."""

    protocol_factory: Callable[[], asyncio.BaseProtocol]

    def __init__(self, network: SimulatedNetwork, process: Process, host: str, port: int) -> None:
        self._network = network
        self.process = process
        self._host = host
        self._port = port

    @property
    def port(self) -> int:
        return self._port

    async def start(self) -> None:
        self._network.add(self._host, self._port, self)

    def accept(self, transport: _Transport) -> None:
        """Make the protocol of a new connection, in the process that listens."""
        transport.in_process(lambda: transport.start(self.protocol_factory()))

    def close(self) -> None:
        if self._network.find(self._host, self._port) is self:
            self._network.remove(self._host, self._port)


class _Transport(asyncio.Transport):
    """One end of a connection.

    Attributes:
        name: for traces.
        is_held: whether what it sends is held back.
    """

    peer: _Transport

    def __init__(
        self, network: SimulatedNetwork, process: Process, ours: tuple[str, int], theirs: tuple[str, int]
    ) -> None:
        super().__init__({"sockname": ours, "peername": theirs})
        self._network = network
        self._process = process
        self.name = f"{ours[0]}:{ours[1]}>{theirs[0]}:{theirs[1]}"
        self.is_held = False
        self._ours, self._theirs = ours, theirs
        self._protocol: asyncio.BaseProtocol
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._delivering = False
        self._high, self._low = 64 * 1024, 16 * 1024
        self._writing_paused = False
        self._reading = True
        self._received: deque[bytes] = deque()  # while reading is paused
        self._closing = False
        self._eof_pending = False
        self._lost = False
        process.on_kill(self._killed)

    def start(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    def in_process(self, action: Callable[[], object], delay_s: float = 0.0) -> None:
        """Have something run in the process of this end, if that lives then."""

        self._network.loop.call_later(delay_s, action, context=self._process.context.copy())

    # ---- asyncio.Transport

    def write(self, data: Buffer) -> None:
        if self._closing or self._lost or not data:
            return
        rest = bytes(data)
        while rest:
            length = self._network.random.randint(1, MAX_PIECE_BYTES)
            self._unsent.append(rest[:length])
            rest = rest[length:]
        self._unsent_bytes += len(data)
        if self._unsent_bytes > self._high and not self._writing_paused:
            self._writing_paused = True
            cast(asyncio.Protocol, self._protocol).pause_writing()
        self.deliver_next()

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return self._unsent_bytes

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self.in_process(self._hand_over)

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def is_closing(self) -> bool:
        return self._closing or self._lost

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def close(self) -> None:
        if self._closing or self._lost:
            return
        self._closing = True
        self._eof_pending = True
        self.deliver_next()

    def abort(self) -> None:
        if not self._lost:
            self._unsent.clear()
            self._unsent_bytes = 0
            self._closing = True
            self._break(None)

    # ---- delivery

    def deliver_next(self) -> None:
        """Send the next piece, or the end, to the other side."""
        if self._delivering or self._lost:
            return
        if self._is_blocked():
            return
        if self._unsent:
            self._delivering = True
            self.peer.in_process_of_network(self._arrived, self._network.delay(self._ours[0], self._theirs[0]))
        elif self._eof_pending:
            self._break(None)

    def _is_blocked(self) -> bool:
        """Whether nothing gets to the other side now; delivery goes on when that ends."""
        if self._network.is_blocked(self._ours[0], self._theirs[0]):
            self._network.stall(self)
            return True
        return self.is_held

    def in_process_of_network(self, action: Callable[[], object], delay_s: float) -> None:
        self._network.loop.call_later(delay_s, action, context=_NO_PROCESS.copy())

    def _arrived(self) -> None:
        self._delivering = False
        if self._lost or not self._unsent:
            return
        if self._is_blocked():
            return
        if len(self.peer._received) > 16:  # its window is full
            self.in_process_of_network(self.deliver_next, 0.01)
            return
        data = self._unsent.popleft()
        self._unsent_bytes -= len(data)
        self._network.trace.add(self._network.loop.time(), self.name, "bytes", data)
        self.peer.receive(data)
        if self._writing_paused and self._unsent_bytes <= self._low:
            self._writing_paused = False
            self.in_process(cast(asyncio.Protocol, self._protocol).resume_writing)
        self.deliver_next()

    def receive(self, data: bytes) -> None:
        self._received.append(data)
        self.in_process(self._hand_over)

    def _hand_over(self) -> None:
        protocol: Any = self._protocol
        while self._received and self._reading and not self._lost:
            data = self._received.popleft()
            if isinstance(protocol, asyncio.BufferedProtocol):
                view = memoryview(data)
                while view and not self._lost:
                    buffer = memoryview(protocol.get_buffer(len(view)))
                    length = min(len(buffer), len(view))
                    buffer[:length] = view[:length]
                    view = view[length:]
                    protocol.buffer_updated(length)
                    if view and not self._reading:
                        self._received.appendleft(bytes(view))
                        break
            else:
                protocol.data_received(data)

    def connects(self, one: str, other: str) -> bool:
        return {self._ours[0], self._theirs[0]} == {one, other}

    def reset(self) -> None:
        """Somebody between the two breaks the connection, for both at once."""
        self._network.closed(self)
        error = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        for end in (self, self.peer):
            end._unsent.clear()
            end._unsent_bytes = 0
            end._received.clear()
            if not end._lost:
                end._lost = True
                self._network.trace.add(self._network.loop.time(), end.name, "reset")
                end.in_process(partial(end.lose, error))

    def lose(self, error: Exception | None) -> None:
        """Tell the protocol, which a process that stands still has not made before."""
        self._protocol.connection_lost(error)

    def _killed(self) -> None:
        """The system of a killed process resets its connections."""
        self._unsent.clear()
        self._break(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))

    def _break(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self._network.closed(self)
        self._network.closed(self.peer)
        self._network.trace.add(self._network.loop.time(), self.name, "closed")
        self.in_process(partial(self.lose, None))
        peer = self.peer
        peer.in_process(lambda: peer.end(error), self._network.delay(self._ours[0], self._theirs[0]))

    def end(self, error: Exception | None) -> None:
        """The other side is gone."""
        if self._lost:
            return
        if self._received and error is None:
            self.in_process(lambda: self.end(error), 0.01)
            return
        self._lost = True
        if error is None:
            cast(asyncio.Protocol, self._protocol).eof_received()
        self._protocol.connection_lost(error)
