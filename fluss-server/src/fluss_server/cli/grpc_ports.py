"""Which port gRPC gets when none is given."""

from __future__ import annotations

from fluss_server.cli.failures import UsageError
from fluss_server.rpc.endpoints import parse_endpoints

_MAX_PORT = 65535


def port_after(port: int, listeners: str | None) -> int:
    """Port of the gRPC server: the one after that of the first listener, or after it the first that no other uses.

    Args:
        port: of the only listener when there is no list of them; 0 = a free one, for gRPC too.
        listeners: value of ``bind.listeners``, None = not set.

    Raises:
        UsageError: there is no port left.
        FlussError: ``INVALID_CONFIG_EXCEPTION`` when the list cannot be read.
    """
    ports = (
        [port] if listeners is None else [endpoint.port for endpoint in parse_endpoints("bind.listeners", listeners)]
    )
    if ports[0] == 0:
        return 0
    found = next(number for number in range(ports[0] + 1, _MAX_PORT + len(ports) + 2) if number not in ports)
    if found > _MAX_PORT:
        raise UsageError(f"there is no port after {ports[0]} for gRPC", hint="choose one with --grpc-port")
    return found
