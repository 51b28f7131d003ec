"""The network of the operating system: TCP sockets."""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import functools
import os
import socket
import termios
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fluss_server.runtime.disk import Buffer
from fluss_server.runtime.network import DirectOutput, NetworkServer

_BIND_ATTEMPTS = 10
_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class SystemNetwork:
    """See :class:`fluss_server.runtime.network.Network`."""

    async def listen(
        self, host: str, port: int, protocol_factory: Callable[[], asyncio.BaseProtocol], *, backlog: int = 1024
    ) -> NetworkServer:
        loop = asyncio.get_running_loop()
        sockets = await _bind(host, port)
        servers = [
            await loop.create_server(protocol_factory, sock=sock, backlog=backlog, start_serving=False)
            for sock in sockets
        ]
        return _SystemServer(sockets[0].getsockname()[1], servers)

    async def connect(self, host: str, port: int, protocol_factory: Callable[[], _P]) -> tuple[asyncio.Transport, _P]:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(protocol_factory, host, port)
        return transport, protocol

    def direct_output(self, transport: asyncio.BaseTransport) -> DirectOutput | None:
        sock = transport.get_extra_info("socket")
        if sock is None or transport.get_extra_info("sslcontext") is not None:
            return None
        fd: int = sock.fileno()
        return _SocketOutput(fd) if fd >= 0 else None

    def prepare_accepted(self, transport: asyncio.BaseTransport) -> Callable[[], None] | None:
        sock = transport.get_extra_info("socket")
        if sock is None:
            return None
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # asyncio does this only for sockets that were made with the protocol number, which accepted ones are not.
        # Without it two responses in a row cost 40 ms: the second waits for the client's delayed acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not hasattr(socket, "TCP_QUICKACK"):  # Linux has it
            return None
        return functools.partial(sock.setsockopt, socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class _SystemServer:
    def __init__(self, port: int, servers: list[asyncio.Server]) -> None:
        self._port = port
        self._servers = servers

    @property
    def port(self) -> int:
        return self._port

    async def start(self) -> None:
        for server in self._servers:
            await server.start_serving()

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()


class _SocketOutput:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def send(self, buffers: Sequence[Buffer]) -> int:
        return os.writev(self._fd, buffers)

    def unsent_bytes(self) -> int:
        queued = array.array("i", [0])
        fcntl.ioctl(self._fd, termios.TIOCOUTQ, queued)
        return queued[0]


async def _bind(host: str, port: int) -> list[socket.socket]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))
    for attempt in range(_BIND_ATTEMPTS):
        try:
            return _bind_all(addresses, port)
        except OSError as error:
            # A port that was free for the first address may be taken for the second.
            if port or error.errno != errno.EADDRINUSE or attempt == _BIND_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _bind_all(addresses: list[tuple[int, tuple[Any, ...]]], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                if error.errno == errno.EAFNOSUPPORT:  # the name has an IPv6 address, the system has no IPv6
                    continue
                raise
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((address[0], port, *address[2:]))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL and len(addresses) > 1:
                    sockets.pop().close()
                    continue
                raise OSError(error.errno, f"cannot listen on {address[0]} port {port}: {error.strerror}") from None
            port = sock.getsockname()[1]
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    if not sockets:
        raise OSError(errno.EADDRNOTAVAIL, "none of the addresses can be used")
    return sockets
