"""How a service offers its methods to clients: the decorator, the registry, and what a method is handed.

A service is any object with methods marked by :func:`rpc`::

    class Greeter:
        @rpc(ApiKey.DATABASE_EXISTS)
        async def database_exists(self, request: pb.DatabaseExistsRequest, context: RequestContext) -> ResponseBody:
            return pb.DatabaseExistsResponse(exists=True)

A method may be ``async`` or plain. Requests of one connection are *started* in the order they arrived: the code of an
``async`` method up to its first real wait, the whole of a plain method. A plain method that has no response yet
returns a future or a coroutine; it saves the price of a task (about 4 us) whenever it can. Order between an ``async``
and a plain method is not kept, so methods whose order matters must be of one kind.
"""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from fluss_server.api import messages as pb
from fluss_server.api.keys import API_SPECS, SOFTWARE_NAME, ApiKey, ApiSpec
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metrics.instruments import RequestStats
from fluss_server.model.principal import ANONYMOUS, Principal
from fluss_server.rpc import bulk
from fluss_server.rpc.decoding import MessageDecoder
from fluss_server.rpc.frames import REQUEST_HEADER_SIZE, Piece

if TYPE_CHECKING:
    from google.protobuf.message import Message

ResponseBody: TypeAlias = "Message | Sequence[Piece]"
Method: TypeAlias = "Callable[..., ResponseBody | Awaitable[ResponseBody]]"
_MethodT = TypeVar("_MethodT", bound=Callable[..., Any])

DEFAULT_LISTENER = "FLUSS"
_API_ATTRIBUTE = "__rpc__"
_BULK_PARSERS: dict[ApiKey, Callable[[memoryview], object]] = {
    ApiKey.PRODUCE_LOG: bulk.parse_produce_log,
    ApiKey.PUT_KV: bulk.parse_put_kv,
}


@dataclass(slots=True, eq=False)
class RequestContext:
    """Where a request came from.

    A context made by hand, as tests do, has no connection: :meth:`response_slot` never waits.

    Attributes:
        api_key: number of the API.
        api_version: version the client chose.
        principal: who sent the request.
        listener: name of the listener that accepted the connection.
        peer: ``host:port`` of the client.
        local_host: address the client reached this server under.
        local_port: port the client reached this server under.
    """

    api_key: int
    api_version: int = 0
    principal: Principal = ANONYMOUS
    listener: str = DEFAULT_LISTENER
    peer: str = ""
    local_host: str = "127.0.0.1"
    local_port: int = 0

    @property
    def peer_host(self) -> str:
        """Address of the client."""
        return self.peer.rpartition(":")[0].strip("[]")

    def count_in(self, stats: RequestStats) -> None:
        """Count the request there, and not in the ``stats`` of its handler."""

    def authenticate(self, mechanism: str, token: bytes) -> Awaitable[None] | None:
        """Serve an AUTHENTICATE for the connection; wait for the result if there is one.

        Raises:
            FlussError: ``AUTHENTICATE_EXCEPTION``.
        """
        raise FlussError(ErrorCode.AUTHENTICATE_EXCEPTION, "there is no connection to authenticate")

    def try_response_slot(self) -> bool:
        """Take the slot of :meth:`response_slot` if that needs no wait; False if it does."""
        return True

    def response_capacity(self) -> int:
        """Bytes that a response built in memory should have at most; fewer when clients leave much unread."""
        return 1 << 31

    async def response_slot(self) -> None:
        """Wait until the client has read enough of what it was sent before, and no other request of it has the slot.

        Await this before building a large response in memory, so that a client that requests much and reads slowly
        costs a bounded amount. The slot is released when the response is handed over, so do not wait for anything
        unbounded after it.

        Raises:
            FlussError: ``NETWORK_EXCEPTION`` when the client is gone.
        """


class RpcOptions(NamedTuple):
    """What :func:`rpc` was told."""

    key: ApiKey
    raw: bool
    cancel_on_disconnect: bool
    starts_at_once: bool


