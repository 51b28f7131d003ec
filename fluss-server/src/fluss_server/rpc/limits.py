"""Bounds of the native server, each with its unit in its name."""

from __future__ import annotations

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
        max_connections: open connections; further ones are refused.
        max_idle_s: a connection without traffic for this long is closed (``netty.connection.max-idle-time``).
    """

    max_frame_bytes: int = 100 * MIB
    max_requests_in_flight: int = 1000
    max_request_bytes_in_flight: int = 64 * MIB
    max_connections: int = 10_000
    max_idle_s: float = 600.0
