"""Listening and connecting. A connection is an asyncio transport with its protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from fluss_server.runtime.disk import Buffer

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class NetworkServer(Protocol):
    """A port that is in use, and accepts connections once it is started.

    Attributes:
        port: the port in use.
    """

    @property
    def port(self) -> int: ...

    async def start(self) -> None:
        """Accept connections; before this they are refused. ``OSError``."""

    def close(self) -> None:
        """Stop listening; accepted connections stay open."""


class DirectOutput(Protocol):
    """Sending past a transport's own buffer, which copies whatever it cannot send at once."""

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Send what the connection takes now; returns how many bytes it took.

        Args:
            buffers: at most 1,024.

        Raises:
            BlockingIOError: it takes nothing now.
            OSError: the connection is lost.
        """

    def unsent_bytes(self) -> int:
        """Bytes that were taken and that the peer has not acknowledged; ``OSError``."""


class Network(Protocol):
    """The network of a machine."""

    async def listen(
        self, host: str, port: int, protocol_factory: Callable[[], asyncio.BaseProtocol], *, backlog: int = 1024
    ) -> NetworkServer:
        """Take a port for connections.

        Args:
            host: name or address; all addresses of a name are used, with the same port.
            port: port, or 0 for a free one.
            protocol_factory: makes the protocol of each accepted connection.
            backlog: connections that wait to be accepted.

        Raises:
            OSError: none of the addresses can be used, or the port is taken (``EADDRINUSE``).
        """

    async def connect(self, host: str, port: int, protocol_factory: Callable[[], _P]) -> tuple[asyncio.Transport, _P]:
        """Connect; the caller bounds the time it takes. ``OSError``."""

    def direct_output(self, transport: asyncio.BaseTransport) -> DirectOutput | None:
        """How to send directly over an accepted connection; None where that is not possible (TLS, a simulation)."""

    def prepare_accepted(self, transport: asyncio.BaseTransport) -> Callable[[], None] | None:
        """Set what an accepted connection needs to respond at once.

        Returns:
            what makes the system acknowledge received bytes without waiting; it forgets that again, so repeat it. None
            where a system cannot.
        """
