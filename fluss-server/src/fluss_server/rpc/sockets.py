"""Settings and names of the sockets of accepted connections."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable


def tune(sock: socket.socket) -> Callable[[], None] | None:
    """Set what an accepted connection needs to answer at once.

    Returns:
        what asks the kernel to acknowledge received bytes without waiting; it forgets that again, so repeat it. None
        where a kernel cannot.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # asyncio does this only for sockets that were made with the protocol number, which accepted ones are not.
    # Without it two answers in a row cost 40 ms: the second waits for the client's delayed acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not hasattr(socket, "TCP_QUICKACK"):  # Linux has it
        return None
    return functools.partial(sock.setsockopt, socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def address_of(name: object) -> tuple[str, int]:
    """Host and port of a socket name; an IPv4 address without the prefix it has on an IPv6 socket."""
    if not isinstance(name, tuple):  # not a TCP connection, for example a simulated one
        return "", 0
    return str(name[0]).removeprefix("::ffff:"), int(name[1])
