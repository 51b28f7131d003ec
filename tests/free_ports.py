"""Loopback ports for servers that are started again on the port that they had."""

from __future__ import annotations

import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
_LOWEST = 10_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_reserved: dict[int, socket.socket] = {}


def free_port() -> int:
    """A port that this process alone gets, see :func:`free_ports`."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Ports in a row, free now and reserved for this process until its end.

    A port that the system chooses may later become the local end of any connection, while a server that is to listen
    on it again is down. These are below the range from which the system chooses, and no two processes get the same.

    Args:
        count: how many, at least 1.

    Raises:
        OSError: there is no such row.
    """
    firsts = range(_LOWEST, _lowest_ephemeral() - count + 1, count)
    for first in random.sample(firsts, len(firsts)):
        ports = list(range(first, first + count))
        reserved: list[socket.socket] = []
        try:
            reserved.extend(_reserve(port) for port in ports)
        except OSError:
            for name in reserved:
                name.close()
            continue
        _reserved.update(zip(ports, reserved, strict=True))
        return ports
    raise OSError(f"there are no {count} free ports in a row from {_LOWEST}")


def _reserve(port: int) -> socket.socket:
    """A socket with a name that only one process has; the system forgets the name with the process."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0fluss-port-{port}")
        with socket.socket() as listener:
            listener.bind((HOST, port))
    except OSError:
        name.close()
        raise
    return name


def _lowest_ephemeral() -> int:
    return int(_EPHEMERAL_RANGE.read_text().split()[0])
