"""A request on its way from its connection to its response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol

from fluss_server.metrics.instruments import RequestStats
from fluss_server.model.principal import ANONYMOUS
from fluss_server.rpc.authentication import ConnectionAuthentication
from fluss_server.rpc.limits import MESSAGE_WEIGHT, REQUEST_OVERHEAD_BYTES
from fluss_server.rpc.request_memory import MIN_WAITING_BYTES, Arrival, RequestMemory
from fluss_server.rpc.service import Handler, RequestContext


class RequestOwner(Protocol):
    """What a request needs from its connection."""

    authentication: ConnectionAuthentication
    listener: str
    peer: str
    local_host: str
    local_port: int
    last_activity: float

    def authenticate(self, mechanism: str, token: bytes) -> Awaitable[None] | None:
        """See :meth:`RequestContext.authenticate`."""

    def response_capacity(self) -> int:
        """See :meth:`RequestContext.response_capacity`."""

    def try_response_slot(self, request: StartedRequest) -> bool:
        """See :meth:`RequestContext.try_response_slot`."""

    async def wait_for_response_slot(self, request: StartedRequest) -> None:
        """See :meth:`RequestContext.response_slot`."""


class StartedRequest(RequestContext):
    """A request whose method was called, until it has its response.

    Attributes:
        connection: on which it arrived.
        handler: of its API.
        request_id: that its response repeats.
        frame_bytes: its size as sent.
        arrived: time of the monotonic clock.
        size: bytes of memory that it counts for while its method runs; 0 before.
        arrival: memory that was reserved while it arrived; None for short ones.
        future: of its method, None until there is one.
        started: whether its method runs.
        stats: where it is counted.
        abandoned: whether nobody wants its response any more.
    """

    __slots__ = (
        "abandoned",
        "arrival",
        "arrived",
        "connection",
        "frame_bytes",
        "future",
        "handler",
        "request_id",
        "size",
        "started",
        "stats",
    )

    def __init__(
        self,
        connection: RequestOwner,
        handler: Handler,
        version: int,
        request_id: int,
        frame_bytes: int,
        arrival: Arrival | None,
    ) -> None:
        self.api_key = handler.spec.key
        self.api_version = version
        self.principal = connection.authentication.principal or ANONYMOUS
        self.connection = connection
        self.handler = handler
        self.stats = handler.stats
        self.request_id = request_id
        self.frame_bytes = frame_bytes
        self.arrived = connection.last_activity
        self.arrival = arrival
        self.size = 0
        self.future: asyncio.Future[Any] | None = None
        self.started = False
        self.abandoned = False

    # Few methods look at these, so they are not copied for every request; nobody changes them.

    @property
    def listener(self) -> str:  # type: ignore[override]
        return self.connection.listener

    @property
    def peer(self) -> str:  # type: ignore[override]
        return self.connection.peer

    @property
    def local_host(self) -> str:  # type: ignore[override]
        return self.connection.local_host

    @property
    def local_port(self) -> int:  # type: ignore[override]
        return self.connection.local_port

    def abandon(self) -> None:
        """Cancel the method, whether it has started or not."""
        if self.future is not None and self.started:
            self.future.cancel()
        self.abandoned = True  # cancelling a task that has not started would skip the bookkeeping in it

    def charge(self, memory: RequestMemory) -> None:
        """Count the request while its method runs."""
        self.size = (1 if self.handler.is_bulk else MESSAGE_WEIGHT) * self.frame_bytes + REQUEST_OVERHEAD_BYTES
        arrival = self.arrival
        if arrival is None:
            memory.short.take(self.size)
        else:
            arrival.lane.take(self.size - arrival.granted)
        if self.size >= MIN_WAITING_BYTES and self.handler.cancel_on_disconnect:
            (memory.short if arrival is None else arrival.lane).add_waiting_request(self)

    def release(self, memory: RequestMemory) -> None:
        """Its method has ended; requests that wait for memory may start."""
        lane = memory.short if self.arrival is None else self.arrival.lane
        if self.size >= MIN_WAITING_BYTES:
            lane.remove_waiting_request(self)
        lane.release(self.size)

    def forget_memory(self) -> None:
        """It had its response at once, without being counted."""
        if self.arrival is not None:
            self.arrival.discard()

    def count_in(self, stats: RequestStats) -> None:
        self.stats = stats

    def authenticate(self, mechanism: str, token: bytes) -> Awaitable[None] | None:
        return self.connection.authenticate(mechanism, token)

    def try_response_slot(self) -> bool:
        return self.connection.try_response_slot(self)

    def response_capacity(self) -> int:
        return self.connection.response_capacity()

    async def response_slot(self) -> None:
        if not self.connection.try_response_slot(self):
            await self.connection.wait_for_response_slot(self)

    def __repr__(self) -> str:
        return f"{self.handler.spec.name} request {self.request_id} of {self.peer}"

    def log_fields(self) -> dict[str, object]:
        """What a structured log tells about a request."""
        return {
            "api": self.handler.spec.name,
            "request_id": self.request_id,
            "peer": self.peer,
            "principal": str(self.principal),
            "listener": self.listener,
        }
