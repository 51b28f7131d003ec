"""A small client of the native protocol, for tools, tests and calls between servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from fluss_server.api import messages as pb
from fluss_server.api.keys import API_SPECS, SOFTWARE_NAME, ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.frames import (
    FrameReader,
    Piece,
    ResponseType,
    parse_error,
    parse_response,
    piece_size,
    request_prefix,
)
from fluss_server.rpc.output import OutputQueue
from fluss_server.runtime.network import Network
from fluss_server.runtime.system_network import SystemNetwork
from fluss_server.runtime.waits import wait_at_most

if TYPE_CHECKING:
    from google.protobuf.message import Message

DEFAULT_TIMEOUT_S = 30.0
_MAX_FRAME_BYTES = 1 << 30
_MAX_REQUESTS_IN_FLIGHT = 1000
_MAX_REQUEST_ID = 2**31 - 1


class RpcClient:
    """One connection to a server. Calls may overlap; responses are matched by request id.

    Example::

        client = await RpcClient.connect("localhost", 9123)
        response = await client.call(ApiKey.TABLE_EXISTS, pb.TableExistsRequest(...))
        await client.close()
    """

    def __init__(self, network: Network) -> None:
        self._protocol = _ClientProtocol(network)
        self._slots = asyncio.Semaphore(_MAX_REQUESTS_IN_FLIGHT)
        self.api_versions: dict[int, tuple[int, int]] = {}
        """Lowest and highest version of every API the server serves."""

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        *,
        authentication: tuple[str, str] | None = None,
        network: Network | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> RpcClient:
        """Connect, learn which APIs the server serves, and authenticate.

        Args:
            authentication: user and password for SASL/PLAIN; None = the listener does not authenticate.
            network: servers pass theirs; None = the machine's, for tools and tests.
            timeout_s: for each step.

        Raises:
            FlussError: ``NETWORK_EXCEPTION`` when the server cannot be reached in time, ``AUTHENTICATE_EXCEPTION`` when
                it does not accept the credentials.
        """
        network = SystemNetwork() if network is None else network
        client = cls(network)
        try:
            try:
                await wait_at_most(network.connect(host, port, lambda: client._protocol), timeout_s)
            except (OSError, asyncio.TimeoutError) as error:
                raise FlussError(
                    ErrorCode.NETWORK_EXCEPTION,
                    f"cannot connect to {host}:{port}: {error or 'timed out'}",
                    hint="is the server running, and is this its address?",
                ) from error
            request = pb.ApiVersionsRequest(client_software_name=SOFTWARE_NAME, client_software_version="1")
            response = await client.call(ApiKey.API_VERSIONS, request, timeout_s=timeout_s)
            client.api_versions = {api.api_key: (api.min_version, api.max_version) for api in response.api_versions}
            if authentication is not None:
                token = "\0".join(("", *authentication)).encode()
                authenticate = pb.AuthenticateRequest(protocol="PLAIN", token=token)
                await client.call(ApiKey.AUTHENTICATE, authenticate, timeout_s=timeout_s)
        except BaseException:
            await client.close()
            raise
        return client

    async def call(self, key: ApiKey, request: Message, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Any:
        """Send a request and wait for its response, a message of the API's response class.

        Raises:
            FlussError: the server returned an error, or ``UNSUPPORTED_VERSION`` when it does not serve the API in
                a version known here, ``NETWORK_EXCEPTION`` when the connection breaks, ``REQUEST_TIME_OUT``,
                ``CORRUPT_MESSAGE`` when the response cannot be read.
        """
        from google.protobuf.message import DecodeError

        body = await self.call_raw(key, [request.SerializeToString()], timeout_s=timeout_s)
        try:
            return API_SPECS[key].response.FromString(bytes(body))
        except DecodeError as error:
            raise FlussError(ErrorCode.CORRUPT_MESSAGE, f"{key.name}: the response cannot be read: {error}") from None

    async def call_raw(
        self, key: ApiKey, pieces: Sequence[Piece], *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> memoryview:
        """As :meth:`call`, from the pieces of an encoded message to the bytes of the response's; nothing is copied."""
        version = self._version_of(key)
        try:
            return await wait_at_most(self._exchange(key, version, pieces), timeout_s)
        except asyncio.TimeoutError:
            raise FlussError(ErrorCode.REQUEST_TIME_OUT, f"{key.name}: no response in {timeout_s} s") from None

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent: neither side has closed the connection."""
        return self._protocol.is_open

    def add_lost_callback(self, callback: Callable[[], object]) -> None:
        """Call something when the connection is closed, by whichever side."""
        self._protocol.lost.add_done_callback(lambda _: callback())

    async def close(self) -> None:
        """Close the connection; calls in flight fail."""
        await self._protocol.close()

    async def __aenter__(self) -> RpcClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def _version_of(self, key: ApiKey) -> int:
        spec = API_SPECS[key]
        if key is ApiKey.API_VERSIONS:
            return spec.max_version
        served = self.api_versions.get(key)
        if served is None or min(spec.max_version, served[1]) < max(spec.min_version, served[0]):
            raise FlussError(ErrorCode.UNSUPPORTED_VERSION, f"the server does not serve {spec.name} in a known version")
        return min(spec.max_version, served[1])

    async def _exchange(self, key: ApiKey, version: int, pieces: Sequence[Piece]) -> memoryview:
        async with self._slots:
            return await self._protocol.request(key, version, pieces)


class _ClientProtocol(asyncio.BufferedProtocol):
    def __init__(self, network: Network) -> None:
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(_MAX_FRAME_BYTES, 1)
        self._transport: asyncio.Transport | None = None
        self._output: OutputQueue
        self._waiting: dict[int, asyncio.Future[memoryview]] = {}
        self._next_id = 0
        self.lost = self._loop.create_future()
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def request(self, key: int, version: int, pieces: Sequence[Piece]) -> memoryview:
        await self._writable.wait()
        if not self.is_open:
            raise _connection_lost()
        request_id = self._next_id
        self._next_id = 0 if request_id == _MAX_REQUEST_ID else request_id + 1
        size = sum(map(piece_size, pieces))
        future: asyncio.Future[memoryview] = self._loop.create_future()
        self._waiting[request_id] = future
        try:
            self._output.send([request_prefix(key, version, request_id, size), *pieces], size)
            return await future
        finally:
            self._waiting.pop(request_id, None)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            await self.lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._output = OutputQueue(self._transport, self._network.direct_output(transport))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._reader.received(nbytes)
        try:
            while (frame := self._reader.next_frame()) is not None:
                self._receive(frame)
        except FlussError as error:
            self._fail(error)

    def pause_writing(self) -> None:
        self._output.pause()
        self._writable.clear()

    def resume_writing(self) -> None:
        self._output.resume()
        if not self._output.blocked:
            self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._output.clear()
        self._writable.set()
        self._fail_waiting(_connection_lost())
        if not self.lost.done():
            self.lost.set_result(None)

    def _receive(self, frame: bytes | memoryview) -> None:
        response = parse_response(frame)
        if response.type is ResponseType.SERVER_FAILURE:
            self._fail(parse_error(response.body))
            return
        future = self._waiting.pop(cast(int, response.request_id), None)
        if future is None or future.done():  # the caller does not wait any more
            return
        if response.type is ResponseType.SUCCESS:
            future.set_result(response.body)
        else:
            future.set_exception(parse_error(response.body))

    def _fail(self, error: FlussError) -> None:
        self._fail_waiting(error)
        assert self._transport is not None
        self._transport.abort()

    def _fail_waiting(self, error: FlussError) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(error)


def _connection_lost() -> FlussError:
    return FlussError(ErrorCode.NETWORK_EXCEPTION, "the connection to the server is lost")
