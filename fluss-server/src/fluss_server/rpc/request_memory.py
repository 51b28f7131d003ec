"""Memory of the requests of a whole server, those that are arriving and those in flight.

What a client announces costs nothing: memory is reserved for bytes that have arrived, and for at most as many ahead of
them. Several requests may therefore have arrived in part when the memory is used up. So that one of them can always be
completed, the oldest one may use a headroom that the others leave free. While anybody waits for memory, a request that
stops arriving is dropped after one or two seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from fluss_server.rpc.byte_budget import ByteBudget

MIN_RECEIVE_RATE = 64 * 1024
"""Bytes per second a client must manage, on the average, for a request too long for the shared receive buffer."""

CHECK_INTERVAL_S = 0.5
"""How often requests that arrive are looked at while somebody waits for memory."""

MAX_SLOW_CHECKS = 3
"""So many checks in a row without :data:`MIN_RECEIVE_RATE`, and a request is dropped."""

MIN_WAITING_BYTES = 64 * 1024
"""Requests in flight that take less never have to give way."""

_MIN_AHEAD = 64 * 1024  # reserved beyond what has arrived: as much again, within these bounds
_MAX_AHEAD = 1024 * 1024
_LARGE_SHARE = 32  # a request is large when it takes more than one part in so many of the whole budget


class Receiver(Protocol):
    """A connection on which a request arrives."""

    @property
    def received_bytes(self) -> int:
        """How much of the request has arrived."""

    @property
    def waits_for_client(self) -> bool:
        """Whether it is the client that keeps the request from being completed: it does not send, or does not read its
        responses, or has only requests in flight that wait for data."""

    def receive_more(self) -> None:
        """Memory was reserved: continue to receive."""

    def drop_stalled(self) -> None:
        """Close, with a reason: the request does not arrive and others wait for its memory."""


class WaitingRequest(Protocol):
    """A request in flight that only waits for data.

    Attributes:
        size: bytes of memory that it counts for.
    """

    size: int

    def abandon(self) -> None:
        """Cancel it; its client gets an error."""


class RequestMemory:
    """Bytes of requests that are arriving or in flight.

    Large requests have one half, requests that arrive in pieces and short ones a quarter each: a flood of longer ones
    never keeps a shorter one waiting. Decoded messages take a multiple of their bytes.

    Args:
        limit: bytes in all. Each part always lets one request in, whatever its size.
        longest: longest request that may come.

    Attributes:
        short: of requests that need no memory while they arrive.
        ordinary: of those that do and are not large.
        large: of those that are.
        on_wait: called when somebody begins to wait.
    """

    def __init__(self, limit: int, longest: int) -> None:
        self._large_size = max(limit // _LARGE_SHARE, 1)
        self.short = RequestLane(limit - limit // 2 - limit // 4, 0, self._begins_to_wait)
        self.ordinary = RequestLane(limit // 4, min(longest, self._large_size), self._begins_to_wait)
        self.large = RequestLane(limit // 2, longest, self._begins_to_wait)
        self.on_wait: Callable[[], None] = lambda: None

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self.short.held + self.ordinary.held + self.large.held

    @property
    def full(self) -> bool:
        """True while no short request may be started."""
        return self.short.held >= self.short.limit

    @property
    def waiting(self) -> int:
        """How many connections wait for memory."""
        return self.short.waiting + self.ordinary.waiting + self.large.waiting

    def arrive(self, receiver: Receiver, length: int) -> Arrival:
        """A request of ``length`` bytes begins to arrive; nothing is reserved yet."""
        lane = self.large if length > self._large_size else self.ordinary
        return lane.arrive(receiver, length)

    def drop_stalled(self) -> bool:
        """Drop what does not arrive while others wait; called every :data:`CHECK_INTERVAL_S`.

        Returns:
            whether somebody still waits.
        """
        self.short.drop_stalled()
        self.ordinary.drop_stalled()
        self.large.drop_stalled()
        return self.waiting > 0

    def _begins_to_wait(self) -> None:
        self.on_wait()


class RequestLane(ByteBudget):
    """One half of the memory: its requests in flight, which wait as in any budget, and those that are arriving.

    Args:
        limit: in bytes.
        longest: longest request.
        on_wait: called when somebody begins to wait.
    """

    def __init__(self, limit: int, longest: int, on_wait: Callable[[], None]) -> None:
        super().__init__(limit)
        self._shared = limit - min(longest, limit)  # all but the headroom of the oldest arrival
        self._on_wait = on_wait
        self._arriving: dict[Arrival, None] = {}  # the oldest first
        self._wanting: dict[Arrival, int] = {}  # how many bytes each waits for
        self._idle: dict[WaitingRequest, None] = {}  # large ones in flight that only wait for data
        self._full_checks = 0  # in a row that found somebody waiting

    @property
    def waiting(self) -> int:
        return len(self._waiting) + len(self._wanting)

    def wait(self, owner: object, size: int, wake: Callable[[], None]) -> None:
        super().wait(owner, size, wake)
        self._on_wait()

    def arrive(self, receiver: Receiver, length: int) -> Arrival:
        """See :meth:`RequestMemory.arrive`."""
        arrival = Arrival(self, receiver, length)
        self._arriving[arrival] = None
        return arrival

    def grant(self, arrival: Arrival, size: int) -> bool:
        """Hold ``size`` more bytes for an arriving request; otherwise its receiver is called when they are held."""
        if self._may_grant(arrival, size):
            self.held += size
            return True
        self._wanting[arrival] = size
        self._on_wait()
        return False

    def arrived(self, arrival: Arrival) -> None:
        """It has arrived whole, or never will; what it holds stays held."""
        self._arriving.pop(arrival, None)
        self._wanting.pop(arrival, None)

    def add_waiting_request(self, request: WaitingRequest) -> None:
        """A request that takes much memory only waits for data: it gives way when others wait for its memory."""
        self._idle[request] = None

    def remove_waiting_request(self, request: WaitingRequest) -> None:
        """It has ended."""
        self._idle.pop(request, None)

    def serve(self) -> None:
        if self._wanting:
            oldest = next(iter(self._arriving))
            if oldest in self._wanting:
                self._serve_arrival(oldest)
        super().serve()
        while self._wanting and self._serve_arrival(next(iter(self._wanting))):
            pass

    def drop_stalled(self) -> None:
        """See :meth:`RequestMemory.drop_stalled`."""
        if not self.waiting:
            self._full_checks = 0
            for arrival in self._arriving:
                arrival.slow_checks = 0
            return
        stalled = [arrival for arrival in self._arriving if arrival not in self._wanting and arrival.stalls()]
        for arrival in sorted(stalled, key=lambda arrival: arrival.granted, reverse=True):
            if not self.waiting:
                return
            arrival.receiver.drop_stalled()
        self._full_checks += 1
        if self._full_checks >= MAX_SLOW_CHECKS and self.waiting and self._idle:
            request = max(self._idle, key=lambda request: request.size)
            self.remove_waiting_request(request)
            request.abandon()  # one at a time: its memory is free a moment later

    def _may_grant(self, arrival: Arrival, size: int) -> bool:
        held = self.held + size
        if held <= self._shared:
            return True
        oldest = next(iter(self._arriving)) is arrival
        return oldest and (held <= self.limit or self.held == arrival.granted)

    def _serve_arrival(self, arrival: Arrival) -> bool:
        size = self._wanting[arrival]
        if not self._may_grant(arrival, size):
            return False
        del self._wanting[arrival]
        self.held += size
        arrival.granted += size
        arrival.receiver.receive_more()
        return True


class Arrival:
    """Memory of one request while it arrives.

    Attributes:
        lane: that the memory belongs to.
        receiver: the connection.
        granted: bytes reserved so far.
        slow_checks: checks in a row that found too little progress.
    """

    __slots__ = ("_length", "_seen", "granted", "lane", "receiver", "slow_checks")

    def __init__(self, lane: RequestLane, receiver: Receiver, length: int) -> None:
        self.lane = lane
        self.receiver = receiver
        self.granted = 0
        self.slow_checks = 0
        self._length = length
        self._seen = 0

    def extend(self, received: int) -> bool:
        """Reserve memory for what comes next.

        Args:
            received: bytes that have arrived.

        Returns:
            False when there is none now; ``receiver.receive_more`` is called when there is.
        """
        ahead = min(max(received, _MIN_AHEAD), _MAX_AHEAD)
        size = min(received + ahead, self._length) - self.granted
        if not self.lane.grant(self, size):
            return False
        self.granted += size
        return True

    def end(self) -> None:
        """It has arrived whole; its memory is the request's from now on."""
        lane = self.lane
        lane.arrived(self)
        if lane.waiting:  # another one may be the oldest now
            asyncio.get_running_loop().call_soon(lane.serve)

    def discard(self) -> None:
        """It will not arrive, or needs its memory no more."""
        self.lane.arrived(self)
        self.lane.release(self.granted)

    def stalls(self) -> bool:
        """Whether too little has arrived at :data:`MAX_SLOW_CHECKS` checks in a row, this one included."""
        receiver = self.receiver
        received = receiver.received_bytes
        slow = receiver.waits_for_client and received - self._seen < MIN_RECEIVE_RATE * CHECK_INTERVAL_S
        self._seen = received
        self.slow_checks = self.slow_checks + 1 if slow else 0
        return self.slow_checks >= MAX_SLOW_CHECKS


class StalledRequestCheck:
    """Checks, while anybody waits for memory, that requests arrive.

    Args:
        memory: whose requests.
    """

    def __init__(self, memory: RequestMemory) -> None:
        self._memory = memory
        self._timer: asyncio.TimerHandle | None = None
        memory.on_wait = self._schedule

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CHECK_INTERVAL_S, self._check)

    def _check(self) -> None:
        self._timer = None
        if self._memory.drop_stalled():
            self._schedule()