def rpc(
    key: ApiKey, *, raw: bool = False, cancel_on_disconnect: bool = False, starts_at_once: bool = False
) -> Callable[[_MethodT], _MethodT]:
    """Declare ``method(self, request, context) -> ResponseBody`` as the implementation of an API.

    ``request`` is the API's message; for ``PRODUCE_LOG`` and ``PUT_KV`` the dataclass of :mod:`fluss_server.rpc.bulk`.
    The response is a message or the pieces of an encoded one. A raised :class:`FlussError` is sent with its code, any
    other exception with ``UNKNOWN_SERVER_ERROR`` and a traceback in the log.

    Args:
        key: the API.
        raw: hand over the undecoded body, a memoryview, as ``request``.
        cancel_on_disconnect: cancel the method when its client is gone or the server closes. Only for methods that
            just read or wait; anything else must run to its end.
        starts_at_once: run an ``async`` method up to its first wait when its request is started, and not in a task: it
            costs no task if it does not wait, and counts in the time for which requests may be started. Not for methods
            that use ``asyncio.timeout`` or ``wait_for`` before their first wait: these need a task.
    """

    def declare(method: _MethodT) -> _MethodT:
        setattr(method, _API_ATTRIBUTE, RpcOptions(key, raw, cancel_on_disconnect, starts_at_once))
        return method

    return declare


@dataclass(frozen=True, slots=True)
class Handler:
    """An API and the bound method that serves it.

    Attributes:
        spec: the API.
        method: takes the request and its context.
        parse: turns a whole request frame into the request; raises ``FlussError(CORRUPT_MESSAGE)``.
        is_async: the method is a coroutine function.
        cancel_on_disconnect: see :func:`rpc`.
        starts_at_once: see :func:`rpc`.
        any_version: serve requests of unknown versions as the highest known one.
        is_bulk: the request is not decoded into objects, so that it costs little more than its bytes.
        stats: counts what was served; the same object for every handler made from this one.
        server_stats: counts what other servers request, of an API that clients use, too; None = they do not.
    """

    spec: ApiSpec
    method: Method
    parse: Callable[[bytes | memoryview], Any]
    is_async: bool = False
    cancel_on_disconnect: bool = False
    any_version: bool = False
    is_bulk: bool = False
    starts_at_once: bool = False
    stats: RequestStats = field(default_factory=RequestStats)
    server_stats: RequestStats | None = None

    def check(self, version: int, size: int, limit: int) -> None:
        """Refuse a request that is not served; as :meth:`check_version` and :meth:`check_size`."""
        spec = self.spec
        if not spec.min_version <= version <= spec.max_version:
            self.check_version(version)
        if size > limit or size > spec.max_request_bytes:
            self.check_size(size, limit)

    def check_size(self, size: int, limit: int) -> None:
        """Raise ``RECORD_TOO_LARGE_EXCEPTION`` for a request that is decoded as a whole and is too long.

        Args:
            size: of the request in bytes.
            limit: of every request of clients; that of the API may be lower.
        """
        most = self.spec.max_request_bytes
        bound = most if self.spec.between_servers else min(limit, most)
        if size > bound and not self.is_bulk:
            raise FlussError(
                ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                f"a {self.spec.name} request of {size} bytes, the limit is {bound}",
                hint="send less at a time, or raise server.request.max-message-size"
                if bound == limit
                else f"no {self.spec.name} request needs so much; send less at a time",
            )

    def check_version(self, version: int) -> None:
        """Raise ``UNSUPPORTED_VERSION`` for a version outside the advertised range."""
        spec = self.spec
        if not spec.min_version <= version <= spec.max_version and not self.any_version:
            raise FlussError(
                ErrorCode.UNSUPPORTED_VERSION,
                f"{spec.name} version {version} is not served, only {spec.min_version} to {spec.max_version}",
            )


