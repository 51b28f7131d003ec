"""Addresses of a server: ``NAME://host:port, NAME2://host:port``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError

_ENDPOINT = re.compile(
    r"(?P<name>[A-Za-z0-9_-]+)://(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<host>[\w.-]+)):(?P<port>\d{1,5})\Z"
)


class Endpoint(NamedTuple):
    """One listener.

    Attributes:
        listener: its name.
        host: name or address.
        port: 0 = a free one.
    """

    listener: str
    host: str
    port: int


def parse_endpoints(option: str, text: str) -> list[Endpoint]:
    """The endpoints of an option's value.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` for bad syntax, two endpoints of one name or one address.
    """
    endpoints: list[Endpoint] = []
    for part in text.split(","):
        match = _ENDPOINT.match(part.strip())
        if match is None or int(match["port"]) > 65535:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"{option}: {part.strip()!r} is not a listener",
                hint="write NAME://host:port, an IPv6 address in []",
            )
        endpoints.append(Endpoint(match["name"], match["ipv6"] or match["host"], int(match["port"])))
    names = [endpoint.listener for endpoint in endpoints]
    if len(set(names)) < len(names):
        raise FlussError(ErrorCode.INVALID_CONFIG_EXCEPTION, f"{option}: two listeners have the same name")
    return endpoints


def format_endpoints(endpoints: Iterable[Endpoint]) -> str:
    """``NAME://host:port,...``, which :func:`parse_endpoints` reads; IPv6 addresses in brackets."""
    return ",".join(f"{name}://{f'[{host}]' if ':' in host else host}:{port}" for name, host, port in endpoints)


def parse_address(option: str, text: str) -> tuple[str, int]:
    """Host and port of ``host:port``.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """
    match = _ENDPOINT.match(f"A://{text.strip()}")
    if match is None or not 0 < int(match["port"]) <= 65535:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"{option}: {text!r} is not an address",
            hint="write host:port, an IPv6 address in []",
        )
    return match["ipv6"] or match["host"], int(match["port"])


def advertised_endpoints(bound: Sequence[Endpoint], advertised: Sequence[Endpoint]) -> dict[str, Endpoint]:
    """What clients of each listener are told instead of the address they used.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` for a name that is not bound.
    """
    names = {endpoint.listener for endpoint in bound}
    for endpoint in advertised:
        if endpoint.listener not in names:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"advertised.listeners names {endpoint.listener!r}, which is not bound",
                hint=f"bound are {', '.join(sorted(names))}",
            )
    return {endpoint.listener: endpoint for endpoint in advertised}


def is_loopback(host: str) -> bool:
    """True when ``host`` surely reaches this machine only; names other than ``localhost`` are not trusted."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def address_of(name: object) -> tuple[str, int]:
    """Host and port of a socket name; an IPv4 address without the prefix it has on an IPv6 socket."""
    if not isinstance(name, tuple):  # not a TCP connection, for example a simulated one
        return "", 0
    return str(name[0]).removeprefix("::ffff:"), int(name[1])
