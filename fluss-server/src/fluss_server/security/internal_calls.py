"""How servers of a cluster find each other's internal listeners, and prove to each other who they are."""

from __future__ import annotations

from collections.abc import Sequence

from fluss_server.config import Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.security.jaas import parse_jaas_credentials
from fluss_server.security.listeners import PLAINTEXT, SASL
from fluss_server.security.sasl import PLAIN

INTERNAL_LISTENER = "internal.listener.name"
_PROTOCOL = "client.security.protocol"
_MECHANISM = "client.security.sasl.mechanism"
_USER = "client.security.sasl.username"
_PASSWORD = "client.security.sasl.password"
_JAAS = "client.security.sasl.jaas.config"


def internal_listener(configuration: Configuration, endpoints: Sequence[Endpoint]) -> str:
    """Name of the listener for calls between servers.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` when it is none of those that are bound.
    """
    name = configuration.get_str(INTERNAL_LISTENER)
    bound = [endpoint.listener for endpoint in endpoints]
    if name not in bound:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"{INTERNAL_LISTENER} names the listener {name!r}, which is not bound",
            hint=f"bound are {', '.join(bound)}",
        )
    return name


def internal_endpoint(endpoints: Sequence[Endpoint], listener: str, server: str) -> Endpoint:
    """The endpoint of another server for calls between servers.

    Args:
        server: for the error.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` when it has none.
    """
    for endpoint in endpoints:
        if endpoint.listener == listener:
            return endpoint
    raise FlussError(
        ErrorCode.INVALID_CONFIG_EXCEPTION,
        f"{server} has no listener {listener!r}, over which servers call each other here",
        hint=f"{INTERNAL_LISTENER} must be the same for all servers",
    )


def server_credentials(configuration: Configuration) -> tuple[str, str] | None:
    """User and password with which this server authenticates at others; None = it does not.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """
    protocol = configuration.get_str(_PROTOCOL)
    if protocol.upper() not in (SASL, PLAINTEXT):
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"{_PROTOCOL}: {protocol!r} is not a security protocol",
            hint="use SASL or PLAINTEXT",
        )
    if protocol.upper() == PLAINTEXT:
        return None
    mechanism = configuration.get_str(_MECHANISM)
    if mechanism.upper() != PLAIN:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"{_MECHANISM}: {mechanism!r} is not supported",
            hint=f"there is only {PLAIN}",
        )
    user, password = configuration.find_str(_USER), configuration.find_str(_PASSWORD)
    if user and password:
        return user, password
    jaas = configuration.find_str(_JAAS)
    if jaas is None or user or password:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"{_PROTOCOL} is {SASL}, but there are no credentials",
            hint=f"set {_USER} and {_PASSWORD}, or {_JAAS}",
        )
    return parse_jaas_credentials(jaas)