class ServiceRegistry:
    """The APIs that a server serves: those of its services, API_VERSIONS, which tells clients which they are, and
    AUTHENTICATE.

    Args:
        services: objects with methods marked by :func:`rpc`.
        interceptors: each replaces every handler by one that does something more; the first is nearest to the method.
        internal_listener: name of the listener for calls between servers; on others they are refused as if they were
            not served. None = there is none.

    Raises:
        ValueError: two methods claim the same API.
    """

    def __init__(
        self,
        *services: object,
        interceptors: Sequence[Callable[[Handler], Handler]] = (),
        internal_listener: str | None = None,
    ) -> None:
        self._internal_listener = internal_listener
        self._handlers: dict[int, Handler] = {}
        for service in services:
            for method, options in rpc_methods(service):
                if options.key in self._handlers:
                    raise ValueError(f"{options.key.name} is served twice, the second time by {method}")
                self._handlers[options.key] = Handler(
                    API_SPECS[options.key],
                    method,
                    _raw_body if options.raw else _parser(options.key),
                    inspect.iscoroutinefunction(method),
                    options.cancel_on_disconnect,
                    is_bulk=options.raw or options.key in _BULK_PARSERS,
                    starts_at_once=options.starts_at_once,
                )
        # A client that requests a later version of API_VERSIONS must get a response that it can go on with.
        self._handlers[ApiKey.API_VERSIONS] = Handler(
            API_SPECS[ApiKey.API_VERSIONS], self._api_versions, _parser(ApiKey.API_VERSIONS), any_version=True
        )
        self._handlers[ApiKey.AUTHENTICATE] = Handler(
            API_SPECS[ApiKey.AUTHENTICATE],
            self._authenticate,
            _parser(ApiKey.AUTHENTICATE),
            cancel_on_disconnect=True,
        )
        for intercept in interceptors:
            self._handlers = {key: intercept(handler) for key, handler in self._handlers.items()}
        for key, handler in self._handlers.items():
            if handler.spec.between_servers:
                self._handlers[key] = self._internal(handler)

    def _internal(self, handler: Handler) -> Handler:
        """A handler of a call between servers: refused on other listeners."""
        method, key = handler.method, handler.spec.key

        def guarded(request: Any, context: RequestContext) -> ResponseBody | Awaitable[ResponseBody]:
            if context.listener != self._internal_listener:
                raise not_served(key)
            return method(request, context)

        return dataclasses.replace(handler, method=guarded, is_async=False)

    def get(self, key: int) -> Handler | None:
        """The handler of an API, None if it is not served."""
        return self._handlers.get(key)

    @property
    def handlers(self) -> list[Handler]:
        """Every handler, by key."""
        return [handler for _, handler in sorted(self._handlers.items())]

    @property
    def specs(self) -> list[ApiSpec]:
        """The served APIs, by key."""
        return [handler.spec for _, handler in sorted(self._handlers.items())]

    def _api_versions(self, request: pb.ApiVersionsRequest, context: RequestContext) -> ResponseBody:
        # server_type stays absent: with it, clients insist on one role per server, and `fluss local` plays both.
        response = pb.ApiVersionsResponse()
        internal = context.listener == self._internal_listener
        own = internal and request.client_software_name == SOFTWARE_NAME
        for spec in self.specs:
            if (spec.between_servers and not internal) or (spec.is_own and not own):
                continue
            response.api_versions.add(api_key=spec.key, min_version=spec.min_version, max_version=spec.max_version)
        return response

    def _authenticate(
        self, request: pb.AuthenticateRequest, context: RequestContext
    ) -> ResponseBody | Awaitable[ResponseBody]:
        async def refuse(waiting: Awaitable[None]) -> ResponseBody:
            await waiting
            return pb.AuthenticateResponse()

        # The challenge stays absent: pyfluss would take an empty one for a request.
        waiting = context.authenticate(request.protocol, request.token)
        return pb.AuthenticateResponse() if waiting is None else refuse(waiting)


def not_served(key: int) -> FlussError:
    """The error for an API that the server does not serve, or not on this listener."""
    return FlussError(ErrorCode.UNSUPPORTED_VERSION, f"this server does not serve API {key}")


def served_keys(service: type) -> list[ApiKey]:
    """The APIs that the objects of a class serve."""
    functions = inspect.getmembers(service, inspect.isfunction)
    declared = (getattr(function, _API_ATTRIBUTE, None) for _, function in functions)
    return [options.key for options in declared if isinstance(options, RpcOptions)]


class ServiceProxy(ABC):
    """Stands for a service."""

    @abstractmethod
    def rpc_methods(self) -> Iterator[tuple[Method, RpcOptions]]:
        """What the service serves."""


def rpc_methods(service: object) -> Iterator[tuple[Method, RpcOptions]]:
    """The methods of a service that are marked by :func:`rpc`."""
    if isinstance(service, ServiceProxy):
        yield from service.rpc_methods()
        return
    for name, function in inspect.getmembers(type(service), inspect.isfunction):
        options = getattr(function, _API_ATTRIBUTE, None)
        if isinstance(options, RpcOptions):
            yield getattr(service, name), options


def _raw_body(frame: bytes | memoryview) -> memoryview:
    return memoryview(frame)[REQUEST_HEADER_SIZE:]


def _parser(key: ApiKey) -> Callable[[bytes | memoryview], Any]:
    if (parse_bulk := _BULK_PARSERS.get(key)) is not None:
        return lambda frame: parse_bulk(memoryview(frame)[REQUEST_HEADER_SIZE:])
    return MessageDecoder(API_SPECS[key])
