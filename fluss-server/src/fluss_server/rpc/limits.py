"""Bounds of the native server, each with its unit in its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """What clients may cost.

    Attributes:
        max_frame_bytes: longest request; a longer one ends its connection (``netty.server.max-request-size``).
        max_requests_in_flight: started and unanswered requests of one connection. Parked fetches count, and all
            scanners of a client share a connection, so this is not small.
        max_request_bytes_in_flight: bytes of those requests; one more is started while the sum is below.
        max_server_request_bytes: the same for all connections together.
        max_connections: open connections; further ones are refused.
        max_idle_s: a connection without traffic for this long is closed (``netty.connection.max-idle-time``).
        max_login_s: time a connection of a SASL listener may take to authenticate.
        max_login_frame_bytes: longest request before that.
        max_login_failures: failed logins after which the connection is closed.
        login_failure_delay_s: time until a failed login is answered.
    """

    max_frame_bytes: int = 100 * MIB
    max_requests_in_flight: int = 1000
    max_request_bytes_in_flight: int = 64 * MIB
    max_server_request_bytes: int = 512 * MIB
    max_connections: int = 10_000
    max_idle_s: float = 600.0
    max_login_s: float = 30.0
    max_login_frame_bytes: int = 64 * 1024
    max_login_failures: int = 3
    login_failure_delay_s: float = 0.5


class RequestMemory:
    """Bytes of the requests in flight of a whole server, and who waits for them to become fewer.

    Args:
        limit: one more request is started while the sum is below this.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._waiting: dict[object, Callable[[], None]] = {}  # in order of arrival

    @property
    def full(self) -> bool:
        """True while nothing may be started."""
        return self._held >= self._limit

    def hold(self, size: int) -> None:
        """A request of ``size`` bytes started."""
        self._held += size

    def release(self, size: int) -> None:
        """It ended; those who wait are called, first come first served, while there is room."""
        self._held -= size
        while self._waiting and not self.full:
            owner = next(iter(self._waiting))
            self._waiting.pop(owner)()

    def wait(self, owner: object, wake: Callable[[], None]) -> None:
        """Call ``wake`` once when there is room; an owner waits once at a time."""
        self._waiting.setdefault(owner, wake)

    def forget(self, owner: object) -> None:
        """``owner`` waits no more."""
        self._waiting.pop(owner, None)
