"""The connection of one server to another: opened when it is needed, to the address that the other has then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fluss_server.api.keys import ApiKey
from fluss_server.config import Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime.network import Network
from fluss_server.runtime.waits import wait_at_most

if TYPE_CHECKING:
    from google.protobuf.message import Message

logger = logging.getLogger(__name__)

MAX_CALLS = 1_000
"""Calls without response; further ones fail at once."""

_BROKEN = frozenset({ErrorCode.NETWORK_EXCEPTION, ErrorCode.CORRUPT_MESSAGE})
_REFUSED = frozenset({ErrorCode.AUTHENTICATE_EXCEPTION, ErrorCode.UNSUPPORTED_VERSION})

CONNECT_TIMEOUT = "server.internal.connect-timeout"
REQUEST_TIMEOUT = "server.internal.request-timeout"
CONTROL_TIMEOUT = "coordinator.control-request.timeout"
"""Options; see :meth:`PeerConnection.of`."""


class PeerConnection:
    """One connection to another server of the cluster. Lives on one event loop.

    Requests are sent in the order of the calls. A call that gets no response in time closes the connection, because the
    requests after it may be lost as well; the next call opens another one. It may then happen that the other server
    handles a request of the old connection after those of the new one.

    Args:
        name: of the other server, for errors and the log.
        address: where it is now; None when that is not known.
        network: of this process.
        authentication: user and password for SASL/PLAIN; None = the listener does not authenticate.
        connect_timeout_s: how long opening a connection may take.
        request_timeout_s: how long a call may take, opening the connection included, unless it says otherwise.

    Attributes:
        name: as given.
        on_lost: called when an open connection breaks, or the other side closes it.
    """

    def __init__(
        self,
        name: str,
        address: Callable[[], Endpoint | None],
        *,
        network: Network,
        authentication: tuple[str, str] | None = None,
        connect_timeout_s: float = 5.0,
        request_timeout_s: float = 30.0,
    ) -> None:
        self.name = name
        self._address = address
        self._network = network
        self._authentication = authentication
        self._connect_timeout_s = connect_timeout_s
        self._request_timeout_s = request_timeout_s
        self._client: RpcClient | None = None
        self._connected_to: Endpoint | None = None
        self._order = asyncio.Lock()  # first come, first served
        self._connecting: asyncio.Task[RpcClient] | None = None
        self._connecting_to: Endpoint | None = None
        self._failures: tuple[int, FlussError | None] = 0, None  # attempts to connect that failed, and why the last did
        self._closing: set[asyncio.Task[None]] = set()
        self._calls = 0
        self._closed = False
        self.on_lost: Callable[[], object] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        address: Callable[[], Endpoint | None],
        configuration: Configuration,
        *,
        network: Network,
        authentication: tuple[str, str] | None = None,
        timeout: str = REQUEST_TIMEOUT,
    ) -> PeerConnection:
        """A connection with the limits that the options set; ``timeout`` is the option for calls."""
        return cls(
            name,
            address,
            network=network,
            authentication=authentication,
            connect_timeout_s=configuration.get_int(CONNECT_TIMEOUT) / 1000,
            request_timeout_s=configuration.get_int(timeout) / 1000,
        )

    def another(self) -> PeerConnection:
        """One more connection to the same server, for calls that must not wait for those of this one."""
        return PeerConnection(
            self.name,
            self._address,
            network=self._network,
            authentication=self._authentication,
            connect_timeout_s=self._connect_timeout_s,
            request_timeout_s=self._request_timeout_s,
        )

    async def call(
        self, key: ApiKey, request: Message, *, timeout_s: float | None = None, may_open: bool = True
    ) -> Any:
        """Send a request and wait for its response, a message of the API's response class.

        Args:
            key: of the API.
            request: its request.
            timeout_s: see ``request_timeout_s``.
            may_open: open the connection if it is not open; else that is a ``NETWORK_EXCEPTION``.

        Raises:
            FlussError: what the other server responds; ``NETWORK_EXCEPTION`` or ``REQUEST_TIME_OUT`` when the outcome
                is unknown; ``AUTHENTICATE_EXCEPTION``; ``UNSUPPORTED_VERSION`` when it does not serve the API there.
        """
        limit_s = self._request_timeout_s if timeout_s is None else timeout_s
        if self._calls >= MAX_CALLS:
            raise FlussError(ErrorCode.REQUEST_TIME_OUT, f"{MAX_CALLS} calls of {self.name} have no response yet")
        self._calls += 1
        used: list[RpcClient] = []
        try:
            return await wait_at_most(self._call(key, request, limit_s, used, may_open), limit_s)
        except asyncio.TimeoutError:
            self._break_off(used)
            raise FlussError(
                ErrorCode.REQUEST_TIME_OUT, f"{key.name}: no response of {self.name} in {limit_s:g} s"
            ) from None
        except FlussError as error:
            if error.code in _BROKEN:
                self._break_off(used)
            elif error.code in _REFUSED:
                raise FlussError(
                    error.code,
                    f"{key.name} of {self.name}: {error.message}",
                    hint="check internal.listener.name and client.security.* of this server",
                ) from error
            raise
        finally:
            self._calls -= 1

    @property
    def is_open(self) -> bool:
        """Whether there is a connection now."""
        return self._client is not None and self._client.is_open

    async def open(self) -> None:
        """Open the connection unless it is open.

        Raises:
            FlussError: see :meth:`call`; its cause is an ``OSError`` when the system said why.
        """
        try:
            await wait_at_most(self._connected(), self._connect_timeout_s)
        except asyncio.TimeoutError:
            raise FlussError(ErrorCode.NETWORK_EXCEPTION, f"{self.name} cannot be reached") from None

    def address_changed(self) -> None:
        """The other server is elsewhere now: calls in flight fail, and the next one opens another connection.

        Calls that wait for a connection get one to the new address.
        """
        if self._connecting is not None and self._connecting_to != self._address():
            self._connecting.cancel()
        if self._client is not None and self._connected_to != self._address():
            self._drop([self._client])

    async def close(self) -> None:
        """Close the connection; calls in flight fail, and so do later ones."""
        self._closed = True
        if (connecting := self._connecting) is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
        if self._client is not None:
            self._drop([self._client])
        if self._closing:
            await asyncio.wait(tuple(self._closing))

    async def _call(self, key: ApiKey, request: Message, limit_s: float, used: list[RpcClient], may_open: bool) -> Any:
        client = await self._connected() if may_open else self._opened()
        used.append(client)
        # The caller's limit counts; that of the client is never first.
        return await client.call(key, request, timeout_s=limit_s + 1)

    def _opened(self) -> RpcClient:
        if self._client is None or not self._client.is_open:
            raise FlussError(ErrorCode.NETWORK_EXCEPTION, f"there is no connection to {self.name}")
        return self._client

    async def _connected(self) -> RpcClient:
        failures = self._failures[0]
        async with self._order:
            if self._failures[0] > failures and (error := self._failures[1]) is not None:
                # One attempt for all that waited for it.
                raise FlussError(error.code, error.message, hint=error.hint) from error.__cause__
            if self._closed:
                raise self._closed_error()
            address = self._address()
            if self._client is not None and (self._connected_to != address or not self._client.is_open):
                self._drop([self._client])
            if self._client is None:
                self._client = await self._connect_anywhere()
                self._connected_to = address = self._connecting_to
                assert address is not None, "it was connected to"
                self._client.add_lost_callback(partial(self._lost, self._client))
                if self._closed:
                    self._drop([self._client])
                    raise self._closed_error()
                logger.debug("connected to %s at %s:%d", self.name, address.host, address.port)
            return self._client

    async def _connect_anywhere(self) -> RpcClient:
        """Connect to the other server, also when it moves meanwhile."""
        while True:
            address = self._connecting_to = self._address()
            if address is None:
                raise FlussError(ErrorCode.NETWORK_EXCEPTION, f"the address of {self.name} is not known")
            try:
                return await self._connect(address)
            except FlussError as error:
                if not self._closed and self._address() not in (None, address):
                    continue  # nothing was requested of a server that is not the one any more
                self._failures = self._failures[0] + 1, error
                raise

    async def _connect(self, address: Endpoint) -> RpcClient:
        connecting = self._connecting = asyncio.ensure_future(
            wait_at_most(
                RpcClient.connect(
                    address.host,
                    address.port,
                    authentication=self._authentication,
                    network=self._network,
                    timeout_s=self._connect_timeout_s,
                ),
                self._connect_timeout_s,
                discard=self._close,
            )
        )
        try:
            await asyncio.wait([connecting])
        except asyncio.CancelledError:
            connecting.cancel()
            connecting.add_done_callback(self._discard)
            raise
        finally:
            self._connecting = None
        if connecting.cancelled():
            raise self._closed_error()
        try:
            return connecting.result()
        except asyncio.TimeoutError:
            where = f"{address.host}:{address.port}"
            raise FlussError(
                ErrorCode.NETWORK_EXCEPTION,
                f"{self.name} at {where} cannot be reached in {self._connect_timeout_s:g} s",
            ) from None

    def _closed_error(self) -> FlussError:
        return FlussError(ErrorCode.NETWORK_EXCEPTION, f"the connection to {self.name} is closed")

    def _lost(self, client: RpcClient) -> None:
        if client is self._client and self.on_lost is not None:  # else it was closed on this side
            self.on_lost()

    def _break_off(self, used: list[RpcClient]) -> None:
        """Close a connection over which a call has failed; whoever waits for its end is told."""
        was_open = self._client is not None and self._client in used
        self._drop(used)
        if was_open and self.on_lost is not None:
            self.on_lost()

    def _drop(self, clients: list[RpcClient]) -> None:
        """Close connections; those that were replaced meanwhile are closed already."""
        for client in clients:
            if client is self._client:
                self._client = self._connected_to = None
                self._close(client)

    def _discard(self, connecting: asyncio.Task[RpcClient]) -> None:
        """Nobody waits for an attempt to connect any more."""
        if not connecting.cancelled() and connecting.exception() is None:
            self._close(connecting.result())

    def _close(self, client: RpcClient) -> None:
        task = asyncio.ensure_future(client.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
