"""When a connection must go on, and what is wrong when it does not; no I/O."""

from __future__ import annotations

from typing import Protocol

from fluss_server.rpc.limits import RpcLimits
from fluss_server.rpc.progress import Progress
from fluss_server.rpc.request_memory import MIN_RECEIVE_RATE


class Watched(Protocol):
    """What the deadlines depend on.

    Attributes:
        last_activity: time of the monotonic clock when bytes last moved.
    """

    last_activity: float

    @property
    def authenticated(self) -> bool:
        """Whether the client has authenticated, or need not."""

    @property
    def requests_in_flight(self) -> int:
        """Started requests without response."""

    @property
    def receiving_since_request(self) -> int | None:
        """How many requests have arrived, while the next one is arriving or the first one is awaited; else None."""

    @property
    def arriving_bytes(self) -> int:
        """Length of the long request that is arriving, else 0."""

    @property
    def unacknowledged_bytes(self) -> int | None:
        """A number that changes when the client takes bytes, while responses wait for it; else None."""


class Deadlines:
    """The deadlines of one connection.

    Args:
        limits: the times.
        now: of the monotonic clock; the connection was just made.
    """

    def __init__(self, limits: RpcLimits, now: float) -> None:
        self._limits = limits
        self._opened = now
        self._progress = Progress(~0, now)  # as if the first request had begun with the connection

    def violated(self, connection: Watched, now: float) -> str | None:
        """Why the connection must be closed; None = it may stay. Called every few seconds."""
        limits = self._limits
        if not connection.authenticated and now - self._opened >= limits.max_authentication_s:
            return f"it has not authenticated within {limits.max_authentication_s:.0f} s"
        unread = connection.unacknowledged_bytes
        if unread is not None:
            # The system's buffers hide a slow reader from us, so look at how much of them is taken.
            if self._progress.stalls(now, unread, limits.send_timeout_s):
                return f"it has read nothing of its responses for {limits.send_timeout_s:.0f} s"
            return None
        position = connection.receiving_since_request
        if position is not None:
            allowed_s = limits.receive_timeout_s + connection.arriving_bytes / MIN_RECEIVE_RATE
            if self._progress.stalls(now, ~position, allowed_s):
                return f"a request did not arrive within {allowed_s:.0f} s"
            return None
        self._progress.forget()
        return None

    def idle(self, connection: Watched, now: float) -> bool:
        """Whether nothing has moved, and nothing has been in progress, for so long that the connection is closed."""
        return (
            not connection.requests_in_flight
            and connection.unacknowledged_bytes is None
            and now - connection.last_activity >= self._limits.max_idle_s
        )
