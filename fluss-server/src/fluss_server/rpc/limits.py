"""Bounds of the native server, each with its unit in its name, and the server-wide accounts that keep them.

Three accounts bound what all clients together can make the server hold in memory:

* :class:`RequestMemory`: requests that are being received, or are started and unanswered;
* :class:`ResponseMemory`: answers that their clients do not read;
* the number of connections.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fluss_server.config import Configuration
from fluss_server.rpc.frame_memory import FrameMemory
from fluss_server.rpc.frames import RECEIVE_BUFFER_SIZE
from fluss_server.runtime.open_files import connections_for

logger = logging.getLogger(__name__)

MIB = 1024 * 1024

REQUEST_OVERHEAD_BYTES = 4096
"""What a started request costs besides its bytes: its objects, its task, its place in queues."""

MESSAGE_WEIGHT = 8
"""What a decoded protobuf message costs, in bytes per byte of its encoding."""

MIN_RECEIVE_RATE = 64 * 1024
"""Bytes per second a client must manage, on the average, for a request too long for the shared receive buffer."""

_CAPACITY_SHARE = 16  # an answer built in memory takes one part in so many of what is free
_MIN_CAPACITY = 256 * 1024
_LARGE_SHARE = 32  # a request is large when it takes more than one part in so many of the whole budget


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """What clients may cost.

    Attributes:
        max_frame_bytes: longest request; a longer one ends its connection (``netty.server.max-request-size``).
        max_message_bytes: longest request that is decoded into a message, which multiplies its size; all but
            PRODUCE_LOG and PUT_KV (``server.request.max-message-size``).
        max_requests_in_flight: started and unanswered requests of one connection
            (``netty.server.max-queued-requests``). Parked fetches count, and all scanners of a client share a
            connection, so this is not small.
        max_request_bytes_in_flight: bytes of those requests; one more is started while the sum is below
            (``server.request.memory-size-per-connection``).
        max_server_request_bytes: the same for all connections together, requests that are still arriving included
            (``server.request.memory-size``).
        max_server_response_bytes: unread answers of all connections together (``server.response.memory-size``).
        max_connections: open connections; further ones are refused (``server.max-connections``).
        max_idle_s: a connection without traffic for this long is closed (``netty.connection.max-idle-time``).
        max_authentication_s: time a connection of a SASL listener may take to authenticate.
        max_unauthenticated_frame_bytes: longest request before that.
        max_authentication_failures: failed logins after which the connection is closed.
        authentication_failure_delay_s: time until a failed login is answered.
        receive_timeout_s: time for a request to arrive once it has begun, and for the first one of a connection
            (``server.request.receive-timeout``). Long ones get a second more for every :data:`MIN_RECEIVE_RATE` bytes.
        send_timeout_s: a client that takes nothing of its waiting answers for this long is disconnected
            (``server.response.send-timeout``).
        slow_request_ms: a request that takes longer is reported in the log, unless it waits for data
            (``server.request.slow-log-threshold``).
    """

    max_frame_bytes: int = 100 * MIB
    max_message_bytes: int = 4 * MIB
    max_requests_in_flight: int = 500
    max_request_bytes_in_flight: int = 64 * MIB
    max_server_request_bytes: int = 512 * MIB
    max_server_response_bytes: int = 256 * MIB
    max_connections: int = 16_000
    max_idle_s: float = 600.0
    max_authentication_s: float = 30.0
    max_unauthenticated_frame_bytes: int = 64 * 1024
    max_authentication_failures: int = 3
    authentication_failure_delay_s: float = 0.5
    receive_timeout_s: float = 30.0
    send_timeout_s: float = 120.0
    slow_request_ms: float = 5_000.0


def rpc_limits(configuration: Configuration, *, open_files: int) -> RpcLimits:
    """The limits that the options ask for.

    Args:
        open_files: how many files and sockets the process may open.
    """
    wanted = configuration.get_int("server.max-connections")
    connections = connections_for(wanted, open_files)
    if connections < wanted:
        log = logger.warning if configuration.is_given("server.max-connections") else logger.info
        log("at most %d connections: the process may open only %d files (ulimit -n)", connections, open_files)
    return RpcLimits(
        max_frame_bytes=configuration.get_int("netty.server.max-request-size"),
        max_message_bytes=configuration.get_int("server.request.max-message-size"),
        max_requests_in_flight=configuration.get_int("netty.server.max-queued-requests"),
        max_request_bytes_in_flight=configuration.get_int("server.request.memory-size-per-connection"),
        max_server_request_bytes=configuration.get_int("server.request.memory-size"),
        max_server_response_bytes=configuration.get_int("server.response.memory-size"),
        max_connections=connections,
        max_idle_s=configuration.get_int("netty.connection.max-idle-time") / 1000,
        receive_timeout_s=configuration.get_int("server.request.receive-timeout") / 1000,
        slow_request_ms=configuration.get_int("server.request.slow-log-threshold"),
        send_timeout_s=configuration.get_int("server.response.send-timeout") / 1000,
    )


class RequestMemory:
    """Bytes of the requests of a whole server that are arriving or in flight, and who waits for them to become fewer.

    Large requests and all others have one half each, so that a flood of large ones never keeps a small one waiting.
    Within a half it is first come, first served.

    Args:
        limit: bytes in all. The half of the large ones always lets one in, whatever its size.
    """

    def __init__(self, limit: int) -> None:
        self._ordinary = _Pool(limit - limit // 2)
        self._large = _Pool(limit // 2)
        self._large_size = max(limit // _LARGE_SHARE, 1)

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._ordinary.held + self._large.held

    @property
    def full(self) -> bool:
        """True while no request of ordinary size may be started."""
        return self._ordinary.held >= self._ordinary.limit

    @property
    def waiting(self) -> int:
        """How many connections wait for room."""
        return len(self._ordinary.waiting) + len(self._large.waiting)

    def hold(self, size: int) -> None:
        """A request that arrived whole was started; ``size`` is what it costs."""
        self._ordinary.held += size

    def release(self, size: int) -> None:
        """It ended; those who wait are called while there is room."""
        self._ordinary.release(size)

    def wait(self, owner: object, wake: Callable[[], None]) -> None:
        """Call ``wake`` once when a request of ordinary size may be started; an owner waits once at a time."""
        self._ordinary.waiting.setdefault(owner, (1, wake))

    def admit(self, length: int, owner: object, granted: Callable[[], None]) -> bool:
        """Reserve memory for a request that is to be received.

        Returns:
            True when it is reserved. Otherwise ``granted`` is called once it is, unless :meth:`forget` comes first.
            What is reserved must be given back with :meth:`dismiss`.
        """
        pool = self._pool(length)
        if not pool.waiting and pool.has_capacity(length):
            pool.held += length
            return True

        def grant() -> None:
            pool.held += length
            granted()

        pool.waiting[owner] = (length, grant)
        return False

    def dismiss(self, length: int) -> None:
        """An admitted request ended, or will not arrive."""
        self._pool(length).release(length)

    def forget(self, owner: object) -> None:
        """``owner`` waits no more."""
        self._ordinary.waiting.pop(owner, None)
        self._large.waiting.pop(owner, None)

    def _pool(self, length: int) -> _Pool:
        return self._large if length > self._large_size else self._ordinary


class _Pool:
    __slots__ = ("held", "limit", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        # In order of arrival: who waits for how many bytes, and what to call then.
        self.waiting: dict[object, tuple[int, Callable[[], None]]] = {}

    def has_capacity(self, size: int) -> bool:
        return self.held == 0 or self.held + size <= self.limit

    def release(self, size: int) -> None:
        self.held -= size
        while self.waiting:
            owner, (wanted, wake) = next(iter(self.waiting.items()))
            if not self.has_capacity(wanted):
                return
            del self.waiting[owner]
            wake()


class ResponseOwner(Protocol):
    """A connection, as :class:`ResponseMemory` sees it."""

    peer: str

    def drop_unread(self) -> None:
        """Forget the unread answers and close."""


class ResponseMemory:
    """Bytes of answers that clients have not read, all connections together; and of requests that wait behind them.

    Only connections whose client does not keep up have an entry. When the sum exceeds the limit, the connection that
    holds the most is closed: whoever asks for much and reads slowly pays, nobody else.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[ResponseOwner, int] = {}
        self.held = 0
        """Bytes held now."""
        self.evictions = 0
        """Connections closed so far."""

    @property
    def capacity(self) -> int:
        """Bytes that one answer should have at most, so that many slow clients find room for one each."""
        return max((self._limit - self.held) // _CAPACITY_SHARE, _MIN_CAPACITY)

    def update(self, owner: ResponseOwner, size: int) -> None:
        """The unread answers of ``owner`` are now ``size`` bytes."""
        self.held += size - (self._held.pop(owner, 0) if not size else self._held.get(owner, 0))
        if size:
            self._held[owner] = size
            while self.held > self._limit:
                self._evict()

    def _evict(self) -> None:
        victim = max(self._held, key=self._held.__getitem__)
        size = self._held.pop(victim)
        self.held -= size
        self.evictions += 1
        logger.warning(
            "closing the connection of %s: it does not read %d bytes of answers, and all clients together may leave %d"
            " unread (server.response.memory-size)",
            victim.peer,
            size,
            self._limit,
            extra={"event": "client_dropped", "peer": victim.peer},
        )
        victim.drop_unread()


class SharedResources:
    """What the listeners of a server share.

    Args:
        limits: what clients may cost.

    Attributes:
        limits: as given.
        request_memory: of all connections.
        response_memory: of all connections.
        receive_buffer: of all connections: they are served by one thread.
        frame_memory: likewise.
        connections: open connections.
        refused_connections: those refused so far because there were too many.
    """

    def __init__(self, limits: RpcLimits) -> None:
        self.limits = limits
        self.request_memory = RequestMemory(limits.max_server_request_bytes)
        self.response_memory = ResponseMemory(limits.max_server_response_bytes)
        self.receive_buffer = memoryview(bytearray(RECEIVE_BUFFER_SIZE))
        self.frame_memory = FrameMemory()
        self.connections = 0
        self.refused_connections = 0
