"""The gRPC server: the APIs of a :class:`ServiceRegistry` under ``fluss.Fluss``, health checking and reflection.

For people, probes and tools of any language; data-heavy clients use the native protocol, which costs a fiftieth. A
failed call ends with the gRPC status of :mod:`fluss_server.grpc_server.status` and the official error code in its
trailing metadata.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from fluss_server.api.keys import BETWEEN_SERVERS, ApiKey
from fluss_server.api.own_messages import descriptor_file
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.grpc_server import standard_protos
from fluss_server.grpc_server.reflection import Reflection
from fluss_server.grpc_server.service_file import SERVICE, service_file
from fluss_server.grpc_server.status import error_metadata, status_of
from fluss_server.model.principal import ANONYMOUS, Principal
from fluss_server.rpc.direct_call import DirectCalls
from fluss_server.rpc.frames import printable
from fluss_server.rpc.service import DEFAULT_LISTENER, RequestContext, ServiceRegistry, not_served
from fluss_server.runtime.clock import Clock

if TYPE_CHECKING:
    import grpc.aio

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 32 << 20
MAX_CALLS = 32
"""Calls in progress; the next ones are refused with RESOURCE_EXHAUSTED. Both bound the memory of all calls."""

_STOP_GRACE_S = 2.0
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # else a second server on the same port would silently take half of the calls
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),  # what responses may cost is decided by who builds them
    ("grpc.max_concurrent_streams", MAX_CALLS),
)

Authenticate = Callable[[str, str, str], Awaitable[Principal]]
"""Takes user, password and the client's address, returns who that is; raises ``FlussError(AUTHENTICATE_EXCEPTION)``."""


