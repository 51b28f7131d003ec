"""Telling somebody who gives this command the port of the native protocol which one to give."""

from __future__ import annotations

import asyncio

from fluss_server import __version__
from fluss_server.errors import ErrorCode, FlussError

_TIMEOUT_S = 2.0


def native_port_hint(address: str) -> str | None:
    """What to do if a server speaks the native protocol at an address, None if none does."""
    host, _, port_text = address.rpartition(":")
    if not host or not port_text.isdecimal() or not 0 < int(port_text) < 65535:
        return None
    port = int(port_text)
    if not asyncio.run(_speaks_native(host.strip("[]"), port)):
        return None
    reason = f"port {port} is that of Fluss's native protocol"
    following = f"{host}:{port + 1}"
    if _speaks_grpc(following):
        return f"{reason}; this command uses gRPC: --server {following}"
    return f"{reason}; this command uses gRPC, whose address the server prints at its start"


async def _speaks_native(host: str, port: int) -> bool:
    from fluss_server.rpc.client import RpcClient

    try:
        client = await RpcClient.connect(host, port, timeout_s=_TIMEOUT_S)
    except FlussError:
        return False
    await client.close()
    return True


def _speaks_grpc(address: str) -> bool:
    from fluss_server.api import messages as pb
    from fluss_server.api.keys import SOFTWARE_NAME, ApiKey
    from fluss_server.grpc_server.client import GrpcClient

    with GrpcClient(address) as client:
        try:
            request = pb.ApiVersionsRequest(client_software_name=SOFTWARE_NAME, client_software_version=__version__)
            client.call(ApiKey.API_VERSIONS, request, timeout_s=_TIMEOUT_S)
        except FlussError as error:
            return error.code is ErrorCode.AUTHENTICATE_EXCEPTION
    return True
