"""Bounds of the native server, each with its unit in its name.

What all clients together can make the server hold in memory is bounded by

* :mod:`fluss_server.rpc.request_memory`: requests that are arriving, or are started and without response;
* :mod:`fluss_server.rpc.response_memory`: responses that their clients do not read;
* the number of connections.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from fluss_server.config import Configuration
from fluss_server.runtime.open_files import connections_for

logger = logging.getLogger(__name__)

MIB = 1024 * 1024

REQUEST_OVERHEAD_BYTES = 4096
"""What a started request costs besides its bytes: its objects, its task, its place in queues."""

MESSAGE_WEIGHT = 8
"""What a decoded protobuf message costs, in bytes per byte of its encoding."""


class RpcLimits(NamedTuple):
    """What clients may cost.

    Attributes:
        max_frame_bytes: longest request; a longer one ends its connection (``netty.server.max-request-size``).
        max_message_bytes: longest request that is decoded into a message, which multiplies its size; all but
            PRODUCE_LOG and PUT_KV (``server.request.max-message-size``).
        max_requests_in_flight: started requests of one connection that have no response yet
            (``netty.server.max-queued-requests``). Parked fetches count, and all scanners of a client share a
            connection, so this is not small.
        max_request_bytes_in_flight: bytes of those requests; one more is started while the sum is below
            (``server.request.memory-size-per-connection``).
        max_server_request_bytes: the same for all connections together, what has arrived of others included
            (``server.request.memory-size``).
        max_server_response_bytes: unread responses of all connections together (``server.response.memory-size``).
        max_connections: open connections; further ones are refused (``server.max-connections``).
        max_idle_s: a connection without traffic for this long is closed (``netty.connection.max-idle-time``).
        max_authentication_s: time a connection of a SASL listener may take to authenticate.
        max_unauthenticated_frame_bytes: longest request before that.
        max_authentication_failures: failed attempts after which the connection is closed.
        authentication_failure_delay_s: time until a failed attempt gets its error.
        receive_timeout_s: time for a request to arrive once it has begun, and for the first one of a connection
            (``server.request.receive-timeout``). Long ones get a second more for every ``MIN_RECEIVE_RATE`` bytes.
        send_timeout_s: a client that takes nothing of its waiting responses for this long is disconnected
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
    """The limits that the options set.

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