class GrpcServer:
    """Serves a registry over gRPC.

    Args:
        registry: what is served.
        host: address to listen on.
        port: port, 0 for a free one.
        clock: for the time that requests take. The sockets are those of the gRPC library.
        native_port: port of the native protocol, which metadata names as the server's.
        listener: name of the native listener whose address and credentials apply.
        authenticate: checks the ``authorization: Basic`` metadata of every call; None = everybody is anonymous.
    """

    def __init__(
        self,
        registry: ServiceRegistry,
        host: str,
        port: int,
        *,
        native_port: int,
        clock: Clock,
        listener: str = DEFAULT_LISTENER,
        authenticate: Authenticate | None = None,
    ) -> None:
        self.registry = registry
        self.port = port
        self._host = host
        self._monotonic = clock.monotonic
        self._native_port = native_port
        self._listener = listener
        self._authenticate = authenticate
        self._server: grpc.aio.Server | None = None
        self._stopping = asyncio.Event()
        self._calls = DirectCalls()

    async def start(self) -> None:
        """Listen.

        Raises:
            FlussError: ``NETWORK_EXCEPTION`` when the address cannot be used.
        """
        import grpc
        import grpc.aio

        logging.getLogger(_LIBRARY_LOGGER).addFilter(_CALLER_IS_GONE)
        server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MAX_CALLS)
        server.add_generic_rpc_handlers(self._handlers(grpc))
        host = f"[{self._host}]" if ":" in self._host else self._host
        try:
            port = server.add_insecure_port(f"{host}:{self.port}")
        except RuntimeError as error:
            reason = str(error).partition("; set GRPC_VERBOSITY")[0]
            raise FlussError(
                ErrorCode.NETWORK_EXCEPTION,
                f"the gRPC server cannot listen on {host}:{self.port}: {reason}",
                hint="another process uses the port; choose another with --grpc-port, 0 for a free one, or 'none'",
            ) from error
        await server.start()
        self.port = port
        self._server = server

    async def close(self) -> None:
        """Stop listening and let calls in progress end. Calling it again does nothing."""
        self._stopping.set()
        server, self._server = self._server, None
        if server is not None:
            await server.stop(_STOP_GRACE_S)
        await self._calls.wait(_STOP_GRACE_S)

    # ---- the services

    def _handlers(self, grpc: Any) -> tuple[Any, ...]:
        # AUTHENTICATE is a handshake of the native protocol; servers call each other over that one, too.
        left_out = {ApiKey.AUTHENTICATE, *BETWEEN_SERVERS}
        specs = [spec for spec in self.registry.specs if spec.key not in left_out]
        methods = {spec.messages: grpc.unary_unary_rpc_method_handler(partial(self._call, spec.key)) for spec in specs}
        message = standard_protos.message_class
        health = f"{standard_protos.HEALTH_PACKAGE}.HealthCheck"
        health_codec = {
            "request_deserializer": message(f"{health}Request").FromString,
            "response_serializer": message(f"{health}Response").SerializeToString,
        }
        services = {
            SERVICE: methods,
            standard_protos.HEALTH_SERVICE: {
                "Check": grpc.unary_unary_rpc_method_handler(self._check_health, **health_codec),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch_health, **health_codec),
            },
        }
        reflection = Reflection(
            [descriptor_file(), service_file(specs), standard_protos.health_file()],
            [*services, *map(standard_protos.reflection_service, standard_protos.REFLECTION_PACKAGES)],
        )
        for package in standard_protos.REFLECTION_PACKAGES:
            services[standard_protos.reflection_service(package)] = {
                "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
                    partial(reflection.respond_all, package),
                    request_deserializer=message(f"{package}.ServerReflectionRequest").FromString,
                    response_serializer=message(f"{package}.ServerReflectionResponse").SerializeToString,
                )
            }
        return tuple(grpc.method_handlers_generic_handler(name, handlers) for name, handlers in services.items())

    async def _call(self, key: ApiKey, request: bytes, call: Any) -> bytes:
        """Serve one call; the message goes through undecoded, as a frame's body does.

        It counts as a request of the API, like one that came over the native protocol.
        """
        started = self._monotonic()
        handler = self.registry.get(key)  # another one when a coordinator has become active
        if handler is None:
            await call.abort(status_of(not_served(key)), str(not_served(key)), error_metadata(not_served(key)))
            raise AssertionError("abort() raises")
        context = RequestContext(
            handler.spec.key,
            handler.spec.max_version,
            listener=self._listener,
            peer=_peer(call.peer()),
            local_host=self._host,
            local_port=self._native_port,
        )
        try:
            context.principal = await self._principal(call, context.peer_host)
            response = await self._calls.call(handler, request, context, MAX_MESSAGE_BYTES)
            handler.stats.record(len(request), (self._monotonic() - started) * 1000)
            return response
        except FlussError as error:
            failure = error
        except Exception as error:
            logger.exception("%s over gRPC failed", handler.spec.name)
            text = f"{type(error).__name__}: {error}"
            failure = FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, text, hint="the server's log has the details")
        handler.stats.errors += 1
        handler.stats.record(len(request), (self._monotonic() - started) * 1000)
        await call.abort(status_of(failure), printable(str(failure)), error_metadata(failure))
        raise AssertionError("abort() raises")

    async def _principal(self, call: Any, address: str) -> Principal:
        if self._authenticate is None:
            return ANONYMOUS
        try:
            user, password = _basic_credentials(dict(call.invocation_metadata() or ()).get("authorization"))
        except FlussError:
            with contextlib.suppress(FlussError):
                await self._authenticate("", "", address)  # is delayed and logged like any other failure
            raise
        return await self._authenticate(user, password, address)

    # ---- health

    async def _check_health(self, request: Any, call: Any) -> Any:
        import grpc

        if request.service not in ("", SERVICE):
            await call.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        return self._health()

    async def _watch_health(self, request: Any, call: Any) -> AsyncIterator[Any]:
        yield self._health()
        await self._stopping.wait()
        yield self._health()

    def _health(self) -> Any:
        response = standard_protos.message_class(f"{standard_protos.HEALTH_PACKAGE}.HealthCheckResponse")
        stopping = self._stopping.is_set()
        return response(status=standard_protos.NOT_SERVING if stopping else standard_protos.SERVING)


class _CallerIsGone(logging.Filter):
    """Leaves out the traceback that the gRPC library logs when it cannot send a status to a caller that is gone."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return type(error).__name__ != "ExecuteBatchError"


_CALLER_IS_GONE = _CallerIsGone()
_LIBRARY_LOGGER = "grpc._cython.cygrpc"


def _peer(text: str) -> str:
    """``host:port`` of gRPC's ``ipv4:127.0.0.1:1234`` or ``ipv6:%5B::1%5D:1234``."""
    return unquote(text.partition(":")[2] or text)


def _basic_credentials(header: str | bytes | None) -> tuple[str, str]:
    if header is None:
        raise FlussError(
            ErrorCode.AUTHENTICATE_EXCEPTION,
            "this server requires a user name and a password",
            hint="send 'authorization: Basic' metadata; the fluss command takes --user and FLUSS_PASSWORD",
        )
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    scheme, _, encoded = text.partition(" ")
    try:
        user, separator, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        separator = ""
    if scheme.lower() != "basic" or not separator:
        raise FlussError(ErrorCode.AUTHENTICATE_EXCEPTION, "the authorization metadata is not 'Basic' credentials")
    return user, password
